/* What stops the program with one line: channels that are not open or another thread's, calls that
 * wait outside of fibers, locks that the caller does not hold. */
#include "sync_things.h"

#include <pthread.h>

static int64_t item;

/* ---- a channel that is not open ---- */

static int send_it(void *arg)
{
    return coir_chan_send(arg, &item, COIR_NEVER);
}

static int recv_it(void *arg)
{
    return coir_chan_recv(arg, &item, COIR_NEVER);
}

static int try_send_it(void *arg)
{
    return coir_chan_send(arg, &item, COIR_TRY);
}

static int try_recv_it(void *arg)
{
    return coir_chan_recv(arg, &item, COIR_TRY);
}

static int put_back_it(void *arg)
{
    return coir_chan_put_back(arg, &item);
}

static int close_it(void *arg)
{
    return coir_chan_close(arg);
}

static int select_send_it(void *arg)
{
    coir_case it = coir_case_send(arg, &item);
    return coir_select(&it, 1, 0, COIR_NEVER);
}

static int select_recv_it(void *arg)
{
    coir_case it = coir_case_recv(arg, &item);
    return coir_select(&it, 1, 0, COIR_NEVER);
}

#define NOT_OPEN ": the channel is not open (in fiber 0, called from "

static void with_zeros(int (*call)(void *chan))
{
    static coir_chan zeros;
    run_as(call, &zeros, COIR_CLOCK_VIRTUAL, NULL);
}

/* proves: Q4, F2 */
TEST_DIES(test_a_send_to_a_channel_that_is_not_open_stops, SIGABRT, "coir: coir_chan_send" NOT_OPEN)
{
    with_zeros(send_it);
}

/* proves: Q4, F2 */
TEST_DIES(test_a_receive_from_a_channel_that_is_not_open_stops, SIGABRT,
          "coir: coir_chan_recv" NOT_OPEN)
{
    with_zeros(recv_it);
}

/* proves: Q4, F2 */
TEST_DIES(test_a_try_to_send_to_a_channel_that_is_not_open_stops, SIGABRT,
          "coir: coir_chan_send" NOT_OPEN)
{
    with_zeros(try_send_it);
}

/* proves: Q4, F2 */
TEST_DIES(test_a_try_to_receive_from_a_channel_that_is_not_open_stops, SIGABRT,
          "coir: coir_chan_recv" NOT_OPEN)
{
    with_zeros(try_recv_it);
}

/* proves: Q4, F2 */
TEST_DIES(test_a_put_back_into_a_channel_that_is_not_open_stops, SIGABRT,
          "coir: coir_chan_put_back" NOT_OPEN)
{
    with_zeros(put_back_it);
}

/* proves: Q4, F2 */
TEST_DIES(test_a_close_of_a_channel_that_is_not_open_stops, SIGABRT,
          "coir: coir_chan_close" NOT_OPEN)
{
    with_zeros(close_it);
}

/* proves: Q4, F2 */
TEST_DIES(test_a_case_that_sends_to_a_channel_that_is_not_open_stops, SIGABRT,
          "coir: coir_select" NOT_OPEN)
{
    with_zeros(select_send_it);
}

/* proves: Q4, F2 */
TEST_DIES(test_a_case_that_receives_from_a_channel_that_is_not_open_stops, SIGABRT,
          "coir: coir_select" NOT_OPEN)
{
    with_zeros(select_recv_it);
}

static int send_to_freed(void *arg)
{
    CHECK_EQ(coir_chan_open(arg, sizeof item, 3), 0);
    CHECK_EQ(coir_chan_send(arg, &item, COIR_NEVER), 0);
    coir_chan_free(arg, NULL, NULL);
    return coir_chan_send(arg, &item, COIR_NEVER);
}

/* proves: Q4, F2 */
TEST_DIES(test_a_send_to_a_channel_that_was_freed_stops, SIGABRT, "coir: coir_chan_send" NOT_OPEN)
{
    static coir_chan chan;
    run_as(send_to_freed, &chan, COIR_CLOCK_VIRTUAL, NULL);
}

/* ---- a channel of another thread ---- */

static int (*in_the_thread)(void *arg);

static void *run_in_a_thread(void *arg)
{
    run_as(in_the_thread, arg, COIR_CLOCK_VIRTUAL, NULL);
    return NULL;
}

