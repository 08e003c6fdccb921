/* Local values, seen from the birth and the end of a fiber. A fiber without any has no memory for
 * them. */
#ifndef CR_LOCAL_H
#define CR_LOCAL_H

#include "sched.h"

/* Makes a new fiber's values of its spawner's; false when memory ran out. */
CR_HIDDEN bool cr_local_inherit(struct cr_fiber *spawner, struct cr_locals **locals);

/* Destroys them again, when nothing becomes of the fiber. */
CR_HIDDEN void cr_local_drop(struct cr_locals *locals);

/* Destroys the running fiber's values, the last set first. */
CR_HIDDEN void cr_local_end(struct cr_fiber *self);

#endif
