/* Broadcasts: every subscriber sees each item, or learns how many it has missed; and who has waited
 * has his item, whatever becomes of the broadcast. */
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

/* ---- what is freed at once ---- */

static int64_t freed_first[2];

static int receives_to_first(void *arg)
{
    coir_subscriber subscriber = coir_broadcast_subscribe(arg);
    coir_case it = coir_case_subscriber(&subscriber, &freed_first[1]);
    int result = freed_first[0] ? coir_select(&it, 1, 0, COIR_NEVER)
                                : coir_subscriber_recv(&subscriber, &freed_first[1], COIR_NEVER);
    return result < 0 ? result : freed_first[0] ? it.result : result;
}

static int frees_at_once(void *arg)
{
    (void)arg;
    for (freed_first[0] = 0; freed_first[0] < 2; freed_first[0]++)
        for (int closes = 0; closes < 2; closes++) {
            coir_broadcast *one = calloc(1, sizeof *one);
            CHECK(one);
            CHECK_EQ(coir_broadcast_open(one, sizeof(int64_t), 1), 0);
            coir_fiber fiber = run_spawn(receives_to_first, one);
            CHECK_EQ(coir_idle(COIR_NEVER), 0);
            if (closes)
                CHECK_EQ(coir_broadcast_close(one), 0);
            else
                CHECK_EQ(coir_broadcast_send(one, &(int64_t){9}), 0);
            if (freed_first[0] == 0) { /* a select looks at it until it returns */
                coir_broadcast_free(one);
                memset(one, 0xa5, sizeof *one);
            }
            int result = 0;
            CHECK_EQ(coir_join(fiber, &result, COIR_NEVER), 0);
            CHECK_EQ(result, closes ? -EPIPE : 0);
            CHECK(closes || freed_first[1] == 9);
            if (freed_first[0] == 1)
                coir_broadcast_free(one);
            free(one);
        }
    return 0;
}

/* proves: Y4, Q7 */
TEST(test_regress_broadcast_that_was_freed_after_a_send_was_read_by_who_had_waited)
{
    run_virtual(frees_at_once, NULL);
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

static int receives_from_none(void *arg)
{
    coir_subscriber none = {NULL, 0};
    (void)arg;
    return coir_subscriber_recv(&none, NULL, COIR_TRY);
}

TEST_DIES(test_subscriber_of_no_broadcast_is_a_mistake, SIGABRT,
          "coir_subscriber_recv: the subscriber has no broadcast")
{
    run_virtual(receives_from_none, NULL);
}

static int receives_from_earlier(void *arg)
{
    int item = 0;
    (void)arg;
    open_broadcast(1);
    CHECK_EQ(send_to_all(1), 0);
    coir_subscriber earlier = coir_broadcast_subscribe(&the_broadcast);
    coir_broadcast_free(&the_broadcast);
    open_broadcast(1);
    return coir_subscriber_recv(&earlier, &item, COIR_TRY);
}

TEST_DIES(test_subscriber_of_an_earlier_broadcast_is_a_mistake, SIGABRT,
          "the subscriber is of an earlier broadcast")
{
    run_virtual(receives_from_earlier, NULL);
}
