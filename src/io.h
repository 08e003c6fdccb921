/* Calls on descriptors, for those who make them (io.c, call.c) and for the loop. A call is tried
 * first and waits after that, unless what is remembered says that it is in vain. */
#ifndef CR_IO_H
#define CR_IO_H

#include "sched.h"

/* One call: read (mask IN) or write (OUT), or another one of the world's. */
struct cr_io {
    int fd, mask;
    void *buf;
    const void *data;
    size_t size; /* 0 in a call whose short result proves nothing */
    uint64_t until;
    const struct cr_call *call; /* NULL: read or write */
    bool aside; /* what it asks for is not what others read, so its EAGAIN proves nothing */
};

/* Makes a call as soon as it can be made: its result, or an error. */
CR_HIDDEN int64_t cr_io_call(struct cr_fiber *self, const struct cr_io *io);

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
CR_HIDDEN bool cr_io_is_same(struct cr_fiber *self, struct cr_fd *entry, int fd, int mask);

/* Enters a new descriptor as coir's own: returns it, or -ENOMEM and it is closed. */
CR_HIDDEN int cr_io_own(struct coir_sched *sched, int fd, int kind);

/* The end of an operation that a world said was pending. The token is the address of its record, on
 * the stack of the fiber that waits for it. */
CR_HIDDEN void cr_io_complete(uint64_t token, int64_t value);

#endif
