/* The heap of deadlines. Entries hold their keys, so that sifting reads one array; a timer's own
 * cache line is written only where its entry comes to rest. */
#include "timer.h"

#include <stdlib.h>

enum { HEAP_LEAST = 64 };

static bool timer_before(const struct cr_timer_entry *a, const struct cr_timer_entry *b)
{
    if (a->deadline_ns != b->deadline_ns)
        return a->deadline_ns < b->deadline_ns;
    return a->order < b->order;
}

static void timer_place(struct cr_timers *timers, size_t place, struct cr_timer_entry entry)
{
    timers->heap[place] = entry;
    entry.timer->place = place;
}

static void timer_sift_up(struct cr_timers *timers, size_t place, struct cr_timer_entry entry)
{
    while (place > 0) {
        size_t parent = (place - 1) / CR_TIMER_ARITY;
        if (!timer_before(&entry, &timers->heap[parent]))
            break;
        timer_place(timers, place, timers->heap[parent]);
        place = parent;
    }
    timer_place(timers, place, entry);
}

static void timer_sift_down(struct cr_timers *timers, size_t place, struct cr_timer_entry entry)
{
    for (;;) {
        size_t child = place * CR_TIMER_ARITY + 1, end = child + CR_TIMER_ARITY, least = child;
        if (child >= timers->count)
            break;
        if (end > timers->count)
            end = timers->count;
        for (size_t i = child + 1; i < end; i++)
            if (timer_before(&timers->heap[i], &timers->heap[least]))
                least = i;
        if (!timer_before(&timers->heap[least], &entry))
            break;
        timer_place(timers, place, timers->heap[least]);
        place = least;
    }
    timer_place(timers, place, entry);
}

static struct cr_timer_entry timer_entry(struct cr_timer *timer)
{
    return (struct cr_timer_entry){timer->deadline_ns, timer->order, timer};
}

bool cr_timer_grow(struct cr_timers *timers)
{
    size_t capacity = timers->capacity ? 2 * timers->capacity : HEAP_LEAST;
    struct cr_timer_entry *heap = realloc(timers->heap, capacity * sizeof *heap);
    if (!heap)
        return false;
    timers->heap = heap;
    timers->room += capacity - timers->capacity;
    timers->capacity = capacity;
    return true;
}

void cr_timer_fini(struct cr_timers *timers)
{
    free(timers->heap);
}

void cr_timer_enter(struct cr_timers *timers, struct cr_timer *timer)
{
    size_t place = timer->place;
    if (place == CR_TIMER_OUT) {
        CR_ASSERT(timers->count < timers->capacity);
        place = timers->count++;
    }
    timer_sift_up(timers, place, timer_entry(timer));
}

static CR_COLD void timer_remove_stray(struct cr_timers *timers, struct cr_timer *timer)
{
    struct cr_timer **link = &timers->strays;
    while (*link != timer)
        link = &(*link)->next;
    *link = timer->next;
    timer->place = CR_TIMER_OUT;
}

void cr_timer_remove(struct cr_timers *timers, struct cr_timer *timer)
{
    size_t place = timer->place;
    if (place == CR_TIMER_OUT)
        return;
    if (CR_UNLIKELY(place == CR_TIMER_STRAY)) {
        timer_remove_stray(timers, timer);
        return;
    }
    CR_ASSERT(place < timers->count && timers->heap[place].timer == timer);
    struct cr_timer_entry last = timers->heap[--timers->count];
    timer->place = CR_TIMER_OUT;
    if (last.timer == timer)
        return;
    if (timer_before(&last, &timers->heap[place]))
        timer_sift_up(timers, place, last);
    else
        timer_sift_down(timers, place, last);
}

void cr_timer_arm_stray(struct cr_timers *timers, struct cr_timer *timer, uint64_t deadline_ns)
{
    timer->deadline_ns = deadline_ns;
    timer->order = ++timers->order;
    timer->place = CR_TIMER_STRAY;
    timer->next = timers->strays;
    timers->strays = timer;
}

static struct cr_timer *timer_first_in_heap(struct cr_timers *timers)
{
    while (timers->count > 0) {
        struct cr_timer_entry *top = &timers->heap[0];
        struct cr_timer *timer = top->timer;
        if (timer->deadline_ns == CR_NEVER)
            cr_timer_remove(timers, timer);
        else if (top->order != timer->order)
            timer_sift_down(timers, 0, timer_entry(timer));
        else
            return timer;
    }
    return NULL;
}

static CR_COLD struct cr_timer *timer_first_of_strays(struct cr_timers *timers,
                                                      struct cr_timer *first)
{
    for (struct cr_timer *timer = timers->strays; timer; timer = timer->next) {
        struct cr_timer_entry stray = timer_entry(timer), least = {.deadline_ns = CR_NEVER};
        if (first)
            least = timer_entry(first);
        if (timer->deadline_ns != CR_NEVER && timer_before(&stray, &least))
            first = timer;
    }
    return first;
}

struct cr_timer *cr_timer_first(struct cr_timers *timers)
{
    struct cr_timer *first = timer_first_in_heap(timers);
    return CR_LIKELY(!timers->strays) ? first : timer_first_of_strays(timers, first);
}
