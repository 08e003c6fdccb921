/* The ring of items of a channel. It grows only for items that are put back, since a channel has
 * room for its capacity from the start. */
#include "items.h"

#include <stdlib.h>
#include <string.h>

void cr_items_move(void *to, const void *from, size_t size)
{
    if (size > 0)
        memcpy(to, from, size);
}

void cr_items_copy(const struct cr_chan *chan, void *to, const void *from)
{
    cr_items_move(to, from, chan->size);
}

char *cr_items_after(const struct cr_chan *chan, char *at)
{
    at += chan->size;
    return at == chan->end ? chan->items : at;
}

void cr_items_append(struct cr_chan *chan, const void *item)
{
    char *in = chan->in;
    cr_items_copy(chan, in, item);
    chan->in = cr_items_after(chan, in);
    chan->count++;
}

void cr_items_pop(struct cr_chan *chan, void *item)
{
    char *out = chan->out;
    cr_items_copy(chan, item, out);
    chan->out = cr_items_after(chan, out);
    chan->count--;
}

/* Makes room for items that are put back into a ring that is full. */
static int items_grow(struct cr_chan *chan)
{
    size_t used = (size_t)(chan->end - chan->items), behind = (size_t)(chan->end - chan->out);
    if (used > SIZE_MAX / 4)
        return -ENOMEM;
    size_t bytes = 2 * used + chan->size;
    char *items = malloc(bytes);
    if (!items)
        return -ENOMEM;
    cr_items_move(items, chan->out, behind);
    cr_items_move(items + behind, chan->items, used - behind);
    free(chan->items);
    chan->items = chan->out = items;
    chan->in = items + used;
    chan->end = items + bytes;
    return 0;
}

int cr_items_prepend(struct cr_chan *chan, const void *item)
{
    bool is_full = chan->count * chan->size == (size_t)(chan->end - chan->items);
    int result = is_full && chan->size > 0 ? items_grow(chan) : 0;
    if (result < 0)
        return result;
    char *out = chan->out == chan->items ? chan->end : chan->out;
    chan->out = out - chan->size;
    cr_items_copy(chan, chan->out, item);
    chan->count++;
    return 0;
}

/* ---- the memory ---- */

int cr_items_make(char **items, size_t size, size_t capacity)
{
    size_t bytes = size * capacity;
    if (size > 0 && capacity > PTRDIFF_MAX / size)
        return -ENOMEM;
    *items = bytes > 0 ? malloc(bytes) : NULL;
    return bytes > 0 && !*items ? -ENOMEM : 0;
}

int cr_items_init(struct cr_chan *chan, size_t size, size_t capacity)
{
    static char nothing;
    size_t bytes = size * capacity;
    char *items;
    if (cr_items_make(&items, size, capacity) < 0)
        return -ENOMEM;
    if (size == 0)
        items = &nothing;
    *chan = (struct cr_chan){
        .size = size,
        .limit = capacity,
        .capacity = capacity,
        .in = items,
        .out = items,
        .items = items,
        .end = bytes == 0 ? items : items + bytes,
    };
    return 0;
}

void cr_items_fini(struct cr_chan *chan)
{
    if (chan->size > 0)
        free(chan->items);
}
