/* What doc/semantics.md promises of fibers and scopes, as a plain simulation: it asks the whole
 * tree whenever a fiber may be stopped, and keeps everything in short arrays. It runs a program
 * (program.h) with given choices of who is next, and tells what happens.
 *
 * Where the promises leave the order open, of those that one event makes ready, it takes any: they
 * have the same `batch`. */
#ifndef TEST_MODEL_H
#define TEST_MODEL_H

#include "program.h"

#include <errno.h>

enum { CHOICES = 96, TURNS = 192, NO_TIME = 0xffff };
enum { OUT_OF_TIME = -ETIMEDOUT, STOPPED = -ECANCELED };

enum state { ABSENT, READY, PARKED, ENDED };

/* Where a fiber is in its operation. */
enum phase { START, YIELDED, SPENT, TRIED, REFUSED, WAITED, LOSERS };

struct model_fiber {
    enum state state;
    bool known, keeps, kept, told, raced; /* known: somebody has its handle; kept: its result is */
    int home;                             /* the scope it is a child of, or -1 */
    int scope[OPS + 1], depth;
    int op, last;
    enum phase phase;
    int until, order;            /* its deadline, NO_TIME: none; when it was armed */
    int outcome, value;          /* of its wait */
    int decided;                 /* of a race that waits for its losers */
    int watched[2], over[2], error; /* over: 1 when that one has ended */
    int got[2];
    int batch, result;
};

struct model_scope {
    int owner, outer; /* outer: the next of its owner's, or -1 */
    bool open, shield, cancelled, expired;
    int failure, until, order;
};

struct model {
    const struct program *program;
    struct model_fiber fiber[FIBERS];
    struct model_scope scope[SCOPES];
    int queue[FIBERS], ready, scopes, next, now, orders, batch;
    bool freeing;
    int choices, turns;
    uint8_t choice[CHOICES], ways[CHOICES]; /* what was chosen, of how many */
    struct {
        uint8_t fiber, ready, queue[FIBERS], batch[FIBERS];
    } turn[TURNS];
    struct trace trace;
};

/* ---- who is stopped */

static bool model_told(const struct model *m, int f);

static bool model_inside(const struct model *m, int s)
{
    const struct model_scope *scope = &m->scope[s];
    if (scope->cancelled || scope->expired || scope->failure)
        return true;
    if (scope->shield)
        return false;
    return scope->outer >= 0 ? model_inside(m, scope->outer) : model_told(m, scope->owner);
}

static bool model_told(const struct model *m, int f)
{
    const struct model_fiber *fiber = &m->fiber[f];
    return fiber->told || (fiber->home >= 0 && model_inside(m, fiber->home));
}

static bool model_stopped(const struct model *m, int f)
{
    const struct model_fiber *fiber = &m->fiber[f];
    return fiber->depth ? model_inside(m, fiber->scope[fiber->depth - 1]) : model_told(m, f);
}

static bool model_alive(const struct model *m, int f)
{
    return m->fiber[f].state == READY || m->fiber[f].state == PARKED;
}

static struct line *model_line(struct model *m, int kind, int f)
{
    struct line *line = trace_add(&m->trace, (uint8_t)kind, f);
    line->time = (uint16_t)m->now;
    return line;
}

/* ---- ready and parked */

static void model_ready(struct model *m, int f)
{
    m->fiber[f].state = READY;
    m->fiber[f].batch = m->batch;
    m->fiber[f].until = NO_TIME;
    m->queue[m->ready++] = f;
}

static void model_wake(struct model *m, int f, int outcome)
{
    m->fiber[f].outcome = outcome;
    model_ready(m, f);
}

/* Lets others run. */
static bool model_rest(struct model *m, int f, enum phase phase)
{
    m->fiber[f].phase = phase;
    m->batch++;
    model_ready(m, f);
    return false;
}

static bool model_park(struct model *m, int f, int until, enum phase phase)
{
    struct model_fiber *fiber = &m->fiber[f];
    fiber->phase = phase;
    fiber->state = PARKED;
    fiber->until = until;
    fiber->order = m->orders++;
    return false;
}

static const struct op *model_op(const struct model *m, int f)
{
    static const struct op close = {.kind = CLOSE}, end = {.kind = END};
    const struct model_fiber *fiber = &m->fiber[f];
    if (fiber->op < 0)
        return NULL;
    if (fiber->op < m->program->ops[f])
        return &m->program->op[f][fiber->op];
    return fiber->depth ? &close : &end;
}

/* Whether a stop or a deadline ends what it is parked in. */
static bool model_is_firm(const struct model *m, int f)
{
    return model_op(m, f)->kind == CLOSE || m->fiber[f].phase == LOSERS;
}

/* Something was stopped: whoever waits in a stopped place is told. */
static void model_deliver(struct model *m)
{
    for (int f = 0; f < FIBERS; f++)
        if (m->fiber[f].state == PARKED && !model_is_firm(m, f) && model_stopped(m, f))
            model_wake(m, f, STOPPED);
}

/* Begins a wait: once, refused, or parked. */
static bool model_wait(struct model *m, int f, int until)
{
    if (until == ONCE)
        return model_rest(m, f, TRIED);
    if (model_stopped(m, f))
        return model_rest(m, f, REFUSED);
    return model_park(m, f, until == NEVER ? NO_TIME : until, WAITED);
}

/* ---- the ends of fibers */

static bool model_is_gone(const struct model *m, int f)
{
    return !m->fiber[f].known || !(model_alive(m, f) || m->fiber[f].kept);
}

