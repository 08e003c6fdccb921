/* Mistakes of the programmer: one line with the function, the fiber and the caller, then abort. */
#include "run.h"

#include <coir_io.h>
#include <fenv.h>
#include <pthread.h>

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* proves: F2 */
TEST_DIES(test_yield_outside_a_fiber_stops, SIGABRT,
          "coir: coir_yield: called outside a fiber (in no fiber, called from ")
{
    coir_yield();
}

/* proves: F2 */
TEST_DIES(test_park_outside_a_fiber_stops, SIGABRT, "coir: coir_park: called outside a fiber")
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    coir_park(COIR_NEVER);
}

/* proves: F2 */
TEST_DIES(test_sleep_outside_a_fiber_stops, SIGABRT, "coir: coir_sleep: called outside a fiber")
{
    coir_sleep(0);
}

/* proves: F2 */
TEST_DIES(test_wait_fd_outside_a_fiber_stops, SIGABRT, "coir: coir_wait_fd: called outside a fiber")
{
    coir_wait_fd(0, COIR_IN, COIR_NEVER);
}

/* proves: F2 */
TEST_DIES(test_joining_a_live_fiber_outside_a_fiber_stops, SIGABRT,
          "coir: coir_join: called outside a fiber")
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    coir_join(run_spawn(nothing, NULL), NULL, COIR_NEVER);
}

/* proves: F2 */
TEST_DIES(test_spawn_without_a_scheduler_stops, SIGABRT,
          "coir: coir_spawn: called in a thread without a scheduler")
{
    coir_spawn(NULL, nothing, NULL, NULL);
}

/* proves: F2 */
TEST_DIES(test_a_null_function_stops_spawn, SIGABRT, "coir: coir_spawn: the function is NULL")
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    coir_spawn(NULL, NULL, NULL, NULL);
}

/* proves: F2 */
TEST_DIES(test_a_null_function_stops_run, SIGABRT, "coir: coir_run: the function is NULL")
{
    coir_run(NULL, NULL, NULL, NULL);
}

static int spawn_negative(void *arg)
{
    struct coir_spawn_opts opts = {.stack_size = (size_t)-1};
    return coir_spawn(NULL, nothing, arg, &opts);
}

/* proves: F2 */
TEST_DIES(test_a_negative_stack_size_stops_spawn, SIGABRT,
          "coir: coir_spawn: the stack size is negative (in fiber 0, called from ")
{
    run_virtual(spawn_negative, NULL);
}

/* proves: F2 */
TEST_DIES(test_a_negative_stack_size_stops_run, SIGABRT, "coir: coir_run: the stack size is neg")
{
    coir_run(nothing, NULL, &(struct coir_sched_opts){.stack_size = (size_t)-4096}, NULL);
}

static int read_negative(void *arg)
{
    char byte;
    (void)arg;
    return (int)coir_read(0, &byte, (size_t)-1, COIR_NEVER);
}

/* proves: F2 */
TEST_DIES(test_a_negative_size_stops_read, SIGABRT, "coir: coir_read: the size is negative")
{
    run_virtual(read_negative, NULL);
}

static int write_negative(void *arg)
{
    (void)arg;
    return (int)coir_write(1, "", (size_t)-1, COIR_NEVER);
}

/* proves: F2 */
TEST_DIES(test_a_negative_size_stops_write, SIGABRT, "coir: coir_write: the size is negative")
{
    run_virtual(write_negative, NULL);
}

static void *run_foreign(void *arg)
{
    coir_sched_run(arg);
    return NULL;
}

/* proves: F2 */
TEST_DIES(test_running_another_threads_scheduler_stops, SIGABRT,
          "coir: coir_sched_run: not this thread's scheduler")
{
    coir_sched *sched;
    pthread_t thread;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, run_foreign, sched), 0);
    pthread_join(thread, NULL);
}

static void *free_foreign(void *arg)
{
    coir_sched_free(arg);
    return NULL;
}

/* proves: F2 */
TEST_DIES(test_freeing_another_threads_scheduler_stops, SIGABRT,
          "coir: coir_sched_free: not this thread's scheduler")
{
    coir_sched *sched;
    pthread_t thread;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, free_foreign, sched), 0);
    pthread_join(thread, NULL);
}

