/* Local values: a short array for each fiber that has any, in the order in which they were set.
 * Programs have a handful of keys, so it is searched from its end. */
#include "local.h"

#include "../../include/coir_local.h"
#include "../debug/debug.h"

#include <stdlib.h>
#include <string.h>

enum { LOCALS_LEAST = 4 };

struct local {
    const coir_local *key;
    void *value; /* never NULL */
    const struct cr_fiber *lender; /* whose value it is; NULL: the fiber's own */
};

struct cr_locals {
    size_t count, capacity;
    struct cr_locals *copies; /* those that are being made of these, the innermost first */
    struct local at[];
};

static size_t local_size(size_t capacity)
{
    return sizeof(struct cr_locals) + capacity * sizeof(struct local);
}

static struct local *local_find(struct cr_locals *locals, const coir_local *key)
{
    for (size_t i = locals ? locals->count : 0; i-- > 0;)
        if (locals->at[i].key == key)
            return &locals->at[i];
    return NULL;
}

static void local_destroy(struct local local)
{
    if (local.key->destroy && !local.lender)
        local.key->destroy(local.value);
}

/* Taken out before it is destroyed, because that may look at the values and change them. */
static void local_remove(struct cr_locals *locals, struct local *local)
{
    struct local gone = *local;
    struct local *end = locals->at + locals->count--;
    for (; local + 1 < end; local++)
        local[0] = local[1];
    local_destroy(gone);
}

static bool local_grow(struct cr_locals **locals)
{
    size_t count = *locals ? (*locals)->count : 0;
    if (*locals && count < (*locals)->capacity)
        return true;
    size_t capacity = *locals ? 2 * count : LOCALS_LEAST;
    struct cr_locals *grown = realloc(*locals, local_size(capacity));
    if (!grown)
        return false;
    grown->count = count;
    if (!*locals)
        grown->copies = NULL;
    grown->capacity = capacity;
    *locals = grown;
    return true;
}

int coir_local_set(const coir_local *key, void *value)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_local_set", CR_CALLER);
    struct local *old = local_find(self->locals, key);
    if (!value) {
        if (old)
            local_remove(self->locals, old);
        return 0;
    }
    if (old) {
        struct local gone = *old;
        *old = (struct local){key, value, NULL};
        local_destroy(gone);
        return 0;
    }
    if (!local_grow(&self->locals))
        return -ENOMEM;
    self->own.special.used |= CR_USED;
    self->locals->at[self->locals->count++] = (struct local){key, value, NULL};
    return 0;
}

void *coir_local_get(const coir_local *key)
{
    struct local *local = cr_sched_self ? local_find(cr_sched_self->locals, key) : NULL;
    return local ? local->value : NULL;
}

static const struct cr_fiber *local_lender(struct local local, const struct cr_fiber *spawner)
{
    if (local.key->inherit)
        return NULL;
    return local.lender ? local.lender : spawner;
}

/* Whether a fiber outlives a child of a scope. */
static bool local_outlives(const struct cr_fiber *lender, const struct cr_scope *parent)
{
    const struct cr_fiber *ancestor = parent->owner;
    while (ancestor && ancestor != lender)
        ancestor = ancestor->own.outer->owner;
    return ancestor;
}

/* False: `inherit` has forked, and this is the child. */
static bool local_copy(const struct cr_fiber *spawner, struct cr_locals *copy, struct local local)
{
    local.lender = local_lender(local, spawner);
    if (!local.lender)
        local.value = local.key->inherit(local.value);
    if (local.value)
        copy->at[copy->count++] = local;
    return cr_sched_self == spawner;
}

/* To destroy one may set another, and move all. */
static void local_free(struct cr_locals **locals)
{
    while ((*locals)->count > 0)
        local_remove(*locals, &(*locals)->at[(*locals)->count - 1]);
    free(*locals);
}

/* One that a jump out of `inherit`, or an exception, has left unfinished. */
static void local_drop_copy(struct cr_locals *locals)
{
    struct cr_locals *copy = locals->copies;
    locals->copies = copy->copies;
    local_free(&copy);
}

int cr_local_inherit(struct cr_fiber *spawner, const struct cr_scope *parent,
                     struct cr_locals **locals)
{
    const struct cr_locals *from = spawner->locals;
    if (!from || from->count == 0)
        return 0;
    for (size_t i = 0; i < from->count; i++) {
        const struct cr_fiber *lender = local_lender(from->at[i], spawner);
        if (lender && !local_outlives(lender, parent))
            return -EINVAL;
    }
    struct cr_locals *copy = malloc(local_size(from->capacity));
    if (!copy)
        return -ENOMEM;
    size_t count = from->count;
    copy->count = 0;
    copy->capacity = from->capacity;
    memcpy(copy->at, from->at, count * sizeof *copy->at); /* `inherit` may set the spawner's */
    copy->copies = from->copies;
    spawner->locals->copies = copy;
    for (size_t i = 0; i < count; i++)
        if (!local_copy(spawner, copy, copy->at[i]))
            return -ECHILD;
    while (spawner->locals->copies != copy)
        local_drop_copy(spawner->locals);
    spawner->locals->copies = copy->copies;
    copy->copies = NULL;
    *locals = copy;
    return 0;
}

void cr_local_drop(struct cr_locals **locals)
{
    while ((*locals)->copies)
        local_drop_copy(*locals);
    local_free(locals);
    *locals = NULL;
}
