/* Read and write, with a fast path in front of the way of all calls (call.c): a few comparisons and
 * the system call, for a socket that is owned, in a world that is the kernel itself and has edges,
 * by the fiber that called on it last. Whatever is unusual goes the way of all calls.
 *
 * Invariant: an entry has a fiber's key in `last` only while it is an owned socket's; the key of a
 * cancelled fiber is in no entry. (An entry not made yet has 0, the first fiber's: it is neither
 * ready nor attached, and so goes the slow way, too.) */
#include "call.h"

#include "../../include/coir_io.h"
#include "../debug/debug.h"
#include "../world/raw.h"

/* The entry for the fast path; NULL: there is none. */
CR_INLINE struct cr_fd *fast_entry(struct cr_fiber *self, int fd, int direction)
{
    const struct cr_fds *fds = &cr_io_of(self->sched)->fds;
    if (CR_UNLIKELY((unsigned int)fd >= fds->fast_count))
        return NULL;
    struct cr_fd *entry = &fds->first[fd];
    return CR_LIKELY(entry->last[direction] == self->key) ? entry : NULL;
}

CR_INLINE void fast_check(size_t size, const char *function, void *caller)
{
    if (CR_UNLIKELY(size > PTRDIFF_MAX))
        cr_fatal_mistake(function, caller, "the size is negative");
}

static CR_NOINLINE ssize_t fast_read_slowly(int fd, void *buf, size_t size, coir_time until,
                                            void *caller)
{
    fast_check(size, "coir_read", caller);
    struct cr_call call = {
        .op = {.kind = CR_OP_READ, .fd = fd, .read = {buf, size}},
        .until = until,
    };
    return (ssize_t)cr_call_make(&call, "coir_read", caller);
}

/* Once more past the deadline, if it is still the same file. */
static CR_NOINLINE ssize_t fast_read_late(struct cr_fd *entry, void *buf, size_t size, void *caller)
{
    if (!cr_identity_check(cr_io_of(cr_sched_here), entry))
        return -EBADF;
    return fast_read_slowly(cr_fd_number(entry), buf, size, COIR_TRY, caller);
}

/* Whether a read that moved nothing must be made again the way of all calls: after EAGAIN or EINTR.
 * There it counts again, and may be refused, so what is ready is left to the next waiter. */
static CR_NOINLINE bool fast_is_undecided(struct coir_sched *sched, struct cr_fd *entry,
                                          int64_t result)
{
    if (result != -EAGAIN && result != -EINTR)
        return false;
    if (result == -EAGAIN)
        entry->ready &= (uint8_t)~CR_READABLE;
    cr_fd_pass_on(entry, COIR_IN);
    sched->budget++;
    return true;
}

ssize_t coir_read(int fd, void *buf, size_t size, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_read", CR_CALLER);
    struct coir_sched *sched = self->sched;
    struct cr_fd *entry = fast_entry(self, fd, CR_FD_IN);
    if (CR_UNLIKELY(!entry || (ssize_t)size <= 0 || cr_is_try(until) || --sched->budget < 0))
        return fast_read_slowly(fd, buf, size, until, CR_CALLER);
    if (!(entry->ready & CR_READABLE)) {
        if (CR_UNLIKELY(!entry->attached))
            return fast_read_slowly(fd, buf, size, until, CR_CALLER);
        struct cr_fd_wait wait;
        uint64_t token = entry->token;
        cr_fd_hang(entry, &wait, COIR_IN);
        int woken = cr_call_park(self, entry, &wait, &cr_io_readiness, until);
        if (CR_UNLIKELY(woken < 0)) {
            bool late = cr_call_is_late(self, entry, token, woken);
            return late ? fast_read_late(entry, buf, size, CR_CALLER) : woken;
        }
    }
    int64_t result = cr_world_recv(fd, buf, size);
    if (CR_UNLIKELY(result <= 0)) {
        if (fast_is_undecided(sched, entry, result))
            return fast_read_slowly(fd, buf, size, until, CR_CALLER);
    } else {
        sched->progress = true;
        if ((size_t)result < size && entry->ready & CR_SHORT) {
            entry->ready &= (uint8_t)~CR_READABLE;
            return (ssize_t)result;
        }
    }
    cr_fd_pass_on(entry, COIR_IN);
    return (ssize_t)result;
}

#define FAST_NOT_TRIED INT64_MIN

/* The result of a write, where the fast path may make it. What it needs afterwards is what the
 * system call leaves in registers, so that nothing has to be saved. */
CR_INLINE int64_t fast_write(struct cr_fiber *self, int fd, const void *buf, size_t size)
{
    struct coir_sched *sched = self->sched;
    struct cr_fd *entry = fast_entry(self, fd, CR_FD_OUT);
    if (CR_UNLIKELY(!entry || (ssize_t)size <= 0 || !(entry->ready & COIR_OUT) ||
                    --sched->budget < 0))
        return FAST_NOT_TRIED;
    sched->progress = true;
    return cr_world_send(fd, buf, size);
}

/* Goes on after a write that was not tried, or that moved nothing. */
static CR_NOINLINE ssize_t fast_write_on(int fd, const void *buf, size_t size, coir_time until,
                                         int64_t result, void *caller)
{
    if (result != FAST_NOT_TRIED && result != -EAGAIN && result != -EINTR && result != -ENOBUFS)
        return (ssize_t)result;
    if (result == -EAGAIN)
        cr_fd_find(&cr_io_of(cr_sched_here)->fds, fd)->ready &= (uint8_t)~COIR_OUT;
    fast_check(size, "coir_write", caller);
    struct cr_call call = {
        .op = {.kind = CR_OP_WRITE, .fd = fd, .write = {buf, size}},
        .until = until,
        .tried = result == -EAGAIN,
    };
    return (ssize_t)cr_call_make(&call, "coir_write", caller);
}

ssize_t coir_write(int fd, const void *buf, size_t size, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_write", CR_CALLER);
    int64_t result = fast_write(self, fd, buf, size);
    if (CR_LIKELY(result > 0))
        return (ssize_t)result;
    return fast_write_on(fd, buf, size, until, result, CR_CALLER);
}

/* The rest of a write after a first try. */
static CR_NOINLINE int fast_write_rest(int fd, const void *buf, size_t size, size_t *done,
                                       coir_time until, int64_t result, void *caller)
{
    size_t written = 0;
    fast_check(size, "coir_write_all", caller);
    if (result <= 0)
        result = fast_write_on(fd, buf, size, until, result, caller);
    while (result > 0 && (written += (size_t)result) < size)
        result = coir_write(fd, (const char *)buf + written, size - written, until);
    if (done)
        *done = written;
    return result < 0 ? (int)result : 0;
}

int coir_write_all(int fd, const void *buf, size_t size, size_t *done, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_write_all", CR_CALLER);
    int64_t result = fast_write(self, fd, buf, size);
    if (CR_UNLIKELY(result != (int64_t)size))
        return fast_write_rest(fd, buf, size, done, until, result, CR_CALLER);
    if (done)
        *done = size;
    return 0;
}

int coir_read_all(int fd, void *buf, size_t size, size_t *done, coir_time until)
{
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_read_all", CR_CALLER);
    fast_check(size, "coir_read_all", CR_CALLER);
    size_t got = 0;
    ssize_t result;
    do {
        result = coir_read(fd, (char *)buf + got, size - got, until);
        got += result > 0 ? (size_t)result : 0;
    } while (result > 0 && got < size);
    if (done)
        *done = got;
    return result < 0 ? (int)result : got == size;
}
