/* The table of descriptors: who waits for each, and what is remembered of it.
 *
 * An entry exists for every number that a fiber has waited for. An owned descriptor (coir_adopt) is
 * attached to the world once, and `ready` remembers what its edges said until a call finds
 * otherwise. A foreign one is attached while fibers wait for it.
 *
 * Invariants: the generation changes with every close that is noticed, and a token carries it, so
 * neither an old event nor a fiber woken by the close can touch the next file of the same number.
 * A foreign entry is attached iff somebody waits. */
#ifndef CR_FD_H
#define CR_FD_H

#include "../base/base.h"
#include "../base/list.h"
#include "../base/table.h"
#include "../core/wait.h"
#include "../world/world.h"

struct coir_sched;

struct cr_fd {
    struct cr_list waiters;    /* struct cr_fd_wait, oldest first; NULL in an entry not made yet */
    struct cr_list operations; /* struct cr_op (io.c) that the world has under way, not cancelled */
    int fd;
    uint32_t generation;
    int place;     /* in the world, while attached */
    uint8_t kind;  /* enum cr_fd_kind, of an owned one; nobody called on it when it changes */
    uint8_t ready; /* IN, OUT: a call may succeed; SHORT: so does a short read tell that no more is
                      there; HUP, URGENT: seen since it was attached, or began to connect */
    bool owned, attached;
    uint64_t last[2]; /* of an owned one: the fibers (their numbers) that called last, in each
                         direction, and know that it is the file that was registered; or NOBODY */
};

_Static_assert(sizeof(void *) != 8 || sizeof(struct cr_fd) == 64, "one line of cache");

#define CR_FD_NOBODY UINT64_MAX

/* The entry of no number, on which nobody has called. */
extern CR_HIDDEN struct cr_fd cr_fd_none;

struct cr_fd_wait {
    struct cr_wait wait;
    int fd, mask;
    bool shared; /* the event that ended it had ended another wait before */
};

/* The place of a number's entry, made or not; NULL where its page is not there. */
CR_INLINE struct cr_fd *cr_fd_place(const struct cr_table *fds, int fd)
{
    return cr_table_find(fds, (unsigned int)fd, sizeof(struct cr_fd));
}

/* The entry of a number; NULL where there is none yet, as for a negative one. */
CR_INLINE struct cr_fd *cr_fd_find(const struct cr_table *fds, int fd)
{
    struct cr_fd *entry = cr_fd_place(fds, fd);
    return entry && entry->waiters.next ? entry : NULL;
}

/* The entry of a number >= 0, made where there is none; NULL when memory ran out. */
CR_HIDDEN struct cr_fd *cr_fd_make(struct cr_table *fds, int fd);

/* Takes possession of an entry's file: a first try of any call may succeed. */
CR_HIDDEN void cr_fd_own(struct cr_fd *entry, int kind);

/* A socket begins to connect: what it told of before is over. */
CR_HIDDEN void cr_fd_connect(struct cr_fd *entry);

/* Registers a descriptor with the world: 0, -EPERM when it cannot be polled, or another error. */
CR_HIDDEN int cr_fd_attach(struct cr_world *world, struct cr_fd *entry, int fd);
/* Where the number is another file's by now, the generation changes. */
CR_HIDDEN void cr_fd_detach(struct cr_world *world, struct cr_fd *entry, int fd);

/* From now on the number stands for another file, or none: ends every wait for it by -EBADF. */
CR_HIDDEN void cr_fd_forget(struct coir_sched *sched, struct cr_fd *entry, int fd);

CR_INLINE uint64_t cr_fd_token(const struct cr_fd *entry, int fd)
{
    return (uint64_t)entry->generation << 32 | (uint64_t)(uint32_t)fd << 1 | 1;
}

#endif
