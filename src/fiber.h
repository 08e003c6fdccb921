/* What others do to a fiber. Its birth, end and join are public (coir.h); what it does itself is in
 * sched.h. */
#ifndef CR_FIBER_H
#define CR_FIBER_H

#include "sched.h"

/* Tells a fiber to stop: its current wait ends, and blocking calls are refused from now on. */
CR_HIDDEN void cr_fiber_stop(struct cr_fiber *fiber);

#endif
