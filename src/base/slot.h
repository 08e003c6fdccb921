/* Slots: what a handle names. A slot is a fiber's from its birth until its result is taken; after
 * that the same slot serves another fiber under the next generation, so an old handle finds
 * nothing.
 *
 * Invariants: a generation is issued once, and neither 0 nor UINT32_MAX ever is: a slot that
 * reaches the latter is retired. Slot 0 is nobody's. In a slot that a handle finds, `fiber` is NULL
 * iff the fiber has ended. */
#ifndef CR_SLOT_H
#define CR_SLOT_H

#include "base.h"

#include "../../include/coir.h"

struct cr_slot {
    struct cr_fiber *fiber;
    uint32_t generation;
    int result; /* of an ended fiber; in a free slot: the next free one, 0: none */
};

struct cr_slots {
    struct cr_slot *at;
    uint32_t count, capacity;
    uint32_t free; /* the first free slot, 0: none */
};

/* Adds a free slot; false when memory ran out. */
CR_HIDDEN bool cr_slot_grow(struct cr_slots *slots);
CR_HIDDEN void cr_slot_fini(struct cr_slots *slots);

CR_INLINE coir_fiber cr_slot_take(struct cr_slots *slots, struct cr_fiber *fiber)
{
    uint32_t slot = slots->free;
    struct cr_slot *s = &slots->at[slot];
    slots->free = (uint32_t)s->result;
    s->fiber = fiber;
    return (coir_fiber){slot, s->generation};
}

CR_INLINE void cr_slot_release(struct cr_slots *slots, uint32_t slot)
{
    struct cr_slot *s = &slots->at[slot];
    s->fiber = NULL;
    if (CR_UNLIKELY(++s->generation == UINT32_MAX))
        return;
    s->result = (int)slots->free;
    slots->free = slot;
}

/* The slot of a fiber that is alive, or has ended and left its result; else NULL. */
CR_INLINE struct cr_slot *cr_slot_find(const struct cr_slots *slots, coir_fiber handle)
{
    if (CR_UNLIKELY(handle.slot >= slots->count ||
                    slots->at[handle.slot].generation != handle.generation))
        return NULL;
    return &slots->at[handle.slot];
}

#endif
