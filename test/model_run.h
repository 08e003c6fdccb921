/* The model's operations and turns: model.h has the rules that they follow. A choice is made where
 * several fibers are ready; the k-th of them by number is taken, so that a choice means the same
 * whatever their order in the queue is. */
#ifndef TEST_MODEL_RUN_H
#define TEST_MODEL_RUN_H

#include "model.h"

/* ---- operations */

static int model_open(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    struct model_scope *scope = &m->scope[m->scopes];
    *scope = (struct model_scope){.owner = f, .open = true, .shield = op->how, .until = NO_TIME};
    scope->outer = fiber->depth ? fiber->scope[fiber->depth - 1] : -1;
    if (op->until != ONCE && op->until != NEVER) {
        scope->until = op->until;
        scope->order = m->orders++;
    }
    fiber->scope[fiber->depth++] = m->scopes++;
    return 0;
}

static bool model_has_children(const struct model *m, int s)
{
    for (int f = 0; f < FIBERS; f++)
        if (model_alive(m, f) && m->fiber[f].home == s)
            return true;
    return false;
}

/* Waits as long as there are children. */
static bool model_close(struct model *m, int f)
{
    struct model_fiber *fiber = &m->fiber[f];
    if (fiber->depth == 0) {
        fiber->outcome = SKIPPED;
        return true;
    }
    int s = fiber->scope[fiber->depth - 1];
    struct model_scope *scope = &m->scope[s];
    if (model_has_children(m, s))
        return model_park(m, f, NO_TIME, WAITED);
    bool stopped = model_inside(m, s);
    scope->open = false;
    fiber->depth--;
    fiber->outcome = scope->failure ? scope->failure
                     : scope->expired ? OUT_OF_TIME : stopped ? STOPPED : 0;
    return true;
}

static int model_scope_cancel(struct model *m, const struct op *op)
{
    const struct model_fiber *who = &m->fiber[op->who];
    if (op->other >= who->depth)
        return SKIPPED;
    m->batch++;
    m->scope[who->scope[op->other]].cancelled = true;
    model_deliver(m);
    return 0;
}

static int model_cancel(struct model *m, int f)
{
    if (model_is_gone(m, f) || !model_alive(m, f))
        return -ESRCH;
    m->batch++;
    m->fiber[f].told = true;
    model_deliver(m);
    return 0;
}

static int model_wake_up(struct model *m, int f)
{
    if (model_is_gone(m, f) || !model_alive(m, f))
        return -ESRCH;
    if (m->fiber[f].state != PARKED)
        return 0;
    int kind = model_op(m, f)->kind;
    if (kind != PARK && kind != SLEEP)
        return -EBUSY;
    m->batch++;
    model_wake(m, f, kind == PARK ? 0 : -EINTR);
    return 1;
}

static bool model_join(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    fiber->watched[0] = op->who;
    if (model_is_gone(m, op->who))
        fiber->outcome = -ESRCH;
    else if (op->who == f)
        fiber->outcome = -EDEADLK;
    else if (model_alive(m, op->who))
        return model_wait(m, f, op->until);
    else
        fiber->outcome = 0;
    if (fiber->outcome == 0)
        fiber->value = m->fiber[op->who].result;
    model_take(m, op->who);
    return true;
}

/* Sleeping for 0 parks too. */
static bool model_sleep(struct model *m, int f, const struct op *op)
{
    if (model_stopped(m, f))
        return model_rest(m, f, REFUSED);
    return model_park(m, f, m->now + op->until, WAITED);
}

/* Begins an operation; true: it is over, with its outcome. */
static bool model_begin(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    int *outcome = &fiber->outcome;
    switch (op->kind) {
    case YIELD: return model_rest(m, f, YIELDED);
    case PARK: return model_wait(m, f, op->until);
    case SLEEP: return model_sleep(m, f, op);
    case WAKE: return *outcome = model_wake_up(m, op->who), true;
    case SPAWN: return *outcome = model_spawn(m, f, op), true;
    case JOIN: return model_join(m, f, op);
    case CANCEL: return *outcome = model_cancel(m, op->who), true;
    case OPEN: return *outcome = model_open(m, f, op), true;
    case CLOSE: return model_close(m, f);
    case SCOPE_CANCEL: return *outcome = model_scope_cancel(m, op), true;
    default: return model_begin_many(m, f, op);
    }
}

