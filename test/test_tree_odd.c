/* Trees in odd situations: what comes between a wake and a run, into an end, or out of a callback;
 * each was found by somebody who tried to break the contract. */
#include "scopes.h"

#include <coir_local.h>
#include <coir_post.h>
#include <coir_test.h>

/* ---- a daemon that comes when daemons are ending */

static coir_scope draining;

static int forever(void *arg)
{
    (void)arg;
    return coir_park(COIR_NEVER);
}

static int calls_another(void *arg)
{
    coir_scope shield;
    struct coir_spawn_opts opts = {.scope = &draining, .daemon = true};
    coir_park(COIR_NEVER);
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    CHECK_EQ(coir_spawn(NULL, forever, arg, &opts), 0);
    return coir_scope_end(&shield, 0);
}

static int drain(void *arg)
{
    (void)arg;
    coir_scope_open(&draining, COIR_NEVER, 0);
    CHECK_EQ(coir_spawn(NULL, calls_another, NULL, &(struct coir_spawn_opts){.daemon = true}), 0);
    return coir_scope_end(&draining, 9) == 9 ? 0 : 1;
}

/* proves: C12 */
TEST(test_regress_daemon_that_is_spawned_while_daemons_end_lives_on)
{
    run_virtual(drain, NULL);
}

static int sleeps_long(void *arg)
{
    int *outcome = arg;
    *outcome = coir_sleep(COIR_SEC(1));
    return 0;
}

static int parks_long(void *arg)
{
    int *outcome = arg;
    *outcome = coir_park(COIR_NEVER);
    return 0;
}

/* A daemon of the scheduler lives while a letter may come, in steps that find nothing to do or a
 * deadline to jump to, and is cancelled then. */
static void daemon_by_steps(int (*fn)(void *arg), int steps, int step)
{
    coir_sched *sched;
    coir_mailbox box;
    int outcome = 1;
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    struct coir_spawn_opts both = {.daemon = true, .detached = true};
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(coir_spawn(NULL, fn, &outcome, &both), 0);
    for (int i = 0; i < steps; i++)
        CHECK_EQ(coir_sched_step(sched, 0), step);
    CHECK_EQ(outcome, 1);
    CHECK_EQ(coir_mailbox_close(box), 0);
    CHECK_EQ(coir_sched_deadline(sched).ns, COIR_TRY.ns);
    while (coir_sched_step(sched, 0) == COIR_STEP_READY)
        continue;
    CHECK_EQ(outcome, COIR_CANCELLED);
    CHECK_EQ(now_ms(), 0);
    coir_sched_free(sched);
}

/* proves: C12, E9 */
TEST(test_regress_daemons_of_the_scheduler_end_otherwise_by_steps)
{
    daemon_by_steps(sleeps_long, 1, COIR_STEP_READY);
}

/* proves: C12, E9 */
TEST(test_daemons_of_the_scheduler_live_while_a_letter_may_come)
{
    daemon_by_steps(parks_long, 5, COIR_STEP_WAITING);
}

/* ---- a cancel between a wake and the run */

static coir_fiber caller;

static int wins(void *arg)
{
    (void)arg;
    return coir_sleep(COIR_MS(1)) < 0 ? -1 : 5;
}

static int cancels_the_caller(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    coir_yield();
    return coir_cancel(caller, -3);
}

static int race_and_be_cancelled(void *arg)
{
    struct coir_racer racers[] = {{wins, NULL, 0}, {forever, NULL, 0}};
    int results[2];
    (void)arg;
    caller = coir_self();
    CHECK_EQ(coir_spawn(NULL, cancels_the_caller, NULL,
                        &(struct coir_spawn_opts){.detached = true}), 0);
    CHECK_EQ(coir_race_run(racers, 2, results, COIR_NEVER), 0);
    CHECK(results[0] == 5 && results[1] == COIR_CANCELLED);
    CHECK_EQ(coir_sleep(1), COIR_CANCELLED);

    results[0] = results[1] = 77;
    CHECK_EQ(coir_race_run(racers, 2, results, COIR_NEVER), COIR_CANCELLED);
    CHECK(results[0] == COIR_CANCELLED && results[1] == COIR_CANCELLED);
    return 0;
}

/* proves: C3, R1, R2 */
TEST(test_regress_race_of_functions_loses_a_win_to_a_later_cancel)
{
    run_virtual(race_and_be_cancelled, NULL);
}

/* ---- a callback that cancels */

static void *inherit_and_cancel(void *value)
{
    CHECK_EQ(coir_scope_cancel(value, -3), 0);
    return value;
}

