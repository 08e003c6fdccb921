/* What Go documents of its channels and its select, rule by rule in plain words, and how it is
 * here: where Go panics there is an error, and where it differs the test says so. There is no nil
 * channel. */
#include "waits.h"

#include <coir_select.h>

static coir_chan chan, other;

static void open_chan(coir_chan *it, size_t capacity)
{
    CHECK_EQ(coir_chan_open(it, sizeof(int64_t), capacity), 0);
}

static int free_both(void)
{
    coir_chan_free(&chan, NULL, NULL);
    coir_chan_free(&other, NULL, NULL);
    return 0;
}

/* ---- channels ---- */

static int send_on_closed(void *arg)
{
    (void)arg;
    open_chan(&chan, 1);
    begin_send("a", &chan, 1, COIR_NEVER);
    begin_send("b", &chan, 2, COIR_NEVER);
    CHECK_EQ(coir_chan_close(&chan), 0);
    CHECK_LOG("a b=EPIPE");
    CHECK_EQ(try_recv(&chan), 1);
    begin_send("c", &chan, 3, COIR_NEVER);
    CHECK_LOG("c=EPIPE");
    return free_both();
}

/* Go: a send to a closed channel panics, also one that is blocked when the channel is closed. Here
 * it is -EPIPE. proves: Q2 */
TEST(test_go_a_send_to_a_closed_channel_fails)
{
    run_virtual(send_on_closed, NULL);
}

static int close_closed(void *arg)
{
    (void)arg;
    open_chan(&chan, 0);
    CHECK_EQ(coir_chan_close(&chan), 0);
    CHECK_EQ(coir_chan_close(&chan), -EPIPE);
    return free_both();
}

/* Go: closing a closed channel panics. Here it is -EPIPE. proves: Q2 */
TEST(test_go_a_close_of_a_closed_channel_fails)
{
    run_virtual(close_closed, NULL);
}

static int recv_closed(void *arg)
{
    (void)arg;
    open_chan(&chan, 2);
    CHECK_EQ(try_send(&chan, 0), 0);
    CHECK_EQ(coir_chan_close(&chan), 0);
    begin_recv("a", &chan, COIR_NEVER);
    for (int i = 0; i < 3; i++)
        begin_recv("b", &chan, COIR_NEVER);
    CHECK_LOG("a:0 b=EPIPE b=EPIPE b=EPIPE"); /* a zero that was sent is not one of none */
    return free_both();
}

/* Go: a receive from a closed channel proceeds at once; it yields what was sent before the close,
 * and then zero values, with a second result that is false. Here the result is -EPIPE then.
 * proves: Q2 */
TEST(test_go_a_receive_from_a_closed_channel_never_blocks)
{
    run_virtual(recv_closed, NULL);
}

static int close_wakes_all(void *arg)
{
    (void)arg;
    open_chan(&chan, 0);
    for (int i = 0; i < 4; i++)
        begin_recv("r", &chan, COIR_NEVER);
    CHECK_EQ(coir_chan_close(&chan), 0);
    CHECK_LOG("r=EPIPE r=EPIPE r=EPIPE r=EPIPE");
    return free_both();
}

/* Go: closing a channel is a broadcast to all that are blocked in a receive. proves: Q2 */
TEST(test_go_a_close_wakes_all_receivers)
{
    run_virtual(close_wakes_all, NULL);
}

static int send_ten(void *arg)
{
    for (int64_t i = 0; i < 10; i++)
        CHECK_EQ(coir_chan_send(arg, &i, COIR_NEVER), 0);
    return coir_chan_close(arg);
}

static int range_over(void *arg)
{
    int64_t item, next = 0;
    int result;
    open_chan(&chan, *(size_t *)arg);
    run_spawn(send_ten, &chan);
    while ((result = coir_chan_recv(&chan, &item, COIR_NEVER)) == 0)
        CHECK_EQ(item, next++);
    CHECK_EQ(result, -EPIPE);
    CHECK_EQ(next, 10);
    return free_both();
}

/* Go: a range over a channel yields what is sent until the channel is closed. Here it is a loop
 * until -EPIPE. proves: Q1, Q2 */
TEST(test_go_a_range_over_a_channel_ends_with_its_close)
{
    for (size_t capacity = 0; capacity < 12; capacity += 3)
        run_virtual(range_over, &capacity);
}

static int len_and_cap(void *arg)
{
    (void)arg;
    open_chan(&chan, 0);
    open_chan(&other, 3);
    begin_send("s", &chan, 1, COIR_NEVER);
    CHECK_EQ(coir_chan_length(&chan), 0); /* who waits does not count */
    CHECK_EQ(coir_chan_capacity(&chan), 0);
    CHECK_EQ(try_send(&other, 1), 0);
    CHECK_EQ(coir_chan_length(&other), 1);
    CHECK_EQ(coir_chan_capacity(&other), 3);
    CHECK_EQ(coir_chan_close(&other), 0);
    CHECK_EQ(coir_chan_length(&other), 1);
    CHECK_EQ(coir_chan_capacity(&other), 3);
    CHECK_EQ(try_recv(&chan), 1);
    CHECK_LOG("s");
    return free_both();
}

