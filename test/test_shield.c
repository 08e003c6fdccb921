/* Shields: what they keep away, for how long, and how they end. */
#include "scopes.h"

static int flush(void *arg)
{
    coir_scope shield;
    CHECK_EQ(coir_sleep(COIR_MS(100)), COIR_CANCELLED);
    coir_scope_open(&shield, coir_after(COIR_MS(30)), COIR_SHIELD);
    coir_fiber helper = run_spawn(own_scope, &ms[MS_10]);
    CHECK_EQ(run_join(helper), 0);
    CHECK_EQ(now_ms(), 15);
    int result = coir_sleep(COIR_MS(*(int *)arg));
    CHECK_EQ(coir_scope_end(&shield, result), result == 0 ? 0 : COIR_TIMED_OUT);
    run_note(coir_error_name(result));
    CHECK_EQ(coir_yield(), COIR_CANCELLED);
    CHECK_EQ(coir_sleep(1), COIR_CANCELLED);
    return COIR_CANCELLED;
}

static int shielded(void *arg)
{
    (void)arg;
    coir_scope scope;
    open_for(&scope, COIR_MS(5));
    spawn_alone(flush, &ms[MS_10]);
    spawn_alone(flush, &ms[MS_100]);
    CHECK_EQ(coir_scope_end(&scope, 0), COIR_TIMED_OUT);
    CHECK_EQ(now_ms(), 35);
    return 0;
}

/* proves: C8 */
TEST(test_a_shield_keeps_a_stop_away_until_its_grace_is_over)
{
    run_virtual(shielded, NULL);
    CHECK_STR(run_log, "slept slept 0 COIR_CANCELLED");
}

/* Opened before the cancel comes; the cancel is found after the close. */
static int shield_first(void *arg)
{
    (void)arg;
    coir_scope shield, inner;
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    coir_scope_open(&inner, COIR_NEVER, 0);
    spawn_alone(sleep_ms, &ms[MS_20]);
    CHECK_EQ(coir_cancel(coir_self(), COIR_CANCELLED), 0);
    CHECK_EQ(coir_cancel(coir_self(), COIR_CANCELLED), 0);
    CHECK_EQ(coir_sleep(COIR_MS(10)), 0);
    CHECK_EQ(coir_scope_end(&inner, 0), 0);
    CHECK_EQ(now_ms(), 20);
    spawn_alone(sleep_ms, &ms[MS_20]);
    CHECK_EQ(coir_scope_cancel(&shield, COIR_CANCELLED), 0);
    CHECK_EQ(coir_sleep(1), COIR_CANCELLED);
    CHECK_EQ(coir_spawn(NULL, sleep_ms, &ms[MS_1], NULL), COIR_CANCELLED);
    CHECK_EQ(coir_scope_end(&shield, 0), COIR_CANCELLED);
    CHECK_EQ(now_ms(), 20);
    CHECK_EQ(coir_sleep(1), COIR_CANCELLED);
    return 0;
}

/* proves: C8, C9 */
TEST(test_a_shield_that_is_cancelled_shields_no_more)
{
    run_virtual(shield_first, NULL);
    CHECK_STR(run_log, "slept COIR_CANCELLED");
}

static int fail_in_shield(void *arg)
{
    coir_scope shield;
    (void)arg;
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    spawn_alone(fail_after, &ms[MS_1]);
    CHECK_EQ(coir_sleep(COIR_MS(50)), COIR_CANCELLED);
    CHECK_EQ(coir_scope_end(&shield, 0), -EPROTO - 1);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    return 0;
}

/* proves: C5, C8 */
TEST(test_a_failing_child_stops_a_shield_too)
{
    run_virtual(fail_in_shield, NULL);
}

static int stay_behind_a_shield(void *arg)
{
    int *outcome = arg;
    coir_scope shield;
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    spawn_alone(sleep_ms, &ms[MS_20]);
    CHECK_EQ(coir_sleep(COIR_MS(10)), 0);
    *outcome = coir_park(COIR_NEVER);
    CHECK_EQ(coir_scope_end(&shield, *outcome), COIR_CANCELLED);
    CHECK_EQ(coir_yield(), COIR_CANCELLED);
    return 0;
}

/* proves: E5, C8 */
TEST(test_freeing_breaks_a_shield_only_when_nothing_else_can_run)
{
    coir_sched *sched;
    int outcome = 0;
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL, .report = run_report_line};
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    run_spawn(stay_behind_a_shield, &outcome);
    CHECK_EQ(coir_sched_step(sched, 1), COIR_STEP_READY);
    coir_sched_free(sched);
    CHECK_EQ(outcome, COIR_CANCELLED);
    CHECK_STR(run_log, "slept");
    CHECK_STR(run_report, "");
}

/* The scopes of one fiber, a shield among them. */
static int nest_in_one(void *arg)
{
    enum { COUNT = 100 };
    static coir_scope scopes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        coir_scope_open(&scopes[i], COIR_NEVER, i == 50 ? COIR_SHIELD : 0);
        spawn_alone(sleep_ms, &ms[i < 50 ? MS_100 : MS_2]);
    }
    CHECK_EQ(coir_scope_cancel(&scopes[20], COIR_CANCELLED), 0);
    for (int i = COUNT - 1; i >= 50; i--)
        CHECK_EQ(coir_scope_end(&scopes[i], 0), 0);
    CHECK_EQ(now_ms(), 2);
    for (int i = 49; i >= 20; i--)
        CHECK_EQ(coir_scope_end(&scopes[i], 0), COIR_CANCELLED);
    CHECK_EQ(now_ms(), 2);
    for (int i = 19; i >= 0; i--)
        CHECK_EQ(coir_scope_end(&scopes[i], 0), 0);
    CHECK_EQ(now_ms(), 100);
    return arg ? 1 : 0;
}

/* proves: C6, C8 */
TEST(test_a_stop_of_an_inner_scope_leaves_the_outer_ones_alone)
{
    run_virtual(nest_in_one, NULL);
}
