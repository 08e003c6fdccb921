/* Fibers that wait for an object of the program's: an event, a channel, a lock. They hang in its
 * ring in the order in which they came. Whoever brings what they wait for gives it to the first of
 * them, and only then wakes it: what a waiter was woken with it has.
 *
 * A waiter is alone, its fiber parked in it, or a case of a select, a member of a group (wait.h).
 * Once a select has ended its other cases are stale: they still hang, until the select takes them
 * off or somebody who looks for a waiter does, but nobody gives them anything.
 *
 * Invariant: all waiters of an object are fibers of one scheduler. */
#ifndef CR_WAITERS_H
#define CR_WAITERS_H

#include "../core/sched.h"

/* All zeros: empty. An object that is not waited for may be copied: `home` tells. */
struct cr_waiters {
    const struct cr_list *home; /* where the ring was when it was last waited for; or NULL */
    struct cr_list ring;
};

struct cr_waiter {
    struct cr_wait wait;
    void *item; /* what it offers, or where it wants to have it */
};

/* The ring of an object that is waited for for the first time. Stops the program if the object was
 * copied, or moved, while somebody waited. */
CR_HIDDEN void cr_waiters_begin(struct cr_waiters *waiters, const char *function, void *caller);

/* Looks at the cases of selects too, and takes stale ones off; NULL: nobody waits. Stops the
 * program if a waiter is another thread's. */
CR_HIDDEN struct cr_waiter *cr_waiters_first_live(struct cr_waiters *waiters, const char *function,
                                                  void *caller);

CR_INLINE bool cr_waiters_empty(const struct cr_waiters *waiters)
{
    return waiters->ring.next == waiters->home;
}

/* Who has waited longest; NULL: nobody waits. */
CR_INLINE struct cr_waiter *cr_waiters_first(struct cr_waiters *waiters, const char *function,
                                             void *caller)
{
    if (CR_LIKELY(cr_waiters_empty(waiters)))
        return NULL;
    struct cr_waiter *first = CR_CONTAINER(waiters->ring.next, struct cr_waiter, wait.link);
    if (CR_LIKELY(waiters->home == &waiters->ring && first->wait.fiber->wait == &first->wait &&
                  first->wait.fiber->sched == cr_sched_here))
        return first;
    return cr_waiters_first_live(waiters, function, caller);
}

/* Hangs a waiter of the running fiber; `append` where it is known that those that wait are fibers
 * of its scheduler. */
CR_INLINE void cr_waiters_append(struct cr_waiters *waiters, struct cr_waiter *waiter,
                                 const char *function, void *caller)
{
    if (CR_UNLIKELY(waiters->home != &waiters->ring))
        cr_waiters_begin(waiters, function, caller);
    cr_list_append(&waiters->ring, &waiter->wait.link);
}

CR_HIDDEN void cr_waiters_hang(struct cr_waiters *waiters, struct cr_waiter *waiter,
                               const char *function, void *caller);

/* Wakes those that have waited longest, `count` at most. Returns how many. */
CR_HIDDEN size_t cr_waiters_wake(struct cr_waiters *waiters, size_t count, int result,
                                 const char *function, void *caller);

/* Of a thing that is not open (`sched` is NULL), or another thread's: stops the program, but in a
 * forked child. */
CR_HIDDEN CR_COLD void cr_waiters_not_here(const struct coir_sched *sched, const char *what,
                                           const char *function, void *caller);

/* Whether a call may try once though no fiber makes it. */
CR_HIDDEN CR_COLD bool cr_waiters_may_try(coir_time until);

/* What a blocking call does that is made outside of fibers, or by a cancelled one. */
CR_HIDDEN CR_COLD int cr_waiters_refuse(const char *function, void *caller);

#endif
