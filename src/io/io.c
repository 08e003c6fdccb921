/* Waiting for descriptors, and the calls on them.
 *
 * A call tries first, and waits only for an edge after the kernel said EAGAIN or a short read
 * proved that nothing is left; the entry's `ready` remembers which. coir_wait_fd trusts no memory:
 * others may have read or written behind coir's back, so it asks the kernel.
 *
 * Whoever comes back from a wait looks at the entry's generation before anything else: another one
 * means that coir_close has taken the number away. */
#include "io.h"

#include "../debug/debug.h"
#include "../core/sched.h"

#include <limits.h>
#include <stdio.h>

enum { IO_ASK_AGAIN = INT_MIN };

/* A pending operation, on the stack of its fiber. Its address is its token. */
struct cr_op {
    struct cr_wait wait;
    int fd;
    int64_t value;
    bool done;
};

static void io_describe_fd(const struct cr_wait *wait, char *text, size_t size)
{
    const struct cr_fd_wait *fd_wait = CR_CONTAINER(wait, struct cr_fd_wait, wait);
    const char *what = fd_wait->mask == COIR_IN ? "readable" : "writable";
    if (fd_wait->mask == (COIR_IN | COIR_OUT))
        what = "readable or writable";
    snprintf(text, size, "%d to be %s", fd_wait->fd, what);
}

static void io_describe_op(const struct cr_wait *wait, char *text, size_t size)
{
    snprintf(text, size, "%d", CR_CONTAINER(wait, struct cr_op, wait)->fd);
}

static const struct cr_wait_kind WAIT_FD = {
    .name = "descriptor ",
    .woken = -EINTR,
    .expired = -ETIMEDOUT,
    .on_fd = true,
    .describe = io_describe_fd,
};

const struct cr_wait_kind cr_io_calls = {
    .name = "descriptor ",
    .woken = -EBUSY,
    .expired = -ETIMEDOUT,
    .on_fd = true,
    .describe = io_describe_fd,
};

static const struct cr_wait_kind OPERATION = {
    .name = "an operation on descriptor ",
    .woken = -EBUSY,
    .expired = -ETIMEDOUT,
    .on_fd = true,
    .describe = io_describe_op,
};

static const struct cr_wait_kind OPERATION_STOPPED = {
    .name = "the end of a cancelled operation on descriptor ",
    .woken = -EBUSY,
    .firm = true,
    .on_fd = true,
    .describe = io_describe_op,
};

bool cr_io_ask_same(struct cr_fiber *self, struct cr_fd *entry, int fd, int mask)
{
    struct cr_world *world = &self->sched->world;
    entry->last[mask >> 1] = self->number;
    self->quick[mask >> 1] = &cr_fd_none;
    if (!entry->attached || !world->lost(world, fd, cr_fd_token(entry, fd)))
        return true;
    cr_fd_forget(self->sched, entry, fd);
    return false;
}

/* For what cannot be polled, and so is ready: lets others run. */
static int io_rest(struct cr_fiber *self, struct cr_fd *entry, int mask)
{
    uint32_t generation = entry->generation;
    cr_sched_rest(self);
    if (entry->generation != generation)
        return -EBADF;
    entry->ready |= (uint8_t)mask;
    return mask;
}

/* The last to wait for a foreign descriptor takes its registration off. */
static void io_leave(struct cr_world *world, struct cr_fd *entry, int fd)
{
    if (entry->attached && !entry->owned && cr_list_empty(&entry->waiters))
        cr_fd_detach(world, entry, fd);
}

/* Waits for any descriptor, attached or not. IO_ASK_AGAIN: another fiber was woken before by the
 * same event, and may have taken what there was. */
