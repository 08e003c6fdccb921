/* Selects of things that coir does not know: a lamp that is lit by hand, and that remembers which
 * cases hang at it. */
#include "waits.h"

#include <coir_post.h>
#include <coir_select.h>
#include <pthread.h>

/* ---- a source of the test's own ---- */

enum { HUNG_MOST = 8 };

struct lamp {
    int lit;           /* how many may take it */
    int broken;        /* an error that it ends every select with, or 0 */
    int attempts, hangs, leaves;
    coir_case *hung[HUNG_MOST];
    int count;
    bool ends_in_hang; /* each case that hangs is ended at once */
    int ended_in_hang; /* of them, those that ended their select */
};

static int lamp_attempt(coir_case *it)
{
    struct lamp *lamp = it->object;
    lamp->attempts++;
    if (lamp->broken)
        return lamp->broken;
    if (lamp->lit == 0)
        return COIR_TIMED_OUT;
    lamp->lit--;
    ++*(int *)it->item;
    return 0;
}

static void lamp_hang(coir_case *it)
{
    struct lamp *lamp = it->object;
    CHECK(lamp->count < HUNG_MOST);
    lamp->hung[lamp->count++] = it;
    lamp->hangs++;
    if (lamp->ends_in_hang)
        lamp->ended_in_hang += coir_case_end(it, 44);
}

/* A case hangs until its `leave`, whatever has ended the select. */
static void lamp_leave(coir_case *it)
{
    struct lamp *lamp = it->object;
    int at = 0;
    while (at < lamp->count && lamp->hung[at] != it)
        at++;
    CHECK(at < lamp->count);
    memmove(&lamp->hung[at], &lamp->hung[at + 1], (HUNG_MOST - 1 - (size_t)at) * sizeof it);
    lamp->count--;
    lamp->leaves++;
}

static const struct coir_source LAMP = {"a lamp", lamp_attempt, lamp_hang, lamp_leave};

/* Ends the first select that is not over yet. */
static bool lamp_light(struct lamp *lamp, int result)
{
    for (int i = 0; i < lamp->count; i++)
        if (coir_case_end(lamp->hung[i], result))
            return true;
    return false;
}

static struct lamp lamp, other;
static coir_event event;
static int taken;

static coir_case case_lamp(struct lamp *which)
{
    return coir_case_of(&LAMP, which, &taken);
}

/* Notes the index of the case times 100, and its result. */
static int call_lamp(struct waiter *w)
{
    coir_case cases[] = {coir_case_wait(&event), case_lamp(w->object), case_lamp(&other)};
    CHECK(cases[1].object == w->object && cases[1].item == &taken);
    int which = coir_select(cases, 3, 0, w->until);
    if (which < 0)
        return which;
    return cases[which].result < 0 ? cases[which].result : which * 100 + cases[which].result;
}

static void check_balance(const struct lamp *which)
{
    CHECK_EQ(which->count, 0);
    CHECK_EQ(which->hangs, which->leaves);
}

/* ---- tried, hung and left ---- */

static int try_it(void *arg)
{
    (void)arg;
    lamp.lit = 2;
    begin("a", call_lamp, &lamp, COIR_NEVER);
    begin("b", call_lamp, &lamp, COIR_TRY);
    CHECK_LOG("a=100 b=100");
    CHECK(taken == 2 && lamp.attempts == 2 && lamp.hangs == 0);
    CHECK_EQ(other.attempts, 0); /* it stands behind */
    begin("c", call_lamp, &lamp, COIR_TRY);
    CHECK_LOG("c=TIMED_OUT");
    CHECK(lamp.attempts == 4 && other.attempts == 2 && lamp.hangs == 0);
    lamp.broken = -EIO;
    begin("d", call_lamp, &lamp, COIR_NEVER);
    CHECK_LOG("d=EIO");
    CHECK(lamp.attempts == 5 && other.attempts == 2);
    lamp.broken = 0;
    coir_event_set(&event);
    begin("e", call_lamp, &lamp, COIR_NEVER);
    CHECK_LOG("e");
    CHECK_EQ(lamp.attempts, 5); /* the event stands before */
    return 0;
}

/* proves: Z8, Z1 */
TEST(test_a_source_of_ones_own_is_tried_in_its_turn)
{
    run_virtual(try_it, NULL);
}

