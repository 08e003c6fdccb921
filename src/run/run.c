/* The life of a scheduler: made, run, freed. Freeing cancels every fiber and runs them to their
 * ends, because only they can release what they hold. */
#include "../debug/debug.h"
#include "leave.h"
#include "loop.h"
#include "../core/ends.h"
#include "run.h"
#include "trap.h"

#include <stdlib.h>

/* Freeing gives up when this many turns for each living fiber have passed, and none has ended. */
enum { CANCEL_TURNS_EACH = 1000, SHIELDED_TURNS_EACH = 100 * 1000 };

static uint64_t run_now(struct coir_sched *sched)
{
    struct cr_world *world = cr_io_of(sched)->world;
    return world->ops->now(world);
}

static int run_init(struct cr_run *run, const struct coir_sched_opts *opts)
{
    struct coir_sched *sched = &run->io.core;
    int result = cr_sched_init(sched, opts, run_now);
    if (result == 0)
        result = cr_world_make(&run->io.world, sched->opts.world);
    if (result == 0 && sched->opts.clock == COIR_CLOCK_VIRTUAL)
        result = cr_virtual_make(&run->io.world);
    if (result == 0 && !sched->opts.keep_signals)
        result = cr_trap_set();
    if (result < 0) {
        if (run->io.world)
            run->io.world->ops->close(run->io.world);
        return result;
    }
    cr_post_init(&run->post);
    cr_fd_init(&run->io.fds, run->io.world);
    return 0;
}

/* While there are shields, fibers may take their time, but not if others never wait meanwhile.
 * False: in a child that a function of the program's has forked. */
static bool run_cancel_all(struct cr_run *run)
{
    struct coir_sched *sched = &run->io.core;
    cr_cancel_scope(&sched->root, COIR_CANCELLED);
    uint64_t turns = 0, shielded = 0;
    while (sched->live > 0 && turns < CANCEL_TURNS_EACH * sched->live) {
        uint64_t live = sched->live;
        int result = cr_loop_turn(run, true, 0);
        if (cr_sched_here != sched)
            return false;
        if (result < 0 || shielded >= SHIELDED_TURNS_EACH * live)
            cr_cancel_break_shields(sched);
        if (sched->live < live)
            turns = shielded = 0;
        else if (sched->shields == 0 || result < 0)
            turns++;
        else
            shielded++;
    }
    if (sched->live > 0)
        cr_report_abandoned(sched);
    return cr_sched_here == sched;
}

void cr_run_free(struct coir_sched *sched)
{
    struct cr_run *run = cr_run_of(sched);
    sched->freeing = true;
    if (!run_cancel_all(run) || cr_post_fini(run) < 0)
        return;
    run->io.world->ops->close(run->io.world);
    cr_fd_fini(&run->io.fds);
    cr_sched_fini(sched);
    if (!sched->opts.keep_signals)
        cr_trap_reset();
    cr_sched_here = NULL;
    cr_leave_watch(NULL);
    free(run);
}

static int run_new(coir_sched **out, const struct coir_sched_opts *opts, const char *function,
                   void *caller)
{
    if (opts && opts->stack_size > PTRDIFF_MAX)
        cr_fatal_mistake(function, caller, "the stack size is negative");
    if (cr_sched_here)
        return -EBUSY;
    struct cr_run *run = calloc(1, sizeof *run);
    if (!run)
        return -ENOMEM;
    struct coir_sched *sched = &run->io.core;
    int result = cr_leave_watch(sched);
    if (result == 0)
        result = run_init(run, opts);
    if (result < 0) {
        cr_leave_watch(NULL);
        free(run);
        return result;
    }
    cr_sched_here = sched;
    cr_sched_forked = false;
    *out = sched;
    return 0;
}

int coir_sched_new(coir_sched **sched, const struct coir_sched_opts *opts)
{
    if (!sched)
        cr_fatal_mistake("coir_sched_new", CR_CALLER, "the place for the scheduler is NULL");
    return run_new(sched, opts, "coir_sched_new", CR_CALLER);
}

void coir_sched_free(coir_sched *sched)
{
    if (sched && cr_loop_own(sched, "coir_sched_free", CR_CALLER) == 0)
        cr_run_free(sched);
}

static int run_first(void *arg)
{
    struct cr_first *first = arg;
    struct cr_fiber *self = cr_sched_self;
    self->fn = first->fn; /* which reports are to name */
    first->result = first->fn(first->arg);
    if (cr_sched_self == self) /* not in a forked child */
        first->result = cr_fiber_settle(self, first->result);
    return first->result;
}

int coir_run(int (*fn)(void *arg), void *arg, const struct coir_sched_opts *opts, int *result)
{
    coir_sched *sched;
    if (!fn)
        cr_fatal_mistake("coir_run", CR_CALLER, "the function is NULL");
    int outcome = run_new(&sched, opts, "coir_run", CR_CALLER);
    if (outcome < 0)
        return outcome;
    struct cr_run *run = cr_run_of(sched);
    run->first = (struct cr_first){.fn = fn, .arg = arg};
    outcome = coir_spawn(NULL, run_first, &run->first, NULL);
    if (outcome == 0)
        outcome = cr_loop_run(run);
    if (cr_sched_here != sched)
        return -ECHILD;
    if (outcome == 0 && result)
        *result = run->first.result;
    else if (outcome == 0 && run->first.result < 0)
        outcome = run->first.result;
    cr_run_free(sched);
    return outcome;
}
