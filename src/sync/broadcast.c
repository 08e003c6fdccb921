/* Broadcasts. A ring has the last items, and each subscriber counts how many it is past. A send
 * copies its item to all who wait, but once for each subscriber.
 *
 * Invariants: item number n lies at n modulo the capacity, for the last `capacity` of the `sent`.
 * Who waits has a subscriber that is past all of them. */
#include "../../include/coir_chan.h"
#include "../debug/debug.h"
#include "items.h"
#include "select.h"

#include <limits.h>
#include <stdlib.h>

struct broadcast {
    struct coir_sched *sched; /* NULL: it is not open */
    size_t size, capacity;
    uint64_t sent;
    char *items;
    struct cr_waiters waiters;
    bool closed;
};

/* Who waits, alone or as a case of a select. */
struct broadcast_wait {
    struct cr_waiter waiter;
    coir_subscriber *subscriber;
};

_Static_assert(sizeof(struct broadcast) <= sizeof(coir_broadcast), "opaque");
_Static_assert(sizeof(struct broadcast_wait) <=
                   offsetof(struct cr_case, ends) - offsetof(struct cr_case, waiter),
               "it lies before");

static const struct cr_wait_kind SUBSCRIBED = {
    .name = "an item of a broadcast",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
};

static struct broadcast *broadcast_of(coir_broadcast *handle)
{
    return (struct broadcast *)(void *)handle;
}

/* False in a forked child. */
static bool broadcast_is_here(const struct broadcast *it, const char *function, void *caller)
{
    if (CR_LIKELY(it->sched && it->sched == cr_sched_here))
        return true;
    cr_waiters_not_here(it->sched, "broadcast", function, caller);
    return false;
}

static char *broadcast_at(const struct broadcast *it, uint64_t number)
{
    return it->items + (size_t)(number % it->capacity) * it->size;
}

/* False in a forked child. */
static bool broadcast_has(const coir_subscriber *subscriber, const char *function, void *caller)
{
    if (!subscriber->broadcast)
        cr_fatal_mistake(function, caller, "the subscriber has no broadcast");
    const struct broadcast *it = broadcast_of(subscriber->broadcast);
    if (!broadcast_is_here(it, function, caller))
        return false;
    if (subscriber->next > it->sent)
        cr_fatal_mistake(function, caller, "the subscriber is of an earlier broadcast");
    return true;
}

static int broadcast_try(const struct broadcast *it, coir_subscriber *subscriber, void *item)
{
    uint64_t behind = it->sent - subscriber->next;
    uint64_t missed = behind > it->capacity ? behind - it->capacity : 0;
    if (behind == 0)
        return it->closed ? -EPIPE : COIR_TIMED_OUT;
    subscriber->next += missed;
    cr_items_move(item, broadcast_at(it, subscriber->next), it->size);
    subscriber->next++;
    return missed > INT_MAX ? INT_MAX : (int)missed;
}

/* ---- receiving ---- */

int coir_subscriber_recv(coir_subscriber *subscriber, void *item, coir_time until)
{
    struct broadcast *it = broadcast_of(subscriber->broadcast);
    struct cr_fiber *self = cr_sched_self;
    struct broadcast_wait wait = {.waiter.item = item, .subscriber = subscriber};
    if (!broadcast_has(subscriber, "coir_subscriber_recv", CR_CALLER))
        return -ECHILD;
    if (cr_waiters_may_try(until))
        return broadcast_try(it, subscriber, item);
    if (!self || self->cancelled)
        return cr_waiters_refuse("coir_subscriber_recv", CR_CALLER);
    int result = broadcast_try(it, subscriber, item);
    if (result != COIR_TIMED_OUT) {
        cr_sched_spend(self);
        return result;
    }
    if (cr_is_try(until))
        return cr_sched_try_once(self);
    cr_waiters_hang(&it->waiters, &wait.waiter, "coir_subscriber_recv", CR_CALLER);
    return cr_sched_park_now(self, &wait.waiter.wait, &SUBSCRIBED, until);
}