static int free_own(void *arg)
{
    coir_sched_free(*(coir_sched **)arg);
    return 0;
}

/* proves: F2 */
TEST_DIES(test_freeing_the_scheduler_in_a_fiber_stops, SIGABRT,
          "coir: coir_sched_free: called in a fiber of the scheduler (in fiber 0 'suicide', called")
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    run_spawn_named(free_own, &sched, "suicide");
    coir_sched_run(sched);
}

/* proves: F2 */
TEST_DIES(test_a_mistake_names_its_place, SIGABRT, "test_mistakes.c:")
{
    if (system("addr2line --version >/dev/null 2>&1") != 0)
        SKIP("addr2line is not installed");
    if (getenv("COIR_TEST_SLOW"))
        SKIP("the emulated program is not one that this addr2line reads");
    CHECK_EQ(coir_yield(), 0); /* not in place of the return, where the caller would be lost */
}

static void take_line(const char *line)
{
    fprintf(stderr, "[%s]", line);
}

/* proves: F2 */
TEST_DIES(test_the_fatal_hook_takes_the_line, SIGABRT, "[coir: coir_yield: called outside a fiber")
{
    coir_on_fatal(take_line);
    coir_yield();
}

static void leave_by_hook(const char *line)
{
    _exit(strstr(line, "coir_yield") ? 0 : 1);
}

/* proves: F2, F3 */
TEST(test_with_a_hook_nothing_is_printed)
{
    char output[64];
    int ends[2], status;
    CHECK_EQ(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        coir_on_fatal(leave_by_hook);
        coir_yield();
    }
    close(ends[1]);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(read(ends[0], output, sizeof output), 0);
}

static int check_rounding(void *arg)
{
    int rounding = *(int *)arg;
    CHECK_EQ(fegetround(), rounding);
    coir_yield();
    CHECK_EQ(fegetround(), rounding);
    fesetround(FE_TONEAREST);
    coir_yield();
    return fegetround() == FE_TONEAREST ? 0 : 1;
}

static int control_words(void *arg)
{
    static int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    coir_fiber fibers[3];
    (void)arg;
    for (int i = 0; i < 3; i++) {
        fesetround(modes[i]);
        fibers[i] = run_spawn(check_rounding, &modes[i]);
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(run_join(fibers[i]), 0);
    return fegetround() == FE_TOWARDZERO ? 0 : 1;
}

/* proves: F4 */
TEST(test_rounding_is_a_fibers_own_and_inherited_at_birth)
{
    run_virtual(control_words, NULL);
}

static volatile double seed = 1.5;

static int keep_doubles(void *arg)
{
    double a = seed, b = seed * 2, c = seed * 3, d = seed * 4, e = seed * 5, f = seed * 6;
    for (int i = 0; i < 10; i++) {
        coir_yield();
        a += 1, b += 2, c += 3, d += 4, e += 5, f += 6;
    }
    (void)arg;
    return a == 11.5 && b == 23 && c == 34.5 && d == 46 && e == 57.5 && f == 69 ? 0 : 1;
}

static int two_with_doubles(void *arg)
{
    (void)arg;
    coir_fiber a = run_spawn(keep_doubles, NULL), b = run_spawn(keep_doubles, NULL);
    return run_join(a) + run_join(b);
}

/* proves: F4 */
TEST(test_regress_doubles_are_kept_across_a_suspend)
{
    run_virtual(two_with_doubles, NULL);
}

TEST(test_errors_have_names)
{
    CHECK_STR(coir_error_name(COIR_TIMED_OUT), "COIR_TIMED_OUT");
    CHECK_STR(coir_error_name(COIR_CANCELLED), "COIR_CANCELLED");
    CHECK_STR(coir_error_name(-ETIMEDOUT), "ETIMEDOUT");
    CHECK_STR(coir_error_name(-EDEADLK), "EDEADLK");
    CHECK_STR(coir_error_name(-ECANCELED), "ECANCELED");
    CHECK_STR(coir_error_name(EBADF), "EBADF");
    CHECK_STR(coir_error_name(-99999), "E?");
    CHECK_STR(coir_error_name(0), "0");
}
