/* The loop, one turn in this order:
 *   1. audit waits; where nothing is ready, return spare stacks to the system, unless timers are
 *      due in crowds, and find the earliest deadline
 *   2. ask the world what happened, and wait there when nothing is ready; where it refuses, what
 *      is ready runs all the same
 *   3. all timers that are due, in order; then descriptors, as many as the turn takes in;
 *      then what was posted, as much as it takes in; if nothing is ready then, who waits for that
 *   4. run fibers until none is ready or the budget is spent
 * The only caller of the world's wait. */
#include "loop.h"

#include "../core/scope.h"
#include "../debug/debug.h"
#include "../io/call.h"
#include "run.h"

#include <stdio.h>

/* A fiber that serves an event mostly spends three or four of the budget: its switch, one read or
 * two, a write. If a turn took in more events than it can serve, ready fibers would grow cold in
 * a long queue. */
enum { BUDGET = 256, EVENT_COST = 4, EVENTS_MAX = BUDGET / EVENT_COST };

enum { CROWD = 16, GATHER_NS = 500 * 1000 };

static const uint64_t LIVELOCK_SWITCHES = 16 * 1000 * 1000;

static void loop_dispatch(struct cr_run *run, const struct cr_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        enum cr_token_kind kind = cr_token_kind(events[i].token);
        if (CR_LIKELY(kind == CR_TOKEN_FD))
            cr_fd_event(&run->io, events[i].token, (int)events[i].value);
        else if (kind == CR_TOKEN_OP)
            cr_io_complete(events[i].token, events[i].value);
        else if (kind == CR_TOKEN_BELL)
            cr_post_hush(run);
    }
}

/* Where files of ours that others have open wake the loop again and again. */
static CR_COLD void loop_renew(struct cr_run *run)
{
    struct cr_io *io = &run->io;
    struct cr_world *world = io->world;
    io->strays = 0;
    io->renewals += io->renewals < CR_RENEWALS_MOST;
    if (world->ops->renew(world, CR_RENEWAL_BEGIN) < 0)
        return;
    bool done = cr_fd_attach_again(io) && cr_post_attach_again(run);
    world->ops->renew(world, done ? CR_RENEWAL_KEEP : CR_RENEWAL_DROP);
    cr_fd_forget_own(io);
    io->has_ghosts = !done;
}

/* ---- until when to wait ---- */

/* While another thread works for a fiber, a virtual clock stands still. What is due already does
 * not wait for it. */
static uint64_t loop_deadline(struct cr_run *run)
{
    struct coir_sched *sched = &run->io.core;
    uint64_t deadline = cr_sched_deadline(sched);
    if (CR_UNLIKELY(sched->holding) && run->io.world->is_virtual && deadline > sched->now(sched))
        return CR_NEVER;
    return deadline;
}

/* Where timers are due in crowds (tens of thousands a second), to wake for the first of them each
 * time would cost more than to serve them all: then a wait lasts half a millisecond, unless
 * a descriptor ends it. Returns until when; 0 where there is no crowd, or it has passed. */
static uint64_t loop_gather(struct cr_run *run, uint64_t deadline)
{
    if (run->fired < CROWD || run->io.world->is_virtual)
        return 0;
    uint64_t least = run->io.core.now(&run->io.core) + GATHER_NS;
    return deadline < least ? least : 0;
}

/* Returns spare stacks to the system, where fibers have ended since that was last done. True: there
 * is more to do. */
static bool loop_trim(struct cr_run *run)
{
    struct coir_sched *sched = &run->io.core;
    uint64_t ended = sched->spawned - sched->live;
    if (ended == run->trimmed)
        return false;
    bool more = cr_stack_trim(&sched->stacks);
    if (!more)
        run->trimmed = ended;
    return more;
}

