/* The scheduler's own data and its inner verbs: ready queue, park, wake. Everything that blocks is
 * built of these and of wait records (wait.h).
 *
 *              spawn                  switch                 park
 *     (none) ---------> ready queue ----------> running ----------------> parked: fiber->wait
 *                           ^                     |  ^                        |
 *                           +------- yield -------+  +--- (ready) <-- wake ---+
 *
 * Invariant: fiber->wait is not NULL iff the fiber is parked; then, and only then, its record may
 * be on a ring and its timer armed. */
#ifndef CR_SCHED_H
#define CR_SCHED_H

#include "../io/audit.h"
#include "../ctx/ctx.h"
#include "../io/fd.h"
#include "../base/list.h"
#include "../run/post.h"
#include "../base/san.h"
#include "../base/slot.h"
#include "stack.h"
#include "../base/timer.h"
#include "wait.h"
#include "../world/world.h"

enum { CR_FIBER_NAME_SIZE = 24 };

/* What few fibers have, and their ends must look after. */
enum cr_mark {
    CR_MARK_SCOPED = 1,  /* it has a scope open, or is the child of one */
    CR_MARK_TOLD = 2,    /* it was told to stop, whatever shields it has open */
    CR_MARK_LOCALS = 4,  /* it has local values */
    CR_MARK_WATCHED = 8, /* somebody waits for it and others, or did */
    CR_MARK_RACED = 16,  /* a race answers for its failure */
};

/* Lies at the top of the fiber's stack. The first line of cache holds what a switch, a wake and
 * a read need. */
struct cr_fiber {
    _Alignas(64) void *context;
    struct cr_fiber *next; /* in the ready queue */
    struct cr_wait *wait;
    struct coir_sched *sched;
    uint64_t number; /* counts from 0 in the order of spawning */
    struct cr_fd *quick[2]; /* the entries that it called on last, to read and to write, for the
                               short way (rw.c); cr_fd_none when it has been told to stop */
    struct cr_timer timer;
    int stop; /* what blocking calls are refused with: -ECANCELED once told to stop, else 0 */
    uint32_t slot;
    struct cr_scope *scope; /* the innermost it has open, else the one it is a child of, or NULL */
    struct cr_locals *locals;
    int (*fn)(void *arg);
    void *arg;
    struct cr_list joiners;
    struct cr_stack_class *class;
    struct cr_san san;
    struct cr_scope *home;  /* the one it is a child of; NULL: the scheduler's child */
    struct cr_list sibling; /* in the children of its home */
    bool dropped;           /* nobody will take the result */
    uint8_t marks;          /* enum cr_mark */
    char name[CR_FIBER_NAME_SIZE];
};

_Static_assert(sizeof(void *) != 8 || offsetof(struct cr_fiber, timer.deadline_ns) == 56,
               "the first line of cache");

struct coir_sched {
    struct cr_fiber *ready;
    int budget; /* switches that are left before the loop has its turn */
    bool freeing;
    uint64_t shields; /* that are open */
    bool progress; /* a fiber began, ended, was woken (but by a timer), or moved bytes */
    struct cr_fiber **ready_end;
    void *loop_context;
    struct cr_timers timers;
    struct cr_slots slots;
    struct cr_stacks stacks;
    struct cr_table fds; /* of struct cr_fd */
    struct cr_world world;
    struct cr_post post;
    struct cr_audit audit;
    bool embedded; /* a foreign loop watches the world's descriptor */
    struct cr_san san;
    uint64_t spawned, live;
    uint64_t trimmed; /* how many had ended when spare stacks were last returned */
    uint64_t fired; /* timers in the last turn that looked for due ones */
    struct cr_stack_class *class; /* of stacks, for fibers that name no size */
    uint64_t idle_at, idle_switches; /* where a virtual clock stands, and for how many switches */
    struct coir_sched_opts opts;
    /* Chooses who runs next: returns the link in the ready queue that points to it. NULL: the
     * first. Called with a queue that is not empty. */
    struct cr_fiber **(*pick)(struct coir_sched *sched);
};

/* This thread's scheduler, and the fiber that runs in it (NULL: the loop, or nothing). */
extern CR_HIDDEN _Thread_local struct coir_sched *cr_sched_here;
extern CR_HIDDEN _Thread_local struct cr_fiber *cr_sched_self;

/* The address that the public function returns to, for the line about a mistake. */
#define CR_CALLER __builtin_return_address(0)

/* Set in a forked child, until it makes a scheduler of its own. */
extern CR_HIDDEN _Thread_local bool cr_sched_forked;

/* What a call says where it finds no fiber, or no scheduler: -ECHILD in a forked child; else it is
 * a mistake of the caller's. */
