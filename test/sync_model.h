/* What coir_chan.h, coir_sync.h and coir_select.h say, as a plain simulation: short arrays, first
 * in, first out. It runs a program (sync_program.h) with given choices of who is next, and tells
 * line by line what happens: who is ready in which order at each turn, and each call's result.
 *
 * What the headers leave open it takes as the library does it. A blocking call that need not wait
 * lets the others run, as does one try in vain, and once more a call that was waiting for another's
 * coir_once_call. Of one fiber that waits for both ends of a channel, a close ends the case that
 * receives. Of a thing that a select names twice, the first case ends, whatever the order. Those
 * that wait for a read-write lock behind one who gives up are let in when that one runs. All that
 * meet at a barrier name the same number. */
#ifndef TEST_SYNC_MODEL_H
#define TEST_SYNC_MODEL_H

#include "sync_program.h"

#include <coir.h>
#include <errno.h>

enum { CHOICES = 64, LINES = 192, WAITERS = FIBERS * CASES, HELD = ITEMS, NO_TIME = 255 };
enum { OUT_OF_TIME = COIR_TIMED_OUT, CANCELLED = COIR_CANCELLED, SKIPPED = -9999, MUST_WAIT = 1000,
       LAST_TO_COME = 1 };

/* Where fibers wait: one list for each object, two for a channel. */
enum { SENDERS, RECEIVERS = SENDERS + CHANS, AT_EVENT = RECEIVERS + CHANS, AT_QUEUE, AT_MUTEX,
       AT_SEM, AT_RWLOCK, AT_COND, AT_BARRIER, AT_GROUP, AT_CALL, LISTS };

enum state { ABSENT, READY, PARKED, ENDED };

/* Where a fiber is in a call that has more than one step: a wait for a condition locks its mutex
 * again; a function that is called once is called by who was woken to, has slept, or has
 * succeeded. */
enum stage { NO_STAGE, LOCKS_AGAIN, CALLS_NEXT, HAS_SLEPT };

/* How a call came to its end. */
enum how { NO_CALL, AT_ONCE, WOKEN, EXPIRED, TRIED, CUT, REFUSED, CUT_AFTER_TRY, HOWS };

/* Rare things that a test must have seen. */
enum rare { LATE_CANCEL, PASSED_OVER, TWICE, BOTH_ENDS, PUT_TO_RECEIVER, PUT_INTO_FULL,
            PUT_INTO_CLOSED, CLOSE_OF_BOTH, LET_IN_BEHIND, RELOCK, RARE };

/* What is said of each moment: `queue` is who is ready, its first in the lowest digit (+ 1) of base
 * 8; `look` the objects: two lengths, the event, the permits; who is parked, and has a deadline. */
struct line {
    uint8_t kind, fiber, op, time;
    uint8_t how, won; /* not compared; won: the case of a select, or none */
    int result;       /* of the call */
    int value;        /* the item received; of a turn `look` */
    int extra;        /* the result of the case; of a turn `queue` */
};

struct waiter {
    uint8_t fiber, thing, which; /* which: of the cases of its select */
    uint8_t item;
};

struct model_fiber {
    uint8_t state, op, how, won, stage, entered; /* entered: how it came to call the function */
    bool over, cancelled; /* over: its call has an outcome */
    uint8_t until;
    int order;            /* when its deadline was armed */
    int outcome, value, extra;
    unsigned left;        /* lists that it was taken off without being served, until it runs */
    uint8_t hand, hand_chan; /* an item that it has received */
    uint8_t reads;
};

struct model_chan {
    uint8_t item[HELD], count, capacity;
    bool closed;
};

struct model {
    const struct program *program;
    struct model_fiber fiber[FIBERS + 1];
    struct model_chan chan[CHANS];
    struct waiter list[LISTS][WAITERS];
    uint8_t waits[LISTS]; /* how many */
    bool set, queue_ended;
    int holder, writer, readers, permits; /* holder, writer: a fiber, or -1 */
    int under_way;                        /* of the wait group */
    int runner, once_result;              /* runner: a fiber, or -1 */
    bool once_done;
    int queue[FIBERS], ready, now, orders, live, turns, driven;
    unsigned fair;
    int choices;
    uint8_t choice[CHOICES], ways[CHOICES]; /* what was chosen, of how many */
    int rare[RARE];
    int lines;
    struct line line[LINES];
};

static const struct op *model_op(const struct model *m, int f)
{
    return &m->program->op[f][m->fiber[f].op];
}

static struct line *model_line(struct model *m, int kind, int f)
{
    struct line *line = &m->line[m->lines < LINES - 1 ? m->lines++ : LINES - 1];
    *line = (struct line){.kind = (uint8_t)kind, .fiber = (uint8_t)f, .time = (uint8_t)m->now};
    line->op = f <= DRIVER ? m->fiber[f].op : 0;
    return line;
}

