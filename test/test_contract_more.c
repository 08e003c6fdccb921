/* The contract of scopes, cancels and races by the small programs that a critique of the first one
 * was made of, continued. */
#include "scopes.h"

#include <coir_test.h>

static int primary(void *arg)
{
    (void)arg;
    return -ECONNRESET;
}

/* ---- S8: which time-out? */

static int times_out_itself(void *arg)
{
    (void)arg;
    return coir_park(coir_after(COIR_MS(5)));
}

static int says_eio(void *arg)
{
    (void)arg;
    return coir_sleep(COIR_SEC(1)) < 0 ? -EIO : 0;
}

static int time_outs(void *arg)
{
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, coir_after(COIR_SEC(3600)), 0);
    spawn_alone(times_out_itself, NULL);
    int slept = coir_sleep(COIR_SEC(1)), reason = 0;
    CHECK(coir_cancelled(&reason) && reason == COIR_TIMED_OUT);
    CHECK_EQ(coir_scope_end(&scope, slept), COIR_TIMED_OUT); /* a failure, long before */
    CHECK_EQ(now_ms(), 5);

    coir_scope_open(&scope, coir_after(COIR_MS(5)), 0);
    spawn_alone(says_eio, NULL);
    CHECK_EQ(coir_scope_end(&scope, 0), -EIO);
    return 0;
}

/* proves: C2, C6 */
TEST(test_contract_s8_a_time_out_of_a_child_is_its_failure)
{
    run_virtual(time_outs, NULL);
}

static int operation(coir_time until)
{
    coir_scope scope;
    coir_scope_open(&scope, until, 0);
    return coir_scope_end(&scope, coir_sleep(COIR_SEC(5)));
}

static int zeros(void *arg)
{
    (void)arg;
    CHECK_EQ(operation(coir_after(0)), COIR_TIMED_OUT);
    CHECK_EQ(operation(COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(now_ms(), 0);
    CHECK_EQ(operation(COIR_NEVER), 0);
    return now_ms() == 5000 ? 0 : 1;
}

/* proves: T1, T4, C7 */
TEST(test_contract_s8b_never_and_once_are_the_same_in_calls_and_scopes)
{
    run_virtual(zeros, NULL);
}

/* ---- S9: what nobody joins costs nothing after its scope */

static int unjoined(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100000; i++) {
        coir_scope scope;
        coir_scope_open(&scope, COIR_NEVER, 0);
        run_spawn(number, &ms[MS_1]);
        CHECK_EQ(coir_scope_end(&scope, 0), 0);
    }
    CHECK(cr_sched_here->slots.count < 128);
    for (int i = 0; i < 1000; i++)
        run_spawn(number, &ms[MS_1]);
    CHECK_EQ(coir_sleep(1), 0);
    CHECK(cr_sched_here->slots.count > 1000); /* this fiber has not ended */
    return 0;
}

/* proves: E3 */
TEST(test_contract_s9_results_that_nobody_takes_end_with_their_scope)
{
    run_virtual(unjoined, NULL);
}

/* ---- S10: a scope has a handle */

static coir_scope_ref button;

static int request(int length_ms)
{
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    CHECK_EQ(coir_scope_refer(&scope, &button), 0);
    CHECK(coir_scope_find(button) == &scope);
    return coir_scope_end(&scope, coir_sleep(COIR_MS(length_ms)));
}

static int press(void *arg)
{
    coir_scope_ref pressed = button;
    CHECK_EQ(coir_sleep(COIR_MS(*(int *)arg)), 0);
    coir_scope *scope = coir_scope_find(pressed);
    if (scope)
        CHECK_EQ(coir_scope_cancel(scope, -EPIPE), 0);
    return scope != NULL;
}

static int two_requests(void *arg)
{
    (void)arg;
    coir_fiber in_time = run_spawn(press, &ms[MS_2]);
    coir_sleep(0);
    button = (coir_scope_ref){{0, 0, 0}};
    CHECK(!coir_scope_find(button));
    CHECK_EQ(run_join(in_time), 0); /* it had no scope yet */

    coir_fiber late = (coir_fiber){0, 0, 0};
    for (int i = 0; i < 2; i++) {
        coir_scope scope;
        coir_scope_open(&scope, COIR_NEVER, 0);
        CHECK_EQ(coir_scope_refer(&scope, &button), 0);
        CHECK_EQ(coir_scope_end(&scope, 0), 0);
        late = run_spawn(press, &ms[MS_2]);
        coir_yield(); /* it has the handle of the first */
        CHECK_EQ(request(5), 0); /* its scope has the same address */
        CHECK_EQ(run_join(late), 0);
    }
    return 0;
}

static int press_now(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_scope_cancel(coir_scope_find(button), -EPIPE), 0);
    struct coir_spawn_opts into = {.scope = coir_scope_find(button)};
    return coir_spawn(NULL, number, &ms[MS_1], &into) == COIR_CANCELLED ? 0 : 1;
}

