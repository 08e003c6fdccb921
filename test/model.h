/* What doc/semantics.md promises of fibers and scopes, as a plain simulation: it looks at the whole
 * tree whenever something is cancelled, and keeps everything in short arrays. It runs a program
 * (program.h) with given choices of who is next, and tells what happens.
 *
 * Where the promises leave the order open, of those that one event makes ready, it takes any: they
 * have the same `batch`. */
#ifndef TEST_MODEL_H
#define TEST_MODEL_H

#include "program.h"

#include <coir.h>
#include <errno.h>

enum { CHOICES = 96, TURNS = 192, NO_TIME = 0xffff, ROOT = -1 };
enum { OUT_OF_TIME = COIR_TIMED_OUT, CANCELLED = COIR_CANCELLED };

enum state { ABSENT, READY, PARKED, ENDED };

/* Where a fiber is in its operation. */
enum phase { START, YIELDED, SPENT, TRIED, REFUSED, WAITED, LOSERS };

enum cancel { NOT, BY_ITSELF, FROM_OUTSIDE };

/* A fiber's own scope has its number; its parent is the `outer` of that. */
struct model_fiber {
    enum state state;
    bool known, keeps, kept; /* known: somebody has its handle; kept: its result is */
    bool failed, daemon;
    int scope[OPS + 1], depth; /* that it has opened */
    int op, last;
    enum phase phase;
    int until, order;            /* its deadline, NO_TIME: none; when it was armed */
    int outcome, value;          /* of its wait */
    int decided;                 /* of a race that waits for its losers */
    int watched[2], over[2], error; /* over: 1 when that one has ended */
    int got[2];
    int inside;                  /* the scope of its race of functions, 0: it is in none */
    int race, delay;             /* of a racer: the fiber whose race it is (+ 1); 0: it is none */
    int began, started, failed_racers; /* of its race of functions */
    int batch, result, ended; /* ended: as how manyeth */
};

struct model_scope {
    int owner, outer;
    bool open, shield, limit, soft, ending, cut;
    bool winding, grace; /* grace: `until` is the end of one */
    bool wound;          /* its cancel is that of a soft scope, in which it lies */
    enum cancel cancel;
    int reason, failure, until, order;
};

struct model {
    const struct program *program;
    struct model_fiber fiber[FIBERS];
    struct model_scope scope[SCOPES];
    int queue[FIBERS], ready, scopes, next, now, orders, batch, ends;
    bool freeing;
    int choices, turns;
    uint8_t choice[CHOICES], ways[CHOICES]; /* what was chosen, of how many */
    struct {
        uint8_t fiber, ready, queue[FIBERS], batch[FIBERS];
    } turn[TURNS];
    struct trace trace;
};

static bool model_alive(const struct model *m, int f)
{
    return m->fiber[f].state == READY || m->fiber[f].state == PARKED;
}

static int model_innermost(const struct model *m, int f)
{
    const struct model_fiber *fiber = &m->fiber[f];
    if (fiber->inside)
        return fiber->inside;
    return fiber->depth ? fiber->scope[fiber->depth - 1] : f;
}

