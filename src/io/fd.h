/* The table of descriptors: who waits for each, and what is remembered of it.
 *
 * An entry exists for every number that a fiber has waited for. An owned descriptor (coir_adopt) is
 * attached to the world once, and `ready` remembers what its edges said until a call finds
 * otherwise. A foreign one is attached from the first wait of a call until no such call is under
 * way.
 *
 * One event wakes one waiter in each direction. Whoever leaves a call while the descriptor is still
 * ready, as far as is remembered, passes that on to the next waiter. Only while a call is under way
 * that asks for something else than others (urgent data, say), all are woken.
 *
 * Invariants: the token's generation changes with every close that is noticed, and events carry the
 * token, so neither an old event nor a fiber woken by the close can touch the next file of the same
 * number.
 * A foreign entry is attached iff `holds` is not 0. If a direction is ready and somebody waits for
 * it, then a fiber that was woken for it has not left its call yet. */
#ifndef CR_FD_H
#define CR_FD_H

#include "../base/list.h"
#include "../base/table.h"
#include "../core/wait.h"
#include "../world/world.h"

/* Beside COIR_IN … and CR_URGENT in `ready`. SHORT: a short read proves that nothing is left.
 * DOUBT: the kernel says that it is not readable, but a read might find what is below a low-water
 * mark. */
enum { CR_SHORT = 32, CR_DOUBT = 128, CR_READABLE = COIR_IN | CR_DOUBT };

/* Directions, as indices. */
enum { CR_FD_IN, CR_FD_OUT, CR_FD_DIRECTIONS };

CR_INLINE int cr_fd_direction(int mask)
{
    return mask >> 1;
}

/* Waits and calls read the first line of cache. */
struct cr_fd {
    _Alignas(64) struct cr_list waiters[CR_FD_DIRECTIONS]; /* of struct cr_fd_wait, oldest first;
                                                              NULL in an entry not made yet */
    uint64_t last[CR_FD_DIRECTIONS]; /* see identity.h */
    uint64_t token;  /* its number, and the generation, which changes with every close */
    uint32_t asides; /* calls under way whose EAGAIN does not say what others would get */
    uint8_t ready;   /* IN, OUT, DOUBT: a try may succeed; SHORT; HUP, URGENT: seen since the last
                        attach or connect, either revokes SHORT */
    uint8_t kind;    /* enum cr_fd_kind, of an owned one */
    bool owned, attached;
    struct cr_list others; /* waits that no event ends, only coir_close */
    int index;             /* in the world, while attached */
    uint32_t holds;        /* calls on a foreign one that have waited */
    bool is_own;           /* the mailbox's: no call may touch it */
};

_Static_assert(sizeof(void *) != 8 || offsetof(struct cr_fd, others) == 64,
               "the first line of cache");

CR_INLINE int cr_fd_number(const struct cr_fd *entry)
{
    return cr_token_fd(entry->token);
}

struct cr_fd_wait {
    struct cr_wait wait;
    const struct cr_fd *entry;
    uint8_t mask; /* a direction; CR_URGENT, too, of an aside that waits for urgent data */
    bool again; /* the event that ended it had ended another wait before */
};

struct cr_fds {
    struct cr_table table;
    struct cr_fd *first;     /* the page of the lowest numbers */
    unsigned int fast_count; /* numbers below have an entry in it, and the world is such that a
                                fast path may be taken (fast.c); else 0 */
    bool allows_fast;
};

CR_HIDDEN void cr_fd_init(struct cr_fds *fds, const struct cr_world *world);
CR_HIDDEN void cr_fd_fini(struct cr_fds *fds);

/* The entry of a number that has one. */
CR_INLINE struct cr_fd *cr_fd_at(const struct cr_fds *fds, unsigned int fd)
{
    if (CR_LIKELY(fd < fds->fast_count))
        return &fds->first[fd];
    return cr_table_at(&fds->table, fd, sizeof(struct cr_fd));
}

/* The entry of a number; NULL where there is none yet, as for a negative one. */
CR_INLINE struct cr_fd *cr_fd_find(const struct cr_fds *fds, int fd)
{
    struct cr_fd *entry = cr_table_find(&fds->table, (unsigned int)fd, sizeof *entry);
    return entry && entry->waiters[0].next ? entry : NULL;
}

/* The entry of a number >= 0, made where there is none; NULL when memory ran out. */
CR_HIDDEN struct cr_fd *cr_fd_make(struct cr_fds *fds, int fd);

#endif
