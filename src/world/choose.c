/* Which world it is to be: the one that the program names, or the environment's COIR_WORLD, or
 * else the first that the system has. */
#include "world.h"

#include "../../include/coir.h"

#include <stdlib.h>
#include <string.h>

int cr_world_init(struct cr_world *world, enum coir_world which)
{
    static const struct {
        const char *name;
        int (*init)(struct cr_world *world);
    } WORLDS[] = {
        [COIR_WORLD_DEFAULT] = {"", NULL},
        [COIR_WORLD_EPOLL] = {"epoll", cr_epoll_init},
        [COIR_WORLD_KQUEUE] = {"kqueue", cr_kqueue_init},
        [COIR_WORLD_POLL] = {"poll", cr_poll_init},
    };
    const size_t count = sizeof WORLDS / sizeof *WORLDS;
    const char *name = getenv("COIR_WORLD");
    size_t i = (size_t)which;
    if (which == COIR_WORLD_DEFAULT && name)
        for (i = 0; i < count && strcmp(name, WORLDS[i].name) != 0; i++)
            continue;
    if (i >= count)
        return -ENOSYS;
    int result = i > 0 ? WORLDS[i].init(world) : -ENOSYS;
    if (i == 0)
        for (i = 1; i < count && result == -ENOSYS; i++)
            result = WORLDS[i].init(world);
    return result;
}
