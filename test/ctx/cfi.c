/* Stops before every instruction of the port, in make, in the switch and in the entry stub, and
 * unwinds from there.
 *
 * The backtrace must be that of the context whose stack the stack pointer is on, down to its
 * outermost frame, and the registers it finds for fill_switch must be the ones filled in there. A
 * context that was made and has not begun ends at the entry stub. So does one that has begun, below
 * its entry function.
 *
 * Functions are known by where they start, as the unwinder reports it. */
#include "../../src/ctx/ctx.h"
#include "fill.h"
#include "step.h"

#include <stdio.h>
#include <stdlib.h>
#include <unwind.h>

enum { stack_bytes = 256 * 1024, frames_max = 64, code_max = 512 };

static _Alignas(64) char stack[stack_bytes];
static void *main_context, *fiber_context;
static uint64_t main_fill[FILL_COUNT], fiber_fill[FILL_COUNT];
static uintptr_t stub; /* the entry stub, learned from the entry function's return address */

static struct {
    uintptr_t functions[frames_max];
    uint64_t filled[FILL_COUNT];
    int frames;
    _Unwind_Reason_Code end;
} walk;

static bool begun;
static int steps, failures;
static bool visited[code_max];

__attribute__((noinline)) void fiber_marker(void *arg);
__attribute__((noinline)) void main_marker(void);

static uintptr_t function_of(uintptr_t return_address)
{
    return (uintptr_t)_Unwind_FindEnclosingFunction((void *)return_address);
}

/* A zero in the chain is not a frame. */
static _Unwind_Reason_Code walk_frame(struct _Unwind_Context *context, void *arg)
{
    (void)arg;
    int before = 0;
    _Unwind_Ptr ip = _Unwind_GetIPInfo(context, &before);
    if (!ip)
        return _URC_NO_REASON;
    if (walk.frames == frames_max)
        return _URC_END_OF_STACK;
    uintptr_t function = function_of(ip + (before ? 1 : 0));
    if (function == (uintptr_t)fill_switch)
        for (int i = 0; i < FILL_COUNT; i++)
            walk.filled[i] = _Unwind_GetGR(context, dwarf_numbers[i]);
    walk.functions[walk.frames++] = function;
    return _URC_NO_REASON;
}

static void step_fail(const char *why, uintptr_t offset)
{
    if (failures++ < 5)
        printf("FAIL backtrace_is_right_at_every_instruction: step %d, offset %#lx: %s\n", steps,
               (unsigned long)offset, why);
}

/* From frame `i` on, where the function under test was interrupted. */
static const char *judge(int i, bool on_fiber)
{
    const uintptr_t *f = walk.functions;
    int last = walk.frames - 1;
    if (walk.end != _URC_END_OF_STACK)
        return "the backtrace ends with an error";
    if (f[i] == stub)
        return i == last ? NULL : "the entry stub is not outermost";
    if (i == last)
        return "the backtrace ends in the function itself";
    if (f[i] == (uintptr_t)cr_ctx_make)
        return f[i + 1] == (uintptr_t)main_marker ? NULL : "make has another caller";
    if (on_fiber && !begun)
        return f[i + 1] == stub && i + 1 == last ? NULL : "a new context has a caller";
    if (f[i + 1] != (uintptr_t)fill_switch || i + 2 > last)
        return "the caller is not fill_switch";
    const uint64_t *expected = on_fiber ? fiber_fill : main_fill;
    for (int k = 0; k < FILL_COUNT; k++)
        if (walk.filled[k] != expected[k])
            return fill_names[k];
    if (!on_fiber)
        return f[i + 2] == (uintptr_t)main_marker ? NULL : "main_marker is not reached";
    if (f[i + 2] != (uintptr_t)fiber_marker)
        return "fiber_marker is not reached";
    return i + 3 == last && f[last] == stub ? NULL : "the entry stub does not end it";
}

