/* Channels between threads. The ring of items is that of a channel of one thread.
 *
 * Invariants, when the lock is free, but for cases that were woken and have not left: while a
 * receiver waits, no item lies in the channel and no sender waits; while a sender waits, the ring
 * is full; once the channel is closed no sender waits, nor a receiver when it is empty. */
#include "../debug/debug.h"
#include "../sync/items.h"
#include "../sync/select.h"
#include "share.h"

struct shared_chan {
    struct cr_share share;
    struct cr_chan chan; /* only its items */
};

_Static_assert(sizeof(struct shared_chan) <= sizeof(coir_shared_chan), "opaque");

static struct shared_chan *shared_chan_of(coir_shared_chan *handle)
{
    return (struct shared_chan *)(void *)handle;
}

static struct shared_chan *shared_chan_in(struct cr_share *share)
{
    return CR_CONTAINER(share, struct shared_chan, share);
}

/* ---- settling ---- */

/* The first who waits and is no case: a case has nothing to offer, nor a place to be filled, before
 * it tries. */
static struct cr_share_waiter *shared_chan_plain(struct shared_chan *it, enum cr_share_side side)
{
    struct cr_list *ring = &it->share.waiting[side], *at = ring->next;
    if (it->share.plain[side] == 0)
        return NULL;
    while (CR_CONTAINER(at, struct cr_share_waiter, link)->is_case)
        at = at->next;
    return CR_CONTAINER(at, struct cr_share_waiter, link);
}

static size_t shared_chan_items(const struct shared_chan *it)
{
    return it->chan.count + it->share.plain[CR_SHARE_GIVES];
}

/* The first item goes to a receiver: from the ring, or from a sender that waits. */
static void shared_chan_give(struct shared_chan *it, void *item)
{
    if (it->chan.count > 0) {
        cr_items_pop(&it->chan, item);
        return;
    }
    struct cr_share_waiter *sender = shared_chan_plain(it, CR_SHARE_GIVES);
    cr_items_copy(&it->chan, item, sender->item);
    cr_share_serve(&it->share, sender, 0);
}

static size_t shared_chan_room(const struct shared_chan *it)
{
    return it->chan.count < it->chan.limit ? it->chan.limit - it->chan.count : 0;
}

/* Those who wait to send put their items into the room there is. */
static void shared_chan_fill(struct shared_chan *it)
{
    struct cr_share_waiter *sender;
    while ((sender = cr_share_next(&it->share, CR_SHARE_GIVES, shared_chan_room(it))) != NULL) {
        cr_items_append(&it->chan, sender->item);
        cr_share_serve(&it->share, sender, 0);
    }
}

static void shared_chan_refuse(struct shared_chan *it, enum cr_share_side side)
{
    struct cr_share_waiter *waiter;
    while ((waiter = cr_share_first(&it->share, side)) != NULL)
        cr_share_serve(&it->share, waiter, -EPIPE);
}

static void shared_chan_settle(struct cr_share *share)
{
    struct shared_chan *it = shared_chan_in(share);
    struct cr_share_waiter *receiver;
    shared_chan_fill(it);
    while ((receiver = cr_share_next(share, CR_SHARE_TAKES, shared_chan_items(it))) != NULL) {
        shared_chan_give(it, receiver->item);
        cr_share_serve(share, receiver, 0);
        shared_chan_fill(it);
    }
    if (it->chan.closed && shared_chan_items(it) == 0)
        shared_chan_refuse(it, CR_SHARE_TAKES);
}

/* ---- sending and receiving ---- */

static int shared_chan_try_send(struct cr_share *share, void *item)
{
    struct shared_chan *it = shared_chan_in(share);
    if (it->chan.closed)
        return -EPIPE;
    if (shared_chan_room(it) > 0) {
        cr_items_append(&it->chan, item);
        return 0;
    }
    struct cr_share_waiter *receiver = shared_chan_plain(it, CR_SHARE_TAKES);
    if (it->chan.count > 0 || !receiver)
        return COIR_TIMED_OUT;
    cr_items_copy(&it->chan, receiver->item, item);
    cr_share_serve(share, receiver, 0);
    return 0;
}

