/* Small programs of a few fibers that use channels, an event, a wait queue and locks, drawn by
 * a number: what test_sync_model.c runs in the library and in its model (sync_model.h). A program
 * is data, so it can be printed and made smaller.
 *
 * Each fiber has one list of operations, and unlocks what it still holds before it ends. The
 * driver is no fiber: what it does is done outside of all of them, before a given turn. */
#ifndef TEST_SYNC_PROGRAM_H
#define TEST_SYNC_PROGRAM_H

#include "draw.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { FIBERS = 4, DRIVER = FIBERS, OPS = 5, DRIVER_OPS = 2, CASES = 3, CHANS = 2 };

/* Operations. Those before SELECT wait for an object; those before READ can be cases of a select.
 * From PUT_BACK on they never park. The last three are not drawn. */
enum kind {
    SEND, RECV, WAIT, TAKE, QUEUE, LOCK, ACQUIRE, READ, WRITE, COND_WAIT, ARRIVE, GROUP_WAIT,
    ONCE_CALL, THINGS, SELECTABLE = READ, SELECT = THINGS, YIELD, SLEEP, PUT_BACK, CLOSE, SET,
    RESET, WAKE, QUEUE_END, UNLOCK, RELEASE, RW_UNLOCK, SIGNAL, ADD, DONE, CANCEL, KINDS,
    END = KINDS, TURN, STANDSTILL
};

/* Objects: the channels come first. */
enum object { EVENT = CHANS, THE_QUEUE, MUTEX, SEM, RWLOCK, COND, BARRIER, GROUP, ONCE, OBJECTS };

enum { SELECTABLES = (1 << RWLOCK) - 1 }; /* objects that a select can wait for */

/* `until`: once, an instant after the beginning of the run, or never. */
enum { AT_MOST_NOW = 0, INSTANTS = 3, NEVER = 255 };

/* `n` of a call that is made once: its function sleeps, for longer, and fails. */
enum { SLEEPS = 1, FAILS = 2, LONGER = 4 };

enum { ALL = 255 };

struct one {
    uint8_t thing, object;
};

struct op {
    uint8_t kind, until;
    uint8_t count;         /* of cases */
    uint8_t n;             /* how many permits; how many to wake; and so on */
    uint8_t fair;          /* the order of a select */
    uint8_t who;           /* the fiber that is cancelled */
    struct one one[CASES]; /* what is waited for; the object of an operation that never parks */
};

struct program {
    uint64_t number;
    int count; /* fibers */
    uint8_t ops[FIBERS + 1], at[DRIVER_OPS];
    uint8_t size[CHANS], capacity[CHANS];
    uint8_t parties; /* of the barrier */
    struct op op[FIBERS + 1][OPS];
};

/* What programs are drawn for: which objects, and how many in a hundred operations are selects. */
struct profile {
    unsigned objects;
    int selects;
};

/* ---- drawing */

static inline uint8_t draw_until(uint64_t *state)
{
    uint32_t what = draw(state, 16);
    return what < 2 ? AT_MOST_NOW : what < 7 ? (uint8_t)(1 + draw(state, INSTANTS)) : NEVER;
}

static inline uint8_t draw_object(uint64_t *state, unsigned objects)
{
    for (;;) {
        uint8_t object = (uint8_t)draw(state, OBJECTS);
        if (objects & 1u << object)
            return object;
    }
}

/* Mostly two or three objects, so that fibers meet. */
static inline unsigned draw_objects(uint64_t *state, unsigned objects)
{
    unsigned drawn = 0;
    for (int i = 1 + (int)draw(state, 3); i > 0; i--)
        drawn |= 1u << draw_object(state, objects);
    return drawn;
}

