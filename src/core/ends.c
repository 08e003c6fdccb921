/* Waiting for the ends of fibers: for one (join, finish), for all of several, for the first. One
 * that waits for several has a member in the ring of joiners of each that is alive, and parks until
 * enough of them have ended. */
#include "ends.h"

#include "../debug/debug.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* The slot of one that has ended, and whose result is kept; NULL: there is none. */
static struct cr_slot *ends_kept(const struct coir_sched *sched, coir_fiber handle)
{
    return cr_slot_find(&sched->slots, handle, CR_SLOT_ENDED);
}

bool cr_ends_is_within(const struct cr_fiber *self, const struct cr_fiber *target)
{
    while (self && self != target)
        self = self->own.outer->owner;
    return self;
}

/* A call whose deadline or cancel has come, or that has enough already, hangs until its fiber
 * runs. */
static bool ends_claims(const struct cr_join *join)
{
    const struct cr_group *group = join->wait.group;
    if (join->wait.fiber->wait == &join->wait || join->claim == CR_CLAIMS)
        return true;
    if (group->park.fiber->wait != &group->park)
        return false;
    return join->claim == CR_CLAIMS_PARKED ||
           CR_CONTAINER(group, struct cr_ends, group)->alive == 1;
}

bool cr_ends_claimed(const struct cr_fiber *self)
{
    for (const struct cr_list *at = self->joiners.next; at != &self->joiners; at = at->next)
        if (ends_claims(CR_CONTAINER(at, struct cr_join, wait.link)))
            return true;
    return false;
}

/* ---- one fiber ---- */

static void ends_describe_join(const struct cr_wait *wait, char *text, size_t size)
{
    const struct cr_join *join = CR_CONTAINER(wait, struct cr_join, wait);
    const struct cr_fiber *target = cr_ends_alive(wait->fiber->sched, join->target);
    if (target)
        cr_report_fiber(target, text, size);
}

static const struct cr_wait_kind JOIN = {
    .name = "the end of ",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
    .describe = ends_describe_join,
};

static const struct cr_wait_kind FINISH = {
    .name = "the end of cancelled ",
    .woken = -EBUSY,
    .firm = true,
    .describe = ends_describe_join,
};

CR_INLINE int ends_park(struct cr_fiber *self, struct cr_fiber *target, coir_fiber handle,
                        const struct cr_wait_kind *kind, int *result, coir_time until)
{
    struct cr_join join;
    join.target = handle;
    join.takes = true;
    cr_list_append(&target->joiners, &join.wait.link);
    int outcome = cr_sched_park_now(self, &join.wait, kind, until);
    if (outcome == 0 && result)
        *result = join.result;
    return outcome;
}

static int ends_join(struct cr_fiber *self, struct cr_fiber *target, coir_fiber handle,
                     int *result, coir_time until)
{
    if (CR_UNLIKELY(self->cancelled))
        return cr_sched_refuse(self);
    return ends_park(self, target, handle, &JOIN, result, until);
}

int cr_ends_take_kept(struct coir_sched *sched, coir_fiber handle, int *result)
{
    if (!ends_kept(sched, handle))
        return -ESRCH;
    int taken = cr_scope_take(&sched->slots, handle.slot);
    if (result)
        *result = taken;
    return 0;
}

int coir_join(coir_fiber handle, int *result, coir_time until)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_join", CR_CALLER);
    struct cr_fiber *self = cr_sched_self, *target = cr_ends_alive(sched, handle);
    if (!target)
        return cr_ends_take_kept(sched, handle, result);
    if (cr_is_try(until) && !self)
        return COIR_TIMED_OUT;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_join", CR_CALLER);
    if (CR_UNLIKELY(cr_ends_never(self, target)))
        return -EDEADLK;
    if (cr_is_try(until))
        return cr_sched_try_once(self);
    return ends_join(self, target, handle, result, until);
}

int coir_finish(coir_fiber handle, int reason, int *result)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_finish", CR_CALLER);
    if (CR_UNLIKELY(reason > 0))
        cr_fatal_mistake("coir_finish", CR_CALLER, "the reason is positive");
    struct cr_fiber *target = cr_ends_alive(self->sched, handle);
    if (!target)
        return cr_ends_take_kept(self->sched, handle, result);
    if (cr_ends_never(self, target))
        return -EDEADLK;
    cr_cancel_scope(&target->own, reason);
    return ends_park(self, target, handle, &FINISH, result, COIR_NEVER);
}

/* ---- several ---- */

static void ends_describe(const struct cr_wait *wait, char *text, size_t size)
{
    const struct cr_ends *ends = CR_CONTAINER(wait, struct cr_ends, group.park);
    static const char *const WHAT[] = {"the first success", "the first end", "all ends"};
    snprintf(text, size, "%s of %zu fibers", WHAT[ends->until], ends->alive);
}

static const struct cr_wait_kind SEVERAL = {
    .name = "",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
    .describe = ends_describe,
};

static const struct cr_wait_kind LOSERS = {
    .name = "the losers of its race: ",
    .woken = -EBUSY,
    .firm = true,
    .describe = ends_describe,
};

static void ends_note(struct cr_ends *ends, int result)
{
    if (result < 0 && ends->error == 0)
        ends->error = result;
}