/* Until when the world may wait, 0: not at all. */
static int loop_wait_until(struct cr_run *run, bool may_wait, uint64_t *until)
{
    struct coir_sched *sched = &run->io.core;
    *until = 0;
    if (sched->ready) {
        cr_identity_turn(&run->io);
        return 0;
    }
    if (CR_UNLIKELY(!cr_list_empty(&sched->idle) || run->post.letters))
        return 0;
    uint64_t deadline = loop_deadline(run);
    bool forever = deadline == CR_NEVER;
    if (may_wait && forever && sched->outside == 0)
        return -EDEADLK;
    uint64_t gathered = loop_gather(run, deadline);
    if (!gathered && loop_trim(run))
        return 0;
    uint64_t audit = cr_identity_turn(&run->io);
    if (sched->ready)
        return 0;
    if (may_wait || (run->io.world->is_virtual && !forever))
        *until = gathered ? gathered : deadline;
    if (*until > audit)
        *until = audit;
    return 0;
}

/* Whether nothing but daemons of the scheduler itself is left, and they are not cancelled yet. */
static CR_COLD bool loop_has_idle_daemons(const struct cr_run *run)
{
    const struct cr_list *daemons = &run->io.core.root.daemons;
    if (!cr_list_empty(&run->io.core.root.children) || run->post.strong > 0)
        return false;
    for (const struct cr_list *at = daemons->next; at != daemons; at = at->next)
        if (!CR_CONTAINER(at, struct cr_fiber, sibling)->own.special.cancel)
            return true;
    return false;
}

CR_INLINE bool loop_ends_daemons(const struct cr_run *run)
{
    return CR_UNLIKELY(run->io.core.root.special.used & CR_USED_DAEMONS) &&
           loop_has_idle_daemons(run);
}

/* When the next turn is due, 0: at once. A virtual clock never waits. Where it is later, a post
 * rings the bell from now on. */
static uint64_t loop_next_turn(struct cr_run *run)
{
    uint64_t deadline = loop_deadline(run);
    if (run->io.core.ready || run->has_more || !cr_list_empty(&run->io.core.idle) ||
        loop_ends_daemons(run))
        return 0;
    if (run->io.world->is_virtual && deadline != CR_NEVER)
        return 0;
    uint64_t audit = cr_identity_turn(&run->io);
    if (run->io.core.ready)
        return 0;
    if (!cr_post_doze(&run->post))
        return 0;
    return audit < deadline ? audit : deadline;
}

/* ---- a turn ---- */

/* Under a virtual clock, fibers that only yield keep a waiting timer from ever being due. Counts
 * the switches since the clock moved or there was progress. */
static bool loop_is_livelock(struct cr_run *run, uint64_t switches)
{
    struct coir_sched *sched = &run->io.core;
    if (!run->io.world->is_virtual)
        return false;
    uint64_t now = sched->now(sched);
    uint64_t limit = sched->opts.livelock_limit ? sched->opts.livelock_limit : LIVELOCK_SWITCHES;
    if (sched->progress || now != run->idle_at || cr_sched_deadline(sched) == CR_NEVER) {
        sched->progress = false;
        run->idle_at = now;
        run->idle_switches = 0;
    }
    run->idle_switches += switches;
    if (run->idle_switches < limit)
        return false;
    run->idle_switches = 0;
    cr_report_livelock(sched, limit);
    return true;
}

/* Takes in what the world reports. Where nobody waits for any of it, at most the time passes. */
static int loop_take_in(struct cr_run *run, struct cr_event events[EVENTS_MAX], int budget,
                        uint64_t until)
{
    struct cr_world *world = run->io.world;
    bool listens = run->io.core.outside > 0 || run->embedded || run->post.box;
    int max = budget < EVENT_COST ? 1 : budget < BUDGET ? budget / EVENT_COST : EVENTS_MAX;
    if (until > 0 && !cr_post_doze(&run->post))
        until = 0;
    run->has_more = false;
    if (run->io.core.outside == 0 && until == 0 && !run->embedded)
        return 0;
    return world->ops->wait(world, events, listens ? max : 0, until, &run->has_more);
}

