/* Mutexes, read-write locks and conditions: who holds what, and in which order. */
#include "waits.h"

static coir_mutex mutex;
static coir_rwlock lock;
static coir_cond cond;

static int call_lock(struct waiter *w)
{
    return coir_mutex_lock(w->object, w->until);
}

/* Holds the mutex while it sleeps. */
static int call_hold(struct waiter *w)
{
    int result = coir_mutex_lock(w->object, w->until);
    if (result == 0) {
        coir_sleep(COIR_US(1));
        coir_mutex_unlock(w->object);
    }
    return result;
}

static int try_lock(void)
{
    return coir_mutex_lock(&mutex, COIR_TRY);
}

/* ---- mutexes ---- */

static int inside, entered;

static int enter_and_park(struct waiter *w)
{
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(coir_mutex_lock(w->object, i % 3 ? COIR_NEVER : coir_after(COIR_SEC(1))), 0);
        CHECK_EQ(inside++, 0);
        if (i % 2)
            coir_yield();
        else
            coir_sleep(7);
        entered++;
        CHECK_EQ(--inside, 0);
        coir_mutex_unlock(w->object);
    }
    return 0;
}

static int exclude(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        waiter_spawn(waiter_make("f", enter_and_park, &mutex, COIR_NEVER));
    CHECK_EQ(coir_sleep(COIR_SEC(1)), 0);
    CHECK_EQ(entered, 200);
    CHECK_EQ(try_lock(), 0);
    coir_mutex_unlock(&mutex);
    return 0;
}

/* proves: M1 */
TEST(test_one_fiber_at_a_time_is_between_lock_and_unlock)
{
    run_virtual(exclude, NULL);
}

static int hand_on(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
    begin("a", call_hold, &mutex, COIR_NEVER);
    begin("b", call_hold, &mutex, coir_after(COIR_SEC(1)));
    begin("c", call_hold, &mutex, COIR_NEVER);
    CHECK_LOG("");
    coir_mutex_unlock(&mutex);
    CHECK_EQ(try_lock(), COIR_TIMED_OUT); /* it is a's, who has not run */
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
    CHECK_STR(run_log, "a b c");
    CHECK_EQ(now_ns(), 3000);
    coir_mutex_unlock(&mutex);
    return 0;
}

/* proves: M1 */
TEST(test_a_mutex_goes_to_who_has_waited_longest_before_that_fiber_runs)
{
    run_virtual(hand_on, NULL);
}

static int lock_again(void *arg)
{
    (void)arg;
    for (int others = 0; others < 2; others++) {
        CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
        if (others)
            begin("a", call_hold, &mutex, COIR_NEVER);
        CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), -EDEADLK);
        CHECK_EQ(coir_mutex_lock(&mutex, COIR_TRY), -EDEADLK);
        CHECK_EQ(coir_mutex_lock(&mutex, coir_after(10)), -EDEADLK);
        CHECK_EQ(now_ns(), 0);
        coir_mutex_unlock(&mutex); /* once is enough */
    }
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
    CHECK_STR(run_log, "a");
    coir_mutex_unlock(&mutex);
    return 0;
}

/* proves: M2 */
TEST(test_locking_what_one_holds_is_a_deadlock)
{
    run_virtual(lock_again, NULL);
}

static int give_up(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
    begin("a", call_hold, &mutex, coir_after(10));
    struct waiter *b = begin("b", call_hold, &mutex, COIR_NEVER);
    begin("c", call_hold, &mutex, COIR_NEVER);
    begin_cancelled("d", call_hold, &mutex, NULL, COIR_NEVER);
    CHECK_LOG("d=CANCELLED");
    CHECK_EQ(coir_sleep(20), 0);
    CHECK_LOG("a=TIMED_OUT");
    cancel(b);
    CHECK_LOG("b=CANCELLED");
    coir_mutex_unlock(&mutex);
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
    CHECK_LOG("c");
    coir_mutex_unlock(&mutex);
    return 0;
}

