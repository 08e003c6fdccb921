/* Runs a program (sync_program.h) in the library with the choices of who is next that the model
 * made, and compares what happens line by line with what the model says. */
#ifndef TEST_SYNC_REAL_H
#define TEST_SYNC_REAL_H

#include "inside.h"
#include "sync_model_run.h"
#include "clock.h"
#include "test.h"

#include <coir_chan.h>
#include <coir_select.h>
#include <coir_sync.h>

enum { STACK = 16 * 1024, ROOM = 32 };

static struct real {
    const struct program *program;
    const struct model *model;
    coir_sched *sched;
    struct cr_fiber *record[FIBERS];
    coir_fiber handle[FIBERS];
    coir_chan chan[CHANS];
    coir_event event;
    coir_queue queue;
    coir_mutex mutex;
    coir_sem sem;
    coir_rwlock rwlock;
    coir_cond cond;
    coir_barrier barrier;
    coir_wait_group group;
    coir_once once;
    int under_way;
    bool ended[FIBERS], holds[FIBERS], writes[FIBERS];
    int reads[FIBERS];
    bool has[FIBERS + 1];         /* an item in its hand */
    uint8_t hand_chan[FIBERS + 1];
    char hand[FIBERS + 1][ROOM];
    uint64_t base, first;
    int at;               /* lines that were compared */
    int dropped;          /* items of a channel that is freed */
    int8_t places[ITEMS]; /* how often an item was sent or put back, less how often received */
    uint8_t latest[FIBERS + 1][FIBERS + 1][CHANS]; /* item, by receiver, sender, channel */
    bool puts_back;
} real;

/* Where the worker is, for when it dies: in memory that is shared with it. */
static struct progress {
    uint64_t number, schedules;
    uint8_t choice[CHOICES];
    int at; /* the line that it has come to, */
    struct line instead; /* and what has happened there */
    char why[80];
    uint64_t ends[3][THINGS][HOWS][2]; /* calls, selects of two and three; 1: with an error */
    uint64_t rare[RARE], driven, standstills;
} *progress;

__attribute__((noreturn)) static void real_wrong(const char *why)
{
    snprintf(progress->why, sizeof progress->why, "%s", why);
    _exit(1);
}

/* ---- what is compared, and what of it is counted */

static void real_count(const struct line *line)
{
    const struct op *op = &real.program->op[line->fiber][line->op];
    int form = op->count == 1 ? 0 : op->count - 1;
    bool fails = line->how <= WOKEN && (line->result < 0 || line->extra < 0);
    progress->driven += line->fiber == DRIVER;
    if (line->kind > SELECT)
        return;
    if (line->won < CASES) {
        progress->ends[form][op->one[line->won].thing][line->how][fails]++;
        return;
    }
    for (int i = 0; i < op->count; i++)
        progress->ends[form][op->one[i].thing][line->how][0]++;
}

static void real_line(int kind, int f, int op, int result, int value, int extra)
{
    struct line line = {.kind = (uint8_t)kind, .fiber = (uint8_t)f, .op = (uint8_t)op,
                        .time = (uint8_t)(now_ns() - real.base),
                        .result = result, .value = value, .extra = extra};
    const struct line *want = &real.model->line[real.at];
    progress->at = real.at;
    if (real.at == real.model->lines || line.kind != want->kind || line.fiber != want->fiber ||
        line.op != want->op || line.time != want->time || result != want->result ||
        value != want->value || extra != want->extra) {
        progress->instead = line;
        real_wrong("not what the model says");
    }
    real.at++;
    if (kind < END)
        real_count(want);
    progress->standstills += kind == STANDSTILL;
}

/* ---- items */

static char item_bytes[ITEMS][ROOM], no_item[ROOM];

static void item_init(void)
{
    memset(no_item, 0x77, sizeof no_item);
    for (int item = 0; item < ITEMS; item++)
        for (int i = 0; i < ROOM; i++)
            item_bytes[item][i] = (char)(i ? item * 37 + i * 11 : item);
}

