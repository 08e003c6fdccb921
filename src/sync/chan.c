/* Channels. An item goes straight from who sends it to who receives it when one of them waits for
 * the other, else through the ring of items.
 *
 * Invariants: while a receiver waits, no item lies in the channel and no sender waits (but a select
 * that waits for both ends of one channel is not its own peer). While a sender waits, the ring is
 * full. Once the channel is closed, nobody waits. */
#include "../../include/coir_chan.h"
#include "../debug/debug.h"
#include "items.h"
#include "select.h"
#include "waiters.h"

#include <string.h>

_Static_assert(sizeof(struct cr_chan) <= sizeof(coir_chan), "opaque");

static const struct cr_wait_kind SEND = {
    .name = "a receiver, or room in a channel",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
};

static const struct cr_wait_kind RECV = {
    .name = "an item of a channel",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
};

CR_INLINE struct cr_chan *chan_of(coir_chan *chan)
{
    return (struct cr_chan *)(void *)chan;
}

/* ---- who may call ---- */

CR_INLINE bool chan_is_here(const struct cr_chan *chan, const char *function, void *caller)
{
    if (CR_LIKELY(cr_sched_here && chan->sched == cr_sched_here))
        return true;
    cr_waiters_not_here(chan->sched, "channel", function, caller);
    return false;
}

/* ---- one try ---- */

/* Gives an item to the receiver that has waited longest. */
static bool chan_hand_over(struct cr_chan *chan, const void *item, const char *function,
                           void *caller)
{
    struct cr_waiter *receiver = cr_waiters_first(&chan->receivers, function, caller);
    if (!receiver)
        return false;
    cr_items_copy(chan, receiver->item, item);
    cr_sched_end(&receiver->wait, 0);
    return true;
}

/* 0: the item is sent; -EPIPE; COIR_TIMED_OUT: it must wait. */
static int chan_try_send(struct cr_chan *chan, const void *item, void *caller)
{
    if (chan_hand_over(chan, item, "coir_chan_send", caller))
        return 0;
    if (chan->count >= chan->limit)
        return chan->closed ? -EPIPE : COIR_TIMED_OUT;
    cr_items_append(chan, item);
    return 0;
}

/* Fills the room that a receiver has made. */
static void chan_refill(struct cr_chan *chan, void *caller)
{
    struct cr_waiter *sender;
    while (chan->count < chan->limit &&
           (sender = cr_waiters_first(&chan->senders, "coir_chan_recv", caller)) != NULL) {
        cr_items_append(chan, sender->item);
        cr_sched_end(&sender->wait, 0);
    }
}

/* 0: an item is received; -EPIPE; COIR_TIMED_OUT: there is none yet. */
static int chan_try_recv(struct cr_chan *chan, void *item, void *caller)
{
    if (chan->count > 0) {
        cr_items_pop(chan, item);
        chan_refill(chan, caller);
        return 0;
    }
    struct cr_waiter *sender = cr_waiters_first(&chan->senders, "coir_chan_recv", caller);
    if (!sender)
        return chan->closed ? -EPIPE : COIR_TIMED_OUT;
    cr_items_copy(chan, item, sender->item);
    cr_sched_end(&sender->wait, 0);
    return 0;
}

/* ---- waiting ---- */

CR_INLINE int chan_park(struct cr_waiters *waiters, void *item,
                        const struct cr_wait_kind *kind, coir_time until,
                        const char *function, void *caller)
{
    struct cr_waiter waiter;
    waiter.item = item;
    cr_waiters_append(waiters, &waiter, function, caller);
    return cr_sched_park_now(cr_sched_self, &waiter.wait, kind, until);
}

static CR_NOINLINE int chan_send_park_until(struct cr_chan *chan, const void *item,
                                            coir_time until, void *caller)
{
    return chan_park(&chan->senders, (void *)(uintptr_t)item, &SEND, until,
                     "coir_chan_send", caller);
}

static CR_NOINLINE int chan_recv_park_until(struct cr_chan *chan, void *item, coir_time until,
                                            void *caller)
{
    return chan_park(&chan->receivers, item, &RECV, until, "coir_chan_recv", caller);
}

static CR_NOINLINE int chan_send_park(struct cr_chan *chan, const void *item, void *caller)
{
    return chan_park(&chan->senders, (void *)(uintptr_t)item, &SEND, COIR_NEVER,
                     "coir_chan_send", caller);
}

static CR_NOINLINE int chan_recv_park(struct cr_chan *chan, void *item, void *caller)
{
    return chan_park(&chan->receivers, item, &RECV, COIR_NEVER, "coir_chan_recv", caller);
}

/* ---- sending and receiving ---- */