/* proves: M1, Y4 */
TEST(test_who_gives_up_waiting_for_a_mutex_does_not_get_it)
{
    run_virtual(give_up, NULL);
}

static int lock_then_cancelled(struct waiter *w)
{
    CHECK_EQ(coir_mutex_lock(w->object, COIR_NEVER), 0);
    int result = coir_sleep(COIR_SEC(9));
    coir_mutex_unlock(w->object);
    return result;
}

static int unlock_cancelled(void *arg)
{
    (void)arg;
    struct waiter *a = begin("a", lock_then_cancelled, &mutex, COIR_NEVER);
    begin("b", call_lock, &mutex, COIR_NEVER);
    cancel(a);
    CHECK_LOG("a=CANCELLED b");
    return 0;
}

/* proves: M1 */
TEST(test_a_cancelled_fiber_unlocks_what_it_holds)
{
    run_virtual(unlock_cancelled, NULL);
}

/* ---- read-write locks ---- */

static int call_read(struct waiter *w)
{
    int result = coir_rwlock_read(&lock, w->until);
    if (result == 0) {
        run_note(w->name);
        coir_event_wait(w->object, COIR_NEVER); /* or until it is cancelled */
        coir_rwlock_unlock(&lock);
    }
    return result;
}

static int call_write(struct waiter *w)
{
    int result = coir_rwlock_write(&lock, w->until);
    if (result == 0) {
        run_note(w->name);
        CHECK_EQ(coir_event_wait(w->object, COIR_NEVER), 0);
        coir_rwlock_unlock(&lock);
    }
    return result;
}

static coir_event done[8];

/* In the log stands a name when the lock is held, and again when it has been unlocked. */
static int take_turns(void *arg)
{
    (void)arg;
    begin("r0", call_read, &done[0], COIR_NEVER);
    begin("r1", call_read, &done[1], COIR_NEVER);
    CHECK_LOG("r0 r1");
    begin("w2", call_write, &done[2], COIR_NEVER);
    begin("r3", call_read, &done[3], COIR_NEVER);
    begin("r4", call_read, &done[3], COIR_NEVER);
    begin("w5", call_write, &done[5], COIR_NEVER);
    begin("r6", call_read, &done[6], COIR_NEVER);
    CHECK_LOG("");
    CHECK_EQ(coir_rwlock_read(&lock, COIR_TRY), COIR_TIMED_OUT); /* others wait */
    coir_event_set(&done[0]);
    CHECK_LOG("r0");
    coir_event_set(&done[1]);
    CHECK_LOG("r1 w2");
    coir_event_set(&done[2]);
    CHECK_LOG("w2 r3 r4");
    begin("r7", call_read, &done[7], COIR_NEVER); /* behind w5 and r6 */
    CHECK_LOG("");
    coir_event_set(&done[3]);
    CHECK_LOG("r3 r4 w5");
    coir_event_set(&done[5]);
    CHECK_LOG("w5 r6 r7");
    coir_event_set(&done[6]);
    coir_event_set(&done[7]);
    CHECK_LOG("r6 r7");
    CHECK_EQ(coir_rwlock_write(&lock, COIR_TRY), 0);
    coir_rwlock_unlock(&lock);
    return 0;
}

/* proves: M3 */
TEST(test_readers_come_in_together_and_nobody_overtakes)
{
    run_virtual(take_turns, NULL);
}

