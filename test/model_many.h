/* The model's waits for several fibers, and its scopes: what model_run.h makes operations of.
 * model.h has the rules that they follow. */
#ifndef TEST_MODEL_MANY_H
#define TEST_MODEL_MANY_H

#include "model.h"

/* ---- several at once */

/* Whether a fiber is another, which is known and alive, or a descendant of it. */
static bool model_is_within(const struct model *m, int f, int other)
{
    while (f != other) {
        int parent = m->scope[f].outer;
        if (parent == ROOT)
            return false;
        f = m->scope[parent].owner;
    }
    return !model_is_gone(m, other) && model_alive(m, other);
}

/* The result of an ended fiber is taken by the first who joins it. */
static void model_take(struct model *m, int f)
{
    if (f >= 0)
        m->fiber[f].kept = false;
}

static int model_watch(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    fiber->watched[0] = op->who;
    fiber->watched[1] = op->other;
    fiber->error = 0;
    for (int i = 0; i < 2; i++) {
        if (model_is_gone(m, fiber->watched[i]) && op->kind != RACE)
            return -ESRCH;
        if (model_is_within(m, f, fiber->watched[i]))
            return -EDEADLK;
    }
    for (int i = 0; i < 2; i++) {
        struct model_fiber *other = &m->fiber[fiber->watched[i]];
        bool gone = model_is_gone(m, fiber->watched[i]);
        fiber->over[i] = !model_alive(m, fiber->watched[i]) || gone;
        fiber->got[i] = gone ? -ESRCH : other->result;
        if (fiber->over[i] && fiber->got[i] < 0 && !fiber->error)
            fiber->error = fiber->got[i];
        if (gone)
            fiber->watched[i] = -1; /* its handle never was, or is nobody's any more */
    }
    return 0;
}

/* The lowest that has ended, of a race with success; 2: none. */
static int model_first(const struct model_fiber *fiber, int kind)
{
    for (int i = 0; i < 2; i++)
        if (fiber->over[i] && (!model_is_race(kind) || fiber->got[i] >= 0))
            return i;
    return 2;
}

static bool model_begin_many(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    fiber->outcome = model_watch(m, f, op);
    if (fiber->outcome < 0)
        return true;
    bool all = fiber->over[0] && fiber->over[1];
    if (all || (op->kind != JOIN_ALL && model_first(fiber, op->kind) < 2))
        return model_rest(m, f, SPENT);
    return model_wait(m, f, op->until);
}

/* Two functions, each in a fiber of its own, in a scope of the race's. */
static bool model_race_run(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    fiber->outcome = SKIPPED;
    if (m->next + 2 > m->program->count)
        return true;
    fiber->outcome = CANCELLED;
    fiber->value = CANCELLED * 1000 + CANCELLED;
    if (model_stopped(m, f))
        return true;
    fiber->value = UNTOUCHED;
    m->scope[m->scopes] = (struct model_scope){
        .owner = f, .outer = model_innermost(m, f), .open = true, .until = NO_TIME};
    fiber->inside = m->scopes++;
    fiber->began = m->now;
    fiber->error = fiber->started = fiber->failed_racers = 0;
    for (int i = 0; i < 2; i++) {
        fiber->watched[i] = m->next;
        fiber->over[i] = 0;
        m->fiber[m->next].race = f + 1;
        m->fiber[m->next].delay = i ? op->how : 0;
        model_make(m, 0, fiber->inside);
        m->fiber[fiber->watched[i]].known = false;
    }
    return model_wait(m, f, op->until);
}

/* A racer that waits for its start; true: it starts, or ends with *refused. */
static bool model_start(struct model *m, int f, bool *refused)
{
    struct model_fiber *fiber = &m->fiber[f], *owner = &m->fiber[fiber->race - 1];
    bool waits = fiber->delay > 0 && !(owner->started && owner->failed_racers == owner->started);
    *refused = fiber->phase == REFUSED || (fiber->phase == WAITED && fiber->outcome < 0);
    if (fiber->phase == START && waits && model_stopped(m, f))
        return model_rest(m, f, REFUSED);
    if (fiber->phase == START && waits)
        return model_park(m, f, owner->began + fiber->delay, WAITED);
    fiber->phase = START;
    owner->started += !*refused;
    return true;
}