static inline uint8_t draw_kind_of(uint64_t *state, uint8_t object)
{
    static const uint8_t KIND[OBJECTS][20] = {
        {SEND, SEND, SEND, SEND, SEND, SEND, SEND, SEND, RECV, RECV, RECV, RECV, RECV, RECV, RECV,
         RECV, PUT_BACK, PUT_BACK, PUT_BACK, CLOSE},
        {SEND, SEND, SEND, SEND, SEND, SEND, SEND, SEND, RECV, RECV, RECV, RECV, RECV, RECV, RECV,
         RECV, PUT_BACK, PUT_BACK, PUT_BACK, CLOSE},
        {WAIT, WAIT, WAIT, WAIT, WAIT, TAKE, TAKE, TAKE, TAKE, TAKE, TAKE, SET, SET, SET, SET, SET,
         SET, RESET, RESET, SET},
        {QUEUE, QUEUE, QUEUE, QUEUE, QUEUE, QUEUE, QUEUE, QUEUE, QUEUE, QUEUE, QUEUE, WAKE, WAKE,
         WAKE, WAKE, WAKE, WAKE, WAKE, WAKE, QUEUE_END},
        {LOCK, LOCK, LOCK, LOCK, LOCK, LOCK, LOCK, LOCK, LOCK, LOCK, LOCK, LOCK, UNLOCK, UNLOCK,
         UNLOCK, UNLOCK, UNLOCK, UNLOCK, UNLOCK, UNLOCK},
        {ACQUIRE, ACQUIRE, ACQUIRE, ACQUIRE, ACQUIRE, ACQUIRE, ACQUIRE, ACQUIRE, ACQUIRE, ACQUIRE,
         ACQUIRE, ACQUIRE, RELEASE, RELEASE, RELEASE, RELEASE, RELEASE, RELEASE, RELEASE, RELEASE},
        {READ, READ, READ, READ, READ, READ, READ, WRITE, WRITE, WRITE, WRITE, WRITE, RW_UNLOCK,
         RW_UNLOCK, RW_UNLOCK, RW_UNLOCK, RW_UNLOCK, RW_UNLOCK, RW_UNLOCK, RW_UNLOCK},
        {LOCK, LOCK, LOCK, LOCK, LOCK, COND_WAIT, COND_WAIT, COND_WAIT, COND_WAIT, COND_WAIT,
         COND_WAIT, COND_WAIT, SIGNAL, SIGNAL, SIGNAL, SIGNAL, SIGNAL, SIGNAL, UNLOCK, UNLOCK},
        {ARRIVE, ARRIVE, ARRIVE, ARRIVE, ARRIVE, ARRIVE, ARRIVE, ARRIVE, ARRIVE, ARRIVE, ARRIVE,
         ARRIVE, ARRIVE, ARRIVE, ARRIVE, ARRIVE, ARRIVE, ARRIVE, ARRIVE, ARRIVE},
        {ADD, ADD, ADD, ADD, ADD, ADD, DONE, DONE, DONE, DONE, DONE, DONE, GROUP_WAIT, GROUP_WAIT,
         GROUP_WAIT, GROUP_WAIT, GROUP_WAIT, GROUP_WAIT, GROUP_WAIT, GROUP_WAIT},
        {ONCE_CALL, ONCE_CALL, ONCE_CALL, ONCE_CALL, ONCE_CALL, ONCE_CALL, ONCE_CALL, ONCE_CALL,
         ONCE_CALL, ONCE_CALL, ONCE_CALL, ONCE_CALL, ONCE_CALL, ONCE_CALL, ONCE_CALL, ONCE_CALL,
         ONCE_CALL, ONCE_CALL, ONCE_CALL, ONCE_CALL},
    };
    return KIND[object][draw(state, 20)];
}

/* A select of things that the program has; it often names one twice. */
static inline bool draw_select(uint64_t *state, unsigned objects, struct op *op)
{
    if (!(objects & SELECTABLES))
        return false;
    op->kind = SELECT;
    op->count = (uint8_t)(draw(state, 12) ? 2 + draw(state, 2) : 1);
    op->fair = draw(state, 4) == 0;
    for (int i = 0; i < op->count; i++) {
        struct one *one = &op->one[i];
        do {
            one->object = draw_object(state, objects & SELECTABLES);
            one->thing = draw_kind_of(state, one->object);
        } while (one->thing >= SELECTABLE);
    }
    return true;
}

static inline uint8_t draw_n(uint64_t *state, uint8_t kind)
{
    switch (kind) {
    case WAKE: case SIGNAL: return (uint8_t)(draw(state, 4) ? draw(state, 3) : ALL);
    case RELEASE: case ADD: return (uint8_t)(draw(state, 4) ? 1 : draw(state, 4));
    default: return (uint8_t)draw(state, 8);
    }
}

static inline struct op draw_op(uint64_t *state, const struct profile *profile, unsigned objects,
                                const struct program *program)
{
    struct op op = {.until = draw_until(state), .who = (uint8_t)draw(state, 4)};
    uint32_t what = draw(state, 100);
    op.who = (uint8_t)(op.who % program->count);
    if (what < 8 || (what < 18 && profile->selects == 100)) {
        op.kind = CANCEL;
    } else if (what < 12) {
        op.kind = YIELD;
    } else if (what < 18) {
        op.kind = SLEEP;
        op.until = (uint8_t)(1 + draw(state, INSTANTS));
    } else if ((int)draw(state, 100) >= profile->selects || !draw_select(state, objects, &op)) {
        op.one[0].object = draw_object(state, objects);
        op.kind = op.one[0].thing = draw_kind_of(state, op.one[0].object);
        op.count = 1;
        op.n = draw_n(state, op.kind);
    }
    return op;
}

/* What the driver may do: what never parks or is tried once, and is not for the holder alone. */
static inline bool may_drive(struct op *op)
{
    op->until = AT_MOST_NOW;
    switch (op->kind) {
    case SEND: case RECV: case WAIT: case TAKE: case ACQUIRE: return true;
    case UNLOCK: case RW_UNLOCK: return false;
    default: return op->kind >= PUT_BACK;
    }
}

