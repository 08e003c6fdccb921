/* What is remembered of descriptors: how it is made, and how it ends. A close that is noticed ends
 * it for all waiters. fd.h says what it is. */
#include "io.h"

#include <stdlib.h>

/* ---- entries ---- */

void cr_fd_init(struct cr_fds *fds, const struct cr_world *world)
{
    fds->allows_fast = world->plain && world->edges;
}

void cr_fd_fini(struct cr_fds *fds)
{
    cr_table_fini(&fds->table);
}

static bool fd_grow(struct cr_fds *fds, int fd)
{
    if (!cr_table_grow(&fds->table, (size_t)fd, sizeof(struct cr_fd)))
        return false;
    fds->first = cr_table_find(&fds->table, 0, sizeof(struct cr_fd));
    if (fds->first && fds->allows_fast)
        fds->fast_count = CR_TABLE_PAGE;
    return true;
}

struct cr_fd *cr_fd_make(struct cr_fds *fds, int fd)
{
    struct cr_fd *entry = cr_table_find(&fds->table, (size_t)fd, sizeof *entry);
    if (!entry && !fd_grow(fds, fd))
        return NULL;
    entry = cr_table_at(&fds->table, (size_t)fd, sizeof *entry);
    if (!entry->waiters[0].next) {
        entry->token = cr_token_of_fd(0, fd);
        cr_list_init(&entry->waiters[CR_FD_IN]);
        cr_list_init(&entry->waiters[CR_FD_OUT]);
        cr_list_init(&entry->others);
        cr_identity_reset(entry);
    }
    return entry;
}

bool cr_io_is_own(struct cr_io *io, int fd)
{
    const struct cr_fd *entry = cr_fd_find(&io->fds, fd);
    int own = 0;
    for (int i = 0; own >= 0 && own != fd; i++)
        own = io->world->ops->own(io->world, i);
    return (entry && entry->is_own) || (fd > 0 && own == fd);
}

/* ---- ownership ---- */

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
    cr_identity_reset(entry);
    entry->ready &= (uint8_t)~CR_SHORT;
    fd_trust_short(entry);
    entry->ready |= COIR_IN | COIR_OUT;
    entry->owned = true;
}

static void fd_begin_generation(struct cr_fd *entry)
{
    entry->token += UINT64_C(1) << CR_TOKEN_GENERATION_SHIFT;
}

static void fd_detach(struct cr_io *io, struct cr_fd *entry)
{
    if (!io->world->ops->detach(io->world, cr_fd_number(entry), entry->index)) {
        fd_begin_generation(entry);
        io->has_ghosts = true;
    }
    entry->attached = false;
}

static void fd_end_all(struct cr_list *ring, int result)
{
    while (!cr_list_empty(ring))
        cr_sched_end(CR_CONTAINER(ring->next, struct cr_wait, link), result);
}

void cr_fd_forget(struct cr_io *io, struct cr_fd *entry)
{
    if (entry->attached)
        fd_detach(io, entry);
    fd_begin_generation(entry);
    entry->owned = false;
    entry->holds = entry->asides = 0;
    entry->kind = entry->ready = 0;
    cr_identity_reset(entry);
    fd_end_all(&entry->waiters[CR_FD_IN], -EBADF);
    fd_end_all(&entry->waiters[CR_FD_OUT], -EBADF);
    fd_end_all(&entry->others, -EBADF);
}

void cr_fd_forget_own(struct cr_io *io)
{
    int own = 0;
    for (int i = 0; own >= 0; i++) {
        own = io->world->ops->own(io->world, i);
        struct cr_fd *entry = own >= 0 ? cr_fd_find(&io->fds, own) : NULL;
        if (entry)
            cr_fd_forget(io, entry);
    }
}

int cr_fd_enter(struct cr_io *io, int fd, int kind)
{
    struct cr_fd *entry = cr_fd_make(&io->fds, fd);
    if (!entry) {
        struct cr_op op = {.kind = CR_OP_CLOSE, .fd = fd, .at_once = true};
        io->world->ops->start(io->world, &op);
        return -ENOMEM;
    }
    cr_fd_forget(io, entry);
    cr_fd_own(entry, kind);
    return fd;
}

int coir_adopt(int fd)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_adopt", CR_CALLER);
    struct cr_io *io = cr_io_of(sched);
    struct cr_world *world = io->world;
    if (CR_UNLIKELY(cr_io_is_own(io, fd)))
        return -EBADF;
    struct cr_fd *entry = cr_fd_find(&io->fds, fd);
    int ready = entry ? 0 : world->ops->ready(world, fd, COIR_IN);
    if (ready < 0)
        return ready;
    if (!entry && !(entry = cr_fd_make(&io->fds, fd)))
        return -ENOMEM;
    cr_identity_check(io, entry);
    bool was_attached = entry->attached;
    int attached = cr_fd_attach(io, entry);
    if (attached < 0 && attached != -EPERM)
        return attached;
    int kind = world->ops->adopt(world, fd);
    if (kind < 0) {
        if (entry->attached && !was_attached)
            fd_detach(io, entry);
        return kind;
    }
    cr_fd_own(entry, kind);
    cr_fd_pass_on(entry, COIR_IN | COIR_OUT);
    return 0;
}