bool cr_ends_enough(struct cr_group *group, struct cr_wait *member)
{
    struct cr_ends *ends = CR_CONTAINER(group, struct cr_ends, group);
    int result = CR_CONTAINER(member, struct cr_join, wait)->result;
    ends->alive--;
    ends_note(ends, result);
    return ends->alive == 0 || ends->until == CR_ENOUGH_ONE ||
           (ends->until == CR_ENOUGH_SUCCESS && result >= 0);
}

static void ends_add(struct cr_ends *ends, size_t i, coir_fiber handle)
{
    struct cr_join *join = &ends->joins[i];
    struct cr_fiber *target = cr_ends_alive(cr_sched_here, handle);
    const struct cr_slot *kept = ends_kept(cr_sched_here, handle);
    static const uint8_t CLAIMS[] = {CR_CLAIMS, CR_CLAIMS_PARKED, CR_CLAIMS_LAST};
    *join = (struct cr_join){.target = handle, .claim = CLAIMS[ends->until]};
    if (target) {
        cr_group_join(&ends->group, &join->wait);
        cr_list_append(&target->joiners, &join->wait.link);
        ends->alive++;
        return;
    }
    join->ended = true;
    join->result = kept ? kept->result : -ESRCH;
    ends_note(ends, join->result);
}

int cr_ends_begin(struct cr_ends *ends, const coir_fiber *handles, size_t count,
                  enum cr_enough until)
{
    cr_group_init(&ends->group, cr_sched_self, cr_ends_enough);
    ends->until = until;
    ends->count = count;
    ends->alive = 0;
    ends->error = 0;
    ends->joins = ends->few;
    if (count > INT_MAX || (count == 0 && until != CR_ENOUGH_ALL))
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        struct cr_fiber *target = cr_ends_alive(cr_sched_here, handles[i]);
        if (!target && until != CR_ENOUGH_SUCCESS && !ends_kept(cr_sched_here, handles[i]))
            return -ESRCH;
        if (target && cr_ends_never(cr_sched_self, target))
            return -EDEADLK;
    }
    if (count > CR_ENDS_FEW)
        ends->joins = malloc(count * sizeof *ends->joins);
    if (!ends->joins)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        ends_add(ends, i, handles[i]);
    return 0;
}

void cr_ends_finish(struct cr_ends *ends)
{
    for (size_t i = 0; i < ends->count; i++)
        if (!ends->joins[i].ended)
            cr_group_remove(&ends->joins[i].wait);
    if (ends->joins != ends->few)
        free(ends->joins);
}

struct cr_fiber *cr_ends_fiber(const struct cr_ends *ends, size_t i)
{
    return ends->joins[i].ended ? NULL : cr_ends_alive(cr_sched_here, ends->joins[i].target);
}

void cr_ends_take(struct cr_ends *ends, size_t i)
{
    if (ends_kept(cr_sched_here, ends->joins[i].target))
        cr_scope_take(&cr_sched_here->slots, ends->joins[i].target.slot);
}

size_t cr_ends_first(const struct cr_ends *ends)
{
    bool success = ends->until == CR_ENOUGH_SUCCESS;
    for (size_t i = 0; i < ends->count; i++)
        if (ends->joins[i].ended && (!success || ends->joins[i].result >= 0))
            return i;
    return ends->count;
}

int cr_ends_wait(struct cr_ends *ends, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    bool one = ends->until != CR_ENOUGH_ALL && cr_ends_first(ends) < ends->count;
    if (one || ends->alive == 0) {
        cr_sched_spend(self);
        return 0;
    }
    if (cr_is_try(until))
        return cr_sched_try_once(self);
    return cr_sched_park(self, &ends->group.park, &SEVERAL, until);
}

void cr_ends_wait_for_all(struct cr_ends *ends)
{
    ends->until = CR_ENOUGH_ALL;
    if (ends->alive == 0)
        return;
    cr_list_init(&ends->group.park.link);
    cr_sched_park_now(cr_sched_self, &ends->group.park, &LOSERS, COIR_NEVER);
}

int coir_join_all(const coir_fiber *handles, size_t count, int *results, coir_time until)
{
    struct cr_ends ends;
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_join_all", CR_CALLER);
    int outcome = cr_ends_begin(&ends, handles, count, CR_ENOUGH_ALL);
    if (outcome < 0)
        return outcome;
    outcome = cr_ends_wait(&ends, until);
    for (size_t i = 0; outcome == 0 && i < count; i++) {
        if (results)
            results[i] = ends.joins[i].result;
        cr_ends_take(&ends, i);
    }
    cr_ends_finish(&ends);
    return outcome;
}

int coir_join_any(const coir_fiber *handles, size_t count, int *result, coir_time until)
{
    struct cr_ends ends;
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_join_any", CR_CALLER);
    int outcome = cr_ends_begin(&ends, handles, count, CR_ENOUGH_ONE);
    if (outcome < 0)
        return outcome;
    outcome = cr_ends_wait(&ends, until);
    if (outcome == 0) {
        size_t first = cr_ends_first(&ends);
        if (result)
            *result = ends.joins[first].result;
        cr_ends_take(&ends, first);
        outcome = (int)first;
    }
    cr_ends_finish(&ends);
    return outcome;
}
