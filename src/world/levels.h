/* Level-triggered readiness, for coir_loop: the state at the moment of a wait. It is a table beside
 * the world's, because a world for fibers need not have it; epoll, kqueue and poll have both. */
#ifndef CR_LEVELS_H
#define CR_LEVELS_H

#include "world.h"

/* What a watched descriptor is ready for, each direction with the HUP and ERR that concern it; 0:
 * not ready. */
struct cr_level {
    uint64_t token;
    int in, out;
    bool ended; /* the kernel may report no more of it: it is to be watched again */
};

struct cr_levels {
    const struct cr_levels_ops *ops;
    int queue; /* its descriptor; -1: none, or not yet */
};

struct cr_levels_ops {
    /* Makes another of the same kind, which watches nothing: 0, or -ENOMEM. */
    int (*make)(struct cr_levels **levels);
    /* Watches `mask` (COIR_IN, COIR_OUT, 0: nothing more) of a descriptor of which `old` is watched
     * at `index`. Returns the index (>= 0); -EPERM for what cannot be polled; -ENOENT, and gives
     * the index back, when the kernel has dropped what was watched, because its file is gone;
     * -EPIPE, likewise, when it is there and cannot be polled any more: it is always ready; or
     * another error: then what is watched is as before. With 0 it cannot fail. */
    int (*watch)(struct cr_levels *levels, int fd, int index, uint64_t token, int old, int mask);
    /* Fills in the levels of what is watched; waits for the first, until `until`. A token may come
     * twice, for one direction each. Returns how many, or an error. */
    int (*wait)(struct cr_levels *levels, struct cr_level *got, int max, uint64_t until);
    int (*ready)(int fd, int mask); /* as the world's */
    void (*close)(struct cr_levels *levels); /* and frees it */
    bool queue_is_private; /* a forked child has no such descriptor */
};

CR_HIDDEN int cr_epoll_make_levels(struct cr_levels **levels);
CR_HIDDEN int cr_kqueue_levels_make(struct cr_levels **levels);
CR_HIDDEN int cr_poll_make_levels(struct cr_levels **levels);

/* The kind that a program asks for, as cr_world_make. */
CR_HIDDEN int cr_world_make_levels(struct cr_levels **levels, enum coir_world which);

CR_HIDDEN struct cr_level cr_posix_level(uint64_t token, short poll_mask);

#endif
