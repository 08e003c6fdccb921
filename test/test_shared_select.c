/* Selects over shared things: a case takes nothing while it hangs, and what it leaves is for those
 * behind it. */
#include "shared_wait.h"

static int select_takes(void *arg)
{
    int64_t got = -1;
    (void)arg;
    CHECK_EQ(shared_send(&the_chan, 1, COIR_NEVER), 0);
    CHECK_EQ(select_two(&got), 1);
    CHECK_EQ(got, 1);
    coir_fiber fiber = run_spawn(select_two, &got);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(shared_send(&the_chan, 2, COIR_NEVER), 0);
    CHECK_EQ(run_join(fiber), 1);
    CHECK_EQ(got, 2);
    fiber = run_spawn(select_two, &got);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    coir_event_set(&local);
    CHECK_EQ(run_join(fiber), 0);
    return 0;
}

/* proves: A4 */
TEST(test_select_receives_from_a_shared_channel_or_ends_by_another_case)
{
    open_all();
    run_monotonic(select_takes, NULL);
    free_all();
}

/* A select that was woken for an item and ends otherwise: who waits behind it gets the item. */
static int select_passes_on(void *arg)
{
    int64_t got = -1;
    struct taker taker = {.got = -1};
    int how = *(int *)arg;
    coir_fiber fiber = run_spawn(select_two, &got), behind;
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    behind = run_spawn(take_in, &taker);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(shared_send(&the_chan, 3, COIR_TRY), 0);
    if (how == 0)
        coir_event_set(&local);
    else
        CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(fiber), how == 0 ? 0 : COIR_CANCELLED);
    run_join(behind);
    CHECK_EQ(taker.got, 3);
    CHECK_EQ(got, -1);
    return 0;
}

/* proves: A4 */
TEST(test_select_that_ends_otherwise_passes_a_shared_item_on)
{
    for (int how = 0; how < 2; how++) {
        int result = -1;
        local = (coir_event){{0}};
        open_all();
        CHECK_EQ(coir_run(select_passes_on, &how, NULL, &result), 0);
        CHECK(result == 0 || result == COIR_CANCELLED);
        free_all();
    }
}

