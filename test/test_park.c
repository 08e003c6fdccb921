/* Parking and waking, handles, joins. */
#include "run.h"
#include "clock.h"
#include "inside.h"

static int park(void *arg)
{
    int result = coir_park(arg ? *(coir_time *)arg : COIR_NEVER);
    run_note(coir_name());
    return result;
}

static int wake_parked(void *arg)
{
    (void)arg;
    coir_fiber a = run_spawn_named(park, NULL, "a"), b = run_spawn_named(park, NULL, "b");
    CHECK_EQ(coir_wake(a), 0);
    coir_yield();
    CHECK_EQ(coir_wake(b), 1);
    CHECK_EQ(coir_wake(a), 1);
    CHECK_EQ(coir_wake(a), 0);
    CHECK_EQ(coir_wake(b), 0);
    CHECK_EQ(coir_wake(coir_self()), 0);
    coir_yield();
    CHECK_EQ(run_join(a), 0);
    CHECK_EQ(run_join(b), 0);
    CHECK_EQ(coir_wake(a), -ESRCH);
    return coir_wake((coir_fiber){0, 0, 0}) == -ESRCH ? 0 : 1;
}

/* proves: W1, W2 */
TEST(test_a_wake_ends_a_park_and_a_second_one_is_a_no_op)
{
    run_virtual(wake_parked, NULL);
    CHECK_STR(run_log, "b a");
}

static int sleep_long(void *arg)
{
    return coir_sleep(*(int64_t *)arg);
}

static int join_it(void *arg)
{
    return coir_join(*(coir_fiber *)arg, NULL, COIR_NEVER);
}

static int wake_others(void *arg)
{
    (void)arg;
    int64_t length = COIR_SEC(1);
    coir_fiber sleeper = run_spawn(sleep_long, &length);
    coir_fiber joiner = run_spawn(join_it, &sleeper);
    coir_yield();
    CHECK_EQ(coir_wake(joiner), -EBUSY);
    CHECK_EQ(coir_wake(sleeper), 1);
    CHECK_EQ(run_join(joiner), 0);
    CHECK_EQ(coir_wake(sleeper), -ESRCH);
    return now_ns() == 0 ? 0 : 1;
}

/* proves: W2 */
TEST(test_a_wake_cuts_a_sleep_short_with_eintr_and_leaves_a_join_alone)
{
    run_virtual(wake_others, NULL);
}

static int wake_before(void *arg)
{
    (void)arg;
    coir_time until = at_ns(1000);
    coir_fiber parker = run_spawn_named(park, &until, "p");
    CHECK_EQ(coir_wake(parker), 0);
    CHECK_EQ(run_join(parker), COIR_TIMED_OUT);
    return now_ns() == 1000 ? 0 : 1;
}

/* proves: W3 */
TEST(test_a_wake_before_the_park_is_not_remembered)
{
    run_virtual(wake_before, NULL);
}

static int park_again_and_again(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_park(at_ns(100)), 0);
    CHECK_EQ(coir_park(at_ns(200)), 0);
    CHECK_EQ(coir_park(COIR_NEVER), 0);
    CHECK_EQ(now_ns(), 150);
    CHECK_EQ(coir_sleep(1000), 0);
    return now_ns() == 1150 ? 0 : 1;
}

static int stale_deadlines(void *arg)
{
    (void)arg;
    coir_fiber parker = run_spawn(park_again_and_again, NULL);
    coir_yield();
    CHECK_EQ(coir_wake(parker), 1);
    coir_yield();
    CHECK_EQ(coir_wake(parker), 1);
    coir_sleep(150);
    CHECK_EQ(coir_wake(parker), 1);
    return run_join(parker);
}

/* proves: W1, W4 */
TEST(test_regress_a_wait_that_ended_early_leaves_no_timer_behind)
{
    run_virtual(stale_deadlines, NULL);
}

static int earlier_again(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_park(at_ns(1000)), 0);
    CHECK_EQ(coir_park(at_ns(50)), COIR_TIMED_OUT);
    return now_ns() == 50 ? 0 : 1;
}

static int earlier_deadline(void *arg)
{
    (void)arg;
    coir_fiber parker = run_spawn(earlier_again, NULL);
    coir_yield();
    coir_wake(parker);
    return run_join(parker);
}

/* proves: W4 */
TEST(test_a_second_wait_may_end_before_the_first_would_have)
{
    run_virtual(earlier_deadline, NULL);
}

static int give_seven(void *arg)
{
    (void)arg;
    coir_yield();
    return 7;
}

static int join_many(void *arg)
{
    int result = -1;
    CHECK_EQ(coir_join(*(coir_fiber *)arg, &result, COIR_NEVER), 0);
    return result;
}

static int joiners(void *arg)
{
    (void)arg;
    coir_fiber target = run_spawn(give_seven, NULL), crowd[20];
    for (int i = 0; i < 20; i++)
        crowd[i] = run_spawn(join_many, &target);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(run_join(crowd[i]), 7);
    CHECK_EQ(coir_join(target, NULL, COIR_NEVER), -ESRCH);
    return coir_join(coir_self(), NULL, COIR_NEVER) == -EDEADLK ? 0 : 1;
}

