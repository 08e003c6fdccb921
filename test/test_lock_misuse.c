/* Locks that the caller does not hold, or whose holder has ended; what is below zero or too much;
 * and calls that wait, made outside of fibers: each stops the program with one line. */
#include "stops.h"
#include "sync_things.h"

#include <coir_post.h>

/* ---- unlocked by another ---- */

static int lock_and_sleep(struct waiter *w)
{
    CHECK_EQ(coir_mutex_lock(w->object, COIR_NEVER), 0);
    return coir_sleep(COIR_SEC(1));
}

static int unlock_theirs(struct waiter *w)
{
    coir_mutex_unlock(w->object);
    return 0;
}

static int wait_unlocked(struct waiter *w)
{
    coir_cond cond = {{0}};
    return coir_cond_wait(&cond, w->object, COIR_NEVER);
}

static int one_locks_and_another(void *arg)
{
    int (*call)(struct waiter *w) = *(int (**)(struct waiter *w))arg;
    begin("holder", lock_and_sleep, &the_mutex, COIR_NEVER);
    begin("thief", call, &the_mutex, COIR_NEVER);
    return 0;
}

/* proves: M2, F2 */
TEST_DIES(test_unlocking_what_another_fiber_holds_names_both, SIGABRT,
          "coir: coir_mutex_unlock: the lock is held by fiber 1 'holder' (in fiber 2 'thief', call")
{
    int (*call)(struct waiter *w) = unlock_theirs;
    run_as(one_locks_and_another, &call, COIR_CLOCK_VIRTUAL, NULL);
}

/* proves: M2, F2 */
TEST_DIES(test_waiting_for_a_condition_with_anothers_mutex_names_both, SIGABRT,
          "coir: coir_cond_wait: the lock is held by fiber 1 'holder' (in fiber 2 'thief', called ")
{
    int (*call)(struct waiter *w) = wait_unlocked;
    run_as(one_locks_and_another, &call, COIR_CLOCK_VIRTUAL, NULL);
}

static int unlock_free(void *arg)
{
    coir_mutex_unlock(arg);
    return 0;
}

/* proves: M2, F2 */
TEST_DIES(test_unlocking_a_free_mutex_stops, SIGABRT,
          "coir: coir_mutex_unlock: the lock is held by nobody (in fiber 0, called from ")
{
    run_as(unlock_free, &the_mutex, COIR_CLOCK_VIRTUAL, NULL);
}

static int unlock_twice(void *arg)
{
    CHECK_EQ(coir_mutex_lock(arg, COIR_NEVER), 0);
    coir_mutex_unlock(arg);
    coir_mutex_unlock(arg);
    return 0;
}

/* proves: M2, F2 */
TEST_DIES(test_unlocking_a_mutex_twice_stops, SIGABRT,
          "coir: coir_mutex_unlock: the lock is held by nobody (in fiber 0, called from ")
{
    run_as(unlock_twice, &the_mutex, COIR_CLOCK_VIRTUAL, NULL);
}

static int unlock_handed_over(void *arg)
{
    CHECK_EQ(coir_mutex_lock(arg, COIR_NEVER), 0);
    begin("next", thing_lock, NULL, COIR_NEVER);
    coir_mutex_unlock(arg);
    coir_mutex_unlock(arg); /* the next one's, though it has not run */
    return 0;
}

/* proves: M1, M2, F2 */
TEST_DIES(test_unlocking_a_mutex_that_was_handed_over_names_the_next_holder, SIGABRT,
          "coir: coir_mutex_unlock: the lock is held by fiber 1 'next' (in fiber 0, called from ")
{
    run_as(unlock_handed_over, &the_mutex, COIR_CLOCK_VIRTUAL, NULL);
}

static int unlock_free_rwlock(void *arg)
{
    coir_rwlock_unlock(arg);
    return 0;
}

/* proves: M2, F2 */
TEST_DIES(test_unlocking_a_free_rwlock_stops, SIGABRT, "coir: coir_rwlock_unlock: ")
{
    run_as(unlock_free_rwlock, &the_rwlock, COIR_CLOCK_VIRTUAL, NULL);
}

static int write_and_sleep(struct waiter *w)
{
    CHECK_EQ(coir_rwlock_write(w->object, COIR_NEVER), 0);
    return coir_sleep(COIR_SEC(1));
}

static int unlock_writers(void *arg)
{
    begin("writer", write_and_sleep, arg, COIR_NEVER);
    coir_rwlock_unlock(arg);
    return 0;
}

/* proves: M2, F2 */
TEST_DIES(test_unlocking_what_another_fiber_writes_names_it, SIGABRT,
          "coir: coir_rwlock_unlock: the lock is held by fiber 1 'writer' (in fiber 0, called ")
{
    run_as(unlock_writers, &the_rwlock, COIR_CLOCK_VIRTUAL, NULL);
}

