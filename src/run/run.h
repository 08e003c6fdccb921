/* What the floor of the loop keeps for each scheduler, around what the floors below keep: this is
 * the whole of a scheduler. */
#ifndef CR_RUN_H
#define CR_RUN_H

#include "../io/io.h"
#include "post.h"

struct cr_run {
    struct cr_io io;
    struct cr_post post;
    bool embedded; /* a host loop watches the world's descriptor */
    bool has_more; /* the last wait had no room for more events, of which there may be some */
    uint64_t trimmed; /* how many fibers had ended when spare stacks were last returned */
    uint64_t fired;   /* timers in the last turn that looked for due ones */
    uint64_t idle_at, idle_switches; /* where a virtual clock stands, and for how many switches */
    struct cr_first { /* coir_run's fiber */
        int (*fn)(void *arg);
        void *arg;
        int result; /* that of its whole family: from its slot any joiner may take it */
    } first;
};

CR_INLINE struct cr_run *cr_run_of(struct coir_sched *sched)
{
    return CR_CONTAINER(sched, struct cr_run, io.core);
}

/* Ends what is left of this thread's scheduler, and frees it. */
CR_HIDDEN void cr_run_free(struct coir_sched *sched);

#endif
