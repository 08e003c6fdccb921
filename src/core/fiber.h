/* The end of a fiber, as those see it who wait for it. Birth and end are public (coir.h); what a
 * fiber does itself is in sched.h. */
#ifndef CR_FIBER_H
#define CR_FIBER_H

#include "sched.h"

/* One wait for the ends of several fibers: each has a watch on its ring of joiners. */
enum cr_watch_until { CR_WATCH_SUCCESS, CR_WATCH_ONE, CR_WATCH_ALL };

struct cr_watches {
    struct cr_fiber *self;
    struct cr_wait wait; /* what the waiting fiber is parked in; on its own ring */
    size_t alive;        /* of those that are watched */
    int error;           /* of the last of them that failed */
    enum cr_watch_until until; /* what ends the wait, if it is not that none is alive */
};

struct cr_watch {
    struct cr_wait wait; /* only its link and kind serve: it hangs on the fiber's ring */
    struct cr_watches *watches;
    int result;
    bool ended;
};

extern CR_HIDDEN const struct cr_wait_kind cr_fiber_watch;

#endif