static inline void draw_driver(uint64_t *state, const struct profile *profile, unsigned objects,
                               struct program *program)
{
    program->ops[DRIVER] = (uint8_t)draw(state, DRIVER_OPS + 1);
    for (int i = 0, at = 0; i < program->ops[DRIVER]; i++) {
        struct op *op = &program->op[DRIVER][i];
        at += 1 + (int)draw(state, 8);
        program->at[i] = (uint8_t)at;
        do
            *op = draw_op(state, profile, objects, program);
        while (!may_drive(op));
    }
}

static inline struct program draw_program(uint64_t number, const struct profile *profile)
{
    static const uint8_t SIZE[] = {8, 8, 8, 3, 3, 24, 24, 0};
    uint64_t state = number * 0x2545f4914f6cdd1du;
    struct program program = {.number = number};
    unsigned objects = draw_objects(&state, profile->objects);
    program.count = 2 + (int)draw(&state, FIBERS - 1);
    for (int c = 0; c < CHANS; c++) {
        program.size[c] = SIZE[draw(&state, sizeof SIZE)];
        program.capacity[c] = (uint8_t)draw(&state, 3);
    }
    for (int f = 0; f < program.count; f++) {
        program.ops[f] = (uint8_t)(2 + draw(&state, OPS - 1));
        for (int i = 0; i < program.ops[f]; i++)
            program.op[f][i] = draw_op(&state, profile, objects, &program);
    }
    program.parties = (uint8_t)(1 + (draw(&state, 8) > 0) + (draw(&state, 2) > 0));
    draw_driver(&state, profile, objects, &program);
    return program;
}
/* The number of an item: every case of every operation that sends has one of its own. */
static inline int item_of(int f, int i, int which)
{
    return 1 + (f * OPS + i) * CASES + which;
}

/* The result of a function that is called once. */
static inline int once_result(int f, const struct op *op)
{
    return op->n & FAILS ? -300 - f : 10 + f;
}

static inline int once_sleep(const struct op *op)
{
    return op->n & LONGER ? 2 : 1;
}

enum { ITEMS = 1 + (FIBERS + 1) * OPS * CASES };

/* ---- printing */

static inline const char *kind_name(int kind)
{
    static const char *const NAMES[] = {
        "send", "recv", "wait", "take", "queue_wait", "lock", "acquire", "read", "write",
        "cond_wait", "barrier_wait", "group_wait", "once_call", "select", "yield", "sleep",
        "put_back", "close", "set", "reset", "wake", "queue_end", "unlock", "release",
        "rw_unlock", "cond_wake", "add", "done", "cancel", "end", "turn", "standstill"};
    return NAMES[kind];
}

static inline void print_op(const struct program *program, int f, int i)
{
    const struct op *op = &program->op[f][i];
    fprintf(stderr, "    %s", kind_name(op->kind));
    for (int j = 0; j < op->count && op->kind <= SELECT; j++) {
        if (op->kind == SELECT)
            fprintf(stderr, "%s %s", j ? "," : "", kind_name(op->one[j].thing));
        if (op->one[j].object < CHANS)
            fprintf(stderr, " chan %d", op->one[j].object);
        if (op->one[j].thing == SEND)
            fprintf(stderr, " item %d", item_of(f, i, j));
    }
    if (op->kind == SELECT && op->fair)
        fprintf(stderr, " COIR_FAIR");
    if (op->kind == CLOSE || op->kind == PUT_BACK)
        fprintf(stderr, " chan %d", op->one[0].object);
    if (op->kind == WAKE || op->kind == RELEASE || op->kind == SIGNAL || op->kind == ADD)
        fprintf(stderr, " %d", op->n);
    if (op->kind == ONCE_CALL && op->n & SLEEPS)
        fprintf(stderr, " that sleeps for %d", once_sleep(op));
    if (op->kind == ONCE_CALL && op->n & FAILS)
        fprintf(stderr, " that fails");
    if (op->kind == CANCEL)
        fprintf(stderr, " fiber %d", op->who);
    if (op->kind == SLEEP)
        fprintf(stderr, " for %d", op->until);
    else if (op->kind <= SELECT && op->until == AT_MOST_NOW)
        fprintf(stderr, " once");
    else if (op->kind <= SELECT && op->until != NEVER)
        fprintf(stderr, " until %d", op->until);
    fputc('\n', stderr);
}

static inline void print_program(const struct program *program)
{
    fprintf(stderr, "program %llu: parties %d;", (unsigned long long)program->number,
            program->parties);
    for (int c = 0; c < CHANS; c++)
        fprintf(stderr, " chan %d of %d items of %d bytes;", c, program->capacity[c],
                program->size[c]);
    fputc('\n', stderr);
    for (int f = 0; f <= FIBERS; f++) {
        if (program->ops[f] > 0)
            fprintf(stderr, f == DRIVER ? "  driver\n" : "  fiber %d\n", f);
        for (int i = 0; i < program->ops[f]; i++) {
            if (f == DRIVER)
                fprintf(stderr, "    before turn %d:", program->at[i]);
            print_op(program, f, i);
        }
    }
}

#endif
