/* Races: the first success of several fibers, or of several functions. The losers are cancelled
 * and have ended before a race returns.
 *
 * Invariant of a race of functions: while one of them waits for its start, one that has started has
 * not ended, or has succeeded, or one that waited is awake. */
#include "ends.h"

#include "../debug/debug.h"

#include <limits.h>
#include <stdlib.h>

/* Of a race that has begun: the winner, or why there is none. */
static int race_decide(struct cr_ends *race, int *results, coir_time until)
{
    int outcome = cr_ends_wait(race, until);
    size_t winner = cr_ends_first(race);
    for (size_t i = 0; i < race->count; i++)
        if (cr_ends_fiber(race, i))
            cr_cancel_scope(&cr_ends_fiber(race, i)->own, outcome);
    if (outcome == 0)
        outcome = winner < race->count ? (int)winner : race->error;
    cr_ends_wait_for_all(race);
    for (size_t i = 0; i < race->count; i++) {
        if (results)
            results[i] = race->joins[i].result;
        cr_ends_take(race, i);
    }
    cr_ends_finish(race);
    return outcome;
}

int coir_race(const coir_fiber *handles, size_t count, int *results, coir_time until)
{
    struct cr_ends race;
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_race", CR_CALLER);
    int outcome = cr_ends_begin(&race, handles, count, CR_ENOUGH_SUCCESS);
    return outcome < 0 ? outcome : race_decide(&race, results, until);
}

/* ---- of functions ---- */

struct starter {
    const struct coir_racer *racer;
    struct race *race;
    struct cr_fiber *fiber; /* while it waits for its start */
};

struct race {
    struct cr_ends ends;
    coir_time began;
    size_t count, started, failed;
    bool refused; /* it could not begin, so none starts */
    struct starter *starters;
    coir_fiber *fibers;
};

static const struct cr_wait_kind START = {
    .name = "its start in a race",
    .woken = -EBUSY,
};

static bool race_all_failed(const struct race *race)
{
    return race->started > 0 && race->failed == race->started;
}

static void race_wake_next(const struct race *race)
{
    for (size_t i = 0; i < race->count; i++) {
        struct cr_fiber *waiting = race->starters[i].fiber;
        if (waiting && waiting->wait) {
            cr_sched_wake(waiting, 0);
            return;
        }
    }
}

/* When its delay has passed, or all that have started have failed: 0, or COIR_CANCELLED. */
static int race_await_start(struct starter *starter)
{
    struct race *race = starter->race;
    struct cr_wait wait;
    coir_time at = cr_deadline(cr_timer_after(race->began.ns, starter->racer->delay_ns));
    if (starter == race->starters || starter->racer->delay_ns <= 0 || race_all_failed(race))
        return 0;
    starter->fiber = cr_sched_self;
    cr_list_init(&wait.link);
    int result = cr_sched_park(cr_sched_self, &wait, &START, at);
    starter->fiber = NULL;
    return result;
}

static int race_start(void *arg)
{
    struct starter *starter = arg;
    struct race *race = starter->race;
    int result = race_await_start(starter);
    if (result < 0 || race->refused)
        return result;
    race->started++;
    return starter->racer->fn(starter->racer->arg);
}

/* One has ended. (One that has not started ends only when all are cancelled.) */
static bool race_enough(struct cr_group *group, struct cr_wait *member)
{
    struct race *race = CR_CONTAINER(group, struct race, ends.group);
    race->failed += CR_CONTAINER(member, struct cr_join, wait)->result < 0;
    if (race_all_failed(race))
        race_wake_next(race);
    return cr_ends_enough(group, member);
}

/* Spawns all: 0, or an error. */
static int race_spawn(struct race *race, const struct coir_racer *racers)
{
    int result = 0;
    for (size_t i = 0; result == 0 && i < race->count; i++) {
        race->starters[i] = (struct starter){.racer = &racers[i], .race = race};
        result = coir_spawn(&race->fibers[i], race_start, &race->starters[i], NULL);
    }
    return result;
}

static int race_run(struct race *race, const struct coir_racer *racers, int *results,
                    coir_time until)
{
    coir_scope scope;
    struct cr_ends *ends = &race->ends;
    coir_scope_open(&scope, COIR_NEVER, 0);
    int result = race_spawn(race, racers);
    if (result == 0)
        result = cr_ends_begin(ends, race->fibers, race->count, CR_ENOUGH_SUCCESS);
    if (result == 0) {
        ends->group.enough = race_enough;
        result = race_decide(ends, results, until);
    } else {
        race->refused = true;
        coir_scope_cancel(&scope, 0);
        for (size_t i = 0; results && i < race->count; i++)
            results[i] = COIR_CANCELLED;
    }
    int ended = coir_scope_end(&scope, 0);
    (void)ended;
    return result;
}

int coir_race_run(const struct coir_racer *racers, size_t count, int *results, coir_time until)
{
    struct starter few_starters[CR_ENDS_FEW];
    coir_fiber few_fibers[CR_ENDS_FEW];
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_race_run", CR_CALLER);
    if (count == 0 || count > INT_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        if (!racers[i].fn)
            cr_fatal_mistake("coir_race_run", CR_CALLER, "a function is NULL");
    struct race race = {
        .began = coir_now(), .count = count, .starters = few_starters, .fibers = few_fibers};
    if (count > CR_ENDS_FEW) {
        race.starters = malloc(count * sizeof *race.starters);
        race.fibers = malloc(count * sizeof *race.fibers);
    }
    int result = -ENOMEM;
    if (race.starters && race.fibers)
        result = race_run(&race, racers, results, until);
    if (count > CR_ENDS_FEW) {
        free(race.starters);
        free(race.fibers);
    }
    return result;
}