static int writer_gives_up(void *arg)
{
    (void)arg;
    begin("r0", call_read, &done[0], COIR_NEVER);
    struct waiter *w = begin("w1", call_write, &done[1], COIR_NEVER);
    begin("r2", call_read, &done[0], COIR_NEVER);
    begin("r3", call_read, &done[0], coir_after(COIR_SEC(1)));
    begin("w4", call_write, &done[4], COIR_NEVER);
    CHECK_LOG("r0");
    cancel(w);
    CHECK_LOG("w1=CANCELLED r2 r3");
    coir_event_set(&done[0]);
    CHECK_LOG("r0 r2 r3 w4");
    begin("w5", call_write, &done[5], coir_after(10));
    begin("r6", call_read, &done[6], COIR_NEVER);
    CHECK_EQ(coir_sleep(20), 0);
    CHECK_LOG("w5=TIMED_OUT"); /* w4 writes still */
    coir_event_set(&done[4]);
    CHECK_LOG("w4 r6");
    begin("w7", call_write, &done[7], coir_after(10));
    begin("r7", call_read, &done[6], COIR_NEVER);
    CHECK_EQ(coir_sleep(20), 0);
    CHECK_LOG("w7=TIMED_OUT r7"); /* beside r6, who reads still */
    coir_event_set(&done[6]);
    CHECK_LOG("r6 r7");
    return 0;
}

/* proves: M3, Y4 */
TEST(test_readers_behind_a_writer_that_gives_up_come_in)
{
    run_virtual(writer_gives_up, NULL);
}

static int given_up_at_once(void *arg)
{
    (void)arg;
    begin("r0", call_read, &done[0], COIR_NEVER);
    struct waiter *w = begin("w1", call_write, &done[1], COIR_NEVER);
    struct waiter *r = begin("r2", call_read, &done[0], COIR_NEVER);
    cancel(w);
    cancel(r); /* it has come in before */
    CHECK_LOG("r0 w1=CANCELLED r2 r2");
    begin("w3", call_write, &done[3], coir_after(10));
    begin("r4", call_read, &done[0], coir_after(10)); /* at the same instant, but later */
    CHECK_EQ(coir_sleep(20), 0);
    CHECK_LOG("w3=TIMED_OUT r4");
    coir_event_set(&done[0]);
    CHECK_LOG("r0 r4");
    return 0;
}

/* proves: M3, Y4 */
TEST(test_readers_come_in_when_the_writer_before_them_gives_up_though_it_has_not_run)
{
    run_virtual(given_up_at_once, NULL);
}

static int write_again(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_rwlock_write(&lock, COIR_NEVER), 0);
    CHECK_EQ(coir_rwlock_write(&lock, COIR_NEVER), -EDEADLK);
    CHECK_EQ(coir_rwlock_read(&lock, COIR_TRY), -EDEADLK);
    coir_rwlock_unlock(&lock);
    CHECK_EQ(coir_rwlock_read(&lock, COIR_NEVER), 0);
    CHECK_EQ(coir_rwlock_read(&lock, COIR_NEVER), 0); /* while nobody waits */
    CHECK_EQ(coir_rwlock_write(&lock, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_rwlock_write(&lock, coir_after(10)), COIR_TIMED_OUT);
    CHECK_EQ(now_ns(), 10);
    coir_rwlock_unlock(&lock);
    CHECK_EQ(coir_rwlock_write(&lock, COIR_TRY), COIR_TIMED_OUT);
    coir_rwlock_unlock(&lock);
    CHECK_EQ(coir_rwlock_write(&lock, COIR_TRY), 0);
    coir_rwlock_unlock(&lock);
    return 0;
}

/* proves: M2, M3 */
TEST(test_a_writer_that_locks_again_is_told_and_a_reader_that_writes_waits_for_itself)
{
    run_virtual(write_again, NULL);
}

/* ---- conditions ---- */

/* Notes what it was returned, while it holds the mutex. */
static int call_cond(struct waiter *w)
{
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
    int result = coir_cond_wait(w->object, &mutex, w->until);
    CHECK_EQ(inside++, 0);
    coir_yield();
    CHECK_EQ(--inside, 0);
    coir_mutex_unlock(&mutex); /* stops the program if it is not held */
    return result;
}

