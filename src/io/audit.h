/* The audit of waits whose descriptors may have been closed behind coir's back, which the kernel
 * tells nobody. For the loop. */
#ifndef CR_AUDIT_H
#define CR_AUDIT_H

#include "../base/base.h"

struct coir_sched;

struct cr_audit {
    bool needed;    /* code has run that may have closed something, since the last one */
    bool sweeping;  /* one is under way */
    size_t next;    /* the number that it looks at next */
    uint64_t due_ns; /* when it begins, while it is needed; 0: not decided yet */
    uint64_t spent_ns; /* on the last one, or so far on this one */
};

/* Does a part of an audit that is due, when nothing is ready. Returns when the loop must come back
 * for the next part, 0: at once; COIR_NEVER: there is none to come. */
CR_HIDDEN uint64_t cr_audit_turn(struct coir_sched *sched);

#endif