/* ---- a holder that has ended ---- */

static int lock_and_end(struct waiter *w)
{
    return coir_mutex_lock(w->object, COIR_NEVER);
}

static int write_and_end(struct waiter *w)
{
    return coir_rwlock_write(w->object, COIR_NEVER);
}

static int lock_left(void *arg)
{
    begin("gone", lock_and_end, arg, COIR_NEVER);
    return coir_mutex_lock(arg, COIR_NEVER);
}

static int write_left(void *arg)
{
    begin("gone", write_and_end, arg, COIR_NEVER);
    return coir_rwlock_read(arg, COIR_NEVER);
}

static int select_left(void *arg)
{
    begin("gone", lock_and_end, arg, COIR_NEVER);
    coir_case it = coir_case_lock(arg);
    return coir_select(&it, 1, 0, COIR_NEVER);
}

/* proves: M2, F2 */
TEST_DIES(test_locking_a_mutex_whose_holder_has_ended_stops, SIGABRT,
          "coir: coir_mutex_lock: the lock is held by fiber 1, which has ended")
{
    run_as(lock_left, &the_mutex, COIR_CLOCK_VIRTUAL, NULL);
}

/* proves: M2, F2 */
TEST_DIES(test_a_case_with_a_mutex_whose_holder_has_ended_stops, SIGABRT,
          "coir: coir_select: the lock is held by fiber 1, which has ended")
{
    run_as(select_left, &the_mutex, COIR_CLOCK_VIRTUAL, NULL);
}

/* proves: M2, F2 */
TEST_DIES(test_reading_what_a_fiber_that_has_ended_writes_stops, SIGABRT,
          "coir: coir_rwlock_read: the lock is held by fiber 1, which has ended")
{
    run_as(write_left, &the_rwlock, COIR_CLOCK_VIRTUAL, NULL);
}

static int end_while_waited_for(struct waiter *w)
{
    CHECK_EQ(coir_mutex_lock(w->object, COIR_NEVER), 0);
    settle();
    return 0;
}

static int wait_for_one_that_ends(void *arg)
{
    struct waiter *w = waiter_make("gone", end_while_waited_for, arg, COIR_NEVER);
    waiter_spawn(w);
    coir_yield();
    return coir_mutex_lock(arg, coir_after(COIR_SEC(1)));
}

/* A wait that had begun before is not noticed until the next one: it is a deadlock, or ends at its
 * deadline. proves: M2 */
TEST(test_a_wait_for_a_holder_that_ends_later_ends_at_its_deadline)
{
    int result = 0;
    CHECK_EQ(run_as(wait_for_one_that_ends, &the_mutex, COIR_CLOCK_VIRTUAL, &result), 0);
    CHECK_EQ(result, COIR_TIMED_OUT);
}

static int lock_only(void *arg)
{
    return coir_mutex_lock(arg, COIR_NEVER);
}

/* The first fiber of the next scheduler has the same number as the holder.
 * proves: M2, F2 */
TEST_DIES(test_locking_a_mutex_whose_holder_was_another_schedulers_stops, SIGABRT,
          "coir: coir_mutex_lock: the lock is held by ")
{
    int result = 0;
    CHECK_EQ(run_as(lock_only, &the_mutex, COIR_CLOCK_VIRTUAL, &result), 0);
    CHECK_EQ(result, 0);
    run_as(lock_only, &the_mutex, COIR_CLOCK_VIRTUAL, &result);
    fprintf(stderr, "its result is %s\n", coir_error_name(result));
}

/* proves: M2, F2 */
TEST_DIES(test_unlocking_a_mutex_whose_holder_was_another_schedulers_stops, SIGABRT,
          "coir: coir_mutex_unlock: the lock is held by ")
{
    CHECK_EQ(run_as(lock_only, &the_mutex, COIR_CLOCK_VIRTUAL, NULL), 0);
    run_as(unlock_free, &the_mutex, COIR_CLOCK_VIRTUAL, NULL);
}

/* ---- numbers ---- */

static int done_too_often(void *arg)
{
    coir_wait_group_add(arg, 2);
    for (int i = 0; i < 3; i++)
        coir_wait_group_done(arg);
    return 0;
}

/* proves: M7, F2 */
TEST_DIES(test_a_wait_group_below_zero_stops, SIGABRT,
          "coir: coir_wait_group_done: nothing is under way (in fiber 0, called from ")
{
    run_as(done_too_often, &the_group, COIR_CLOCK_VIRTUAL, NULL);
}

