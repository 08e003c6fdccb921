/* Where fibers count: semaphores count permits, barriers fibers that have come, wait groups what is
 * under way. And what is done once. */
#include "../../include/coir_sync.h"
#include "../debug/debug.h"
#include "select.h"
#include "waiters.h"

struct sync_count {
    struct cr_waiters waiters; /* first: a waiter's item is its place */
    uint64_t count;
};

struct sync_once {
    struct cr_waiters waiters;
    uint64_t runner; /* key of the fiber that makes the call, or may; 0: none */
    int result;
    bool done;
};

_Static_assert(sizeof(struct sync_count) <= sizeof(coir_sem), "opaque");
_Static_assert(sizeof(struct sync_count) <= sizeof(coir_barrier), "opaque");
_Static_assert(sizeof(struct sync_count) <= sizeof(coir_wait_group), "opaque");
_Static_assert(sizeof(struct sync_once) <= sizeof(coir_once), "opaque");

/* The end of a blocking call that must wait. */
CR_INLINE int gather_park(struct cr_waiters *waiters, const struct cr_wait_kind *kind,
                          coir_time until, const char *function, void *caller)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_waiter waiter;
    if (cr_is_try(until))
        return cr_sched_try_once(self);
    waiter.item = waiters;
    cr_waiters_hang(waiters, &waiter, function, caller);
    return cr_sched_park_now(self, &waiter.wait, kind, until);
}

/* ---- semaphores ---- */

CR_INLINE struct sync_count *sem_of(coir_sem *sem)
{
    return (struct sync_count *)(void *)sem;
}

static CR_NOINLINE int sem_park(struct sync_count *sem, coir_time until, void *caller)
{
    static const struct cr_wait_kind PERMIT = {
        .name = "a permit of a semaphore",
        .woken = -EBUSY,
        .expired = COIR_TIMED_OUT,
    };
    return gather_park(&sem->waiters, &PERMIT, until, "coir_sem_acquire", caller);
}

static int sem_try(struct sync_count *sem)
{
    if (sem->count == 0)
        return COIR_TIMED_OUT;
    sem->count--;
    return 0;
}

int coir_sem_acquire(coir_sem *handle, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    struct sync_count *sem = sem_of(handle);
    if (CR_UNLIKELY(!self || self->cancelled))
        return cr_waiters_may_try(until) ? sem_try(sem)
                                         : cr_waiters_refuse("coir_sem_acquire", CR_CALLER);
    if (CR_UNLIKELY(sem->count == 0))
        return sem_park(sem, until, CR_CALLER);
    sem->count--;
    return cr_sched_spend(self);
}

static CR_NOINLINE void sem_pass(struct sync_count *sem, void *caller)
{
    struct cr_waiter *first;
    while (sem->count > 0 &&
           (first = cr_waiters_first(&sem->waiters, "coir_sem_release", caller)) != NULL) {
        sem->count--;
        cr_sched_end(&first->wait, 0);
    }
}

void coir_sem_release(coir_sem *handle, uint64_t count)
{
    struct sync_count *sem = sem_of(handle);
    if (CR_UNLIKELY(cr_sched_forked))
        return;
    if (CR_UNLIKELY(count > UINT64_MAX - sem->count))
        cr_fatal_mistake("coir_sem_release", CR_CALLER, "there are too many permits");
    sem->count += count;
    if (CR_UNLIKELY(!cr_waiters_empty(&sem->waiters)))
        sem_pass(sem, CR_CALLER);
}

uint64_t coir_sem_count(const coir_sem *handle)
{
    return ((const struct sync_count *)(const void *)handle)->count;
}

static int sem_attempt(coir_case *it)
{
    return sem_try(it->object);
}

static void sem_hang(coir_case *it)
{
    cr_select_hang(it, &((struct sync_count *)it->object)->waiters);
}

coir_case coir_case_acquire(coir_sem *sem)
{
    static const struct coir_source ACQUIRED = {
        "a permit of a semaphore", sem_attempt, sem_hang, cr_select_leave};
    return cr_select_case(&ACQUIRED, sem, NULL);
}

/* ---- barriers ---- */

static void barrier_given_up(struct cr_wait *wait)
{
    struct sync_count *barrier = CR_CONTAINER(wait, struct cr_waiter, wait)->item;
    barrier->count--;
}

