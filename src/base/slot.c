/* The table of slots grows by doubling and never shrinks. Numbers are never used again, so it need
 * not remember anything of slots that are free. */
#include "slot.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { SLOTS_LEAST = 64, SLOTS_MOST = 1 << 30 };

/* Schedulers are counted from here, because a handle that was never set mostly holds 0, small
 * numbers or addresses. */
enum { SLOT_FIRST_SCHED = 0x51070001 };

static _Atomic uint32_t slot_scheds = SLOT_FIRST_SCHED;

void cr_slot_init(struct cr_slots *slots)
{
    slots->sched = atomic_fetch_add_explicit(&slot_scheds, 1, memory_order_relaxed);
}

static bool slot_enlarge(struct cr_slots *slots)
{
    if (slots->capacity == SLOTS_MOST)
        return false;
    uint32_t capacity = slots->capacity ? 2 * slots->capacity : SLOTS_LEAST;
    struct cr_slot *at = realloc(slots->at, capacity * sizeof *at);
    if (!at)
        return false;
    if (!slots->at) {
        at[0] = (struct cr_slot){.number = CR_SLOT_FREE};
        slots->count = 1;
    }
    slots->at = at;
    slots->capacity = capacity;
    return true;
}

bool cr_slot_grow(struct cr_slots *slots)
{
    if (slots->count == slots->capacity && !slot_enlarge(slots))
        return false;
    cr_slot_release(slots, slots->count++);
    return true;
}

void cr_slot_fini(struct cr_slots *slots)
{
    free(slots->at);
}