static int release_too_many(void *arg)
{
    coir_sem_release(arg, UINT64_MAX);
    CHECK_EQ(coir_sem_count(arg), UINT64_MAX);
    CHECK_EQ(coir_sem_acquire(arg, COIR_TRY), 0);
    coir_sem_release(arg, 1);
    coir_sem_release(arg, 1);
    return 0;
}

/* proves: M5, F2 */
TEST_DIES(test_more_permits_than_can_be_counted_stop, SIGABRT, "coir: coir_sem_release: there are ")
{
    run_as(release_too_many, &the_sem, COIR_CLOCK_VIRTUAL, NULL);
}

static int once_without(void *arg)
{
    return coir_once_call(arg, NULL, NULL, COIR_NEVER);
}

/* proves: M8, F2 */
TEST_DIES(test_a_null_function_stops_once, SIGABRT, "coir: coir_once_call: the function is NULL")
{
    run_as(once_without, &the_once, COIR_CLOCK_VIRTUAL, NULL);
}

/* ---- outside of fibers ---- */

struct outside {
    const char *name;
    void (*call)(coir_time until);
    bool may_try;
};

#define OUTSIDE(name, ...)                                                                         \
    static void outside_##name(coir_time until)                                                    \
    {                                                                                              \
        (void)!coir_##name(__VA_ARGS__, until);                                                    \
    }

static int64_t item;

OUTSIDE(chan_send, &the_chan, &item)
OUTSIDE(chan_recv, &the_chan, &item)
OUTSIDE(event_wait, &the_event)
OUTSIDE(event_take, &the_event)
OUTSIDE(queue_wait, &the_queue)
OUTSIDE(mutex_lock, &the_mutex)
OUTSIDE(rwlock_read, &the_rwlock)
OUTSIDE(rwlock_write, &the_rwlock)
OUTSIDE(cond_wait, &the_cond, &the_mutex)
OUTSIDE(sem_acquire, &the_sem)
OUTSIDE(barrier_wait, &the_barrier, 2)
OUTSIDE(wait_group_wait, &the_group)
OUTSIDE(once_call, &the_once, once_answers, NULL)
OUTSIDE(select, NULL, 0, 0)

static void outside_mutex_unlock(coir_time until)
{
    (void)until;
    coir_mutex_unlock(&the_mutex);
}

static void outside_rwlock_unlock(coir_time until)
{
    (void)until;
    coir_rwlock_unlock(&the_rwlock);
}

#define ROW(name, may_try) {"coir_" #name, outside_##name, may_try}

static const struct outside OUTSIDES[] = {
    ROW(chan_send, true),       ROW(chan_recv, true),         ROW(event_wait, true),
    ROW(event_take, true),      ROW(sem_acquire, true),       ROW(queue_wait, false),
    ROW(mutex_lock, false),     ROW(rwlock_read, false),      ROW(rwlock_write, false),
    ROW(cond_wait, false),      ROW(barrier_wait, false),     ROW(wait_group_wait, false),
    ROW(once_call, false),      ROW(select, false),           ROW(mutex_unlock, false),
    ROW(rwlock_unlock, false),
};

static void call_outside(coir_time until, const struct outside *row)
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_chan_open(&the_chan, sizeof item, 0), 0);
    row->call(until);
}

static void never_outside(const void *row)
{
    call_outside(COIR_NEVER, row);
}

static void later_outside(const void *row)
{
    call_outside(COIR_TIME_NS(UINT64_MAX / 2), row);
}

static void try_outside(const void *row)
{
    call_outside(COIR_TRY, row);
}

static const struct outside *posted;
static coir_mailbox box;

static void call_in_letter(void *arg)
{
    (void)arg;
    posted->call(COIR_NEVER);
}

static int post_it(void *arg)
{
    static coir_letter letter = {.fn = call_in_letter};
    (void)arg;
    CHECK_EQ(coir_chan_open(&the_chan, sizeof item, 0), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(coir_post(box, &letter), 0);
    return coir_mailbox_close(box);
}

static void in_a_letter(const void *row)
{
    posted = row;
    run_as(post_it, NULL, COIR_CLOCK_VIRTUAL, NULL);
}

/* proves: Q5, F2 */
TEST(test_calls_that_wait_stop_the_program_outside_of_fibers)
{
    char text[100];
    for (size_t i = 0; i < sizeof OUTSIDES / sizeof *OUTSIDES; i++) {
        const struct outside *row = &OUTSIDES[i];
        snprintf(text, sizeof text, "coir: %s: called outside a fiber (in no fiber, ", row->name);
        stops_check(row->name, never_outside, row, text);
        stops_check(row->name, later_outside, row, text);
        stops_check(row->name, in_a_letter, row, text);
        if (!row->may_try)
            stops_check(row->name, try_outside, row, text);
    }
    CHECK_EQ(stops_wrong, 0);
}
