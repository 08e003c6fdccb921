/* What Go documents of its package sync, and POSIX of its locks, rule by rule in plain words, and
 * how it is here; where it differs the test says so. */
#include "waits.h"

/* ---- sync.Mutex, pthread_mutex ---- */

static coir_mutex mutex;
static coir_event done;

/* Holds the mutex until `done` is set. */
static int call_hold(struct waiter *w)
{
    int result = coir_mutex_lock(&mutex, w->until);
    if (result < 0)
        return result;
    result = coir_event_wait(&done, COIR_NEVER);
    coir_mutex_unlock(&mutex);
    return result;
}

static int zero_mutex(void *arg)
{
    coir_mutex zero = {{0}};
    (void)arg;
    CHECK_EQ(coir_mutex_lock(&zero, COIR_TRY), 0);
    coir_mutex_unlock(&zero);
    begin("a", call_hold, NULL, COIR_NEVER);
    begin("b", call_hold, NULL, COIR_NEVER);
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_TRY), COIR_TIMED_OUT);
    CHECK_LOG("");
    coir_event_set(&done);
    CHECK_LOG("a b");
    return 0;
}

/* Go: the zero value of a mutex is unlocked; Lock blocks until it is available, TryLock does not.
 * proves: M1, Y5 */
TEST(test_go_a_mutex_of_zeros_is_unlocked_and_a_lock_waits)
{
    run_virtual(zero_mutex, NULL);
}

static int call_barge(struct waiter *w)
{
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
        run_note(w->name);
        coir_yield();
        coir_mutex_unlock(&mutex);
    }
    return 0;
}

static int no_starving(void *arg)
{
    (void)arg;
    waiter_spawn(waiter_make("a", call_barge, NULL, COIR_NEVER));
    waiter_spawn(waiter_make("b", call_barge, NULL, COIR_NEVER));
    settle();
    CHECK_STR(run_log, "a b a b a a b b"); /* each ends after its third time */
    return 0;
}

/* Go: a goroutine that unlocks and locks again may overtake those that wait, until one has starved
 * for a millisecond. Here it never does. proves: M1 */
TEST(test_go_a_mutex_is_never_taken_from_those_that_wait)
{
    run_virtual(no_starving, NULL);
}

static int past_deadline(void *arg)
{
    coir_rwlock lock = {{0}};
    coir_sem sem = {{0}};
    (void)arg;
    CHECK_EQ(coir_sleep(100), 0);
    CHECK_EQ(coir_mutex_lock(&mutex, at_ns(50)), 0);
    CHECK_EQ(coir_mutex_lock(&mutex, at_ns(50)), -EDEADLK);
    coir_mutex_unlock(&mutex);
    CHECK_EQ(coir_rwlock_write(&lock, at_ns(50)), 0);
    coir_rwlock_unlock(&lock);
    CHECK_EQ(coir_rwlock_read(&lock, at_ns(50)), 0);
    coir_rwlock_unlock(&lock);
    coir_sem_release(&sem, 1);
    CHECK_EQ(coir_sem_acquire(&sem, at_ns(50)), 0);
    CHECK_EQ(coir_sem_acquire(&sem, at_ns(50)), COIR_TIMED_OUT);
    return now_ns() == 100 ? 0 : 1;
}

/* POSIX: the calls with a time never fail because of it if the lock, or the semaphore, can be had
 * at once, though the time has passed. An error-checking mutex says EDEADLK to its holder.
 * proves: M1, M2, M3, M5, T4 */
TEST(test_posix_what_can_be_had_at_once_is_had_after_the_deadline_too)
{
    run_virtual(past_deadline, NULL);
}

/* ---- sync.RWMutex, pthread_rwlock ---- */

static coir_rwlock lock;

static int call_read(struct waiter *w)
{
    int result = coir_rwlock_read(&lock, w->until);
    if (result < 0)
        return result;
    run_note(w->name);
    result = coir_event_wait(w->object, COIR_NEVER);
    coir_rwlock_unlock(&lock);
    return result;
}

static int call_write(struct waiter *w)
{
    int result = coir_rwlock_write(&lock, w->until);
    if (result < 0)
        return result;
    run_note(w->name);
    result = coir_event_wait(w->object, COIR_NEVER);
    coir_rwlock_unlock(&lock);
    return result;
}

