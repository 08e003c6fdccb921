/* The virtual clock over another world's descriptors. It starts at 0 and moves only here, in the
 * wait: when no descriptor is ready, straight to the time that the wait would have lasted to. A
 * wait without a deadline is the other world's own. */
#include "world.h"

static uint64_t virtual_now(struct cr_world *world)
{
    return world->virtual_now_ns;
}

static int virtual_wait(struct cr_world *world, struct cr_event *events, int most, uint64_t until)
{
    int count = 0;
    if (world->waiting > 0 || until == UINT64_MAX)
        count = world->real_wait(world, events, most, until == UINT64_MAX ? until : 0);
    if (count == 0 && until != UINT64_MAX && until > world->virtual_now_ns)
        world->virtual_now_ns = until;
    return count;
}

void cr_virtual_init(struct cr_world *world)
{
    world->is_virtual = true;
    world->real_wait = world->wait;
    world->wait = virtual_wait;
    world->now = virtual_now;
}
