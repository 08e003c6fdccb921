/* Cancelling one fiber: at every stage of its life, and what it finds. */
#include "scopes.h"

static int sleep_and_see(void *arg)
{
    int *outcome = arg;
    *outcome = coir_sleep(COIR_MS(10));
    return *outcome;
}

static int stages(void *arg)
{
    (void)arg;
    int outcome = 1;
    coir_fiber before = run_spawn(sleep_and_see, &outcome);
    CHECK_EQ(coir_cancel(before, COIR_CANCELLED), 0); /* before it began */
    CHECK_EQ(coir_cancel(before, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(before), COIR_CANCELLED);
    CHECK_EQ(outcome, COIR_CANCELLED);
    CHECK_EQ(coir_cancel(before, COIR_CANCELLED), -ESRCH);
    CHECK_EQ(now_ms(), 0);

    coir_fiber parked = run_spawn(sleep_and_see, &outcome);
    CHECK_EQ(coir_sleep(COIR_MS(3)), 0);
    CHECK_EQ(coir_cancel(parked, COIR_CANCELLED), 0);
    CHECK_EQ(coir_wake(parked), 0); /* it is ready already */
    CHECK_EQ(run_join(parked), COIR_CANCELLED);
    CHECK_EQ(now_ms(), 3);

    coir_fiber ended = run_spawn(number, &ms[MS_3]);
    coir_yield();
    CHECK_EQ(coir_cancel(ended, COIR_CANCELLED), -ESRCH);
    CHECK_EQ(run_join(ended), 3);
    CHECK_EQ(coir_cancel((coir_fiber){0, 0, 0}, COIR_CANCELLED), -ESRCH);
    return 0;
}

/* proves: C1, C2 */
TEST(test_a_fiber_is_cancelled_before_it_begins_while_parked_and_after_its_end)
{
    run_virtual(stages, NULL);
}

/* Woken first, by its deadline at the same instant or by a wake: that stands, and the next call is
 * refused. */
static int finish_then_stop(void *arg)
{
    int *outcome = arg;
    *outcome = coir_sleep(COIR_MS(10));
    CHECK_EQ(coir_sleep(COIR_MS(10)), COIR_CANCELLED);
    CHECK_EQ(coir_park(COIR_NEVER), COIR_CANCELLED);
    return 0;
}

static int park_then_stop(void *arg)
{
    int *outcome = arg;
    *outcome = coir_park(COIR_NEVER);
    CHECK_EQ(coir_park(COIR_TRY), COIR_CANCELLED);
    return 0;
}

static int completions(void *arg)
{
    (void)arg;
    int slept = 1, parked = 1;
    coir_fiber waiter = run_spawn(park_then_stop, &parked);
    CHECK_EQ(coir_yield(), 0);
    CHECK_EQ(coir_wake(waiter), 1);
    CHECK_EQ(coir_cancel(waiter, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(waiter), 0);
    CHECK_EQ(parked, 0);

    coir_fiber sleeper = run_spawn(finish_then_stop, &slept);
    CHECK_EQ(coir_yield(), 0);
    CHECK_EQ(coir_sleep(COIR_MS(10)), 0); /* both are ready now, the sleeper first or after */
    CHECK_EQ(coir_cancel(sleeper, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(sleeper), 0);
    CHECK_EQ(slept, 0);
    return 0;
}

/* proves: C3 */
TEST(test_a_wait_that_was_over_before_the_stop_reports_what_it_did)
{
    run_virtual(completions, NULL);
}

static int cancel_oneself(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_cancel(coir_self(), COIR_CANCELLED), 0);
    CHECK_EQ(coir_spawn(NULL, sleep_ms, &ms[MS_1], NULL), COIR_CANCELLED);
    struct coir_spawn_opts detached = {.detached = true};
    CHECK_EQ(coir_spawn(NULL, sleep_ms, &ms[MS_1], &detached), 0);
    CHECK_EQ(coir_sleep(1), COIR_CANCELLED);
    CHECK_EQ(coir_join_any(&(coir_fiber){0, 0, 0}, 1, NULL, COIR_NEVER), -ESRCH);
    return 5;
}

static int own_stop(void *arg)
{
    coir_scope scope;
    CHECK_EQ(run_join(run_spawn(cancel_oneself, arg)), 5);
    coir_scope_open(&scope, COIR_NEVER, 0);
    CHECK_EQ(coir_scope_cancel(&scope, COIR_CANCELLED), 0);
    CHECK_EQ(coir_scope_cancel(&scope, COIR_CANCELLED), 0);
    CHECK_EQ(coir_spawn(NULL, number, &ms[MS_1], NULL), COIR_CANCELLED);
    struct coir_spawn_opts opts = {.scope = &scope};
    CHECK_EQ(coir_spawn(NULL, number, &ms[MS_1], &opts), COIR_CANCELLED);
    CHECK_EQ(coir_scope_end(&scope, 0), 0); /* it has cut nothing short */
    return coir_sleep(COIR_MS(5));
}

/* proves: C1, C9 */
TEST(test_a_fiber_may_cancel_itself_and_spawns_nothing_then)
{
    run_virtual(own_stop, NULL);
    CHECK_STR(run_log, "slept");
}

static int spawn_elsewhere(void *arg)
{
    struct coir_spawn_opts opts = {.scope = arg};
    coir_scope shield;
    CHECK_EQ(coir_cancel(coir_self(), COIR_CANCELLED), 0);
    CHECK_EQ(coir_spawn(NULL, sleep_ms, &ms[MS_1], &opts), COIR_CANCELLED);
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    CHECK_EQ(coir_spawn(NULL, sleep_ms, &ms[MS_1], &opts), 0);
    return coir_scope_end(&shield, 0);
}

static int lend_a_scope(void *arg)
{
    (void)arg;
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_alone(spawn_elsewhere, &scope);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    return 0;
}

/* proves: C9 */
TEST(test_regress_a_stopped_fiber_spawns_nothing_into_the_scope_of_another)
{
    run_virtual(lend_a_scope, NULL);
    CHECK_STR(run_log, "slept");
}

static coir_fiber canceller, cancelled;

static int cancel_the_other(void *arg)
{
    bool first = arg;
    CHECK_EQ(coir_cancel(first ? cancelled : canceller, COIR_CANCELLED), 0);
    int result = coir_sleep(COIR_MS(1));
    run_note(coir_error_name(result));
    return 0;
}

static int each_other(void *arg)
{
    canceller = run_spawn(cancel_the_other, arg);
    cancelled = run_spawn(cancel_the_other, NULL);
    run_join(canceller);
    run_join(cancelled);
    return 0;
}

/* proves: C1 */
TEST(test_fibers_may_cancel_each_other)
{
    char first;
    run_virtual(each_other, &first);
    CHECK_STR(run_log, "COIR_CANCELLED COIR_CANCELLED");
}

static int retry(void *arg)
{
    (void)arg;
    int tries = 0;
    while (tries < 1000 && coir_sleep(1) == COIR_CANCELLED)
        tries++;
    return tries;
}

static int let_others_run(void *arg)
{
    (void)arg;
    coir_fiber fiber = run_spawn(retry, NULL);
    CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(coir_yield(), 0);
    run_note("others ran");
    int tries = run_join(fiber);
    CHECK(tries == 1000);
    return 0;
}

/* proves: C1 */
TEST(test_a_retry_loop_under_a_stop_lets_others_run)
{
    run_virtual(let_others_run, NULL);
    CHECK_STR(run_log, "others ran");
}

static int never_reached(void *arg)
{
    int result = coir_sleep(COIR_MS(30));
    if (result < 0)
        return result;
    run_note(arg);
    return 0;
}

static int tell_turns(void *arg)
{
    for (int i = 0; i < 3; i++) {
        run_note(arg);
        if (coir_yield() < 0)
            return COIR_CANCELLED;
    }
    return 0;
}

static int originals(void *arg)
{
    (void)arg;
    coir_fiber a = run_spawn(tell_turns, "a"), b = run_spawn(tell_turns, "b");
    coir_fiber c = run_spawn(tell_turns, "c"), d = run_spawn(never_reached, "reached");
    /* Before it runs: it begins, and ends at its first call. */
    CHECK_EQ(coir_cancel(c, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(a), 0);
    CHECK_EQ(run_join(b), 0);
    CHECK_EQ(run_join(c), COIR_CANCELLED);
    CHECK_EQ(coir_cancel(d, COIR_CANCELLED), 0); /* in its sleep */
    CHECK_EQ(run_join(d), COIR_CANCELLED);
    CHECK_EQ(now_ms(), 0);
    return 0;
}

/* The original's: two interleave, one is cancelled before it runs, one in its sleep. proves: C1 */
TEST(test_regress_a_worker_cancelled_in_its_sleep_never_reaches_the_next_line)
{
    run_virtual(originals, NULL);
    CHECK_STR(run_log, "a b c a b a b");
}
