/* Calls on descriptors, for those who make them (io.c, call.c) and for the loop. A call is tried
 * first and waits after that, unless what is remembered says that it is in vain. */
#ifndef CR_IO_H
#define CR_IO_H

#include "../core/sched.h"

/* One call: read (mask IN) or write (OUT), or another one of the world's. */
struct cr_io {
    int fd, mask;
    union {
        void *buf;
        const void *data; /* of a write */
    };
    size_t size; /* 0 in a call whose short result proves nothing */
    uint64_t until;
    const struct cr_call *call; /* NULL: read or write */
    bool aside; /* what it asks for is not what others read, so its EAGAIN proves nothing */
};

/* Makes a call as soon as it can be made: its result, or an error. */
CR_HIDDEN int64_t cr_io_call(struct cr_fiber *self, const struct cr_io *io);

/* Parks until an attached descriptor is ready for wait->mask: what for, or why not. The fiber has
 * not been told to stop. */
CR_INLINE int cr_io_park(struct cr_fiber *self, struct cr_fd *entry, struct cr_fd_wait *wait,
                      uint64_t until)
{
    struct coir_sched *sched = self->sched;
    uint32_t generation = entry->generation;
    cr_world_arm(&sched->world, wait->fd, entry->place, wait->mask);
    wait->shared = false;
    cr_list_append(&entry->waiters, &wait->wait.link);
    sched->world.waiting++;
    int result = cr_sched_park_now(sched, self, &wait->wait, until);
    sched->world.waiting--;
    if (CR_UNLIKELY(entry->generation != generation))
        return result < 0 ? result : -EBADF;
    return result;
}

/* Whether the deadline has ended a wait that began in this generation, and the call is to be tried
 * once more: what came since the loop's last turn is known to the kernel alone, and what can be
 * done is done also past the deadline. */
CR_INLINE bool cr_io_is_late(const struct cr_fiber *self, const struct cr_fd *entry,
                             uint32_t generation, int woken)
{
    return woken == -ETIMEDOUT && entry->generation == generation && !self->stop;
}

/* The kind of a wait for readiness on behalf of a call. */
extern CR_HIDDEN const struct cr_wait_kind cr_io_calls;

/* After a read that got less than it asked for. */
CR_INLINE void cr_io_note_short(struct cr_fd *entry)
{
    if (entry->ready & CR_SHORT)
        entry->ready &= (uint8_t)~COIR_IN;
}

/* What comes before a try that cr_io_call does not make: counts it, and refuses it to a stopped
 * fiber. 0, or an error. */
CR_HIDDEN int cr_io_begin(struct cr_fiber *self, int fd, int mask);

/* Waits where readiness tells nothing: -ETIMEDOUT, or as other waits -EBADF, -ECANCELED,
 * -ENOMEM. */
CR_HIDDEN int cr_io_pause(struct cr_fiber *self, int fd, uint64_t until);

/* Waits for a descriptor on behalf of a call: 0, or an error. */
CR_HIDDEN int cr_io_wait(struct cr_fiber *self, int fd, int mask, uint64_t until);

/* Whether an owned descriptor is still the file that was registered, as far as the kernel can tell;
 * else it is forgotten. */
CR_HIDDEN bool cr_io_ask_same(struct cr_fiber *self, struct cr_fd *entry, int fd, int mask);

/* The same; the fiber that was the last to call in this direction need not ask. */
CR_INLINE bool cr_io_is_same(struct cr_fiber *self, struct cr_fd *entry, int fd, int mask)
{
    return CR_LIKELY(entry->last[mask >> 1] == self->number) ||
           cr_io_ask_same(self, entry, fd, mask);
}

/* Enters a new descriptor as coir's own: returns it, or -ENOMEM and it is closed. */
CR_HIDDEN int cr_io_own(struct coir_sched *sched, int fd, int kind);

/* The end of an operation that a world said was pending. The token is the address of its record, on
 * the stack of the fiber that waits for it. */
CR_HIDDEN void cr_io_complete(uint64_t token, int64_t value);

#endif
