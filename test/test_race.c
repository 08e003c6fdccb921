/* Several at once: races, waiting for one and for all. */
#include "scopes.h"

struct job {
    int length_ms, result;
};

/* Sleeps, then returns its result; notes how its sleep ended. */
static int work(void *arg)
{
    const struct job *job = arg;
    int slept = coir_sleep(COIR_MS(job->length_ms));
    run_note(slept == 0 ? coir_name() : coir_error_name(slept));
    return slept == 0 ? job->result : slept;
}

static void spawn_jobs(coir_fiber *handles, struct job *jobs, int count)
{
    static const char *const NAMES[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < count; i++)
        handles[i] = run_spawn_named(work, &jobs[i], NAMES[i % 5]);
}

static bool all_gone(const coir_fiber *handles, int count)
{
    bool gone = true;
    for (int i = 0; i < count; i++)
        gone &= coir_join(handles[i], NULL, COIR_TRY) == -ESRCH &&
                coir_cancel(handles[i], COIR_CANCELLED) == -ESRCH;
    return gone;
}

static int three_sleepers(void *arg)
{
    (void)arg;
    struct job jobs[] = {{30, 3}, {10, 1}, {20, 2}};
    coir_fiber handles[3];
    int results[3];
    spawn_jobs(handles, jobs, 3);
    CHECK_EQ(coir_race(handles, 3, results, COIR_NEVER), 1);
    CHECK_EQ(results[1], 1);
    CHECK(results[0] == COIR_CANCELLED && results[2] == COIR_CANCELLED);
    CHECK_EQ(now_ms(), 10);
    CHECK(all_gone(handles, 3));
    return 0;
}

/* The original's race: the losers run no further. proves: R1 */
TEST(test_a_race_ends_with_its_first_success_and_the_losers_with_it)
{
    run_virtual(three_sleepers, NULL);
    CHECK_STR(run_log, "b COIR_CANCELLED COIR_CANCELLED");
}

static int ties_and_failures(void *arg)
{
    (void)arg;
    coir_fiber handles[3];
    int results[3];
    struct job ties[] = {{5, -EIO}, {10, 7}, {10, 8}};
    spawn_jobs(handles, ties, 3);
    CHECK_EQ(coir_race(handles, 3, results, COIR_NEVER), 1);
    CHECK(results[0] == -EIO && results[1] == 7 && results[2] == 8);
    CHECK(all_gone(handles, 3));

    struct job failures[] = {{3, -EIO}, {1, -EPERM}, {2, -ENOENT}};
    spawn_jobs(handles, failures, 3);
    CHECK_EQ(coir_race(handles, 3, results, COIR_NEVER), -EPERM);
    CHECK(results[0] == -EIO && results[1] == -EPERM && results[2] == -ENOENT);
    CHECK(all_gone(handles, 3));
    CHECK_EQ(coir_race(handles, 3, results, COIR_NEVER), -ESRCH);
    CHECK_EQ(results[2], -ESRCH);

    struct job ended[] = {{0, -EIO}, {0, 4}, {0, 5}};
    spawn_jobs(handles, ended, 3);
    CHECK_EQ(coir_sleep(1), 0);
    CHECK_EQ(coir_race(handles, 3, results, COIR_TRY), 1);
    CHECK(results[0] == -EIO && results[1] == 4 && results[2] == 5);
    CHECK(all_gone(handles, 3));
    return 0;
}

/* proves: R1 */
TEST(test_of_several_winners_the_lowest_counts_and_of_losers_the_first)
{
    run_virtual(ties_and_failures, NULL);
}

