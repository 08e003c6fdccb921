/* The table of slots grows by doubling and never shrinks, because a slot's generation must be
 * remembered as long as handles to it may exist. */
#include "slot.h"

#include <stdlib.h>

enum { SLOTS_LEAST = 64, SLOTS_MOST = 1 << 30 };

static bool slot_enlarge(struct cr_slots *slots)
{
    if (slots->capacity == SLOTS_MOST)
        return false;
    uint32_t capacity = slots->capacity ? 2 * slots->capacity : SLOTS_LEAST;
    struct cr_slot *at = realloc(slots->at, capacity * sizeof *at);
    if (!at)
        return false;
    if (!slots->at) {
        at[0] = (struct cr_slot){.generation = UINT32_MAX};
        slots->count = 1;
    }
    slots->at = at;
    slots->capacity = capacity;
    return true;
}

/* Adds one slot to the free ones. */
bool cr_slot_grow(struct cr_slots *slots)
{
    if (slots->count == slots->capacity && !slot_enlarge(slots))
        return false;
    slots->at[slots->count].generation = 0;
    cr_slot_release(slots, slots->count++);
    return true;
}

void cr_slot_fini(struct cr_slots *slots)
{
    free(slots->at);
}
