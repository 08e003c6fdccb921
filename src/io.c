/* Waiting for descriptors, and the calls on them.
 *
 * A call tries first, and waits only for an edge after the kernel said EAGAIN or a short read
 * proved that nothing is left; the entry's `ready` remembers which. coir_wait_fd trusts no memory:
 * others may have read or written behind coir's back, so it asks the kernel.
 *
 * Whoever comes back from a wait looks at the entry's generation before anything else: another one
 * means that coir_close has taken the number away. */
#include "io.h"

#include "debug/debug.h"
#include "sched.h"

#include <limits.h>
#include <stdio.h>

/* The world's half of a call on a descriptor: cr_world.read or .write in one shape. */
struct io_call {
    int fd, mask;
    void *buf;
    const void *data;
    size_t size;
    uint64_t until;
};

enum { IO_ASK_AGAIN = INT_MIN };

/* A pending operation; its address is its token. */
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

static const struct cr_wait_kind CALL_FD = {
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

/* Parks until the descriptor is ready for `mask`: what for, or why not. IO_ASK_AGAIN: another fiber
 * was woken before by the same event, and may have taken what there was. */
static int io_wait(struct cr_fiber *self, const struct cr_wait_kind *kind, int fd, int mask,
                   uint64_t until)
{
    struct coir_sched *sched = self->sched;
    struct cr_fd *entry = cr_fd_make(&sched->fds, fd);
    if (!entry)
        return -ENOMEM;
    if (!entry->attached) {
        int attached = cr_fd_attach(&sched->world, entry, fd);
        if (attached == -EPERM)
            return io_rest(self, entry, mask);
        if (attached < 0)
            return attached;
    }
    uint32_t generation = entry->generation;
    sched->world.arm(&sched->world, fd, entry->place, mask);
    struct cr_fd_wait wait = {.wait.kind = kind, .fd = fd, .mask = mask};
    cr_list_append(&entry->waiters, &wait.wait.link);
    sched->world.waiting++;
    int result = cr_sched_park(self, &wait.wait, until);
    sched->world.waiting--;
    if (entry->generation != generation)
        return result < 0 ? result : -EBADF;
    if (entry->attached && !entry->owned && cr_list_empty(&entry->waiters))
        cr_fd_detach(&sched->world, entry, fd);
    return result > 0 && wait.shared ? IO_ASK_AGAIN : result;
}

/* What a call counts as, before it does anything, so that no answer is held over a rest. The number
 * may be closed during the rest, and must be known for that to be seen. */
static int io_spend(struct cr_fiber *self, int fd, int mask)
{
    struct coir_sched *sched = self->sched;
    if (CR_LIKELY(--sched->budget >= 0))
        return 0;
    struct cr_fd *entry = cr_fd_find(&sched->fds, fd);
    int ready = entry ? 0 : sched->world.ready(&sched->world, fd, mask);
    if (ready < 0)
        return ready;
    if (!entry && !(entry = cr_fd_make(&sched->fds, fd)))
        return -ENOMEM;
    uint32_t generation = entry->generation;
    cr_sched_rest(self);
    return entry->generation == generation ? 0 : -EBADF;
}

int coir_wait_fd(int fd, int mask, uint64_t until)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_wait_fd", CR_CALLER);
    struct cr_world *world = &self->sched->world;
    if (CR_UNLIKELY(self->stop))
        return cr_sched_refuse(self);
    if (CR_UNLIKELY(!(mask & (COIR_IN | COIR_OUT)) || mask & ~(COIR_IN | COIR_OUT)))
        return -EINVAL;
    int ready = io_spend(self, fd, mask);
    while (ready == 0 || ready == IO_ASK_AGAIN) {
        ready = world->ready(world, fd, mask);
        if (ready == 0)
            ready = until == 0 ? -ETIMEDOUT : io_wait(self, &WAIT_FD, fd, mask, until);
    }
    return ready;
}

void cr_io_complete(uint64_t token, int64_t value)
{
    struct cr_op *op = (struct cr_op *)(uintptr_t)token;
    op->value = value;
    op->done = true;
    if (op->wait.fiber->wait == &op->wait)
        cr_sched_wake(op->wait.fiber, 0);
}

/* Waits for a pending operation. Its buffer is the caller's, so the call cannot return before the
 * event, stopped or not; what the operation did is reported in any case. */
static int64_t io_finish(struct cr_fiber *self, struct cr_fd *entry, struct cr_op *op,
                         uint64_t until)
{
    struct cr_world *world = &self->sched->world;
    world->waiting++;
    op->wait.kind = &OPERATION;
    cr_list_append(&entry->operations, &op->wait.link);
    int outcome = op->done ? 0 : cr_sched_park(self, &op->wait, until);
    if (!op->done) {
        world->cancel(world, (uint64_t)(uintptr_t)op);
        op->wait.kind = &OPERATION_STOPPED;
        cr_list_init(&op->wait.link);
        cr_sched_park_firmly(self, &op->wait);
    }
    world->waiting--;
    return op->value == -ECANCELED && outcome < 0 ? outcome : op->value;
}

