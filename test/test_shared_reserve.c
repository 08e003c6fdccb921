/* Selects that are sent for: what they are sent for is kept for them, and what they do not take is
 * for those behind them. */
#include "shared_wait.h"

static int acquires_by_select(void *arg)
{
    coir_case it = coir_case_shared_acquire(&the_sem);
    (void)arg;
    CHECK_EQ(coir_select(&it, 1, 0, coir_after(COIR_SEC(20))), 0);
    return it.result;
}

static int acquires_plainly(void *arg)
{
    (void)arg;
    return coir_shared_sem_acquire(&the_sem, coir_after(COIR_SEC(20)));
}

/* The thread of the first select waits, in its code, for the second one. */
static atomic_bool second_has;

static int first_select(void *arg)
{
    coir_case it = coir_case_shared_acquire(&the_sem);
    (void)arg;
    int result = coir_shared_sem_acquire(&the_sem, COIR_TRY);
    CHECK_EQ(result, COIR_TIMED_OUT);
    coir_shared_event_set(&the_event);
    if (coir_select(&it, 1, 0, coir_after(COIR_SEC(20))) != 0)
        return -EPROTO;
    return it.result;
}

static int blocks_its_thread(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    for (int i = 0; i < 20000 && !second_has; i++)
        party_pause(COIR_MS(1));
    return second_has ? 0 : -EPROTO;
}

static int two_fibers(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_spawn(NULL, first_select, NULL, NULL), 0);
    CHECK_EQ(coir_spawn(NULL, blocks_its_thread, NULL, NULL), 0);
    return 0;
}

static int second_acquires(void *arg)
{
    CHECK_EQ(arg ? acquires_by_select(NULL) : acquires_plainly(NULL), 0);
    second_has = true;
    return 0;
}

/* proves: A4, M5 */
TEST(test_regress_release_of_two_permits_woke_one_select)
{
    for (int selects = 0; selects < 2; selects++) {
        struct party first = {.fn = two_fibers};
        struct party second = {.fn = second_acquires, .arg = selects ? &the_sem : NULL};
        second_has = false;
        open_all();
        party_start(&first);
        CHECK_EQ(coir_shared_event_wait(&the_event, COIR_NEVER), 0);
        party_pause(COIR_MS(2));
        party_start(&second);
        party_pause(COIR_MS(2));
        coir_shared_sem_release(&the_sem, 2);
        party_end(&second);
        party_end(&first);
        CHECK_EQ(coir_shared_sem_count(&the_sem), 0);
        free_all();
    }
}

static int asks_for_the_count(void *arg)
{
    int64_t got = -1;
    struct taker taker = {.until = COIR_MS(50), .got = -1};
    (void)arg;
    coir_fiber first = run_spawn(select_two, &got);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    coir_fiber second = run_spawn(take_in, &taker);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(shared_send(&the_chan, 1, COIR_NEVER), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_shared_chan_length(&the_chan), 1);
    CHECK_EQ(run_join(first), 1);
    CHECK_EQ(got, 1);
    run_join(second);
    CHECK_EQ(taker.got, COIR_TIMED_OUT);
    return 0;
}

/* proves: A4 */
TEST(test_regress_asking_for_the_length_gave_a_selects_item_to_another)
{
    local = (coir_event){{0}};
    open_all();
    run_monotonic(asks_for_the_count, NULL);
    free_all();
}

/* The other cases of a select keep their places, whatever comes and goes in the shared one. */
struct queue_of {
    coir_queue queue;
    int64_t got;
};

static int selects_queue(void *arg)
{
    struct queue_of *of = arg;
    coir_case cases[] = {coir_case_queue(&of->queue), coir_case_shared_recv(&the_chan, &of->got)};
    return coir_select(cases, 2, 0, COIR_NEVER);
}

static int wakes_after_a_theft(void *arg)
{
    struct queue_of of = {.got = -1};
    coir_fiber fiber = run_spawn(selects_queue, &of);
    (void)arg;
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(shared_send(&the_chan, 1, COIR_NEVER), 0);
    CHECK_EQ(shared_recv(&the_chan, COIR_TRY), 1);
    CHECK_EQ(coir_yield(), 0);
    CHECK_EQ(coir_queue_wake(&of.queue, SIZE_MAX), 1);
    CHECK_EQ(run_join(fiber), 0);
    CHECK_EQ(of.got, -1);
    return 0;
}

/* proves: A4, Y3 */
TEST(test_regress_wake_was_lost_on_a_select_that_was_sent_for_in_vain)
{
    open_all();
    run_monotonic(wakes_after_a_theft, NULL);
    free_all();
}

static int frees_too_early(void *arg)
{
    int64_t got = -1;
    (void)arg;
    run_spawn(select_two, &got);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(shared_send(&the_chan, 1, COIR_NEVER), 0);
    coir_shared_chan_free(&the_chan, NULL, NULL);
    return 0;
}

/* proves: A7 */
TEST_DIES(test_regress_free_beside_a_select_that_was_sent_for_was_not_noticed, SIGABRT,
          "coir_shared_chan_free: somebody waits for the object")
{
    open_all();
    run_monotonic(frees_too_early, NULL);
}