static bool model_stopped(const struct model *m, int f)
{
    return m->scope[model_innermost(m, f)].cancel != NOT;
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

/* NONE: it has not begun, though it may wait for its start in a race. */
static int model_kind(const struct model *m, int f)
{
    const struct op *op = model_op(m, f);
    return op ? op->kind : NONE;
}

static bool model_is_race(int kind)
{
    return kind == RACE || kind == RACE_RUN;
}

/* Whether a cancel or a deadline ends what it is parked in. */
static bool model_is_firm(const struct model *m, int f)
{
    int kind = model_kind(m, f);
    return kind == CLOSE || kind == END || kind == FINISH || m->fiber[f].phase == LOSERS;
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

/* ---- cancels */

/* What is inside of something cancelled is cancelled, with the same reason, but for shields. */
static void model_spread(struct model *m)
{
    for (bool more = true; more;) {
        more = false;
        for (int s = 0; s < m->scopes; s++) {
            struct model_scope *scope = &m->scope[s];
            int outer = scope->outer;
            bool reached = outer == ROOT ? m->freeing : m->scope[outer].cancel != NOT;
            if (!scope->open || scope->cancel || scope->shield || !reached)
                continue;
            scope->wound = outer != ROOT && m->scope[outer].wound;
            scope->cancel = scope->wound && scope->soft ? BY_ITSELF : FROM_OUTSIDE;
            scope->reason = outer == ROOT ? CANCELLED : m->scope[outer].reason;
            more = true;
        }
    }
    for (int f = 0; f < FIBERS; f++)
        if (m->fiber[f].state == PARKED && !model_is_firm(m, f) && model_stopped(m, f))
            model_wake(m, f, CANCELLED);
}

static void model_cancel(struct model *m, int s, int reason)
{
    if (m->scope[s].cancel)
        return;
    m->scope[s].cancel = BY_ITSELF;
    m->scope[s].reason = reason;
    model_spread(m);
}

/* Whether a scope, or one around it up to a shield, is s; or winds down, if s is ROOT. */
static bool model_reaches(const struct model *m, int s, int from)
{
    for (int at = from; at != ROOT; at = m->scope[at].outer) {
        if (s == ROOT ? m->scope[at].winding : at == s)
            return true;
        if (m->scope[at].shield)
            return false;
    }
    return false;
}

static void model_fail(struct model *m, int s, int result)
{
    if (s == ROOT || m->scope[s].failure)
        return;
    m->scope[s].failure = result;
    model_cancel(m, s, result);
}

/* Whether a result says no more than that a cancel has cut it short. */
static bool model_excuses(const struct model_scope *scope, int result)
{
    return scope->cancel && !scope->failure && (result == CANCELLED || result == scope->reason);
}

/* ---- children */

static bool model_has(const struct model *m, int s, bool daemons)
{
    for (int f = 0; f < FIBERS; f++)
        if (model_alive(m, f) && m->scope[f].outer == s && m->fiber[f].daemon == daemons)
            return true;
    return false;
}

static void model_end_daemons(struct model *m, int s)
{
    for (int f = 0; f < FIBERS; f++)
        if (model_alive(m, f) && m->scope[f].outer == s && m->fiber[f].daemon)
            model_cancel(m, f, 0);
}

/* The first to end of those whose results a scope keeps, or -1. */
static int model_first_kept(const struct model *m, int s)
{
    int first = -1;
    for (int f = 0; f < FIBERS; f++)
        if (m->fiber[f].kept && m->scope[f].outer == s &&
            (first < 0 || m->fiber[f].ended < m->fiber[first].ended))
            first = f;
    return first;
}

/* What nobody took is the scope's. */
static void model_drop_kept(struct model *m, int s)
{
    for (int f = model_first_kept(m, s); f >= 0; f = model_first_kept(m, s)) {
        m->fiber[f].kept = false;
        if (m->fiber[f].failed)
            model_fail(m, s, m->fiber[f].result);
    }
}

/* ---- the ends of fibers */

static bool model_is_gone(const struct model *m, int f)
{
    return !m->fiber[f].known || !(model_alive(m, f) || m->fiber[f].kept);
}

static void model_tell_watcher(struct model *m, int w, int f, int result)
{
    struct model_fiber *watcher = &m->fiber[w];
    int kind = model_kind(m, w), left = 0;
    bool enough = false;
    for (int i = 0; i < 2; i++) {
        if (watcher->watched[i] == f && !watcher->over[i]) {
            watcher->over[i] = 1;
            watcher->got[i] = result;
            watcher->error = watcher->error ? watcher->error : result < 0 ? result : 0;
            enough |= kind == JOIN_ANY || (model_is_race(kind) && result >= 0);
        }
        left += !watcher->over[i];
    }
    if (watcher->state == PARKED && (left == 0 || (enough && watcher->phase != LOSERS)))
        model_wake(m, w, 0);
}

/* Whether a fiber watches several, among them f, which has not ended. */
static bool model_is_watching(const struct model *m, int w, int f)
{
    const struct model_fiber *watcher = &m->fiber[w];
    const struct op *op = model_alive(m, w) ? model_op(m, w) : NULL;
    if (!op || watcher->phase == START)
        return false;
    if (op->kind != JOIN_ANY && op->kind != JOIN_ALL && !model_is_race(op->kind))
        return false;
    return (watcher->watched[0] == f && !watcher->over[0]) ||
           (watcher->watched[1] == f && !watcher->over[1]);
}

static bool model_is_joining(const struct model *m, int w, int f)
{
    const struct model_fiber *joiner = &m->fiber[w];
    if (joiner->state != PARKED || joiner->watched[0] != f)
        return false;
    return model_kind(m, w) == JOIN || model_kind(m, w) == FINISH;
}

/* A racer that had started has ended: if all such have failed, the next need not wait. */
static void model_tell_race(struct model *m, int f, int result)
{
    struct model_fiber *racer = &m->fiber[f], *owner = &m->fiber[racer->race - 1];
    if (racer->op < 0 || result >= 0)
        return;
    if (++owner->failed_racers < owner->started)
        return;
    for (int i = 0; i < 2; i++) {
        int next = owner->watched[i];
        if (m->fiber[next].op < 0 && m->fiber[next].state == PARKED) {
            model_wake(m, next, 0);
            return;
        }
    }
}

/* Whether one that watches a fiber that ends is sure to return its result. */
static bool model_claims(const struct model *m, int w)
{
    const struct model_fiber *watcher = &m->fiber[w];
    int kind = model_kind(m, w);
    if (model_is_race(kind))
        return true;
    bool last = watcher->over[0] + watcher->over[1] == 1;
    return watcher->state == PARKED && (kind == JOIN_ANY || last);
}

/* Returns whether anybody is sure to get it, and in *taken whether one of them takes its result. */
static bool model_deliver(struct model *m, int f, int result, bool *taken)
{
    bool claimed = false;
    *taken = false;
    for (int w = 0; w < FIBERS; w++)
        if (model_is_watching(m, w, f)) {
            claimed |= model_claims(m, w);
            if (m->fiber[f].race == w + 1)
                model_tell_race(m, f, result);
            model_tell_watcher(m, w, f, result);
        }
    for (int w = 0; w < FIBERS; w++)
        if (model_is_joining(m, w, f)) {
            m->fiber[w].value = result;
            model_wake(m, w, 0);
            *taken = claimed = true;
        }
    return claimed;
}

/* A parent that waits for the last of its children, or of its daemons. */
static void model_tell_parent(struct model *m, int s, bool daemon)
{
    if (model_has(m, s, daemon))
        return;
    if (s == ROOT)
        return;
    int owner = m->scope[s].owner;
    int kind = m->fiber[owner].state == PARKED ? model_kind(m, owner) : NONE;
    if (m->scope[s].ending && (kind == CLOSE || kind == END) && model_innermost(m, owner) == s)
        model_wake(m, owner, 0);
}

static void model_end(struct model *m, int f, int result)
{
    struct model_fiber *fiber = &m->fiber[f];
    int parent = m->scope[f].outer;
    bool cut = result < 0 && model_excuses(&m->scope[f], result), taken;
    m->batch++;
    fiber->state = ENDED;
    fiber->result = result;
    fiber->failed = result < 0 && !cut;
    fiber->ended = m->ends++;
    bool claimed = model_deliver(m, f, result, &taken);
    bool ending = parent != ROOT && m->scope[parent].ending;
    fiber->kept = fiber->keeps && !taken;
    m->scope[f].open = false;
    if (fiber->failed && !claimed && (!fiber->keeps || ending))
        model_fail(m, parent, result);
    if (cut && parent != ROOT)
        m->scope[parent].cut |= m->scope[parent].cancel != NOT;
    model_tell_parent(m, parent, fiber->daemon);
}

/* ---- spawn */

static void model_make(struct model *m, int how, int parent)
{
    int f = m->next++;
    struct model_fiber *fiber = &m->fiber[f];
    fiber->keeps = !(how & (BARE | DETACHED));
    fiber->known = !(how & BARE);
    fiber->daemon = how & DAEMON;
    fiber->op = -1;
    m->scope[f] = (struct model_scope){.owner = f, .outer = parent, .open = true, .until = NO_TIME};
    m->batch++;
    model_ready(m, f);
}

static int model_spawn(struct model *m, int f, const struct op *op)
{
    const struct model_fiber *who = &m->fiber[op->who];
    int parent = op->how & DETACHED ? ROOT : model_innermost(m, f);
    if (m->next == m->program->count || (op->how & NAMED && op->other >= who->depth))
        return SKIPPED;
    if (!(op->how & DETACHED)) {
        if (op->how & NAMED)
            parent = who->scope[op->other];
        if (model_stopped(m, f))
            return CANCELLED;
    }
    while (parent != ROOT && m->scope[parent].limit && !m->scope[parent].cancel)
        parent = m->scope[parent].outer;
    if (parent == ROOT ? m->freeing : m->scope[parent].cancel != NOT)
        return CANCELLED;
    int made = m->next;
    model_make(m, op->how, parent);
    bool waits = parent != ROOT && m->scope[parent].ending && !model_has(m, parent, false);
    if (op->how & DAEMON && waits)
        model_cancel(m, made, 0);
    return 0;
}

#endif