static int readers_and_writer(void *arg)
{
    static coir_event readers, writer;
    (void)arg;
    begin("r1", call_read, &readers, COIR_NEVER);
    begin("r2", call_read, &readers, COIR_NEVER);
    CHECK_LOG("r1 r2"); /* any number of them */
    begin("w", call_write, &writer, COIR_NEVER);
    begin("r3", call_read, &readers, COIR_NEVER);
    begin("r4", call_read, &readers, COIR_TRY);
    CHECK_LOG("r4=TIMED_OUT"); /* a writer that waits keeps new readers out */
    coir_event_set(&readers);
    CHECK_LOG("r1 r2 w");
    CHECK_EQ(coir_rwlock_read(&lock, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_rwlock_write(&lock, COIR_TRY), COIR_TIMED_OUT);
    coir_event_set(&writer);
    CHECK_LOG("w r3 r3");
    return 0;
}

/* Go: the lock is held by any number of readers or one writer; a Lock that waits keeps new readers
 * out, so that it gets the lock at last. POSIX: whether it does is the implementation's choice.
 * proves: M3 */
TEST(test_go_a_writer_that_waits_keeps_new_readers_out)
{
    run_virtual(readers_and_writer, NULL);
}

static int write_from_read(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_rwlock_read(&lock, COIR_NEVER), 0);
    CHECK_EQ(coir_rwlock_write(&lock, coir_after(10)), COIR_TIMED_OUT);
    coir_rwlock_unlock(&lock);
    return 0;
}

/* Go: a read lock cannot become a write lock, nor the other way round: to try is a deadlock.
 * proves: M3 */
TEST(test_go_a_read_lock_does_not_become_a_write_lock)
{
    run_virtual(write_from_read, NULL);
}

/* ---- sync.WaitGroup ---- */

static coir_wait_group group;

static int work(void *arg)
{
    CHECK_EQ(coir_sleep(*(int *)arg), 0);
    coir_wait_group_done(&group);
    return 0;
}

static int wait_for_work(void *arg)
{
    static int lengths[] = {30, 10, 20};
    (void)arg;
    for (int round = 1; round <= 2; round++) {
        for (int i = 0; i < 3; i++) {
            coir_wait_group_add(&group, 1);
            run_spawn(work, &lengths[i]);
        }
        CHECK_EQ(coir_wait_group_wait(&group, COIR_NEVER), 0);
        CHECK_EQ(now_ns(), 30 * round);
        CHECK_EQ(coir_wait_group_wait(&group, COIR_NEVER), 0);
    }
    return 0;
}

/* Go: Wait blocks until the counter is zero, and a group can be used again when all Waits have
 * returned. A counter below zero panics: here that is misuse. proves: M7 */
TEST(test_go_a_wait_group_is_waited_for_and_used_again)
{
    run_virtual(wait_for_work, NULL);
}

/* ---- sync.Once, pthread_once ---- */

static coir_once once;
static int calls, answer;

static int set_up(void *arg)
{
    CHECK_EQ(coir_sleep(10), 0);
    calls++;
    answer = 42;
    return *(int *)arg;
}

static int call_once(struct waiter *w)
{
    static int zero, failure = -EIO;
    int result = coir_once_call(&once, set_up, w->object ? &failure : &zero, w->until);
    CHECK(result == -EIO || answer == 42); /* it has been completed */
    return result;
}

static int set_up_once(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++)
        begin("o", call_once, NULL, COIR_NEVER);
    CHECK_EQ(coir_sleep(20), 0);
    CHECK_LOG("o o o o");
    return calls == 1 ? 0 : 1;
}

/* Go and POSIX: the function is called by the first call only, and no call returns before it has
 * returned. proves: M8 */
TEST(test_go_nobody_goes_on_before_the_one_call_is_complete)
{
    run_virtual(set_up_once, NULL);
}

static int set_up_again(void *arg)
{
    (void)arg;
    begin("a", call_once, &once, COIR_NEVER);
    begin("b", call_once, NULL, COIR_NEVER);
    begin("c", call_once, NULL, COIR_NEVER);
    CHECK_EQ(coir_sleep(30), 0);
    CHECK_LOG("a=EIO b c");
    return calls == 2 ? 0 : 1;
}

/* Go: a function that panics counts as done. POSIX: one that is cancelled is as if it had never
 * been called. Here one that fails is called again. proves: M8 */
TEST(test_posix_a_call_that_failed_is_as_if_it_had_not_been_made)
{
    run_virtual(set_up_again, NULL);
}

/* ---- sync.Cond, pthread_cond ---- */

static coir_cond cond;
static bool ready;

static int call_cond(struct waiter *w)
{
    int result = 0;
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
    while (!ready && result == 0)
        result = coir_cond_wait(&cond, &mutex, w->until);
    coir_mutex_unlock(&mutex);
    return result;
}

static int call_wait_once(struct waiter *w)
{
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
    int result = coir_cond_wait(&cond, &mutex, w->until);
    coir_mutex_unlock(&mutex);
    return result;
}