static int broadcast_attempt(coir_case *handle)
{
    coir_subscriber *subscriber = handle->object;
    struct broadcast *it = broadcast_of(subscriber->broadcast);
    if (!broadcast_has(subscriber, "coir_select", NULL))
        return -ECHILD;
    return broadcast_try(it, subscriber, handle->item);
}

static void broadcast_hang(coir_case *handle)
{
    struct cr_waiter *waiter = &cr_case_of(handle)->waiter;
    coir_subscriber *subscriber = handle->object;
    CR_CONTAINER(waiter, struct broadcast_wait, waiter)->subscriber = subscriber;
    cr_select_hang(handle, &broadcast_of(subscriber->broadcast)->waiters);
}

coir_case coir_case_subscriber(coir_subscriber *subscriber, void *item)
{
    static const struct coir_source RECEIVED = {
        "an item of a broadcast", broadcast_attempt, broadcast_hang, cr_select_leave};
    return cr_select_case(&RECEIVED, subscriber, item);
}

/* ---- sending ---- */

coir_subscriber coir_broadcast_subscribe(coir_broadcast *broadcast)
{
    if (!broadcast_is_here(broadcast_of(broadcast), "coir_broadcast_subscribe", CR_CALLER))
        return (coir_subscriber){broadcast, 0};
    return (coir_subscriber){broadcast, broadcast_of(broadcast)->sent};
}

/* Those whose subscriber somebody before them has just used wait on. */
static void broadcast_deliver(struct broadcast *it, void *caller)
{
    struct cr_list behind;
    struct cr_waiter *waiter;
    cr_list_init(&behind);
    while ((waiter = cr_waiters_first(&it->waiters, "coir_broadcast_send", caller)) != NULL) {
        const struct broadcast_wait *wait = CR_CONTAINER(waiter, struct broadcast_wait, waiter);
        int result = broadcast_try(it, wait->subscriber, waiter->item);
        if (result != COIR_TIMED_OUT) {
            cr_sched_end(&waiter->wait, result);
            continue;
        }
        cr_list_remove(&waiter->wait.link);
        cr_list_append(&behind, &waiter->wait.link);
    }
    while (!cr_list_empty(&behind)) {
        struct cr_list *link = behind.next;
        cr_list_remove(link);
        cr_list_append(&it->waiters.ring, link);
    }
}

int coir_broadcast_send(coir_broadcast *handle, const void *item)
{
    struct broadcast *it = broadcast_of(handle);
    if (!broadcast_is_here(it, "coir_broadcast_send", CR_CALLER))
        return -ECHILD;
    if (it->closed)
        return -EPIPE;
    cr_items_move(broadcast_at(it, it->sent), item, it->size);
    it->sent++;
    broadcast_deliver(it, CR_CALLER);
    return 0;
}

int coir_broadcast_close(coir_broadcast *handle)
{
    struct broadcast *it = broadcast_of(handle);
    if (!broadcast_is_here(it, "coir_broadcast_close", CR_CALLER))
        return -ECHILD;
    if (it->closed)
        return -EPIPE;
    it->closed = true;
    cr_waiters_wake(&it->waiters, SIZE_MAX, -EPIPE, "coir_broadcast_close", CR_CALLER);
    return 0;
}

/* ---- life ---- */

int coir_broadcast_open(coir_broadcast *handle, size_t size, size_t capacity)
{
    if (!cr_sched_here)
        return cr_sched_none("coir_broadcast_open", CR_CALLER);
    char *items = NULL;
    int result = capacity == 0 ? -EINVAL : cr_items_make(&items, size, capacity);
    broadcast_of(handle)->sched = NULL;
    if (result < 0)
        return result;
    *broadcast_of(handle) = (struct broadcast){
        .sched = cr_sched_here, .size = size, .capacity = capacity, .items = items};
    return 0;
}

void coir_broadcast_free(coir_broadcast *handle)
{
    struct broadcast *it = broadcast_of(handle);
    if (!it->sched || cr_sched_forked)
        return;
    if (cr_waiters_first(&it->waiters, "coir_broadcast_free", CR_CALLER))
        cr_fatal_mistake("coir_broadcast_free", CR_CALLER, "a fiber waits for the broadcast");
    free(it->items);
    it->sched = NULL;
}
