/* A doubly linked ring. Whatever waits hangs in one, and whatever hangs can take itself off without
 * knowing where: that is all the cancellation of a wait needs.
 *
 * Invariant: an item is in exactly one ring, if only in its own (after init or remove). */
#ifndef CR_LIST_H
#define CR_LIST_H

#include "base.h"

#include <stdatomic.h>

struct cr_list {
    struct cr_list *next, *prev;
};

CR_INLINE void cr_list_init(struct cr_list *list)
{
    list->next = list->prev = list;
}

CR_INLINE bool cr_list_empty(const struct cr_list *list)
{
    return list->next == list;
}

/* The fence keeps compilers from making one store of two, which takes more instructions. */
CR_INLINE void cr_list_append(struct cr_list *list, struct cr_list *item)
{
    item->next = list;
    atomic_signal_fence(memory_order_release);
    item->prev = list->prev;
    list->prev->next = item;
    list->prev = item;
}

/* Leaves the item's own links as they were: it must be dropped or hung elsewhere. */
CR_INLINE void cr_list_remove(struct cr_list *item)
{
    item->next->prev = item->prev;
    item->prev->next = item->next;
}

#endif
