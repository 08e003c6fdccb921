/* What is remembered of descriptors: how it is made, and how it ends. A close that is noticed ends
 * it for all who wait. fd.h says what it is. */
#include "fd.h"

#include "../core/sched.h"

struct cr_fd cr_fd_none = {.fd = -1, .last = {CR_FD_NOBODY, CR_FD_NOBODY}};

struct cr_fd *cr_fd_make(struct cr_table *fds, int fd)
{
    struct cr_fd *entry = cr_fd_place(fds, fd);
    if (!entry && !cr_table_grow(fds, (size_t)fd, sizeof *entry))
        return NULL;
    entry = cr_fd_place(fds, fd);
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

static void fd_trust_short(struct cr_fd *entry)
{
    if (entry->kind & CR_FD_SHORT_EMPTIES && !(entry->ready & (COIR_HUP | CR_URGENT)))
        entry->ready |= CR_SHORT;
}

void cr_fd_connect(struct cr_fd *entry)
{
    entry->ready &= (uint8_t)~(COIR_HUP | CR_URGENT);
    fd_trust_short(entry);
}

void cr_fd_own(struct cr_fd *entry, int kind)
{
    entry->kind = (uint8_t)kind;
    entry->last[0] = entry->last[1] = CR_FD_NOBODY;
    entry->ready &= (uint8_t)~CR_SHORT;
    fd_trust_short(entry);
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
