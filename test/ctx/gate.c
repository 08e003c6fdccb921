/* The register gate: what every port of the switch must do, checked from outside. It is linked with
 * exactly one port, and knows of it only the two functions of ctx.h.
 *
 * One line per test: `ok NAME`, `FAIL NAME: why` or `skip NAME: why`; the exit status is 1 after
 * any failure. A port that is wrong crashes more often than it answers, so a signal is a failure
 * too, and so is a run of more than 20 seconds. What a test relies on is tested before it.
 *
 * Invariant: every stack is filled with 0xa5 before a context is made on it, so that a word which
 * make forgets is never right by luck. */
#include "../../src/ctx/ctx.h"
#include "fill.h"
#include "gate.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { fibers = 3, contexts = fibers + 1, stack_bytes = 512 * 1024, rounds = 20000 };

static _Alignas(64) char stacks[fibers][stack_bytes];
static void *context[contexts]; /* of the fibers, and last the one of main */
static const char *test_name = "start";
static bool test_failed;
static int failures;

static void *const *const home = &context[fibers];

void gate_begin(const char *name)
{
    test_name = name;
    test_failed = false;
}

void gate_fail(const char *format, ...)
{
    if (test_failed)
        return;
    test_failed = true;
    failures++;
    uint64_t usual[CONTROL_COUNT];
    for (int i = 0; i < CONTROL_COUNT; i++)
        usual[i] = control_words[i].usual;
    control_set(usual);
    va_list args;
    va_start(args, format);
    printf("FAIL %s: ", test_name);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

void gate_end(void)
{
    if (!test_failed)
        printf("ok %s\n", test_name);
}

void gate_skip(const char *name, const char *why)
{
    printf("skip %s: %s\n", name, why);
}

static void on_signal(int number)
{
    char line[120];
    int length = snprintf(line, sizeof(line), "FAIL %s: signal %d\n", test_name, number);
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        _exit(2);
    _exit(1);
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT, SIGALRM};
    static char alternate[64 * 1024];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaction(numbers[i], &action, NULL);
}

static char *stack_top(int fiber)
{
    return stacks[fiber] + stack_bytes;
}

static void make(int fiber, void (*entry)(void *arg), void *arg)
{
    memset(stacks[fiber], 0xa5, stack_bytes);
    context[fiber] = cr_ctx_make(stack_top(fiber), entry, arg);
}

