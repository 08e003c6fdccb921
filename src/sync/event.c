/* Events, which remember that they were set, and wait queues, which remember nothing.
 *
 * Invariant: while an event is set, nobody waits for it. */
#include "../../include/coir_sync.h"
#include "select.h"
#include "waiters.h"

struct sync_event {
    struct cr_waiters waiters; /* one that takes the event has an item */
    bool set;
};

struct sync_queue {
    struct cr_waiters waiters;
    bool ended;
};

_Static_assert(sizeof(struct sync_event) <= sizeof(coir_event), "opaque");
_Static_assert(sizeof(struct sync_queue) <= sizeof(coir_queue), "opaque");

static const struct cr_wait_kind EVENT = {
    .name = "an event",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
};

static const struct cr_wait_kind QUEUE = {
    .name = "its turn in a queue",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
};

/* ---- events ---- */

CR_INLINE struct sync_event *event_of(coir_event *event)
{
    return (struct sync_event *)(void *)event;
}

/* Wakes those that wait for a set event, up to one who takes it. */
static CR_NOINLINE void event_pass(struct sync_event *event, void *caller)
{
    struct cr_waiter *first;
    while (event->set &&
           (first = cr_waiters_first(&event->waiters, "coir_event_set", caller)) != NULL) {
        event->set = !first->item;
        cr_sched_end(&first->wait, 0);
    }
}

void coir_event_set(coir_event *handle)
{
    struct sync_event *event = event_of(handle);
    if (CR_UNLIKELY(cr_sched_forked))
        return;
    event->set = true;
    if (CR_UNLIKELY(!cr_waiters_empty(&event->waiters)))
        event_pass(event, CR_CALLER);
}

void coir_event_reset(coir_event *handle)
{
    if (!cr_sched_forked)
        event_of(handle)->set = false;
}

bool coir_event_is_set(const coir_event *handle)
{
    return ((const struct sync_event *)(const void *)handle)->set;
}

static CR_NOINLINE int event_park(struct sync_event *event, void *taker, coir_time until,
                                  const char *function, void *caller)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_waiter waiter;
    if (cr_is_try(until))
        return cr_sched_try_once(self);
    waiter.item = taker;
    cr_waiters_hang(&event->waiters, &waiter, function, caller);
    return cr_sched_park_now(self, &waiter.wait, &EVENT, until);
}

static int event_try(struct sync_event *event, bool takes)
{
    if (!event->set)
        return COIR_TIMED_OUT;
    event->set = !takes;
    return 0;
}

static CR_COLD int event_try_outside(struct sync_event *event, bool takes, coir_time until,
                                     const char *function, void *caller)
{
    if (!cr_waiters_may_try(until))
        return cr_waiters_refuse(function, caller);
    return event_try(event, takes);
}

int coir_event_wait(coir_event *handle, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    struct sync_event *event = event_of(handle);
    if (CR_UNLIKELY(!self || self->cancelled))
        return event_try_outside(event, false, until, "coir_event_wait", CR_CALLER);
    if (CR_UNLIKELY(!event->set))
        return event_park(event, NULL, until, "coir_event_wait", CR_CALLER);
    return cr_sched_spend(self);
}

int coir_event_take(coir_event *handle, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    struct sync_event *event = event_of(handle);
    if (CR_UNLIKELY(!self || self->cancelled))
        return event_try_outside(event, true, until, "coir_event_take", CR_CALLER);
    if (CR_UNLIKELY(!event->set))
        return event_park(event, event, until, "coir_event_take", CR_CALLER);
    event->set = false;
    return cr_sched_spend(self);
}

static int event_attempt_wait(coir_case *it)
{
    return event_try(it->object, false);
}

static int event_attempt_take(coir_case *it)
{
    return event_try(it->object, true);
}

static void event_hang(coir_case *it)
{
    cr_select_hang(it, &((struct sync_event *)it->object)->waiters);
}

coir_case coir_case_wait(coir_event *event)
{
    static const struct coir_source WAITED = {
        "an event", event_attempt_wait, event_hang, cr_select_leave};
    return cr_select_case(&WAITED, event, NULL);
}

coir_case coir_case_take(coir_event *event)
{
    static const struct coir_source TAKEN = {
        "an event", event_attempt_take, event_hang, cr_select_leave};
    return cr_select_case(&TAKEN, event, event);
}

/* ---- wait queues ---- */

CR_INLINE struct sync_queue *queue_of(coir_queue *queue)
{
    return (struct sync_queue *)(void *)queue;
}

size_t coir_queue_wake(coir_queue *queue, size_t count)
{
    return cr_waiters_wake(&queue_of(queue)->waiters, count, 0, "coir_queue_wake", CR_CALLER);
}

void coir_queue_end(coir_queue *queue)
{
    if (cr_sched_forked)
        return;
    queue_of(queue)->ended = true;
    cr_waiters_wake(&queue_of(queue)->waiters, SIZE_MAX, -EPIPE, "coir_queue_end", CR_CALLER);
}

int coir_queue_wait(coir_queue *handle, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    struct sync_queue *queue = queue_of(handle);
    struct cr_waiter waiter;
    if (CR_UNLIKELY(!self || self->cancelled))
        return cr_waiters_refuse("coir_queue_wait", CR_CALLER);
    if (CR_UNLIKELY(queue->ended)) {
        cr_sched_spend(self);
        return -EPIPE;
    }
    if (cr_is_try(until))
        return cr_sched_try_once(self);
    cr_waiters_hang(&queue->waiters, &waiter, "coir_queue_wait", CR_CALLER);
    return cr_sched_park_now(self, &waiter.wait, &QUEUE, until);
}

static int queue_attempt(coir_case *it)
{
    return ((const struct sync_queue *)it->object)->ended ? -EPIPE : COIR_TIMED_OUT;
}

static void queue_hang(coir_case *it)
{
    cr_select_hang(it, &((struct sync_queue *)it->object)->waiters);
}

coir_case coir_case_queue(coir_queue *queue)
{
    static const struct coir_source WOKEN = {
        "its turn in a queue", queue_attempt, queue_hang, cr_select_leave};
    return cr_select_case(&WOKEN, queue, NULL);
}