/* The fiber runs again; true: what it waited for is decided. */
static bool model_resume(struct model *m, int f)
{
    struct model_fiber *fiber = &m->fiber[f];
    bool stopped = model_stopped(m, f);
    if (fiber->phase == TRIED && stopped)
        return model_rest(m, f, REFUSED);
    if (fiber->phase == YIELDED)
        fiber->outcome = stopped ? STOPPED : 0;
    else if (fiber->phase == TRIED)
        fiber->outcome = OUT_OF_TIME;
    else if (fiber->phase == REFUSED)
        fiber->outcome = STOPPED;
    else if (fiber->phase == SPENT)
        fiber->outcome = 0;
    return true;
}

/* An operation is decided: what it gives back. True: it is over. */
static bool model_finish(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    if (op->kind == CLOSE && fiber->phase == WAITED)
        return model_close(m, f);
    if (op->kind == RACE && fiber->phase == LOSERS) {
        fiber->outcome = fiber->decided;
    } else if (op->kind == RACE && fiber->phase != START) {
        if (!model_finish_race(m, f))
            return false;
    }
    if (op->kind == RACE && fiber->phase != START)
        for (int i = 0; i < 2; i++)
            model_take(m, fiber->watched[i]);
    if (op->kind == JOIN_ANY && fiber->outcome == 0) {
        fiber->outcome = model_first(fiber, JOIN_ANY);
        fiber->value = fiber->got[fiber->outcome];
        model_take(m, fiber->watched[fiber->outcome]);
    } else if (op->kind == JOIN_ALL && fiber->outcome == 0) {
        fiber->value = fiber->got[0] * 1000 + fiber->got[1];
        model_take(m, fiber->watched[0]);
        model_take(m, fiber->watched[1]);
    }
    return true;
}

static int model_ending(const struct model *m, int f)
{
    int last = m->fiber[f].last;
    switch (m->program->ending[f]) {
    case SUCCEED: return 10 + f;
    case FAIL: return -200 - f;
    case SAY_STOPPED: return STOPPED;
    default: return last < 0 && last != SKIPPED ? last : 0;
    }
}

/* Runs a fiber until it parks, rests or ends. */
static void model_go(struct model *m, int f)
{
    struct model_fiber *fiber = &m->fiber[f];
    if (fiber->op < 0) {
        fiber->op = 0;
        fiber->known = true;
        model_line(m, BEGIN, f);
    }
    for (;;) {
        const struct op *op = model_op(m, f);
        if (op->kind == END) {
            int result = model_ending(m, f);
            model_line(m, END, f)->result = result;
            model_end(m, f, result);
            return;
        }
        if (fiber->phase == START)
            fiber->value = UNTOUCHED;
        bool over = fiber->phase == START ? model_begin(m, f, op) : model_resume(m, f);
        if (!over || !model_finish(m, f, op))
            return;
        struct line *line = model_line(m, op->kind, f);
        line->result = fiber->last = fiber->outcome;
        line->value = fiber->value;
        fiber->phase = START;
        if (fiber->op < m->program->ops[f])
            fiber->op++;
    }
}

/* ---- turns */

/* The deadline that comes first: a fiber's (0 …), a scope's (FIBERS …), or -1. */
static int model_earliest(const struct model *m, int *until)
{
    int first = -1, order = 0;
    *until = NO_TIME;
    for (int i = 0; i < FIBERS + m->scopes; i++) {
        const struct model_fiber *fiber = &m->fiber[i < FIBERS ? i : 0];
        const struct model_scope *scope = &m->scope[i < FIBERS ? 0 : i - FIBERS];
        bool waits = i < FIBERS ? fiber->state == PARKED : scope->open;
        int at = i < FIBERS ? fiber->until : scope->until;
        int armed = i < FIBERS ? fiber->order : scope->order;
        if (!waits || at == NO_TIME || at > *until || (at == *until && armed > order))
            continue;
        first = i;
        *until = at;
        order = armed;
    }
    return first;
}