/* A stream of numbers that is the same in every run (splitmix64). */
static uint64_t number(void)
{
    static uint64_t state;
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* To and from a fiber, as C code does it. */
static void enter(int fiber)
{
    cr_ctx_switch(&context[fibers], context[fiber]);
}

static void leave(int fiber)
{
    cr_ctx_switch(&context[fiber], *home);
}

/* The same, but a register that gets lost is not one that C code relies on. */
static void kept_enter(int fiber)
{
    uint64_t in[FILL_COUNT] = {0}, out[FILL_COUNT];
    fill_switch(&context[fibers], context[fiber], in, out);
}

static void kept_leave(int fiber)
{
    uint64_t in[FILL_COUNT] = {0}, out[FILL_COUNT];
    fill_switch(&context[fiber], *home, in, out);
}

/* Half of the time a word is the usual one, so that switches between equal words occur as well. */
static void control_choose(uint64_t *words)
{
    for (int i = 0; i < CONTROL_COUNT; i++) {
        const struct control_word *word = &control_words[i];
        words[i] = word->usual;
        if (number() % 2)
            words[i] ^= word->flip[number() % CONTROL_FLIPS];
    }
}

static void control_expect(const uint64_t *words, const char *where)
{
    uint64_t now[CONTROL_COUNT];
    control_get(now);
    for (int i = 0; i < CONTROL_COUNT; i++) {
        uint64_t mask = control_words[i].mask;
        if ((now[i] & mask) != (words[i] & mask))
            gate_fail("%s: %s is %#llx, not %#llx", where, control_words[i].name,
                      (unsigned long long)(now[i] & mask), (unsigned long long)(words[i] & mask));
    }
}

/* Every context switches to another one drawn at random, with all registers and control words of
 * its own, and finds them unchanged when it is switched back to. */

static long rounds_left;

static void exchange(int self)
{
    int other = rounds_left > 0 ? (self + 1 + (int)(number() % (contexts - 1))) % contexts : fibers;
    rounds_left--;
    uint64_t in[FILL_COUNT], out[FILL_COUNT], words[CONTROL_COUNT];
    for (int i = 0; i < FILL_COUNT; i++)
        in[i] = number();
    control_choose(words);
    control_set(words);
    fill_switch(&context[self], context[other], in, out);
    control_expect(words, "after a switch");
    for (int i = 0; i < FILL_COUNT; i++)
        if (in[i] != out[i])
            gate_fail("%s is %#llx after a switch, not %#llx", fill_names[i],
                      (unsigned long long)out[i], (unsigned long long)in[i]);
}

static void exchange_fiber(void *arg)
{
    int *self = arg;
    for (;;)
        exchange(*self);
}

static void test_registers_and_control_words_survive(void)
{
    gate_begin("registers_and_control_words_survive");
    static int self[fibers];
    for (int i = 0; i < fibers; i++) {
        self[i] = i;
        make(i, exchange_fiber, &self[i]);
    }
    rounds_left = rounds;
    while (rounds_left > 0)
        exchange(fibers);
    uint64_t usual[CONTROL_COUNT];
    for (int i = 0; i < CONTROL_COUNT; i++)
        usual[i] = control_words[i].usual;
    control_set(usual);
    gate_end();
}

/* What the entered function sees. */

static uint64_t entered_arg, entered_stack_pointer, entered_frame_pointer;
static uint64_t entered_words[CONTROL_COUNT];
static bool entered_late;

void gate_entered(void *arg, uint64_t stack_pointer, uint64_t frame_pointer)
{
    _Alignas(16) char local[16];
    control_get(entered_words);
    entered_arg = (uintptr_t)arg;
    entered_stack_pointer = stack_pointer;
    entered_frame_pointer = frame_pointer;
    touch_aligned(local);
    kept_leave(0);
    entered_late = true;
    kept_leave(0);
}

static void test_entry(void)
{
    static const uint64_t args[] = {0x8877665544332211, 0, UINT64_MAX, 0x00000001ffffffff};
    gate_begin("entry_gets_its_exact_argument");
    for (size_t i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
        make(0, fill_entry, (void *)(uintptr_t)args[i]);
        kept_enter(0);
        if (entered_arg != args[i])
            gate_fail("%#llx, not %#llx", (unsigned long long)entered_arg,
                      (unsigned long long)args[i]);
    }
    kept_enter(0);
    if (!entered_late)
        gate_fail("the entered function was not resumed");
    gate_end();

    gate_begin("entry_stack_is_aligned");
    if (entered_stack_pointer % 16 != FILL_STACK_SKEW)
        gate_fail("entered with the stack at %#llx", (unsigned long long)entered_stack_pointer);
    uintptr_t top = (uintptr_t)stack_top(0);
    if (entered_stack_pointer > top || entered_stack_pointer < top - stack_bytes)
        gate_fail("entered on another stack");
    gate_end();

#ifndef COIR_CTX_UCONTEXT /* there it is the C library's choice */
    gate_begin("entry_frame_pointer_is_zero");
    if (entered_frame_pointer)
        gate_fail("%#llx", (unsigned long long)entered_frame_pointer);
    gate_end();
#endif
}

static void test_entry_inherits_control_words_of_the_maker(void)
{
    gate_begin("entry_inherits_control_words_of_the_maker");
    uint64_t maker[CONTROL_COUNT], enterer[CONTROL_COUNT], usual[CONTROL_COUNT];
    for (int i = 0; i < 1000; i++) {
        control_choose(maker);
        control_choose(enterer);
        control_set(maker);
        make(0, fill_entry, NULL);
        control_expect(maker, "after make");
        control_set(enterer);
        kept_enter(0);
        control_expect(enterer, "after the first switch");
        for (int k = 0; k < CONTROL_COUNT; k++) {
            usual[k] = control_words[k].usual;
            if ((entered_words[k] ^ maker[k]) & control_words[k].mask)
                gate_fail("%s is %#llx, not %#llx", control_words[k].name,
                          (unsigned long long)entered_words[k], (unsigned long long)maker[k]);
        }
        control_set(usual);
    }
    gate_end();
}

/* A control word that is equal is not loaded: only then do the status bits of MXCSR, which no
 * callee preserves, pass through a switch. FPCR has none, and ucontext always loads. */

#if defined(__x86_64__) && !defined(COIR_CTX_UCONTEXT)

static void status_fiber(void *arg)
{
    uint64_t *seen = arg;
    kept_leave(0);
    control_get(seen);
    kept_leave(0);
}

static void test_equal_control_words_are_not_loaded(void)
{
    gate_begin("equal_control_words_are_not_loaded");
    uint64_t seen[CONTROL_COUNT], words[CONTROL_COUNT] = {0x1f80, 0x037f};
    control_set(words);
    make(0, status_fiber, seen);
    kept_enter(0);
    words[0] |= 0x3f;
    control_set(words);
    kept_enter(0);
    if ((seen[0] & 0x3f) != 0x3f)
        gate_fail("MXCSR was loaded: %#llx", (unsigned long long)seen[0]);
    words[0] = 0x1f80;
    control_set(words);
    gate_end();
}

#endif

/* Calls of some depth on a fiber, each with a frame that is checked after switches. */

static uint64_t descend(int depth)
{
    volatile uint64_t frame[8];
    for (int i = 0; i < 8; i++)
        frame[i] = (uint64_t)depth * 8 + (uint64_t)i;
    if (depth % 64 == 0)
        leave(0);
    uint64_t sum = depth ? descend(depth - 1) : 0;
    for (int i = 0; i < 8; i++)
        sum += frame[i];
    return sum;
}

static void descend_fiber(void *arg)
{
    uint64_t *sum = arg;
    *sum = descend(1000);
    leave(0);
}

static void test_deep_recursion_survives(void)
{
    gate_begin("deep_recursion_survives");
    uint64_t sum = 0, expected = 8 * 1001 * (8 * 1001 - 1) / 2;
    make(0, descend_fiber, &sum);
    for (int i = 0; i < 1000 / 64 + 2; i++)
        enter(0);
    if (sum != expected)
        gate_fail("the sum is %llu, not %llu", (unsigned long long)sum,
                  (unsigned long long)expected);
    gate_end();
}

/* Doubles that are live across switches, more of them than there are registers. */

enum { doubles = 12, double_steps = 200 };

static double double_sum(int self, bool with_switches)
{
    double a[doubles], total = 0;
    for (int i = 0; i < doubles; i++)
        a[i] = 1.0 / (self + i + 2);
    for (int step = 0; step < double_steps; step++) {
        for (int i = 0; i < doubles; i++)
            a[i] = a[i] * 1.25 - a[(i + 1) % doubles] / 3 + 0.125;
        if (with_switches && self == fibers)
            enter(step % fibers);
        else if (with_switches)
            leave(self);
    }
    for (int i = 0; i < doubles; i++)
        total += a[i];
    return total;
}

static void double_fiber(void *arg)
{
    double *sum = arg;
    int self = (int)*sum;
    for (;;)
        *sum = double_sum(self, true);
}

static void test_doubles_survive(void)
{
    gate_begin("doubles_survive");
    double sums[fibers];
    for (int i = 0; i < fibers; i++) {
        sums[i] = i;
        make(i, double_fiber, &sums[i]);
    }
    double mine = 0;
    for (int i = 0; i <= fibers; i++)
        mine = double_sum(fibers, true);
    if (mine != double_sum(fibers, false))
        gate_fail("main has another sum");
    for (int i = 0; i < fibers; i++)
        if (sums[i] != double_sum(i, false))
            gate_fail("fiber %d has another sum", i);
    gate_end();
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    catch_signals();
    alarm(20);
    test_entry();
    test_entry_inherits_control_words_of_the_maker();
    test_registers_and_control_words_survive();
#if defined(__x86_64__) && !defined(COIR_CTX_UCONTEXT)
    test_equal_control_words_are_not_loaded();
#endif
    if (failures)
        return 1; /* the C code of the tests below relies on what has failed */
    test_deep_recursion_survives();
    test_doubles_survive();
#ifdef GATE_GUARDED
    test_guarded_pages();
#endif
    return failures > 0;
}