static int cancelled_by_inherit(void *arg)
{
    static const coir_local KEY = {.inherit = inherit_and_cancel};
    struct coir_spawn_opts opts = {.inherit = true};
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    CHECK_EQ(coir_local_set(&KEY, &scope), 0);
    CHECK_EQ(coir_spawn(NULL, forever, NULL, &opts), COIR_CANCELLED);
    CHECK_EQ(coir_local_set(&KEY, NULL), 0);
    return coir_scope_end(&scope, 0);
}

/* proves: C9 */
TEST(test_regress_child_is_spawned_into_a_scope_that_its_inherit_has_cancelled)
{
    run_virtual(cancelled_by_inherit, NULL);
}

/* ---- freeing beside a fiber that never waits */

static int hogs(void *arg)
{
    for (;;)
        if (arg)
            coir_sleep(1);
        else
            coir_yield();
    return 0;
}

static int waits_in_a_shield(void *arg)
{
    coir_scope shield;
    (void)arg;
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    return coir_scope_end(&shield, coir_park(COIR_NEVER));
}

/* proves: E5, E6 */
TEST(test_regress_freeing_hangs_with_a_fiber_in_a_shield_beside_one_that_never_waits)
{
    for (int sleeps = 0; sleeps < 2; sleeps++) {
        coir_sched *sched;
        struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL, .report = run_report_line};
        CHECK_EQ(coir_sched_new(&sched, &opts), 0);
        run_spawn(hogs, sleeps ? &sleeps : NULL);
        run_spawn(waits_in_a_shield, NULL);
        CHECK(coir_sched_step(sched, 0) >= 0);
        coir_sched_free(sched);
        CHECK(strstr(run_report, "coir: abandoned: "));
        run_report[0] = '\0';
    }
}

/* ---- what coir_check_cancels did not see */

#ifdef __GLIBC__
enum { IS_GLIBC = true };
#else
enum { IS_GLIBC = false };
#endif

static void *volatile kept;

static int keeps_a_block(void *arg)
{
    void *block = malloc(200);
    int slept = coir_sleep(COIR_MS(1));
    if (slept < 0)
        kept = block;
    else
        free(block);
    return arg ? 0 : slept;
}

/* proves: K1 */
TEST(test_regress_leak_of_blocks_that_the_c_library_had_cached_is_not_seen)
{
    void *blocks[7];
    int points = 0;
    struct coir_sched_opts opts = {.report = run_report_line};
    if (!IS_GLIBC || CR_SAN_ADDRESS)
        SKIP("this C library does not tell how much memory is in use");
    test_skip_under_valgrind();
    for (int i = 0; i < 7; i++)
        blocks[i] = malloc(200);
    for (int i = 0; i < 7; i++)
        free(blocks[i]);
    int dirty = coir_check_cancels(keeps_a_block, NULL, &opts, &points);
    CHECK(points > 0 && dirty == points);
}

static int instants(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_since(coir_after(COIR_SEC(1))), -COIR_SEC(1));
    CHECK_EQ(coir_since(COIR_TIME_NS(UINT64_MAX)), -INT64_MAX);
    CHECK_EQ(coir_since(COIR_NEVER), -INT64_MAX);
    CHECK_EQ(coir_left(COIR_TIME_NS(UINT64_MAX)), INT64_MAX);
    CHECK_EQ(coir_left(COIR_TRY), 0);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK(coir_since(COIR_TRY) > 0);
    return 0;
}

/* proves: T5 */
TEST(test_regress_since_an_instant_that_never_comes_is_positive)
{
    run_virtual(instants, NULL);
}

/* ---- a second cancel, and one that comes when nothing is left to cut short */

static int cancelled_twice(void *arg)
{
    coir_scope outer, inner;
    int reason = 0;
    (void)arg;
    coir_scope_open(&outer, COIR_NEVER, 0);
    coir_scope_open(&inner, COIR_NEVER, 0);
    CHECK_EQ(coir_scope_cancel(&inner, -EIO), 0);
    CHECK_EQ(coir_scope_cancel(&outer, -EPERM), 0);
    CHECK(coir_cancelled(&reason));
    CHECK_EQ(reason, -EIO);
    CHECK_EQ(coir_scope_end(&inner, COIR_CANCELLED), -EIO);
    CHECK(coir_cancelled(&reason));
    CHECK_EQ(reason, -EPERM);
    CHECK_EQ(coir_scope_end(&outer, 0), 0);
    return 0;
}

/* proves: C2, C6 */
TEST(test_a_scope_keeps_its_reason_when_the_one_around_it_is_cancelled)
{
    run_virtual(cancelled_twice, NULL);
}

