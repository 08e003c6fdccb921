/* Small programs of a few fibers, drawn by a number: what test_interleave.c runs in the library and
 * in its model (model.h). A program is data, so it can be printed and made smaller.
 *
 * Each fiber has one list of operations, is spawned at most once, and closes what it has left open
 * before it ends. Handles may be stale, or of fibers that nobody has spawned yet. */
#ifndef TEST_PROGRAM_H
#define TEST_PROGRAM_H

#include "draw.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { FIBERS = 4, OPS = 4, SCOPES = FIBERS + FIBERS * OPS };

/* Operations; the last three are not drawn but belong to each fiber. */
enum kind {
    YIELD, PARK, SLEEP, WAKE, SPAWN, JOIN, JOIN_ANY, JOIN_ALL, RACE, RACE_RUN, FINISH, CANCEL, ASK,
    OPEN, CLOSE, SCOPE_CANCEL, WIND_DOWN, KINDS, BEGIN = KINDS, END, NONE
};

/* `until`: once (0), an instant after the beginning of the run, or never. */
enum { ONCE = 0, INSTANTS = 4, NEVER = 255 };

/* `how` of a spawn, and of an open. */
enum { BARE = 1, DETACHED = 2, NAMED = 4, DAEMON = 8 };
enum { PLAIN = 0, SHIELD = 1, LIMIT = 2, SOFT = 4 };

/* The result of a fiber's function, or of the code in a scope: success, a failure of its own,
 * COIR_CANCELLED, or what the last operation returned, if that was an error. */
enum ending { SUCCEED, FAIL, SAY_CANCELLED, SAY_LAST, ENDINGS };

/* `how` of a wind-down is its grace; the last never ends. */
enum { GRACES = 4 };

/* Of a cancel, by its `how`: enough, or two errors. */
static const int REASONS[] = {0, -300, -301};

struct op {
    uint8_t kind, how, until;
    uint8_t who;   /* the fiber that it is about */
    uint8_t other; /* another; of a scope: how deep it lies in the fiber's */
};

struct program {
    uint64_t number;
    int count, initial; /* fibers; those that are spawned at the beginning */
    int free_at;        /* the turn before which the scheduler is freed, 0: at the end */
    uint8_t ending[FIBERS];
    uint8_t ops[FIBERS];
    struct op op[FIBERS][OPS];
};

/* What happened in a run, line by line. */
struct line {
    uint8_t kind; /* enum kind, or what follows */
    uint8_t fiber;
    uint16_t time;
    int32_t result;
    int32_t value; /* what came through a pointer */
};

/* A turn: `result` is the queue, its first in the lowest digit (+ 1) of base 8; `value` has bits of
 * the fibers that are refused what blocks, are parked, and have a deadline. */
enum { TURN = NONE + 1, STANDSTILL, FREED, ABANDONED, LEFT };

enum { UNTOUCHED = 77, SKIPPED = -9999, LINES = 256 };

struct trace {
    int count;
    struct line at[LINES];
};

static inline struct line *trace_add(struct trace *trace, uint8_t kind, int fiber)
{
    struct line *line = &trace->at[trace->count < LINES - 1 ? trace->count++ : LINES - 1];
    memset(line, 0, sizeof *line);
    line->kind = kind;
    line->fiber = (uint8_t)fiber;
    return line;
}

/* ---- drawing */

static inline uint8_t draw_until(uint64_t *state)
{
    uint32_t what = draw(state, 8);
    return what == 0 ? ONCE : what < 4 ? (uint8_t)(1 + draw(state, INSTANTS)) : NEVER;
}

static inline uint8_t draw_spawn(uint64_t *state)
{
    static const uint8_t HOW[] = {0, 0, 0, 0, BARE, BARE, DETACHED, NAMED, NAMED, NAMED | BARE,
                                  NAMED | DETACHED, DAEMON, DAEMON | BARE, DAEMON | NAMED,
                                  DAEMON | DETACHED};
    return HOW[draw(state, sizeof HOW)];
}

/* Mostly not oneself. */
static inline uint8_t draw_other(uint64_t *state, const struct program *program, int fiber)
{
    int other = (int)draw(state, (uint32_t)program->count);
    if (other == fiber && draw(state, 8))
        other = (other + 1) % program->count;
    return (uint8_t)other;
}

