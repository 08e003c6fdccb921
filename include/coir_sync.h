/* coir_sync.h: how fibers of one thread wait for each other: events, wait queues, locks. What
 * coir.h says of all calls holds here too.
 *
 *     static coir_event ready;   // all zeros: as good as new
 *     static int opener(void *arg)
 *     {
 *         coir_event_set(&ready);
 *         return puts(arg);
 *     }
 *     static int visitor(void *arg)
 *     {
 *         int result = coir_event_wait(&ready, coir_after(COIR_SEC(1)));
 *         return result == 0 ? puts(arg) : result;   // not late, whoever ran first
 *     }
 *
 * Objects. The caller owns the memory; its contents are coir's. All zeros is ready to use, and
 * nothing is allocated, so nothing must be freed. An object belongs to the fibers of one thread,
 * and stays where it is until every call that waits for it has returned; one that is copied, or
 * used by another thread, meanwhile is misuse.
 *
 * Order. Who came first is served first. What ends a wait has happened when the waiter is woken,
 * not when it runs (see "Effects" in coir.h). */
#ifndef COIR_SYNC_H
#define COIR_SYNC_H

#include "coir.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- events ---------------------------------------------------------------------------------- */

/* An event is set or not, and remembers it: no wake is lost, whoever comes first. */
typedef struct coir_event {
    uint64_t opaque[4]; /* coir's */
} coir_event;

/* Sets an event, and wakes who waits for it, in order, up to and including the first that takes it.
 * Callable anywhere in the thread. Never parks. */
COIR_API void coir_event_set(coir_event *event);

/* Makes it as if it had not been set. Callable anywhere in the thread. Never parks. */
COIR_API void coir_event_reset(coir_event *event);

/* Whether it is set. Callable anywhere in the thread. */
COIR_API bool coir_event_is_set(const coir_event *event);

/* Waits until an event is set, and leaves it so (a gate). Returns 0, COIR_TIMED_OUT,
 * COIR_CANCELLED. With COIR_TRY callable outside fibers too. Parks. */
COIR_API int coir_event_wait(coir_event *event, coir_time until);

/* Waits until an event is set, and resets it: each set is taken once (a flag that there is work).
 * Returns as coir_event_wait. With COIR_TRY callable outside fibers too. Parks. */
COIR_API int coir_event_take(coir_event *event, coir_time until);

/* ---- wait queues ----------------------------------------------------------------------------- */

/* A wait queue remembers nothing: a wake that finds nobody does nothing. For building other things,
 * since between two calls that park no other fiber runs:
 *
 *     while (!condition && result == 0)
 *         result = coir_queue_wait(&queue, until); */
typedef struct coir_queue {
    uint64_t opaque[4]; /* coir's */
} coir_queue;

/* Waits at the tail of a queue to be woken. Returns 0, COIR_TIMED_OUT, COIR_CANCELLED; -EPIPE: the
 * queue has ended. Parks. */
COIR_API int coir_queue_wait(coir_queue *queue, coir_time until);

/* Wakes those that have waited longest, `count` at most (SIZE_MAX: all). Returns how many. Callable
 * anywhere in the thread. Never parks. */
COIR_API size_t coir_queue_wake(coir_queue *queue, size_t count);

/* Ends a queue for good: every wait for it, now and later, returns -EPIPE. Callable anywhere in the
 * thread. Never parks. */
COIR_API void coir_queue_end(coir_queue *queue);

/* ---- locks ----------------------------------------------------------------------------------- */

/* A mutex, for what must not be seen half done where the code parks in between. It is held by one
 * fiber, which alone may unlock it, and is handed to who has waited longest. */
typedef struct coir_mutex {
    uint64_t opaque[6]; /* coir's */
} coir_mutex;

/* Waits until the mutex is free, and locks it. Returns 0, and only then holds it; COIR_TIMED_OUT;
 * COIR_CANCELLED; -EDEADLK: the caller holds it. A holder that has ended is misuse. Parks. */
COIR_API COIR_MUST_CHECK int coir_mutex_lock(coir_mutex *mutex, coir_time until);

/* Unlocks a mutex. A caller that does not hold it is misuse. Never parks. */
COIR_API void coir_mutex_unlock(coir_mutex *mutex);

/* A read-write lock: held by one writer, or by any number of readers. Who comes while somebody
 * waits, waits behind: so neither readers nor writers starve. */
typedef struct coir_rwlock {
    uint64_t opaque[6]; /* coir's */
} coir_rwlock;