static void model_expire(struct model *m, int which)
{
    m->batch++;
    if (which < FIBERS) {
        model_wake(m, which, model_op(m, which)->kind == SLEEP ? 0 : OUT_OF_TIME);
        return;
    }
    struct model_scope *scope = &m->scope[which - FIBERS];
    scope->until = NO_TIME;
    scope->expired = !model_inside(m, which - FIBERS);
    if (scope->expired)
        model_deliver(m);
}

/* Who is next: the given choice, or the first where none is given. */
static int model_choose(struct model *m)
{
    int way = 0, fiber = 0;
    if (m->ready > 1 && m->choices < CHOICES) {
        way = m->choice[m->choices] %= (uint8_t)m->ready;
        m->ways[m->choices++] = (uint8_t)m->ready;
    }
    for (fiber = 0;; fiber++) {
        bool ready = false;
        for (int i = 0; i < m->ready; i++)
            ready |= m->queue[i] == fiber;
        if (ready && way-- == 0)
            return fiber;
    }
}

static void model_note_turn(struct model *m, int f)
{
    struct line *line = model_line(m, TURN, f);
    int t = m->turns < TURNS - 1 ? m->turns++ : TURNS - 1, left = 0;
    m->turn[t].fiber = (uint8_t)f;
    m->turn[t].ready = (uint8_t)m->ready;
    for (int i = 0; i < m->ready; i++) {
        int q = m->queue[i];
        m->turn[t].queue[i] = (uint8_t)q;
        m->turn[t].batch[i] = (uint8_t)m->fiber[q].batch;
        line->result |= (q + 1) << 3 * i;
        if (q != f)
            m->queue[left++] = q;
    }
    m->ready = left;
    for (int i = 0; i < FIBERS; i++) {
        if (!model_alive(m, i))
            continue;
        line->value |= model_stopped(m, i) << (2 * FIBERS + i);
        line->value |= (m->fiber[i].state == PARKED) << (FIBERS + i);
        line->value |= (m->fiber[i].state == PARKED && m->fiber[i].until != NO_TIME) << i;
    }
}

/* One turn; false when nothing is ready and nothing can become so. */
static bool model_turn(struct model *m)
{
    int until, first = model_earliest(m, &until);
    if (m->ready == 0 && first < 0)
        return false;
    if (m->ready == 0 && until > m->now)
        m->now = until;
    while (first >= 0 && until <= m->now) {
        model_expire(m, first);
        first = model_earliest(m, &until);
    }
    if (m->ready > 0) {
        int f = model_choose(m);
        model_note_turn(m, f);
        model_go(m, f);
    }
    return true;
}

static int model_live(const struct model *m)
{
    int live = 0;
    for (int f = 0; f < FIBERS; f++)
        live += model_alive(m, f);
    return live;
}

/* Stops every fiber and, with `scopes`, what is under shields too. */
static void model_stop_all(struct model *m, bool scopes)
{
    m->batch++;
    for (int f = 0; f < FIBERS; f++)
        m->fiber[f].told |= model_alive(m, f) && (scopes || m->fiber[f].home < 0);
    for (int s = 0; scopes && s < m->scopes; s++)
        if (m->freeing)
            m->scope[s].shield = false;
        else
            m->scope[s].cancelled |= m->scope[s].open;
    model_deliver(m);
}

/* When all that is left stands still, all is stopped. */
static void model_run(struct model *m, const struct program *program)
{
    m->program = program;
    m->ready = m->scopes = m->next = m->now = m->orders = m->batch = 0;
    m->freeing = false;
    m->choices = m->turns = m->trace.count = 0;
    memset(m->fiber, 0, sizeof m->fiber);
    while (m->next < program->initial)
        model_make(m, 0, -1);
    for (int turn = 1; model_live(m) > 0; turn++) {
        if (turn == program->free_at) {
            model_line(m, FREED, 0);
            m->freeing = true;
            model_stop_all(m, false);
        }
        if (model_turn(m))
            continue;
        if (!m->freeing)
            model_line(m, STANDSTILL, 0);
        model_stop_all(m, true);
        if (m->ready == 0)
            break;
    }
    if (model_live(m) > 0)
        trace_add(&m->trace, ABANDONED, 0)->result = model_live(m);
    for (int f = 0; f < program->count && !m->freeing && model_live(m) == 0; f++)
        model_line(m, LEFT, f)->result = m->fiber[f].kept ? m->fiber[f].result : -ESRCH;
}

#endif