/* Go: len is the number of values queued in the buffer, cap the size of the buffer; without one,
 * both are 0. */
TEST(test_go_length_and_capacity_are_those_of_the_buffer)
{
    run_virtual(len_and_cap, NULL);
}

static int buffered(void *arg)
{
    (void)arg;
    open_chan(&chan, 2);
    begin_send("a", &chan, 1, COIR_NEVER);
    begin_send("b", &chan, 2, COIR_NEVER);
    CHECK_LOG("a b"); /* with no receiver anywhere */
    begin_send("c", &chan, 3, COIR_NEVER);
    CHECK_LOG("");
    for (int i = 1; i <= 3; i++)
        CHECK_EQ(try_recv(&chan), i);
    CHECK_LOG("c");
    return free_both();
}

/* Go: a send to a buffered channel proceeds while there is room, a receive while there are values;
 * the buffer is first in, first out. proves: Q1 */
TEST(test_go_a_buffer_lets_senders_go_on_until_it_is_full)
{
    run_virtual(buffered, NULL);
}

static int unbuffered(void *arg)
{
    (void)arg;
    open_chan(&chan, 0);
    struct waiter *s = begin_send("s", &chan, 1, COIR_NEVER);
    CHECK_EQ(coir_sleep(100), 0);
    CHECK(!s->ended);
    begin_recv("r", &chan, COIR_NEVER);
    CHECK_LOG("r:1 s");
    CHECK_EQ(s->ended_ns, 100);
    return free_both();
}

/* Go: without a buffer a send completes when a receiver is there, which has the value by then: the
 * receive happens before the completion of the send. proves: Q1 */
TEST(test_go_without_a_buffer_sender_and_receiver_meet)
{
    run_virtual(unbuffered, NULL);
}

/* ---- the memory model, as an order of what is done ---- */

static int running, most_running;

static int limited(void *arg)
{
    int64_t token = 0;
    CHECK_EQ(coir_chan_send(arg, &token, COIR_NEVER), 0);
    running++;
    most_running = running > most_running ? running : most_running;
    CHECK_EQ(coir_sleep(10), 0);
    running--;
    return coir_chan_recv(arg, &token, COIR_NEVER);
}

static int limit(void *arg)
{
    coir_fiber fibers[12];
    (void)arg;
    open_chan(&chan, 3);
    for (int i = 0; i < 12; i++)
        fibers[i] = run_spawn(limited, &chan);
    for (int i = 0; i < 12; i++)
        CHECK_EQ(run_join(fibers[i]), 0);
    CHECK_EQ(most_running, 3);
    CHECK_EQ(now_ns(), 40);
    return free_both();
}

/* Go: the k-th receive from a channel with room for C completes before send number k + C does, so
 * that a buffered channel is a semaphore. proves: Q1 */
TEST(test_go_a_buffered_channel_limits_how_many_are_at_work)
{
    run_virtual(limit, NULL);
}

static int shared;

static int set_and_close(void *arg)
{
    shared = 1;
    return coir_chan_close(arg);
}

static int see_before_close(void *arg)
{
    int64_t item;
    (void)arg;
    open_chan(&chan, 0);
    run_spawn(set_and_close, &chan);
    CHECK_EQ(shared, 0);
    CHECK_EQ(coir_chan_recv(&chan, &item, COIR_NEVER), -EPIPE);
    CHECK_EQ(shared, 1);
    return free_both();
}

/* Go: what was done before a channel was closed is seen by who receives because of the close.
 * proves: Q2 */
TEST(test_go_a_close_comes_before_the_receive_that_it_ends)
{
    run_virtual(see_before_close, NULL);
}

/* ---- select ---- */

/* A select of two receives. */
static int call_recv_two(struct waiter *w)
{
    coir_case cases[] = {coir_case_recv(&chan, &w->item), coir_case_recv(&other, &w->item)};
    int which = coir_select(cases, 2, COIR_RANDOM, w->until);
    return which < 0 ? which : cases[which].result < 0 ? cases[which].result : which;
}

static int with_default(void *arg)
{
    (void)arg;
    open_chan(&chan, 1);
    open_chan(&other, 1);
    begin("a", call_recv_two, NULL, COIR_TRY);
    CHECK_LOG("a=TIMED_OUT");
    CHECK_EQ(try_send(&other, 5), 0);
    begin("b", call_recv_two, NULL, COIR_TRY);
    CHECK_LOG("b=1");
    return free_both();
}

/* Go: if no case can proceed, the default case is taken, if there is one. Here that is a try.
 * proves: Z1 */
TEST(test_go_a_select_with_a_default_does_not_wait)
{
    run_virtual(with_default, NULL);
}

