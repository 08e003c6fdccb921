/* Waiting for a fiber to end: ends.c has the calls that wait, fiber.c the end itself.
 *
 * Invariant: a fiber's ring of joiners has a record for each call that waits for its end. */
#ifndef CR_ENDS_H
#define CR_ENDS_H

#include "sched.h"

/* A wait for the end of a fiber, linked into its ring of joiners; alone or a member of a group. */
struct cr_join {
    struct cr_wait wait;
    coir_fiber target;
    int result; /* the fiber's, once it has ended */
    bool takes; /* the result is its own when the fiber ends, so nobody finds it later */
    bool ended;
};

/* Passes a result to all who wait for it. If one of them took it, it is dropped. */
CR_INLINE void cr_ends_deliver(struct cr_fiber *self, int result)
{
    while (!cr_list_empty(&self->joiners)) {
        struct cr_join *join = CR_CONTAINER(self->joiners.next, struct cr_join, wait.link);
        join->result = result;
        join->ended = true;
        self->dropped |= join->takes;
        cr_sched_end(&join->wait, 0);
    }
}

#endif