/* A race with those that wait for its fiber never ends: most are among those spawned later. */
static inline uint8_t draw_racer(uint64_t *state, const struct program *program, int fiber)
{
    int later = program->count - fiber - 1;
    if (later == 0 || draw(state, 16) == 0)
        return (uint8_t)draw(state, (uint32_t)program->count);
    return (uint8_t)(fiber + 1 + (int)draw(state, (uint32_t)later));
}

/* How many fibers an operation makes: a race of functions two, the second of which may start
 * later. */
static inline int births(int kind)
{
    return kind == SPAWN ? 1 : kind == RACE_RUN ? 2 : 0;
}

/* What makes no sense where it stands (a close without scope, a spawn of nobody) is drawn again. */
static inline uint8_t draw_kind(uint64_t *state, int depth, int unborn)
{
    static const uint8_t KIND[] = {YIELD, YIELD, PARK, PARK, SLEEP, SLEEP, WAKE, WAKE, SPAWN,
                                   SPAWN, SPAWN, SPAWN, JOIN, JOIN, JOIN_ANY, JOIN_ALL, RACE,
                                   RACE, RACE_RUN, RACE_RUN, RACE_RUN, FINISH, CANCEL, CANCEL,
                                   ASK, OPEN, OPEN, OPEN, CLOSE, CLOSE, CLOSE, SCOPE_CANCEL,
                                   WIND_DOWN, WIND_DOWN};
    for (;;) {
        uint8_t kind = KIND[draw(state, sizeof KIND)];
        if ((kind != CLOSE || depth > 0) && births(kind) <= unborn)
            return kind;
    }
}

static inline struct op draw_op(uint64_t *state, const struct program *program, int fiber,
                                uint8_t kind)
{
    struct op op = {.kind = kind, .until = draw_until(state)};
    op.who = draw_other(state, program, fiber);
    op.other = draw_other(state, program, fiber);
    if (op.kind == RACE || op.kind == FINISH) {
        op.who = draw_racer(state, program, fiber);
        op.other = draw_racer(state, program, fiber);
    } else if (op.kind == SPAWN || op.kind == SCOPE_CANCEL || op.kind == WIND_DOWN) {
        op.how = draw_spawn(state);
        op.who = (uint8_t)draw(state, 1 + draw(state, (uint32_t)fiber + 1));
        op.other = draw(state, 4) == 0;
        op.until = op.kind == SCOPE_CANCEL ? (uint8_t)draw(state, 3) : op.until;
        op.how = op.kind == WIND_DOWN ? (uint8_t)draw(state, GRACES) : op.how;
    } else if (op.kind == RACE_RUN) {
        op.how = (uint8_t)draw(state, 4);
    } else if (op.kind == OPEN) {
        static const uint8_t HOW[] = {PLAIN, PLAIN, PLAIN, SHIELD, SHIELD, LIMIT, SOFT, SOFT};
        op.how = HOW[draw(state, sizeof HOW)];
        op.until = draw(state, 2) ? op.until : ONCE;
    } else if (op.kind == CANCEL) {
        op.until = (uint8_t)draw(state, 3);
    } else if (op.kind == CLOSE) {
        op.how = (uint8_t)draw(state, ENDINGS);
    } else if (op.kind == SLEEP) {
        op.until = (uint8_t)draw(state, 3);
    }
    return op;
}

static inline struct program draw_program(uint64_t number)
{
    uint64_t state = number * 0x2545f4914f6cdd1du;
    struct program program = {.number = number};
    program.count = 2 + (int)draw(&state, FIBERS - 1);
    program.initial = 1 + (int)draw(&state, (uint32_t)program.count);
    program.free_at = draw(&state, 32) ? 0 : 1 + (int)draw(&state, 12);
    int unborn = program.count - program.initial;
    for (int f = 0; f < program.count; f++) {
        int depth = 0;
        program.ops[f] = (uint8_t)(1 + draw(&state, OPS));
        program.ending[f] = (uint8_t)draw(&state, ENDINGS);
        for (int i = 0; i < program.ops[f]; i++) {
            uint8_t kind = draw_kind(&state, depth, unborn);
            if (f == 0 && i == 0 && draw(&state, 2)) /* often a family */
                kind = OPEN;
            else if (f == 0 && i == 1 && unborn > 0 && draw(&state, 2))
                kind = SPAWN;
            program.op[f][i] = draw_op(&state, &program, f, kind);
            depth += (kind == OPEN) - (kind == CLOSE);
            unborn -= births(kind);
        }
    }
    return program;
}

