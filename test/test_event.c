/* Events, which remember that they were set, and wait queues, which remember nothing. */
#include "waits.h"

#include <pthread.h>

/* ---- an event remembers ---- */

static int remember(void *arg)
{
    coir_event event = {{0}};
    (void)arg;
    CHECK(!coir_event_is_set(&event));
    CHECK_EQ(coir_event_wait(&event, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_event_take(&event, COIR_TRY), COIR_TIMED_OUT);
    coir_event_set(&event);
    CHECK(coir_event_is_set(&event));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_event_wait(&event, i ? COIR_NEVER : COIR_TRY), 0);
        CHECK(coir_event_is_set(&event));
    }
    CHECK_EQ(coir_event_wait(&event, coir_now()), 0); /* the deadline has passed */
    coir_event_reset(&event);
    CHECK(!coir_event_is_set(&event));
    CHECK_EQ(coir_event_wait(&event, COIR_TRY), COIR_TIMED_OUT);
    coir_event_reset(&event);
    CHECK(!coir_event_is_set(&event));
    return now_ns() == 0 ? 0 : 1;
}

/* proves: Y1, Y5 */
TEST(test_an_event_remembers_that_it_was_set_until_it_is_reset)
{
    run_virtual(remember, NULL);
}

static int take_once(void *arg)
{
    coir_event event = {{0}};
    (void)arg;
    coir_event_set(&event);
    coir_event_set(&event); /* it is set already */
    CHECK_EQ(coir_event_take(&event, COIR_NEVER), 0);
    CHECK(!coir_event_is_set(&event));
    CHECK_EQ(coir_event_take(&event, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_event_take(&event, coir_after(7)), COIR_TIMED_OUT);
    CHECK_EQ(now_ns(), 7);
    coir_event_set(&event);
    CHECK_EQ(coir_event_take(&event, coir_now()), 0);
    return 0;
}

/* proves: Y1 */
TEST(test_each_set_is_taken_once)
{
    run_virtual(take_once, NULL);
}

static int gate(void *arg)
{
    static coir_event event;
    (void)arg;
    begin("a", call_wait, &event, COIR_NEVER);
    begin("b", call_wait, &event, COIR_NEVER);
    CHECK_LOG("");
    coir_event_set(&event);
    begin("c", call_wait, &event, COIR_NEVER);
    CHECK(coir_event_is_set(&event));
    CHECK_LOG("a b c");
    coir_event_reset(&event);
    begin("d", call_wait, &event, COIR_NEVER);
    CHECK_LOG("");
    coir_event_set(&event);
    coir_event_reset(&event); /* d was woken before */
    CHECK_LOG("d");
    return 0;
}

/* proves: Y1, Y2, Y4 */
TEST(test_a_set_opens_a_gate_for_all_that_wait_and_all_that_come)
{
    run_virtual(gate, NULL);
}

/* ---- the order of those that wait ---- */

static int up_to_the_taker(void *arg)
{
    static coir_event event;
    (void)arg;
    begin("w1", call_wait, &event, COIR_NEVER);
    begin("t2", call_take, &event, COIR_NEVER);
    begin("w3", call_wait, &event, COIR_NEVER);
    begin("w4", call_wait, &event, COIR_NEVER);
    begin("t5", call_take, &event, COIR_NEVER);
    begin("w6", call_wait, &event, COIR_NEVER);
    coir_event_set(&event);
    CHECK(!coir_event_is_set(&event));
    CHECK_LOG("w1 t2");
    coir_event_set(&event);
    CHECK(!coir_event_is_set(&event));
    CHECK_LOG("w3 w4 t5");
    coir_event_set(&event);
    CHECK(coir_event_is_set(&event));
    CHECK_LOG("w6");
    return 0;
}

/* proves: Y2 */
TEST(test_a_set_wakes_in_order_up_to_and_including_the_first_that_takes)
{
    run_virtual(up_to_the_taker, NULL);
}

static int three_sets(void *arg)
{
    static coir_event event;
    static const char *const NAMES[] = {"a", "b", "c", "d", "e"};
    (void)arg;
    for (int i = 0; i < 5; i++)
        begin(NAMES[i], call_take, &event, COIR_NEVER);
    for (int i = 0; i < 3; i++)
        coir_event_set(&event);
    CHECK(!coir_event_is_set(&event));
    CHECK_EQ(coir_event_take(&event, COIR_TRY), COIR_TIMED_OUT); /* nobody overtakes */
    CHECK_LOG("a b c");
    for (int i = 0; i < 3; i++)
        coir_event_set(&event);
    CHECK(coir_event_is_set(&event));
    CHECK_LOG("d e");
    return 0;
}

/* proves: Y2 */
TEST(test_each_set_goes_to_one_taker_though_none_has_run_yet)
{
    run_virtual(three_sets, NULL);
}

/* ---- a wait queue ---- */

static int forget(void *arg)
{
    coir_queue queue = {{0}};
    (void)arg;
    CHECK_EQ(coir_queue_wake(&queue, 1), 0);
    CHECK_EQ(coir_queue_wake(&queue, SIZE_MAX), 0);
    CHECK_EQ(coir_queue_wait(&queue, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_queue_wait(&queue, coir_after(5)), COIR_TIMED_OUT);
    CHECK_EQ(now_ns(), 5);
    CHECK_EQ(coir_queue_wait(&queue, coir_now()), COIR_TIMED_OUT);
    return now_ns() == 5 ? 0 : 1;
}

/* proves: Y3, Y5 */
TEST(test_a_wake_that_finds_nobody_in_a_queue_is_forgotten)
{
    run_virtual(forget, NULL);
}

static void begin_queue(coir_queue *queue, int count)
{
    static const char *const NAMES[] = {"a", "b", "c", "d", "e", "f"};
    for (int i = 0; i < count; i++)
        begin(NAMES[i], call_queue, queue, COIR_NEVER);
}

static int wake_some(void *arg)
{
    static coir_queue queue;
    (void)arg;
    begin_queue(&queue, 6);
    CHECK_EQ(coir_queue_wake(&queue, 0), 0);
    CHECK_LOG("");
    CHECK_EQ(coir_queue_wake(&queue, 2), 2);
    CHECK_EQ(coir_queue_wake(&queue, 1), 1);
    CHECK_LOG("a b c");
    begin("g", call_queue, &queue, COIR_NEVER);
    CHECK_EQ(coir_queue_wake(&queue, 3), 3);
    CHECK_LOG("d e f");
    CHECK_EQ(coir_queue_wake(&queue, 1000), 1);
    CHECK_EQ(coir_queue_wake(&queue, SIZE_MAX), 0);
    CHECK_LOG("g");
    return 0;
}

/* proves: Y3 */
TEST(test_a_queue_wakes_as_many_as_asked_for_in_the_order_of_coming)
{
    run_virtual(wake_some, NULL);
}

static int wait_twice(struct waiter *w)
{
    CHECK_EQ(coir_queue_wait(w->object, w->until), 0);
    run_note("again");
    return coir_queue_wait(w->object, w->until);
}

static int back_to_the_tail(void *arg)
{
    static coir_queue queue;
    (void)arg;
    begin("a", wait_twice, &queue, COIR_NEVER);
    begin("b", call_queue, &queue, COIR_NEVER);
    CHECK_EQ(coir_queue_wake(&queue, SIZE_MAX), 2); /* not what a waits for next */
    CHECK_LOG("again b");
    begin("c", call_queue, &queue, COIR_NEVER);
    CHECK_EQ(coir_queue_wake(&queue, 1), 1);
    CHECK_LOG("a");
    CHECK_EQ(coir_queue_wake(&queue, 1), 1);
    CHECK_LOG("c");
    return 0;
}

/* proves: Y3 */
TEST(test_who_waits_in_a_queue_again_waits_at_its_tail)
{
    run_virtual(back_to_the_tail, NULL);
}

static int end_queue(void *arg)
{
    static coir_queue queue;
    (void)arg;
    begin_queue(&queue, 3);
    CHECK_EQ(coir_queue_wake(&queue, 1), 1);
    coir_queue_end(&queue);
    CHECK_LOG("a b=EPIPE c=EPIPE"); /* a was woken before the end */
    begin("d", call_queue, &queue, COIR_NEVER);
    begin("e", call_queue, &queue, coir_after(10));
    begin("f", call_queue, &queue, COIR_TRY);
    CHECK_LOG("d=EPIPE e=EPIPE f=EPIPE");
    CHECK_EQ(coir_queue_wake(&queue, SIZE_MAX), 0);
    coir_queue_end(&queue);
    CHECK_EQ(coir_queue_wait(&queue, COIR_NEVER), -EPIPE);
    return now_ns() == 0 ? 0 : 1;
}

/* proves: Y3, Y4 */
TEST(test_a_queue_ends_for_those_that_wait_and_for_those_that_come)
{
    run_virtual(end_queue, NULL);
}

/* The loop of the header, with whose condition two fibers are concerned. */
static coir_queue changed;
static int level;

static int until_level(void *arg)
{
    int result = 0, wanted = *(int *)arg;
    while (level < wanted && result == 0)
        result = coir_queue_wait(&changed, COIR_NEVER);
    char text[8];
    snprintf(text, sizeof text, "%d", wanted);
    run_note(text);
    return result;
}

static int raise_level(void *arg)
{
    static int wanted[] = {2, 1, 3};
    (void)arg;
    for (int i = 0; i < 3; i++)
        run_spawn(until_level, &wanted[i]);
    settle();
    for (level = 1; level < 4; level++) {
        CHECK_EQ(coir_queue_wake(&changed, SIZE_MAX), 4 - level);
        settle();
    }
    return 0;
}

/* proves: Y3 */
TEST(test_the_loop_of_the_header_waits_for_a_condition)
{
    run_virtual(raise_level, NULL);
    CHECK_STR(run_log, "1 2 3");
}

/* ---- the idle and the moved ---- */

static int move_idle(void *arg)
{
    coir_event *event = calloc(1, sizeof *event), *other = malloc(sizeof *other);
    coir_queue *queue = calloc(1, sizeof *queue), *copy = malloc(sizeof *copy);
    (void)arg;
    for (int i = 0; i < 3; i++) {
        begin("a", call_take, event, COIR_NEVER);
        begin("b", call_queue, queue, COIR_NEVER);
        coir_event_set(event);
        CHECK_EQ(coir_queue_wake(queue, 1), 1);
        CHECK_LOG("a b");
        coir_event_set(event);
        *other = *event;
        *copy = *queue;
        memset(event, 0xa5, sizeof *event);
        memset(queue, 0xa5, sizeof *queue);
        CHECK_EQ(coir_event_take(other, COIR_TRY), 0); /* set, as it was */
        CHECK_EQ(coir_queue_wake(copy, 1), 0);
        coir_event *swap = event;
        event = other, other = swap;
        coir_queue *exchange = queue;
        queue = copy, copy = exchange;
    }
    coir_queue_end(queue);
    *copy = *queue;
    CHECK_EQ(coir_queue_wait(copy, COIR_NEVER), -EPIPE);
    free(event), free(other), free(queue), free(copy);
    return 0;
}

/* proves: Y5 */
TEST(test_an_event_or_queue_for_which_nobody_waits_may_be_moved)
{
    run_virtual(move_idle, NULL);
}

static coir_event passed;

static int take_passed(void *arg)
{
    coir_event_set(&passed);
    begin("t", call_take, arg, COIR_NEVER);
    return 0;
}

static void *take_in_a_thread(void *arg)
{
    run_virtual(take_passed, arg);
    return NULL;
}

/* proves: Y5 */
TEST(test_an_event_for_which_nobody_waits_goes_from_one_thread_to_the_next)
{
    pthread_t thread;
    for (int i = 0; i < 2; i++) {
        run_virtual(take_passed, &passed);
        waiters_used = 0;
        CHECK_EQ(pthread_create(&thread, NULL, take_in_a_thread, &passed), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    CHECK_STR(run_log, "t t t t");
}

/* ---- what cannot be ended by a wake ---- */

static int wake_it(void *arg)
{
    static coir_event event;
    static coir_queue queue;
    (void)arg;
    struct waiter *a = begin("a", call_wait, &event, COIR_NEVER);
    struct waiter *b = begin("b", call_take, &event, COIR_NEVER);
    struct waiter *c = begin("c", call_queue, &queue, COIR_NEVER);
    CHECK_EQ(coir_wake(a->fiber), -EBUSY);
    CHECK_EQ(coir_wake(b->fiber), -EBUSY);
    CHECK_EQ(coir_wake(c->fiber), -EBUSY);
    CHECK_LOG("");
    coir_event_set(&event);
    coir_queue_end(&queue);
    CHECK_LOG("a b c=EPIPE");
    return 0;
}

/* proves: W2 */
TEST(test_a_wake_of_a_fiber_ends_no_wait_for_an_event_or_in_a_queue)
{
    run_virtual(wake_it, NULL);
}

static int hang(void *arg)
{
    static coir_event event;
    static coir_queue queue;
    (void)arg;
    begin("a", call_wait, &event, COIR_NEVER);
    begin("b", call_queue, &queue, COIR_NEVER);
    return 0;
}

/* proves: E2 */
TEST(test_waits_that_nothing_can_end_are_a_deadlock)
{
    CHECK_EQ(run_as(hang, NULL, COIR_CLOCK_VIRTUAL, NULL), -EDEADLK);
    CHECK(strstr(run_report, "'a' waits for an event\n"));
    CHECK(strstr(run_report, "'b' waits for its turn in a queue\n"));
}
