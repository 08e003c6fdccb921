/* The table of descriptors: who waits for each, and what is remembered of it.
 *
 * An entry exists for every number that a fiber has waited for. An owned descriptor (coir_adopt) is
 * attached to the world once, and `ready` remembers what its edges said until a call finds
 * otherwise. A foreign one is attached while fibers wait for it.
 *
 * Invariants: the generation changes with every close that is noticed, and a token carries it, so
 * neither an old event nor a fiber woken by the close can touch the next file of the same number.
 * A foreign entry is attached iff somebody waits. Entries never move, and their memory comes a page
 * at a time: the table grows with the numbers in use, not with their limit. */
#ifndef CR_FD_H
#define CR_FD_H

#include "base.h"
#include "list.h"
#include "wait.h"
#include "world.h"

struct coir_sched;

struct cr_fd {
    struct cr_list waiters;    /* struct cr_fd_wait, oldest first; NULL in an entry not made yet */
    struct cr_list operations; /* struct cr_op (io.c) that the world has under way, not cancelled */
    int fd;
    uint32_t generation;
    int place;     /* in the world, while attached */
    uint8_t kind;  /* enum cr_fd_kind, of an owned one */
    uint8_t ready; /* IN, OUT: a call may succeed; SHORT: so does a short read tell that no more is
                      there; HUP, URGENT: seen since it was attached */
    bool owned, attached;
    uint64_t last[2]; /* of an owned one: the fibers (their numbers) that called last, in each
                         direction, and know that it is the file that was registered; or NOBODY */
};

#define CR_FD_NOBODY UINT64_MAX

/* The entry of no number, on which nobody has called. */
extern CR_HIDDEN struct cr_fd cr_fd_none;

struct cr_fd_wait {
    struct cr_wait wait;
    int fd, mask;
    bool shared; /* the event that ended it had ended another wait before */
};

enum { CR_FD_PAGE_ENTRIES = 4096 };

struct cr_fds {
    struct cr_fd **pages;
    size_t pages_count;
};

CR_HIDDEN void cr_fd_fini(struct cr_fds *fds);

/* The place of a number's entry, made or not; NULL where its page is not there. */
CR_INLINE struct cr_fd *cr_fd_at(const struct cr_fds *fds, int fd)
{
    unsigned int page = (unsigned int)fd / CR_FD_PAGE_ENTRIES;
    if (CR_UNLIKELY(page >= fds->pages_count || !fds->pages[page]))
        return NULL;
    return &fds->pages[page][(unsigned int)fd % CR_FD_PAGE_ENTRIES];
}

/* The entry of a number; NULL where there is none yet, as for a negative one. */
CR_INLINE struct cr_fd *cr_fd_find(const struct cr_fds *fds, int fd)
{
    struct cr_fd *entry = cr_fd_at(fds, fd);
    return entry && entry->waiters.next ? entry : NULL;
}

/* One more than the highest number that may have an entry. */
CR_HIDDEN int cr_fd_end(const struct cr_fds *fds);

/* The entry of a number >= 0, made where there is none; NULL when memory ran out. */
CR_HIDDEN struct cr_fd *cr_fd_make(struct cr_fds *fds, int fd);

/* Takes possession of an entry's file: a first try of any call may succeed. */
CR_HIDDEN void cr_fd_own(struct cr_fd *entry, int kind);

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
