/* Stacks that are too small: who notices, and what is said. */
#include "run.h"
#include "inside.h"
#include "../src/os/os.h"

#include <float.h>
#include <pthread.h>

enum { KIB = 1024 };

/* Deeper and deeper, each level with a frame that the compiler cannot remove. */
__attribute__((noinline)) static int descend(int depth)
{
    volatile char frame[256];
    frame[0] = (char)depth;
    int below = depth == 0 ? 0 : descend(depth - 1);
    return below + frame[0];
}

static int overflow(void *arg)
{
    (void)arg;
    return descend(1 << 20);
}

static int spawn_overflow(void *arg)
{
    (void)arg;
    coir_fiber fiber = run_spawn_named(overflow, NULL, "hungry");
    return run_join(fiber);
}

/* proves: S2 */
TEST_DIES(test_an_overflow_names_the_fiber, SIGSEGV, "coir: stack overflow in fiber 1 'hungry'")
{
    if (CR_SAN_ADDRESS)
        SKIP("the sanitizer reports overflows itself");
    run_virtual(spawn_overflow, NULL);
}

static void swallow(const char *line)
{
    fprintf(stderr, "<%s>", line);
}

/* proves: S2, F2 */
TEST_DIES(test_an_overflow_goes_to_the_fatal_hook, SIGSEGV, "<coir: stack overflow in fiber 1")
{
    if (CR_SAN_ADDRESS)
        SKIP("the sanitizer reports overflows itself");
    coir_on_fatal(swallow);
    run_virtual(spawn_overflow, NULL);
}

/* What a frame beyond the end of the stack would do. */
static int touch_below(void *arg)
{
    struct cr_fiber *self = cr_sched_self;
    *((volatile char *)cr_stack_low(self->class, (char *)(self + 1)) - *(int *)arg) = 1;
    return 0;
}

static int spawn_canary_overflow(void *arg)
{
    return run_join(run_spawn_named(touch_below, arg, "bird"));
}

static void run_canary(int (*fn)(void *arg), void *arg)
{
    struct coir_sched_opts opts = {.guard = COIR_GUARD_CANARY, .report = run_report_line};
    coir_run(fn, arg, &opts, NULL);
}

/* proves: S2 */
TEST_DIES(test_a_canary_tells_of_an_overflow_at_the_end, SIGABRT, "overflow in fiber 1 'bird'")
{
    static int one = 1;
    run_canary(spawn_canary_overflow, &one);
}

/* proves: S2 */
TEST_DIES(test_a_canary_is_a_whole_page, SIGABRT, "overflow in fiber 1 'bird'")
{
    static int page;
    page = (int)sysconf(_SC_PAGESIZE);
    run_canary(spawn_canary_overflow, &page);
}

/* Frames that write little of what they take, down to the lowest that is no more the stack's. */
__attribute__((noinline)) static int descend_loosely(const char *low)
{
    volatile char frame[500];
    frame[250] = 1;
    int below = (const char *)frame < low ? 0 : descend_loosely(low);
    return below + frame[250];
}

static int overflow_loosely(void *arg)
{
    struct cr_fiber *self = cr_sched_self;
    (void)arg;
    return descend_loosely(cr_stack_low(self->class, (char *)(self + 1))) & 1;
}

/* proves: S2 */
TEST_DIES(test_regress_frames_that_write_little_stepped_over_a_canary, SIGABRT, "overflow in fiber")
{
    if (CR_SAN_ADDRESS)
        SKIP("the sanitizer reports overflows itself");
    run_canary(overflow_loosely, NULL);
}

/* ---- blocked signals ---- */

static void block_all(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &all, before), 0);
}

/* proves: S2 */
TEST_DIES(test_regress_an_overflow_was_silent_where_all_signals_are_blocked, SIGSEGV,
          "coir: stack overflow in fiber 1 'hungry'")
{
    if (CR_SAN_ADDRESS)
        SKIP("the sanitizer reports overflows itself");
    sigset_t before;
    block_all(&before);
    run_virtual(spawn_overflow, NULL);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* proves: S2 */
TEST(test_blocked_signals_are_blocked_again_after_a_scheduler)
{
    sigset_t before, after;
    for (int blocked = 0; blocked < 2; blocked++) {
        run_virtual(nothing, NULL);
        CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &after), 0);
        CHECK_EQ(sigismember(&after, SIGSEGV), blocked);
        CHECK_EQ(sigismember(&after, SIGBUS), blocked);
        CHECK_EQ(sigismember(&after, SIGUSR1), blocked);
        block_all(&before);
    }
}

/* ---- what happens near the end of a stack: it is done, or the program stops with a line ---- */

static size_t eaten;
static void (*deed)(void);
static volatile char *neighbour;
enum { NEIGHBOUR = 12 * KIB };

