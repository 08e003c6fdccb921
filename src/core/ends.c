/* Waiting for the ends of several fibers: for all, for one, for the first success. The caller parks
 * in one record; each fiber that is alive has a watch of the caller's on its ring of joiners, which
 * tells when enough of them have ended.
 *
 * Invariant: while the caller is in here, the watches that have not `ended` are on their rings;
 * when it leaves, none is. */
#include "fiber.h"

#include "../debug/debug.h"
#include "scope.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { WATCHES_FEW = 16 };

struct race {
    const coir_fiber *handles;
    size_t count;
    struct cr_watch *watch; /* one for each handle */
    struct cr_watches watches;
    struct cr_watch few[WATCHES_FEW];
};

static void race_describe(const struct cr_wait *wait, char *text, size_t size)
{
    const struct cr_watches *watches = CR_CONTAINER(wait, struct cr_watches, wait);
    static const char *const WHAT[] = {"the first success", "the first end", "all ends"};
    snprintf(text, size, "%s of %zu fibers", WHAT[watches->until], watches->alive);
}

static const struct cr_wait_kind WATCHING = {
    .name = "",
    .woken = -EBUSY,
    .expired = -ETIMEDOUT,
    .describe = race_describe,
};

static const struct cr_wait_kind LOSERS = {
    .name = "the losers of its race: ",
    .woken = -EBUSY,
    .firm = true,
    .describe = race_describe,
};

static struct cr_slot *race_slot(const struct race *race, size_t i)
{
    coir_fiber handle = race->handles[i];
    struct cr_slot *slot = cr_slot_find(&race->watches.self->sched->slots, handle);
    return handle.generation == UINT32_MAX ? NULL : slot;
}

static void race_watch(struct race *race, size_t i)
{
    struct cr_watch *watch = &race->watch[i];
    struct cr_slot *slot = race_slot(race, i);
    *watch = (struct cr_watch){.wait.kind = &cr_fiber_watch, .watches = &race->watches};
    if (slot && slot->fiber) {
        cr_list_append(&slot->fiber->joiners, &watch->wait.link);
        slot->fiber->marks |= CR_MARK_WATCHED;
        race->watches.alive++;
        return;
    }
    watch->ended = true;
    watch->result = slot ? slot->result : -ESRCH;
    if (watch->result < 0)
        race->watches.error = watch->result;
}

/* Begins to watch: 0, or why not; nothing has happened then. */
static int race_begin(struct race *race, const coir_fiber *handles, size_t count,
                      enum cr_watch_until until)
{
    race->watches.self = cr_sched_self;
    race->handles = handles;
    race->count = count;
    race->watch = race->few;
    race->watches.alive = 0;
    race->watches.error = 0;
    race->watches.until = until;
    if (count > INT_MAX || (count == 0 && until != CR_WATCH_ALL))
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        struct cr_slot *slot = race_slot(race, i);
        if (!slot && until != CR_WATCH_SUCCESS)
            return -ESRCH;
        if (slot && slot->fiber == race->watches.self)
            return -EDEADLK;
    }
    if (count > WATCHES_FEW)
        race->watch = malloc(count * sizeof *race->watch);
    if (!race->watch)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        race_watch(race, i);
    return 0;
}

static void race_end(struct race *race)
{
    for (size_t i = 0; i < race->count; i++)
        if (!race->watch[i].ended)
            cr_list_remove(&race->watch[i].wait.link);
    if (race->watch != race->few)
        free(race->watch);
}

/* Takes the result, unless somebody has joined the fiber meanwhile. */
static void race_take(struct race *race, size_t i)
{
    if (race_slot(race, i))
        cr_slot_release(&race->watches.self->sched->slots, race->handles[i].slot);
}

/* The lowest that has ended, with success if that is what counts; `count` when there is none. */
static size_t race_first(const struct race *race)
{
    bool success = race->watches.until == CR_WATCH_SUCCESS;
    for (size_t i = 0; i < race->count; i++)
        if (race->watch[i].ended && (!success || race->watch[i].result >= 0))
            return i;
    return race->count;
}

/* Waits until enough have ended. */
static int race_wait(struct race *race, uint64_t until)
{
    struct cr_watches *watches = &race->watches;
    bool one = watches->until != CR_WATCH_ALL && race_first(race) < race->count;
    if (one || watches->alive == 0) {
        cr_sched_spend(race->watches.self);
        return 0;
    }
    if (until == 0)
        return cr_sched_try_once(race->watches.self);
    watches->wait.kind = &WATCHING;
    cr_list_init(&watches->wait.link);
    return cr_sched_park(race->watches.self, &watches->wait, until);
}

int coir_join_all(const coir_fiber *handles, size_t count, int *results, uint64_t until)
{
    struct race race;
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_join_all", CR_CALLER);
    int outcome = race_begin(&race, handles, count, CR_WATCH_ALL);
    if (outcome < 0)
        return outcome;
    outcome = race_wait(&race, until);
    for (size_t i = 0; outcome == 0 && i < count; i++) {
        if (results)
            results[i] = race.watch[i].result;
        race_take(&race, i);
    }
    race_end(&race);
    return outcome;
}

int coir_join_any(const coir_fiber *handles, size_t count, int *result, uint64_t until)
{
    struct race race;
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_join_any", CR_CALLER);
    int outcome = race_begin(&race, handles, count, CR_WATCH_ONE);
    if (outcome < 0)
        return outcome;
    outcome = race_wait(&race, until);
    if (outcome == 0) {
        size_t first = race_first(&race);
        if (result)
            *result = race.watch[first].result;
        race_take(&race, first);
        outcome = (int)first;
    }
    race_end(&race);
    return outcome;
}

static void race_finish_losers(struct race *race)
{
    struct cr_watches *watches = &race->watches;
    for (size_t i = 0; i < race->count; i++)
        if (!race->watch[i].ended)
            cr_scope_stop(race_slot(race, i)->fiber);
    watches->until = CR_WATCH_ALL;
    if (watches->alive > 0) {
        watches->wait.kind = &LOSERS;
        cr_list_init(&watches->wait.link);
        cr_sched_park_firmly(race->watches.self, &watches->wait);
    }
    for (size_t i = 0; i < race->count; i++)
        race_take(race, i);
}

int coir_race(const coir_fiber *handles, size_t count, int *result, uint64_t until)
{
    struct race race;
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_race", CR_CALLER);
    int outcome = race_begin(&race, handles, count, CR_WATCH_SUCCESS);
    if (outcome < 0)
        return outcome;
    for (size_t i = 0; i < count; i++)
        if (!race.watch[i].ended)
            race_slot(&race, i)->fiber->marks |= CR_MARK_RACED;
    outcome = race_wait(&race, until);
    size_t winner = race_first(&race);
    race_finish_losers(&race);
    if (outcome == 0) {
        bool won = winner < count;
        outcome = won ? (int)winner : race.watches.error;
        if (result)
            *result = won ? race.watch[winner].result : outcome;
    }
    race_end(&race);
    return outcome;
}
