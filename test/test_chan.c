/* Channels: in which order items and fibers go, what a close does, what is put back, and what is
 * left when a channel is freed. */
#include "waits.h"

static coir_chan chan;

static void open_chan(size_t capacity)
{
    CHECK_EQ(coir_chan_open(&chan, sizeof(int64_t), capacity), 0);
    CHECK_EQ(coir_chan_length(&chan), 0);
    CHECK_EQ(coir_chan_capacity(&chan), capacity);
}

static int free_chan(void)
{
    coir_chan_free(&chan, NULL, NULL);
    return 0;
}

/* ---- order ---- */

static int in_a_row(void *arg)
{
    (void)arg;
    for (size_t capacity = 1; capacity < 5; capacity++) {
        open_chan(capacity);
        for (int64_t next = 0, got = 0; got < 50; got++) {
            while (try_send(&chan, next) == 0)
                next++;
            CHECK_EQ(next - got, (int64_t)capacity);
            CHECK_EQ(coir_chan_length(&chan), capacity);
            CHECK_EQ(try_recv(&chan), got);
            CHECK_EQ(coir_chan_length(&chan), capacity - 1);
        }
        free_chan();
    }
    return now_ns() == 0 ? 0 : 1;
}

/* proves: Q1 */
TEST(test_items_are_received_in_the_order_in_which_they_were_sent)
{
    run_virtual(in_a_row, NULL);
}

static int rendezvous(void *arg)
{
    (void)arg;
    open_chan(0);
    begin_send("s", &chan, 5, COIR_NEVER);
    CHECK_LOG("");
    CHECK_EQ(coir_chan_length(&chan), 0);
    CHECK_EQ(try_recv(&chan), 5);
    CHECK_LOG("s");
    begin_recv("r", &chan, COIR_NEVER);
    CHECK_LOG("");
    CHECK_EQ(try_send(&chan, 6), 0);
    CHECK_LOG("r:6");
    CHECK_EQ(try_recv(&chan), COIR_TIMED_OUT);
    CHECK_EQ(try_send(&chan, 7), COIR_TIMED_OUT);
    return free_chan();
}

/* proves: Q1 */
TEST(test_without_a_buffer_a_sender_waits_until_a_receiver_has_its_item)
{
    run_virtual(rendezvous, NULL);
}

static int hand_over(void *arg)
{
    (void)arg;
    for (size_t capacity = 0; capacity < 3; capacity++) {
        open_chan(capacity);
        struct waiter *r = begin_recv("r", &chan, COIR_NEVER);
        CHECK_EQ(try_send(&chan, 9), 0);
        CHECK_EQ(r->item, 9); /* though it has not run */
        CHECK(!r->ended);
        CHECK_EQ(coir_chan_length(&chan), 0);
        CHECK_EQ(try_recv(&chan), COIR_TIMED_OUT); /* nobody overtakes */
        CHECK_LOG("r:9");
        free_chan();
    }
    return 0;
}

/* proves: Q1 */
TEST(test_an_item_goes_into_the_memory_of_the_receiver_that_waits)
{
    run_virtual(hand_over, NULL);
}

static int served_in_turn(void *arg)
{
    (void)arg;
    open_chan(0);
    begin_send("a", &chan, 1, COIR_NEVER);
    begin_send("b", &chan, 2, coir_after(100));
    begin_send("c", &chan, 3, COIR_NEVER);
    for (int i = 1; i <= 3; i++)
        CHECK_EQ(try_recv(&chan), i);
    CHECK_LOG("a b c");
    begin_recv("a", &chan, COIR_NEVER);
    begin_recv("b", &chan, coir_after(100));
    begin_recv("c", &chan, COIR_NEVER);
    for (int i = 1; i <= 3; i++)
        CHECK_EQ(try_send(&chan, i), 0);
    CHECK_EQ(try_send(&chan, 4), COIR_TIMED_OUT);
    CHECK_LOG("a:1 b:2 c:3");
    return free_chan();
}

/* proves: Q1 */
TEST(test_senders_and_receivers_are_served_in_the_order_of_coming)
{
    run_virtual(served_in_turn, NULL);
}