static CR_NOINLINE int io_wait(struct cr_fiber *self, const struct cr_wait_kind *kind,
                               struct cr_fd *entry, int fd, int mask, uint64_t until)
{
    struct coir_sched *sched = self->sched;
    struct cr_world *world = &sched->world;
    if (self->stop)
        return cr_sched_refuse(self);
    if (entry->attached && !entry->owned && world->lost(world, fd, cr_fd_token(entry, fd)))
        cr_fd_forget(sched, entry, fd);
    if (!entry->attached) {
        int attached = cr_fd_attach(world, entry, fd);
        if (attached < 0)
            return attached == -EPERM ? io_rest(self, entry, mask) : attached;
    }
    struct cr_fd_wait wait = {.wait.kind = kind, .fd = fd, .mask = mask};
    int result = cr_io_park(self, entry, &wait, until);
    io_leave(world, entry, fd);
    if (result > 0 && wait.shared)
        return IO_ASK_AGAIN;
    if (result > 0)
        result = (result | (entry->ready & COIR_HUP)) & (mask | COIR_HUP | COIR_ERR);
    return result;
}

/* The number may be closed during a rest, and must be known for that to be seen. */
static int io_begin_after_rest(struct cr_fiber *self, int fd, int mask)
{
    struct coir_sched *sched = self->sched;
    struct cr_fd *entry = cr_fd_find(&sched->fds, fd);
    int ready = entry ? 0 : sched->world.ready(&sched->world, fd, mask);
    if (ready >= 0 && !entry && !(entry = cr_fd_make(&sched->fds, fd)))
        ready = -ENOMEM;
    uint32_t generation = entry ? entry->generation : 0;
    cr_sched_rest(self);
    if (ready < 0)
        return ready;
    return entry->generation == generation ? 0 : -EBADF;
}

static CR_COLD int io_begin_rarely(struct cr_fiber *self, int fd, int mask)
{
    int result = self->sched->budget < 0 ? io_begin_after_rest(self, fd, mask) : 0;
    return self->stop ? cr_sched_refuse(self) : result;
}

/* What a call counts as, before it does anything, so that no answer is held over a rest. */
CR_INLINE int io_begin(struct cr_fiber *self, int fd, int mask)
{
    if (CR_LIKELY(--self->sched->budget >= 0 && !self->stop))
        return 0;
    return io_begin_rarely(self, fd, mask);
}

int cr_io_begin(struct cr_fiber *self, int fd, int mask)
{
    return io_begin(self, fd, mask);
}

/* io_wait for a number that may have no entry yet. */
static int io_wait_for(struct cr_fiber *self, const struct cr_wait_kind *kind, int fd, int mask,
                       uint64_t until)
{
    struct cr_fd *entry = cr_fd_make(&self->sched->fds, fd);
    return entry ? io_wait(self, kind, entry, fd, mask, until) : -ENOMEM;
}

int coir_wait_fd(int fd, int mask, uint64_t until)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_wait_fd", CR_CALLER);
    struct cr_world *world = &self->sched->world;
    if (CR_UNLIKELY(!(mask & (COIR_IN | COIR_OUT)) || mask & ~(COIR_IN | COIR_OUT)))
        return -EINVAL;
    int ready = io_begin(self, fd, mask);
    struct cr_fd *entry = cr_fd_find(&self->sched->fds, fd);
    if (ready == 0 && entry && entry->owned)
        cr_io_is_same(self, entry, fd, mask);
    while (ready == 0 || ready == IO_ASK_AGAIN) {
        ready = world->ready(world, fd, mask);
        if (ready == 0)
            ready = until == 0 ? -ETIMEDOUT : io_wait_for(self, &WAIT_FD, fd, mask, until);
    }
    return ready;
}

void cr_io_complete(uint64_t token, int64_t value)
{
    struct cr_op *op = (struct cr_op *)(uintptr_t)token;
    op->value = value;
    op->done = true;
    struct cr_fiber *fiber = op->wait.fiber;
    if (fiber->wait == &op->wait)
        cr_sched_wake(fiber, 0);
}

/* Waits for a pending operation. Its buffer is the caller's, so the call cannot return before the
 * event, stopped or not; what the operation did is reported in any case. */