/* proves: E3 */
TEST(test_every_joiner_gets_the_result)
{
    run_virtual(joiners, NULL);
}

static int join_late(void *arg)
{
    (void)arg;
    coir_fiber kept = run_spawn(give_seven, NULL), dropped;
    struct coir_spawn_opts opts = {.detached = true};
    CHECK_EQ(coir_spawn(&dropped, give_seven, NULL, &opts), 0);
    coir_sleep(1);
    CHECK_EQ(coir_join(dropped, NULL, COIR_NEVER), -ESRCH);
    CHECK_EQ(run_join(kept), 7);
    return coir_join(kept, NULL, COIR_TRY) == -ESRCH ? 0 : 1;
}

/* proves: E3 */
TEST(test_a_result_is_kept_for_the_first_join_after_the_end_unless_detached)
{
    run_virtual(join_late, NULL);
}

static int join_with_deadline(void *arg)
{
    (void)arg;
    int64_t length = 1000;
    int result = 42;
    coir_fiber sleeper = run_spawn(sleep_long, &length);
    CHECK_EQ(coir_join(sleeper, &result, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_join(sleeper, &result, coir_after(10)), COIR_TIMED_OUT);
    CHECK_EQ(now_ns(), 10);
    CHECK_EQ(result, 42);
    CHECK_EQ(coir_join(sleeper, &result, coir_after(5000)), 0);
    CHECK_EQ(result, 0);
    return now_ns() == 1000 ? 0 : 1;
}

/* proves: T4, E3, W4 */
TEST(test_a_join_that_times_out_leaves_the_result_and_the_target_alone)
{
    run_virtual(join_with_deadline, NULL);
}

static int stale_handles(void *arg)
{
    (void)arg;
    coir_fiber first = run_spawn(give_seven, NULL);
    CHECK_EQ(run_join(first), 7);
    for (int i = 0; i < 1000; i++) {
        coir_fiber next = run_spawn(give_seven, NULL);
        CHECK_EQ(next.slot, first.slot);
        CHECK(next.number != first.number);
        CHECK_EQ(coir_wake(first), -ESRCH);
        CHECK_EQ(coir_join(first, NULL, COIR_TRY), -ESRCH);
        CHECK_EQ(run_join(next), 7);
    }
    return 0;
}

/* proves: E4 */
TEST(test_an_old_handle_finds_nothing_however_often_its_slot_was_used)
{
    run_virtual(stale_handles, NULL);
}


static int end_with_a_timer(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_park(coir_after(COIR_SEC(1))), 0);
    return 0;
}

static int timers_go_with_fibers(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        coir_fiber fiber = run_spawn(end_with_a_timer, NULL);
        coir_yield();
        CHECK_EQ(cr_sched_here->timers.count, 1);
        coir_wake(fiber);
        CHECK_EQ(run_join(fiber), 0);
        CHECK_EQ(cr_sched_here->timers.count, 0);
    }
    return 0;
}

/* proves: W4 */
TEST(test_a_fiber_takes_its_timer_with_it)
{
    run_virtual(timers_go_with_fibers, NULL);
}

/* Slots and stacks are there from before, room for timers is not. */
static int room_for_timers(void *arg)
{
    enum { EACH = 70 };
    coir_time until = coir_after(COIR_SEC(1));
    coir_fiber ended[EACH], parked[2 * EACH];
    (void)arg;
    for (int i = 0; i < EACH; i++)
        ended[i] = run_spawn(give_seven, NULL);
    coir_sleep(1);
    struct coir_spawn_opts small = {.stack_size = 1};
    for (int i = 0; i < EACH; i++)
        CHECK_EQ(coir_spawn(&parked[i], park, &until, &small), 0);
    coir_sleep(1);
    for (int i = 0; i < EACH; i++)
        CHECK_EQ(run_join(ended[i]), 7);
    for (int i = EACH; i < 2 * EACH; i++)
        parked[i] = run_spawn(park, &until);
    for (int i = 0; i < 2 * EACH; i++)
        CHECK_EQ(run_join(parked[i]), COIR_TIMED_OUT);
    return 0;
}

/* proves: W5 */
TEST(test_there_is_room_for_a_timer_of_each_fiber)
{
    run_virtual(room_for_timers, NULL);
}

static int look_at_oneself(void *arg)
{
    coir_fiber self = coir_self();
    CHECK_STR(coir_name(), "a name of exactly 24 ch");
    CHECK_EQ(self.slot, ((coir_fiber *)arg)->slot);
    return self.number == ((coir_fiber *)arg)->number ? 0 : 1;
}

static int names(void *arg)
{
    (void)arg;
    coir_fiber self = coir_self();
    CHECK(self.sched != 0);
    CHECK_STR(coir_name(), "");
    coir_fiber named = run_spawn_named(look_at_oneself, &named, "a name of exactly 24 chr");
    return run_join(named);
}

TEST(test_a_fiber_knows_its_handle_and_its_name)
{
    CHECK_EQ(coir_self().sched, 0);
    CHECK_STR(coir_name(), "");
    run_virtual(names, NULL);
}