/* Waits until it can be read. Returns as coir_mutex_lock (-EDEADLK: the caller is its writer; that
 * it is one of its readers is not noticed). Parks. */
COIR_API COIR_MUST_CHECK int coir_rwlock_read(coir_rwlock *lock, coir_time until);

/* Waits until it can be written. Returns as coir_rwlock_read. Parks. */
COIR_API COIR_MUST_CHECK int coir_rwlock_write(coir_rwlock *lock, coir_time until);

/* Unlocks what the caller reads or writes. If another fiber writes it, or nobody holds it, that is
 * misuse. Never parks. */
COIR_API void coir_rwlock_unlock(coir_rwlock *lock);

/* A condition: where fibers wait, with a mutex unlocked meanwhile, for something to change. Where
 * nothing parks between a look at the state and the wait, a wait queue does without the mutex. */
typedef struct coir_cond {
    uint64_t opaque[4]; /* coir's */
} coir_cond;

/* Unlocks a mutex, which the caller holds, waits for a signal, and locks it again, whatever else
 * happens: it returns holding the mutex, always. Returns 0, COIR_TIMED_OUT, COIR_CANCELLED. Nobody
 * is woken without a signal, but the state may have changed again: look at it in a loop. Parks. */
COIR_API int coir_cond_wait(coir_cond *cond, coir_mutex *mutex, coir_time until);

/* Wakes those that have waited longest, `count` at most (SIZE_MAX: all). Returns how many. Callable
 * anywhere in the thread, mutex or not. Never parks. */
COIR_API size_t coir_cond_wake(coir_cond *cond, size_t count);

/* A semaphore: permits, 0 at first. */
typedef struct coir_sem {
    uint64_t opaque[4]; /* coir's */
} coir_sem;

/* Waits for a permit, and takes it. Returns 0, COIR_TIMED_OUT, COIR_CANCELLED. With COIR_TRY
 * callable outside fibers too. Parks. */
COIR_API COIR_MUST_CHECK int coir_sem_acquire(coir_sem *sem, coir_time until);

/* Gives permits: to those that have waited longest, and the rest to who comes. More than UINT64_MAX
 * at a time are misuse. Callable anywhere in the thread. Never parks. */
COIR_API void coir_sem_release(coir_sem *sem, uint64_t count);

/* How many permits there are. */
COIR_API uint64_t coir_sem_count(const coir_sem *sem);

/* A barrier: where fibers wait until enough of them are there. */
typedef struct coir_barrier {
    uint64_t opaque[4]; /* coir's */
} coir_barrier;

/* Waits until `parties` fibers wait in this call, itself among them; then all go on, and the next
 * ones form a new group. All of a group name the same number. Returns 1 in the fiber that came
 * last, 0 in the others; COIR_TIMED_OUT or COIR_CANCELLED: it does not count any more; -EINVAL for
 * 0 parties. Parks. */
COIR_API int coir_barrier_wait(coir_barrier *barrier, size_t parties, coir_time until);

/* A wait group: a number of things that are under way, 0 at first. Fibers in a scope need none. */
typedef struct coir_wait_group {
    uint64_t opaque[4]; /* coir's */
} coir_wait_group;

/* Begins `count` more. More than SIZE_MAX are misuse. Callable anywhere in the thread. Never
 * parks. */
COIR_API void coir_wait_group_add(coir_wait_group *group, size_t count);

/* One is done; with the last, all that wait go on. If none is under way, that is misuse. Callable
 * anywhere in the thread. Never parks. */
COIR_API void coir_wait_group_done(coir_wait_group *group);

/* Waits until none is under way. Returns 0, COIR_TIMED_OUT, COIR_CANCELLED. Parks. */
COIR_API int coir_wait_group_wait(coir_wait_group *group, coir_time until);

/* Something that is to be done once. */
typedef struct coir_once {
    uint64_t opaque[5]; /* coir's */
} coir_once;

/* Calls fn(arg), unless a call that succeeded (a result >= 0) was made before. While another fiber
 * makes it, waits for its end. Returns the result of the call that succeeded, or of its own that
 * failed (then the next who waits calls); COIR_TIMED_OUT, COIR_CANCELLED; -EDEADLK: fn's own fiber
 * calls it again. Parks. */
COIR_API int coir_once_call(coir_once *once, int (*fn)(void *arg), void *arg, coir_time until);

#ifdef __cplusplus
}
#endif
#endif
