/* A channel, and the ring of the items that lie in it.
 *
 * Invariant: `count` items lie from `out` on, the last of them before `in`; a ring whose memory
 * ends at `end` goes on at `items`. Items of no size are only counted. */
#ifndef CR_ITEMS_H
#define CR_ITEMS_H

#include "waiters.h"

struct cr_chan {
    struct coir_sched *sched; /* NULL: it is not open */
    size_t size;              /* of an item */
    size_t count;             /* items that lie in the ring */
    size_t limit;             /* senders may fill it up to here: its capacity, 0 when closed */
    size_t capacity;
    char *in, *out;           /* where the next item goes, and where the first one lies */
    char *items, *end;        /* the ring's memory */
    struct cr_waiters receivers, senders;
    bool closed;
};

/* Memory for that many items, NULL for none: 0, or -ENOMEM. */
CR_HIDDEN int cr_items_make(char **items, size_t size, size_t capacity);

/* Copies bytes, none from or to NULL. */
CR_HIDDEN void cr_items_move(void *to, const void *from, size_t size);

/* Makes a channel, which is not open yet, with room for `capacity` items: 0, or -ENOMEM. */
CR_HIDDEN int cr_items_init(struct cr_chan *chan, size_t size, size_t capacity);
CR_HIDDEN void cr_items_fini(struct cr_chan *chan);

/* Copies an item. */
CR_HIDDEN void cr_items_copy(const struct cr_chan *chan, void *to, const void *from);

/* The place behind that of an item. */
CR_HIDDEN char *cr_items_after(const struct cr_chan *chan, char *at);

/* Adds an item as the last one, for which there is room; and takes out the first one. */
CR_HIDDEN void cr_items_append(struct cr_chan *chan, const void *item);
CR_HIDDEN void cr_items_pop(struct cr_chan *chan, void *item);

/* Adds an item as the first one, be the ring full: 0, or -ENOMEM. */
CR_HIDDEN int cr_items_prepend(struct cr_chan *chan, const void *item);

#endif
