/* The one wait idea. A fiber that blocks puts a wait record on its own stack, links it into the
 * ring of what it waits for, and parks. Whoever ends the wait (the thing waited for, a deadline, a
 * wake, a cancel) takes the record off its ring, stores the result in it, and makes the fiber
 * ready. So nothing is allocated (but by a join of more than 16 fibers), nothing is searched, and
 * nothing outlives the call.
 *
 * A fiber that waits for several things at once has a record in the ring of each, the members of
 * a group. It parks in the group's own record:
 *
 *     ring of a fiber's joiners      -- member --+
 *     ring of a descriptor's readers -- member --+--> group: park <-- fiber->wait
 *
 * Invariant: while its fiber is parked a record is on one ring, if only on its own. A member is on
 * the ring of what it waits for until it ends or its owner takes it off; then it is on its own.
 * Between the wake of its fiber and its run a member may still end, so the owner looks at the
 * result of every one. */
#ifndef CR_WAIT_H
#define CR_WAIT_H

#include "../base/base.h"
#include "../base/list.h"

struct cr_fiber;
struct cr_wait;

struct cr_wait_kind {
    const char *name; /* for reports: "waits for NAME" */
    int woken;        /* what coir_wake ends it with; -EBUSY: it may not */
    int expired;      /* what its deadline ends it with */
    bool firm;        /* a cancel does not end it */
    bool outside;     /* somebody outside of the scheduler can end it: the kernel, another thread */
    bool holds_clock; /* for work that was handed to another thread: a virtual clock stands still */
    /* A deadline or a cancel has ended it, and its fiber is ready: to serve those who came behind.
     * NULL: they need nothing. */
    void (*given_up)(struct cr_wait *wait);
    /* Adds to the name what it waits for; NULL: nothing to add. */
    void (*describe)(const struct cr_wait *wait, char *text, size_t size);
};

struct cr_wait {
    struct cr_list link;
    struct cr_fiber *fiber;
    const struct cr_wait_kind *kind;
    struct cr_group *group; /* of a member; unset in a record that its fiber is parked in */
    int result;
};

struct cr_group {
    struct cr_wait park; /* what the fiber is parked in, on its own ring; ends with 0 */
    /* A member has ended: whether that is enough for the fiber to go on. NULL: it is. */
    bool (*enough)(struct cr_group *group, struct cr_wait *member);
};

#endif
