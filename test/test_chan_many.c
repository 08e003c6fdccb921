/* Channels between many fibers, some of which are cancelled or run out of time: each item arrives
 * once, or stays with its sender. And channels outside of fibers. */
#include "waits.h"

#include <coir_post.h>

/* ---- a crowd ---- */

enum { PRODUCERS = 5, CONSUMERS = 4, ITEMS = 400 };

static coir_chan chan;
static bool sent[PRODUCERS][ITEMS]; /* a send has returned 0 */
static int received[PRODUCERS][ITEMS];
static unsigned state;

static unsigned draw(unsigned most)
{
    state = state * 1103515245 + 12345;
    return (state >> 16) % most;
}

static void pause_sometimes(void)
{
    unsigned how = draw(8);
    if (how == 0)
        coir_yield();
    else if (how == 1)
        coir_sleep(draw(5));
}

static coir_time some_deadline(void)
{
    unsigned how = draw(5);
    return how == 0 ? COIR_TRY : how < 3 ? coir_after(draw(4)) : COIR_NEVER;
}

/* Tries each item until it is sent or the fiber is cancelled. */
static int produce(void *arg)
{
    int64_t producer = *(int *)arg;
    for (int i = 0; i < ITEMS; i++) {
        int64_t item = producer << 32 | i;
        int result = COIR_TIMED_OUT;
        while (result == COIR_TIMED_OUT) {
            result = coir_chan_send(&chan, &item, some_deadline());
            pause_sometimes();
        }
        if (result == COIR_CANCELLED)
            return 0;
        CHECK_EQ(result, 0);
        sent[producer][i] = true;
    }
    return 0;
}

/* What one consumer receives of one producer counts up. */
static int consume(void *arg)
{
    int64_t latest[PRODUCERS] = {-1, -1, -1, -1, -1}, item;
    int result = 0;
    (void)arg;
    while (result == 0 || result == COIR_TIMED_OUT) {
        item = -1;
        result = coir_chan_recv(&chan, &item, some_deadline());
        if (result == 0) {
            int64_t producer = item >> 32, number = item & 0xffff;
            CHECK(producer >= 0 && producer < PRODUCERS && number < ITEMS);
            CHECK(number > latest[producer]);
            latest[producer] = number;
            received[producer][number]++;
        } else {
            CHECK_EQ(item, -1);
        }
        pause_sometimes();
    }
    CHECK(result == -EPIPE || result == COIR_CANCELLED);
    return 0;
}

static int crowd(void *arg)
{
    coir_fiber producers[PRODUCERS], consumers[CONSUMERS];
    static int numbers[PRODUCERS] = {0, 1, 2, 3, 4};
    bool cancels = arg;
    for (int i = 0; i < PRODUCERS; i++)
        producers[i] = run_spawn(produce, &numbers[i]);
    for (int i = 0; i < CONSUMERS; i++)
        consumers[i] = run_spawn(consume, NULL);
    coir_sleep(draw(200));
    for (int i = 0; cancels && i < 3; i++) {
        coir_cancel(producers[i], 0);
        coir_cancel(consumers[i], 0);
        coir_sleep(draw(20));
    }
    for (int i = 0; i < PRODUCERS; i++)
        CHECK_EQ(run_join(producers[i]), 0);
    CHECK_EQ(coir_chan_close(&chan), 0);
    for (int i = 0; i < CONSUMERS; i++)
        CHECK_EQ(run_join(consumers[i]), 0);
    CHECK_EQ(coir_chan_length(&chan), 0);
    return 0;
}

static int open_and_crowd(void *arg)
{
    size_t capacity = *(size_t *)arg;
    for (int cancels = 0; cancels < 2; cancels++) {
        memset(sent, 0, sizeof sent);
        memset(received, 0, sizeof received);
        CHECK_EQ(coir_chan_open(&chan, sizeof(int64_t), capacity), 0);
        CHECK_EQ(crowd(cancels ? arg : NULL), 0);
        coir_chan_free(&chan, NULL, NULL);
        for (int i = 0; i < PRODUCERS; i++)
            for (int j = 0; j < ITEMS; j++) {
                CHECK(sent[i][j] || cancels);
                CHECK_EQ(received[i][j], sent[i][j]);
            }
    }
    return 0;
}

