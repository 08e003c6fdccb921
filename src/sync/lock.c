/* Locks that fibers hold: mutexes and read-write locks; and conditions, which let go of a mutex for
 * a while. A lock is handed to who has waited longest, before that fiber runs: so nobody overtakes,
 * and nobody wakes in vain. */
#include "lock.h"

#include "../../include/coir_sync.h"
#include "../debug/debug.h"
#include "select.h"

#include <stdio.h>

struct sync_cond {
    struct cr_waiters waiters;
};

_Static_assert(sizeof(struct cr_lock) <= sizeof(coir_mutex), "opaque");
_Static_assert(sizeof(struct cr_lock) <= sizeof(coir_rwlock), "opaque");
_Static_assert(sizeof(struct sync_cond) <= sizeof(coir_cond), "opaque");

CR_INLINE struct cr_lock *mutex_of(coir_mutex *mutex)
{
    return (struct cr_lock *)(void *)mutex;
}

CR_INLINE struct cr_lock *rwlock_of(coir_rwlock *lock)
{
    return (struct cr_lock *)(void *)lock;
}

/* ---- who holds it ---- */

static uint64_t lock_number(const struct cr_lock *lock)
{
    return (lock->holder & CR_KEY_NUMBER) - 1;
}

/* NULL: it has ended, or belongs to another thread. */
static const struct cr_fiber *lock_holder(const struct cr_lock *lock)
{
    const struct cr_slots *slots = &cr_sched_here->slots;
    coir_fiber handle = {lock_number(lock), lock->slot, slots->sched};
    bool is_here = ((lock->holder & ~CR_LOCK_WAITED) ^ cr_sched_here->key) <= CR_KEY_NUMBER;
    const struct cr_slot *slot = is_here ? cr_slot_find(slots, handle, 0) : NULL;
    return slot ? slot->fiber : NULL;
}

static void lock_describe_holder(const struct cr_lock *lock, char *text, size_t size)
{
    const struct cr_fiber *holder = lock->holder ? lock_holder(lock) : NULL;
    if (holder)
        cr_report_fiber(holder, text, size);
    else if (lock->holder)
        snprintf(text, size, "fiber %llu, which has ended or is another thread's",
                 (unsigned long long)lock_number(lock));
    else
        snprintf(text, size, lock->readers ? "readers" : "nobody");
}

static CR_COLD _Noreturn void lock_stop(const struct cr_lock *lock, const char *function,
                                        void *caller)
{
    char holder[96], what[128];
    lock_describe_holder(lock, holder, sizeof holder);
    snprintf(what, sizeof what, "the lock is held by %s", holder);
    cr_fatal_mistake(function, caller, what);
}

/* A caller that unlocks what it does not hold. */
static CR_COLD void lock_not_mine(const struct cr_lock *lock, const char *function, void *caller)
{
    if (cr_sched_self)
        lock_stop(lock, function, caller);
    cr_sched_no_fiber(function, caller);
}

static void lock_describe(const struct cr_wait *wait, char *text, size_t size)
{
    const struct cr_waiter *waiter = CR_CONTAINER(wait, struct cr_waiter, wait);
    lock_describe_holder(waiter->item, text, size);
}

static const struct cr_wait_kind LOCK = {
    .name = "a lock held by ",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
    .describe = lock_describe,
};

static const struct cr_wait_kind LOCK_AGAIN = {
    .name = "the mutex of its condition, held by ",
    .woken = -EBUSY,
    .firm = true,
    .describe = lock_describe,
};

/* ---- mutexes ---- */

/* Hands a mutex to who has waited longest. */
static void mutex_pass(struct cr_lock *mutex, const char *function, void *caller)
{
    struct cr_waiter *first = cr_waiters_first(&mutex->waiters, function, caller);
    mutex->holder = 0;
    if (!first)
        return;
    cr_lock_give(mutex, first->wait.fiber);
    cr_sched_end(&first->wait, 0);
    if (!cr_waiters_empty(&mutex->waiters))
        mutex->holder |= CR_LOCK_WAITED;
}

