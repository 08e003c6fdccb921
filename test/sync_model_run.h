/* The model's operations, turns and runs, of what sync_model.h has. */
#ifndef TEST_SYNC_MODEL_RUN_H
#define TEST_SYNC_MODEL_RUN_H

#include "sync_model.h"

/* ---- letting others run */

/* Lets others run; then the call has this outcome. */
static void model_rest(struct model *m, int f, int outcome, enum how how)
{
    struct model_fiber *fiber = &m->fiber[f];
    fiber->outcome = outcome;
    fiber->how = how;
    fiber->over = true;
    model_ready(m, f);
}

static void model_park(struct model *m, int f, int until)
{
    struct model_fiber *fiber = &m->fiber[f];
    fiber->state = PARKED;
    fiber->until = until == NEVER ? NO_TIME : (uint8_t)until;
    fiber->order = m->orders++;
}

/* ---- a function that is called once */

/* It has returned; false: it has failed, and that lets others run. */
static bool model_once_end(struct model *m, int f, int result)
{
    struct model_fiber *fiber = &m->fiber[f];
    fiber->stage = NO_STAGE;
    fiber->outcome = result;
    fiber->how = fiber->entered;
    m->runner = -1;
    m->once_result = result;
    m->once_done = result >= 0;
    while (m->once_done && model_serve(m, AT_CALL, result, 0))
        continue;
    if (!m->once_done && m->waits[AT_CALL] > 0) {
        m->runner = m->list[AT_CALL][0].fiber;
        m->fiber[m->runner].stage = CALLS_NEXT;
        model_serve(m, AT_CALL, 0, 0);
    }
    if (!m->once_done)
        model_rest(m, f, result, fiber->how);
    return m->once_done;
}

/* The function is called; false: it sleeps, or a cancel keeps it from that. */
static bool model_once_begin(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    m->runner = f;
    fiber->entered = fiber->how;
    if (!(op->n & SLEEPS))
        return model_once_end(m, f, once_result(f, op));
    fiber->stage = HAS_SLEPT;
    if (fiber->cancelled)
        model_rest(m, f, CANCELLED, REFUSED);
    else
        model_park(m, f, m->now + once_sleep(op));
    return false;
}

/* Goes on with such a call; false: it lets others run. */
static bool model_once_resume(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    if (fiber->stage == HAS_SLEPT)
        return model_once_end(m, f, fiber->how == EXPIRED ? once_result(f, op) : CANCELLED);
    if (fiber->stage == CALLS_NEXT)
        return model_once_begin(m, f, op);
    return true;
}

/* ---- operations that wait */

/* Where the n-th fair select begins, n from 1 on: n times the golden ratio, less its whole part,
 * of the count. */
static int model_first(unsigned n, const struct op *op)
{
    uint64_t part = n * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    return (int)(part * op->count >> 32);
}

static void model_hang(struct model *m, int f, const struct op *op)
{
    int first = op->kind == SELECT && op->fair ? model_first(m->fair, op) : 0;
    for (int n = 0; n < op->count; n++) {
        int i = (first + n) % op->count, l = list_of(op->one[i].thing, op->one[i].object);
        m->list[l][m->waits[l]++] = (struct waiter){
            (uint8_t)f, op->one[i].thing, (uint8_t)i, (uint8_t)item_of(f, m->fiber[f].op, i)};
    }
}

/* Tries the cases, and takes the first that is ready. */
static bool model_attempt(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    int first = op->kind == SELECT && op->fair ? model_first(++m->fair, op) : 0;
    for (int n = 0; n < op->count; n++) {
        int i = (first + n) % op->count;
        int result = model_try(m, f, op->one[i], item_of(f, fiber->op, i), &fiber->value);
        if (result == MUST_WAIT)
            continue;
        fiber->won = (uint8_t)i;
        fiber->extra = op->kind == SELECT ? result : 0;
        fiber->outcome = op->kind == SELECT ? i : result;
        return true;
    }
    return false;
}

/* Begins a blocking call: it lets others run; true: but for a function that is called once. */
static bool model_begin(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    fiber->value = fiber->extra = 0;
    fiber->won = CASES;
    fiber->over = false;
    if (op->kind == COND_WAIT && m->holder != f) {
        fiber->outcome = SKIPPED;
        fiber->how = NO_CALL;
        return true;
    }
    if (fiber->cancelled && op->kind != YIELD) {
        model_rest(m, f, CANCELLED, REFUSED);
    } else if (op->kind == YIELD) {
        model_rest(m, f, 0, AT_ONCE);
    } else if (op->kind == SLEEP) {
        model_park(m, f, m->now + op->until);
    } else if (model_attempt(m, f, op)) {
        model_rest(m, f, fiber->outcome, AT_ONCE);
    } else if (op->kind == ONCE_CALL && m->runner < 0) {
        fiber->how = AT_ONCE;
        fiber->won = 0;
        return model_once_begin(m, f, op);
    } else if (op->until == AT_MOST_NOW) {
        model_rest(m, f, OUT_OF_TIME, TRIED);
    } else {
        model_hang(m, f, op);
        if (op->kind == COND_WAIT)
            model_unlock(m);
        model_park(m, f, op->until);
    }
    return false;
}

