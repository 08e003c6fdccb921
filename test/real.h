/* Runs a program (program.h) in the library, with the choices of who is next that the model made,
 * and notes what happens as the model does: the same operations in the same order and at the same
 * times with the same results, the same queue in each turn, and nothing left at the end. */
#ifndef TEST_REAL_H
#define TEST_REAL_H

#include "model_run.h"
#include "clock.h"
#include "run.h"
#include "inside.h"

enum { STACK = 16 * 1024 };

static struct real {
    const struct program *program;
    const struct model *model;
    coir_sched *sched;
    struct cr_fiber *record[FIBERS]; /* of those that were seen in the queue */
    coir_fiber seen[FIBERS];
    coir_fiber handle[FIBERS];
    coir_scope scope[FIBERS][OPS];
    int depth[FIBERS], next, turns, reported;
    uint64_t base, first;
} real;

/* Where the worker is, for when it dies: in memory that is shared with it. */
static struct {
    uint64_t number, schedules;
    uint8_t choice[CHOICES];
    struct trace trace;
} *progress;

static struct line *real_line(int kind, int f)
{
    struct line *line = trace_add(&progress->trace, (uint8_t)kind, f);
    line->time = (uint16_t)(now_ns() - real.base);
    return line;
}

static coir_time real_until(int until)
{
    if (until == ONCE)
        return COIR_TRY;
    return until == NEVER ? COIR_NEVER : at_ns(real.base + (uint64_t)until);
}

static int real_main(void *arg);

static bool real_alive(int f)
{
    return inside_fiber(real.seen[f]);
}

static int real_spawn(const struct op *op)
{
    struct coir_spawn_opts opts = {.detached = op->how & DETACHED, .daemon = op->how & DAEMON};
    if (real.next == real.program->count)
        return SKIPPED;
    if (op->how & NAMED) {
        if (op->other >= real.depth[op->who])
            return SKIPPED;
        opts.scope = &real.scope[op->who][op->other];
    }
    coir_fiber *handle = op->how & BARE ? NULL : &real.handle[real.next];
    int result = coir_spawn(handle, real_main, &real.handle[real.next], op->how ? &opts : NULL);
    real.next += result == 0;
    return result;
}

static int real_open(int f, const struct op *op)
{
    coir_time until = op->until == ONCE ? COIR_NEVER : real_until(op->until);
    coir_scope_open(&real.scope[f][real.depth[f]++], until, op->how);
    return 0;
}

static int real_result(int f, int ending, int last)
{
    switch (ending) {
    case SUCCEED: return 10 + f;
    case FAIL: return -200 - f;
    case SAY_CANCELLED: return COIR_CANCELLED;
    default: return last < 0 && last != SKIPPED ? last : 0;
    }
}

static int real_close(int f, const struct op *op, int last)
{
    if (real.depth[f] == 0)
        return SKIPPED;
    int result = coir_scope_end(&real.scope[f][real.depth[f] - 1], real_result(f, op->how, last));
    real.depth[f]--;
    return result;
}

static int real_scope_cancel(const struct op *op)
{
    if (op->other >= real.depth[op->who])
        return SKIPPED;
    return coir_scope_cancel(&real.scope[op->who][op->other], REASONS[op->until]);
}

static int real_wind_down(const struct op *op)
{
    if (op->other >= real.depth[op->who])
        return SKIPPED;
    return coir_scope_wind_down(&real.scope[op->who][op->other],
                                op->how == GRACES - 1 ? INT64_MAX : op->how);
}

static int real_several(int kind, const coir_fiber *both, coir_time until, int *value)
{
    int values[2] = {UNTOUCHED, UNTOUCHED};
    int result = (kind == RACE ? coir_race : coir_join_all)(both, 2, values, until);
    bool untouched = values[0] == UNTOUCHED && values[1] == UNTOUCHED;
    *value = untouched ? UNTOUCHED : values[0] * 1000 + values[1];
    return result;
}

