/* The scheduler's own data and its inner verbs: ready queue, park, wake, end a wait. Everything
 * that blocks is built of these and of wait records (wait.h).
 *
 *              spawn                  switch                 park
 *     (none) ---------> ready queue ----------> running ----------------> parked: fiber->wait
 *                           ^                     |  ^                        |
 *                           +------- yield -------+  +--- (ready) <-- wake ---+
 *
 * The core knows no descriptor, no world and no other thread. What the floors above keep for each
 * scheduler lies around this struct, at constant offsets: struct cr_io (io/io.h) begins with it,
 * struct cr_run (run/run.h) begins with that. */
#ifndef CR_SCHED_H
#define CR_SCHED_H

#include "../base/base.h"

#include "../../include/coir.h"
#include "../base/slot.h"
#include "../ctx/ctx.h"
#include "fiber.h"
#include "stack.h"

#include <errno.h>

struct coir_sched {
    struct cr_fiber *ready;
    int budget; /* switches that are left before the loop runs */
    bool freeing;
    bool called_source;     /* a function of the program's own source ran since a select waited */
    bool progress;          /* a fiber began, ended, was woken (but by a timer), or moved bytes */
    size_t outside;         /* waits that somebody outside can end, an open mailbox among them */
    size_t holding;         /* those of them that hold a virtual clock */
    uint64_t shields;       /* that are open */
    uint64_t winding;       /* scopes that wind down */
    struct cr_fiber **ready_end;
    void *loop_context;
    struct cr_timers timers;
    struct cr_slots slots;
    struct cr_scope root;
    struct cr_stacks stacks;
    struct cr_san san;
    uint64_t spawned, live;
    uint64_t key; /* of its fibers, less their numbers */
    uint64_t referred; /* scopes that got a handle */
    uint64_t fair;     /* selects that began with the next case */
    uint64_t random;   /* the state of its random numbers */
    struct cr_list idle; /* waits for a turn in which nothing becomes ready */
    const char *calling; /* the function of the program's that cr_sched_call runs, NULL: none */
    struct cr_fiber *interrupted; /* in which it runs, NULL: in the loop */
    struct cr_stack_class *class; /* of stacks, for fibers that name no size */
    struct coir_sched_opts opts;
    uint64_t (*now)(struct coir_sched *sched); /* its clock */
    /* Chooses who runs next: returns the link in the ready queue that points to it. NULL: the
     * first. Called with a queue that is not empty. */
    struct cr_fiber **(*pick)(struct coir_sched *sched);
};

/* This thread's scheduler, and the fiber that runs in it (NULL: the loop, or nothing). */
extern CR_HIDDEN _Thread_local struct coir_sched *cr_sched_here;
extern CR_HIDDEN _Thread_local struct cr_fiber *cr_sched_self;

/* The address that the public function returns to, for the line about a misuse. */
#define CR_CALLER __builtin_return_address(0)

/* Set in a forked child, until it makes a scheduler of its own. */
extern CR_HIDDEN _Thread_local bool cr_sched_forked;

/* Report a call outside a fiber, or without a scheduler: -ECHILD in a forked child; else it is
 * misuse, and stops the program. */
CR_HIDDEN CR_COLD int cr_sched_no_fiber(const char *function, void *caller);
CR_HIDDEN CR_COLD int cr_sched_none(const char *function, void *caller);

/* The next of its random numbers: SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom
 * Number Generators, OOPSLA 2014). */
