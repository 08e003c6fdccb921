/* The virtual clock in front of another world's descriptors. It starts at 2, because 0 and 1 are
 * COIR_NEVER and COIR_TRY, and moves only here, in the wait: when no descriptor is ready, straight
 * to the time that the wait would have lasted to. A wait without a deadline is the other world's
 * own. */
#include "below.h"

#include <stdlib.h>

struct cr_virtual {
    struct cr_above above;
    struct cr_world_ops ops;
    uint64_t now_ns;
};

static struct cr_virtual *virtual_of(struct cr_world *world)
{
    return CR_CONTAINER(world, struct cr_virtual, above.world);
}

static uint64_t virtual_now(struct cr_world *world)
{
    return virtual_of(world)->now_ns;
}

static int virtual_wait(struct cr_world *world, struct cr_event *events, int max, uint64_t until,
                        bool *more)
{
    struct cr_virtual *clock = virtual_of(world);
    bool forever = until == CR_NEVER;
    int count = 0;
    if (max > 0 || forever)
        count = cr_below_ops.wait(world, events, max, forever ? until : 0, more);
    if (count == 0 && !forever && until > clock->now_ns)
        clock->now_ns = until;
    return count;
}

int cr_virtual_make(struct cr_world **world)
{
    struct cr_virtual *clock = malloc(sizeof *clock);
    if (!clock)
        return -ENOMEM;
    clock->now_ns = 2;
    clock->ops = cr_below_ops;
    clock->ops.now = virtual_now;
    clock->ops.wait = virtual_wait;
    cr_below_put(world, &clock->above, &clock->ops);
    clock->above.world.is_virtual = true;
    return 0;
}
