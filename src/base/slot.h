/* Slots: what a handle names. A slot is a fiber's from its birth until its result is taken or
 * dropped, or a scope's for as long as it is open. A fiber that has ended is kept by the scope that
 * it was a child of: the slots that a scope keeps form a ring, in the order in which they ended.
 *
 * Invariants: a handle names its scheduler by a number that no other has, and its fiber or scope by
 * one that no other of that scheduler has; a free slot has none. Slot 0 is nobody's. */
#ifndef CR_SLOT_H
#define CR_SLOT_H

#include "base.h"

#include "../../include/coir.h"

struct cr_slot {
    uint64_t number; /* the fiber's, or with one of the bits below */
    union {
        struct cr_fiber *fiber; /* that is alive */
        struct cr_scope *scope; /* that is named, or keeps the result */
    };
    uint32_t next, prev; /* in its keeper's ring; of a free slot: the next free one, 0: none */
    int result;          /* of a fiber that has ended */
    bool failed;         /* that result is a failure */
};

/* In a number: the fiber has ended; it is that of a scope; of neither. So a fiber that is alive is
 * found by one comparison. */
#define CR_SLOT_ENDED (UINT64_C(1) << 63)
#define CR_SLOT_SCOPE (UINT64_C(1) << 62)
#define CR_SLOT_FREE UINT64_MAX

struct cr_slots {
    struct cr_slot *at;
    uint32_t count, capacity;
    uint32_t free;  /* the first free slot, 0: none */
    uint32_t sched; /* the scheduler's number in this process */
};

CR_HIDDEN void cr_slot_init(struct cr_slots *slots);
CR_HIDDEN void cr_slot_fini(struct cr_slots *slots);

/* Adds a free slot; false when memory ran out. */
CR_HIDDEN bool cr_slot_grow(struct cr_slots *slots);

/* There must be a free one. */
CR_INLINE struct cr_slot *cr_slot_take(struct cr_slots *slots, uint64_t number)
{
    struct cr_slot *slot = &slots->at[slots->free];
    slots->free = slot->next;
    slot->number = number;
    return slot;
}

CR_INLINE void cr_slot_release(struct cr_slots *slots, uint32_t slot)
{
    struct cr_slot *s = &slots->at[slot];
    s->number = CR_SLOT_FREE;
    s->next = slots->free;
    slots->free = slot;
}

/* The slot of what a handle names, NULL when that is gone. `bit` is 0 for a fiber that is alive. */
CR_INLINE struct cr_slot *cr_slot_find(const struct cr_slots *slots, coir_fiber handle,
                                       uint64_t bit)
{
    if (CR_UNLIKELY(handle.sched != slots->sched ||
                    slots->at[handle.slot].number != (handle.number | bit)))
        return NULL;
    return &slots->at[handle.slot];
}

/* The fiber that is alive in a slot; NULL: there is none. */
CR_INLINE struct cr_fiber *cr_slot_fiber(const struct cr_slot *slot)
{
    return slot->number & (CR_SLOT_ENDED | CR_SLOT_SCOPE) ? NULL : slot->fiber;
}

#endif