static int list_of(int thing, int object)
{
    switch (thing) {
    case SEND: return SENDERS + object;
    case RECV: return RECEIVERS + object;
    case WAIT: case TAKE: return AT_EVENT;
    case QUEUE: return AT_QUEUE;
    case LOCK: return AT_MUTEX;
    case ACQUIRE: return AT_SEM;
    case READ: case WRITE: return AT_RWLOCK;
    case COND_WAIT: return AT_COND;
    case ARRIVE: return AT_BARRIER;
    case GROUP_WAIT: return AT_GROUP;
    default: return AT_CALL;
    }
}

/* ---- ready and parked */

static void model_ready(struct model *m, int f)
{
    m->fiber[f].state = READY;
    m->fiber[f].until = NO_TIME;
    m->queue[m->ready++] = f;
}

/* Takes a fiber off all lists. Returns which. */
static unsigned model_leave(struct model *m, int f)
{
    const struct op *op = model_op(m, f);
    unsigned lists = m->fiber[f].stage == LOCKS_AGAIN ? 1u << AT_MUTEX : 0;
    for (int i = 0; i < op->count && op->kind <= SELECT; i++)
        lists |= 1u << list_of(op->one[i].thing, op->one[i].object);
    for (int l = 0; l < LISTS; l++) {
        int kept = 0;
        if (!(lists & 1u << l))
            continue;
        for (int i = 0; i < m->waits[l]; i++)
            if (m->list[l][i].fiber != f)
                m->list[l][kept++] = m->list[l][i];
        m->waits[l] = (uint8_t)kept;
    }
    return lists;
}

static int model_let_in(struct model *m);

/* Ends the wait of a parked fiber, before anything was given to it. */
static void model_end_wait(struct model *m, int f, int result, enum how how)
{
    struct model_fiber *fiber = &m->fiber[f];
    fiber->left = model_leave(m, f);
    fiber->outcome = result;
    fiber->how = how;
    fiber->over = true;
    model_ready(m, f);
    if (fiber->left >> AT_RWLOCK & 1)
        m->rare[LET_IN_BEHIND] += model_let_in(m);
}

/* What is worth counting of a wait that ends well. */
static void model_note_serve(struct model *m, const struct waiter *served, int list)
{
    const struct op *op = model_op(m, served->fiber);
    unsigned lists = 0, twice = 0;
    for (int i = 0; i < op->count && op->kind == SELECT; i++) {
        unsigned bit = 1u << list_of(op->one[i].thing, op->one[i].object);
        twice |= lists & bit;
        lists |= bit;
    }
    m->rare[TWICE] += twice >> list & 1;
    m->rare[BOTH_ENDS] += list < AT_EVENT && (lists >> SENDERS & lists >> RECEIVERS & 3) != 0;
    for (int f = 0; f < FIBERS; f++)
        m->rare[PASSED_OVER] += m->fiber[f].state == READY && m->fiber[f].left >> list & 1;
}

/* Gives the first of a list what it waits for; false if nobody waits. */
static bool model_serve(struct model *m, int list, int result, int value)
{
    if (m->waits[list] == 0)
        return false;
    struct waiter first = m->list[list][0];
    struct model_fiber *fiber = &m->fiber[first.fiber];
    bool selects = model_op(m, first.fiber)->kind == SELECT;
    model_note_serve(m, &first, list);
    model_leave(m, first.fiber);
    if (fiber->stage == LOCKS_AGAIN) {
        model_ready(m, first.fiber);
        return true;
    }
    fiber->how = WOKEN;
    fiber->won = first.which;
    fiber->outcome = selects ? first.which : result;
    fiber->extra = selects ? result : 0;
    fiber->value = value;
    fiber->over = true;
    model_ready(m, first.fiber);
    return true;
}

/* ---- what takes effect */

static int model_shown(const struct model *m, int c, int item)
{
    return m->program->size[c] ? item : 0;
}

static int model_send(struct model *m, int c, int item)
{
    struct model_chan *chan = &m->chan[c];
    if (model_serve(m, RECEIVERS + c, 0, item))
        return 0;
    if (chan->closed)
        return -EPIPE;
    if (chan->count >= chan->capacity)
        return MUST_WAIT;
    chan->item[chan->count++] = (uint8_t)item;
    return 0;
}

static int model_recv(struct model *m, int c, int *item)
{
    struct model_chan *chan = &m->chan[c];
    const struct waiter *sender = m->list[SENDERS + c];
    if (chan->count > 0) {
        *item = chan->item[0];
        memmove(chan->item, chan->item + 1, --chan->count);
        while (chan->count < chan->capacity && m->waits[SENDERS + c] > 0) {
            chan->item[chan->count++] = sender->item;
            model_serve(m, SENDERS + c, 0, 0);
        }
        return 0;
    }
    if (m->waits[SENDERS + c] == 0)
        return chan->closed ? -EPIPE : MUST_WAIT;
    *item = sender->item;
    model_serve(m, SENDERS + c, 0, 0);
    return 0;
}