static int pressed_in_time(void *arg)
{
    coir_fiber fiber = run_spawn(press_now, arg);
    CHECK_EQ(request(5), -EPIPE);
    return run_join(fiber);
}

/* proves: C2, C6, E4 */
TEST(test_contract_s10_a_button_that_is_pressed_late_stops_nothing_else)
{
    run_virtual(two_requests, NULL);
    run_virtual(pressed_in_time, NULL);
}

/* ---- S11: a child that was cancelled, and says why */

static int says_why(void *arg)
{
    int reason = 0;
    (void)arg;
    coir_sleep(COIR_SEC(1));
    return coir_cancelled(&reason) ? reason : 0;
}

static int one_of_two(void *arg)
{
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    coir_fiber fiber = run_spawn(says_why, NULL);
    spawn_alone(sleep_ms, &ms[MS_10]);
    coir_yield();
    CHECK_EQ(coir_cancel(fiber, -EINTR), 0);
    CHECK_EQ(coir_cancel(fiber, -EIO), 0); /* the first stays */
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    return now_ms() == 10 ? 0 : 1;
}

/* proves: C2, C5 */
TEST(test_contract_s11_a_child_that_is_cancelled_alone_and_says_why_has_not_failed)
{
    run_virtual(one_of_two, NULL);
}

/* ---- S16: a failure that nobody took is the run's */

static int leave_failures(void *arg)
{
    (void)arg;
    run_spawn(primary, NULL);
    return 7;
}

/* proves: C4, C5 */
TEST(test_contract_s16_a_failure_that_nobody_took_is_the_runs_result)
{
    int result = 0;
    CHECK_EQ(run_as(leave_failures, NULL, COIR_CLOCK_VIRTUAL, &result), 0);
    CHECK_EQ(result, -ECONNRESET);
}

/* ---- S18: until all others wait */

enum { CHAIN = 2000 };

static coir_fiber chain[CHAIN + 1];
static int chained;

static int wait_and_wake(void *arg)
{
    coir_fiber *self = arg;
    CHECK_EQ(coir_park(COIR_NEVER), 0);
    chained++;
    return coir_wake(self[1]) < 0 ? 1 : 0;
}

static int last_of_chain(void *arg)
{
    (void)arg;
    return coir_park(COIR_NEVER);
}

static int yield_twice(void *arg)
{
    coir_yield();
    coir_yield();
    return arg ? 1 : 0;
}

static int idle(void *arg)
{
    struct coir_spawn_opts opts = {.stack_size = 16 * 1024};
    (void)arg;
    for (int i = 0; i <= CHAIN; i++)
        CHECK_EQ(coir_spawn(&chain[i], i < CHAIN ? wait_and_wake : last_of_chain, &chain[i], &opts),
                 0);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    uint64_t begun = now_ns();
    CHECK_EQ(coir_wake(chain[0]), 1);
    CHECK_EQ(coir_idle(coir_after(COIR_SEC(60))), 0);
    CHECK_EQ(chained, CHAIN);
    CHECK(arg || !inside_world()->is_virtual || now_ns() == begun);
    CHECK_EQ(coir_idle(COIR_TRY), 0);
    coir_fiber busy = run_spawn(yield_twice, NULL);
    CHECK_EQ(coir_idle(COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(run_join(busy), 0);
    CHECK_EQ(coir_cancel(coir_self(), 0), 0);
    CHECK_EQ(coir_idle(COIR_NEVER), COIR_CANCELLED);
    return 0;
}

/* proves: O8 */
TEST(test_contract_s18_idle_waits_for_all_that_is_ready_on_either_clock)
{
    run_virtual(idle, NULL);
    chained = 0;
    run_monotonic(idle, NULL);
}
