/* Memory, mappings, descriptors and system calls that fail, one after the other, under each thing
 * that the core does. What each scenario went through is printed: `points NAME: N (…)`. */
#define TEST_SECONDS 60
#include "fault.h"

static int run_on(enum coir_clock clock, enum coir_guard guard, int (*fn)(void *))
{
    struct coir_sched_opts opts = {.clock = clock, .guard = guard};
    int result = -1;
    CHECK_EQ(FAULT_TRY(coir_run(fn, NULL, &opts, &result)), 0);
    return result;
}

static coir_fiber spawn(int (*fn)(void *), void *arg, size_t stack_size)
{
    coir_fiber fiber;
    struct coir_spawn_opts opts = {.stack_size = stack_size};
    CHECK_EQ(FAULT_TRY(coir_spawn(&fiber, fn, arg, stack_size ? &opts : NULL)), 0);
    return fiber;
}

/* The number is free all the same. */
static void close_by_coir(int fd)
{
    int result = coir_close(fd);
    CHECK(result == 0 || result == -EIO);
    CHECK_EQ(__real_fcntl(fd, F_GETFD), -1);
}

static void put(int fd)
{
    CHECK_EQ(__real_write(fd, "x", 1), 1);
}

/* ---- schedulers and fibers ---- */

static int sched_new_free(void)
{
    coir_sched *sched;
    CHECK_EQ(FAULT_TRY(coir_sched_new(&sched, NULL)), 0);
    CHECK_EQ(coir_sched_run(sched), 0);
    coir_sched_free(sched);
    return 0;
}

static int answer(void *arg)
{
    coir_yield();
    return *(int *)arg;
}

static int spawn_join(void *arg)
{
    enum { COUNT = 70 }; /* more than the first slots, timers and stacks */
    static int numbers[COUNT];
    coir_fiber fibers[COUNT];
    (void)arg;
    for (int i = 0; i < COUNT; i++) {
        numbers[i] = i;
        fibers[i] = spawn(answer, &numbers[i], 0);
    }
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(run_join(fibers[i]), i);
    return 0;
}

static int run_spawn_join(void)
{
    return run_on(COIR_CLOCK_VIRTUAL, COIR_GUARD_PAGE, spawn_join);
}

static int spawn_mixed(int count)
{
    enum { MOST = 1000 };
    static const size_t sizes[] = {0, 16 * 1024, 40 * 1024, 200 * 1024, 1024 * 1024, 0};
    static int numbers[MOST];
    static coir_fiber fibers[MOST];
    for (int i = 0; i < count; i++) {
        numbers[i] = i;
        fibers[i] = spawn(answer, &numbers[i], sizes[(size_t)i % (sizeof sizes / sizeof *sizes)]);
    }
    for (int i = 0; i < count; i++)
        CHECK_EQ(run_join(fibers[i]), i);
    return coir_sleep(1); /* idle, so that spare stacks are released */
}

/* Fewer where each stack costs much: emulated, with a sanitizer, and where each is a mapping of its
 * own (src/os/bsd.c). */
static int spawn_many(void *arg)
{
    bool few = getenv("COIR_TEST_SLOW") || CR_SAN_ADDRESS || FAULT_ABSORBED_BY_KQUEUE;
    (void)arg;
    return spawn_mixed(few ? 400 : 1000);
}

static int spawn_200(void *arg)
{
    (void)arg;
    return spawn_mixed(200);
}

static int spawns(void)
{
    return run_on(COIR_CLOCK_VIRTUAL, COIR_GUARD_PAGE, spawn_many);
}

static int spawns_canary(void)
{
    return run_on(COIR_CLOCK_VIRTUAL, COIR_GUARD_CANARY, spawn_200);
}

/* As on a kernel without guard markers: each guard is an mprotect. */
static int spawns_mprotect(void)
{
    fault.no_markers = true;
    return run_on(COIR_CLOCK_VIRTUAL, COIR_GUARD_PAGE, spawn_200);
}

static int sleep_some(void *arg)
{
    return coir_sleep(*(int64_t *)arg);
}

static int sleep_all(void *arg)
{
    enum { COUNT = 20 };
    static int64_t lengths[COUNT];
    coir_fiber fibers[COUNT];
    (void)arg;
    for (int i = 0; i < COUNT; i++) {
        lengths[i] = COIR_US(i % 5 * 20);
        fibers[i] = spawn(sleep_some, &lengths[i], 16 * 1024);
    }
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(run_join(fibers[i]), 0);
    CHECK_EQ(coir_park(coir_after(COIR_US(10))), COIR_TIMED_OUT);
    return 0;
}

static int sleeping(void)
{
    return run_on(COIR_CLOCK_MONOTONIC, COIR_GUARD_PAGE, sleep_all);
}

/* ---- descriptors ---- */

static int wait_in(void *arg)
{
    return (int)FAULT_TRY(coir_wait_fd(*(int *)arg, COIR_IN, COIR_NEVER));
}

static int wait_on_foreign(void *arg)
{
    (void)arg;
    struct fds_pair pipe = fds_pipe(0);
    for (int i = 0; i < 2; i++) {
        coir_fiber fibers[2] = {spawn(wait_in, &pipe.in, 0), spawn(wait_in, &pipe.in, 0)};
        fds_until_parked(fibers[1]);
        put(pipe.out);
        CHECK_EQ(run_join(fibers[0]), COIR_IN);
        CHECK_EQ(run_join(fibers[1]), COIR_IN);
        CHECK_EQ(__real_read(pipe.in, &(char){0}, 1), 1);
        CHECK_EQ(FAULT_TRY(coir_wait_fd(pipe.in, COIR_IN, coir_after(COIR_US(10)))),
                 COIR_TIMED_OUT);
        fds_check_nothing_left(pipe.in);
    }
    close_by_coir(pipe.in);
    __real_close(pipe.out);
    return 0;
}

