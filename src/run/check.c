/* A function cancelled at each of its switches, to see that it cleans up. A run is a scheduler of
 * its own on a virtual clock, driven a switch at a time; descriptors and memory are compared before
 * and after it. The first runs are not cancelled: what the C library keeps, it keeps from then on.
 * Memory counts as kept if each of the last of several equal runs keeps some: a C library has
 * caches of what was freed, which hide at first what is kept, or look as if something were. */
#include "../core/scope.h"

#include "../../include/coir_test.h"
#include "../debug/debug.h"
#include "../world/posix.h"
#include "loop.h"
#include "run.h"

#include <limits.h>
#include <stdio.h>

#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 33)
#define CHECK_TELLS_MEMORY 1
#include <malloc.h>
#endif
#endif

#ifdef CHECK_TELLS_MEMORY
static size_t check_memory(void)
{
    return mallinfo2().uordblks;
}
#else
#define CHECK_TELLS_MEMORY 0
static size_t check_memory(void)
{
    return 0;
}
#endif

/* A cancelled fiber ends within this many turns, or is given up. This many runs show what is
 * kept. */
enum { CHECK_TURNS_MAX = 100000, CHECK_RUNS = 14, CHECK_LAST_RUNS = 4 };

#define NOT_AT_ALL LONG_MAX

struct check {
    int (*fn)(void *arg);
    void *arg;
    struct coir_sched_opts opts;
    bool dirty; /* this run has left something behind */
    char state[96]; /* of the fiber when it was cancelled */
    long kept;  /* bytes */
};

struct check_usage {
    int descriptors;
    size_t memory;
};

static struct check_usage check_usage(void)
{
    return (struct check_usage){cr_posix_count_open(), check_memory()};
}

/* `count`: of what is left behind; 0: there is nothing to count. */
static void check_tell(struct check *check, long at, const char *what, long count)
{
    char line[256], when[160] = "not cancelled", number[32] = "";
    check->dirty = true;
    if (at < NOT_AT_ALL)
        snprintf(when, sizeof when, "cancelled at switch %ld (it %s)", at, check->state);
    if (count != 0)
        snprintf(number, sizeof number, "%ld ", count);
    snprintf(line, sizeof line, "coir: %s: %s%s", when, number, what);
    if (check->opts.report)
        check->opts.report(line, check->opts.report_arg);
    else
        fprintf(stderr, "%s\n", line);
}

static void check_cancel(struct check *check, coir_sched *sched, coir_fiber handle)
{
    const struct cr_slot *slot = cr_slot_find(&sched->slots, handle, 0);
    snprintf(check->state, sizeof check->state, "has ended");
    if (slot)
        cr_report_state(slot->fiber, check->state, sizeof check->state);
    coir_cancel(handle, COIR_CANCELLED);
}

/* Drives a fiber to its end, cancelled before the turn `at`; returns whether it came that far. */
static bool check_drive(struct check *check, coir_sched *sched, coir_fiber fiber, long at)
{
    long turn = 0;
    for (int result = 0; result == 0 && sched->live > 0 && turn - at < CHECK_TURNS_MAX; turn++) {
        if (turn == at)
            check_cancel(check, sched, fiber);
        result = cr_loop_turn(cr_run_of(sched), true, 1);
    }
    if (sched->live > 0)
        check_tell(check, at, "it does not end", 0);
    return turn > at || at == NOT_AT_ALL;
}

/* A run that is cancelled before the turn `at`: 1, 0 when it ended before, or an error. */
static int check_run(struct check *check, long at)
{
    coir_sched *sched;
    coir_fiber fiber;
    bool reached = false;
    struct check_usage before = check_usage();
    int result = coir_sched_new(&sched, &check->opts);
    if (result < 0)
        return result;
    result = coir_spawn(&fiber, check->fn, check->arg, NULL);
    if (result == 0)
        reached = check_drive(check, sched, fiber, at);
    coir_sched_free(sched);
    struct check_usage after = check_usage();
    if (after.descriptors != before.descriptors)
        check_tell(check, at, "descriptors more are open", after.descriptors - before.descriptors);
    check->kept = (long)(after.memory - before.memory);
    return result < 0 ? result : reached;
}

static int check_point(struct check *check, long at)
{
    int result = check_run(check, at), keeping = 0;
    for (int i = 1; CHECK_TELLS_MEMORY && i < CHECK_RUNS && result > 0 && !check->dirty; i++) {
        result = check_run(check, at);
        keeping = check->kept > 0 ? keeping + 1 : 0;
    }
    if (result > 0 && !check->dirty && keeping >= CHECK_LAST_RUNS)
        check_tell(check, at, "bytes more are allocated", check->kept);
    return result;
}

int coir_check_cancels(int (*fn)(void *arg), void *arg, const struct coir_sched_opts *opts,
                       int *points)
{
    struct check check = {.fn = fn, .arg = arg};
    int dirty = 0, count = 0;
    bool forked = cr_sched_forked;
    if (opts)
        check.opts = *opts;
    check.opts.clock = COIR_CLOCK_VIRTUAL;
    check.opts.keep_signals = true;
    if (!fn)
        cr_fatal_mistake("coir_check_cancels", CR_CALLER, "the function is NULL");
    int result = check_point(&check, NOT_AT_ALL);
    dirty += check.dirty;
    for (long at = 0; result >= 0; at++) {
        check.dirty = false;
        result = check_point(&check, at);
        dirty += check.dirty;
        if (result == 0)
            break;
        count++;
    }
    cr_sched_forked = forked;
    if (points)
        *points = count;
    return result < 0 ? result : dirty;
}