static void model_tell_watcher(struct model *m, int w, int f, int result)
{
    struct model_fiber *watcher = &m->fiber[w];
    int kind = model_op(m, w)->kind, left = 0;
    bool enough = false;
    for (int i = 0; i < 2; i++) {
        if (watcher->watched[i] == f && !watcher->over[i]) {
            watcher->over[i] = 1;
            watcher->got[i] = result;
            watcher->error = result < 0 ? result : watcher->error;
            enough |= kind == JOIN_ANY || (kind == RACE && result >= 0);
        }
        left += !watcher->over[i];
    }
    if (watcher->state == PARKED && (left == 0 || (enough && watcher->phase != LOSERS)))
        model_wake(m, w, 0);
}

static bool model_is_watching(const struct model *m, int w)
{
    const struct op *op = model_alive(m, w) ? model_op(m, w) : NULL;
    bool many = op && (op->kind == JOIN_ANY || op->kind == JOIN_ALL || op->kind == RACE);
    return many && m->fiber[w].phase != START;
}

static void model_tell_owner(struct model *m, int s)
{
    struct model_fiber *owner = &m->fiber[m->scope[s].owner];
    for (int f = 0; f < FIBERS; f++)
        if (model_alive(m, f) && m->fiber[f].home == s)
            return;
    if (owner->state == PARKED && model_op(m, m->scope[s].owner)->kind == CLOSE &&
        owner->scope[owner->depth - 1] == s)
        model_wake(m, m->scope[s].owner, 0);
}

static void model_end(struct model *m, int f, int result)
{
    struct model_fiber *fiber = &m->fiber[f];
    bool joined = false, excused = fiber->raced || (result == STOPPED && model_told(m, f));
    m->batch++;
    fiber->state = ENDED;
    fiber->result = result;
    for (int w = 0; w < FIBERS; w++)
        if (model_is_watching(m, w))
            model_tell_watcher(m, w, f, result);
    for (int w = 0; w < FIBERS; w++) {
        bool waits = m->fiber[w].state == PARKED && model_op(m, w)->kind == JOIN;
        if (!waits || m->fiber[w].watched[0] != f)
            continue;
        m->fiber[w].value = result;
        model_wake(m, w, 0);
        joined = true;
    }
    fiber->kept = fiber->keeps && !joined;
    if (fiber->home < 0)
        return;
    struct model_scope *scope = &m->scope[fiber->home];
    if (result < 0 && !excused && !scope->failure) {
        scope->failure = result;
        model_deliver(m);
    }
    model_tell_owner(m, fiber->home);
}

/* ---- spawn */

static void model_make(struct model *m, int how, int home)
{
    int f = m->next++;
    struct model_fiber *fiber = &m->fiber[f];
    fiber->keeps = !(how & (BARE | DETACHED));
    fiber->known = !(how & BARE);
    fiber->home = home;
    fiber->op = -1;
    m->batch++;
    model_ready(m, f);
}

static int model_spawn(struct model *m, int f, const struct op *op)
{
    const struct model_fiber *fiber = &m->fiber[f], *who = &m->fiber[op->who];
    int home = fiber->depth ? fiber->scope[fiber->depth - 1] : fiber->home;
    if (m->next == m->program->count || (op->how & NAMED && op->other >= who->depth))
        return SKIPPED;
    if (op->how & DETACHED) {
        home = -1;
    } else {
        if (op->how & NAMED)
            home = who->scope[op->other];
        if (model_stopped(m, f) || (home >= 0 && model_inside(m, home)))
            return STOPPED;
    }
    if (m->freeing && home < 0)
        return STOPPED;
    model_make(m, op->how, home);
    return 0;
}

/* ---- several at once */

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
        if (fiber->watched[i] == f)
            return -EDEADLK;
    }
    for (int i = 0; i < 2; i++) {
        struct model_fiber *other = &m->fiber[fiber->watched[i]];
        bool gone = model_is_gone(m, fiber->watched[i]);
        fiber->over[i] = !model_alive(m, fiber->watched[i]) || gone;
        fiber->got[i] = gone ? -ESRCH : other->result;
        if (fiber->over[i] && fiber->got[i] < 0)
            fiber->error = fiber->got[i];
        if (!fiber->over[i] && op->kind == RACE)
            other->raced = true;
        if (gone)
            fiber->watched[i] = -1; /* its handle never was, or is nobody's any more */
    }
    return 0;
}

/* The lowest that has ended, of a race with success; 2: none. */
static int model_first(const struct model_fiber *fiber, int kind)
{
    for (int i = 0; i < 2; i++)
        if (fiber->over[i] && (kind != RACE || fiber->got[i] >= 0))
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

/* A race has its outcome: the others are stopped, and it waits until they have ended. */
static bool model_finish_race(struct model *m, int f)
{
    struct model_fiber *fiber = &m->fiber[f];
    fiber->value = UNTOUCHED;
    if (fiber->outcome == 0) {
        int winner = model_first(fiber, RACE);
        fiber->outcome = winner < 2 ? winner : fiber->error;
        fiber->value = winner < 2 ? fiber->got[winner] : fiber->error;
    }
    m->batch++;
    for (int i = 0; i < 2; i++)
        if (!fiber->over[i])
            m->fiber[fiber->watched[i]].told = true;
    model_deliver(m);
    if (fiber->over[0] && fiber->over[1])
        return true;
    fiber->decided = fiber->outcome;
    return model_park(m, f, NO_TIME, LOSERS);
}

#endif