/* ---- waiting ---- */

/* The first time the world opens its own descriptors, which may get the number, if it is free. */
int cr_fd_attach(struct cr_io *io, struct cr_fd *entry)
{
    if (entry->attached)
        return 0;
    bool opens = io->world->ops->own(io->world, 0) < 0;
    int index = io->world->ops->attach(io->world, cr_fd_number(entry), entry->token);
    if (opens)
        cr_fd_forget_own(io);
    if (index < 0)
        return opens && cr_io_is_own(io, cr_fd_number(entry)) ? -EBADF : index;
    entry->index = index;
    entry->attached = true;
    entry->ready &= CR_SHORT;
    return 0;
}

int cr_fd_listen(struct cr_io *io, int fd)
{
    struct cr_fd *entry = cr_fd_find(&io->fds, fd);
    if (!entry || !entry->attached)
        return 0;
    fd_detach(io, entry);
    int attached = cr_fd_attach(io, entry);
    if (attached < 0) {
        fd_end_all(&entry->waiters[CR_FD_IN], attached);
        fd_end_all(&entry->waiters[CR_FD_OUT], attached);
        return attached;
    }
    cr_fd_arm_again(io, entry, COIR_IN | COIR_OUT);
    return 0;
}

bool cr_fd_attach_again(struct cr_io *io)
{
    size_t end = cr_table_end(&io->fds.table);
    for (size_t number = 0; number < end; number++) {
        struct cr_fd *entry = cr_fd_find(&io->fds, (int)number);
        if (!entry || !entry->attached || !cr_identity_check(io, entry))
            continue;
        if (io->world->ops->attach(io->world, (int)number, entry->token) < 0)
            return false;
    }
    return true;
}

/* The number may have been closed since the others began to wait. */
int cr_fd_hold(struct cr_io *io, struct cr_fd *entry)
{
    cr_identity_check(io, entry);
    int attached = cr_fd_attach(io, entry);
    if (attached == 0)
        entry->holds++;
    return attached;
}

void cr_fd_release(struct cr_io *io, struct cr_fd *entry)
{
    if (--entry->holds == 0 && entry->attached && !entry->owned)
        fd_detach(io, entry);
}

/* A case of a select may hang again. */
static void fd_end_ring(struct cr_list *ring, int mask)
{
    struct cr_list all;
    cr_list_append(ring, &all);
    cr_list_remove(ring);
    cr_list_init(ring);
    for (bool again = false; !cr_list_empty(&all); again = true)
        fd_end(&all, mask, again);
}

static void fd_end_urgent(struct cr_list *ring)
{
    for (struct cr_list *next, *link = ring->next; link != ring; link = next) {
        struct cr_fd_wait *wait = CR_CONTAINER(link, struct cr_fd_wait, wait.link);
        next = link->next;
        if (!(wait->mask & CR_URGENT))
            continue;
        wait->again = false;
        cr_sched_end(&wait->wait, COIR_IN);
    }
}

void cr_fd_wake_all(struct cr_fd *entry, int mask)
{
    if (mask & COIR_IN)
        fd_end_ring(&entry->waiters[CR_FD_IN], mask);
    else if (mask & CR_URGENT)
        fd_end_urgent(&entry->waiters[CR_FD_IN]);
    if (mask & COIR_OUT)
        fd_end_ring(&entry->waiters[CR_FD_OUT], mask);
}

void cr_fd_wake_next(struct cr_fd *entry, int ready)
{
    int mask = ready | (entry->ready & COIR_HUP);
    if (entry->asides) {
        cr_fd_wake_all(entry, mask);
        return;
    }
    if (ready & COIR_IN && !cr_list_empty(&entry->waiters[CR_FD_IN]))
        fd_end(&entry->waiters[CR_FD_IN], mask, true);
    if (ready & COIR_OUT && !cr_list_empty(&entry->waiters[CR_FD_OUT]))
        fd_end(&entry->waiters[CR_FD_OUT], mask, true);
}

void cr_fd_arm_again(struct cr_io *io, struct cr_fd *entry, int mask)
{
    if (!entry->attached)
        return;
    if (mask & COIR_IN && !cr_list_empty(&entry->waiters[CR_FD_IN]))
        cr_world_arm(io->world, cr_fd_number(entry), entry->index, COIR_IN);
    if (mask & COIR_OUT && !cr_list_empty(&entry->waiters[CR_FD_OUT]))
        cr_world_arm(io->world, cr_fd_number(entry), entry->index, COIR_OUT);
}

bool cr_fd_note_end(struct cr_io *io, struct cr_fd *entry, int mask)
{
    if (mask & CR_GONE)
        cr_fd_forget(io, entry);
    else if (mask & (COIR_HUP | CR_URGENT))
        entry->ready &= (uint8_t)~CR_SHORT;
    return !(mask & CR_GONE);
}
