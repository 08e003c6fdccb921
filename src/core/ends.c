/* Waiting for the ends of fibers: for one (join), for all of several, for the first, for the first
 * success (race). One that waits for several has a member in the ring of joiners of each that is
 * alive, and parks until enough of them have ended.
 *
 * Invariant: while a call is in here, its members that have not `ended` are on their rings; when it
 * leaves, none is. */
#include "ends.h"

#include "../debug/debug.h"
#include "scope.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- one fiber ---- */

static void ends_describe_join(const struct cr_wait *wait, char *text, size_t size)
{
    const struct cr_join *join = CR_CONTAINER(wait, struct cr_join, wait);
    struct cr_slot *slot = cr_slot_find(&wait->fiber->sched->slots, join->target);
    if (slot && slot->fiber)
        cr_report_fiber(slot->fiber, text, size);
}

static const struct cr_wait_kind JOIN = {
    .name = "the end of ",
    .woken = -EBUSY,
    .expired = -ETIMEDOUT,
    .describe = ends_describe_join,
};

static int ends_join(struct cr_fiber *self, struct cr_fiber *target, coir_fiber handle,
                     int *result, coir_time until)
{
    struct cr_join join;
    if (CR_UNLIKELY(self->stop))
        return cr_sched_refuse(self);
    join.target = handle;
    join.takes = true;
    cr_list_append(&target->joiners, &join.wait.link);
    int outcome = cr_sched_park_now(self, &join.wait, &JOIN, until);
    if (outcome == 0 && result)
        *result = join.result;
    return outcome;
}

int coir_join(coir_fiber handle, int *result, coir_time until)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_join", CR_CALLER);
    struct cr_slot *slot = cr_slot_find(&sched->slots, handle);
    if (CR_UNLIKELY(!slot))
        return -ESRCH;
    if (!slot->fiber) {
        if (handle.generation == UINT32_MAX)
            return -ESRCH;
        if (result)
            *result = slot->result;
        cr_slot_release(&sched->slots, handle.slot);
        return 0;
    }
    if (cr_is_try(until) && !cr_sched_self)
        return -ETIMEDOUT;
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_join", CR_CALLER);
    if (slot->fiber == self)
        return -EDEADLK;
    if (cr_is_try(until))
        return cr_sched_try_once(self);
    return ends_join(self, slot->fiber, handle, result, until);
}

/* ---- several ---- */

enum ends_enough { ENDS_SUCCESS, ENDS_ONE, ENDS_ALL };

enum { JOINS_FEW = 16 };

struct ends {
    struct cr_group group;
    enum ends_enough until;
    size_t count, alive;
    int error; /* of the last that failed */
    struct cr_join *joins; /* one for each handle */
    struct cr_join few[JOINS_FEW];
};

static void ends_describe(const struct cr_wait *wait, char *text, size_t size)
{
    const struct ends *ends = CR_CONTAINER(wait, struct ends, group.park);
    static const char *const WHAT[] = {"the first success", "the first end", "all ends"};
    snprintf(text, size, "%s of %zu fibers", WHAT[ends->until], ends->alive);
}

static const struct cr_wait_kind SEVERAL = {
    .name = "",
    .woken = -EBUSY,
    .expired = -ETIMEDOUT,
    .describe = ends_describe,
};

static const struct cr_wait_kind LOSERS = {
    .name = "the losers of its race: ",
    .woken = -EBUSY,
    .firm = true,
    .describe = ends_describe,
};

static bool ends_enough(struct cr_group *group, struct cr_wait *member)
{
    struct ends *ends = CR_CONTAINER(group, struct ends, group);
    int result = CR_CONTAINER(member, struct cr_join, wait)->result;
    ends->alive--;
    if (result < 0)
        ends->error = result;
    return ends->alive == 0 || ends->until == ENDS_ONE ||
           (ends->until == ENDS_SUCCESS && result >= 0);
}

static struct cr_slot *ends_slot(coir_fiber handle)
{
    struct cr_slot *slot = cr_slot_find(&cr_sched_here->slots, handle);
    return handle.generation == UINT32_MAX ? NULL : slot;
}

static void ends_add(struct ends *ends, size_t i, coir_fiber handle)
{
    struct cr_join *join = &ends->joins[i];
    struct cr_slot *slot = ends_slot(handle);
    *join = (struct cr_join){.target = handle};
    if (slot && slot->fiber) {
        cr_group_join(&ends->group, &join->wait);
        cr_list_append(&slot->fiber->joiners, &join->wait.link);
        ends->alive++;
        return;
    }
    join->ended = true;
    join->result = slot ? slot->result : -ESRCH;
    if (join->result < 0)
        ends->error = join->result;
}