static int full(void *arg)
{
    (void)arg;
    open_chan(2);
    CHECK_EQ(try_send(&chan, 1), 0);
    CHECK_EQ(try_send(&chan, 2), 0);
    begin_send("a", &chan, 3, COIR_NEVER);
    begin_send("b", &chan, 4, COIR_NEVER);
    CHECK_EQ(coir_chan_length(&chan), 2);
    CHECK_LOG("");
    CHECK_EQ(try_recv(&chan), 1);
    CHECK_EQ(coir_chan_length(&chan), 2); /* a's item took the room */
    CHECK_EQ(try_send(&chan, 5), COIR_TIMED_OUT);
    CHECK_LOG("a");
    CHECK_EQ(try_recv(&chan), 2);
    CHECK_LOG("b");
    CHECK_EQ(try_recv(&chan), 3);
    CHECK_EQ(try_recv(&chan), 4);
    CHECK_EQ(try_recv(&chan), COIR_TIMED_OUT);
    return free_chan();
}

/* proves: Q1 */
TEST(test_the_room_of_a_full_channel_goes_to_the_sender_that_has_waited_longest)
{
    run_virtual(full, NULL);
}

/* ---- a close ---- */

static int close_on_waiters(void *arg)
{
    (void)arg;
    open_chan(0);
    begin_recv("a", &chan, COIR_NEVER);
    begin_recv("b", &chan, coir_after(100));
    CHECK_EQ(coir_chan_close(&chan), 0);
    CHECK_LOG("a=EPIPE b=EPIPE");
    CHECK_EQ(coir_chan_close(&chan), -EPIPE);
    free_chan();
    open_chan(1);
    CHECK_EQ(try_send(&chan, 1), 0);
    begin_send("c", &chan, 2, COIR_NEVER);
    begin_send("d", &chan, 3, coir_after(100));
    CHECK_EQ(coir_chan_close(&chan), 0);
    CHECK_LOG("c=EPIPE d=EPIPE");
    CHECK_EQ(try_recv(&chan), 1); /* not what c and d have kept */
    CHECK_EQ(try_recv(&chan), -EPIPE);
    return free_chan();
}

/* proves: Q2 */
TEST(test_a_close_ends_the_waits_of_senders_and_receivers)
{
    run_virtual(close_on_waiters, NULL);
}

static int drain(void *arg)
{
    (void)arg;
    int64_t item = -1;
    open_chan(3);
    for (int i = 1; i <= 3; i++)
        CHECK_EQ(try_send(&chan, i), 0);
    CHECK_EQ(coir_chan_close(&chan), 0);
    CHECK_EQ(coir_chan_length(&chan), 3);
    CHECK_EQ(coir_chan_capacity(&chan), 3);
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(coir_chan_send(&chan, &item, COIR_NEVER), -EPIPE); /* though there is room */
        CHECK_EQ(coir_chan_recv(&chan, &item, COIR_NEVER), 0);
        CHECK_EQ(item, i);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_chan_recv(&chan, &item, i ? COIR_NEVER : COIR_TRY), -EPIPE);
        CHECK_EQ(coir_chan_send(&chan, &item, i ? COIR_NEVER : COIR_TRY), -EPIPE);
        CHECK_EQ(coir_chan_close(&chan), -EPIPE);
    }
    CHECK_EQ(item, 3);
    return free_chan();
}

/* proves: Q2 */
TEST(test_what_lies_in_a_closed_channel_is_received_before_it_is_a_broken_pipe)
{
    run_virtual(drain, NULL);
}

static int served_then_closed(void *arg)
{
    (void)arg;
    open_chan(0);
    begin_recv("r", &chan, COIR_NEVER);
    CHECK_EQ(try_send(&chan, 1), 0);
    CHECK_EQ(coir_chan_close(&chan), 0);
    CHECK_LOG("r:1");
    free_chan();
    open_chan(0);
    begin_send("s", &chan, 2, COIR_NEVER);
    CHECK_EQ(try_recv(&chan), 2);
    CHECK_EQ(coir_chan_close(&chan), 0);
    CHECK_LOG("s");
    return free_chan();
}