/* Which item lies in a buffer of no_item; 0 for one of no size. */
static int item_read(const char *buf, int c)
{
    size_t size = real.program->size[c];
    int item = size ? (unsigned char)buf[0] : 0;
    if (item >= ITEMS || (size && item == 0) || memcmp(buf, item_bytes[item], size) != 0)
        real_wrong("a receiver has something that nobody sent");
    if (memcmp(buf + size, no_item, ROOM - size) != 0)
        real_wrong("a receive wrote past the end of the item");
    return item;
}

/* An item has come to a receiver. */
static int item_take(int f, int c, const char *buf)
{
    int item = item_read(buf, c);
    memcpy(real.hand[f], buf, ROOM);
    real.has[f] = true;
    real.hand_chan[f] = (uint8_t)c;
    if (item == 0)
        return 0;
    real.places[item]--;
    int sender = (item - 1) / CASES / OPS;
    if (!real.puts_back && real.latest[f][sender][c] > item)
        real_wrong("a receiver got the items of one sender in another order");
    real.latest[f][sender][c] = (uint8_t)item;
    return item;
}

/* ---- operations */

static coir_time real_until(int until)
{
    if (until == AT_MOST_NOW)
        return COIR_TRY;
    return until == NEVER ? COIR_NEVER : at_ns(real.base + (uint64_t)until);
}

static coir_case real_case(struct one one, int item, char *buf)
{
    switch (one.thing) {
    case SEND: return coir_case_send(&real.chan[one.object], item_bytes[item]);
    case RECV: return coir_case_recv(&real.chan[one.object], buf);
    case WAIT: return coir_case_wait(&real.event);
    case TAKE: return coir_case_take(&real.event);
    case QUEUE: return coir_case_queue(&real.queue);
    case LOCK: return coir_case_lock(&real.mutex);
    default: return coir_case_acquire(&real.sem);
    }
}

/* What is to be done once: it may sleep, and may fail. */
static int real_once(void *arg)
{
    int f = *(int *)arg;
    const struct op *op = &real.program->op[f][((int *)arg)[1]];
    int result = op->n & SLEEPS ? coir_sleep(once_sleep(op)) : 0;
    return result < 0 ? result : once_result(f, op);
}

static int real_call(int f, int i, char *buf, coir_time until)
{
    struct one one = real.program->op[f][i].one[0];
    int item = item_of(f, i, 0);
    switch (one.thing) {
    case SEND: return coir_chan_send(&real.chan[one.object], item_bytes[item], until);
    case RECV: return coir_chan_recv(&real.chan[one.object], buf, until);
    case WAIT: return coir_event_wait(&real.event, until);
    case TAKE: return coir_event_take(&real.event, until);
    case QUEUE: return coir_queue_wait(&real.queue, until);
    case LOCK: return coir_mutex_lock(&real.mutex, until);
    case ACQUIRE: return coir_sem_acquire(&real.sem, until);
    case READ: return coir_rwlock_read(&real.rwlock, until);
    case WRITE: return coir_rwlock_write(&real.rwlock, until);
    case COND_WAIT:
        return real.holds[f] ? coir_cond_wait(&real.cond, &real.mutex, until) : SKIPPED;
    case ARRIVE: return coir_barrier_wait(&real.barrier, real.program->parties, until);
    case GROUP_WAIT: return coir_wait_group_wait(&real.group, until);
    default: return coir_once_call(&real.once, real_once, (int[]){f, i}, until);
    }
}

/* What a fiber has after a call that succeeded. */
static int real_got(int f, struct one one, int item, const char *buf)
{
    switch (one.thing) {
    case SEND: real.places[item] += real.program->size[one.object] > 0; return 0;
    case RECV: return item_take(f, one.object, buf);
    case LOCK: real.holds[f] = true; return 0;
    case READ: real.reads[f]++; return 0;
    case WRITE: real.writes[f] = true; return 0;
    default: return 0;
    }
}