int cr_loop_turn(struct cr_run *run, bool may_wait, int budget)
{
    struct cr_event events[EVENTS_MAX];
    struct coir_sched *sched = &run->io.core;
    uint64_t until;
    if (budget <= 0)
        budget = BUDGET;
    if (loop_ends_daemons(run))
        cr_cancel_daemons(&sched->root);
    int count = loop_wait_until(run, may_wait, &until);
    if (count < 0)
        return count;
    count = loop_take_in(run, events, budget, until);
    if (count < 0 && !sched->ready)
        return count;
    if (cr_timer_any(&sched->timers))
        run->fired = cr_sched_fire(sched);
    loop_dispatch(run, events, count);
    if (CR_UNLIKELY(run->io.strays >> run->io.renewals >= CR_STRAYS_MOST))
        loop_renew(run);
    if (run->post.box && cr_post_deliver(run)) {
        if (cr_sched_here != sched)
            return -ECHILD;
        run->io.identity.needed = true;
    }
    if (CR_UNLIKELY(!sched->ready && !cr_list_empty(&sched->idle) && !run->post.letters))
        cr_sched_wake_idle(sched);
    if (!sched->ready)
        return 0;
    run->io.identity.needed = true;
    uint64_t switches = (uint64_t)cr_sched_serve(sched, budget);
    return loop_is_livelock(run, switches) ? -ELOOP : 0;
}

static CR_COLD void loop_own_in(const coir_sched *sched, const char *function, void *caller)
{
    char what[64];
    snprintf(what, sizeof what, "called in %s, or after a jump out of it", sched->calling);
    cr_fatal_mistake(function, caller, what);
}

int cr_loop_own(coir_sched *sched, const char *function, void *caller)
{
    if (cr_sched_forked && !cr_sched_here)
        return -ECHILD;
    if (!sched || sched != cr_sched_here)
        cr_fatal_mistake(function, caller, "not this thread's scheduler");
    if (cr_sched_self)
        cr_fatal_mistake(function, caller, "called in a fiber of the scheduler");
    if (sched->calling)
        loop_own_in(sched, function, caller);
    return 0;
}

int cr_loop_run(struct cr_run *run)
{
    struct coir_sched *sched = &run->io.core;
    int result = 0;
    while (result == 0 && (sched->live > 0 || sched->outside > 0))
        result = cr_loop_turn(run, true, 0);
    if (result == -EDEADLK)
        cr_report_deadlock(sched);
    return cr_sched_here == sched ? result : -ECHILD;
}

/* ---- public ---- */

int coir_sched_run(coir_sched *sched)
{
    if (cr_loop_own(sched, "coir_sched_run", CR_CALLER) < 0)
        return -ECHILD;
    struct cr_run *run = cr_run_of(sched);
    run->io.identity.needed = true;
    int result = cr_loop_run(run);
    while (cr_stack_trim(&sched->stacks))
        continue;
    return result;
}

int coir_sched_step(coir_sched *sched, int budget)
{
    if (cr_loop_own(sched, "coir_sched_step", CR_CALLER) < 0)
        return -ECHILD;
    struct cr_run *run = cr_run_of(sched);
    /* Code of the host loop's may have run, unless the step has come for an audit. */
    if (!run->io.identity.sweeping)
        run->io.identity.needed = true;
    int result = cr_loop_turn(run, false, budget);
    if (result < 0)
        return result;
    if (sched->live == 0 && sched->outside == 0)
        return COIR_STEP_DONE;
    return loop_next_turn(run) > 0 ? COIR_STEP_WAITING : COIR_STEP_READY;
}

int coir_sched_fd(coir_sched *sched)
{
    if (cr_loop_own(sched, "coir_sched_fd", CR_CALLER) < 0)
        return -ECHILD;
    struct cr_run *run = cr_run_of(sched);
    int fd = run->io.world->ops->open(run->io.world);
    run->embedded = fd >= 0;
    cr_fd_forget_own(&run->io);
    return fd;
}

coir_time coir_sched_deadline(coir_sched *sched)
{
    if (cr_loop_own(sched, "coir_sched_deadline", CR_CALLER) < 0)
        return COIR_NEVER;
    uint64_t due = loop_next_turn(cr_run_of(sched));
    return due ? cr_deadline(due) : COIR_TRY;
}
