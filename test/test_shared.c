/* Channels, semaphores and events between threads: what is promised of each, in fibers of two
 * schedulers and in threads without one. */
#include "shared.h"

static coir_shared_chan the_chan;
static coir_shared_sem the_sem;
static coir_shared_event the_event;

/* ---- channels ---- */

enum { ITEMS = 2000 };

static int send_all(void *arg)
{
    (void)arg;
    for (int64_t i = 0; i < ITEMS; i++)
        CHECK_EQ(shared_send(&the_chan, i, COIR_NEVER), 0);
    return coir_shared_chan_close(&the_chan);
}

static int recv_all(void *arg)
{
    (void)arg;
    for (int64_t i = 0; i < ITEMS; i++)
        CHECK_EQ(shared_recv(&the_chan, COIR_NEVER), i);
    CHECK_EQ(shared_recv(&the_chan, COIR_NEVER), -EPIPE);
    CHECK_EQ(shared_send(&the_chan, 1, COIR_NEVER), -EPIPE);
    return 0;
}

static void pass_all(bool sender_is_bare, bool receiver_is_bare, size_t capacity)
{
    struct party sender = {.fn = send_all, .is_bare = sender_is_bare};
    struct party receiver = {.fn = recv_all, .is_bare = receiver_is_bare};
    open_chan(&the_chan, capacity);
    party_start(&sender);
    party_start(&receiver);
    party_end(&sender);
    party_end(&receiver);
    coir_shared_chan_free(&the_chan, NULL, NULL);
}

/* proves: A1, A2, A3 */
TEST(test_shared_channel_keeps_the_order_between_fibers_and_threads_of_any_kind)
{
    static const size_t CAPACITIES[] = {0, 1, 3, 1000};
    for (int i = 0; i < 4; i++)
        for (int bare = 0; bare < 4; bare++)
            pass_all(bare & 1, bare & 2, CAPACITIES[i]);
}

static int recv_one(void *arg)
{
    *(int64_t *)arg = shared_recv(&the_chan, COIR_NEVER);
    return 0;
}

static int send_one(void *arg)
{
    return shared_send(&the_chan, *(int *)arg, COIR_NEVER);
}