/* 0: locked; COIR_TIMED_OUT: another fiber has it; -EDEADLK. */
static int mutex_try(struct cr_lock *mutex, const struct cr_fiber *self, const char *function,
                     void *caller)
{
    if (!mutex->holder) {
        cr_lock_give(mutex, self);
        return 0;
    }
    if (cr_lock_is_mine(mutex, self))
        return -EDEADLK;
    if (!lock_holder(mutex))
        lock_stop(mutex, function, caller);
    return COIR_TIMED_OUT;
}

static int mutex_park(struct cr_lock *mutex, const struct cr_wait_kind *kind, coir_time until,
                      const char *function, void *caller)
{
    struct cr_waiter waiter;
    waiter.item = mutex;
    cr_waiters_hang(&mutex->waiters, &waiter, function, caller);
    mutex->holder |= CR_LOCK_WAITED;
    return cr_sched_park_now(cr_sched_self, &waiter.wait, kind, until);
}

static CR_NOINLINE int mutex_lock(struct cr_lock *mutex, coir_time until, void *caller)
{
    struct cr_fiber *self = cr_sched_self;
    if (!self || self->cancelled)
        return cr_waiters_refuse("coir_mutex_lock", caller);
    int tried = mutex_try(mutex, self, "coir_mutex_lock", caller);
    if (tried != COIR_TIMED_OUT) {
        cr_sched_spend(self);
        return tried;
    }
    if (cr_is_try(until))
        return cr_sched_try_once(self);
    return mutex_park(mutex, &LOCK, until, "coir_mutex_lock", caller);
}

int coir_mutex_lock(coir_mutex *handle, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_lock *mutex = mutex_of(handle);
    if (CR_UNLIKELY(!self || self->key & CR_KEY_CANCELLED || mutex->holder))
        return mutex_lock(mutex, until, CR_CALLER);
    mutex->holder = self->key;
    mutex->slot = self->slot;
    return cr_sched_spend(self);
}

static CR_NOINLINE void mutex_unlock(struct cr_lock *mutex, void *caller)
{
    if (CR_LIKELY(cr_lock_is_mine(mutex, cr_sched_self)))
        mutex_pass(mutex, "coir_mutex_unlock", caller);
    else
        lock_not_mine(mutex, "coir_mutex_unlock", caller);
}

void coir_mutex_unlock(coir_mutex *handle)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_lock *mutex = mutex_of(handle);
    if (CR_LIKELY(self && mutex->holder == self->key))
        mutex->holder = 0;
    else
        mutex_unlock(mutex, CR_CALLER);
}

static int mutex_attempt(coir_case *it)
{
    return mutex_try(it->object, cr_sched_self, "coir_select", NULL);
}

static void mutex_hang(coir_case *it)
{
    struct cr_lock *mutex = it->object;
    cr_select_hang(it, &mutex->waiters);
    mutex->holder |= CR_LOCK_WAITED;
}

coir_case coir_case_lock(coir_mutex *mutex)
{
    static const struct coir_source LOCKED = {"a lock", mutex_attempt, mutex_hang, cr_select_leave};
    return cr_select_case(&LOCKED, mutex, NULL);
}

/* ---- conditions ---- */

static int cond_park(struct sync_cond *cond, struct cr_lock *mutex, coir_time until, void *caller)
{
    static const struct cr_wait_kind COND = {
        .name = "its condition",
        .woken = -EBUSY,
        .expired = COIR_TIMED_OUT,
    };
    struct cr_waiter waiter;
    waiter.item = NULL;
    cr_waiters_hang(&cond->waiters, &waiter, "coir_cond_wait", caller);
    mutex_pass(mutex, "coir_cond_wait", caller);
    return cr_sched_park_now(cr_sched_self, &waiter.wait, &COND, until);
}

int coir_cond_wait(coir_cond *cond, coir_mutex *handle, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_lock *mutex = mutex_of(handle);
    if (!cr_lock_is_mine(mutex, self)) {
        lock_not_mine(mutex, "coir_cond_wait", CR_CALLER);
        return -ECHILD;
    }
    if (self->cancelled)
        return cr_sched_refuse(self);
    if (cr_is_try(until))
        return cr_sched_try_once(self);
    int result = cond_park((struct sync_cond *)(void *)cond, mutex, until, CR_CALLER);
    if (mutex_try(mutex, self, "coir_cond_wait", CR_CALLER) != 0)
        mutex_park(mutex, &LOCK_AGAIN, COIR_NEVER, "coir_cond_wait", CR_CALLER);
    return result;
}

