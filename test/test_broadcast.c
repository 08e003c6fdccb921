/* Broadcasts: every subscriber sees each item, or learns how many it has missed. Generators: a
 * fiber whose items are received. */
#include "run.h"

#include <coir_chan.h>
#include <coir_select.h>
#include <coir_test.h>
#include <sys/wait.h>

static coir_broadcast the_broadcast;

static void open_broadcast(size_t capacity)
{
    CHECK_EQ(coir_broadcast_open(&the_broadcast, sizeof(int), capacity), 0);
}

static int send_to_all(int item)
{
    return coir_broadcast_send(&the_broadcast, &item);
}

/* Notes what comes as "missed:item", and the end. */
static int listen_to_all(void *arg)
{
    coir_subscriber subscriber = coir_broadcast_subscribe(&the_broadcast);
    int item = 0, missed;
    (void)arg;
    while ((missed = coir_subscriber_recv(&subscriber, &item, COIR_NEVER)) >= 0) {
        char text[32];
        snprintf(text, sizeof text, "%d:%d", missed, item);
        run_note(text);
    }
    CHECK_EQ(missed, -EPIPE);
    run_note("end");
    return 0;
}

static int two_listen(void *arg)
{
    (void)arg;
    open_broadcast(2);
    CHECK_EQ(send_to_all(1), 0);
    run_spawn(listen_to_all, NULL);
    run_spawn(listen_to_all, NULL);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(send_to_all(2), 0);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(send_to_all(3), 0);
    CHECK_EQ(send_to_all(4), 0);
    CHECK_EQ(coir_broadcast_close(&the_broadcast), 0);
    CHECK_EQ(coir_broadcast_close(&the_broadcast), -EPIPE);
    CHECK_EQ(send_to_all(5), -EPIPE);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    coir_broadcast_free(&the_broadcast);
    coir_broadcast_free(&the_broadcast);
    return 0;
}

/* proves: Q7 */
TEST(test_broadcast_gives_each_item_to_every_subscriber_from_its_subscription_on)
{
    run_virtual(two_listen, NULL);
    CHECK_STR(run_log, "0:2 0:2 0:3 0:4 end 0:3 0:4 end");
}