CR_INLINE uint64_t cr_sched_random(struct coir_sched *sched)
{
    uint64_t z = sched->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* ---- for whoever drives a scheduler (run/loop.c, a test) ---- */

/* Sets up memory that is all zeros: 0, or -ENOMEM. `now` is the clock. */
CR_HIDDEN int cr_sched_init(struct coir_sched *sched, const struct coir_sched_opts *opts,
                            uint64_t (*now)(struct coir_sched *sched));
CR_HIDDEN void cr_sched_fini(struct coir_sched *sched);

/* The earliest deadline, CR_NEVER when there is none. */
CR_HIDDEN uint64_t cr_sched_deadline(struct coir_sched *sched);

/* Ends all waits whose deadlines have come, in order. Returns how many. */
CR_HIDDEN uint64_t cr_sched_fire(struct coir_sched *sched);

/* Ends the waits of coir_idle, since nothing is ready. */
CR_HIDDEN CR_COLD void cr_sched_wake_idle(struct coir_sched *sched);

/* Calls a function of the program's, outside of fibers. False: it has forked, and this is the
 * child, which has lost the scheduler. */
CR_HIDDEN bool cr_sched_call(struct coir_sched *sched, const char *what, void (*fn)(void *arg),
                             void *arg);

/* Runs ready fibers until none is left or after `budget` switches. Returns how many there were. The
 * ready queue must not be empty. */
CR_HIDDEN int cr_sched_serve(struct coir_sched *sched, int budget);

/* ---- the ready queue ---- */

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

/* A cancel, or its end, reaches a fiber. */
CR_INLINE void cr_sched_set_cancelled(struct cr_fiber *fiber, int cancelled)
{
    fiber->cancelled = cancelled;
    fiber->key = (fiber->key & ~CR_KEY_CANCELLED) | (cancelled ? CR_KEY_CANCELLED : 0);
}

/* ---- ending a wait ---- */

/* Ends the wait of a fiber that is parked in it. */
CR_INLINE void cr_sched_wake_from(struct coir_sched *sched, struct cr_fiber *fiber,
                                  struct cr_wait *wait, int result)
{
    CR_ASSERT(fiber->wait == wait && fiber->sched == sched);
    wait->result = result;
    cr_list_remove(&wait->link);
    fiber->wait = NULL;
    cr_timer_disarm(&fiber->timer);
    sched->progress = true;
    cr_sched_ready(sched, fiber);
}

/* Ends what a fiber is parked in. */
CR_INLINE void cr_sched_wake(struct cr_fiber *fiber, int result)
{
    cr_sched_wake_from(fiber->sched, fiber, fiber->wait, result);
}

/* The same by a deadline, or a cancel. */
CR_INLINE void cr_sched_give_up(struct cr_fiber *fiber, int result)
{
    struct cr_wait *wait = fiber->wait;
    cr_sched_wake(fiber, result);
    if (wait->kind->given_up)
        wait->kind->given_up(wait);
}

CR_HIDDEN void cr_sched_end_member(struct cr_wait *member, int result);

/* What a record waits for has come. */
CR_INLINE void cr_sched_end(struct cr_wait *wait, int result)
{
    if (CR_LIKELY(wait->fiber->wait == wait))
        cr_sched_wake(wait->fiber, result);
    else
        cr_sched_end_member(wait, result);
}

/* ---- groups ---- */

CR_INLINE void cr_group_init(struct cr_group *group, struct cr_fiber *self,
                             bool (*enough)(struct cr_group *group, struct cr_wait *member))
{
    group->park.fiber = self;
    group->enough = enough;
    cr_list_init(&group->park.link);
}

/* Makes a record, which is to be linked into a ring, a member. */
CR_INLINE void cr_group_join(struct cr_group *group, struct cr_wait *member)
{
    member->fiber = group->park.fiber;
    member->group = group;
    member->result = 0;
}

/* Takes a member off its ring, whether it has ended or not. */
CR_INLINE void cr_group_remove(struct cr_wait *member)
{
    cr_list_remove(&member->link);
    cr_list_init(&member->link);
}

/* ---- parking ---- */

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

/* Parks the running fiber in a record that is linked, until it is woken or `until`. Returns the
 * wait's result. The fiber is not cancelled, or the kind is firm. */
CR_INLINE int cr_sched_park_now(struct cr_fiber *self, struct cr_wait *wait,
                                const struct cr_wait_kind *kind, coir_time until)
{
    struct coir_sched *sched = self->sched;
    CR_ASSERT(!self->wait && cr_sched_self == self && (kind->firm || !self->cancelled));
    wait->kind = kind;
    wait->fiber = self;
    self->wait = wait;
    if (until.ns != COIR_NEVER.ns)
        cr_timer_arm(&sched->timers, &self->timer, until.ns);
    sched->outside += kind->outside;
    sched->holding += kind->holds_clock;
    cr_sched_leave(sched, self);
    sched->outside -= kind->outside;
    sched->holding -= kind->holds_clock;
    CR_ASSERT(!self->wait);
    return wait->result;
}

/* The same, whether the fiber is cancelled or not: then it does not park, but lets others run, and
 * returns COIR_CANCELLED. */
CR_HIDDEN int cr_sched_park(struct cr_fiber *self, struct cr_wait *wait,
                            const struct cr_wait_kind *kind, coir_time until);

/* What a blocking call of a cancelled fiber does: lets others run, then returns COIR_CANCELLED. */
CR_HIDDEN CR_COLD int cr_sched_refuse(struct cr_fiber *self);

/* What a blocking call does whose one try has failed: COIR_TIMED_OUT, or COIR_CANCELLED after a
 * cancel. */
CR_HIDDEN int cr_sched_try_once(struct cr_fiber *self);

/* Counts a call that may succeed without parking, and lets the loop run when that is due. Both
 * return 0. */
CR_HIDDEN CR_COLD int cr_sched_rest(struct cr_fiber *self);

CR_INLINE int cr_sched_spend(struct cr_fiber *self)
{
    return CR_LIKELY(--self->sched->budget >= 0) ? 0 : cr_sched_rest(self);
}

/* For the end of a fiber: switches away for good. */
CR_INLINE void cr_sched_depart(struct coir_sched *sched, struct cr_fiber *self)
{
    struct cr_fiber *next = NULL;
    if (CR_LIKELY(sched->ready && --sched->budget >= 0))
        next = cr_sched_pop(sched);
    cr_sched_self = next;
    cr_san_leave_for_good(next ? &next->san : &sched->san);
    cr_ctx_switch(&self->context, next ? next->context : sched->loop_context);
    __builtin_unreachable();
}

#endif