/* A call, or a select: either way the case that it ends with, if any, and that one's result. */
static void real_wait(int f, int i, const struct op *op)
{
    char buf[CASES][ROOM];
    coir_case cases[CASES];
    int value = 0, extra = 0, result, won = 0;
    for (int j = 0; j < op->count; j++)
        memcpy(buf[j], no_item, ROOM);
    if (op->kind == SELECT) {
        for (int j = 0; j < op->count; j++)
            cases[j] = real_case(op->one[j], item_of(f, i, j), buf[j]);
        won = result = coir_select(cases, op->count, op->fair ? COIR_FAIR : 0,
                                   real_until(op->until));
        extra = result >= 0 && result < op->count ? cases[result].result : 0;
    } else {
        result = real_call(f, i, buf[0], real_until(op->until));
    }
    bool ok = result >= 0 && extra == 0 && won < op->count;
    if (ok)
        value = real_got(f, op->one[won], item_of(f, i, won), buf[won]);
    for (int j = 0; j < op->count; j++)
        if (!(ok && j == won) && memcmp(buf[j], no_item, ROOM) != 0)
            real_wrong("a receive that has not succeeded has written an item");
    real_line(op->kind, f, i, result, value, extra);
}

static int real_put_back(int f)
{
    if (!real.has[f])
        return SKIPPED;
    int item = item_read(real.hand[f], real.hand_chan[f]);
    real.places[item] += item > 0;
    real.has[f] = false;
    return coir_chan_put_back(&real.chan[real.hand_chan[f]], real.hand[f]);
}

static int real_unlock(int f)
{
    if (f == DRIVER || !real.holds[f])
        return SKIPPED;
    real.holds[f] = false;
    coir_mutex_unlock(&real.mutex);
    return 0;
}

static int real_rw_unlock(int f)
{
    if (f == DRIVER || (!real.writes[f] && real.reads[f] == 0))
        return SKIPPED;
    real.reads[f] -= !real.writes[f];
    real.writes[f] = false;
    coir_rwlock_unlock(&real.rwlock);
    return 0;
}

static int real_done(void)
{
    if (real.under_way == 0)
        return SKIPPED;
    real.under_way--;
    coir_wait_group_done(&real.group);
    return 0;
}

static int real_add(int n)
{
    real.under_way += n;
    coir_wait_group_add(&real.group, (size_t)n);
    return 0;
}

static int real_do(int f, const struct op *op)
{
    switch (op->kind) {
    case YIELD: return coir_yield();
    case SLEEP: return coir_sleep(op->until);
    case PUT_BACK: return real_put_back(f);
    case CLOSE: return coir_chan_close(&real.chan[op->one[0].object]);
    case SET: coir_event_set(&real.event); return 0;
    case RESET: coir_event_reset(&real.event); return 0;
    case WAKE: return (int)coir_queue_wake(&real.queue, op->n == ALL ? SIZE_MAX : op->n);
    case QUEUE_END: coir_queue_end(&real.queue); return 0;
    case UNLOCK: return real_unlock(f);
    case RELEASE: coir_sem_release(&real.sem, op->n); return 0;
    case RW_UNLOCK: return real_rw_unlock(f);
    case SIGNAL: return (int)coir_cond_wake(&real.cond, op->n == ALL ? SIZE_MAX : op->n);
    case ADD: return real_add(op->n);
    case DONE: return real_done();
    default: return coir_cancel(real.handle[op->who], 0);
    }
}

static void real_op(int f, int i)
{
    const struct op *op = &real.program->op[f][i];
    if (op->kind <= SELECT) {
        real_wait(f, i, op);
    } else {
        int result = real_do(f, op);
        real_line(op->kind, f, i, result, 0, 0);
    }
}

static int real_main(void *arg)
{
    int f = (int)((coir_fiber *)arg - real.handle);
    for (int i = 0; i < real.program->ops[f]; i++)
        real_op(f, i);
    if (real.holds[f])
        real_unlock(f);
    while (real.writes[f] || real.reads[f] > 0)
        real_rw_unlock(f);
    real_line(END, f, real.program->ops[f], 0, 0, 0);
    real.ended[f] = true;
    return 0;
}

/* ---- turns */

static int real_index(const struct cr_fiber *fiber)
{
    return (int)(cr_fiber_number(fiber) - real.first);
}

