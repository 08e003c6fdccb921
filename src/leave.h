/* What becomes of a scheduler when its process forks or its thread ends. Both are noticed by the C
 * library's own hooks, so nothing is asked on any call's way. */
#ifndef CR_LEAVE_H
#define CR_LEAVE_H

#include "base.h"

struct coir_sched;

/* Begins to watch over this thread's scheduler, or (NULL) ends it. `end` frees it when the thread
 * ends first. 0, or -ENOMEM. */
CR_HIDDEN int cr_leave_watch(struct coir_sched *sched, void (*end)(struct coir_sched *sched));

#endif