/* Any call. */
static CR_NOINLINE int chan_send(struct cr_chan *chan, const void *item, coir_time until,
                                 void *caller)
{
    struct cr_fiber *self = cr_sched_self;
    if (!chan_is_here(chan, "coir_chan_send", caller))
        return -ECHILD;
    if (!self && cr_is_try(until))
        return chan_try_send(chan, item, caller);
    if (!self || self->cancelled)
        return cr_waiters_refuse("coir_chan_send", caller);
    int tried = chan_try_send(chan, item, caller);
    if (tried != COIR_TIMED_OUT) {
        cr_sched_spend(self);
        return tried;
    }
    if (cr_is_try(until))
        return cr_sched_try_once(self);
    return chan_send_park_until(chan, item, until, caller);
}

static CR_NOINLINE int chan_recv(struct cr_chan *chan, void *item, coir_time until, void *caller)
{
    struct cr_fiber *self = cr_sched_self;
    if (!chan_is_here(chan, "coir_chan_recv", caller))
        return -ECHILD;
    if (!self && cr_is_try(until))
        return chan_try_recv(chan, item, caller);
    if (!self || self->cancelled)
        return cr_waiters_refuse("coir_chan_recv", caller);
    int tried = chan_try_recv(chan, item, caller);
    if (tried != COIR_TIMED_OUT) {
        cr_sched_spend(self);
        return tried;
    }
    if (cr_is_try(until))
        return cr_sched_try_once(self);
    return chan_recv_park_until(chan, item, until, caller);
}

/* The commonest calls, without a frame on the stack: an item of 8 bytes that need not wait, and a
 * wait without a deadline. */

CR_INLINE bool chan_is_common(const struct cr_chan *chan, const struct cr_fiber *self)
{
    return CR_LIKELY(self && chan->sched == self->sched && !self->cancelled &&
                     chan->size == sizeof(uint64_t));
}

/* The first waiter of a ring that is not empty, if its fiber waits for nothing else. */
CR_INLINE struct cr_waiter *chan_alone(const struct cr_waiters *waiters)
{
    struct cr_waiter *first = CR_CONTAINER(waiters->ring.next, struct cr_waiter, wait.link);
    return CR_LIKELY(first->wait.fiber->wait == &first->wait) ? first : NULL;
}

CR_INLINE bool chan_send_now(struct cr_chan *chan, struct coir_sched *sched, const void *item)
{
    struct cr_waiter *receiver;
    if (cr_waiters_empty(&chan->receivers)) {
        if (chan->count >= chan->limit)
            return false;
        char *in = chan->in, *next = in + sizeof(uint64_t);
        memcpy(in, item, sizeof(uint64_t));
        chan->in = next == chan->end ? chan->items : next;
        chan->count++;
        return true;
    }
    if ((receiver = chan_alone(&chan->receivers)) == NULL)
        return false;
    memcpy(receiver->item, item, sizeof(uint64_t));
    cr_sched_wake_from(sched, receiver->wait.fiber, &receiver->wait, 0);
    return true;
}

CR_INLINE bool chan_recv_now(struct cr_chan *chan, struct coir_sched *sched, void *item)
{
    struct cr_waiter *sender;
    if (CR_LIKELY(cr_waiters_empty(&chan->senders))) {
        if (chan->count == 0)
            return false;
        char *out = chan->out, *next = out + sizeof(uint64_t);
        memcpy(item, out, sizeof(uint64_t));
        chan->out = next == chan->end ? chan->items : next;
        chan->count--;
        return true;
    }
    if (chan->count > 0 || (sender = chan_alone(&chan->senders)) == NULL)
        return false;
    memcpy(item, sender->item, sizeof(uint64_t));
    cr_sched_wake_from(sched, sender->wait.fiber, &sender->wait, 0);
    return true;
}

int coir_chan_send(coir_chan *handle, const void *item, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_chan *chan = chan_of(handle);
    if (CR_UNLIKELY(!chan_is_common(chan, self)))
        return chan_send(chan, item, until, CR_CALLER);
    if (chan_send_now(chan, chan->sched, item))
        return cr_sched_spend(self);
    if (!cr_waiters_empty(&chan->receivers) || cr_is_try(until) || chan->closed)
        return chan_send(chan, item, until, CR_CALLER);
    return until.ns == COIR_NEVER.ns ? chan_send_park(chan, item, CR_CALLER)
                                     : chan_send_park_until(chan, item, until, CR_CALLER);
}

int coir_chan_recv(coir_chan *handle, void *item, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_chan *chan = chan_of(handle);
    if (CR_UNLIKELY(!chan_is_common(chan, self)))
        return chan_recv(chan, item, until, CR_CALLER);
    if (chan_recv_now(chan, chan->sched, item))
        return cr_sched_spend(self);
    if (!cr_waiters_empty(&chan->senders) || cr_is_try(until) || chan->closed)
        return chan_recv(chan, item, until, CR_CALLER);
    return until.ns == COIR_NEVER.ns ? chan_recv_park(chan, item, CR_CALLER)
                                     : chan_recv_park_until(chan, item, until, CR_CALLER);
}