static CR_COLD int64_t io_finish(struct cr_fiber *self, struct cr_fd *entry, struct cr_op *op,
                                 const struct cr_io *io)
{
    struct cr_world *world = &self->sched->world;
    uint32_t generation = entry->generation;
    *op = (struct cr_op){.wait = {.fiber = self, .kind = &OPERATION}, .fd = io->fd};
    struct cr_wait *wait = &op->wait;
    world->waiting++;
    cr_list_append(&entry->operations, &wait->link);
    int outcome = cr_sched_park(self, wait, io->until);
    if (!op->done) {
        world->cancel(world, (uint64_t)(uintptr_t)op);
        wait->kind = &OPERATION_STOPPED;
        cr_list_init(&wait->link);
        cr_sched_park_firmly(self, wait);
    }
    world->waiting--;
    if (op->value == -EAGAIN && entry->generation != generation)
        return -EBADF;
    return op->value == -ECANCELED && outcome < 0 ? outcome : op->value;
}

/* One try in the world. */
static int64_t io_try(struct cr_fiber *self, struct cr_fd *entry, const struct cr_io *io)
{
    struct cr_world *world = &self->sched->world;
    struct cr_op op;
    uint64_t token = (uint64_t)(uintptr_t)&op;
    int64_t result;
    if (io->call)
        result = world->call(world, io->call, token);
    else if (io->mask == COIR_IN)
        result = world->read(world, io->fd, io->buf, io->size, token);
    else
        result = world->write(world, io->fd, io->data, io->size, entry->kind, token);
    return CR_LIKELY(result != CR_PENDING) ? result : io_finish(self, entry, &op, io);
}

/* What is over at once, also where nothing can be read or written: no bytes, or a wrong address. */
static bool io_is_nothing(const struct cr_io *io)
{
    const struct cr_call *call = io->call;
    if (!call)
        return io->size == 0;
    if (call->kind == CR_CALL_RECVMSG || call->kind == CR_CALL_SENDMSG)
        return !call->message;
    bool parts = call->kind == CR_CALL_READV || call->kind == CR_CALL_WRITEV;
    return parts && (!call->parts || call->count <= 0 || call->count > IOV_MAX);
}

/* Whether a try might block although the kernel was not asked before. */
static bool io_might_block(const struct cr_io *io)
{
    bool asks = !io->call || io->call->kind == CR_CALL_READV || io->call->kind == CR_CALL_WRITEV;
    return asks && !io_is_nothing(io);
}

/* Of a descriptor that is not coir's the kernel is asked first, since a try might block. */
static CR_COLD int64_t io_foreign(struct cr_fiber *self, const struct cr_io *io)
{
    struct cr_world *world = &self->sched->world;
    for (;;) {
        bool might_block = io_might_block(io), known = cr_fd_find(&self->sched->fds, io->fd);
        int64_t result = might_block || !known ? world->ready(world, io->fd, io->mask) : 0;
        if (result < 0)
            return result;
        struct cr_fd *entry = cr_fd_make(&self->sched->fds, io->fd);
        if (!entry)
            return -ENOMEM;
        if (result == 0 && might_block)
            result = -EAGAIN;
        else if (io->mask == COIR_IN || io->call)
            result = io_try(self, entry, io);
        else
            result = world->write_foreign(world, io->fd, io->data, io->size);
        if (result != -EAGAIN)
            return result;
        if (io->until == 0)
            return -ETIMEDOUT;
        int woken = io_wait(self, &cr_io_calls, entry, io->fd, io->mask, io->until);
        if (woken < 0 && woken != IO_ASK_AGAIN)
            return woken;
    }
}

static int64_t io_owned(struct cr_fiber *self, struct cr_fd *entry, const struct cr_io *io)
{
    uint64_t until = io->until;
    for (;;) {
        if (entry->ready & io->mask || until == 0 || io_is_nothing(io)) {
            int64_t result = io_try(self, entry, io);
            if (io->mask == COIR_IN && result > 0 && (size_t)result < io->size)
                cr_io_note_short(entry);
            if (CR_LIKELY(result != -EAGAIN))
                return result;
            if (!io->aside)
                entry->ready &= (uint8_t)~io->mask;
        }
        if (until == 0)
            return -ETIMEDOUT;
        uint32_t generation = entry->generation;
        int woken = io_wait(self, &cr_io_calls, entry, io->fd, io->mask, until);
        if (cr_io_is_late(self, entry, generation, woken))
            until = 0;
        else if (CR_UNLIKELY(woken < 0 && woken != IO_ASK_AGAIN))
            return woken;
    }
}