static void model_put_back(struct model *m, int c, int item)
{
    struct model_chan *chan = &m->chan[c];
    if (model_serve(m, RECEIVERS + c, 0, item)) {
        m->rare[PUT_TO_RECEIVER]++;
        return;
    }
    m->rare[PUT_INTO_FULL] += chan->count >= chan->capacity;
    m->rare[PUT_INTO_CLOSED] += chan->closed;
    memmove(chan->item + 1, chan->item, chan->count++);
    chan->item[0] = (uint8_t)item;
}

static int model_close(struct model *m, int c)
{
    if (m->chan[c].closed)
        return -EPIPE;
    m->chan[c].closed = true;
    m->rare[CLOSE_OF_BOTH] += m->waits[RECEIVERS + c] > 0 && m->waits[SENDERS + c] > 0;
    while (model_serve(m, RECEIVERS + c, -EPIPE, 0))
        continue;
    while (model_serve(m, SENDERS + c, -EPIPE, 0))
        continue;
    return 0;
}

static void model_set(struct model *m)
{
    m->set = true;
    while (m->set && m->waits[AT_EVENT] > 0) {
        m->set = m->list[AT_EVENT][0].thing == WAIT;
        model_serve(m, AT_EVENT, 0, 0);
    }
}

static int model_wake(struct model *m, int list, int count)
{
    int woken = 0;
    while ((count == ALL || woken < count) && model_serve(m, list, 0, 0))
        woken++;
    return woken;
}

static void model_unlock(struct model *m)
{
    m->holder = m->waits[AT_MUTEX] > 0 ? m->list[AT_MUTEX][0].fiber : -1;
    model_serve(m, AT_MUTEX, 0, 0);
}

static void model_release(struct model *m, int count)
{
    for (m->permits += count; m->permits > 0 && model_serve(m, AT_SEM, 0, 0);)
        m->permits--;
}

/* Lets in who may come in, from the first on. */
static int model_let_in(struct model *m)
{
    int count = 0;
    for (; m->waits[AT_RWLOCK] > 0 && m->writer < 0; count++) {
        struct waiter first = m->list[AT_RWLOCK][0];
        if (first.thing == WRITE && m->readers > 0)
            break;
        if (first.thing == WRITE)
            m->writer = first.fiber;
        m->readers += first.thing == READ;
        m->fiber[first.fiber].reads += first.thing == READ;
        model_serve(m, AT_RWLOCK, 0, 0);
    }
    return count;
}

static int model_enter(struct model *m, int f, bool writes)
{
    if (m->writer == f)
        return -EDEADLK;
    if (m->writer >= 0 || m->waits[AT_RWLOCK] > 0 || (writes && m->readers > 0))
        return MUST_WAIT;
    if (writes)
        m->writer = f;
    m->readers += !writes;
    m->fiber[f].reads += !writes;
    return 0;
}

static void model_exit(struct model *m, int f)
{
    if (m->writer == f) {
        m->writer = -1;
    } else {
        m->readers--;
        m->fiber[f].reads--;
    }
    model_let_in(m);
}

/* One try of what can be waited for. */
static int model_try(struct model *m, int f, struct one one, int item, int *value)
{
    switch (one.thing) {
    case SEND: return model_send(m, one.object, item);
    case RECV: return model_recv(m, one.object, value);
    case QUEUE: return m->queue_ended ? -EPIPE : MUST_WAIT;
    case READ: case WRITE: return model_enter(m, f, one.thing == WRITE);
    case WAIT:
        return m->set ? 0 : MUST_WAIT;
    case TAKE:
        if (!m->set)
            return MUST_WAIT;
        m->set = false;
        return 0;
    case LOCK:
        if (m->holder >= 0)
            return m->holder == f ? -EDEADLK : MUST_WAIT;
        m->holder = f;
        return 0;
    case ARRIVE:
        if (m->waits[AT_BARRIER] + 1 < m->program->parties)
            return MUST_WAIT;
        model_wake(m, AT_BARRIER, ALL);
        return LAST_TO_COME;
    case GROUP_WAIT: return m->under_way == 0 ? 0 : MUST_WAIT;
    case ONCE_CALL: return m->once_done ? m->once_result : MUST_WAIT;
    case COND_WAIT: return MUST_WAIT;
    default:
        if (m->permits == 0)
            return MUST_WAIT;
        m->permits--;
        return 0;
    }
}

static int model_cancel(struct model *m, int f)
{
    struct model_fiber *fiber = &m->fiber[f];
    if (fiber->state == ENDED)
        return -ESRCH;
    m->rare[LATE_CANCEL] += !fiber->cancelled && fiber->state == READY && fiber->over &&
                            fiber->how == WOKEN;
    fiber->cancelled = true;
    if (fiber->state == PARKED && fiber->stage != LOCKS_AGAIN)
        model_end_wait(m, f, CANCELLED, CUT);
    return 0;
}

#endif
