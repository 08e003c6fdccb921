/* Deadlines: a four-ary heap that is kept lazily. A waiter owns one timer for its whole life.
 * Arming it later than before, and disarming it, only writes the timer; the heap's entry stays
 * where it is, too early, and is mended when it comes to the top. So a wait that ends before its
 * deadline, and the next one with a later deadline, cost a few stores however many timers are
 * pending.
 *
 * Order: by deadline, equal deadlines by the order of arming.
 *
 * Invariants: an entry's key is never later than its timer's; a timer is in the heap iff its
 * `place` is an index; an armed timer is in the heap, or a stray; and the heap has room for the
 * timer of every fiber alive, made before the fiber is, so that arming cannot fail. A scope's
 * deadline strays where there is no room for it. */
#ifndef CR_TIMER_H
#define CR_TIMER_H

#include "base.h"

#include "../../include/coir.h"

#define CR_TIMER_OUT SIZE_MAX
#define CR_TIMER_STRAY (SIZE_MAX - 1)

enum { CR_TIMER_ARITY = 4 };

struct cr_timer {
    uint64_t deadline_ns; /* CR_NEVER: not armed */
    uint64_t order;
    size_t place;
    void (*fire)(struct cr_timer *timer); /* what its deadline does; it disarms it */
    struct cr_timer *next; /* of the strays */
};

struct cr_timer_entry {
    uint64_t deadline_ns;
    uint64_t order;
    struct cr_timer *timer;
};

struct cr_timers {
    struct cr_timer_entry *heap;
    size_t count, capacity;
    size_t room; /* the capacity, less what scopes have taken of it: for fibers */
    uint64_t order;
    struct cr_timer *strays; /* for which there was no room: found by looking at all of them */
};

/* So long from now; the longest, and what overflows, is never. */
CR_INLINE uint64_t cr_timer_after(uint64_t now, int64_t length_ns)
{
    uint64_t length = length_ns > 0 ? (uint64_t)length_ns : 0;
    return length < CR_NEVER - now && length_ns < INT64_MAX ? now + length : CR_NEVER;
}

/* Deadlines inside, where never is the latest of all, and those of users, where it is 0. */
CR_INLINE coir_time cr_deadline(uint64_t ns)
{
    return COIR_TIME_NS(ns == CR_NEVER ? COIR_NEVER.ns : ns);
}

CR_INLINE uint64_t cr_deadline_ns(coir_time until)
{
    return until.ns == COIR_NEVER.ns ? CR_NEVER : until.ns;
}

CR_INLINE bool cr_is_try(coir_time until)
{
    return until.ns == COIR_TRY.ns;
}

/* Makes room for more timers; false when memory ran out. */
CR_HIDDEN bool cr_timer_grow(struct cr_timers *timers);
CR_HIDDEN void cr_timer_fini(struct cr_timers *timers);

/* Enters a timer into the heap, or moves its entry to an earlier place. */
CR_HIDDEN void cr_timer_enter(struct cr_timers *timers, struct cr_timer *timer);

/* Takes a timer out, if it is in. */
CR_HIDDEN void cr_timer_remove(struct cr_timers *timers, struct cr_timer *timer);

/* The armed timer with the earliest deadline, NULL when none is armed. */
CR_HIDDEN struct cr_timer *cr_timer_first(struct cr_timers *timers);

/* Whether there may be one. */
CR_INLINE bool cr_timer_any(const struct cr_timers *timers)
{
    return timers->count > 0 || timers->strays;
}

CR_INLINE void cr_timer_init(struct cr_timer *timer, void (*fire)(struct cr_timer *timer))
{
    timer->deadline_ns = CR_NEVER;
    timer->place = CR_TIMER_OUT;
    timer->fire = fire;
}

CR_INLINE void cr_timer_arm(struct cr_timers *timers, struct cr_timer *timer, uint64_t deadline_ns)
{
    timer->deadline_ns = deadline_ns;
    timer->order = ++timers->order;
    if (CR_UNLIKELY(timer->place == CR_TIMER_OUT ||
                    deadline_ns < timers->heap[timer->place].deadline_ns))
        cr_timer_enter(timers, timer);
}

/* Arms a timer that is not in the heap and has no room there. */
CR_HIDDEN void cr_timer_arm_stray(struct cr_timers *timers, struct cr_timer *timer,
                                  uint64_t deadline_ns);

/* The same for a timer that is not in the heap and belongs at its end, as most do; else false. */
CR_INLINE bool cr_timer_push(struct cr_timers *timers, struct cr_timer *timer, uint64_t deadline_ns)
{
    size_t place = timers->count;
    if (place > 0 && timers->heap[(place - 1) / CR_TIMER_ARITY].deadline_ns > deadline_ns)
        return false;
    uint64_t order = ++timers->order;
    timers->heap[place] = (struct cr_timer_entry){deadline_ns, order, timer};
    timers->count = place + 1;
    timer->deadline_ns = deadline_ns;
    timer->order = order;
    timer->place = place;
    return true;
}

/* Takes the last timer out of the heap; false when it is not the last, or not there. */
CR_INLINE bool cr_timer_pop(struct cr_timers *timers, struct cr_timer *timer)
{
    if (timer->place + 1 != timers->count || timers->count == 0)
        return false;
    timers->count--;
    return true;
}

CR_INLINE void cr_timer_disarm(struct cr_timer *timer)
{
    timer->deadline_ns = CR_NEVER;
}

#endif
