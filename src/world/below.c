/* The world that changes nothing: each entry asks the one below. What stands in front of another
 * world copies this table and replaces what it does itself. */
#include "below.h"

#include <stdlib.h>

static uint64_t below_now(struct cr_world *world)
{
    return cr_below(world)->ops->now(cr_below(world));
}

static int below_wait(struct cr_world *world, struct cr_event *events, int max, uint64_t until,
                      bool *more)
{
    return cr_below(world)->ops->wait(cr_below(world), events, max, until, more);
}

static int below_open(struct cr_world *world)
{
    return cr_below(world)->ops->open(cr_below(world));
}

static int below_own(struct cr_world *world, int i)
{
    return cr_below(world)->ops->own(cr_below(world), i);
}

static int below_attach(struct cr_world *world, int fd, uint64_t token)
{
    return cr_below(world)->ops->attach(cr_below(world), fd, token);
}

static bool below_detach(struct cr_world *world, int fd, int index)
{
    return cr_below(world)->ops->detach(cr_below(world), fd, index);
}

static void below_arm(struct cr_world *world, int fd, int index, int mask)
{
    cr_below(world)->ops->arm(cr_below(world), fd, index, mask);
}

static bool below_lost(struct cr_world *world, int fd, uint64_t token)
{
    return cr_below(world)->ops->lost(cr_below(world), fd, token);
}

static int below_renew(struct cr_world *world, enum cr_renewal step)
{
    return cr_below(world)->ops->renew(cr_below(world), step);
}

static int below_ready(struct cr_world *world, int fd, int mask)
{
    return cr_below(world)->ops->ready(cr_below(world), fd, mask);
}

static int below_adopt(struct cr_world *world, int fd)
{
    return cr_below(world)->ops->adopt(cr_below(world), fd);
}

static int64_t below_start(struct cr_world *world, struct cr_op *op)
{
    return cr_below(world)->ops->start(cr_below(world), op);
}

static void below_cancel(struct cr_world *world, struct cr_op *op)
{
    cr_below(world)->ops->cancel(cr_below(world), op);
}

static void below_close(struct cr_world *world)
{
    cr_below(world)->ops->close(cr_below(world));
    free(CR_CONTAINER(world, struct cr_above, world));
}

const struct cr_world_ops cr_below_ops = {
    .now = below_now,
    .wait = below_wait,
    .open = below_open,
    .own = below_own,
    .attach = below_attach,
    .detach = below_detach,
    .arm = below_arm,
    .lost = below_lost,
    .renew = below_renew,
    .ready = below_ready,
    .adopt = below_adopt,
    .start = below_start,
    .cancel = below_cancel,
    .close = below_close,
};

void cr_below_put(struct cr_world **world, struct cr_above *above, const struct cr_world_ops *ops)
{
    above->world = **world;
    above->world.ops = ops;
    above->below = *world;
    *world = &above->world;
}