static void step_reached(uintptr_t ip, uintptr_t sp)
{
    uintptr_t function = function_of(ip + 1);
    if (!function || (function != (uintptr_t)cr_ctx_switch &&
                      function != (uintptr_t)cr_ctx_make && function != stub))
        return;
    uintptr_t offset = ip - (uintptr_t)function;
    steps++;
    if (function == (uintptr_t)cr_ctx_switch && offset < code_max)
        visited[offset] = true;
    memset(&walk, 0, sizeof(walk));
    walk.end = _Unwind_Backtrace(walk_frame, NULL);
    int i = 0;
    while (i < walk.frames && walk.functions[i] != function)
        i++;
    bool on_fiber = sp > (uintptr_t)stack && sp <= (uintptr_t)stack + stack_bytes;
    const char *why = i == walk.frames ? "the interrupted function is not met" : judge(i, on_fiber);
    if (why)
        step_fail(why, offset);
}

static void on_crash(int number)
{
    (void)number;
    static const char line[] = "FAIL backtrace_is_right_at_every_instruction: crash or time-out\n";
    if (write(STDOUT_FILENO, line, sizeof(line) - 1) < 0)
        _exit(2);
    _exit(1);
}

/* Each side has control words of its own now and then, so that both loads are stepped through. */
static void set_controls(bool unusual)
{
    uint64_t words[CONTROL_COUNT];
    for (int i = 0; i < CONTROL_COUNT; i++) {
        const struct control_word *word = &control_words[i];
        words[i] = word->usual ^ (unusual ? word->flip[CONTROL_FLIPS - 1] : 0);
    }
    control_set(words);
}

void fiber_marker(void *arg)
{
    uint64_t out[FILL_COUNT];
    begun = true;
    for (int round = 0;; round++) {
        set_controls(round % 2);
        step_again();
        fill_switch(&fiber_context, main_context, arg, out);
    }
}

/* fill_entry is not used here. */
void gate_entered(void *arg, uint64_t stack_pointer, uint64_t frame_pointer)
{
    (void)arg, (void)stack_pointer, (void)frame_pointer;
    abort();
}

static void fiber_learns_stub(void *arg)
{
    (void)arg;
    stub = function_of((uintptr_t)__builtin_return_address(0));
    cr_ctx_switch(&fiber_context, main_context);
}

/* Above the top lies what an unwinder would take for callers if it went on there. */
static void *stack_top(void)
{
    uintptr_t *top = (uintptr_t *)(stack + stack_bytes - 64);
    for (int i = 0; i < 8; i++)
        top[i] = (uintptr_t)main_marker + 1;
    return top;
}

void main_marker(void)
{
    const uintptr_t functions[] = {(uintptr_t)cr_ctx_make, (uintptr_t)cr_ctx_switch, stub};
    uint64_t out[FILL_COUNT];
    step_begin(functions, 3);
    fiber_context = cr_ctx_make(stack_top(), fiber_marker, (void *)(uintptr_t)fiber_fill);
    for (int round = 0; round < 4; round++) {
        step_again();
        fill_switch(&main_context, fiber_context, main_fill, out);
    }
    step_end();
    set_controls(false);
}

/* How many instructions of the switch were met, or -1 if there is a hole between two of them that
 * is longer than an instruction: none here has more than 6 bytes. */
static int instructions_met(void)
{
    int count = 0, hole = 0;
    for (int i = 0; i < code_max; i++) {
        hole = visited[i] ? 0 : hole + 1;
        count += visited[i];
        if (hole == 8) {
            for (int k = i; k < code_max; k++)
                if (visited[k])
                    return -1;
            return count;
        }
    }
    return count;
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    signal(SIGSEGV, on_crash);
    signal(SIGABRT, on_crash);
    signal(SIGALRM, on_crash);
    alarm(20);
    fiber_context = cr_ctx_make(stack_top(), fiber_learns_stub, NULL);
    cr_ctx_switch(&main_context, fiber_context);
    for (int i = 0; i < FILL_COUNT; i++) {
        main_fill[i] = 0x1101 + (unsigned)i;
        fiber_fill[i] = 0x2201 + (unsigned)i;
    }
    main_marker();
    int met = instructions_met();
    if (!stub || met < 20 || !begun)
        step_fail("not every instruction was met", 0);
    if (!failures)
        printf("ok backtrace_is_right_at_every_instruction: %d of the switch, %d steps\n", met,
               steps);
    return failures > 0;
}
