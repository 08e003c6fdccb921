/* Which world it is to be: the one that the program names, or the environment's COIR_WORLD, or
 * else the first that the system has. */
#include "levels.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int (*make)(struct cr_world **world);
    int (*make_levels)(struct cr_levels **levels);
} WORLDS[] = {
    [COIR_WORLD_DEFAULT] = {"", NULL, NULL},
    [COIR_WORLD_EPOLL] = {"epoll", cr_epoll_make, cr_epoll_make_levels},
    [COIR_WORLD_KQUEUE] = {"kqueue", cr_kqueue_make, cr_kqueue_levels_make},
    [COIR_WORLD_POLL] = {"poll", cr_poll_make, cr_poll_make_levels},
};

enum { WORLDS_COUNT = sizeof WORLDS / sizeof *WORLDS };

/* What a program or the environment asks for: COIR_WORLD_DEFAULT leaves the choice to the system;
 * WORLDS_COUNT is no world at all. */
static size_t choose_asked(enum coir_world which)
{
    const char *name = getenv("COIR_WORLD");
    size_t i = (size_t)which < WORLDS_COUNT ? (size_t)which : WORLDS_COUNT;
    if (which == COIR_WORLD_DEFAULT && name)
        for (i = 0; i < WORLDS_COUNT && strcmp(name, WORLDS[i].name) != 0; i++)
            continue;
    return i;
}

static int choose_make(size_t i, struct cr_world **world, struct cr_levels **levels)
{
    return world ? WORLDS[i].make(world) : WORLDS[i].make_levels(levels);
}

/* Makes a world or (NULL) levels. */
static int choose(enum coir_world which, struct cr_world **world, struct cr_levels **levels)
{
    size_t asked = choose_asked(which);
    if (asked == WORLDS_COUNT)
        return -ENOSYS;
    if (asked != COIR_WORLD_DEFAULT)
        return choose_make(asked, world, levels);
    int result = -ENOSYS;
    for (size_t i = 1; i < WORLDS_COUNT && result == -ENOSYS; i++)
        result = choose_make(i, world, levels);
    return result;
}

int cr_world_make(struct cr_world **world, enum coir_world which)
{
    return choose(which, world, NULL);
}

int cr_world_make_levels(struct cr_levels **levels, enum coir_world which)
{
    return choose(which, NULL, levels);
}