/* proves: Q1, Q3, Y4 */
TEST(test_each_item_of_a_crowd_arrives_once_or_stays_with_its_sender)
{
    for (unsigned seed = 1; seed <= 10; seed++)
        for (size_t capacity = 0; capacity < 6; capacity += 1 + capacity / 2) {
            state = seed;
            run_virtual(open_and_crowd, &capacity);
        }
}

/* ---- the program of the header, cancelled wherever it can be ---- */

static int producer(void *arg)
{
    coir_chan *to = arg;
    int result = 0;
    for (int i = 0; i < 3 && result == 0; i++)
        result = coir_chan_send(to, &i, COIR_NEVER);
    coir_chan_close(to);
    return result;
}

static int consumer(void *arg)
{
    int item, result, sum = 0;
    while ((result = coir_chan_recv(arg, &item, COIR_NEVER)) == 0)
        sum += item;
    CHECK(result == COIR_CANCELLED || sum == 3 || sum < 3);
    return result == -EPIPE ? 0 : result;
}

static void drop_nothing(void *item, void *arg)
{
    (void)item;
    ++*(int *)arg;
}

static int both(void *arg)
{
    coir_chan local;
    coir_scope scope;
    int drops = 0, result = coir_chan_open(&local, sizeof(int), *(size_t *)arg);
    if (result < 0)
        return result;
    coir_scope_open(&scope, COIR_NEVER, 0);
    coir_spawn(NULL, producer, &local, NULL);
    coir_spawn(NULL, consumer, &local, NULL);
    result = coir_scope_end(&scope, 0);
    coir_chan_free(&local, drop_nothing, &drops);
    CHECK(drops == 0 || result < 0);
    return result;
}

/* proves: Q3, C1 */
TEST(test_the_program_of_the_header_cleans_up_wherever_it_is_cancelled)
{
    for (size_t capacity = 0; capacity < 3; capacity++) {
        int points = 0, result = -1;
        CHECK_EQ(coir_check_cancels(both, &capacity, NULL, &points), 0);
        CHECK(points > 3);
        CHECK_EQ(coir_run(both, &capacity, NULL, &result), 0);
        CHECK_EQ(result, 0);
    }
}

/* ---- outside of fibers ---- */

static coir_mailbox box;
static coir_event event;
static coir_sem sem;
static coir_queue queue;
static coir_wait_group group;
static coir_chan full;
static int calls;

