/* What is watched, a list of what of it is steady, and what must be done when the file behind
 * a number is another one than was added.
 *
 * A ghost is a registration that cannot be taken off. On epoll a file that was closed by number
 * lives on through a dup, in this process or a forked one: it is still reported, by a token that no
 * entry has, and would end every wait at once. So all that is alive moves to a new world, and the
 * ghost goes with the old one. */
#include "interest.h"

#include <stdlib.h>

void cr_interest_init(struct cr_interests *set, struct cr_levels *levels)
{
    *set = (struct cr_interests){.levels = levels, .bell = -1};
}

/* The registrations go with the world. One by one they would be lost to the parent of a forked
 * child as well. */
void cr_interest_fini(struct cr_interests *set)
{
    set->levels->ops->close(set->levels);
    cr_table_fini(&set->table);
    free(set->steady);
}

/* ---- what is steady ---- */

static bool interest_steady_add(struct cr_interests *set, struct cr_interest *entry, int fd)
{
    if (set->steady_count == set->steady_capacity) {
        size_t capacity = set->steady_capacity ? 2 * set->steady_capacity : 8;
        int *steady = realloc(set->steady, capacity * sizeof *steady);
        if (!steady)
            return false;
        set->steady = steady;
        set->steady_capacity = capacity;
    }
    entry->index = (int)set->steady_count;
    entry->where = CR_INTEREST_STEADY;
    set->steady[set->steady_count++] = fd;
    return true;
}

/* The last one takes its place. */
static void interest_steady_remove(struct cr_interests *set, struct cr_interest *entry)
{
    int last = set->steady[--set->steady_count];
    set->steady[entry->index] = last;
    cr_interest_find(set, last)->index = entry->index;
    entry->where = CR_INTEREST_NOWHERE;
}

/* ---- registrations ---- */

/* 0; -ENOMEM; or -EBADF, before there is a page for a number that is out of all bounds. */
static int interest_make(struct cr_interests *set, int fd, struct cr_interest **entry)
{
    *entry = fd < 0 ? NULL : cr_interest_find(set, fd);
    if (*entry)
        return 0;
    int ready = fd < 0 ? -EBADF : set->levels->ops->ready(fd, COIR_IN);
    if (ready < 0)
        return ready;
    if (!cr_table_grow(&set->table, (size_t)fd, sizeof **entry))
        return -ENOMEM;
    *entry = cr_interest_find(set, fd);
    return 0;
}

/* Its file is gone, and no world watches it. */
static void interest_lose(struct cr_interest *entry)
{
    entry->where = CR_INTEREST_NOWHERE;
    entry->lost |= entry->mask;
    entry->mask = 0;
}

static void interest_forget(struct cr_interests *set, struct cr_interest *entry, int fd)
{
    struct cr_levels *levels = set->levels;
    levels->ops->watch(levels, fd, entry->index, cr_interest_token(entry, fd), entry->mask, 0);
    interest_lose(entry);
}

/* What the world watched cannot be polled any more. */
static int interest_settle(struct cr_interests *set, struct cr_interest *entry, int fd, int mask)
{
    if (!interest_steady_add(set, entry, fd)) {
        interest_lose(entry);
        return -ENOMEM;
    }
    entry->mask = (uint8_t)mask;
    return 0;
}

/* Changes what the world watches. When that was another file, it is lost then; a number that is
 * closed is left to the caller. */
static int interest_change(struct cr_interests *set, struct cr_interest *entry, int fd, int mask)
{
    struct cr_levels *levels = set->levels;
    uint64_t token = cr_interest_token(entry, fd);
    int index = levels->ops->watch(levels, fd, entry->index, token, entry->mask, mask);
    if (index == -EPERM)
        interest_forget(set, entry, fd);
    else if (index == -ENOENT)
        interest_lose(entry);
    else if (index == -EPIPE)
        return interest_settle(set, entry, fd, mask);
    else if (index < 0)
        return index;
    if (entry->where == CR_INTEREST_NOWHERE)
        return 0;
    entry->where = mask ? CR_INTEREST_WORLD : CR_INTEREST_NOWHERE;
    entry->index = index;
    entry->mask = (uint8_t)mask;
    return 0;
}

/* Registers a number of which the world knows nothing. What is steady and still cannot be polled is
 * the same file, as far as anybody can tell. */
static int interest_begin(struct cr_interests *set, struct cr_interest *entry, int fd,
                          int direction)
{
    struct cr_levels *levels = set->levels;
    bool steady = entry->where == CR_INTEREST_STEADY;
    int wanted = steady ? entry->mask | direction : direction;
    entry->generation++;
    int index = levels->ops->watch(levels, fd, 0, cr_interest_token(entry, fd), 0, wanted);
    if (index >= 0 && wanted != direction) /* it was another file */
        index = levels->ops->watch(levels, fd, index, cr_interest_token(entry, fd), wanted,
                                   direction);
    if (index < 0 && index != -EPERM)
        return index;
    if (index == -EPERM && !steady && !interest_steady_add(set, entry, fd))
        return -ENOMEM;
    if (index >= 0 && steady) {
        interest_steady_remove(set, entry);
        interest_lose(entry);
    }
    if (index >= 0) {
        entry->where = CR_INTEREST_WORLD;
        entry->index = index;
    }
    bool same = steady && index == -EPERM;
    entry->mask = (uint8_t)(same ? entry->mask | direction : direction);
    return 0;
}

