/* The rare cases of waiters.h: the first wait for an object, waiters that are cases of a select,
 * and what must not be. */
#include "waiters.h"

#include "../debug/debug.h"

#include <stdio.h>

static const char OTHER_THREAD[] = "a fiber of another thread waits for the object";

void cr_waiters_begin(struct cr_waiters *waiters, const char *function, void *caller)
{
    if (!cr_waiters_empty(waiters))
        cr_fatal_mistake(function, caller, "the object was copied while a fiber waited for it");
    cr_list_init(&waiters->ring);
    waiters->home = &waiters->ring;
}

static bool waiter_is_live(const struct cr_wait *wait)
{
    const struct cr_wait *parked = wait->fiber->wait;
    return parked && (parked == wait || parked == &wait->group->park);
}

struct cr_waiter *cr_waiters_first_live(struct cr_waiters *waiters, const char *function,
                                        void *caller)
{
    if (!cr_sched_here)
        return cr_sched_none(function, caller), NULL;
    if (waiters->home != &waiters->ring)
        cr_fatal_mistake(function, caller, "the object was copied while a fiber waited for it");
    while (!cr_waiters_empty(waiters)) {
        struct cr_wait *wait = CR_CONTAINER(waiters->ring.next, struct cr_wait, link);
        if (wait->fiber->sched != cr_sched_here)
            cr_fatal_mistake(function, caller, OTHER_THREAD);
        if (waiter_is_live(wait))
            return CR_CONTAINER(wait, struct cr_waiter, wait);
        cr_group_remove(wait);
    }
    return NULL;
}

void cr_waiters_hang(struct cr_waiters *waiters, struct cr_waiter *waiter, const char *function,
                     void *caller)
{
    if (!cr_waiters_empty(waiters) && waiters->home == &waiters->ring &&
        CR_CONTAINER(waiters->ring.next, struct cr_wait, link)->fiber->sched != cr_sched_here)
        cr_fatal_mistake(function, caller, OTHER_THREAD);
    cr_waiters_append(waiters, waiter, function, caller);
}

size_t cr_waiters_wake(struct cr_waiters *waiters, size_t count, int result, const char *function,
                       void *caller)
{
    size_t woken = 0;
    struct cr_waiter *first;
    for (; woken < count && (first = cr_waiters_first(waiters, function, caller)) != NULL; woken++)
        cr_sched_end(&first->wait, result);
    return woken;
}

void cr_waiters_not_here(const struct coir_sched *sched, const char *what, const char *function,
                         void *caller)
{
    char text[64];
    snprintf(text, sizeof text, "the %s %s", what,
             sched ? "belongs to another thread" : "is not open");
    if (!sched || cr_sched_here)
        cr_fatal_mistake(function, caller, text);
    cr_sched_none(function, caller);
}

bool cr_waiters_may_try(coir_time until)
{
    return !cr_sched_self && cr_sched_here && cr_is_try(until);
}

int cr_waiters_refuse(const char *function, void *caller)
{
    struct cr_fiber *self = cr_sched_self;
    return self ? cr_sched_refuse(self) : cr_sched_no_fiber(function, caller);
}