static int end_it(void *arg)
{
    static const int RESULTS[] = {0, 33, -EPROTO};
    static const char *const LOGS[] = {"a=100", "a=133", "a=EPROTO"};
    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct waiter *a = begin("a", call_lamp, &lamp, i ? COIR_NEVER : coir_after(COIR_SEC(1)));
        CHECK_EQ(lamp.count, 1);
        CHECK_EQ(other.count, 1);
        CHECK(coir_case_end(lamp.hung[0], RESULTS[i]));
        CHECK(!coir_case_end(lamp.hung[0], 0)); /* it has ended */
        CHECK(!coir_case_end(other.hung[0], 0));
        coir_event_set(&event);
        coir_event_reset(&event);
        cancel(a); /* comes too late */
        CHECK_EQ(lamp.count, 1);
        CHECK_LOG(LOGS[i]);
        check_balance(&lamp);
        check_balance(&other);
    }
    return 0;
}

/* proves: Z8, Z3, Y4 */
TEST(test_a_select_ends_by_a_case_of_ones_own_with_its_result)
{
    run_virtual(end_it, NULL);
}

static int over_already(void *arg)
{
    (void)arg;
    struct waiter *a = begin("a", call_lamp, &lamp, COIR_NEVER);
    cancel(a);
    CHECK(!coir_case_end(lamp.hung[0], 0)); /* it has not run, and hangs still */
    CHECK_LOG("a=CANCELLED");
    check_balance(&lamp);
    waiter_spawn(waiter_make("b", call_lamp, &lamp, coir_after(10)));
    CHECK_EQ(coir_sleep(10), 0);
    CHECK(!coir_case_end(lamp.hung[0], 0)); /* likewise */
    CHECK_LOG("b=TIMED_OUT");
    check_balance(&lamp);
    begin("c", call_lamp, &lamp, COIR_NEVER);
    coir_event_set(&event);
    CHECK(!coir_case_end(lamp.hung[0], 0)); /* another case was first */
    CHECK_LOG("c");
    coir_event_reset(&event);
    check_balance(&lamp);
    begin("d", call_lamp, &lamp, COIR_NEVER);
    CHECK(coir_case_end(other.hung[0], 1));
    CHECK(!coir_case_end(lamp.hung[0], 0));
    CHECK_LOG("d=201");
    check_balance(&lamp);
    check_balance(&other);
    return 0;
}

/* proves: Z8, Z3 */
TEST(test_an_end_of_a_case_tells_when_the_select_is_over)
{
    run_virtual(over_already, NULL);
}

static int several_hang(void *arg)
{
    (void)arg;
    begin("a", call_lamp, &lamp, COIR_NEVER);
    struct waiter *b = begin("b", call_lamp, &lamp, COIR_NEVER);
    begin("c", call_lamp, &lamp, COIR_NEVER);
    cancel(b);
    CHECK(lamp_light(&lamp, 1));
    CHECK(lamp_light(&lamp, 2)); /* passes b over */
    CHECK(!lamp_light(&lamp, 3));
    CHECK(!lamp_light(&other, 4));
    CHECK_LOG("b=CANCELLED a=101 c=102");
    check_balance(&lamp);
    check_balance(&other);
    return 0;
}

/* proves: Z8 */
TEST(test_each_of_several_selects_at_one_thing_is_ended_once)
{
    run_virtual(several_hang, NULL);
}

static int ended_in_hang(void *arg)
{
    (void)arg;
    for (int which = 1; which <= 3; which++) {
        lamp.ends_in_hang = which & 1;
        other.ends_in_hang = which & 2;
        lamp.ended_in_hang = other.ended_in_hang = 0;
        begin("a", call_lamp, &lamp, COIR_NEVER);
        CHECK_LOG(which & 1 ? "a=144" : "a=244"); /* of both the first */
        CHECK_EQ(lamp.ended_in_hang, which & 1);
        CHECK_EQ(other.ended_in_hang, which == 2);
        check_balance(&lamp);
        check_balance(&other);
    }
    return 0;
}

/* proves: Z8 */
TEST(test_a_case_may_be_ended_while_it_is_hung)
{
    run_virtual(ended_in_hang, NULL);
}

static int at_each_order(void *arg)
{
    (void)arg;
    for (int order = 0; order <= COIR_RANDOM; order++)
        for (int i = 0; i < 30; i++) {
            coir_case cases[] = {case_lamp(&lamp), case_lamp(&other), case_lamp(&lamp)};
            CHECK_EQ(coir_select(cases, 3, order, COIR_TRY), COIR_TIMED_OUT);
            CHECK_EQ(coir_select(cases, 3, order, coir_after(5)), COIR_TIMED_OUT);
            other.lit = 1;
            CHECK_EQ(coir_select(cases, 3, order, COIR_NEVER), 1);
            lamp.lit = 1;
            CHECK(coir_select(cases, 3, order, COIR_NEVER) != 1);
            CHECK(lamp.lit == 0 && other.lit == 0);
            check_balance(&lamp);
            check_balance(&other);
        }
    return 0;
}