static int cancelled_too_late(void *arg)
{
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    coir_fiber child = run_spawn(forever, NULL);
    CHECK_EQ(coir_cancel(child, COIR_CANCELLED), 0);
    CHECK_EQ(coir_sleep(1), 0);
    CHECK_EQ(coir_scope_cancel(&scope, -EIO), 0);
    CHECK_EQ(coir_scope_end(&scope, 5), 5); /* it has cut nothing short */
    return 0;
}

/* proves: C6 */
TEST(test_a_cancel_of_a_child_alone_is_not_one_of_its_scope)
{
    run_virtual(cancelled_too_late, NULL);
}

/* ---- where a child goes */

static int spawns_into_a_limit(void *arg)
{
    struct coir_spawn_opts opts = {.scope = arg};
    CHECK_EQ(coir_spawn(NULL, forever, NULL, &opts), COIR_CANCELLED);
    return 0;
}

static int cancelled_limit(void *arg)
{
    coir_scope around, limit, shield;
    (void)arg;
    coir_scope_open(&around, COIR_NEVER, 0);
    coir_scope_open(&limit, COIR_NEVER, COIR_LIMIT);
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    coir_fiber other = run_spawn(spawns_into_a_limit, &limit);
    CHECK_EQ(coir_scope_cancel(&limit, -EIO), 0);
    CHECK_EQ(run_join(other), 0);
    CHECK_EQ(coir_scope_end(&shield, 0), 0);
    CHECK_EQ(coir_scope_end(&limit, 0), 0);
    return coir_scope_end(&around, 0);
}

/* proves: C9, C13 */
TEST(test_a_cancelled_limit_takes_no_child_for_the_scope_around_it)
{
    run_virtual(cancelled_limit, NULL);
}

static int outcome_of_the_daemon;

static int spawns_a_daemon(void *arg)
{
    struct coir_spawn_opts opts = {.scope = arg, .daemon = true};
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_spawn(NULL, sleeps_long, &outcome_of_the_daemon, &opts), 0);
    return coir_sleep(COIR_MS(1001));
}

static int daemon_beside_a_child(void *arg)
{
    coir_scope scope;
    (void)arg;
    outcome_of_the_daemon = 1;
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_alone(spawns_a_daemon, &scope);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK_EQ(outcome_of_the_daemon, 0);
    return 0;
}

/* proves: C12 */
TEST(test_a_daemon_lives_while_a_child_of_an_ending_scope_does)
{
    run_virtual(daemon_beside_a_child, NULL);
}

/* ---- a race whose first function fails before the next waits for its start */

static int fails_at_once(void *arg)
{
    (void)arg;
    return -EIO;
}

static int says_when(void *arg)
{
    (void)arg;
    return (int)now_ms();
}

static int next_at_once(void *arg)
{
    struct coir_racer racers[] = {{fails_at_once, NULL, 0}, {says_when, NULL, COIR_MS(100)}};
    int results[2];
    (void)arg;
    CHECK_EQ(coir_race_run(racers, 2, results, COIR_NEVER), 1);
    CHECK(results[0] == -EIO && results[1] == 0);
    return 0;
}

/* proves: R2 */
TEST(test_a_race_starts_the_next_function_when_the_first_fails_at_once)
{
    run_virtual(next_at_once, NULL);
}

static int fails_late(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    return -EIO;
}

static int has_a_child_that_fails_late(void *arg)
{
    return coir_spawn(NULL, fails_late, arg, NULL);
}

static int next_after_a_child(void *arg)
{
    struct coir_racer racers[] = {
        {has_a_child_that_fails_late, NULL, 0}, {says_when, NULL, COIR_MS(100)}};
    int results[2];
    (void)arg;
    CHECK_EQ(coir_race_run(racers, 2, results, COIR_NEVER), 1);
    CHECK(results[0] == -EIO && results[1] == 5);
    return 0;
}

/* proves: R2 */
TEST(test_regress_next_of_a_race_waits_though_the_first_failed_by_its_child)
{
    run_virtual(next_after_a_child, NULL);
}

static int waits_in_vain(void *arg)
{
    struct coir_racer racers[] = {{parks_long, arg, 0}, {says_when, NULL, INT64_MAX}};
    return coir_race_run(racers, 2, NULL, COIR_NEVER);
}

/* proves: E2, R2, T5 */
TEST(test_regress_racer_that_never_starts_by_itself_starts_in_292_years)
{
    int outcome = 1, result = 1;
    CHECK_EQ(run_as(waits_in_vain, &outcome, COIR_CLOCK_VIRTUAL, &result), -EDEADLK);
    CHECK(strstr(run_report, "waits for its start in a race"));
}