/* ---- as cases of a select ---- */

static CR_NOINLINE int chan_attempt_any_send(struct cr_chan *chan, const void *item, void *caller)
{
    return chan_is_here(chan, "coir_select", caller) ? chan_try_send(chan, item, caller) : -ECHILD;
}

static int chan_attempt_send(coir_case *it)
{
    struct cr_chan *chan = it->object;
    if (chan->sched == cr_sched_here && chan->size == sizeof(uint64_t) &&
        chan_send_now(chan, chan->sched, it->item))
        return 0;
    return chan_attempt_any_send(chan, it->item, CR_CALLER);
}

static CR_NOINLINE int chan_attempt_any_recv(struct cr_chan *chan, void *item, void *caller)
{
    return chan_is_here(chan, "coir_select", caller) ? chan_try_recv(chan, item, caller) : -ECHILD;
}

static int chan_attempt_recv(coir_case *it)
{
    struct cr_chan *chan = it->object;
    if (chan->sched == cr_sched_here && chan->size == sizeof(uint64_t) &&
        chan_recv_now(chan, chan->sched, it->item))
        return 0;
    return chan_attempt_any_recv(chan, it->item, CR_CALLER);
}

static void chan_hang_send(coir_case *it)
{
    cr_select_hang(it, &((struct cr_chan *)it->object)->senders);
}

static void chan_hang_recv(coir_case *it)
{
    cr_select_hang(it, &((struct cr_chan *)it->object)->receivers);
}

coir_case coir_case_send(coir_chan *chan, const void *item)
{
    static const struct coir_source SENT = {
        "a receiver, or room in a channel", chan_attempt_send, chan_hang_send, cr_select_leave};
    return cr_select_case(&SENT, chan, (void *)(uintptr_t)item);
}

coir_case coir_case_recv(coir_chan *chan, void *item)
{
    static const struct coir_source RECEIVED = {
        "an item of a channel", chan_attempt_recv, chan_hang_recv, cr_select_leave};
    return cr_select_case(&RECEIVED, chan, item);
}

/* ---- what never waits ---- */

int coir_chan_put_back(coir_chan *handle, const void *item)
{
    struct cr_chan *chan = chan_of(handle);
    if (!chan_is_here(chan, "coir_chan_put_back", CR_CALLER))
        return -ECHILD;
    if (chan_hand_over(chan, item, "coir_chan_put_back", CR_CALLER))
        return 0;
    return cr_items_prepend(chan, item);
}

/* ---- from its opening to its end ---- */

int coir_chan_open(coir_chan *handle, size_t size, size_t capacity)
{
    struct cr_chan *chan = chan_of(handle);
    if (!cr_sched_here)
        return cr_sched_none("coir_chan_open", CR_CALLER);
    int result = cr_items_init(chan, size, capacity);
    chan->sched = result == 0 ? cr_sched_here : NULL;
    return result;
}

int coir_chan_close(coir_chan *handle)
{
    struct cr_chan *chan = chan_of(handle);
    if (!chan_is_here(chan, "coir_chan_close", CR_CALLER))
        return -ECHILD;
    if (chan->closed)
        return -EPIPE;
    chan->closed = true;
    chan->limit = 0;
    cr_waiters_wake(&chan->receivers, SIZE_MAX, -EPIPE, "coir_chan_close", CR_CALLER);
    cr_waiters_wake(&chan->senders, SIZE_MAX, -EPIPE, "coir_chan_close", CR_CALLER);
    return 0;
}

void coir_chan_free(coir_chan *handle, void (*drop)(void *item, void *arg), void *arg)
{
    struct cr_chan chan = *chan_of(handle);
    if (!chan.sched || cr_sched_forked)
        return;
    if (cr_waiters_first(&chan_of(handle)->receivers, "coir_chan_free", CR_CALLER) ||
        cr_waiters_first(&chan_of(handle)->senders, "coir_chan_free", CR_CALLER))
        cr_fatal_mistake("coir_chan_free", CR_CALLER, "a fiber waits for the channel");
    *chan_of(handle) = (struct cr_chan){.sched = NULL};
    for (; chan.count > 0; chan.count--, chan.out = cr_items_after(&chan, chan.out))
        if (drop)
            drop(chan.out, arg);
    cr_items_fini(&chan);
}

size_t coir_chan_length(const coir_chan *handle)
{
    return ((const struct cr_chan *)(const void *)handle)->count;
}

size_t coir_chan_capacity(const coir_chan *handle)
{
    return ((const struct cr_chan *)(const void *)handle)->capacity;
}
