/* What the tests of coir_loop.h share: a loop in each world that the build has, and a look at what
 * a wait tells. */
#ifndef TEST_LOOPS_H
#define TEST_LOOPS_H

#include "fds.h"

#include <coir_loop.h>
#include <poll.h>
#include <pthread.h>

enum { LOOPS_EVENTS = 64 };

/* The world of the loop that loops_next has opened, and what the last wait has reported. */
static enum coir_world loops_world = COIR_WORLD_DEFAULT;
static struct coir_loop_event loops_events[LOOPS_EVENTS];
static int loops_count;

/* Words to be reported. */
__attribute__((unused)) static char loops_words[LOOPS_EVENTS];
#define WORD(i) ((void *)&loops_words[i])

/* Opens a loop in the next world and closes the one before, of which nothing may be left. False
 * after the last world. */
static inline bool loops_next(coir_loop **loop)
{
    static int descriptors;
    if (loops_world != COIR_WORLD_DEFAULT) {
        coir_loop_close(*loop);
        CHECK_EQ(fds_open(), descriptors);
    }
    descriptors = fds_open();
    while (loops_world < COIR_WORLD_POLL) {
        loops_world++;
        int result = coir_loop_open(loop, loops_world);
        if (result == 0) {
            fprintf(stderr, "world %d\n", (int)loops_world);
            return true;
        }
        CHECK_EQ(result, -ENOSYS);
    }
    return false;
}

/* Whether this loop tells the ends of sockets as the interface says: what a poll does not say, the
 * world of poll cannot tell. */
static inline bool loops_tells_ends(void)
{
    return loops_world != COIR_WORLD_POLL || kernel->hup == HUP_LINUX;
}

/* What is ready now, or within 10 seconds. */
static inline int loops_now(coir_loop *loop)
{
    return loops_count = coir_loop_wait(loop, loops_events, LOOPS_EVENTS, COIR_TRY);
}

static inline int loops_soon(coir_loop *loop)
{
    coir_time until = coir_loop_after(COIR_SEC(10));
    return loops_count = coir_loop_wait(loop, loops_events, LOOPS_EVENTS, until);
}

/* The event that was reported for one direction of a descriptor, or a wake (-1, COIR_LOOP_WAKE). */
static inline const struct coir_loop_event *loops_find(int fd, int direction)
{
    const struct coir_loop_event *found = NULL;
    for (int i = 0; i < loops_count; i++) {
        if (loops_events[i].fd != fd || !(loops_events[i].flags & direction))
            continue;
        CHECK(!found);
        found = &loops_events[i];
    }
    return found;
}

/* Its flags; 0 when it was not reported. */
static inline int loops_flags(int fd, int direction)
{
    const struct coir_loop_event *event = loops_find(fd, direction);
    return event ? event->flags : 0;
}

static inline uint64_t loops_cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

/* A wait that finds nothing lasts to its end, and does so asleep. A virtual machine that is not let
 * run is charged for that, so one wait of several has to show it. */
static inline void loops_check_asleep(coir_loop *loop)
{
    uint64_t used = UINT64_MAX;
    for (int i = 0; i < TEST_TRIES && used >= 10000000; i++) {
        uint64_t before = loops_cpu_ns();
        coir_time until = coir_loop_after(COIR_MS(80));
        CHECK_EQ(coir_loop_wait(loop, loops_events, LOOPS_EVENTS, until), 0);
        CHECK(coir_loop_now().ns >= until.ns);
        used = loops_cpu_ns() - before;
    }
    CHECK(used < 10000000);
}

#endif