static int shared_chan_try_recv(struct cr_share *share, void *item)
{
    struct shared_chan *it = shared_chan_in(share);
    if (shared_chan_items(it) > 0) {
        shared_chan_give(it, item);
        return 0;
    }
    return it->chan.closed ? -EPIPE : COIR_TIMED_OUT;
}

static const struct cr_share_verb SHARED_SENDING = {
    .function = "coir_shared_chan_send",
    .side = CR_SHARE_GIVES,
    .attempt = shared_chan_try_send,
    CR_SHARE_WAITS_FOR("a receiver, or room in a shared channel"),
};

static const struct cr_share_verb SHARED_RECEIVING = {
    .function = "coir_shared_chan_recv",
    .side = CR_SHARE_TAKES,
    .attempt = shared_chan_try_recv,
    CR_SHARE_WAITS_FOR("an item of a shared channel"),
};

int coir_shared_chan_send(coir_shared_chan *chan, const void *item, coir_time until)
{
    return cr_share_do(&shared_chan_of(chan)->share, &SHARED_SENDING, (void *)(uintptr_t)item,
                       until, CR_CALLER);
}

int coir_shared_chan_recv(coir_shared_chan *chan, void *item, coir_time until)
{
    return cr_share_do(&shared_chan_of(chan)->share, &SHARED_RECEIVING, item, until, CR_CALLER);
}

coir_case coir_case_shared_send(coir_shared_chan *chan, const void *item)
{
    if (!shared_chan_of(chan)->share.settle)
        cr_fatal_mistake("coir_case_shared_send", CR_CALLER, "the object is not open");
    if (shared_chan_of(chan)->chan.capacity == 0)
        cr_fatal_mistake("coir_case_shared_send", CR_CALLER, "the channel has no capacity");
    return cr_select_case(&SHARED_SENDING.source, chan, (void *)(uintptr_t)item);
}

coir_case coir_case_shared_recv(coir_shared_chan *chan, void *item)
{
    return cr_select_case(&SHARED_RECEIVING.source, chan, item);
}

/* ---- what never waits ---- */

int coir_shared_chan_put_back(coir_shared_chan *handle, const void *item)
{
    struct shared_chan *it = shared_chan_of(handle);
    if (!cr_share_begin(&it->share, "coir_shared_chan_put_back", CR_CALLER))
        return -ECHILD;
    int result = cr_items_prepend(&it->chan, item);
    cr_share_end(&it->share);
    return result;
}

int coir_shared_chan_close(coir_shared_chan *handle)
{
    struct shared_chan *it = shared_chan_of(handle);
    if (!cr_share_begin(&it->share, "coir_shared_chan_close", CR_CALLER))
        return -ECHILD;
    int result = it->chan.closed ? -EPIPE : 0;
    it->chan.closed = true;
    it->chan.limit = 0;
    shared_chan_refuse(it, CR_SHARE_GIVES);
    cr_share_end(&it->share);
    return result;
}

size_t coir_shared_chan_length(coir_shared_chan *handle)
{
    struct shared_chan *it = shared_chan_of(handle);
    if (!cr_share_begin(&it->share, "coir_shared_chan_length", CR_CALLER))
        return 0;
    size_t count = it->chan.count;
    cr_share_end(&it->share);
    return count;
}

size_t coir_shared_chan_capacity(const coir_shared_chan *handle)
{
    return ((const struct shared_chan *)(const void *)handle)->chan.capacity;
}

/* ---- life ---- */

int coir_shared_chan_open(coir_shared_chan *handle, size_t size, size_t capacity)
{
    struct shared_chan *it = shared_chan_of(handle);
    int result = cr_items_init(&it->chan, size, capacity);
    it->share.settle = NULL;
    if (result < 0)
        return result;
    result = cr_share_init(&it->share, shared_chan_settle);
    if (result < 0)
        cr_items_fini(&it->chan);
    return result;
}

void coir_shared_chan_free(coir_shared_chan *handle, void (*drop)(void *item, void *arg), void *arg)
{
    struct shared_chan *it = shared_chan_of(handle);
    if (!cr_share_fini(&it->share, "coir_shared_chan_free", CR_CALLER))
        return;
    for (char *item = it->chan.out; it->chan.count > 0; it->chan.count--) {
        if (drop)
            drop(item, arg);
        item = cr_items_after(&it->chan, item);
    }
    cr_items_fini(&it->chan);
}