/* Where a call of this fiber's may go the short way (rw.c) the next time. */
static bool io_has_short_way(const struct cr_world *world, const struct cr_fd *entry, int mask)
{
    if (mask == COIR_IN)
        return entry->attached && world->read == cr_posix_read;
    return entry->kind & CR_FD_SOCKET && world->write == cr_posix_write;
}

int64_t cr_io_call(struct cr_fiber *self, const struct cr_io *io)
{
    int begun = io_begin(self, io->fd, io->mask);
    if (CR_UNLIKELY(begun < 0))
        return begun;
    struct cr_fd *entry = cr_fd_find(&self->sched->fds, io->fd);
    bool owned = entry && entry->owned && cr_io_is_same(self, entry, io->fd, io->mask);
    if (owned && io_has_short_way(&self->sched->world, entry, io->mask))
        self->quick[io->mask >> 1] = entry;
    int64_t result = owned ? io_owned(self, entry, io) : io_foreign(self, io);
    if (result > 0)
        self->sched->progress = true;
    return result;
}

int cr_io_own(struct coir_sched *sched, int fd, int kind)
{
    struct cr_fd *entry = cr_fd_make(&sched->fds, fd);
    if (!entry) {
        sched->world.close(&sched->world, fd);
        return -ENOMEM;
    }
    cr_fd_forget(sched, entry, fd);
    cr_fd_own(entry, kind);
    return fd;
}

int coir_adopt(int fd)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_adopt", CR_CALLER);
    struct cr_fd *entry = cr_fd_find(&sched->fds, fd);
    int ready = entry ? 0 : sched->world.ready(&sched->world, fd, COIR_IN);
    if (ready < 0)
        return ready;
    if (!entry && !(entry = cr_fd_make(&sched->fds, fd)))
        return -ENOMEM;
    if (entry->attached && sched->world.lost(&sched->world, fd, cr_fd_token(entry, fd)))
        cr_fd_forget(sched, entry, fd);
    bool waited_for = entry->attached;
    int attached = waited_for ? 0 : cr_fd_attach(&sched->world, entry, fd);
    if (attached < 0 && attached != -EPERM)
        return attached;
    int kind = sched->world.adopt(&sched->world, fd);
    if (kind < 0) {
        if (entry->attached && !waited_for)
            cr_fd_detach(&sched->world, entry, fd);
        return kind;
    }
    cr_fd_own(entry, kind);
    return 0;
}

int cr_io_wait(struct cr_fiber *self, int fd, int mask, uint64_t until)
{
    struct cr_fd *entry = cr_fd_find(&self->sched->fds, fd);
    if (entry)
        entry->ready &= (uint8_t)~mask;
    int woken = io_wait_for(self, &cr_io_calls, fd, mask, until);
    return woken < 0 && woken != IO_ASK_AGAIN ? woken : 0;
}

static const struct cr_wait_kind PAUSE = {
    .name = "room in the queue of a Unix socket",
    .woken = -EBUSY,
    .expired = -ETIMEDOUT,
    .on_fd = true,
};

/* Without directions, so no event ends it; coir_close does. */
int cr_io_pause(struct cr_fiber *self, int fd, uint64_t until)
{
    struct cr_fd *entry = cr_fd_make(&self->sched->fds, fd);
    if (!entry)
        return -ENOMEM;
    uint32_t generation = entry->generation;
    struct cr_fd_wait wait = {.wait.kind = &PAUSE, .fd = fd};
    cr_list_append(&entry->waiters, &wait.wait.link);
    int result = cr_sched_park(self, &wait.wait, until);
    io_leave(&self->sched->world, entry, fd);
    return entry->generation != generation && result == -ETIMEDOUT ? -EBADF : result;
}

int coir_close(int fd)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_close", CR_CALLER);
    struct cr_fd *entry = fd >= 0 ? cr_fd_find(&sched->fds, fd) : NULL;
    if (entry)
        cr_fd_forget(sched, entry, fd);
    return sched->world.close(&sched->world, fd);
}