static void try_in_letter(void *arg)
{
    int64_t one = 1;
    (void)arg;
    CHECK_EQ(coir_self().sched, 0);
    CHECK_EQ(coir_chan_recv(&chan, &one, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(try_recv(&full), 5);
    CHECK_EQ(try_send(&full, 6), 0);
    CHECK_EQ(try_send(&full, 7), COIR_TIMED_OUT);
    CHECK_EQ(try_send(&chan, 1), 0); /* a fiber waits for it */
    CHECK_EQ(coir_event_wait(&event, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_event_take(&event, COIR_TRY), COIR_TIMED_OUT);
    coir_event_set(&event);
    CHECK_EQ(coir_sem_acquire(&sem, COIR_TRY), COIR_TIMED_OUT);
    coir_sem_release(&sem, 2);
    CHECK_EQ(coir_sem_acquire(&sem, COIR_TRY), 0);
    CHECK_EQ(coir_queue_wake(&queue, 1), 1);
    coir_wait_group_done(&group);
    calls++;
}

static int call_acquire(struct waiter *w)
{
    return coir_sem_acquire(w->object, w->until);
}

static int call_group(struct waiter *w)
{
    return coir_wait_group_wait(w->object, w->until);
}

static int wake_by_letter(void *arg)
{
    static coir_letter letter = {.fn = try_in_letter};
    (void)arg;
    CHECK_EQ(coir_chan_open(&chan, sizeof(int64_t), 0), 0);
    CHECK_EQ(coir_chan_open(&full, sizeof(int64_t), 1), 0);
    CHECK_EQ(try_send(&full, 5), 0);
    coir_wait_group_add(&group, 1);
    begin_recv("r", &chan, COIR_NEVER);
    begin("w", call_wait, &event, COIR_NEVER);
    begin("s", call_acquire, &sem, COIR_NEVER);
    begin("q", call_queue, &queue, COIR_NEVER);
    begin("g", call_group, &group, COIR_NEVER);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(coir_post(box, &letter), 0);
    while (calls == 0)
        CHECK_EQ(coir_yield(), 0);
    CHECK_EQ(coir_mailbox_close(box), 0);
    CHECK_LOG("r:1 w s q g");
    CHECK(coir_event_is_set(&event));
    CHECK_EQ(coir_sem_count(&sem), 0);
    coir_chan_free(&full, NULL, NULL);
    coir_chan_free(&chan, NULL, NULL);
    return 0;
}

/* proves: Q5 */
TEST(test_a_letter_tries_once_and_wakes_those_that_wait)
{
    run_virtual(wake_by_letter, NULL);
}

static int drops;

static void count_drop(void *item, void *arg)
{
    (void)item, (void)arg;
    CHECK_EQ(coir_self().sched, 0);
    drops++;
}

/* proves: Q4, Q5 */
TEST(test_a_channel_is_used_before_and_freed_after_the_scheduler_runs)
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_chan_open(&chan, sizeof(int64_t), 2), 0);
    CHECK_EQ(try_send(&chan, 1), 0);
    CHECK_EQ(try_send(&chan, 2), 0);
    CHECK_EQ(try_send(&chan, 3), COIR_TIMED_OUT);
    CHECK_EQ(try_recv(&chan), 1);
    coir_event_set(&event);
    CHECK_EQ(coir_event_wait(&event, COIR_TRY), 0);
    CHECK_EQ(coir_event_take(&event, COIR_TRY), 0);
    CHECK_EQ(coir_sched_run(sched), 0);
    CHECK_EQ(coir_chan_close(&chan), 0);
    CHECK_EQ(coir_chan_put_back(&chan, &(int64_t){1}), 0);
    coir_sched_free(sched);
    CHECK_EQ(coir_chan_length(&chan), 2);
    coir_chan_free(&chan, count_drop, NULL);
    CHECK_EQ(drops, 2);
    coir_chan_free(&chan, count_drop, NULL);
    CHECK_EQ(drops, 2);
}

/* ---- turns ---- */

static int turns;

static int count_turns(void *arg)
{
    while (!*(bool *)arg) {
        turns++;
        coir_yield();
    }
    return 0;
}

static int never_waits(void *arg)
{
    static bool stop;
    (void)arg;
    run_spawn(count_turns, &stop);
    CHECK_EQ(coir_chan_open(&chan, sizeof(int64_t), 1), 0);
    for (int64_t i = 0; i < 100000; i++) {
        int64_t item = -1;
        CHECK_EQ(coir_chan_send(&chan, &i, COIR_NEVER), 0);
        CHECK_EQ(coir_chan_recv(&chan, &item, COIR_NEVER), 0);
        CHECK_EQ(item, i);
    }
    stop = true;
    coir_chan_free(&chan, NULL, NULL);
    return turns > 700 ? 0 : 1; /* each of 200000 calls counts, and 256 are a turn */
}

/* proves: O3 */
TEST(test_calls_that_need_not_wait_let_the_others_run_now_and_then)
{
    run_virtual(never_waits, NULL);
}

static int hang(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_chan_open(&chan, sizeof(int64_t), 0), 0);
    CHECK_EQ(coir_chan_open(&full, sizeof(int64_t), 0), 0);
    struct waiter *a = begin_recv("a", &chan, COIR_NEVER);
    struct waiter *b = begin_send("b", &full, 1, COIR_NEVER);
    CHECK_EQ(coir_wake(a->fiber), -EBUSY);
    CHECK_EQ(coir_wake(b->fiber), -EBUSY);
    return 0;
}

/* proves: E2, W2 */
TEST(test_waits_for_channels_that_nothing_can_end_are_a_deadlock)
{
    CHECK_EQ(run_as(hang, NULL, COIR_CLOCK_VIRTUAL, NULL), -EDEADLK);
    CHECK(strstr(run_report, "'a' waits for an item of a channel\n"));
    CHECK(strstr(run_report, "'b' waits for a receiver, or room in a channel\n"));
    coir_chan_free(&chan, NULL, NULL);
    coir_chan_free(&full, NULL, NULL);
}