static int be_a_neighbour(void *arg)
{
    volatile char painted[NEIGHBOUR];
    (void)arg;
    for (int i = 0; i < NEIGHBOUR; i++)
        painted[i] = 'n';
    neighbour = painted;
    return coir_park(COIR_NEVER) == COIR_CANCELLED ? 0 : painted[0];
}

__attribute__((noinline)) static void eat_and_do(size_t size)
{
    volatile char *low = __builtin_alloca(size);
    for (size_t i = 0; i < size; i += 512)
        low[i] = 1;
    deed();
}

static int eat(void *arg)
{
    (void)arg;
    eat_and_do(eaten);
    return 0;
}

/* The neighbours' stacks lie on both sides. */
static int eat_between_neighbours(void *arg)
{
    coir_fiber below = run_spawn(be_a_neighbour, arg);
    coir_yield();
    volatile char *painted = neighbour;
    coir_fiber eater = run_spawn(eat, NULL), above = run_spawn(be_a_neighbour, NULL);
    CHECK_EQ(run_join(eater), 0);
    for (int i = 0; i < NEIGHBOUR; i++)
        CHECK(painted[i] == 'n' && neighbour[i] == 'n');
    CHECK_EQ(coir_cancel(below, 0), 0);
    return coir_cancel(above, 0);
}

enum { DONE = 42, TOLD = 43 };

static void see_overflow(const char *line)
{
    _exit(strncmp(line, "coir: stack overflow in fiber 2", 31) == 0 ? TOLD : 1);
}

/* Where the system does not say where a stack was, a signal without room has no line. */
static bool stacks_are_known(void)
{
    static _Alignas(64) char context[4096];
    memset(context, 1, sizeof context);
    return cr_os_stack_pointer(context);
}

static void do_near_the_end(void (*what)(void), size_t size)
{
    struct coir_sched_opts opts = {.stack_size = size};
    int done = 0, told = 0;
    test_skip_under_valgrind();
    if (CR_SAN_ADDRESS)
        SKIP("the sanitizer reports overflows itself");
    deed = what;
    deed(); /* so that the dynamic linker needs no room later */
    coir_on_fatal(see_overflow);
    size_t most = size + (size_t)sysconf(_SC_PAGESIZE) - KIB; /* of what a stack has at most */
    for (eaten = size / 32; eaten < most; eaten += 192) {
        int status;
        pid_t pid = fork();
        if (pid == 0)
            _exit(coir_run(eat_between_neighbours, NULL, &opts, NULL) == 0 ? DONE : 1);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        bool dies = !stacks_are_known() && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
        told += dies;
        if (dies)
            continue;
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == DONE || WEXITSTATUS(status) == TOLD);
        done += WEXITSTATUS(status) == DONE;
        told += WEXITSTATUS(status) == TOLD;
    }
    CHECK(done > 0);
    CHECK(told > 3);
}

static volatile int handled;

static void handle(int signal)
{
    (void)signal;
    handled++;
}

static void raise_one(void)
{
    int before = handled;
    signal(SIGUSR1, handle);
    raise(SIGUSR1);
    CHECK_EQ(handled, before + 1);
}

/* proves: S2 */
TEST(test_regress_a_signal_that_found_no_room_was_lost)
{
    do_near_the_end(raise_one, 16 * KIB);
}

/* glibc takes more than 16 KiB for it, in steps of several pages. */
static void print_long_doubles(void)
{
    static char text[8 * KIB];
    CHECK(snprintf(text, sizeof text, "%Lf", (long double)LDBL_MAX) > 300);
}

/* proves: S2 */
TEST(test_regress_wide_frames_of_the_c_library_stepped_over_a_guard)
{
    do_near_the_end(print_long_doubles, 64 * KIB);
}

/* As a function does that takes memory by alloca, and writes to its lowest byte first. */
static void step_far(void)
{
    volatile char *low = __builtin_alloca(60 * KIB);
    low[0] = 1;
}

/* proves: S2 */
TEST(test_a_step_of_60_kib_does_not_cross_a_guard)
{
    do_near_the_end(step_far, 64 * KIB);
}

/* An address that no pointer can have: on x86-64 its fault comes without an address, as that of a
 * signal without room does. */
static int fault_far_away(void *arg)
{
    volatile char *nowhere = (char *)(uintptr_t)(UINT64_C(1) << 63);
    *nowhere = 1;
    return arg ? 1 : 0;
}

/* proves: S2 */
TEST(test_regress_a_fault_without_an_address_passed_for_an_overflow)
{
    int status;
    struct coir_sched_opts opts = {.stack_size = 16 * KIB};
    coir_on_fatal(see_overflow);
    if (CR_SAN_ADDRESS)
        SKIP("the sanitizer reports faults itself");
    pid_t pid = fork();
    if (pid == 0)
        _exit(coir_run(fault_far_away, NULL, &opts, NULL));
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGSEGV);
}