/* A wait for a condition is over; false: it waits for its mutex. */
static bool model_lock_again(struct model *m, int f)
{
    struct model_fiber *fiber = &m->fiber[f];
    bool parked = fiber->how == WOKEN || fiber->how == EXPIRED || fiber->how == CUT;
    bool has = !parked || fiber->stage == LOCKS_AGAIN || m->holder < 0;
    fiber->stage = has ? NO_STAGE : LOCKS_AGAIN;
    if (has) {
        m->holder = f;
        return true;
    }
    m->list[AT_MUTEX][m->waits[AT_MUTEX]++] = (struct waiter){.fiber = (uint8_t)f, .thing = LOCK};
    model_park(m, f, NEVER);
    m->rare[RELOCK]++;
    return false;
}

/* The thing whose case has won, or of the only one. */
static struct one model_won(const struct op *op, int won)
{
    return op->one[won < CASES ? won : 0];
}

/* Goes on with a call that has an outcome; false: it lets others run once more. */
static bool model_resume(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    fiber->left = 0;
    if (op->kind == YIELD && fiber->cancelled)
        fiber->outcome = CANCELLED;
    if (fiber->how == TRIED && fiber->cancelled) {
        model_rest(m, f, CANCELLED, CUT_AFTER_TRY);
        return false;
    }
    if (op->kind == COND_WAIT)
        return model_lock_again(m, f);
    if (op->kind == ONCE_CALL)
        return model_once_resume(m, f, op);
    return true;
}

/* Notes the end of a call, and what the fiber has in its hand now. */
static void model_note(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    struct line *line = model_line(m, op->kind, f);
    bool ok = fiber->how == AT_ONCE || fiber->how == WOKEN;
    line->how = fiber->how;
    line->won = fiber->won;
    line->result = fiber->outcome;
    line->extra = fiber->extra;
    if (op->kind > SELECT || !ok || fiber->outcome < 0 || fiber->extra < 0)
        return;
    struct one one = model_won(op, fiber->won);
    if (one.thing != RECV)
        return;
    fiber->hand = (uint8_t)fiber->value;
    fiber->hand_chan = one.object;
    line->value = model_shown(m, one.object, fiber->value);
}

/* ---- operations that never park */

static int model_do(struct model *m, int f, const struct op *op)
{
    struct model_fiber *fiber = &m->fiber[f];
    switch (op->kind) {
    case PUT_BACK:
        if (!fiber->hand)
            return SKIPPED;
        model_put_back(m, fiber->hand_chan, fiber->hand);
        fiber->hand = 0;
        return 0;
    case CLOSE: return model_close(m, op->one[0].object);
    case SET: model_set(m); return 0;
    case RESET: m->set = false; return 0;
    case WAKE: return model_wake(m, AT_QUEUE, op->n);
    case QUEUE_END:
        m->queue_ended = true;
        while (model_serve(m, AT_QUEUE, -EPIPE, 0))
            continue;
        return 0;
    case UNLOCK:
        if (m->holder != f)
            return SKIPPED;
        model_unlock(m);
        return 0;
    case RELEASE: model_release(m, op->n); return 0;
    case RW_UNLOCK:
        if (m->writer != f && fiber->reads == 0)
            return SKIPPED;
        model_exit(m, f);
        return 0;
    case SIGNAL: return model_wake(m, AT_COND, op->n);
    case ADD: m->under_way += op->n; return 0;
    case DONE:
        if (m->under_way == 0)
            return SKIPPED;
        if (--m->under_way == 0)
            model_wake(m, AT_GROUP, ALL);
        return 0;
    default: return model_cancel(m, op->who);
    }
}

static void model_end(struct model *m, int f)
{
    if (m->holder == f)
        model_unlock(m);
    while (m->writer == f || m->fiber[f].reads > 0)
        model_exit(m, f);
    model_line(m, END, f);
    m->fiber[f].state = ENDED;
    m->live--;
}

/* A fiber runs until it lets others run. */
static void model_go(struct model *m, int f)
{
    struct model_fiber *fiber = &m->fiber[f];
    for (bool resumes = fiber->over; fiber->op < m->program->ops[f]; fiber->op++) {
        const struct op *op = model_op(m, f);
        if (op->kind >= PUT_BACK) {
            int result = model_do(m, f, op);
            model_line(m, op->kind, f)->result = result;
            continue;
        }
        if (!(resumes ? model_resume(m, f, op) : model_begin(m, f, op)))
            return;
        model_note(m, f, op);
        fiber->over = resumes = false;
    }
    model_end(m, f);
}