CR_HIDDEN CR_COLD int cr_sched_no_fiber(const char *function, void *caller);
CR_HIDDEN CR_COLD int cr_sched_none(const char *function, void *caller);

CR_INLINE void cr_sched_ready(struct coir_sched *sched, struct cr_fiber *fiber)
{
    fiber->next = NULL;
    *sched->ready_end = fiber;
    sched->ready_end = &fiber->next;
}

/* The ready queue must not be empty. */
CR_INLINE struct cr_fiber *cr_sched_pop(struct coir_sched *sched)
{
    struct cr_fiber *fiber = sched->ready;
    sched->ready = fiber->next;
    if (!sched->ready)
        sched->ready_end = &sched->ready;
    return fiber;
}

/* A stop, or its end, reaches a fiber. */
CR_INLINE void cr_sched_set_stop(struct cr_fiber *fiber, int stop)
{
    fiber->stop = stop;
    fiber->quick[0] = fiber->quick[1] = &cr_fd_none;
}

/* Ends a fiber's wait. */
CR_INLINE void cr_sched_wake(struct cr_fiber *fiber, int result)
{
    struct cr_wait *wait = fiber->wait;
    wait->result = result;
    cr_list_remove(&wait->link);
    fiber->wait = NULL;
    cr_timer_disarm(&fiber->timer);
    fiber->sched->progress = true;
    cr_sched_ready(fiber->sched, fiber);
}

/* Parks the running fiber in `wait`, whose link and kind are set, until it is woken or `until`.
 * Returns the wait's result; -ECANCELED without parking when the fiber has been told to stop, after
 * letting others run. */
CR_HIDDEN int cr_sched_park(struct cr_fiber *self, struct cr_wait *wait, uint64_t until);

/* Switches to the loop, which runs on the thread's own stack. */
CR_HIDDEN void cr_sched_to_loop(struct coir_sched *sched, struct cr_fiber *self);

CR_INLINE void cr_sched_switch(struct cr_fiber *from, struct cr_fiber *to)
{
    cr_sched_self = to;
    cr_san_leave(&from->san, &to->san);
    cr_ctx_switch(&from->context, to->context);
    cr_san_arrive(&from->san);
}

CR_INLINE void cr_sched_leave(struct coir_sched *sched, struct cr_fiber *self)
{
    if (CR_LIKELY(sched->ready && --sched->budget >= 0))
        cr_sched_switch(self, cr_sched_pop(sched));
    else
        cr_sched_to_loop(sched, self);
}

/* cr_sched_park of a fiber that was not told to stop, without a call, for where it counts. */
CR_INLINE int cr_sched_park_now(struct coir_sched *sched, struct cr_fiber *self,
                                struct cr_wait *wait, uint64_t until)
{
    CR_ASSERT(!self->wait && cr_sched_self == self && !self->stop);
    wait->fiber = self;
    self->wait = wait;
    if (until != COIR_NEVER)
        cr_timer_arm(&sched->timers, &self->timer, until);
    cr_sched_leave(sched, self);
    CR_ASSERT(!self->wait);
    return wait->result;
}

/* The same without deadline, and not refused to a fiber that was told to stop. */
CR_HIDDEN int cr_sched_park_firmly(struct cr_fiber *self, struct cr_wait *wait);

/* What a blocking call of a stopped fiber does: lets others run, then returns -ECANCELED. */
CR_HIDDEN CR_COLD int cr_sched_refuse(struct cr_fiber *self);

/* What a blocking call does whose one try has failed: -ETIMEDOUT, or -ECANCELED after a stop. */
CR_HIDDEN int cr_sched_try_once(struct cr_fiber *self);

/* Counts a call that may succeed without parking, and gives the loop its turn when due. */
CR_HIDDEN void cr_sched_rest(struct cr_fiber *self);

/* For the loop: runs a fiber, and whoever it switches to, until somebody switches back. */
CR_HIDDEN void cr_sched_enter(struct coir_sched *sched, struct cr_fiber *fiber);

/* For the end of a fiber: switches away for good. */
CR_INLINE void cr_sched_depart(struct cr_fiber *self)
{
    struct coir_sched *sched = self->sched;
    struct cr_fiber *next = NULL;
    if (CR_LIKELY(sched->ready && --sched->budget >= 0))
        next = cr_sched_pop(sched);
    cr_sched_self = next;
    cr_san_leave_for_good(next ? &next->san : &sched->san);
    cr_ctx_switch(&self->context, next ? next->context : sched->loop_context);
    __builtin_unreachable();
}

CR_INLINE void cr_sched_spend(struct cr_fiber *self)
{
    if (CR_UNLIKELY(--self->sched->budget < 0))
        cr_sched_rest(self);
}

#endif