/* Refused to the cancelled, before anything is spawned. */
static int real_race_run(const struct op *op, coir_time until, int *value)
{
    struct coir_racer racers[2] = {{.fn = real_main}, {.fn = real_main, .delay_ns = op->how}};
    int values[2] = {UNTOUCHED, UNTOUCHED};
    if (real.next + 2 > real.program->count)
        return SKIPPED;
    for (int i = 0; i < 2; i++)
        racers[i].arg = &real.handle[real.next + i];
    real.next += coir_cancelled(NULL) ? 0 : 2;
    int result = coir_race_run(racers, 2, values, until);
    *value = values[0] * 1000 + values[1];
    return result;
}

static int real_do(int f, const struct op *op, int last, int *value)
{
    coir_time until = real_until(op->until);
    coir_fiber both[] = {real.handle[op->who], real.handle[op->other]};
    switch (op->kind) {
    case YIELD: return coir_yield();
    case PARK: return coir_park(until);
    case SLEEP: return coir_sleep(op->until);
    case WAKE: return coir_wake(both[0]);
    case SPAWN: return real_spawn(op);
    case JOIN: return coir_join(both[0], value, until);
    case JOIN_ANY: return coir_join_any(both, 2, value, until);
    case JOIN_ALL:
    case RACE: return real_several(op->kind, both, until, value);
    case RACE_RUN: return real_race_run(op, until, value);
    case FINISH: return coir_finish(both[0], REASONS[1], value);
    case CANCEL: return coir_cancel(both[0], REASONS[op->until]);
    case ASK: return coir_cancelled(value) + 2 * coir_winding_down();
    case OPEN: return real_open(f, op);
    case CLOSE: return real_close(f, op, last);
    case WIND_DOWN: return real_wind_down(op);
    default: return real_scope_cancel(op);
    }
}

static int real_main(void *arg)
{
    static const struct op close = {.kind = CLOSE};
    int f = (int)((coir_fiber *)arg - real.handle), last = 0;
    if (real.handle[f].sched == 0)
        real.handle[f] = coir_self();
    real_line(BEGIN, f);
    for (int i = 0; i < real.program->ops[f] || real.depth[f] > 0; i++) {
        const struct op *op = i < real.program->ops[f] ? &real.program->op[f][i] : &close;
        int value = UNTOUCHED;
        last = real_do(f, op, last, &value);
        struct line *line = real_line(op->kind, f);
        line->result = last;
        line->value = value;
    }
    int result = real_result(f, real.program->ending[f], last);
    real_line(END, f)->result = result;
    return result;
}

/* ---- turns */

/* They are numbered as they are made. */
static int real_index(const struct cr_fiber *fiber)
{
    return (int)(cr_fiber_number(fiber) - real.first);
}

/* What the queue is, and whether that may be: where the model's differs, it is in an order that is
 * not promised. */
static int real_queue(const struct coir_sched *sched, int turn)
{
    int digits = 0, promised = 0, i = 0;
    bool same = turn < real.model->turns;
    for (struct cr_fiber *fiber = sched->ready; fiber; fiber = fiber->next, i++) {
        int f = real_index(fiber), batch = -1;
        real.record[f] = fiber;
        real.seen[f] = (coir_fiber){cr_fiber_number(fiber), fiber->slot, sched->slots.sched};
        digits |= (f + 1) << 3 * i;
        if (!same || i >= real.model->turn[turn].ready)
            continue;
        for (int j = 0; j < real.model->turn[turn].ready; j++)
            if (real.model->turn[turn].queue[j] == f)
                batch = real.model->turn[turn].batch[j];
        promised |= (real.model->turn[turn].queue[i] + 1) << 3 * i;
        same &= batch == real.model->turn[turn].batch[i];
    }
    return same && i == real.model->turn[turn].ready ? promised : digits;
}

static struct cr_fiber **real_pick(struct coir_sched *sched)
{
    int turn = real.turns < TURNS - 1 ? real.turns++ : TURNS - 1;
    int queue = real_queue(sched, turn), value = 0;
    struct cr_fiber **link = &sched->ready;
    int wanted = turn < real.model->turns ? real.model->turn[turn].fiber : -1;
    while (*link && real_index(*link) != wanted)
        link = &(*link)->next;
    if (wanted < 0 || !*link)
        link = &sched->ready;
    for (int f = 0; f < real.next; f++) {
        const struct cr_fiber *fiber = real.record[f];
        if (!real_alive(f))
            continue;
        value |= (fiber->cancelled != 0) << (2 * FIBERS + f) |
                 (fiber->wait != NULL) << (FIBERS + f) |
                 (fiber->timer.deadline_ns != UINT64_MAX) << f;
    }
    struct line *line = real_line(TURN, real_index(*link));
    line->result = queue;
    line->value = value;
    return link;
}