/* proves: Q2, Y4 */
TEST(test_who_was_served_before_the_close_does_not_notice_it)
{
    run_virtual(served_then_closed, NULL);
}

static int close_cancelled(void *arg)
{
    (void)arg;
    open_chan(0);
    struct waiter *a = begin_recv("a", &chan, COIR_NEVER);
    begin_recv("b", &chan, COIR_NEVER);
    cancel(a);
    CHECK_EQ(coir_chan_close(&chan), 0);
    CHECK_LOG("a=CANCELLED b=EPIPE");
    begin_cancelled("c", call_recv, &chan, NULL, COIR_NEVER);
    begin_cancelled("d", call_send, &chan, NULL, COIR_NEVER);
    CHECK_LOG("c=CANCELLED d=CANCELLED");
    return free_chan();
}

/* proves: Q2, C1 */
TEST(test_a_cancelled_fiber_is_refused_by_a_closed_channel_too)
{
    run_virtual(close_cancelled, NULL);
}

/* ---- putting back ---- */

static int put_back(int64_t item)
{
    return coir_chan_put_back(&chan, &item);
}

static int put_back_anywhere(void *arg)
{
    (void)arg;
    for (size_t capacity = 0; capacity < 4; capacity++) {
        open_chan(capacity);
        CHECK_EQ(put_back(1), 0); /* into an empty one */
        for (int i = 2; i <= 40; i++)
            CHECK_EQ(put_back(i), 0); /* and a full one */
        CHECK_EQ(coir_chan_length(&chan), 40);
        CHECK_EQ(coir_chan_capacity(&chan), capacity);
        CHECK_EQ(try_send(&chan, 0), COIR_TIMED_OUT);
        CHECK_EQ(coir_chan_close(&chan), 0);
        CHECK_EQ(put_back(41), 0); /* and a closed one */
        for (int i = 41; i >= 1; i--)
            CHECK_EQ(try_recv(&chan), i);
        CHECK_EQ(try_recv(&chan), -EPIPE);
        CHECK_EQ(put_back(42), 0);
        CHECK_EQ(try_recv(&chan), 42);
        CHECK_EQ(try_recv(&chan), -EPIPE);
        free_chan();
    }
    return 0;
}

/* proves: Q3 */
TEST(test_what_is_put_back_is_received_next_from_an_empty_a_full_or_a_closed_channel)
{
    run_virtual(put_back_anywhere, NULL);
}

static int put_back_to_waiters(void *arg)
{
    (void)arg;
    open_chan(0);
    begin_recv("a", &chan, COIR_NEVER);
    begin_recv("b", &chan, COIR_NEVER);
    CHECK_EQ(put_back(1), 0);
    CHECK_EQ(put_back(2), 0);
    CHECK_EQ(coir_chan_length(&chan), 0);
    CHECK_LOG("a:1 b:2");
    begin_send("s", &chan, 4, COIR_NEVER);
    CHECK_EQ(put_back(3), 0); /* before what a sender waits with */
    CHECK_EQ(coir_chan_length(&chan), 1);
    CHECK_EQ(try_recv(&chan), 3);
    CHECK_LOG("");
    CHECK_EQ(try_recv(&chan), 4);
    CHECK_LOG("s");
    return free_chan();
}

/* proves: Q3 */
TEST(test_what_is_put_back_goes_to_the_receiver_that_has_waited_longest)
{
    run_virtual(put_back_to_waiters, NULL);
}

static int over_full(void *arg)
{
    (void)arg;
    open_chan(2);
    CHECK_EQ(try_send(&chan, 3), 0);
    CHECK_EQ(try_send(&chan, 4), 0);
    begin_send("s", &chan, 5, COIR_NEVER);
    CHECK_EQ(put_back(2), 0);
    CHECK_EQ(put_back(1), 0);
    CHECK_EQ(coir_chan_length(&chan), 4);
    for (int i = 1; i <= 2; i++) {
        CHECK_EQ(try_recv(&chan), i);
        CHECK_LOG(""); /* it is full still */
    }
    CHECK_EQ(try_recv(&chan), 3);
    CHECK_LOG("s");
    CHECK_EQ(try_recv(&chan), 4);
    CHECK_EQ(try_recv(&chan), 5);
    return free_chan();
}