static int select_at_deadline(void *arg)
{
    int64_t got = -1;
    coir_case it = coir_case_shared_recv(&the_chan, &got);
    (void)arg;
    CHECK_EQ(coir_select(&it, 1, 0, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    CHECK_EQ(coir_select(&it, 1, 0, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(got, -1);
    return 0;
}

/* proves: A4 */
TEST(test_select_of_a_shared_channel_ends_at_its_deadline)
{
    open_all();
    run_monotonic(select_at_deadline, NULL);
    free_all();
}

/* What came before the deadline is taken, though its letter was not called yet. */
static int select_late(void *arg)
{
    struct taker *taker = arg;
    coir_case it = coir_case_shared_recv(&the_chan, &taker->got);
    return coir_select(&it, 1, 0, taker_until(taker));
}

static int select_finds_late(void *arg)
{
    (void)arg;
    return served_in_time(select_late, 4);
}

/* proves: A4 */
TEST(test_select_takes_at_its_deadline_what_came_before)
{
    open_all();
    run_monotonic(select_finds_late, NULL);
    free_all();
}

/* A select whose woken case finds nothing waits on. */
static int select_beaten(void *arg)
{
    int64_t got = -1;
    (void)arg;
    coir_fiber fiber = run_spawn(select_two, &got);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(shared_send(&the_chan, 3, COIR_TRY), 0);
    CHECK_EQ(shared_recv(&the_chan, COIR_TRY), 3);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(coir_join(fiber, NULL, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(shared_send(&the_chan, 4, COIR_TRY), 0);
    CHECK_EQ(run_join(fiber), 1);
    CHECK_EQ(got, 4);
    return 0;
}

/* proves: A4 */
TEST(test_select_that_others_were_faster_than_waits_on)
{
    open_all();
    run_monotonic(select_beaten, NULL);
    free_all();
}

static int send_by_select(void *arg)
{
    int64_t item = 8;
    coir_case it = coir_case_shared_send(&the_chan, &item);
    (void)arg;
    CHECK_EQ(coir_select(&it, 1, 0, COIR_NEVER), 0);
    return it.result;
}

static int select_sends(void *arg)
{
    int expect = *(int *)arg;
    CHECK_EQ(shared_send(&the_chan, 7, COIR_NEVER), 0);
    coir_fiber fiber = run_spawn(send_by_select, NULL);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    if (expect == 0) {
        CHECK_EQ(shared_recv(&the_chan, COIR_TRY), 7);
        CHECK_EQ(shared_recv(&the_chan, coir_after(COIR_SEC(5))), 8);
    } else {
        CHECK_EQ(coir_shared_chan_close(&the_chan), 0);
    }
    CHECK_EQ(run_join(fiber), expect);
    return 0;
}

/* proves: A4 */
TEST(test_select_sends_to_a_shared_channel_when_there_is_room_or_it_is_closed)
{
    static const int RESULTS[] = {0, -EPIPE};
    for (int i = 0; i < 2; i++) {
        int expect = RESULTS[i], result = -1;
        open_all();
        CHECK_EQ(coir_run(select_sends, &expect, NULL, &result), 0);
        CHECK(result == 0 || result == expect);
        free_all();
    }
}

static int select_all_kinds(void *arg)
{
    int64_t got = -1;
    coir_case cases[] = {
        coir_case_shared_recv(&the_chan, &got),
        coir_case_shared_acquire(&the_sem),
        coir_case_shared_wait(&the_event),
        coir_case_shared_take(&the_event),
    };
    int which = coir_select(cases, 4, 0, COIR_NEVER);
    *(int *)arg = which;
    return cases[which].result;
}

static int each_kind_ends(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        int which = -1;
        coir_fiber fiber = run_spawn(select_all_kinds, &which);
        CHECK_EQ(coir_idle(COIR_NEVER), 0);
        if (i == 0)
            CHECK_EQ(shared_send(&the_chan, 1, COIR_TRY), 0);
        else if (i == 1)
            coir_shared_sem_release(&the_sem, 1);
        else
            coir_shared_event_set(&the_event);
        CHECK_EQ(run_join(fiber), 0);
        CHECK_EQ(which, i);
    }
    CHECK_EQ(coir_shared_sem_count(&the_sem), 0);
    CHECK(coir_shared_event_is_set(&the_event));
    return 0;
}

/* proves: A4 */
TEST(test_select_waits_for_every_shared_thing)
{
    open_all();
    run_monotonic(each_kind_ends, NULL);
    free_all();
}

/* Both select: one sends, the other receives. */
static int select_recv_both(void *arg)
{
    int64_t got = -1;
    (void)arg;
    for (int64_t i = 0; i < 500; i++) {
        coir_case it = coir_case_shared_recv(&the_chan, &got);
        CHECK_EQ(coir_select(&it, 1, 0, COIR_NEVER), 0);
        CHECK_EQ(it.result, 0);
        CHECK_EQ(got, i);
    }
    return 0;
}

static int select_send_both(void *arg)
{
    (void)arg;
    for (int64_t i = 0; i < 500; i++) {
        coir_case it = coir_case_shared_send(&the_chan, &i);
        CHECK_EQ(coir_select(&it, 1, 0, COIR_NEVER), 0);
        CHECK_EQ(it.result, 0);
    }
    return 0;
}

/* proves: A1, A4 */
TEST(test_selects_of_two_threads_find_each_other)
{
    struct party sender = {.fn = select_send_both}, receiver = {.fn = select_recv_both};
    open_all();
    party_start(&sender);
    party_start(&receiver);
    party_end(&sender);
    party_end(&receiver);
    free_all();
}

static int select_from_bare_sender(void *arg)
{
    (void)arg;
    for (int64_t i = 0; i < 500; i++)
        CHECK_EQ(shared_send(&the_chan, i, COIR_NEVER), 0);
    return 0;
}

/* proves: A1, A4 */
TEST(test_select_receives_without_capacity_from_a_sender_that_waits)
{
    struct party sender = {.fn = select_from_bare_sender}, receiver = {.fn = select_recv_both};
    open_chan(&the_chan, 0);
    for (int bare = 0; bare < 2; bare++) {
        sender.is_bare = bare;
        party_start(&receiver);
        party_start(&sender);
        party_end(&sender);
        party_end(&receiver);
    }
    coir_shared_chan_free(&the_chan, NULL, NULL);
}