static int signal_some(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_cond_wake(&cond, SIZE_MAX), 0); /* nobody, and forgotten */
    begin("a", call_cond, &cond, COIR_NEVER);
    begin("b", call_cond, &cond, COIR_NEVER);
    begin("c", call_cond, &cond, COIR_NEVER);
    begin("d", call_cond, &cond, COIR_NEVER);
    CHECK_LOG(""); /* all wait, so the mutex is free meanwhile */
    CHECK_EQ(try_lock(), 0);
    CHECK_EQ(coir_cond_wake(&cond, 0), 0);
    CHECK_EQ(coir_cond_wake(&cond, 1), 1);
    CHECK_LOG(""); /* it must have the mutex first */
    coir_mutex_unlock(&mutex);
    CHECK_LOG("a");
    CHECK_EQ(coir_cond_wake(&cond, 2), 2); /* without the mutex */
    CHECK_LOG("b c");
    CHECK_EQ(coir_cond_wake(&cond, SIZE_MAX), 1);
    CHECK_LOG("d");
    return 0;
}

/* proves: M4 */
TEST(test_a_condition_wakes_in_order_and_each_returns_with_the_mutex)
{
    run_virtual(signal_some, NULL);
}

static int late_for_the_mutex(void *arg)
{
    (void)arg;
    struct waiter *a = begin("a", call_cond, &cond, COIR_NEVER);
    struct waiter *b = begin("b", call_cond, &cond, coir_after(10));
    struct waiter *c = begin("c", call_cond, &cond, coir_after(10));
    CHECK_EQ(try_lock(), 0);
    CHECK_EQ(coir_cond_wake(&cond, 2), 2);
    settle(); /* a and b wait for the mutex */
    cancel(a);
    CHECK_EQ(coir_sleep(20), 0); /* c is out of time, and waits for it too */
    cancel(c);
    CHECK_LOG("");
    coir_mutex_unlock(&mutex);
    CHECK_LOG("a b c=TIMED_OUT");
    CHECK(a->ended_ns == 20 && b->ended_ns == 20 && c->ended_ns == 20);
    return 0;
}

/* proves: M4, Y4 */
TEST(test_what_ended_a_wait_for_a_condition_stays_while_the_mutex_is_waited_for)
{
    run_virtual(late_for_the_mutex, NULL);
}

static int cancelled_at_the_condition(void *arg)
{
    (void)arg;
    struct waiter *a = begin("a", call_cond, &cond, COIR_NEVER);
    CHECK_EQ(try_lock(), 0);
    cancel(a);
    CHECK_LOG("");
    CHECK_EQ(coir_cond_wake(&cond, 1), 0); /* it does not wait for the condition any more */
    coir_mutex_unlock(&mutex);
    CHECK_LOG("a=CANCELLED");
    return 0;
}

/* proves: M4, Y4 */
TEST(test_a_wait_for_a_condition_that_is_cancelled_returns_with_the_mutex)
{
    run_virtual(cancelled_at_the_condition, NULL);
}

static int cancelled_inside(struct waiter *w)
{
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
    CHECK_EQ(coir_cancel(coir_self(), 0), 0);
    int result = coir_cond_wait(w->object, &mutex, w->until);
    coir_mutex_unlock(&mutex);
    return result;
}

static int tried_at_the_condition(void *arg)
{
    (void)arg;
    begin("a", cancelled_inside, &cond, COIR_NEVER);
    CHECK_LOG("a=CANCELLED");
    begin("b", call_cond, &cond, COIR_TRY);
    begin("c", call_cond, &cond, coir_now());
    CHECK_LOG("b=TIMED_OUT c=TIMED_OUT");
    CHECK_EQ(coir_cond_wake(&cond, SIZE_MAX), 0);
    return now_ns() == 0 ? 0 : 1;
}

/* proves: M4 */
TEST(test_a_wait_for_a_condition_that_is_refused_or_tried_returns_with_the_mutex)
{
    run_virtual(tried_at_the_condition, NULL);
}
