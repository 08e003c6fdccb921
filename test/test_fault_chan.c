/* Memory that runs out under channels: an open or a put back says so, nothing has happened then,
 * and no other call asks for any. */
#include "fault.h"

#include <coir_chan.h>
#include <coir_select.h>
#include <coir_sync.h>

static coir_chan chan;

static void send_one(int item)
{
    CHECK_EQ(coir_chan_send(&chan, &item, COIR_TRY), 0);
}

static void recv_one(int wanted)
{
    int item = -1;
    CHECK_EQ(coir_chan_recv(&chan, &item, COIR_TRY), 0);
    CHECK_EQ(item, wanted);
}

/* What fails leaves the channel as it was: its length and its items, however often it fails. */
static void put_back(int item)
{
    size_t before = coir_chan_length(&chan);
    int result = coir_chan_put_back(&chan, &item);
    if (result == -ENOMEM) {
        fault.told++;
        CHECK_EQ(coir_chan_length(&chan), before);
        result = coir_chan_put_back(&chan, &item);
    }
    CHECK_EQ(result, 0);
    CHECK_EQ(coir_chan_length(&chan), before + 1);
}

static void open_chan(size_t capacity)
{
    coir_chan before;
    memset(&chan, 0, sizeof chan);
    before = chan;
    int result = coir_chan_open(&chan, sizeof(int), capacity);
    if (result == -ENOMEM) {
        fault.told++;
        CHECK_EQ(memcmp(&chan, &before, sizeof chan), 0);
        coir_chan_free(&chan, NULL, NULL); /* is left alone */
        result = coir_chan_open(&chan, sizeof(int), capacity);
    }
    CHECK_EQ(result, 0);
}

static int count;

static void drop_in_order(void *item, void *arg)
{
    int number;
    (void)arg;
    memcpy(&number, item, sizeof number);
    CHECK_EQ(number, ++count);
}

static int fill_over(void *arg)
{
    enum { MANY = 20 };
    (void)arg;
    for (size_t capacity = 0; capacity < 3; capacity++) {
        open_chan(capacity);
        for (int i = 0; i < (int)capacity; i++)
            send_one(MANY + 1 + i);
        for (int i = MANY; i > 0; i--)
            put_back(i);
        for (int i = 1; i < MANY / 2; i++)
            recv_one(i);
        for (int i = MANY / 2 - 1; i > 0; i--)
            put_back(i);
        count = 0;
        coir_chan_free(&chan, drop_in_order, NULL);
        CHECK_EQ(count, MANY + (int)capacity);
    }
    return 0;
}

static int fill_over_run(void)
{
    int result = -1;
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    CHECK_EQ(FAULT_TRY(coir_run(fill_over, NULL, &opts, &result)), 0);
    return result;
}

/* proves: Q6, Q3, F1 */
TEST(test_fault_in_opening_a_channel_and_putting_back)
{
    fault_each("chan", fill_over_run);
}

/* ---- who asks for nothing ---- */

static coir_event event, begun;
static coir_sem sem;
static coir_mutex mutex;
static coir_cond cond;
static coir_barrier barrier;
static coir_wait_group group;
static coir_queue queue;

static int receives(void *arg)
{
    int item = -1;
    coir_case cases[] = {coir_case_wait(&event), coir_case_recv(&chan, &item)};
    coir_event_wait(&begun, COIR_NEVER);
    CHECK_EQ(coir_chan_recv(&chan, &item, COIR_NEVER), 0);
    CHECK_EQ(coir_select(cases, 2, 0, COIR_NEVER), 1);
    CHECK_EQ(coir_sem_acquire(&sem, coir_after(COIR_SEC(1))), 0);
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
    CHECK_EQ(coir_cond_wait(&cond, &mutex, COIR_NEVER), 0);
    coir_mutex_unlock(&mutex);
    CHECK_EQ(coir_queue_wait(&queue, coir_after(COIR_SEC(1))), 0);
    CHECK(coir_barrier_wait(&barrier, 2, COIR_NEVER) >= 0);
    coir_wait_group_done(&group);
    return arg ? 1 : 0;
}

static int sends(void *arg)
{
    coir_event_set(&begun);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_chan_send(&chan, &i, COIR_NEVER), 0);
    coir_yield();
    coir_sem_release(&sem, 1);
    CHECK_EQ(coir_sleep(1), 0);
    CHECK_EQ(coir_cond_wake(&cond, 1), 1);
    CHECK_EQ(coir_sleep(1), 0);
    CHECK_EQ(coir_queue_wake(&queue, 1), 1);
    CHECK(coir_barrier_wait(&barrier, 2, COIR_NEVER) >= 0);
    CHECK_EQ(coir_wait_group_wait(&group, COIR_NEVER), 0);
    return arg ? 1 : 0;
}

/* The fibers are there, and from then on there is no memory. */
static int without_memory(void *arg)
{
    CHECK_EQ(coir_chan_open(&chan, sizeof(int), 0), 0);
    coir_wait_group_add(&group, 1);
    coir_fiber receiver = run_spawn(receives, NULL), sender = run_spawn(sends, NULL);
    fault.no_memory = true;
    CHECK_EQ(run_join(receiver), 0);
    CHECK_EQ(run_join(sender), 0);
    CHECK_EQ(coir_chan_close(&chan), 0);
    fault.no_memory = false;
    coir_chan_free(&chan, NULL, NULL);
    return arg ? 1 : 0;
}

/* proves: Q6, Y5, W5 */
TEST(test_no_wait_for_a_channel_or_a_lock_asks_for_memory)
{
    run_virtual(without_memory, NULL);
}

static int full_without_memory(void *arg)
{
    CHECK_EQ(coir_chan_open(&chan, sizeof(int), 2), 0);
    send_one(3);
    send_one(4);
    fault.no_memory = true;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_chan_put_back(&chan, &(int){2}), -ENOMEM);
    CHECK_EQ(coir_chan_length(&chan), 2);
    recv_one(3);
    CHECK_EQ(coir_chan_put_back(&chan, &(int){3}), 0); /* there is room */
    CHECK_EQ(coir_chan_put_back(&chan, &(int){2}), -ENOMEM);
    coir_chan other = {{0}};
    CHECK_EQ(coir_chan_open(&other, 1, 1), -ENOMEM);
    CHECK_EQ(coir_chan_open(&other, 1, 0), 0); /* needs none */
    coir_chan_free(&other, NULL, NULL);
    CHECK_EQ(coir_chan_open(&other, 0, 1000), 0);
    coir_chan_free(&other, NULL, NULL);
    recv_one(3);
    recv_one(4);
    fault.no_memory = false;
    coir_chan_free(&chan, NULL, NULL);
    return arg ? 1 : 0;
}

/* proves: Q6, Q3 */
TEST(test_a_put_back_without_memory_leaves_the_item_with_its_caller)
{
    run_virtual(full_without_memory, NULL);
}