/* Begins to wait: 0, or why not; nothing has happened then. */
static int ends_begin(struct ends *ends, const coir_fiber *handles, size_t count,
                      enum ends_enough until)
{
    cr_group_init(&ends->group, cr_sched_self, ends_enough);
    ends->until = until;
    ends->count = count;
    ends->alive = 0;
    ends->error = 0;
    ends->joins = ends->few;
    if (count > INT_MAX || (count == 0 && until != ENDS_ALL))
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        struct cr_slot *slot = ends_slot(handles[i]);
        if (!slot && until != ENDS_SUCCESS)
            return -ESRCH;
        if (slot && slot->fiber == cr_sched_self)
            return -EDEADLK;
    }
    if (count > JOINS_FEW)
        ends->joins = malloc(count * sizeof *ends->joins);
    if (!ends->joins)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        ends_add(ends, i, handles[i]);
    return 0;
}

static void ends_finish(struct ends *ends)
{
    for (size_t i = 0; i < ends->count; i++)
        if (!ends->joins[i].ended)
            cr_group_remove(&ends->joins[i].wait);
    if (ends->joins != ends->few)
        free(ends->joins);
}

/* Takes the result, unless somebody has joined the fiber meanwhile. */
static void ends_take(struct ends *ends, size_t i)
{
    if (ends_slot(ends->joins[i].target))
        cr_slot_release(&cr_sched_here->slots, ends->joins[i].target.slot);
}

/* The lowest that has ended, with success if that is what counts; `count` when there is none. */
static size_t ends_first(const struct ends *ends)
{
    bool success = ends->until == ENDS_SUCCESS;
    for (size_t i = 0; i < ends->count; i++)
        if (ends->joins[i].ended && (!success || ends->joins[i].result >= 0))
            return i;
    return ends->count;
}

/* Waits until enough have ended. */
static int ends_wait(struct ends *ends, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    bool one = ends->until != ENDS_ALL && ends_first(ends) < ends->count;
    if (one || ends->alive == 0) {
        cr_sched_spend(self);
        return 0;
    }
    if (cr_is_try(until))
        return cr_sched_try_once(self);
    return cr_sched_park(self, &ends->group.park, &SEVERAL, until);
}

int coir_join_all(const coir_fiber *handles, size_t count, int *results, coir_time until)
{
    struct ends ends;
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_join_all", CR_CALLER);
    int outcome = ends_begin(&ends, handles, count, ENDS_ALL);
    if (outcome < 0)
        return outcome;
    outcome = ends_wait(&ends, until);
    for (size_t i = 0; outcome == 0 && i < count; i++) {
        if (results)
            results[i] = ends.joins[i].result;
        ends_take(&ends, i);
    }
    ends_finish(&ends);
    return outcome;
}

int coir_join_any(const coir_fiber *handles, size_t count, int *result, coir_time until)
{
    struct ends ends;
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_join_any", CR_CALLER);
    int outcome = ends_begin(&ends, handles, count, ENDS_ONE);
    if (outcome < 0)
        return outcome;
    outcome = ends_wait(&ends, until);
    if (outcome == 0) {
        size_t first = ends_first(&ends);
        if (result)
            *result = ends.joins[first].result;
        ends_take(&ends, first);
        outcome = (int)first;
    }
    ends_finish(&ends);
    return outcome;
}

/* ---- a race ---- */

static void race_finish_losers(struct ends *race)
{
    for (size_t i = 0; i < race->count; i++)
        if (!race->joins[i].ended)
            cr_scope_stop(ends_slot(race->joins[i].target)->fiber);
    race->until = ENDS_ALL;
    if (race->alive > 0) {
        cr_list_init(&race->group.park.link);
        cr_sched_park_now(cr_sched_self, &race->group.park, &LOSERS, COIR_NEVER);
    }
    for (size_t i = 0; i < race->count; i++)
        ends_take(race, i);
}

int coir_race(const coir_fiber *handles, size_t count, int *result, coir_time until)
{
    struct ends race;
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_race", CR_CALLER);
    int outcome = ends_begin(&race, handles, count, ENDS_SUCCESS);
    if (outcome < 0)
        return outcome;
    for (size_t i = 0; i < count; i++)
        if (!race.joins[i].ended)
            ends_slot(race.joins[i].target)->fiber->marks |= CR_MARK_RACED;
    outcome = ends_wait(&race, until);
    size_t winner = ends_first(&race);
    race_finish_losers(&race);
    if (outcome == 0) {
        bool won = winner < count;
        outcome = won ? (int)winner : race.error;
        if (result)
            *result = won ? race.joins[winner].result : outcome;
    }
    ends_finish(&race);
    return outcome;
}
