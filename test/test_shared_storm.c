/* Fibers of three schedulers and bare threads do whatever comes, with short deadlines, cancels and
 * selects, to the same few things: no item is lost, doubled or out of order. And the price of it:
 * how often two schedulers ring each other's bell, and sleep. */
#include "shared_pass.h"

#include "draw.h"
#include "fds.h"

enum { SCHEDULERS = 3, FIBERS = 6, THREADS = 2, ROUNDS = 300, CHANNELS = 3 };
enum { DOERS = SCHEDULERS * FIBERS + THREADS };

static coir_shared_chan chans[CHANNELS];
static coir_shared_sem permits;
static coir_shared_event flag;
static atomic_long sent, received, held;

struct item {
    int32_t sender, number;
};

struct doer {
    int id;
    bool is_bare;
    uint64_t random;
    int32_t number[CHANNELS];          /* of its last item */
    int32_t seen[CHANNELS][DOERS + 1]; /* the last item of each sender */
};

static struct doer doers[DOERS];

static coir_time short_time(struct doer *doer)
{
    return draw(&doer->random, 4) == 0 ? COIR_TRY
                                       : party_after((int64_t)draw(&doer->random, 300) * 1000);
}

static void note_sent(struct doer *doer, int channel)
{
    doer->number[channel]++;
    sent++;
}

static void note_received(struct doer *doer, int channel, struct item item)
{
    CHECK(item.sender >= 0 && item.sender < DOERS);
    CHECK(item.number > doer->seen[channel][item.sender]);
    doer->seen[channel][item.sender] = item.number;
    received++;
}

static int act_send(struct doer *doer, int channel)
{
    struct item item = {doer->id, doer->number[channel] + 1};
    int result = coir_shared_chan_send(&chans[channel], &item, short_time(doer));
    if (result == 0)
        note_sent(doer, channel);
    return result;
}

static int act_recv(struct doer *doer, int channel)
{
    struct item item = {-1, -1};
    int result = coir_shared_chan_recv(&chans[channel], &item, short_time(doer));
    if (result == 0)
        note_received(doer, channel, item);
    return result;
}

/* Never more hold a permit than there are. */
static int act_permit(struct doer *doer)
{
    int result = coir_shared_sem_acquire(&permits, short_time(doer));
    if (result < 0)
        return result;
    CHECK(++held <= 2);
    if (doer->is_bare)
        party_pause(COIR_US(20));
    else
        coir_sleep(COIR_US(20));
    held--;
    coir_shared_sem_release(&permits, 1);
    return 0;
}

static int act_flag(struct doer *doer)
{
    if (draw(&doer->random, 2))
        coir_shared_event_set(&flag);
    return coir_shared_event_take(&flag, short_time(doer));
}

/* Sends to one channel or receives from another, whichever is possible first. */
static int act_select(struct doer *doer)
{
    int in = (int)draw(&doer->random, CHANNELS), out = 1 + (int)draw(&doer->random, CHANNELS - 1);
    struct item got = {-1, -1}, item = {doer->id, doer->number[out] + 1};
    coir_case cases[] = {coir_case_shared_recv(&chans[in], &got),
                         coir_case_shared_send(&chans[out], &item), coir_case_shared_take(&flag)};
    int which = coir_select(cases, 3, COIR_RANDOM, short_time(doer));
    if (which == 0)
        note_received(doer, in, got);
    else if (which == 1)
        note_sent(doer, out);
    return which < 0 ? which : cases[which].result;
}

static int act(struct doer *doer)
{
    uint32_t what = draw(&doer->random, doer->is_bare ? 6 : 8);
    int channel = (int)draw(&doer->random, CHANNELS);
    if (what < 2)
        return act_send(doer, channel);
    if (what < 4)
        return act_recv(doer, channel);
    return what == 4 ? act_permit(doer) : what == 5 ? act_flag(doer) : act_select(doer);
}

