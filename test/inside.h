/* What tests may see of the inside of a scheduler, and change: the one header for tests that look
 * there. Include it, or what includes it, before any other header. */
#ifndef TEST_INSIDE_H
#define TEST_INSIDE_H

#include "../src/core/scope.h"
#include "../src/io/call.h"
#include "../src/run/run.h"

/* ---- parts of this thread's scheduler ---- */

static inline struct cr_io *inside_io(void)
{
    return cr_io_of(cr_sched_here);
}

static inline struct cr_run *inside_run(void)
{
    return cr_run_of(cr_sched_here);
}

static inline struct cr_world *inside_world(void)
{
    return inside_io()->world;
}

/* What is kept of a number, NULL where nothing is. */
static inline struct cr_fd *inside_fd(int fd)
{
    return cr_fd_find(&inside_io()->fds, fd);
}

/* The fiber of a handle, NULL when it has ended. */
static inline struct cr_fiber *inside_fiber(coir_fiber handle)
{
    struct cr_slot *slot = cr_slot_find(&cr_sched_here->slots, handle, 0);
    return slot ? slot->fiber : NULL;
}

/* Whether a fiber has ended and nobody keeps its result. */
static inline bool inside_is_gone(coir_fiber handle)
{
    return !inside_fiber(handle) && !cr_slot_find(&cr_sched_here->slots, handle, CR_SLOT_ENDED);
}

/* How many descriptors the world has for itself. */
static inline int inside_own_count(void)
{
    int count = 0;
    while (inside_world()->ops->own(inside_world(), count) >= 0)
        count++;
    return count;
}

static inline bool inside_fd_is_waited_for(const struct cr_fd *entry)
{
    return !cr_list_empty(&entry->waiters[CR_FD_IN]) ||
           !cr_list_empty(&entry->waiters[CR_FD_OUT]) || !cr_list_empty(&entry->others);
}

/* ---- another world ---- */

/* Makes the world do what `mine` will say: it begins as what the world does now, which is returned.
 * No call takes a fast path past it. */
static inline const struct cr_world_ops *inside_replace_ops(struct cr_world_ops *mine)
{
    struct cr_world *world = inside_world();
    const struct cr_world_ops *real = world->ops;
    *mine = *real;
    world->ops = mine;
    inside_io()->fds.allows_fast = false;
    inside_io()->fds.fast_count = 0;
    return real;
}

/* Takes it back; the fast path stays closed. */
static inline void inside_restore_ops(const struct cr_world_ops *real)
{
    inside_world()->ops = real;
}

#endif
