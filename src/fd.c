/* The table of descriptors: pages of entries, filled where numbers are in use. fd.h says what an
 * entry is. */
#include "fd.h"

#include "sched.h"

#include <stdlib.h>
#include <string.h>

struct cr_fd cr_fd_none = {.fd = -1, .last = {CR_FD_NOBODY, CR_FD_NOBODY}};

void cr_fd_fini(struct cr_fds *fds)
{
    for (size_t i = 0; i < fds->pages_count; i++)
        free(fds->pages[i]);
    free(fds->pages);
}

int cr_fd_end(const struct cr_fds *fds)
{
    return (int)(fds->pages_count * CR_FD_PAGE_ENTRIES);
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
        fds->pages[page] = calloc(CR_FD_PAGE_ENTRIES, sizeof(struct cr_fd));
    return fds->pages[page];
}

struct cr_fd *cr_fd_make(struct cr_fds *fds, int fd)
{
    if (!cr_fd_at(fds, fd) && !fd_grow(fds, (size_t)fd / CR_FD_PAGE_ENTRIES))
        return NULL;
    struct cr_fd *entry = cr_fd_at(fds, fd);
    if (!entry->waiters.next) {
        entry->fd = fd;
        cr_list_init(&entry->waiters);
        cr_list_init(&entry->operations);
        entry->last[0] = entry->last[1] = CR_FD_NOBODY;
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
    entry->ready &= CR_SHORT;
    return 0;
}

void cr_fd_detach(struct cr_world *world, struct cr_fd *entry, int fd)
{
    if (!world->detach(world, fd, entry->place))
        entry->generation++;
    entry->attached = false;
}

void cr_fd_own(struct cr_fd *entry, int kind)
{
    entry->kind = (uint8_t)kind;
    if (kind & CR_FD_SHORT_EMPTIES && !(entry->ready & (COIR_HUP | CR_URGENT)))
        entry->ready |= CR_SHORT;
    entry->ready |= COIR_IN | COIR_OUT;
    entry->owned = true;
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
    entry->last[0] = entry->last[1] = CR_FD_NOBODY;
    fd_wake_all(&entry->waiters);
    fd_wake_all(&entry->operations);
}