void cr_interest_again(struct cr_interests *set, struct cr_interest *entry, int fd)
{
    if (entry->where == CR_INTEREST_WORLD)
        interest_change(set, entry, fd, entry->mask);
}

int cr_interest_add(struct cr_interests *set, int fd, int direction, void *user)
{
    struct cr_interest *entry;
    int result = interest_make(set, fd, &entry);
    if (result == 0 && entry->where == CR_INTEREST_WORLD)
        result = interest_change(set, entry, fd, entry->mask | direction);
    if (result == 0 && entry->where != CR_INTEREST_WORLD)
        result = interest_begin(set, entry, fd, direction);
    if (result < 0)
        return result;
    entry->lost &= (uint8_t)~direction;
    if (direction == COIR_IN)
        entry->in_user = user;
    else
        entry->out_user = user;
    return 0;
}

int cr_interest_del(struct cr_interests *set, int fd, int direction)
{
    struct cr_interest *entry = fd >= 0 ? cr_interest_find(set, fd) : NULL;
    if (!entry || !((entry->mask | entry->lost) & direction))
        return fd >= 0 ? -ENOENT : -EBADF;
    int mask = entry->mask & ~direction, result = 0;
    if (entry->where == CR_INTEREST_WORLD && mask != entry->mask)
        result = interest_change(set, entry, fd, mask);
    else if (entry->where == CR_INTEREST_STEADY && mask == 0)
        interest_steady_remove(set, entry);
    if (result == -EBADF)
        interest_forget(set, entry, fd);
    else if (result < 0)
        return result;
    entry->mask &= (uint8_t)~direction;
    entry->lost &= (uint8_t)~direction;
    return 0;
}

static int interest_bell(struct cr_levels *levels, int bell)
{
    int index = bell >= 0 ? levels->ops->watch(levels, bell, 0, CR_TOKEN_BELL, 0, COIR_IN) : 0;
    return index < 0 ? index : 0;
}

int cr_interest_hear(struct cr_interests *set, int bell)
{
    int result = set->bell < 0 ? interest_bell(set->levels, bell) : 0;
    if (result == 0)
        set->bell = bell;
    return result;
}

/* ---- ghosts ---- */

/* Watches in another world what is watched in this one, if it is still the same file. */
static int interest_copy(struct cr_interests *set, struct cr_levels *to, int fd)
{
    struct cr_interest *entry = cr_interest_find(set, fd);
    if (!entry || entry->where != CR_INTEREST_WORLD)
        return 0;
    int result = interest_change(set, entry, fd, entry->mask);
    if (result == -EBADF)
        interest_forget(set, entry, fd);
    if (entry->where != CR_INTEREST_WORLD)
        return 0;
    if (result < 0)
        return result;
    return to->ops->watch(to, fd, 0, cr_interest_token(entry, fd), 0, entry->mask);
}

/* Entries keep their index: only epoll has ghosts, and epoll does not use indices. */
int cr_interest_renew(struct cr_interests *set)
{
    struct cr_levels *new;
    int result = set->levels->ops->make(&new);
    if (result < 0)
        return result;
    result = interest_bell(new, set->bell);
    size_t count = cr_table_end(&set->table);
    for (size_t fd = 0; fd < count && result >= 0; fd++)
        result = interest_copy(set, new, (int)fd);
    if (result < 0) {
        new->ops->close(new);
        return result;
    }
    set->levels->ops->close(set->levels);
    set->levels = new;
    return 0;
}

/* ---- what is always ready ---- */

/* What a steady number is ready for; -EBADF when its file is gone; or another error. */
static int interest_steady_ready(struct cr_interests *set, const struct cr_interest *entry, int fd)
{
    struct cr_levels *levels = set->levels;
    int ready = levels->ops->ready(fd, entry->mask);
    if (ready != 0)
        return ready;
    uint64_t token = cr_interest_token(entry, fd);
    int index = levels->ops->watch(levels, fd, 0, token, 0, entry->mask);
    if (index >= 0)
        levels->ops->watch(levels, fd, index, token, entry->mask, 0);
    return index == -EPERM ? entry->mask : -EBADF;
}

/* One that is gone makes the last one take its index, so all begins again. */
int cr_interest_steady(struct cr_interests *set, struct cr_level *levels, int most)
{
    int got = 0;
    for (size_t left = set->steady_count; left > 0 && got < most; left--) {
        size_t at = set->steady_next < set->steady_count ? set->steady_next : 0;
        int fd = set->steady[at];
        struct cr_interest *entry = cr_interest_find(set, fd);
        int ready = interest_steady_ready(set, entry, fd), beside = ready & (COIR_HUP | COIR_ERR);
        if (ready < 0 && ready != -EBADF)
            return got > 0 ? got : ready;
        if (ready == -EBADF) {
            interest_steady_remove(set, entry);
            interest_lose(entry);
            left = set->steady_count + 1;
            got = 0;
            continue;
        }
        set->steady_next = at + 1;
        levels[got++] = (struct cr_level){
            .token = cr_interest_token(entry, fd),
            .in = ready & COIR_IN ? COIR_IN | beside : 0,
            .out = ready & COIR_OUT ? COIR_OUT | beside : 0,
        };
    }
    return got;
}
