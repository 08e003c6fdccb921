/* What comes between a wait for a shared thing and its end: cancels, deadlines, schedulers that are
 * freed, descriptors that are not there. */
#include "shared_wait.h"

#include "fds.h"

static int cancel_after_hand_over(void *arg)
{
    struct taker taker = {.got = -1};
    coir_fiber fiber = run_spawn(take_in, &taker);
    (void)arg;
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(shared_send(&the_chan, 5, COIR_TRY), 0);
    CHECK_EQ(coir_shared_chan_length(&the_chan), 0);
    CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
    run_join(fiber);
    CHECK_EQ(taker.got, 5);
    return 0;
}

static int cancel_before_hand_over(void *arg)
{
    struct taker taker = {.got = -1};
    coir_fiber fiber = run_spawn(take_in, &taker);
    (void)arg;
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
    CHECK_EQ(shared_send(&the_chan, 5, COIR_TRY), 0);
    run_join(fiber);
    CHECK_EQ(taker.got, COIR_CANCELLED);
    CHECK_EQ(coir_shared_chan_length(&the_chan), 1);
    CHECK_EQ(shared_recv(&the_chan, COIR_TRY), 5);
    return 0;
}

static int deadline_after_hand_over(void *arg)
{
    (void)arg;
    return served_in_time(take_in, 6);
}

/* proves: A3 */
TEST(test_cancel_or_deadline_after_a_hand_over_between_threads_changes_nothing)
{
    open_all();
    run_monotonic(cancel_after_hand_over, NULL);
    run_monotonic(deadline_after_hand_over, NULL);
    run_virtual(cancel_after_hand_over, NULL);
    free_all();
}

/* proves: A3 */
TEST(test_cancel_before_a_hand_over_leaves_the_item_where_it_is)
{
    open_all();
    run_monotonic(cancel_before_hand_over, NULL);
    free_all();
}

static int cancelled_in_each(void *arg)
{
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, coir_after(COIR_MS(1)), 0);
    CHECK_EQ(shared_recv(&the_chan, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(shared_send(&the_chan, 1, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(coir_shared_sem_acquire(&the_sem, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(coir_shared_event_take(&the_event, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(coir_scope_end(&scope, COIR_CANCELLED), COIR_TIMED_OUT);
    return 0;
}

/* proves: A3 */
TEST(test_scope_that_ends_takes_its_fiber_out_of_a_shared_wait)
{
    open_all();
    int result = -1;
    CHECK_EQ(coir_run(cancelled_in_each, NULL, NULL, &result), 0);
    free_all();
}

/* ---- schedulers, mailboxes, descriptors ---- */

static int wait_for_all(void *arg)
{
    return (int)shared_recv(arg, COIR_NEVER);
}

/* proves: A3 */
TEST(test_scheduler_that_is_freed_takes_its_fibers_out_of_shared_waits)
{
    coir_sched *sched;
    open_all();
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    for (int i = 0; i < 10; i++)
        run_spawn(wait_for_all, &the_chan);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    coir_sched_free(sched);
    free_all();
}

static void count(void *arg)
{
    ++*(int *)arg;
}

/* The mailbox that shared waits need is nobody else's. */
static int mailbox_stays_closed(void *arg)
{
    coir_mailbox box;
    int calls = 0;
    coir_letter letter = {.fn = count, .arg = &calls};
    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(shared_recv(&the_chan, coir_after(COIR_US(10))), COIR_TIMED_OUT);
        CHECK_EQ(coir_mailbox_open(&box, i == 1 ? COIR_WEAK : 0), 0);
        CHECK_EQ(coir_post(box, &letter), 0);
        CHECK_EQ(coir_mailbox_close(box), 0);
        CHECK_EQ(coir_mailbox_close(box), -ESRCH);
        CHECK_EQ(calls, i + 1);
        CHECK_EQ(coir_post(box, &letter), -ESRCH);
    }
    CHECK_EQ(coir_sleep(COIR_US(10)), 0);
    CHECK_EQ(calls, 3);
    return 0;
}

/* proves: A6, X4 */
TEST(test_mailbox_of_shared_waits_takes_no_letters_of_others)
{
    int before = fds_open();
    open_all();
    run_monotonic(mailbox_stays_closed, NULL);
    free_all();
    CHECK_EQ(fds_open(), before);
}

static int waits_without_descriptor(void *arg)
{
    struct rlimit limit;
    int64_t got = -1;
    coir_case it = coir_case_shared_recv(&the_chan, &got);
    (void)arg;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 3;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(shared_recv(&the_chan, COIR_NEVER), -EMFILE);
    CHECK_EQ(coir_select(&it, 1, 0, COIR_NEVER), 0);
    CHECK_EQ(it.result, -EMFILE);
    CHECK_EQ(shared_send(&the_chan, 1, COIR_NEVER), 0);
    CHECK_EQ(shared_recv(&the_chan, COIR_NEVER), 1);
    limit.rlim_cur = before;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(shared_recv(&the_chan, coir_after(COIR_US(10))), COIR_TIMED_OUT);
    return 0;
}

/* proves: A6 */
TEST(test_first_shared_wait_without_descriptor_is_an_error_and_nothing_happens)
{
    open_all();
    run_monotonic(waits_without_descriptor, NULL);
    free_all();
}
