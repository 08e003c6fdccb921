/* Semaphores and events between threads: a count, and a flag. Who waits for an event and takes it
 * has a record with an item, who leaves it set has none. */
#include "../debug/debug.h"
#include "../sync/select.h"
#include "share.h"

struct shared_sem {
    struct cr_share share;
    uint64_t count;
};

struct shared_event {
    struct cr_share share;
    bool set;
};

_Static_assert(sizeof(struct shared_sem) <= sizeof(coir_shared_sem), "opaque");
_Static_assert(sizeof(struct shared_event) <= sizeof(coir_shared_event), "opaque");

static struct shared_sem *shared_sem_of(coir_shared_sem *handle)
{
    return (struct shared_sem *)(void *)handle;
}

static struct shared_event *shared_event_of(coir_shared_event *handle)
{
    return (struct shared_event *)(void *)handle;
}

/* ---- semaphores ---- */

static int shared_sem_try(struct cr_share *share, void *item)
{
    struct shared_sem *sem = CR_CONTAINER(share, struct shared_sem, share);
    (void)item;
    if (sem->count == 0)
        return COIR_TIMED_OUT;
    sem->count--;
    return 0;
}

static void shared_sem_settle(struct cr_share *share)
{
    struct shared_sem *sem = CR_CONTAINER(share, struct shared_sem, share);
    struct cr_share_waiter *waiter;
    while ((waiter = cr_share_next(share, CR_SHARE_TAKES, sem->count)) != NULL) {
        sem->count--;
        cr_share_serve(share, waiter, 0);
    }
}

static const struct cr_share_verb SHARED_ACQUIRING = {
    .function = "coir_shared_sem_acquire",
    .side = CR_SHARE_TAKES,
    .attempt = shared_sem_try,
    CR_SHARE_WAITS_FOR("a permit of a shared semaphore"),
};

int coir_shared_sem_acquire(coir_shared_sem *sem, coir_time until)
{
    return cr_share_do(&shared_sem_of(sem)->share, &SHARED_ACQUIRING, NULL, until, CR_CALLER);
}

coir_case coir_case_shared_acquire(coir_shared_sem *sem)
{
    return cr_select_case(&SHARED_ACQUIRING.source, sem, NULL);
}

void coir_shared_sem_release(coir_shared_sem *handle, uint64_t count)
{
    struct shared_sem *sem = shared_sem_of(handle);
    if (!cr_share_begin(&sem->share, "coir_shared_sem_release", CR_CALLER))
        return;
    if (count > UINT64_MAX - sem->count)
        cr_fatal_mistake("coir_shared_sem_release", CR_CALLER, "more permits than can be counted");
    sem->count += count;
    cr_share_end(&sem->share);
}

uint64_t coir_shared_sem_count(coir_shared_sem *handle)
{
    struct shared_sem *sem = shared_sem_of(handle);
    if (!cr_share_begin(&sem->share, "coir_shared_sem_count", CR_CALLER))
        return 0;
    uint64_t count = sem->count;
    cr_share_end(&sem->share);
    return count;
}

int coir_shared_sem_open(coir_shared_sem *handle, uint64_t count)
{
    shared_sem_of(handle)->count = count;
    return cr_share_init(&shared_sem_of(handle)->share, shared_sem_settle);
}

void coir_shared_sem_free(coir_shared_sem *handle)
{
    cr_share_fini(&shared_sem_of(handle)->share, "coir_shared_sem_free", CR_CALLER);
}

/* ---- events ---- */

static int shared_event_try(struct cr_share *share, void *takes)
{
    struct shared_event *event = CR_CONTAINER(share, struct shared_event, share);
    if (!event->set)
        return COIR_TIMED_OUT;
    if (takes)
        event->set = false;
    return 0;
}

/* Up to the first who takes it. For who does not, nothing need be reserved. */
static void shared_event_settle(struct cr_share *share)
{
    struct shared_event *event = CR_CONTAINER(share, struct shared_event, share);
    struct cr_share_waiter *waiter;
    while (event->set && share->reserved[CR_SHARE_TAKES] == 0 &&
           (waiter = cr_share_first(share, CR_SHARE_TAKES)) != NULL) {
        bool takes = waiter->item;
        if (takes && waiter->is_case) {
            cr_share_send_for(share, waiter);
            return;
        }
        event->set = !takes;
        cr_share_serve(share, waiter, 0);
    }
}

static const struct cr_share_verb SHARED_WAITING = {
    .function = "coir_shared_event_wait",
    .side = CR_SHARE_TAKES,
    .attempt = shared_event_try,
    CR_SHARE_WAITS_FOR("a shared event to be set"),
};

int coir_shared_event_wait(coir_shared_event *event, coir_time until)
{
    return cr_share_do(&shared_event_of(event)->share, &SHARED_WAITING, NULL, until, CR_CALLER);
}

int coir_shared_event_take(coir_shared_event *event, coir_time until)
{
    return cr_share_do(&shared_event_of(event)->share, &SHARED_WAITING, event, until, CR_CALLER);
}

coir_case coir_case_shared_wait(coir_shared_event *event)
{
    return cr_select_case(&SHARED_WAITING.source, event, NULL);
}

coir_case coir_case_shared_take(coir_shared_event *event)
{
    return cr_select_case(&SHARED_WAITING.source, event, event);
}

static void shared_event_change(coir_shared_event *handle, bool set, const char *function,
                                void *caller)
{
    struct shared_event *event = shared_event_of(handle);
    if (!cr_share_begin(&event->share, function, caller))
        return;
    event->set = set;
    cr_share_end(&event->share);
}

void coir_shared_event_set(coir_shared_event *event)
{
    shared_event_change(event, true, "coir_shared_event_set", CR_CALLER);
}

void coir_shared_event_reset(coir_shared_event *event)
{
    shared_event_change(event, false, "coir_shared_event_reset", CR_CALLER);
}

bool coir_shared_event_is_set(coir_shared_event *handle)
{
    struct shared_event *event = shared_event_of(handle);
    if (!cr_share_begin(&event->share, "coir_shared_event_is_set", CR_CALLER))
        return false;
    bool set = event->set;
    cr_share_end(&event->share);
    return set;
}

int coir_shared_event_open(coir_shared_event *handle)
{
    shared_event_of(handle)->set = false;
    return cr_share_init(&shared_event_of(handle)->share, shared_event_settle);
}

void coir_shared_event_free(coir_shared_event *handle)
{
    cr_share_fini(&shared_event_of(handle)->share, "coir_shared_event_free", CR_CALLER);
}