/* proves: Q1, Q3 */
TEST(test_senders_wait_until_a_channel_that_is_more_than_full_has_room)
{
    run_virtual(over_full, NULL);
}

static int receive_and_return(struct waiter *w)
{
    int64_t item = -1;
    CHECK_EQ(coir_chan_recv(w->object, &item, w->until), 0);
    int result = coir_sleep(COIR_SEC(1));
    if (result == COIR_CANCELLED)
        CHECK_EQ(coir_chan_put_back(w->object, &item), 0);
    return result;
}

static int with_an_item_in_its_hand(void *arg)
{
    (void)arg;
    open_chan(2);
    CHECK_EQ(try_send(&chan, 1), 0);
    CHECK_EQ(try_send(&chan, 2), 0);
    struct waiter *r = begin("r", receive_and_return, &chan, COIR_NEVER);
    CHECK_EQ(try_send(&chan, 3), 0);
    cancel(r);
    CHECK_LOG("r=CANCELLED");
    for (int i = 1; i <= 3; i++)
        CHECK_EQ(try_recv(&chan), i);
    return free_chan();
}

/* proves: Q3 */
TEST(test_a_fiber_that_is_cancelled_with_an_item_in_its_hand_puts_it_back)
{
    run_virtual(with_an_item_in_its_hand, NULL);
}

/* ---- what is freed ---- */

static char dropped[64];

static void note_dropped(void *item, void *arg)
{
    char text[8];
    int64_t number;
    memcpy(&number, item, sizeof number);
    snprintf(text, sizeof text, "%s%d", (const char *)arg, (int)number);
    strcat(dropped, text);
}

static int drop_the_rest(void *arg)
{
    static char prefix[] = " ";
    (void)arg;
    open_chan(4);
    for (int i = 1; i <= 4; i++)
        CHECK_EQ(try_send(&chan, i), 0);
    CHECK_EQ(try_recv(&chan), 1);
    CHECK_EQ(try_recv(&chan), 2);
    CHECK_EQ(try_send(&chan, 5), 0);
    CHECK_EQ(put_back(2), 0);
    coir_chan_free(&chan, note_dropped, prefix);
    CHECK_STR(dropped, " 2 3 4 5");
    coir_chan_free(&chan, note_dropped, prefix); /* freed */
    CHECK_STR(dropped, " 2 3 4 5");
    coir_chan zeros = {{0}};
    coir_chan_free(&zeros, note_dropped, prefix);
    open_chan(1);
    CHECK_EQ(coir_chan_close(&chan), 0);
    coir_chan_free(&chan, note_dropped, prefix);
    CHECK_STR(dropped, " 2 3 4 5");
    return 0;
}

/* proves: Q4 */
TEST(test_what_is_left_when_a_channel_is_freed_is_dropped_in_order)
{
    run_virtual(drop_the_rest, NULL);
}

/* The memory is not the channel's any more. */
static void reuse_memory(void *item, void *arg)
{
    note_dropped(item, arg);
    memset(&chan, 0, sizeof chan);
    open_chan(1);
    CHECK_EQ(try_send(&chan, 7), 0);
    CHECK_EQ(try_recv(&chan), 7);
    free_chan();
}

static int drop_and_reuse(void *arg)
{
    static char prefix[] = " ";
    (void)arg;
    open_chan(3);
    for (int i = 1; i <= 3; i++)
        CHECK_EQ(try_send(&chan, i), 0);
    coir_chan_free(&chan, reuse_memory, prefix);
    CHECK_STR(dropped, " 1 2 3");
    return free_chan();
}

/* proves: Q4 */
TEST(test_a_drop_may_use_the_memory_of_the_channel_again)
{
    run_virtual(drop_and_reuse, NULL);
}
