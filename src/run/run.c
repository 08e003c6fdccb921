/* The life of a scheduler: made, run, freed. Freeing tells every fiber to stop and runs them to
 * their ends, because only they can give back what they hold. */
#include "../debug/debug.h"
#include "leave.h"
#include "loop.h"
#include "../core/scope.h"
#include "trap.h"

#include <stdlib.h>

/* So many turns of the loop each fiber has, on average, before the next of them must have ended. */
enum { STOP_TURNS_EACH = 1000 };

enum { STACK_SIZE_DEFAULT = 64 * 1024 };

static int run_init(coir_sched *sched)
{
    const struct coir_sched_opts *opts = &sched->opts;
    sched->ready_end = &sched->ready;
    cr_post_init(&sched->post);
    cr_stack_init(&sched->stacks);
    sched->class = cr_stack_class(&sched->stacks,
                                  opts->stack_size ? opts->stack_size : STACK_SIZE_DEFAULT,
                                  opts->guard == COIR_GUARD_CANARY);
    if (!sched->class)
        return -ENOMEM;
    cr_san_init_thread(&sched->san);
    int result = cr_world_init(&sched->world, opts->world);
    if (result == 0 && opts->clock == COIR_CLOCK_VIRTUAL)
        cr_virtual_init(&sched->world);
    if (result == 0 && !opts->keep_signals)
        result = cr_trap_set();
    return result;
}

/* Children of scopes are told by their scopes, as far as no shield is between. While there are
 * shields, fibers may take their time. */
static void run_stop_all(coir_sched *sched)
{
    for (uint32_t i = 0; i < sched->slots.count; i++)
        if (sched->slots.at[i].fiber && !sched->slots.at[i].fiber->home)
            cr_scope_stop(sched->slots.at[i].fiber);
    uint64_t turns = 0;
    while (sched->live > 0 && turns < STOP_TURNS_EACH * sched->live) {
        uint64_t live = sched->live;
        int result = cr_loop_turn(sched, true, 0);
        if (result < 0)
            cr_scope_break_shields(sched);
        if (sched->live < live)
            turns = 0;
        else if (sched->shields == 0 || result < 0)
            turns++;
    }
    if (sched->live > 0)
        cr_report_abandoned(sched);
}

static void run_free(coir_sched *sched)
{
    sched->freeing = true;
    run_stop_all(sched);
    cr_post_fini(sched);
    sched->world.fini(&sched->world);
    cr_table_fini(&sched->fds);
    cr_timer_fini(&sched->timers);
    cr_slot_fini(&sched->slots);
    cr_stack_fini(&sched->stacks);
    if (!sched->opts.keep_signals)
        cr_trap_reset();
    cr_sched_here = NULL;
    cr_leave_watch(NULL, run_free);
    free(sched);
}

static int run_new(coir_sched **out, const struct coir_sched_opts *opts, const char *function,
                   void *caller)
{
    if (opts && opts->stack_size > PTRDIFF_MAX)
        cr_fatal_mistake(function, caller, "the stack size is negative");
    if (cr_sched_here)
        return -EBUSY;
    coir_sched *sched = calloc(1, sizeof *sched);
    if (!sched)
        return -ENOMEM;
    if (opts)
        sched->opts = *opts;
    int result = cr_leave_watch(sched, run_free);
    if (result == 0)
        result = run_init(sched);
    if (result < 0) {
        cr_leave_watch(NULL, run_free);
        free(sched);
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
        run_free(sched);
}

/* The first fiber keeps its result here, because any joiner may take it from its slot. */
struct first {
    int (*fn)(void *arg);
    void *arg;
    int result;
};

static int run_first(void *arg)
{
    struct first *first = arg;
    cr_sched_self->fn = first->fn; /* which reports are to name */
    return first->result = first->fn(first->arg);
}

int coir_run(int (*fn)(void *arg), void *arg, const struct coir_sched_opts *opts, int *result)
{
    coir_sched *sched;
    struct first first = {.fn = fn, .arg = arg};
    if (!fn)
        cr_fatal_mistake("coir_run", CR_CALLER, "the function is NULL");
    int outcome = run_new(&sched, opts, "coir_run", CR_CALLER);
    if (outcome < 0)
        return outcome;
    outcome = coir_spawn(NULL, run_first, &first, NULL);
    if (outcome == 0)
        outcome = cr_loop_run(sched);
    if (outcome == 0 && result)
        *result = first.result;
    run_free(sched);
    return outcome;
}
