/* The table of descriptors: pages of entries, filled where numbers are in use; and what an event
 * does to an entry and to those who wait on it. fd.h says what an entry is. */
#include "fd.h"

#include "sched.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE_ENTRIES = 4096 };

void cr_fd_fini(struct cr_fds *fds)
{
    for (size_t i = 0; i < fds->pages_count; i++)
        free(fds->pages[i]);
    free(fds->pages);
}

static struct cr_fd *fd_at(const struct cr_fds *fds, int fd)
{
    size_t page = (size_t)fd / PAGE_ENTRIES;
    if (page >= fds->pages_count || !fds->pages[page])
        return NULL;
    return &fds->pages[page][fd % PAGE_ENTRIES];
}

struct cr_fd *cr_fd_find(const struct cr_fds *fds, int fd)
{
    struct cr_fd *entry = fd_at(fds, fd);
    return entry && entry->waiters.next ? entry : NULL;
}

int cr_fd_end(const struct cr_fds *fds)
{
    return (int)(fds->pages_count * PAGE_ENTRIES);
}

static bool fd_grow(struct cr_fds *fds, size_t page)
{
    if (page >= fds->pages_count) {
        size_t count = page + 1;
        struct cr_fd **pages = realloc(fds->pages, count * sizeof(struct cr_fd *));
        if (!pages)
            return false;
        memset(pages + fds->pages_count, 0, (count - fds->pages_count) * sizeof(struct cr_fd *));
        fds->pages = pages;
        fds->pages_count = count;
    }
    if (!fds->pages[page])
        fds->pages[page] = calloc(PAGE_ENTRIES, sizeof(struct cr_fd));
    return fds->pages[page];
}

/* No fiber has this number, but for one in four thousand million. */
static void fd_called_by_nobody(struct cr_fd *entry)
{
    entry->last[0] = entry->last[1] = UINT32_MAX;
}

struct cr_fd *cr_fd_make(struct cr_fds *fds, int fd)
{
    if (!fd_at(fds, fd) && !fd_grow(fds, (size_t)fd / PAGE_ENTRIES))
        return NULL;
    struct cr_fd *entry = fd_at(fds, fd);
    if (!entry->waiters.next) {
        cr_list_init(&entry->waiters);
        cr_list_init(&entry->operations);
        fd_called_by_nobody(entry);
    }
    return entry;
}

int cr_fd_attach(struct cr_world *world, struct cr_fd *entry, int fd)
{
    int place = world->attach(world, fd, cr_fd_token(entry, fd));
    if (place < 0)
        return place;
    entry->place = place;
    entry->attached = true;
    entry->ready = 0;
    return 0;
}

void cr_fd_detach(struct cr_world *world, struct cr_fd *entry, int fd)
{
    world->detach(world, fd, entry->place);
    entry->attached = false;
}

static void fd_wake_all(struct cr_list *ring)
{
    while (!cr_list_empty(ring))
        cr_sched_wake(CR_CONTAINER(ring->next, struct cr_wait, link)->fiber, -EBADF);
}

void cr_fd_forget(struct coir_sched *sched, struct cr_fd *entry, int fd)
{
    if (entry->attached)
        cr_fd_detach(&sched->world, entry, fd);
    entry->generation++;
    entry->owned = false;
    entry->kind = entry->ready = 0;
    fd_called_by_nobody(entry);
    fd_wake_all(&entry->waiters);
    fd_wake_all(&entry->operations);
}

void cr_fd_event(struct coir_sched *sched, uint64_t token, int mask)
{
    int fd = (int)((uint32_t)token >> 1);
    struct cr_fd *entry = cr_fd_find(&sched->fds, fd);
    if (!entry || !entry->attached || cr_fd_token(entry, fd) != token)
        return;
    if (CR_UNLIKELY(mask & CR_GONE)) {
        cr_fd_forget(sched, entry, fd);
        return;
    }
    entry->ready |= (uint8_t)mask;
    int told = mask | (entry->ready & COIR_HUP), taken = 0;
    struct cr_list *item = entry->waiters.next;
    while (item != &entry->waiters) {
        struct cr_fd_wait *wait = CR_CONTAINER(item, struct cr_fd_wait, wait.link);
        item = item->next;
        if (!(wait->mask & mask))
            continue;
        wait->shared = wait->mask & taken;
        taken |= wait->mask;
        cr_sched_wake(wait->wait.fiber, told & (wait->mask | COIR_HUP | COIR_ERR));
    }
}