static int out_of_time(void *arg)
{
    (void)arg;
    struct job jobs[] = {{30, 1}, {40, 2}};
    coir_fiber handles[2];
    int result = 77, results[2];
    spawn_jobs(handles, jobs, 2);
    CHECK_EQ(coir_race(handles, 2, results, coir_after(COIR_MS(10))), COIR_TIMED_OUT);
    CHECK_EQ(now_ms(), 10);
    CHECK(results[0] == COIR_CANCELLED && results[1] == COIR_CANCELLED);
    CHECK(all_gone(handles, 2));
    spawn_jobs(handles, jobs, 2);
    CHECK_EQ(coir_race(handles, 2, NULL, COIR_TRY), COIR_TIMED_OUT);
    CHECK(all_gone(handles, 2));
    CHECK_EQ(coir_race(handles, 0, &result, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_join_any(handles, 0, &result, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_join_all(handles, 0, &result, COIR_NEVER), 0);
    coir_fiber self = coir_self();
    CHECK_EQ(coir_race(&self, 1, NULL, COIR_NEVER), -EDEADLK);
    CHECK_EQ(coir_join_any(&self, 1, NULL, COIR_NEVER), -EDEADLK);
    CHECK_EQ(coir_join_all(&self, 1, NULL, COIR_NEVER), -EDEADLK);
    return 0;
}

/* proves: R1 */
TEST(test_a_race_out_of_time_cancels_and_joins_all)
{
    run_virtual(out_of_time, NULL);
    CHECK_STR(run_log, "COIR_CANCELLED COIR_CANCELLED COIR_CANCELLED COIR_CANCELLED");
}

/* Clean-up of a loser takes as long as it takes. */
static int slow_loser(void *arg)
{
    coir_scope shield;
    CHECK_EQ(coir_sleep(COIR_MS(50)), COIR_CANCELLED);
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    CHECK_EQ(coir_scope_end(&shield, 0), 0);
    *(int *)arg = 1;
    return 9;
}

static int racer(void *arg)
{
    struct job jobs[] = {{30, 1}, {40, 2}};
    coir_fiber handles[3];
    int results[3];
    spawn_jobs(handles, jobs, 2);
    handles[2] = run_spawn(slow_loser, arg);
    CHECK_EQ(coir_race(handles, 3, results, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(*(int *)arg, 1);
    CHECK(all_gone(handles, 3));
    CHECK(results[0] == COIR_CANCELLED && results[2] == 9);
    CHECK_EQ(coir_race(handles, 3, results, COIR_NEVER), -ESRCH);
    return COIR_CANCELLED;
}

static int cancel_racer(void *arg)
{
    coir_fiber fiber = run_spawn(racer, arg);
    CHECK_EQ(coir_sleep(COIR_MS(10)), 0);
    CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(fiber), COIR_CANCELLED);
    CHECK_EQ(now_ms(), 15);
    return 0;
}

/* proves: R1 */
TEST(test_regress_a_race_in_a_cancelled_fiber_ends)
{
    int cleaned = 0;
    run_virtual(cancel_racer, &cleaned);
    CHECK_STR(run_log, "COIR_CANCELLED COIR_CANCELLED");
}

static int race_in_scope(void *arg)
{
    struct job jobs[] = {{1, -EIO}, {10, 2}};
    coir_fiber handles[2];
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_jobs(handles, jobs, 2);
    CHECK_EQ(coir_race(handles, 2, NULL, COIR_NEVER), 1);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK_EQ(now_ms(), 10);

    /* What nobody takes is the scope's, and gone with it. */
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_jobs(handles, jobs, 1);
    CHECK_EQ(coir_scope_end(&scope, 0), -EIO);
    CHECK_EQ(coir_join(handles[0], NULL, COIR_NEVER), -ESRCH);
    return 0;
}

/* proves: C5 */
TEST(test_a_racer_that_fails_does_not_stop_the_scope_of_the_race)
{
    run_virtual(race_in_scope, NULL);
    CHECK_STR(run_log, "a b a");
}

static coir_fiber shared[2];

static int join_too(void *arg)
{
    int result = 0;
    CHECK_EQ(coir_join(shared[0], &result, COIR_NEVER), 0);
    return result + *(int *)arg;
}

static int race_too(void *arg)
{
    int results[2];
    CHECK_EQ(coir_race(shared, 2, results, COIR_NEVER), 0);
    return results[0] + *(int *)arg;
}

static int share(void *arg)
{
    struct job jobs[] = {{10, 1}, {20, 2}};
    int add[] = {10, 100};
    (void)arg;
    spawn_jobs(shared, jobs, 2);
    coir_fiber joiner = run_spawn(join_too, &add[0]), other = run_spawn(race_too, &add[1]);
    int results[2];
    CHECK_EQ(coir_race(shared, 2, results, COIR_NEVER), 0);
    CHECK_EQ(results[0], 1);
    CHECK_EQ(run_join(joiner), 11);
    CHECK_EQ(run_join(other), 101);
    CHECK(all_gone(shared, 2));
    return 0;
}

/* proves: R3 */
TEST(test_others_may_join_and_race_the_same_fibers)
{
    run_virtual(share, NULL);
    CHECK_STR(run_log, "a COIR_CANCELLED");
}

static int one_and_all(void *arg)
{
    (void)arg;
    struct job jobs[] = {{30, 3}, {10, -EIO}, {20, 2}};
    coir_fiber handles[3];
    int result = 0, results[3] = {77, 77, 77};
    spawn_jobs(handles, jobs, 3);
    CHECK_EQ(coir_join_any(handles, 3, &result, coir_after(COIR_MS(5))), COIR_TIMED_OUT);
    CHECK_EQ(coir_join_all(handles, 3, results, coir_after(COIR_MS(10))), COIR_TIMED_OUT);
    CHECK_EQ(now_ms(), 15);
    CHECK_EQ(results[1], 77);
    CHECK_EQ(coir_join_all(handles, 3, results, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_join_any(handles, 3, &result, COIR_TRY), 1);
    CHECK_EQ(result, -EIO);
    CHECK_EQ(coir_join_any(handles, 3, &result, COIR_NEVER), -ESRCH);
    CHECK_EQ(coir_join_all(handles, 3, results, COIR_NEVER), -ESRCH);
    handles[1] = handles[2];
    CHECK_EQ(coir_join_all(handles, 3, results, COIR_NEVER), 0);
    CHECK(results[0] == 3 && results[1] == 2 && results[2] == 2);
    CHECK_EQ(now_ms(), 30);
    CHECK(all_gone(handles, 3));
    return 0;
}

/* proves: R4 */
TEST(test_join_any_and_join_all_take_what_they_return)
{
    run_virtual(one_and_all, NULL);
    CHECK_STR(run_log, "b c a");
}

/* So many that their watches do not lie on the stack. */
static int many(void *arg)
{
    enum { COUNT = 1000 };
    static coir_fiber handles[COUNT];
    static struct job jobs[COUNT];
    static int results[COUNT];
    (void)arg;
    for (int i = 0; i < COUNT; i++)
        jobs[i] = (struct job){COUNT - i, i};
    spawn_jobs(handles, jobs, COUNT);
    int result = 0;
    CHECK_EQ(coir_join_any(handles, COUNT, &result, COIR_NEVER), COUNT - 1);
    CHECK_EQ(result, COUNT - 1);
    CHECK_EQ(coir_join_all(handles, COUNT - 2, results, COIR_NEVER), 0);
    CHECK_EQ(results[COUNT - 3], COUNT - 3);
    spawn_jobs(handles, jobs, COUNT);
    CHECK_EQ(coir_race(handles, COUNT, results, COIR_NEVER), COUNT - 1);
    CHECK(all_gone(handles, COUNT));
    return 0;
}

/* proves: R1, R4 */
TEST(test_a_thousand_race)
{
    run_virtual(many, NULL);
}

static int wait_for_both(void *arg)
{
    coir_join_any(arg, 2, NULL, COIR_NEVER);
    return 0;
}

static int park(void *arg)
{
    (void)arg;
    return coir_park(COIR_NEVER);
}

static int hang(void *arg)
{
    coir_scope scope;
    static coir_fiber handles[2];
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    for (int i = 0; i < 2; i++)
        handles[i] = run_spawn(park, NULL);
    run_spawn(wait_for_both, handles);
    return coir_scope_end(&scope, 0);
}

/* proves: E2 */
TEST(test_a_deadlock_names_scopes_and_watches)
{
    CHECK_EQ(run_as(hang, NULL, COIR_CLOCK_VIRTUAL, NULL), -EDEADLK);
    CHECK_STR(run_report, "coir: deadlock: 4 fibers are parked and nothing can wake them\n"
                          "  fiber 0 waits for 3 fibers in its scope to end\n"
                          "  fiber 1 waits for a wake\n"
                          "  fiber 2 waits for a wake\n"
                          "  fiber 3 waits for the first end of 2 fibers\n");
}
