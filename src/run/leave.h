/* What becomes of a scheduler when its process forks or its thread ends. Both are noticed by the C
 * library's own hooks, so nothing is asked on any call's way. */
#ifndef CR_LEAVE_H
#define CR_LEAVE_H

#include "../base/base.h"

struct coir_sched;

/* Begins to watch over this thread's scheduler, or (NULL) ends it: frees it when the thread ends
 * first. 0, or -ENOMEM. */
CR_HIDDEN int cr_leave_watch(struct coir_sched *sched);

/* The lock of what the whole process has once: keys, and handlers of signals. A fork waits for
 * it. */
CR_HIDDEN void cr_leave_lock(void);
CR_HIDDEN void cr_leave_unlock(void);

/* How many forks this process has come from; counted after the first cr_leave_count, which is 0, or
 * -ENOMEM. */
CR_HIDDEN int cr_leave_count(void);
extern CR_HIDDEN unsigned int cr_leave_forks;

#endif
