/* Read and write. Each has a short way, for an owned descriptor that this fiber was the last to
 * call on, in a world that is the kernel itself: a few comparisons and the system call. Whatever is
 * unusual goes the long way, cr_io_call, which remembers the entry for the next time.
 *
 * Invariants: a fiber that was told to stop has no quick entry, so it does not get here. The quick
 * entry to read is attached, that to write is a socket's, as long as `last` has the fiber in it. */
#include "../../include/coir_io.h"

#include "../debug/debug.h"
#include "io.h"
#include "../world/raw.h"

/* The entry for the short way; NULL: there is none. */
CR_INLINE struct cr_fd *rw_entry(struct cr_fiber *self, int fd, int mask)
{
    struct cr_fd *entry = self->quick[mask >> 1];
    if (CR_UNLIKELY(entry->fd != fd || entry->last[mask >> 1] != self->number))
        return NULL;
    CR_ASSERT(mask == COIR_IN ? entry->attached : entry->kind & CR_FD_SOCKET);
    return entry;
}

static CR_NOINLINE ssize_t rw_read_long(struct cr_fiber *self, int fd, void *buf, size_t size,
                                        uint64_t until)
{
    struct cr_io io = {.fd = fd, .mask = COIR_IN, .buf = buf, .size = size, .until = until};
    return (ssize_t)cr_io_call(self, &io);
}

static CR_NOINLINE ssize_t rw_write_long(struct cr_fiber *self, int fd, const void *buf,
                                         size_t size, uint64_t until)
{
    struct cr_io io = {.fd = fd, .mask = COIR_OUT, .data = buf, .size = size, .until = until};
    return (ssize_t)cr_io_call(self, &io);
}

CR_INLINE void rw_check(size_t size, const char *function, void *caller)
{
    if (CR_UNLIKELY(size > PTRDIFF_MAX))
        cr_fatal_mistake(function, caller, "the size is negative");
}

/* After a first try that moved nothing. Returns whether to go the long way, where the call counts
 * anew: the result is neither the end nor an error. */
CR_INLINE bool rw_is_undecided(struct coir_sched *sched, struct cr_fd *entry, int mask,
                               int64_t result)
{
    if (result != -EAGAIN && result != -EINTR)
        return false;
    if (result == -EAGAIN)
        entry->ready &= (uint8_t)~mask;
    sched->budget++;
    return true;
}

ssize_t coir_read(int fd, void *buf, size_t size, uint64_t until)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_read", CR_CALLER);
    struct coir_sched *sched = self->sched;
    struct cr_fd *entry = rw_entry(self, fd, COIR_IN);
    if (CR_UNLIKELY(!entry || (ssize_t)size <= 0 || until == 0 || --sched->budget < 0)) {
        rw_check(size, "coir_read", CR_CALLER);
        return rw_read_long(self, fd, buf, size, until);
    }
    if (!(entry->ready & COIR_IN)) {
        struct cr_fd_wait wait;
        wait.wait.kind = &cr_io_calls;
        wait.fd = fd;
        wait.mask = COIR_IN;
        uint32_t generation = entry->generation;
        int woken = cr_io_park(self, entry, &wait, until);
        if (CR_UNLIKELY(woken < 0)) {
            bool late = cr_io_is_late(self, entry, generation, woken);
            return late ? rw_read_long(self, fd, buf, size, 0) : woken;
        }
    }
    int64_t result = cr_world_read(fd, buf, size);
    if (CR_UNLIKELY(result <= 0)) {
        bool undecided = rw_is_undecided(sched, entry, COIR_IN, result);
        return undecided ? rw_read_long(self, fd, buf, size, until) : (ssize_t)result;
    }
    sched->progress = true;
    if ((size_t)result < size)
        cr_io_note_short(entry);
    return (ssize_t)result;
}

CR_INLINE ssize_t rw_write(struct cr_fiber *self, int fd, const void *buf, size_t size,
                           uint64_t until, const char *function, void *caller)
{
    struct coir_sched *sched = self->sched;
    struct cr_fd *entry = rw_entry(self, fd, COIR_OUT);
    if (CR_UNLIKELY(!entry || (ssize_t)size <= 0 || !(entry->ready & COIR_OUT) ||
                    --sched->budget < 0)) {
        rw_check(size, function, caller);
        return rw_write_long(self, fd, buf, size, until);
    }
    int64_t result = cr_world_send(fd, buf, size);
    if (CR_UNLIKELY(result <= 0)) {
        bool undecided = rw_is_undecided(sched, entry, COIR_OUT, result);
        return undecided ? rw_write_long(self, fd, buf, size, until) : (ssize_t)result;
    }
    sched->progress = true;
    return (ssize_t)result;
}

ssize_t coir_write(int fd, const void *buf, size_t size, uint64_t until)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_write", CR_CALLER);
    return rw_write(self, fd, buf, size, until, "coir_write", CR_CALLER);
}

/* The rest of a write that has moved `done` bytes. */
static CR_NOINLINE ssize_t rw_write_rest(int fd, const void *buf, size_t size, uint64_t until,
                                         ssize_t done)
{
    ssize_t result = done;
    while (result > 0 && (size_t)done < size) {
        result = coir_write(fd, (const char *)buf + done, size - (size_t)done, until);
        done += result > 0 ? result : 0;
    }
    return done;
}

ssize_t coir_write_full(int fd, const void *buf, size_t size, uint64_t until)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_write_full", CR_CALLER);
    ssize_t result = rw_write(self, fd, buf, size, until, "coir_write_full", CR_CALLER);
    if (CR_LIKELY((size_t)result == size) || result <= 0)
        return result;
    return rw_write_rest(fd, buf, size, until, result);
}

ssize_t coir_read_full(int fd, void *buf, size_t size, uint64_t until)
{
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_read_full", CR_CALLER);
    rw_check(size, "coir_read_full", CR_CALLER);
    size_t done = 0;
    ssize_t result;
    do {
        result = coir_read(fd, (char *)buf + done, size - done, until);
        done += result > 0 ? (size_t)result : 0;
    } while (result > 0 && done < size);
    return done > 0 ? (ssize_t)done : result;
}
