/* How runs end: with all fibers done, in a deadlock, stopped by the freeing of the scheduler; and
 * schedulers in pieces and in threads. */
#include "run.h"
#include "clock.h"
#include "inside.h"

#include <pthread.h>
#include <unistd.h>

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int park_for_ever(void *arg)
{
    int *outcome = arg;
    int result = coir_park(COIR_NEVER);
    if (outcome)
        *outcome = result;
    return result;
}

/* proves: E1 */
TEST(test_run_ends_when_all_fibers_have_ended_and_may_be_repeated)
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_sched_run(sched), 0);
    for (int i = 0; i < 3; i++) {
        coir_fiber fiber = run_spawn(nothing, NULL);
        CHECK_EQ(coir_sched_run(sched), 0);
        CHECK_EQ(coir_join(fiber, NULL, COIR_NEVER), 0);
    }
    coir_sched_free(sched);
    coir_sched_free(NULL);
}

static int join_other(void *arg)
{
    return coir_join(*(coir_fiber *)arg, NULL, COIR_NEVER);
}

static int deadlock(void *arg)
{
    (void)arg;
    static coir_fiber parked;
    parked = run_spawn_named(park_for_ever, NULL, "waiter");
    run_spawn(join_other, &parked);
    return 5;
}

/* proves: E2, F3 */
TEST(test_a_deadlock_is_reported_with_every_fiber_and_its_reason)
{
    int result = 77;
    CHECK_EQ(run_as(deadlock, NULL, COIR_CLOCK_VIRTUAL, &result), -EDEADLK);
    CHECK_STR(run_report, "coir: deadlock: 3 fibers are parked and nothing can wake them\n"
                          "  fiber 0 waits for 2 fibers in it to end\n"
                          "  fiber 1 'waiter' waits for a wake\n"
                          "  fiber 2 waits for the end of fiber 1 'waiter'\n");
    CHECK_EQ(result, 77);
}

/* proves: E2 */
TEST_EXITS(test_a_deadlock_is_reported_on_standard_error, 0, "  fiber 1 'waiter' waits for a wake")
{
    CHECK_EQ(coir_run(deadlock, NULL, NULL, NULL), -EDEADLK);
    exit(0);
}