/* One try in the world. */
static int64_t io_try(struct cr_fiber *self, struct cr_fd *entry, const struct io_call *call)
{
    struct cr_world *world = &self->sched->world;
    struct cr_op op = {.wait.fiber = self, .fd = call->fd};
    uint64_t token = (uint64_t)(uintptr_t)&op;
    int64_t result;
    if (call->mask == COIR_IN)
        result = world->read(world, call->fd, call->buf, call->size, token);
    else
        result = world->write(world, call->fd, call->data, call->size, entry->kind, token);
    return CR_LIKELY(result != CR_PENDING) ? result : io_finish(self, entry, &op, call->until);
}

/* Of a descriptor that is not coir's the kernel is asked first, since a try might block. */
static int64_t io_foreign(struct cr_fiber *self, const struct io_call *call)
{
    struct cr_world *world = &self->sched->world;
    for (;;) {
        int64_t result = world->ready(world, call->fd, call->mask);
        if (result < 0)
            return result;
        struct cr_fd *entry = cr_fd_make(&self->sched->fds, call->fd);
        if (!entry)
            return -ENOMEM;
        if (result == 0)
            result = -EAGAIN;
        else if (call->mask == COIR_IN)
            result = io_try(self, entry, call);
        else
            result = world->write_foreign(world, call->fd, call->data, call->size);
        if (result != -EAGAIN)
            return result;
        if (call->until == 0)
            return -ETIMEDOUT;
        int woken = io_wait(self, &CALL_FD, call->fd, call->mask, call->until);
        if (woken < 0 && woken != IO_ASK_AGAIN)
            return woken;
    }
}

static int64_t io_owned(struct cr_fiber *self, struct cr_fd *entry, const struct io_call *call)
{
    uint32_t generation = entry->generation;
    for (;;) {
        if (entry->ready & call->mask || call->until == 0) {
            int64_t result = io_try(self, entry, call);
            if (entry->generation != generation)
                return result == -EAGAIN ? -EBADF : result;
            if (call->mask == COIR_IN && result > 0 && (size_t)result < call->size &&
                entry->kind & CR_FD_SHORT_EMPTIES && !(entry->ready & (COIR_HUP | CR_URGENT)))
                entry->ready &= (uint8_t)~COIR_IN;
            if (result != -EAGAIN)
                return result;
            entry->ready &= (uint8_t)~call->mask;
        }
        if (call->until == 0)
            return -ETIMEDOUT;
        int woken = io_wait(self, &CALL_FD, call->fd, call->mask, call->until);
        if (woken < 0 && woken != IO_ASK_AGAIN)
            return woken;
    }
}

static ssize_t io_call(struct cr_fiber *self, const struct io_call *call)
{
    int spent = io_spend(self, call->fd, call->mask);
    if (CR_UNLIKELY(self->stop))
        return cr_sched_refuse(self);
    if (CR_UNLIKELY(spent < 0))
        return spent;
    struct cr_fd *entry = cr_fd_find(&self->sched->fds, call->fd);
    int64_t result = CR_LIKELY(entry && entry->owned) ? io_owned(self, entry, call)
                                                      : io_foreign(self, call);
    if (result > 0)
        self->sched->progress = true;
    return (ssize_t)result;
}

ssize_t coir_read(int fd, void *buf, size_t size, uint64_t until)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_read", CR_CALLER);
    if (CR_UNLIKELY(size > PTRDIFF_MAX))
        cr_fatal_mistake("coir_read", CR_CALLER, "the size is negative");
    return io_call(self, &(struct io_call){fd, COIR_IN, buf, NULL, size, until});
}

ssize_t coir_write(int fd, const void *buf, size_t size, uint64_t until)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_write", CR_CALLER);
    if (CR_UNLIKELY(size > PTRDIFF_MAX))
        cr_fatal_mistake("coir_write", CR_CALLER, "the size is negative");
    return io_call(self, &(struct io_call){fd, COIR_OUT, NULL, buf, size, until});
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
    if (entry->owned)
        return 0;
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
    entry->kind = (uint8_t)kind;
    entry->ready |= COIR_IN | COIR_OUT;
    entry->owned = true;
    return 0;
}

static void io_wake_all(struct cr_list *ring)
{
    while (!cr_list_empty(ring))
        cr_sched_wake(CR_CONTAINER(ring->next, struct cr_wait, link)->fiber, -EBADF);
}

int coir_close(int fd)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_close", CR_CALLER);
    struct cr_fd *entry = fd >= 0 ? cr_fd_find(&sched->fds, fd) : NULL;
    if (entry) {
        if (entry->attached)
            cr_fd_detach(&sched->world, entry, fd);
        entry->generation++;
        entry->owned = false;
        entry->kind = entry->ready = 0;
        io_wake_all(&entry->waiters);
        io_wake_all(&entry->operations);
    }
    return sched->world.close(&sched->world, fd);
}
