/* The model's operations and turns: model.h has the rules that they follow. A choice is made where
 * several fibers are ready; the k-th of them by number is taken, so that a choice means the same
 * whatever their order in the queue is. */
#ifndef TEST_MODEL_RUN_H
#define TEST_MODEL_RUN_H

#include "model_many.h"

/* ---- other operations */

static int model_cancel_fiber(struct model *m, const struct op *op)
{
    if (model_is_gone(m, op->who) || !model_alive(m, op->who))
        return -ESRCH;
    m->batch++;
    model_cancel(m, op->who, REASONS[op->until]);
    return 0;
}

static int model_ask(const struct model *m, int f, int *value)
{
    int winds = 2 * model_reaches(m, ROOT, model_innermost(m, f));
    if (!model_stopped(m, f))
        return winds;
    *value = m->scope[model_innermost(m, f)].reason;
    return winds + 1;
}

static int model_wake_up(struct model *m, int f)
{
    if (model_is_gone(m, f) || !model_alive(m, f))
        return -ESRCH;
    if (m->fiber[f].state != PARKED)
        return 0;
    int kind = model_kind(m, f);
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
    if (model_is_gone(m, op->who)) {
        fiber->outcome = -ESRCH;
    } else if (model_alive(m, op->who) && model_is_within(m, f, op->who)) {
        fiber->outcome = -EDEADLK;
    } else if (model_alive(m, op->who)) {
        if (op->kind == JOIN)
            return model_wait(m, f, op->until);
        m->batch++;
        model_cancel(m, op->who, REASONS[1]);
        return model_park(m, f, NO_TIME, WAITED);
    } else {
        fiber->outcome = 0;
        fiber->value = m->fiber[op->who].result;
        model_take(m, op->who);
    }
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
    case JOIN:
    case FINISH: return model_join(m, f, op);
    case CANCEL: return *outcome = model_cancel_fiber(m, op), true;
    case ASK: return *outcome = model_ask(m, f, &fiber->value), true;
    case OPEN: return *outcome = model_open(m, f, op), true;
    case CLOSE: return model_close(m, f, op);
    case SCOPE_CANCEL: return *outcome = model_scope_cancel(m, op), true;
    case WIND_DOWN: return *outcome = model_wind_down(m, op), true;
    case RACE_RUN: return model_race_run(m, f, op);
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
        fiber->outcome = stopped ? CANCELLED : 0;
    else if (fiber->phase == TRIED)
        fiber->outcome = OUT_OF_TIME;
    else if (fiber->phase == REFUSED)
        fiber->outcome = CANCELLED;
    else if (fiber->phase == SPENT)
        fiber->outcome = 0;
    return true;
}

/* An operation is decided: what it returns. True: it is over. */
static bool model_finish(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    if (op->kind == CLOSE && fiber->phase == WAITED)
        return model_close(m, f, op);
    if (model_is_race(op->kind) && fiber->phase == LOSERS) {
        fiber->outcome = fiber->decided;
    } else if (model_is_race(op->kind) && fiber->phase != START) {
        if (!model_finish_race(m, f))
            return false;
    }
    bool raced = model_is_race(op->kind) && fiber->phase != START;
    if (fiber->inside) {
        m->scope[fiber->inside].open = false;
        fiber->inside = 0;
    }
    if (op->kind == JOIN_ANY && fiber->outcome == 0) {
        fiber->outcome = model_first(fiber, JOIN_ANY);
        fiber->value = fiber->got[fiber->outcome];
        model_take(m, fiber->watched[fiber->outcome]);
    } else if (raced || (op->kind == JOIN_ALL && fiber->outcome == 0)) {
        fiber->value = fiber->got[0] * 1000 + fiber->got[1];
        model_take(m, fiber->watched[0]);
        model_take(m, fiber->watched[1]);
    }
    return true;
}

/* The fiber's function has returned; true when it has ended with its children. */
static bool model_go_to_end(struct model *m, int f)
{
    int result = model_result(m, f, m->program->ending[f]);
    if (m->fiber[f].phase == START)
        model_line(m, END, f)->result = result;
    if (!model_settle(m, f, f, result))
        return false;
    model_end(m, f, m->fiber[f].outcome);
    return true;
}

/* Runs a fiber until it parks, rests or ends. */
static void model_go(struct model *m, int f)
{
    struct model_fiber *fiber = &m->fiber[f];
    bool refused = false;
    if (fiber->op < 0 && fiber->race && !model_start(m, f, &refused))
        return;
    if (refused) {
        model_settle(m, f, f, CANCELLED);
        model_end(m, f, fiber->outcome);
        return;
    }
    if (fiber->op < 0) {
        fiber->op = 0;
        fiber->known = true;
        model_line(m, BEGIN, f);
    }
    for (;;) {
        const struct op *op = model_op(m, f);
        if (op->kind == END) {
            model_go_to_end(m, f);
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
        int kind = model_kind(m, which);
        model_wake(m, which, kind == SLEEP || kind == NONE ? 0 : OUT_OF_TIME);
        return;
    }
    struct model_scope *scope = &m->scope[which - FIBERS];
    scope->until = NO_TIME;
    model_cancel(m, which - FIBERS, scope->grace ? 0 : OUT_OF_TIME);
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
    if (!model_has(m, ROOT, false)) {
        m->batch++;
        model_end_daemons(m, ROOT);
    }
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

/* What is left stands still: everything is cancelled; while the scheduler is freed, shields are
 * broken. */
static void model_cancel_all(struct model *m)
{
    m->batch++;
    for (int s = 0; m->freeing && s < m->scopes; s++) {
        struct model_scope *scope = &m->scope[s];
        if (!scope->open || scope->cancel)
            continue;
        scope->cancel = FROM_OUTSIDE;
        scope->reason = CANCELLED;
    }
    for (int f = 0; f < FIBERS && !m->freeing; f++)
        if (model_alive(m, f))
            model_cancel(m, f, CANCELLED);
    for (int f = 0; f < FIBERS && !m->freeing; f++)
        for (int d = 0; d < m->fiber[f].depth; d++)
            model_cancel(m, m->fiber[f].scope[d], CANCELLED);
    model_spread(m);
}

static void model_run(struct model *m, const struct program *program)
{
    m->program = program;
    m->ready = m->next = m->now = m->orders = m->batch = m->ends = 0;
    m->scopes = FIBERS;
    m->freeing = false;
    m->choices = m->turns = m->trace.count = 0;
    memset(m->fiber, 0, sizeof m->fiber);
    memset(m->scope, 0, sizeof m->scope);
    while (m->next < program->initial)
        model_make(m, 0, ROOT);
    for (int turn = 1; model_live(m) > 0; turn++) {
        if (turn == program->free_at) {
            model_line(m, FREED, 0);
            m->freeing = true;
            m->batch++;
            model_spread(m);
        }
        if (model_turn(m))
            continue;
        if (!m->freeing)
            model_line(m, STANDSTILL, 0);
        model_cancel_all(m);
        if (m->ready == 0)
            break;
    }
    if (model_live(m) > 0)
        trace_add(&m->trace, ABANDONED, 0)->result = model_live(m);
    for (int f = 0; f < program->count && !m->freeing && model_live(m) == 0; f++)
        model_line(m, LEFT, f)->result = m->fiber[f].kept ? m->fiber[f].result : -ESRCH;
}

#endif