static int signal_and_broadcast(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_cond_wake(&cond, 1), 0);
    for (int i = 0; i < 4; i++)
        begin("c", call_wait_once, NULL, COIR_NEVER);
    CHECK_EQ(coir_sleep(COIR_SEC(100)), 0);
    CHECK_LOG(""); /* the signal before was for nobody, and none wakes by itself */
    CHECK_EQ(coir_cond_wake(&cond, 1), 1);
    CHECK_LOG("c");
    CHECK_EQ(coir_cond_wake(&cond, SIZE_MAX), 3);
    CHECK_LOG("c c c");
    return 0;
}

/* Go: Signal wakes one that waits, if there is any, Broadcast all; Wait does not return unless
 * woken by them. POSIX allows wakes without a signal: here there are none. proves: M4 */
TEST(test_go_a_signal_wakes_one_a_broadcast_all_and_nothing_else_any)
{
    run_virtual(signal_and_broadcast, NULL);
}

static int set_ready(void *arg)
{
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
    ready = true;
    size_t woken = coir_cond_wake(&cond, 1);
    coir_mutex_unlock(&mutex);
    return woken == *(size_t *)arg ? 0 : 1;
}

static int no_lost_signal(void *arg)
{
    static size_t one = 1;
    (void)arg;
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
    waiter_spawn(waiter_make("w", call_cond, NULL, COIR_NEVER));
    coir_fiber setter = run_spawn(set_ready, &one);
    settle(); /* both want the mutex: first the waiter, which gives it to the setter by its wait */
    coir_mutex_unlock(&mutex);
    CHECK_EQ(run_join(setter), 0);
    CHECK_LOG("w");
    return 0;
}

/* POSIX: the mutex is released and the wait begun in one step: a signal of who gets the mutex after
 * that finds the waiter. Go says the same. proves: M4 */
TEST(test_posix_no_signal_is_lost_between_the_unlock_and_the_wait)
{
    run_virtual(no_lost_signal, NULL);
}

static int not_consumed(void *arg)
{
    (void)arg;
    struct waiter *a = begin("a", call_wait_once, NULL, COIR_NEVER);
    begin("b", call_wait_once, NULL, coir_after(10));
    begin("c", call_wait_once, NULL, COIR_NEVER);
    CHECK_EQ(coir_sleep(5), 0);
    cancel(a);
    CHECK_EQ(coir_sleep(5), 0); /* b is out of time */
    CHECK_EQ(coir_cond_wake(&cond, 1), 1);
    CHECK_LOG("a=CANCELLED b=TIMED_OUT c");
    return 0;
}

/* POSIX: a thread that is cancelled, or out of time, consumes no signal that another that waits
 * could have. proves: M4, Y4 */
TEST(test_posix_who_is_cancelled_or_out_of_time_consumes_no_signal)
{
    run_virtual(not_consumed, NULL);
}

/* ---- pthread_barrier, sem ---- */

static coir_barrier barrier;

static int call_barrier(struct waiter *w)
{
    return coir_barrier_wait(&barrier, 3, w->until);
}

static int serial(void *arg)
{
    (void)arg;
    for (int round = 0; round < 3; round++) {
        begin("a", call_barrier, NULL, COIR_NEVER);
        begin("b", call_barrier, NULL, COIR_NEVER);
        CHECK_LOG("");
        begin("c", call_barrier, NULL, COIR_NEVER);
        CHECK_LOG("c=1 a b");
    }
    CHECK_EQ(coir_barrier_wait(&barrier, 0, COIR_NEVER), -EINVAL);
    return 0;
}

/* POSIX: one of the group learns that it is the serial one, the others get 0, and the barrier is
 * as it was at first. A count of 0 is EINVAL. proves: M6 */
TEST(test_posix_a_barrier_has_one_serial_thread_and_is_used_again)
{
    run_virtual(serial, NULL);
}

static coir_sem sem;

static int call_sem(struct waiter *w)
{
    return coir_sem_acquire(&sem, w->until);
}

static int post_and_wait(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_sem_acquire(&sem, COIR_TRY), COIR_TIMED_OUT);
    begin("a", call_sem, NULL, COIR_NEVER);
    begin("b", call_sem, NULL, coir_after(10));
    coir_sem_release(&sem, 1);
    CHECK_EQ(coir_sem_count(&sem), 0); /* it went to a */
    CHECK_EQ(coir_sleep(20), 0);
    CHECK_LOG("a b=TIMED_OUT");
    coir_sem_release(&sem, 1);
    CHECK_EQ(coir_sem_count(&sem), 1);
    CHECK_EQ(coir_sem_acquire(&sem, COIR_NEVER), 0);
    return 0;
}

/* POSIX: a post lets one go that is blocked, the longest one where there are priorities; with
 * nobody blocked the value goes up. proves: M5 */
TEST(test_posix_a_post_goes_to_one_that_is_blocked_or_is_counted)
{
    run_virtual(post_and_wait, NULL);
}