/* What the driver does is tried once, and lets nobody run. */
static void model_drive(struct model *m)
{
    struct model_fiber *driver = &m->fiber[DRIVER];
    const struct op *op = model_op(m, DRIVER);
    driver->value = driver->extra = driver->outcome = 0;
    driver->how = AT_ONCE;
    driver->won = CASES;
    if (op->kind >= PUT_BACK) {
        int result = model_do(m, DRIVER, op);
        model_line(m, op->kind, DRIVER)->result = result;
    } else {
        if (!model_attempt(m, DRIVER, op)) {
            driver->outcome = OUT_OF_TIME;
            driver->how = TRIED;
        }
        model_note(m, DRIVER, op);
    }
    driver->op++;
}

/* ---- turns */

/* The fiber whose deadline comes first, or -1. */
static int model_earliest(const struct model *m)
{
    int first = -1;
    for (int f = 0; f < m->program->count; f++) {
        const struct model_fiber *fiber = &m->fiber[f], *best = &m->fiber[first < 0 ? f : first];
        if (fiber->state != PARKED || fiber->until == NO_TIME)
            continue;
        if (first < 0 || fiber->until < best->until ||
            (fiber->until == best->until && fiber->order < best->order))
            first = f;
    }
    return first;
}

static void model_expire(struct model *m, int f)
{
    bool sleeps = model_op(m, f)->kind == SLEEP;
    model_end_wait(m, f, sleeps ? 0 : OUT_OF_TIME, EXPIRED);
}

/* Who is next: the given choice, or the first where none is given. */
static int model_choose(struct model *m)
{
    int way = 0, f = 0;
    if (m->ready > 1 && m->choices < CHOICES) {
        way = m->choice[m->choices] %= (uint8_t)m->ready;
        m->ways[m->choices++] = (uint8_t)m->ready;
    }
    while (m->fiber[f].state != READY || way-- > 0)
        f++;
    return f;
}

static void model_note_turn(struct model *m, int f)
{
    struct line *line = model_line(m, TURN, f);
    int left = 0;
    line->op = 0;
    for (int i = 0; i < m->ready; i++) {
        line->extra |= (m->queue[i] + 1) << 3 * i;
        if (m->queue[i] != f)
            m->queue[left++] = m->queue[i];
    }
    m->ready = left;
    line->value = m->chan[0].count | m->chan[1].count << 6 | m->set << 12 | m->permits << 13;
    for (int i = 0; i < m->program->count; i++) {
        bool parked = m->fiber[i].state == PARKED;
        line->value |= parked << (21 + i) | (parked && m->fiber[i].until != NO_TIME) << (25 + i);
    }
}

/* One turn; false when nothing is ready and nothing can become so. */
static bool model_turn(struct model *m)
{
    int first = model_earliest(m);
    if (m->ready == 0 && first < 0)
        return false;
    if (m->ready == 0 && m->fiber[first].until > m->now)
        m->now = m->fiber[first].until;
    while (first >= 0 && m->fiber[first].until <= m->now) {
        model_expire(m, first);
        first = model_earliest(m);
    }
    int f = model_choose(m);
    model_note_turn(m, f);
    model_go(m, f);
    return true;
}

static void model_reset(struct model *m, const struct program *program)
{
    m->program = program;
    memset(m->fiber, 0, sizeof m->fiber);
    memset(m->waits, 0, sizeof m->waits);
    for (int c = 0; c < CHANS; c++) {
        m->chan[c].count = 0;
        m->chan[c].capacity = program->capacity[c];
        m->chan[c].closed = false;
    }
    m->set = m->queue_ended = false;
    m->once_done = false;
    m->holder = m->writer = m->runner = -1;
    m->under_way = 0;
    m->fair = 0;
    m->readers = m->permits = m->ready = m->now = m->orders = m->turns = m->driven = 0;
    m->choices = m->lines = 0;
    m->live = program->count;
}

static void model_run(struct model *m, const struct program *program)
{
    model_reset(m, program);
    for (int f = 0; f < program->count; f++)
        model_ready(m, f);
    while (m->live > 0) {
        m->turns++;
        while (m->driven < program->ops[DRIVER] && program->at[m->driven] <= m->turns) {
            model_drive(m);
            m->driven++;
        }
        if (model_turn(m))
            continue;
        model_line(m, STANDSTILL, 0)->op = 0;
        for (int f = 0; f < program->count; f++)
            if (m->fiber[f].state != ENDED)
                model_cancel(m, f);
    }
}

#endif