/* ---- printing */

static inline const char *kind_name(int kind)
{
    static const char *const NAMES[] = {
        "yield", "park", "sleep", "wake", "spawn", "join", "join_any", "join_all", "race",
        "race_run", "finish", "cancel", "ask", "open", "close", "scope_cancel",
        "wind_down", "begin", "end", "none", "turn",
        "standstill", "freed", "abandoned", "left"};
    return NAMES[kind];
}

static inline const char *ending_name(int ending)
{
    static const char *const NAMES[] = {"success", "failure", "COIR_CANCELLED", "the last error"};
    return NAMES[ending];
}

static inline void print_op(const struct op *op)
{
    fprintf(stderr, "    %s", kind_name(op->kind));
    if (op->kind == WAKE || op->kind == CANCEL || op->kind == JOIN || op->kind == FINISH)
        fprintf(stderr, " %d", op->who);
    if (op->kind == JOIN_ANY || op->kind == JOIN_ALL || op->kind == RACE)
        fprintf(stderr, " %d %d", op->who, op->other);
    if (op->kind == SCOPE_CANCEL || op->kind == WIND_DOWN || (op->kind == SPAWN && op->how & NAMED))
        fprintf(stderr, " scope %d of %d", op->other, op->who);
    if (op->kind == SPAWN)
        fprintf(stderr, "%s%s%s", op->how & BARE ? " without handle" : "",
                op->how & DETACHED ? " detached" : "", op->how & DAEMON ? " daemon" : "");
    if (op->kind == RACE_RUN)
        fprintf(stderr, ", the second after %d", op->how);
    if (op->kind == OPEN && op->how)
        fprintf(stderr, op->how == SHIELD ? " shield" : op->how == LIMIT ? " limit" : " soft");
    if (op->kind == WIND_DOWN)
        fprintf(stderr, " with a grace of %d", op->how);
    if (op->kind == CLOSE)
        fprintf(stderr, " with %s", ending_name(op->how));
    if (op->kind == SLEEP)
        fprintf(stderr, " for %d", op->until);
    else if (op->kind == CANCEL || op->kind == SCOPE_CANCEL)
        fprintf(stderr, " because of %d", REASONS[op->until]);
    else if (op->kind == CLOSE || op->kind == WIND_DOWN)
        ;
    else if (op->kind == OPEN ? op->until != ONCE : op->until != NEVER)
        fprintf(stderr, " until %d", op->until);
    fputc('\n', stderr);
}

static inline void print_program(const struct program *program)
{
    fprintf(stderr, "program %llu: %d fibers, %d at the beginning",
            (unsigned long long)program->number, program->count, program->initial);
    if (program->free_at)
        fprintf(stderr, ", freed before turn %d", program->free_at);
    fputc('\n', stderr);
    for (int f = 0; f < program->count; f++) {
        fprintf(stderr, "  fiber %d, ends with %s\n", f, ending_name(program->ending[f]));
        for (int i = 0; i < program->ops[f]; i++)
            print_op(&program->op[f][i]);
    }
}

static inline void print_line(const struct line *line)
{
    fprintf(stderr, "  at %d: ", line->time);
    if (line->kind == TURN)
        fprintf(stderr, "turn to %d; queue %o, cancelled, parked, timed %03x\n", line->fiber,
                (unsigned)line->result, (unsigned)line->value);
    else
        fprintf(stderr, "fiber %d: %s = %d, %d\n", line->fiber, kind_name(line->kind),
                line->result, line->value);
}

/* Two traces up to where they part. */
static inline void print_traces(const struct trace *model, const struct trace *real)
{
    int i = 0;
    for (; i < model->count && i < real->count; i++) {
        if (memcmp(&model->at[i], &real->at[i], sizeof model->at[i]) != 0)
            break;
        print_line(&model->at[i]);
    }
    fprintf(stderr, "  expected\n");
    for (int j = i; j < model->count && j < i + 6; j++)
        print_line(&model->at[j]);
    fprintf(stderr, "  instead of\n");
    for (int j = i; j < real->count && j < i + 6; j++)
        print_line(&real->at[j]);
}

#endif
