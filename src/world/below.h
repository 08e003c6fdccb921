/* For worlds that stand in front of another one. Such a world begins with struct cr_above, copies
 * cr_below_ops and replaces the entries that it changes. So worlds can be stacked. */
#ifndef CR_BELOW_H
#define CR_BELOW_H

#include "world.h"

struct cr_above {
    struct cr_world world;
    struct cr_world *below;
};

/* Every entry calls the world below; `close` also frees the one above. */
extern CR_HIDDEN const struct cr_world_ops cr_below_ops;

/* Puts `above` in front of *world. It has what the world below says of itself, and `ops`. */
CR_HIDDEN void cr_below_put(struct cr_world **world, struct cr_above *above,
                            const struct cr_world_ops *ops);

CR_INLINE struct cr_world *cr_below(struct cr_world *world)
{
    return CR_CONTAINER(world, struct cr_above, world)->below;
}

#endif
