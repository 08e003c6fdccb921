/* Waiting for fibers to end: fiber.c has the end itself, ends.c the calls that wait for one or
 * several, race.c those that wait for the first success.
 *
 * Invariants: a fiber's ring of joiners has a record for each call that waits for its end. While
 * a call is under way, its members that have not `ended` are on their rings; when it returns, none
 * is. */
#ifndef CR_ENDS_H
#define CR_ENDS_H

#include "scope.h"
#include "sched.h"

/* Whether who waits for the end of a fiber gets its result for certain, so that a failure is his
 * and nobody else's: one that is alone does; a member of a group, always, if its fiber is parked
 * in the group still, or if also no other member is left. */
enum cr_claim { CR_CLAIMS, CR_CLAIMS_PARKED, CR_CLAIMS_LAST };

/* A wait for the end of a fiber, linked into its ring of joiners; alone or a member of a group. */
struct cr_join {
    struct cr_wait wait;
    coir_fiber target;
    int result; /* the fiber's, once it has ended */
    bool takes; /* the result is its own when the fiber ends, so nobody finds it later */
    uint8_t claim; /* of a member */
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

/* Whether one of those who wait for it gets its result for certain. */
CR_HIDDEN bool cr_ends_claimed(const struct cr_fiber *self);

/* The fiber of a handle that is alive; NULL: there is none. */
CR_INLINE struct cr_fiber *cr_ends_alive(const struct coir_sched *sched, coir_fiber handle)
{
    struct cr_slot *slot = cr_slot_find(&sched->slots, handle, 0);
    return CR_LIKELY(slot) ? slot->fiber : NULL;
}

/* Whether a fiber is the running one or an ancestor of it, whose end waits for that of the running
 * one. */
CR_HIDDEN bool cr_ends_is_within(const struct cr_fiber *self, const struct cr_fiber *target);

/* A plain fiber has no children. */
CR_INLINE bool cr_ends_never(const struct cr_fiber *self, const struct cr_fiber *target)
{
    return self == target ||
           (!cr_scope_is_plain(&target->own) && cr_ends_is_within(self, target));
}

/* Takes the result, *result (may be NULL), that is kept of one that has ended: 0, or -ESRCH. */
CR_HIDDEN int cr_ends_take_kept(struct coir_sched *sched, coir_fiber handle, int *result);

/* A fiber's end when its function has returned: waits for its children, and destroys its local
 * values. Returns its result. */
CR_HIDDEN int cr_fiber_settle(struct cr_fiber *self, int result);

/* ---- several ---- */

enum cr_enough { CR_ENOUGH_SUCCESS, CR_ENOUGH_ONE, CR_ENOUGH_ALL };

enum { CR_ENDS_FEW = 16 };

struct cr_ends {
    struct cr_group group;
    enum cr_enough until;
    size_t count, alive;
    int error;             /* of the first that failed */
    struct cr_join *joins; /* one for each handle */
    struct cr_join few[CR_ENDS_FEW];
};

/* Begins to wait: 0, or why not; nothing has happened then. */
CR_HIDDEN int cr_ends_begin(struct cr_ends *ends, const coir_fiber *handles, size_t count,
                            enum cr_enough until);

/* What a group of joins has for `enough`. */
CR_HIDDEN bool cr_ends_enough(struct cr_group *group, struct cr_wait *member);

/* Waits until enough have ended. */
CR_HIDDEN int cr_ends_wait(struct cr_ends *ends, coir_time until);

/* Waits until all have, whatever happens. */
CR_HIDDEN void cr_ends_wait_for_all(struct cr_ends *ends);

/* The lowest that has ended, with success if that is what counts; `count` when there is none. */
CR_HIDDEN size_t cr_ends_first(const struct cr_ends *ends);

/* The fiber of one, NULL when it has ended. */
CR_HIDDEN struct cr_fiber *cr_ends_fiber(const struct cr_ends *ends, size_t i);

/* Takes the result of one that has ended, unless somebody has taken it meanwhile. */
CR_HIDDEN void cr_ends_take(struct cr_ends *ends, size_t i);

CR_HIDDEN void cr_ends_finish(struct cr_ends *ends);

#endif