/* In a scope whose deadline cancels it, or not. */
static int act_in_scope(struct doer *doer)
{
    coir_scope scope;
    if (draw(&doer->random, 3) > 0)
        return act(doer);
    coir_scope_open(&scope, coir_after((int64_t)draw(&doer->random, 200) * 1000), 0);
    return coir_scope_end(&scope, act(doer));
}

static int do_all(void *arg)
{
    struct doer *doer = arg;
    for (int round = 0; round < ROUNDS; round++) {
        int result = doer->is_bare ? act(doer) : act_in_scope(doer);
        CHECK(result == 0 || result == COIR_TIMED_OUT || result == COIR_CANCELLED);
    }
    return 0;
}

static int spawn_doers(void *arg)
{
    struct doer *first = arg;
    for (int i = 0; i < FIBERS; i++)
        run_spawn(do_all, &first[i]);
    return 0;
}

/* What is still in the channels was sent too. */
static void note_left(void)
{
    for (int i = 0; i < CHANNELS; i++) {
        struct item item;
        while (coir_shared_chan_recv(&chans[i], &item, COIR_TRY) == 0)
            received++;
        coir_shared_chan_free(&chans[i], NULL, NULL);
    }
}

static void storm(uint64_t seed)
{
    struct party parties[SCHEDULERS + THREADS];
    for (int i = 0; i < CHANNELS; i++)
        CHECK_EQ(coir_shared_chan_open(&chans[i], sizeof(struct item), (size_t)i * i), 0);
    CHECK_EQ(coir_shared_sem_open(&permits, 2), 0);
    CHECK_EQ(coir_shared_event_open(&flag), 0);
    for (int i = 0; i < DOERS; i++)
        doers[i] = (struct doer){.id = i, .is_bare = i >= SCHEDULERS * FIBERS,
                                 .random = seed + (uint64_t)i};
    for (int i = 0; i < SCHEDULERS + THREADS; i++) {
        bool is_bare = i >= SCHEDULERS;
        struct doer *doer = &doers[is_bare ? SCHEDULERS * FIBERS + i - SCHEDULERS : i * FIBERS];
        parties[i] = (struct party){
            .fn = is_bare ? do_all : spawn_doers, .arg = doer, .is_bare = is_bare};
        party_start(&parties[i]);
    }
    for (int i = 0; i < SCHEDULERS + THREADS; i++)
        party_end(&parties[i]);
    note_left();
    CHECK_EQ(sent, received);
    CHECK(sent > ROUNDS);
    CHECK_EQ(coir_shared_sem_count(&permits), 2);
    coir_shared_sem_free(&permits);
    coir_shared_event_free(&flag);
}

/* proves: A1, A2, A3, A4 */
TEST(test_shared_things_in_a_storm_lose_nothing)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        storm(seed * 1000003);
}

/* ---- what waking costs ---- */

enum { WAITERS = 100 };

static int wait_for_item(void *arg)
{
    return shared_recv(&chans[0], COIR_NEVER) >= 0 ? ++*(int *)arg, 0 : -EPROTO;
}

static void *give_all(void *arg)
{
    for (int64_t i = 0; i < WAITERS; i++)
        CHECK_EQ(shared_send(&chans[0], i, COIR_NEVER), 0);
    return arg;
}

/* proves: A5 */
TEST(test_many_hand_overs_between_threads_ring_once_for_a_scheduler_that_waits)
{
    coir_sched *sched;
    int bell = dup(0), got = 0;
    close(bell);
    open_chan(&chans[0], 0);
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    for (int round = 1; round <= 2; round++) {
        for (int i = 0; i < WAITERS; i++)
            run_spawn(wait_for_item, &got);
        CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
        CHECK_EQ(bell_rings(bell), 0);
        thread_join(thread_start(give_all, NULL));
        CHECK_EQ(bell_rings(bell), 1);
        while (got < WAITERS * round)
            CHECK(coir_sched_step(sched, 0) >= 0);
    }
    coir_sched_free(sched);
    coir_shared_chan_free(&chans[0], NULL, NULL);
}

/* proves: A1, A5 */
TEST(test_items_between_two_schedulers_keep_their_order_and_come_in_bursts)
{
    pass_items(200 * 1000, 1024);
}