static int open_for_a_thread(void *arg)
{
    pthread_t thread;
    CHECK_EQ(coir_chan_open(arg, sizeof item, 1), 0);
    CHECK_EQ(pthread_create(&thread, NULL, run_in_a_thread, arg), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return 0;
}

#define FOREIGN ": the channel belongs to another thread (in fiber 0, called from "

static void in_another_thread(int (*call)(void *chan))
{
    static coir_chan chan;
    in_the_thread = call;
    run_as(open_for_a_thread, &chan, COIR_CLOCK_VIRTUAL, NULL);
}

/* proves: Q4, F2 */
TEST_DIES(test_a_send_to_another_threads_channel_stops, SIGABRT, "coir: coir_chan_send" FOREIGN)
{
    in_another_thread(send_it);
}

/* proves: Q4, F2 */
TEST_DIES(test_a_receive_from_another_threads_channel_stops, SIGABRT,
          "coir: coir_chan_recv" FOREIGN)
{
    in_another_thread(recv_it);
}

/* proves: Q4, F2 */
TEST_DIES(test_a_put_back_into_another_threads_channel_stops, SIGABRT,
          "coir: coir_chan_put_back" FOREIGN)
{
    in_another_thread(put_back_it);
}

/* proves: Q4, F2 */
TEST_DIES(test_a_close_of_another_threads_channel_stops, SIGABRT, "coir: coir_chan_close" FOREIGN)
{
    in_another_thread(close_it);
}

/* proves: Q4, F2 */
TEST_DIES(test_a_case_with_another_threads_channel_stops, SIGABRT, "coir: coir_select" FOREIGN)
{
    in_another_thread(select_send_it);
}

static void *send_in_a_thread(void *arg)
{
    coir_chan_send(arg, &item, COIR_TRY);
    return NULL;
}

static int open_for_a_bare_thread(void *arg)
{
    pthread_t thread;
    CHECK_EQ(coir_chan_open(arg, sizeof item, 1), 0);
    CHECK_EQ(pthread_create(&thread, NULL, send_in_a_thread, arg), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return 0;
}

/* proves: Q4, F2 */
TEST_DIES(test_a_try_to_send_in_a_thread_without_a_scheduler_stops, SIGABRT,
          "coir: coir_chan_send: called in a thread without a scheduler (in no fiber, called from ")
{
    static coir_chan chan;
    run_as(open_for_a_bare_thread, &chan, COIR_CLOCK_VIRTUAL, NULL);
}

/* proves: Q4, F2 */
TEST_DIES(test_an_open_in_a_thread_without_a_scheduler_stops, SIGABRT,
          "coir: coir_chan_open: called in a thread without a scheduler")
{
    coir_chan chan;
    coir_chan_open(&chan, 8, 0);
}

/* ---- freed while a fiber waits ---- */

static int free_before_receiver(void *arg)
{
    CHECK_EQ(coir_chan_open(arg, sizeof item, 0), 0);
    begin_recv("r", arg, COIR_NEVER);
    coir_chan_free(arg, NULL, NULL);
    return 0;
}

static int free_before_sender(void *arg)
{
    CHECK_EQ(coir_chan_open(arg, sizeof item, 0), 0);
    begin_send("s", arg, 1, COIR_NEVER);
    coir_chan_free(arg, NULL, NULL);
    return 0;
}

static int free_before_select(void *arg)
{
    CHECK_EQ(coir_chan_open(&the_chan, sizeof item, 0), 0);
    thing_waiter(&THINGS[THING_RECV], IN_TWO, COIR_NEVER);
    settle();
    coir_chan_free(&the_chan, NULL, NULL);
    return arg ? 1 : 0;
}

#define WAITED_FOR "coir: coir_chan_free: a fiber waits for the channel (in fiber 0, called from "

static void free_before(int (*fn)(void *arg))
{
    static coir_chan chan;
    run_as(fn, &chan, COIR_CLOCK_VIRTUAL, NULL);
}

/* proves: Q4, F2 */
TEST_DIES(test_freeing_a_channel_for_which_a_receiver_waits_stops, SIGABRT, WAITED_FOR)
{
    free_before(free_before_receiver);
}

/* proves: Q4, F2 */
TEST_DIES(test_freeing_a_channel_for_which_a_sender_waits_stops, SIGABRT, WAITED_FOR)
{
    free_before(free_before_sender);
}

/* proves: Q4, F2 */
TEST_DIES(test_freeing_a_channel_for_which_a_select_waits_stops, SIGABRT, WAITED_FOR)
{
    free_before(free_before_select);
}