static int waits(void)
{
    return run_on(COIR_CLOCK_MONOTONIC, COIR_GUARD_PAGE, wait_on_foreign);
}

static int read_five(void *arg)
{
    char bytes[5];
    for (size_t at = 0; at < sizeof bytes;) {
        int64_t got = FAULT_TRY(coir_read(*(int *)arg, bytes + at, sizeof bytes - at, COIR_NEVER));
        CHECK(got > 0);
        at += (size_t)got;
    }
    CHECK_EQ(memcmp(bytes, "hello", 5), 0);
    return (int)FAULT_TRY(coir_read(*(int *)arg, bytes, sizeof bytes, COIR_NEVER));
}

static void talk(struct fds_pair pair, bool owned)
{
    fault.paused = false;
    if (owned) {
        CHECK_EQ(FAULT_TRY(coir_adopt(pair.in)), 0);
        CHECK_EQ(FAULT_TRY(coir_adopt(pair.out)), 0);
    }
    coir_fiber reader = spawn(read_five, &pair.in, 0);
    fds_until_parked(reader);
    CHECK_EQ(FAULT_TRY(coir_write(pair.out, "hello", 5, COIR_NEVER)), 5);
    fds_until_woken(reader);
    fds_until_parked(reader);
    close_by_coir(pair.out);
    CHECK_EQ(run_join(reader), 0);
    fds_check_nothing_left(pair.in);
    close_by_coir(pair.in);
    fault.paused = true;
}

static int talk_all(void *arg)
{
    fault.paused = true;
    for (int owned = 0; owned < 2; owned++) {
        talk(fds_pipe(0), owned);
        talk(fds_unix(SOCK_STREAM), owned);
        talk(fds_tcp(), owned);
    }
    fault.paused = false;
    return arg ? 1 : 0;
}

static int calls(void)
{
    return run_on(COIR_CLOCK_MONOTONIC, COIR_GUARD_PAGE, talk_all);
}

/* More than the poll world's first entries, and a number on a page of its own. */
static int wait_on_many(void *arg)
{
    enum { COUNT = 70, LARGE = 5000 };
    struct fds_pair pipes[COUNT];
    coir_fiber fibers[COUNT];
    (void)arg;
    for (int i = 0; i < COUNT; i++) {
        pipes[i] = fds_pipe(0);
        if (i == COUNT / 2) {
            CHECK_EQ(dup2(pipes[i].in, LARGE), LARGE);
            __real_close(pipes[i].in);
            pipes[i].in = LARGE;
        }
        fibers[i] = spawn(wait_in, &pipes[i].in, 16 * 1024);
        fds_until_parked(fibers[i]);
    }
    for (int i = 0; i < COUNT; i++)
        put(pipes[i].out);
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(run_join(fibers[i]), COIR_IN);
    for (int i = 0; i < COUNT; i++) {
        fds_check_nothing_left(pipes[i].in);
        __real_close(pipes[i].in);
        __real_close(pipes[i].out);
    }
    return 0;
}

static int many(void)
{
    return run_on(COIR_CLOCK_VIRTUAL, COIR_GUARD_PAGE, wait_on_many);
}

/* ---- the tests ---- */

/* proves: F1 */
TEST(test_fault_in_making_a_scheduler)
{
    fault_each("sched_new_free", sched_new_free);
}

/* proves: F1 */
TEST(test_fault_in_running_spawning_and_joining)
{
    fault_each("run_spawn_join", run_spawn_join);
}

/* proves: F1, S2 */
TEST(test_fault_in_many_spawns_of_mixed_sizes)
{
    fault_each("spawns", spawns);
}

/* proves: F1 */
TEST(test_fault_in_spawns_with_canaries)
{
    fault_each("spawns_canary", spawns_canary);
}

/* proves: F1, S2 */
TEST(test_fault_in_spawns_without_guard_markers)
{
    fault_each("spawns_mprotect", spawns_mprotect);
}

/* proves: F1, T6 */
TEST(test_fault_in_sleeping)
{
    fault_each("sleeping", sleeping);
}

/* proves: F1, T6 */
TEST(test_fault_in_waiting_for_a_foreign_descriptor)
{
    fault_each("waits", waits);
}

/* proves: F1 */
TEST(test_fault_in_adopting_reading_writing_and_closing)
{
    fault_each("calls", calls);
}

/* proves: F1, D11 */
TEST(test_fault_in_waiting_for_many_descriptors)
{
    fault_each("many", many);
}

/* What is left out, and why. */
TEST(test_fault_list_of_what_is_left_out)
{
    static const char *const LEFT_OUT[] = {
        "munmap, EPOLL_CTL_DEL: only on the way out; nobody could do anything about it",
        "test_mistakes, test_stack (overflows): the program ends there by design",
        "test_order, test_end: a repeated call changes the order that they compare",
        "test_time, long_*: they measure, or take too long to run once for each point",
        "test_worlds, test_operation: worlds side by side or played; no call of theirs can fail",
        "test_readiness, test_short_read: the calls are those of `waits`, `calls` and `many` here",
    };
    for (size_t i = 0; i < sizeof LEFT_OUT / sizeof *LEFT_OUT; i++) {
        char line[200];
        snprintf(line, sizeof line, "left out %s\n", LEFT_OUT[i]);
        fault_print(line);
    }
}