static int without_default(void *arg)
{
    (void)arg;
    open_chan(&chan, 0);
    open_chan(&other, 0);
    struct waiter *a = begin("a", call_recv_two, NULL, COIR_NEVER);
    CHECK_EQ(coir_sleep(100), 0);
    CHECK(!a->ended);
    CHECK_EQ(try_send(&other, 5), 0);
    CHECK_LOG("a=1");
    CHECK_EQ(a->item, 5);
    CHECK_EQ(try_send(&other, 6), COIR_TIMED_OUT); /* one communication only */
    CHECK_EQ(try_send(&chan, 6), COIR_TIMED_OUT);
    return free_both();
}

/* Go: without a default a select blocks until one of its cases can proceed, and makes that one
 * communication. proves: Z1, Z2 */
TEST(test_go_a_select_without_a_default_waits_for_one_communication)
{
    run_virtual(without_default, NULL);
}

static int uniform(void *arg)
{
    int wins[2] = {0};
    int64_t item;
    (void)arg;
    open_chan(&chan, 1);
    open_chan(&other, 1);
    for (int i = 0; i < 2000; i++) {
        coir_case cases[] = {coir_case_recv(&chan, &item), coir_case_recv(&other, &item)};
        (void)!try_send(&chan, i);
        (void)!try_send(&other, i);
        wins[coir_select(cases, 2, COIR_RANDOM, COIR_NEVER)]++;
    }
    CHECK(wins[0] > 800 && wins[1] > 800);
    return free_both();
}

/* Go: of several cases that can proceed one is chosen by a uniform pseudo-random selection. Here
 * the program asks for that order. proves: Z5 */
TEST(test_go_a_random_select_starves_no_case)
{
    run_virtual(uniform, NULL);
}

static int closed_in_select(void *arg)
{
    int64_t item = 7;
    (void)arg;
    open_chan(&chan, 0);
    open_chan(&other, 0);
    CHECK_EQ(coir_chan_close(&other), 0);
    coir_case receives[] = {coir_case_recv(&chan, &item), coir_case_recv(&other, &item)};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_select(receives, 2, 0, i ? COIR_NEVER : COIR_TRY), 1);
        CHECK_EQ(receives[1].result, -EPIPE);
    }
    coir_case sends[] = {coir_case_send(&chan, &item), coir_case_send(&other, &item)};
    CHECK_EQ(coir_select(sends, 2, 0, COIR_NEVER), 1);
    CHECK_EQ(sends[1].result, -EPIPE);
    CHECK_EQ(item, 7);
    return free_both();
}

/* Go: a receive from a closed channel can always proceed, in a select too; a send to one panics, in
 * a select too. Here both are -EPIPE of the case. proves: Z1, Q2 */
TEST(test_go_a_closed_channel_is_ready_in_a_select)
{
    run_virtual(closed_in_select, NULL);
}

static int no_cases(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_select(NULL, 0, 0, COIR_NEVER), -EINVAL);
    return 0;
}

/* Go: a select without cases blocks forever. Here it is -EINVAL: coir_park does that.
 * proves: Z6 */
TEST(test_go_a_select_without_cases_is_refused_here)
{
    run_virtual(no_cases, NULL);
}

static int call_send_changing(struct waiter *w)
{
    coir_case it = coir_case_send(w->object, w->other);
    return coir_select(&it, 1, 0, w->until);
}

static int evaluated_late(void *arg)
{
    int64_t item = 1;
    (void)arg;
    open_chan(&chan, 0);
    begin_with("s", call_send_changing, &chan, &item, COIR_NEVER);
    item = 2;
    CHECK_EQ(try_recv(&chan), 2);
    item = 3;
    CHECK_LOG("s");
    return free_both();
}

/* Go: what a case sends is evaluated when the select begins. Here the item is copied when the case
 * takes effect. proves: Z1 */
TEST(test_go_an_item_is_copied_here_when_its_case_takes_effect)
{
    run_virtual(evaluated_late, NULL);
}

static int with_timeout(void *arg)
{
    (void)arg;
    open_chan(&chan, 0);
    open_chan(&other, 0);
    struct waiter *a = begin("a", call_recv_two, NULL, coir_after(COIR_SEC(1)));
    CHECK_EQ(coir_sleep(COIR_SEC(2)), 0);
    CHECK_LOG("a=TIMED_OUT");
    CHECK_EQ(a->ended_ns, COIR_SEC(1));
    return free_both();
}

/* Go: a case that receives from time.After ends a select in time. Here it has a deadline.
 * proves: Z2 */
TEST(test_go_a_select_ends_at_its_deadline)
{
    run_virtual(with_timeout, NULL);
}

static int both_ends(void *arg)
{
    int64_t sent = 4, received = -1;
    (void)arg;
    open_chan(&chan, 0);
    coir_case cases[] = {coir_case_send(&chan, &sent), coir_case_recv(&chan, &received)};
    CHECK_EQ(coir_select(cases, 2, 0, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_select(cases, 2, 0, coir_after(10)), COIR_TIMED_OUT);
    CHECK_EQ(received, -1);
    return free_both();
}

/* Go: a select that sends to and receives from one channel without a buffer does not meet itself.
 * proves: Z4 */
TEST(test_go_a_select_is_not_its_own_peer)
{
    run_virtual(both_ends, NULL);
}