/* Counts the fibers that a report names. */
static void real_report(const char *line, void *arg)
{
    (void)arg;
    real.reported = strncmp(line, "  ", 2) ? 0 : real.reported + 1;
}

static void real_make(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL, .stack_size = STACK};
    opts.report = real_report;
    CHECK_EQ(coir_sched_new(&real.sched, &opts), 0);
    real.sched->pick = real_pick;
}

static void real_abandon(int left)
{
    if (left > 0)
        trace_add(&progress->trace, ABANDONED, 0)->result = left;
}

static void real_free(void)
{
    real.reported = 0;
    coir_sched_free(real.sched);
    real.sched = NULL;
}

/* Everything that is left stands still: all is stopped. False when that makes nothing ready. */
static bool real_stop_all(void)
{
    real_line(STANDSTILL, 0);
    for (int f = 0; f < real.next; f++)
        if (real_alive(f))
            CHECK_EQ(coir_cancel(real.seen[f], COIR_CANCELLED), 0);
    for (int f = 0; f < real.next; f++)
        for (int d = 0; d < real.depth[f]; d++)
            CHECK_EQ(coir_scope_cancel(&real.scope[f][d], COIR_CANCELLED), 0);
    return real.sched->ready;
}

/* Nothing is left of what has ended; the results that nobody took are as the model says. */
static void real_check_left(void)
{
    struct coir_sched *sched = real.sched;
    for (int f = 0; f < real.program->count; f++) {
        int result = -ESRCH, joined = coir_join(real.handle[f], &result, COIR_TRY);
        real_line(LEFT, f)->result = joined < 0 ? joined : result;
    }
    uint32_t unused = 0;
    for (uint32_t i = sched->slots.free; i != 0; i = sched->slots.at[i].next)
        unused++;
    CHECK_EQ(unused, sched->slots.count ? sched->slots.count - 1 : 0);
    CHECK(sched->live == 0 && !sched->ready && sched->ready_end == &sched->ready);
    CHECK(sched->timers.count == 0 && sched->timers.room == sched->timers.capacity);
    CHECK(sched->shields == 0 && !cr_sched_self);
    for (int f = 0; f < real.next && !CR_SAN_ADDRESS; f++) {
        const struct cr_fiber *fiber = real.record[f];
        CHECK(cr_list_empty(&fiber->joiners) && !fiber->wait && fiber->scope == &fiber->own);
        CHECK(cr_scope_is_plain(&fiber->own) && cr_list_empty(&fiber->own.children));
        CHECK(!fiber->own.failure && !fiber->own.kept && !fiber->own.reason);
        CHECK(!fiber->cancelled && fiber->timer.place == CR_TIMER_OUT);
    }
}

/* Runs the program as the model did. */
static void real_run(const struct program *program, const struct model *model)
{
    if (!real.sched)
        real_make();
    real.program = program;
    real.model = model;
    memset(real.seen, 0, sizeof real.seen);
    memset(real.handle, 0, sizeof real.handle);
    memset(real.depth, 0, sizeof real.depth);
    real.next = real.turns = progress->trace.count = 0;
    real.base = now_ns();
    real.first = real.sched->spawned;
    while (real.next < program->initial)
        CHECK_EQ(real_spawn(&(struct op){.kind = SPAWN}), 0);
    for (int turn = 1; real.sched->live > 0 && turn < TURNS; turn++) {
        if (turn == program->free_at) {
            real_line(FREED, 0);
            real_free();
            real_abandon(real.reported);
            return;
        }
        if (coir_sched_deadline(real.sched).ns != COIR_NEVER.ns) {
            CHECK(coir_sched_step(real.sched, 1) >= 0);
        } else if (!real_stop_all()) {
            real_abandon((int)real.sched->live);
            real_free();
            return;
        }
    }
    if (real.sched->live == 0)
        real_check_left();
}

#endif