size_t coir_cond_wake(coir_cond *cond, size_t count)
{
    return cr_waiters_wake(&((struct sync_cond *)(void *)cond)->waiters, count, 0,
                           "coir_cond_wake", CR_CALLER);
}

/* ---- read-write locks ---- */

static void rwlock_given_up(struct cr_wait *wait);

static const struct cr_wait_kind READ_LOCK = {
    .name = "its turn to read a lock held by ",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
    .given_up = rwlock_given_up,
    .describe = lock_describe,
};

static const struct cr_wait_kind WRITE_LOCK = {
    .name = "its turn to write a lock held by ",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
    .given_up = rwlock_given_up,
    .describe = lock_describe,
};

/* Lets in who may come in next: a writer, or all readers before the next writer. */
static void rwlock_pass(struct cr_lock *lock, const char *function, void *caller)
{
    struct cr_waiter *first;
    while (!lock->holder && (first = cr_waiters_first(&lock->waiters, function, caller)) != NULL) {
        bool writes = first->wait.kind == &WRITE_LOCK;
        if (writes && lock->readers)
            return;
        if (writes)
            cr_lock_give(lock, first->wait.fiber);
        else
            lock->readers++;
        cr_sched_end(&first->wait, 0);
    }
}

/* Those behind one who gives up need not wait for it any more. */
static void rwlock_given_up(struct cr_wait *wait)
{
    struct cr_waiter *waiter = CR_CONTAINER(wait, struct cr_waiter, wait);
    rwlock_pass(waiter->item, "coir_rwlock", CR_CALLER);
}

static int rwlock_try(struct cr_lock *lock, const struct cr_fiber *self, bool writes,
                      const char *function, void *caller)
{
    if (lock->holder && cr_lock_is_mine(lock, self))
        return -EDEADLK;
    if (lock->holder && !lock_holder(lock))
        lock_stop(lock, function, caller);
    if (lock->holder || (writes && lock->readers) ||
        cr_waiters_first(&lock->waiters, function, caller))
        return COIR_TIMED_OUT;
    if (writes)
        cr_lock_give(lock, self);
    else
        lock->readers++;
    return 0;
}

static CR_NOINLINE int rwlock_take(struct cr_lock *lock, bool writes, coir_time until,
                                   const char *function, void *caller)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_waiter waiter;
    if (!self || self->cancelled)
        return cr_waiters_refuse(function, caller);
    int tried = rwlock_try(lock, self, writes, function, caller);
    if (tried != COIR_TIMED_OUT) {
        cr_sched_spend(self);
        return tried;
    }
    if (cr_is_try(until))
        return cr_sched_try_once(self);
    waiter.item = lock;
    cr_waiters_hang(&lock->waiters, &waiter, function, caller);
    return cr_sched_park_now(self, &waiter.wait, writes ? &WRITE_LOCK : &READ_LOCK, until);
}

int coir_rwlock_read(coir_rwlock *lock, coir_time until)
{
    return rwlock_take(rwlock_of(lock), false, until, "coir_rwlock_read", CR_CALLER);
}

int coir_rwlock_write(coir_rwlock *lock, coir_time until)
{
    return rwlock_take(rwlock_of(lock), true, until, "coir_rwlock_write", CR_CALLER);
}

void coir_rwlock_unlock(coir_rwlock *handle)
{
    struct cr_lock *lock = rwlock_of(handle);
    bool writes = lock->holder && cr_lock_is_mine(lock, cr_sched_self);
    if (!cr_sched_self || (!writes && (lock->holder || !lock->readers))) {
        lock_not_mine(lock, "coir_rwlock_unlock", CR_CALLER);
        return;
    }
    if (writes)
        lock->holder = 0;
    else
        lock->readers--;
    rwlock_pass(lock, "coir_rwlock_unlock", CR_CALLER);
}