static int slow_one(void *arg)
{
    int item = 0;
    (void)arg;
    open_broadcast(3);
    coir_subscriber slow = coir_broadcast_subscribe(&the_broadcast), copy = slow;
    CHECK_EQ(coir_subscriber_recv(&slow, &item, COIR_TRY), COIR_TIMED_OUT);
    for (int i = 1; i <= 10; i++)
        CHECK_EQ(send_to_all(i), 0);
    CHECK_EQ(coir_subscriber_recv(&slow, &item, COIR_TRY), 7);
    CHECK_EQ(item, 8);
    CHECK_EQ(send_to_all(11), 0);
    for (int i = 9; i <= 11; i++) {
        CHECK_EQ(coir_subscriber_recv(&slow, &item, COIR_NEVER), 0);
        CHECK_EQ(item, i);
    }
    CHECK_EQ(coir_subscriber_recv(&slow, &item, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    CHECK_EQ(coir_subscriber_recv(&copy, &item, COIR_NEVER), 8);
    CHECK_EQ(item, 9);
    coir_broadcast_free(&the_broadcast);
    return 0;
}

/* proves: Q7 */
TEST(test_subscriber_that_is_slow_learns_how_many_items_it_has_missed)
{
    run_virtual(slow_one, NULL);
}

/* Two fibers share one subscriber: each item goes to one of them. */
static int shares(void *arg)
{
    int item = 0;
    CHECK_EQ(coir_subscriber_recv(arg, &item, COIR_NEVER), 0);
    return item;
}

static int two_share(void *arg)
{
    coir_fiber fibers[2];
    (void)arg;
    open_broadcast(1);
    coir_subscriber subscriber = coir_broadcast_subscribe(&the_broadcast);
    for (int i = 0; i < 2; i++)
        fibers[i] = run_spawn(shares, &subscriber);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(send_to_all(1), 0);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(send_to_all(2), 0);
    CHECK_EQ(run_join(fibers[0]) + run_join(fibers[1]), 3);
    coir_broadcast_free(&the_broadcast);
    return 0;
}

/* proves: Q7 */
TEST(test_subscriber_that_two_fibers_share_gives_each_item_once)
{
    run_virtual(two_share, NULL);
}

static int selects(void *arg)
{
    coir_subscriber *subscriber = arg;
    int item = 0;
    coir_case it = coir_case_subscriber(subscriber, &item);
    CHECK_EQ(coir_select(&it, 1, 0, COIR_NEVER), 0);
    return it.result < 0 ? it.result : it.result * 100 + item;
}

static int select_of_broadcast(void *arg)
{
    (void)arg;
    open_broadcast(2);
    coir_subscriber subscriber = coir_broadcast_subscribe(&the_broadcast);
    coir_fiber fiber = run_spawn(selects, &subscriber);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    for (int i = 1; i <= 3; i++)
        CHECK_EQ(send_to_all(i), 0);
    CHECK_EQ(run_join(fiber), 1); /* the one that has ended the wait */
    CHECK_EQ(send_to_all(4), 0);
    CHECK_EQ(selects(&subscriber), 103);
    CHECK_EQ(selects(&subscriber), 4);
    fiber = run_spawn(selects, &subscriber);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    coir_broadcast_close(&the_broadcast);
    int result = 0;
    CHECK_EQ(coir_join(fiber, &result, COIR_NEVER), 0);
    CHECK_EQ(result, -EPIPE);
    coir_broadcast_free(&the_broadcast);
    return 0;
}

/* proves: Q7, Z1 */
TEST(test_select_receives_from_a_broadcast)
{
    run_virtual(select_of_broadcast, NULL);
}

/* ---- generators ---- */

static coir_generator the_generator;

static int counts_to(coir_chan *out, void *arg)
{
    int result = 0, last = *(int *)arg;
    for (int i = 1; i <= last && result == 0; i++)
        result = coir_chan_send(out, &i, COIR_NEVER);
    run_note(result == 0 ? "whole" : coir_error_name(result));
    return result == 0 ? last : result;
}

static int all_items(void *arg)
{
    int item = 0;
    CHECK_EQ(coir_generator_open(&the_generator, sizeof item, counts_to, arg), 0);
    for (int i = 1; i <= *(int *)arg; i++) {
        CHECK_EQ(coir_generator_next(&the_generator, &item, COIR_NEVER), 0);
        CHECK_EQ(item, i);
    }
    CHECK_EQ(coir_generator_next(&the_generator, &item, COIR_NEVER), -EPIPE);
    CHECK_EQ(coir_generator_next(&the_generator, &item, COIR_TRY), -EPIPE);
    CHECK_EQ(coir_generator_close(&the_generator), *(int *)arg);
    return 0;
}

/* proves: Q8 */
TEST(test_generator_gives_its_items_and_then_its_result)
{
    for (int last = 0; last < 4; last++)
        run_virtual(all_items, &last);
}

static int closed_early(void *arg)
{
    int last = 1000, item = 0;
    (void)arg;
    CHECK_EQ(coir_generator_open(&the_generator, sizeof item, counts_to, &last), 0);
    CHECK_EQ(coir_generator_next(&the_generator, &item, coir_after(COIR_MS(1))), 0);
    CHECK_EQ(coir_generator_close(&the_generator), COIR_CANCELLED);
    CHECK_STR(run_log, "COIR_CANCELLED");
    CHECK_EQ(coir_generator_open(&the_generator, sizeof item, counts_to, &last), 0);
    CHECK_EQ(coir_generator_next(&the_generator, &item, COIR_NEVER), 0);
    return 0; /* its end is that of the scope */
}

/* proves: Q8 */
TEST(test_generator_that_is_left_early_is_cancelled)
{
    run_virtual(closed_early, NULL);
    CHECK_STR(run_log, "COIR_CANCELLED COIR_CANCELLED");
}

static int fails_third(coir_chan *out, void *arg)
{
    int result = 0;
    for (int i = 1; i <= 2 && result == 0; i++)
        result = coir_chan_send(out, &i, COIR_NEVER);
    return result == 0 ? *(int *)arg : result;
}

static int failure_is_seen_at_close(void *arg)
{
    int error = -EIO, item = 0;
    (void)arg;
    CHECK_EQ(coir_generator_open(&the_generator, sizeof item, fails_third, &error), 0);
    while (coir_generator_next(&the_generator, &item, COIR_NEVER) == 0)
        continue;
    CHECK_EQ(item, 2);
    CHECK_EQ(coir_generator_close(&the_generator), -EIO);
    return 0;
}

/* proves: Q8 */
TEST(test_generator_that_fails_says_so_when_it_is_closed)
{
    run_virtual(failure_is_seen_at_close, NULL);
}

/* ---- bad input ---- */

static int bad_sizes(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_broadcast_open(&the_broadcast, 8, 0), -EINVAL);
    CHECK_EQ(coir_broadcast_open(&the_broadcast, SIZE_MAX / 2, 4), -ENOMEM);
    CHECK_EQ(coir_broadcast_open(&the_broadcast, 0, 2), 0);
    coir_subscriber subscriber = coir_broadcast_subscribe(&the_broadcast);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_broadcast_send(&the_broadcast, NULL), 0);
    CHECK_EQ(coir_subscriber_recv(&subscriber, NULL, COIR_TRY), 1);
    coir_broadcast_free(&the_broadcast);
    return 0;
}

/* proves: Q7, F1 */
TEST(test_broadcast_of_no_capacity_is_refused_and_of_no_size_is_not)
{
    run_virtual(bad_sizes, NULL);
}

static int sends_unopened(void *arg)
{
    return coir_broadcast_send(&the_broadcast, arg);
}

TEST_DIES(test_send_to_a_broadcast_that_is_not_open_is_a_mistake, SIGABRT,
          "coir_broadcast_send: the broadcast is not open")
{
    run_virtual(sends_unopened, NULL);
}

static int frees_waited_for(void *arg)
{
    (void)arg;
    open_broadcast(1);
    run_spawn(listen_to_all, NULL);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    coir_broadcast_free(&the_broadcast);
    return 0;
}

TEST_DIES(test_free_of_a_broadcast_that_a_fiber_waits_for_is_a_mistake, SIGABRT,
          "coir_broadcast_free: a fiber waits for the broadcast")
{
    run_virtual(frees_waited_for, NULL);
}

static int in_child(void *arg)
{
    int status = 0, item = 0;
    (void)arg;
    open_broadcast(1);
    coir_subscriber subscriber = coir_broadcast_subscribe(&the_broadcast);
    pid_t child = fork();
    if (child == 0) {
        bool refused = send_to_all(1) == -ECHILD &&
                       coir_broadcast_close(&the_broadcast) == -ECHILD &&
                       coir_subscriber_recv(&subscriber, &item, COIR_NEVER) == -ECHILD;
        coir_broadcast_free(&the_broadcast);
        _exit(!refused);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    coir_broadcast_free(&the_broadcast);
    return 0;
}

/* proves: L1 */
TEST(test_forked_child_has_nothing_of_its_parents_broadcast)
{
    run_virtual(in_child, NULL);
}