static int first_come_first_served(void *arg)
{
    int64_t got[3];
    (void)arg;
    for (int i = 0; i < 3; i++)
        run_spawn(recv_one, &got[i]);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(shared_send(&the_chan, i, COIR_TRY), 0);
    CHECK_EQ(shared_send(&the_chan, 9, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(got[i], i);
    return 0;
}

/* proves: A1 */
TEST(test_shared_channel_serves_who_came_first)
{
    open_chan(&the_chan, 0);
    run_monotonic(first_come_first_served, NULL);
    coir_shared_chan_free(&the_chan, NULL, NULL);
}

static int senders_in_order(void *arg)
{
    static int numbers[] = {1, 2, 3};
    (void)arg;
    CHECK_EQ(shared_send(&the_chan, 0, COIR_NEVER), 0);
    for (int i = 0; i < 3; i++)
        run_spawn(send_one, &numbers[i]);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(coir_shared_chan_length(&the_chan), 1);
    CHECK_EQ(coir_shared_chan_capacity(&the_chan), 1);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(shared_recv(&the_chan, COIR_TRY), i);
    CHECK_EQ(shared_recv(&the_chan, COIR_TRY), COIR_TIMED_OUT);
    return 0;
}

/* proves: A1 */
TEST(test_shared_channel_takes_in_items_of_senders_that_wait)
{
    open_chan(&the_chan, 1);
    run_monotonic(senders_in_order, NULL);
    coir_shared_chan_free(&the_chan, NULL, NULL);
}

static int refused_send(void *arg)
{
    CHECK_EQ(send_one(arg), -EPIPE);
    return 0;
}

static int refused_recv(void *arg)
{
    (void)arg;
    CHECK_EQ(shared_recv(&the_chan, COIR_NEVER), -EPIPE);
    return 0;
}

/* proves: A1, A2 */
TEST(test_close_of_a_shared_channel_ends_every_wait)
{
    static int five = 5;
    for (int bare = 0; bare < 4; bare++)
        for (int sends = 0; sends < 2; sends++) {
            struct party parties[2];
            open_chan(&the_chan, 0);
            for (int i = 0; i < 2; i++) {
                parties[i] = (struct party){.fn = sends ? refused_send : refused_recv,
                                            .arg = &five,
                                            .is_bare = bare >> i & 1};
                party_start(&parties[i]);
            }
            party_pause(COIR_MS(2));
            CHECK_EQ(coir_shared_chan_close(&the_chan), 0);
            CHECK_EQ(coir_shared_chan_close(&the_chan), -EPIPE);
            for (int i = 0; i < 2; i++)
                party_end(&parties[i]);
            coir_shared_chan_free(&the_chan, NULL, NULL);
        }
}

static int64_t dropped[8];

static void drop(void *item, void *arg)
{
    dropped[(*(int *)arg)++] = *(int64_t *)item;
}

/* proves: A1 */
TEST(test_shared_channel_takes_items_back_and_drops_what_is_left)
{
    int64_t item = 7;
    int count = 0;
    open_chan(&the_chan, 2);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(shared_send(&the_chan, i, COIR_NEVER), 0);
    CHECK_EQ(shared_send(&the_chan, 2, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_shared_chan_close(&the_chan), 0);
    CHECK_EQ(coir_shared_chan_put_back(&the_chan, &item), 0);
    CHECK_EQ(coir_shared_chan_length(&the_chan), 3);
    CHECK_EQ(shared_recv(&the_chan, COIR_NEVER), 7);
    coir_shared_chan_free(&the_chan, drop, &count);
    CHECK_EQ(count, 2);
    CHECK(dropped[0] == 0 && dropped[1] == 1);
    coir_shared_chan_free(&the_chan, drop, &count);
    CHECK_EQ(count, 2);
}

static int receives_what_is_put_back(void *arg)
{
    int64_t got = -1, item = 4;
    (void)arg;
    run_spawn(recv_one, &got);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(coir_shared_chan_put_back(&the_chan, &item), 0);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(got, 4);
    return 0;
}

/* proves: A1 */
TEST(test_what_is_put_back_goes_to_who_waits)
{
    open_chan(&the_chan, 0);
    run_monotonic(receives_what_is_put_back, NULL);
    coir_shared_chan_free(&the_chan, NULL, NULL);
}

/* proves: A1, F1 */
TEST(test_shared_channel_of_items_without_size_counts_them)
{
    CHECK_EQ(coir_shared_chan_open(&the_chan, 0, 3), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_shared_chan_send(&the_chan, NULL, COIR_NEVER), 0);
    CHECK_EQ(coir_shared_chan_send(&the_chan, NULL, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_shared_chan_recv(&the_chan, NULL, COIR_NEVER), 0);
    CHECK_EQ(coir_shared_chan_length(&the_chan), 2);
    coir_shared_chan_free(&the_chan, NULL, NULL);
    CHECK_EQ(coir_shared_chan_open(&the_chan, SIZE_MAX / 2, 4), -ENOMEM);
}

/* ---- semaphores and events ---- */

static int acquire_one(void *arg)
{
    (void)arg;
    return coir_shared_sem_acquire(&the_sem, COIR_NEVER);
}

/* proves: A1, A2 */
TEST(test_shared_semaphore_has_as_many_permits_as_were_given)
{
    struct party parties[4];
    CHECK_EQ(coir_shared_sem_open(&the_sem, 1), 0);
    for (int i = 0; i < 4; i++) {
        parties[i] = (struct party){.fn = acquire_one, .is_bare = i & 1};
        party_start(&parties[i]);
    }
    party_pause(COIR_MS(2));
    coir_shared_sem_release(&the_sem, 5);
    for (int i = 0; i < 4; i++)
        party_end(&parties[i]);
    CHECK_EQ(coir_shared_sem_count(&the_sem), 2);
    CHECK_EQ(coir_shared_sem_acquire(&the_sem, COIR_TRY), 0);
    CHECK_EQ(coir_shared_sem_acquire(&the_sem, COIR_NEVER), 0);
    CHECK_EQ(coir_shared_sem_acquire(&the_sem, COIR_TRY), COIR_TIMED_OUT);
    coir_shared_sem_free(&the_sem);
    coir_shared_sem_free(&the_sem);
}

static int wait_event(void *arg)
{
    (void)arg;
    return coir_shared_event_wait(&the_event, COIR_NEVER);
}

static int take_event(void *arg)
{
    (void)arg;
    return coir_shared_event_take(&the_event, COIR_NEVER);
}

static atomic_int taken;

static int take_and_count(void *arg)
{
    int result = take_event(arg);
    taken++;
    return result;
}

/* proves: A1, A2 */
TEST(test_shared_event_opens_for_all_that_wait_and_for_one_that_takes)
{
    struct party parties[4];
    CHECK_EQ(coir_shared_event_open(&the_event), 0);
    for (int i = 0; i < 4; i++) {
        parties[i] = (struct party){.fn = wait_event, .is_bare = i & 1};
        party_start(&parties[i]);
    }
    party_pause(COIR_MS(2));
    CHECK(!coir_shared_event_is_set(&the_event));
    coir_shared_event_set(&the_event);
    for (int i = 0; i < 4; i++)
        party_end(&parties[i]);
    CHECK(coir_shared_event_is_set(&the_event));
    coir_shared_event_reset(&the_event);
    CHECK_EQ(coir_shared_event_wait(&the_event, COIR_TRY), COIR_TIMED_OUT);
    for (int i = 0; i < 4; i++) {
        parties[i].fn = take_and_count;
        party_start(&parties[i]);
    }
    for (int i = 0; i < 4; i++) {
        while (taken < i)
            party_pause(COIR_US(100));
        CHECK_EQ(taken, i);
        coir_shared_event_set(&the_event);
    }
    for (int i = 0; i < 4; i++)
        party_end(&parties[i]);
    CHECK(!coir_shared_event_is_set(&the_event));
    coir_shared_event_free(&the_event);
}

static int event_in_order(void *arg)
{
    (void)arg;
    run_spawn(wait_event, NULL);
    run_spawn(take_and_count, NULL);
    coir_fiber last = run_spawn(wait_event, NULL);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    coir_shared_event_set(&the_event);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(taken, 1);
    CHECK(!coir_shared_event_is_set(&the_event));
    CHECK_EQ(coir_join(last, NULL, COIR_TRY), COIR_TIMED_OUT);
    coir_shared_event_set(&the_event);
    CHECK_EQ(run_join(last), 0);
    return 0;
}

/* proves: A1 */
TEST(test_set_of_a_shared_event_goes_as_far_as_the_first_that_takes_it)
{
    CHECK_EQ(coir_shared_event_open(&the_event), 0);
    run_monotonic(event_in_order, NULL);
    coir_shared_event_free(&the_event);
}

/* ---- deadlines ---- */

static int all_time_out(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        coir_time until = i == 0 ? COIR_TRY : party_after(i == 1 ? 0 : COIR_MS(2));
        CHECK_EQ(shared_recv(&the_chan, until), COIR_TIMED_OUT);
        CHECK_EQ(shared_send(&the_chan, 1, until), COIR_TIMED_OUT);
        CHECK_EQ(coir_shared_sem_acquire(&the_sem, until), COIR_TIMED_OUT);
        CHECK_EQ(coir_shared_event_wait(&the_event, until), COIR_TIMED_OUT);
        CHECK_EQ(coir_shared_event_take(&the_event, until), COIR_TIMED_OUT);
        CHECK(i == 0 || coir_loop_now().ns >= until.ns);
    }
    return 0;
}

/* proves: A2, A3 */
TEST(test_deadlines_of_shared_things_end_the_waits_of_fibers_and_of_threads)
{
    open_chan(&the_chan, 0);
    CHECK_EQ(coir_shared_sem_open(&the_sem, 0), 0);
    CHECK_EQ(coir_shared_event_open(&the_event), 0);
    for (int bare = 0; bare < 2; bare++) {
        struct party party = {.fn = all_time_out, .is_bare = bare};
        party_start(&party);
        party_end(&party);
    }
    coir_shared_chan_free(&the_chan, NULL, NULL);
    coir_shared_sem_free(&the_sem);
    coir_shared_event_free(&the_event);
}

/* A run whose only fiber waits here waits too, also on a virtual clock. */
static void *send_late(void *arg)
{
    party_pause(COIR_MS(3));
    CHECK_EQ(shared_send(arg, 3, COIR_NEVER), 0);
    return NULL;
}

static int recv_three(void *arg)
{
    (void)arg;
    CHECK_EQ(shared_recv(&the_chan, COIR_NEVER), 3);
    return 0;
}

/* proves: A2, A6 */
TEST(test_wait_for_a_shared_thing_is_no_deadlock)
{
    open_chan(&the_chan, 0);
    for (int i = 0; i < 2; i++) {
        pthread_t thread = thread_start(send_late, &the_chan);
        (i == 0 ? run_monotonic : run_virtual)(recv_three, NULL);
        thread_join(thread);
    }
    coir_shared_chan_free(&the_chan, NULL, NULL);
}

/* proves: A2 */
TEST(test_thread_that_is_cancelled_ends_its_call_first)
{
    pthread_t thread;
    int64_t got = -1;
    open_chan(&the_chan, 0);
    struct party party = {.fn = recv_one, .arg = &got, .is_bare = true};
    party_start(&party);
    thread = party.thread;
    party_pause(COIR_MS(2));
    CHECK_EQ(pthread_cancel(thread), 0);
    party_pause(COIR_MS(2));
    CHECK_EQ(shared_send(&the_chan, 6, COIR_NEVER), 0);
    party_end(&party);
    CHECK_EQ(got, 6);
    coir_shared_chan_free(&the_chan, NULL, NULL);
}
