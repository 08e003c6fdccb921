/* Local values, seen from the birth and the end of a fiber. A fiber without any has no memory for
 * them. */
#ifndef CR_LOCAL_H
#define CR_LOCAL_H

#include "sched.h"

/* Makes the values of a child of `parent` of its spawner's: 0, -ENOMEM, or -EINVAL where one would
 * be lent to a fiber that may outlive the one whose value it is. */
CR_HIDDEN int cr_local_inherit(struct cr_fiber *spawner, const struct cr_scope *parent,
                               struct cr_locals **locals);

/* Destroys all values of a fiber that has some, the last set first. */
CR_HIDDEN void cr_local_drop(struct cr_locals **locals);

#endif
