/* The one wait idea. A fiber that blocks puts a wait record on its own stack, hangs it on the ring
 * of what it waits for, and parks. Whoever ends the wait (the thing waited for, a deadline, a wake,
 * a stop) takes the record off its ring, stores the result in it, and makes the fiber ready. So
 * nothing is allocated, nothing is searched, and nothing outlives the call.
 *
 * Invariant: while its fiber is parked a record is on one ring, if only on its own. */
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
    bool firm;        /* a stop does not end it */
    bool on_fd;       /* it waits for a descriptor */
    /* Adds to the name what it waits for; NULL: nothing to add. */
    void (*describe)(const struct cr_wait *wait, char *text, size_t size);
};

struct cr_wait {
    struct cr_list link;
    struct cr_fiber *fiber;
    const struct cr_wait_kind *kind;
    int result;
};

#endif
