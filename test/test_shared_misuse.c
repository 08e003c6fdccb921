/* Misuse of shared things stops the program with one line; a forked child gets errors. */
#include "shared.h"

#include <sys/wait.h>

static coir_shared_chan the_chan;
static coir_shared_sem the_sem;
static coir_shared_event the_event;

/* proves: A7 */
TEST_DIES(test_shared_channel_that_is_not_open_is_a_mistake, SIGABRT, "the object is not open")
{
    shared_send(&the_chan, 1, COIR_TRY);
}

TEST_DIES(test_release_of_a_semaphore_that_is_not_open_is_a_mistake, SIGABRT,
          "coir_shared_sem_release")
{
    coir_shared_sem_release(&the_sem, 1);
}

TEST_DIES(test_event_that_was_freed_is_a_mistake, SIGABRT, "coir_shared_event_set")
{
    CHECK_EQ(coir_shared_event_open(&the_event), 0);
    coir_shared_event_free(&the_event);
    coir_shared_event_set(&the_event);
}

static int waits(void *arg)
{
    (void)arg;
    return (int)shared_recv(&the_chan, COIR_NEVER);
}

static int frees_while_waited_for(void *arg)
{
    run_spawn(waits, arg);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    coir_shared_chan_free(&the_chan, NULL, NULL);
    return 0;
}

TEST_DIES(test_free_of_a_shared_channel_that_a_fiber_waits_for_is_a_mistake, SIGABRT,
          "coir_shared_chan_free: somebody waits for the object")
{
    open_chan(&the_chan, 1);
    run_monotonic(frees_while_waited_for, NULL);
}

static void *waits_in_thread(void *arg)
{
    coir_shared_chan_recv(&the_chan, arg, COIR_NEVER);
    return NULL;
}

TEST_DIES(test_free_of_a_shared_channel_that_a_thread_waits_for_is_a_mistake, SIGABRT,
          "somebody waits for the object")
{
    static int64_t item;
    open_chan(&the_chan, 1);
    thread_start(waits_in_thread, &item);
    party_pause(COIR_MS(20));
    coir_shared_chan_free(&the_chan, NULL, NULL);
}

TEST_DIES(test_shared_wait_of_a_scheduler_outside_fibers_is_a_mistake, SIGABRT,
          "coir_shared_sem_acquire: called outside a fiber")
{
    coir_sched *sched;
    CHECK_EQ(coir_shared_sem_open(&the_sem, 0), 0);
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_shared_sem_acquire(&the_sem, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_shared_sem_acquire(&the_sem, COIR_NEVER), 0);
}

TEST_DIES(test_select_that_sends_without_capacity_is_a_mistake, SIGABRT,
          "coir_case_shared_send: the channel has no capacity")
{
    int64_t item = 1;
    open_chan(&the_chan, 0);
    coir_case_shared_send(&the_chan, &item);
}

TEST_DIES(test_more_permits_than_can_be_counted_are_a_mistake, SIGABRT,
          "more permits than can be counted")
{
    CHECK_EQ(coir_shared_sem_open(&the_sem, 2), 0);
    coir_shared_sem_release(&the_sem, UINT64_MAX - 1);
}

/* ---- forks ---- */

/* Each call in a child, of a thread that had a scheduler and of one that had none. */
static void child(void)
{
    int64_t item = 1;
    CHECK_EQ(shared_send(&the_chan, 1, COIR_TRY), -ECHILD);
    CHECK_EQ(shared_recv(&the_chan, COIR_NEVER), -ECHILD);
    CHECK_EQ(coir_shared_chan_put_back(&the_chan, &item), -ECHILD);
    CHECK_EQ(coir_shared_chan_close(&the_chan), -ECHILD);
    CHECK_EQ(coir_shared_chan_length(&the_chan), 0);
    CHECK_EQ(coir_shared_sem_acquire(&the_sem, COIR_NEVER), -ECHILD);
    coir_shared_sem_release(&the_sem, 1);
    CHECK_EQ(coir_shared_sem_count(&the_sem), 0);
    coir_shared_event_set(&the_event);
    coir_shared_event_reset(&the_event);
    CHECK(!coir_shared_event_is_set(&the_event));
    CHECK_EQ(coir_shared_event_wait(&the_event, COIR_NEVER), -ECHILD);
    coir_shared_chan_free(&the_chan, NULL, NULL);
    coir_shared_sem_free(&the_sem);
    coir_shared_event_free(&the_event);
    open_chan(&the_chan, 1);
    CHECK_EQ(shared_send(&the_chan, 3, COIR_NEVER), 0);
    CHECK_EQ(shared_recv(&the_chan, COIR_NEVER), 3);
    coir_shared_chan_free(&the_chan, NULL, NULL);
    _exit(0);
}

static int forks(void *arg)
{
    int status = -1;
    (void)arg;
    pid_t pid = fork();
    if (pid == 0)
        child();
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    return 0;
}

/* A child that was forked between two waits of another fiber: the parent does not notice. */
static int forks_beside_a_wait(void *arg)
{
    coir_fiber fiber = run_spawn(waits, NULL);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    forks(arg);
    CHECK_EQ(shared_send(&the_chan, 7, COIR_NEVER), 0);
    CHECK_EQ(run_join(fiber), 7);
    return 0;
}

/* proves: A7, L1 */
TEST(test_forked_child_has_nothing_of_its_parents_shared_things)
{
    open_chan(&the_chan, 1);
    CHECK_EQ(coir_shared_sem_open(&the_sem, 0), 0);
    CHECK_EQ(coir_shared_event_open(&the_event), 0);
    CHECK_EQ(forks(NULL), 0);
    run_monotonic(forks, NULL);
    run_monotonic(forks_beside_a_wait, NULL);
    CHECK_EQ(coir_shared_sem_count(&the_sem), 0);
}