/* A race has its outcome: the others are cancelled, and it waits until they have ended. */
static bool model_finish_race(struct model *m, int f)
{
    struct model_fiber *fiber = &m->fiber[f];
    int winner = model_first(fiber, RACE), reason = fiber->outcome;
    m->batch++;
    for (int i = 0; i < 2; i++)
        if (!fiber->over[i])
            model_cancel(m, fiber->watched[i], reason);
    if (fiber->outcome == 0)
        fiber->outcome = winner < 2 ? winner : fiber->error;
    if (fiber->over[0] && fiber->over[1])
        return true;
    fiber->decided = fiber->outcome;
    return model_park(m, f, NO_TIME, LOSERS);
}

/* ---- scopes */

static void model_wind(struct model *m, int s)
{
    if (m->scope[s].cancel)
        return;
    m->scope[s].wound = true;
    model_cancel(m, s, 0);
}

static int model_open(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    struct model_scope *scope = &m->scope[m->scopes];
    *scope = (struct model_scope){.owner = f, .open = true, .until = NO_TIME};
    scope->outer = model_innermost(m, f);
    scope->shield = op->how == SHIELD;
    scope->limit = op->how == LIMIT;
    scope->soft = op->how == SOFT;
    if (op->until != ONCE && op->until != NEVER) {
        scope->until = op->until;
        scope->order = m->orders++;
    }
    fiber->scope[fiber->depth++] = m->scopes++;
    model_spread(m);
    if (scope->soft && model_reaches(m, ROOT, m->scopes - 1))
        model_wind(m, m->scopes - 1);
    return 0;
}

static int model_result(const struct model *m, int f, int ending)
{
    int last = m->fiber[f].last;
    switch (ending) {
    case SUCCEED: return 10 + f;
    case FAIL: return -200 - f;
    case SAY_CANCELLED: return CANCELLED;
    default: return last < 0 && last != SKIPPED ? last : 0;
    }
}

static int model_outcome(const struct model_scope *scope, bool own, int result)
{
    if (scope->failure)
        return scope->failure;
    if (!scope->cut)
        return result;
    if (scope->cancel == BY_ITSELF && !own)
        return scope->reason < 0 ? scope->reason : result < 0 ? 0 : result;
    return result < 0 || scope->reason == 0 ? result : CANCELLED;
}

/* The code in a scope has ended: true when its children have too, with the scope's outcome. */
static bool model_settle(struct model *m, int f, int s, int result)
{
    struct model_scope *scope = &m->scope[s];
    if (m->fiber[f].phase == START) {
        m->fiber[f].value = result;
        m->batch++;
        if (result < 0 && model_excuses(scope, result))
            scope->cut = true;
        else if (result < 0)
            model_fail(m, s, result);
        model_drop_kept(m, s);
        scope->ending = true;
    }
    if (!model_has(m, s, false))
        model_end_daemons(m, s);
    if (model_has(m, s, false) || model_has(m, s, true))
        return model_park(m, f, NO_TIME, WAITED);
    scope->ending = false;
    model_drop_kept(m, s);
    m->fiber[f].outcome = model_outcome(scope, s == f, m->fiber[f].value);
    m->fiber[f].value = UNTOUCHED;
    return true;
}

static bool model_close(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    if (fiber->depth == 0) {
        fiber->outcome = SKIPPED;
        return true;
    }
    int s = model_innermost(m, f);
    if (!model_settle(m, f, s, model_result(m, f, op->how)))
        return false;
    m->scope[s].open = false;
    fiber->depth--;
    return true;
}

static int model_scope_cancel(struct model *m, const struct op *op)
{
    const struct model_fiber *who = &m->fiber[op->who];
    if (op->other >= who->depth)
        return SKIPPED;
    m->batch++;
    model_cancel(m, who->scope[op->other], REASONS[op->until]);
    return 0;
}

/* The outermost of the soft scopes that a wind-down of s reaches and that are not cancelled. */
static int model_soft(const struct model *m, int s)
{
    int found = ROOT;
    for (int t = 0; t < m->scopes; t++)
        if (m->scope[t].open && m->scope[t].soft && !m->scope[t].cancel && model_reaches(m, s, t) &&
            (found == ROOT || model_reaches(m, t, found)))
            found = t;
    return found;
}

static int model_wind_down(struct model *m, const struct op *op)
{
    const struct model_fiber *who = &m->fiber[op->who];
    if (op->other >= who->depth)
        return SKIPPED;
    int s = who->scope[op->other], until = m->now + op->how;
    struct model_scope *scope = &m->scope[s];
    scope->winding = true;
    if (scope->cancel)
        return 0;
    m->batch++;
    for (int soft = model_soft(m, s); soft != ROOT; soft = model_soft(m, s))
        model_wind(m, soft);
    if (op->how < GRACES - 1 && until < scope->until) {
        scope->until = until;
        scope->order = m->orders++;
        scope->grace = true;
    }
    return 0;
}

#endif
