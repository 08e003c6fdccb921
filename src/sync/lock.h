/* Who holds a lock. It is known by number, not by address, because a fiber may end and leave its
 * lock behind.
 *
 * Invariant: `holder` is 0, or the key of the fiber that holds the lock, with CR_LOCK_WAITED
 * while somebody may wait for it. So the fiber that holds a lock for which nobody waits finds its
 * own key there. */
#ifndef CR_LOCK_H
#define CR_LOCK_H

#include "waiters.h"

#define CR_LOCK_WAITED (UINT64_C(1) << 62)

struct cr_lock {
    struct cr_waiters waiters;
    uint64_t holder;
    uint32_t slot;    /* of the fiber that holds it */
    uint32_t readers; /* of a read-write lock, while nobody writes */
};

CR_INLINE bool cr_lock_is_mine(const struct cr_lock *lock, const struct cr_fiber *self)
{
    return self && ((lock->holder ^ self->key) & ~(CR_KEY_CANCELLED | CR_LOCK_WAITED)) == 0;
}

CR_INLINE void cr_lock_give(struct cr_lock *lock, const struct cr_fiber *fiber)
{
    lock->holder = fiber->key & ~CR_KEY_CANCELLED;
    lock->slot = fiber->slot;
}

#endif