int coir_barrier_wait(coir_barrier *handle, size_t parties, coir_time until)
{
    static const struct cr_wait_kind PARTIES = {
        .name = "others to come to a barrier",
        .woken = -EBUSY,
        .expired = COIR_TIMED_OUT,
        .given_up = barrier_given_up,
    };
    struct cr_fiber *self = cr_sched_self;
    struct sync_count *barrier = (struct sync_count *)(void *)handle;
    if (!self || self->cancelled)
        return cr_waiters_refuse("coir_barrier_wait", CR_CALLER);
    if (parties == 0) {
        cr_sched_spend(self);
        return -EINVAL;
    }
    if (barrier->count + 1 >= parties) {
        barrier->count = 0;
        cr_waiters_wake(&barrier->waiters, SIZE_MAX, 0, "coir_barrier_wait", CR_CALLER);
        cr_sched_spend(self);
        return 1;
    }
    barrier->count += !cr_is_try(until);
    return gather_park(&barrier->waiters, &PARTIES, until, "coir_barrier_wait", CR_CALLER);
}

/* ---- wait groups ---- */

void coir_wait_group_add(coir_wait_group *group, size_t count)
{
    struct sync_count *it = (struct sync_count *)(void *)group;
    if (cr_sched_forked)
        return;
    if (count > SIZE_MAX - it->count)
        cr_fatal_mistake("coir_wait_group_add", CR_CALLER, "more than can be counted");
    it->count += count;
}

void coir_wait_group_done(coir_wait_group *handle)
{
    struct sync_count *group = (struct sync_count *)(void *)handle;
    if (cr_sched_forked)
        return;
    if (group->count == 0)
        cr_fatal_mistake("coir_wait_group_done", CR_CALLER, "nothing is under way");
    if (--group->count == 0)
        cr_waiters_wake(&group->waiters, SIZE_MAX, 0, "coir_wait_group_done", CR_CALLER);
}

int coir_wait_group_wait(coir_wait_group *handle, coir_time until)
{
    static const struct cr_wait_kind DONE = {
        .name = "a wait group",
        .woken = -EBUSY,
        .expired = COIR_TIMED_OUT,
    };
    struct cr_fiber *self = cr_sched_self;
    struct sync_count *group = (struct sync_count *)(void *)handle;
    if (!self || self->cancelled)
        return cr_waiters_refuse("coir_wait_group_wait", CR_CALLER);
    if (group->count == 0)
        return cr_sched_spend(self);
    return gather_park(&group->waiters, &DONE, until, "coir_wait_group_wait", CR_CALLER);
}

/* ---- once ---- */

/* Makes the call. If it fails, the turn goes to who has waited longest. */
static int once_run(struct sync_once *once, int (*fn)(void *arg), void *arg, void *caller)
{
    int result = fn(arg);
    once->runner = 0;
    once->result = result;
    once->done = result >= 0;
    if (once->done) {
        cr_waiters_wake(&once->waiters, SIZE_MAX, 0, "coir_once_call", caller);
        return result;
    }
    struct cr_waiter *next = cr_waiters_first(&once->waiters, "coir_once_call", caller);
    if (next) {
        once->runner = next->wait.fiber->key & ~CR_KEY_CANCELLED;
        cr_sched_end(&next->wait, 0);
    }
    return result;
}

int coir_once_call(coir_once *handle, int (*fn)(void *arg), void *arg, coir_time until)
{
    static const struct cr_wait_kind CALL = {
        .name = "a call that another fiber makes once",
        .woken = -EBUSY,
        .expired = COIR_TIMED_OUT,
    };
    struct cr_fiber *self = cr_sched_self;
    struct sync_once *once = (struct sync_once *)(void *)handle;
    if (!self || self->cancelled)
        return cr_waiters_refuse("coir_once_call", CR_CALLER);
    if (!fn)
        cr_fatal_mistake("coir_once_call", CR_CALLER, "the function is NULL");
    if (!once->done && once->runner && once->runner != self->key) {
        int result = gather_park(&once->waiters, &CALL, until, "coir_once_call", CR_CALLER);
        if (result < 0 || once->done)
            return result < 0 ? result : once->result;
    } else if (once->done || once->runner) {
        cr_sched_spend(self);
        return once->done ? once->result : -EDEADLK;
    }
    once->runner = self->key & ~CR_KEY_CANCELLED;
    int result = once_run(once, fn, arg, CR_CALLER);
    if (result < 0 && cr_sched_self == self) /* not in a child that fn has forked */
        cr_sched_spend(self);
    return result;
}