static struct cr_fiber **real_pick(struct coir_sched *sched)
{
    struct cr_fiber **link = &sched->ready;
    int wanted = real.model->line[real.at].fiber, queue = 0, i = 0;
    for (struct cr_fiber *fiber = sched->ready; fiber; fiber = fiber->next, i++) {
        queue |= (real_index(fiber) + 1) << 3 * i;
        real.record[real_index(fiber)] = fiber;
    }
    while (*link && real_index(*link) != wanted)
        link = &(*link)->next;
    if (!*link)
        link = &sched->ready;
    int look = (int)(coir_chan_length(&real.chan[0]) | coir_chan_length(&real.chan[1]) << 6) |
               coir_event_is_set(&real.event) << 12 | (int)coir_sem_count(&real.sem) << 13;
    for (int f = 0; f < real.program->count; f++)
        if (!real.ended[f])
            look |= (real.record[f]->wait != NULL) << (21 + f) |
                    (real.record[f]->timer.deadline_ns != UINT64_MAX) << (25 + f);
    real_line(TURN, real_index(*link), 0, 0, look, queue);
    return link;
}

static void real_make(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL, .stack_size = STACK};
    CHECK_EQ(coir_sched_new(&real.sched, &opts), 0);
    real.sched->pick = real_pick;
    item_init();
}

static void real_begin(const struct program *program, const struct model *model)
{
    coir_sched *sched = real.sched;
    memset(&real, 0, sizeof real);
    real.program = program;
    real.model = model;
    real.sched = sched;
    sched->fair = 0; /* as the model begins */
    real.base = now_ns();
    real.first = sched->spawned;
    for (int f = 0; f <= FIBERS; f++)
        for (int i = 0; i < program->ops[f]; i++)
            real.puts_back |= program->op[f][i].kind == PUT_BACK;
    for (int c = 0; c < CHANS; c++) {
        CHECK_EQ(coir_chan_open(&real.chan[c], program->size[c], program->capacity[c]), 0);
        CHECK_EQ(coir_chan_capacity(&real.chan[c]), program->capacity[c]);
    }
    for (int f = 0; f < program->count; f++)
        CHECK_EQ(coir_spawn(&real.handle[f], real_main, &real.handle[f], NULL), 0);
}

/* What still lies in a channel when it is freed is what the model says, in order. */
static void real_drop(void *item, void *arg)
{
    char buf[ROOM];
    const struct model_chan *chan = &real.model->chan[*(int *)arg];
    memcpy(buf, no_item, ROOM);
    memcpy(buf, item, real.program->size[*(int *)arg]);
    int got = item_read(buf, *(int *)arg);
    if (real.dropped == chan->count ||
        got != model_shown(real.model, *(int *)arg, chan->item[real.dropped]))
        real_wrong("a channel that is freed has other items in it");
    real.dropped++;
    real.places[got]--;
}

static void real_end(void)
{
    struct coir_sched *sched = real.sched;
    if (real.at != real.model->lines)
        real_wrong("it ended too early");
    for (int c = 0; c < CHANS; c++) {
        real.dropped = 0;
        coir_chan_free(&real.chan[c], real_drop, &c);
        if (real.dropped != real.model->chan[c].count)
            real_wrong("a channel that is freed lacks items");
    }
    for (int item = 1; item < ITEMS; item++)
        if (real.places[item] != 0)
            real_wrong("an item was lost or doubled");
    CHECK(sched->live == 0 && !sched->ready && sched->ready_end == &sched->ready);
    CHECK(!cr_timer_any(&sched->timers) && !cr_sched_self);
    for (int f = 0; f < real.program->count; f++)
        CHECK_EQ(coir_join(real.handle[f], NULL, COIR_TRY), 0);
    for (int i = 0; i < RARE; i++)
        progress->rare[i] += (uint64_t)real.model->rare[i];
}

/* Runs the program as the model did. */
static void real_run(const struct program *program, const struct model *model)
{
    if (!real.sched)
        real_make();
    real_begin(program, model);
    for (int turn = 1, driven = 0; real.sched->live > 0; turn++) {
        for (; driven < program->ops[DRIVER] && program->at[driven] <= turn; driven++)
            real_op(DRIVER, driven);
        if (real.sched->ready || cr_timer_any(&real.sched->timers)) {
            CHECK(coir_sched_step(real.sched, 1) >= 0);
            continue;
        }
        real_line(STANDSTILL, 0, 0, 0, 0, 0);
        for (int f = 0; f < program->count; f++)
            if (!real.ended[f])
                CHECK_EQ(coir_cancel(real.handle[f], 0), 0);
    }
    real_end();
}

#endif