/* proves: Z8, Z4, Z5 */
TEST(test_a_thing_of_ones_own_is_hung_and_left_in_every_order)
{
    run_virtual(at_each_order, NULL);
}

/* ---- ended from elsewhere ---- */

static void light_in_letter(void *arg)
{
    CHECK(lamp_light(arg, 5));
    CHECK(!lamp_light(arg, 6));
}

static int end_by_letter(void *arg)
{
    static coir_mailbox box;
    static coir_letter letter = {.fn = light_in_letter, .arg = &lamp};
    (void)arg;
    begin("a", call_lamp, &lamp, COIR_NEVER);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(coir_post(box, &letter), 0);
    CHECK_EQ(coir_mailbox_close(box), 0);
    CHECK_LOG("a=105");
    check_balance(&lamp);
    return 0;
}

/* proves: Z8 */
TEST(test_a_letter_ends_a_case)
{
    run_virtual(end_by_letter, NULL);
}

/* proves: Z8 */
TEST(test_a_case_is_ended_between_two_steps_of_a_foreign_loop)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    waiter_spawn(waiter_make("a", call_lamp, &lamp, COIR_NEVER));
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    CHECK(lamp_light(&lamp, 5));
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_DONE);
    CHECK_STR(run_log, "a=105");
    coir_sched_free(sched);
    check_balance(&lamp);
}

static void *light_in_thread(void *arg)
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    lamp_light(arg, 5);
    return NULL;
}

static int end_by_thread(void *arg)
{
    pthread_t thread;
    begin("a", call_lamp, arg, COIR_NEVER);
    CHECK_EQ(pthread_create(&thread, NULL, light_in_thread, arg), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return 0;
}

/* proves: Z8, F2 */
TEST_DIES(test_ending_another_threads_case_stops, SIGABRT, "coir: coir_case_end: ")
{
    run_as(end_by_thread, &lamp, COIR_CLOCK_VIRTUAL, NULL);
}

static int freed_while_hung(void *arg)
{
    begin("a", call_lamp, arg, COIR_NEVER);
    return coir_park(COIR_NEVER);
}

/* proves: Z8, E5 */
TEST(test_a_case_leaves_when_its_scheduler_is_freed)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    run_spawn(freed_while_hung, &lamp);
    for (int i = 0; i < 10; i++)
        CHECK(coir_sched_step(sched, 0) >= 0);
    CHECK_EQ(lamp.count, 1);
    coir_sched_free(sched);
    CHECK_STR(run_log, "a=CANCELLED");
    check_balance(&lamp);
    check_balance(&other);
}

/* ---- what reports say ---- */

static int hang_for_good(void *arg)
{
    begin("a", call_lamp, arg, COIR_NEVER);
    return 0;
}

/* proves: Z8, E2 */
TEST(test_a_deadlock_names_the_things_of_a_select)
{
    CHECK_EQ(run_as(hang_for_good, &lamp, COIR_CLOCK_VIRTUAL, NULL), -EDEADLK);
    CHECK(strstr(run_report, "'a' waits for an event, or a lamp, or a lamp\n"));
}

static int never_waits(void *arg)
{
    coir_case cases[] = {case_lamp(&lamp), case_lamp(&other)};
    (void)arg;
    for (int i = 0; i < 30000; i++) {
        lamp.lit = 1;
        CHECK_EQ(coir_select(cases, 2, i % 3, COIR_NEVER), 0);
    }
    return 0;
}

static bool stop;
static int others_turns;

static int count_turns(void *arg)
{
    (void)arg;
    while (!stop) {
        others_turns++;
        coir_yield();
    }
    return 0;
}

static int beside_others(void *arg)
{
    run_spawn(count_turns, NULL);
    CHECK_EQ(never_waits(arg), 0);
    stop = true;
    CHECK_EQ(taken, 30000);
    return others_turns > 100 ? 0 : 1; /* 256 calls are a turn */
}

/* proves: O3, Z8 */
TEST(test_selects_that_need_not_wait_let_the_others_run_now_and_then)
{
    run_virtual(beside_others, NULL);
}