/* proves: E1, E2 */
TEST(test_a_run_can_go_on_after_a_deadlock)
{
    coir_sched *sched;
    struct coir_sched_opts opts = {.report = run_report_line};
    int outcome = 1;
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    coir_fiber fiber = run_spawn(park_for_ever, &outcome);
    CHECK_EQ(coir_sched_run(sched), -EDEADLK);
    CHECK_EQ(coir_join(fiber, NULL, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_wake(fiber), 1);
    CHECK_EQ(coir_sched_run(sched), 0);
    CHECK_EQ(outcome, 0);
    coir_sched_free(sched);
}

static int wait_on_pipe(void *arg)
{
    int *ends = arg;
    char byte;
    CHECK_EQ(coir_read(ends[0], &byte, 1, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(coir_wait_fd(ends[0], COIR_IN, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(coir_sleep(1), COIR_CANCELLED);
    CHECK_EQ(coir_yield(), COIR_CANCELLED);
    CHECK_EQ(coir_park(COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(coir_park(COIR_TRY), COIR_CANCELLED);
    CHECK_EQ(coir_join((coir_fiber){0, 0, 0}, NULL, COIR_NEVER), -ESRCH);
    CHECK_EQ(coir_spawn(NULL, nothing, NULL, NULL), COIR_CANCELLED);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(coir_read(ends[0], &byte, 1, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    run_note("cleaned");
    return 0;
}

static int sleep_a_second(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_sleep(COIR_SEC(1)), COIR_CANCELLED);
    run_note("slept");
    return 0;
}

/* proves: E5, W4 */
TEST(test_regress_freeing_with_fibers_alive_lets_them_clean_up)
{
    coir_sched *sched;
    int ends[2], parked = 1, begun = 1;
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    run_spawn(wait_on_pipe, ends);
    run_spawn(sleep_a_second, NULL);
    run_spawn(park_for_ever, &parked);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    run_spawn(park_for_ever, &begun);
    coir_sched_free(sched);
    CHECK_STR(run_log, "slept cleaned");
    CHECK_EQ(parked, COIR_CANCELLED);
    CHECK_EQ(begun, COIR_CANCELLED);
}

static int yield_while_refused(void *arg)
{
    int *count = arg;
    while (*count < 10 && coir_sleep(1) == COIR_CANCELLED)
        ++*count;
    return 0;
}

/* proves: E5 */
TEST(test_a_refused_call_lets_others_run)
{
    coir_sched *sched;
    int counts[2] = {0, 0};
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    run_spawn(yield_while_refused, &counts[0]);
    run_spawn(yield_while_refused, &counts[1]);
    coir_sched_free(sched);
    CHECK_EQ(counts[0], 10);
    CHECK_EQ(counts[1], 10);
}

static coir_fiber bystander;

static int join_when_stopped(void *arg)
{
    CHECK_EQ(coir_park(COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(coir_join(bystander, NULL, COIR_NEVER), COIR_CANCELLED);
    return *(int *)arg;
}

static int outlive(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        coir_yield();
    return 0;
}

/* proves: E5, W4 */
TEST(test_a_refused_join_leaves_nothing_on_its_target)
{
    coir_sched *sched;
    int result = 0;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    run_spawn(join_when_stopped, &result);
    bystander = run_spawn(outlive, NULL);
    CHECK_EQ(coir_sched_step(sched, 2), COIR_STEP_READY);
    coir_sched_free(sched);
}

static int clean_up_slowly(void *arg)
{
    int *cleaned = arg;
    coir_park(COIR_NEVER);
    for (int i = 0; i < 5; i++)
        coir_sleep(1);
    ++*cleaned;
    return 0;
}

/* proves: E5, E6 */
TEST(test_regress_thousands_of_fibers_are_not_abandoned_while_they_clean_up)
{
    coir_sched *sched;
    struct coir_sched_opts opts = {.report = run_report_line};
    int cleaned = 0;
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    for (int i = 0; i < 3000; i++)
        run_spawn(clean_up_slowly, &cleaned);
    while (coir_sched_step(sched, 0) == COIR_STEP_READY)
        continue;
    coir_sched_free(sched);
    CHECK_EQ(cleaned, 3000);
    CHECK_STR(run_report, "");
}

static int ignore_the_stop(void *arg)
{
    uint64_t *count = arg;
    for (;;) {
        coir_park(COIR_NEVER);
        ++*count;
    }
    return 0;
}

/* proves: E6, F3 */
TEST(test_a_fiber_that_ignores_its_stop_is_reported_and_abandoned)
{
    coir_sched *sched;
    struct coir_sched_opts opts = {.report = run_report_line};
    uint64_t count = 0;
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    run_spawn_named(ignore_the_stop, &count, "deaf");
    CHECK_EQ(coir_sched_run(sched), -EDEADLK);
    run_report[0] = '\0';
    coir_sched_free(sched);
    CHECK(count >= 900 && count <= 1100);
    CHECK_STR(run_report, "coir: abandoned: these fibers were cancelled but did not end\n"
                          "  fiber 0 'deaf' is ready\n");
}

/* proves: E7 */
TEST(test_a_thread_has_one_scheduler_at_a_time)
{
    coir_sched *first, *second;
    CHECK_EQ(coir_sched_new(&first, NULL), 0);
    CHECK_EQ(coir_sched_new(&second, NULL), -EBUSY);
    CHECK_EQ(coir_run(nothing, NULL, NULL, NULL), -EBUSY);
    coir_sched_free(first);
    CHECK_EQ(coir_sched_new(&second, NULL), 0);
    coir_sched_free(second);
}

static int sleep_and_count(void *arg)
{
    int *count = arg;
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(coir_sleep(COIR_US(10)), 0);
        ++*count;
        coir_yield();
    }
    return 0;
}

static int spawn_counters(void *arg)
{
    int *counts = arg;
    for (int i = 0; i < 10; i++)
        run_spawn(sleep_and_count, &counts[i]);
    return 0;
}

static void *run_thread(void *arg)
{
    for (int i = 0; i < 5; i++)
        CHECK_EQ(coir_run(spawn_counters, arg, NULL, NULL), 0);
    return NULL;
}

/* proves: E7 */
TEST(test_schedulers_in_threads_do_not_know_of_each_other)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    static int counts[THREADS][10];
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, run_thread, counts[i]), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < 10; k++)
            CHECK_EQ(counts[i][k], 1000);
}

static int yield_thrice(void *arg)
{
    int *runs = arg;
    for (int i = 0; i < 3; i++) {
        ++*runs;
        coir_yield();
    }
    return 0;
}

/* proves: E8 */
TEST(test_a_step_runs_a_bounded_number_of_fibers)
{
    coir_sched *sched;
    int runs = 0;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_sched_step(sched, 5), COIR_STEP_DONE);
    for (int i = 0; i < 10; i++)
        run_spawn(yield_thrice, &runs);
    for (int i = 1; i <= 6; i++) {
        CHECK_EQ(coir_sched_step(sched, 5), COIR_STEP_READY);
        CHECK_EQ(runs, 5 * i);
        CHECK_EQ(coir_sched_deadline(sched).ns, COIR_TRY.ns);
    }
    while (coir_sched_step(sched, 5) == COIR_STEP_READY)
        continue;
    CHECK_EQ(runs, 30);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_DONE);
    coir_sched_free(sched);
}

static int sleep_hours(void *arg)
{
    return coir_sleep(*(int64_t *)arg);
}

/* proves: E8 */
TEST(test_a_step_never_waits_and_tells_the_next_deadline)
{
    coir_sched *sched;
    int64_t hour = COIR_SEC(3600);
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    run_spawn(sleep_hours, &hour);
    coir_time before = coir_after(hour);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    coir_time deadline = coir_sched_deadline(sched);
    CHECK(deadline.ns >= before.ns && coir_left(deadline) <= hour);
    coir_sched_free(sched);
}

/* proves: E8, T1 */
TEST(test_steps_move_a_virtual_clock_from_deadline_to_deadline)
{
    coir_sched *sched;
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    int64_t lengths[] = {COIR_SEC(5), COIR_SEC(3600)};
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    run_spawn(sleep_hours, &lengths[0]);
    run_spawn(sleep_hours, &lengths[1]);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_READY);
    CHECK_EQ(coir_sched_deadline(sched).ns, COIR_TRY.ns);
    CHECK_EQ(now_ns(), 0);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_READY);
    CHECK_EQ(now_ns(), lengths[0]);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_DONE);
    CHECK_EQ(now_ns(), lengths[1]);
    CHECK_EQ(coir_sched_deadline(sched).ns, COIR_NEVER.ns);
    coir_sched_free(sched);
}

static int return_its_argument(void *arg)
{
    return *(int *)arg;
}

static coir_fiber first;

static int take_the_result(void *arg)
{
    return coir_join(first, arg, COIR_NEVER);
}

static int be_joined(void *arg)
{
    struct coir_spawn_opts detached = {.detached = true};
    first = coir_self();
    CHECK_EQ(coir_spawn(NULL, take_the_result, arg, &detached), 0);
    return 42;
}

TEST(test_regress_run_hands_over_a_result_that_a_fiber_has_taken)
{
    int result = 0, taken = 0;
    CHECK_EQ(coir_run(be_joined, &taken, NULL, &result), 0);
    CHECK_EQ(result, 42);
}

TEST(test_run_hands_over_the_result_of_the_first_fiber)
{
    int value = -12345, result = 0;
    CHECK_EQ(coir_run(return_its_argument, &value, NULL, &result), 0);
    CHECK_EQ(result, value);
    CHECK_EQ(coir_run(return_its_argument, &value, NULL, NULL), value);
    value = 7;
    CHECK_EQ(coir_run(return_its_argument, &value, NULL, NULL), 0);
}

TEST(test_an_unknown_world_is_refused)
{
    coir_sched *sched;
    struct coir_sched_opts opts = {.world = (enum coir_world)99};
    CHECK_EQ(coir_sched_new(&sched, &opts), -ENOSYS);
    setenv("COIR_WORLD", "flatland", 1);
    CHECK_EQ(coir_sched_new(&sched, NULL), -ENOSYS);
    opts.world = COIR_WORLD_POLL;
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    CHECK_STR(inside_world()->name, "poll");
    coir_sched_free(sched);
}
