/* The world of Linux: one epoll, every descriptor registered once, for both directions and for
 * edges. Waits have the kernel's nanoseconds. */
#include "world.h"

#if defined(__linux__)

#include "../../include/coir.h"
#include "../os/os.h"

#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

enum { BATCH_MOST = 128 }; /* a poller's; the scheduler asks for fewer */

static int epoll_open(struct cr_world *world)
{
    if (world->queue < 0)
        world->queue = epoll_create1(EPOLL_CLOEXEC);
    return world->queue < 0 ? -errno : world->queue;
}

enum { INTEREST = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | (int)EPOLLET };

/* Of a number that was closed and is open again, by way of a dup, the file may still be registered:
 * to modify it tells its edge again. */
static int epoll_add(struct cr_world *world, int fd, struct epoll_event *interest)
{
    int result = epoll_ctl(world->queue, EPOLL_CTL_ADD, fd, interest);
    if (result != 0 && errno == EEXIST)
        result = epoll_ctl(world->queue, EPOLL_CTL_MOD, fd, interest);
    return result == 0 ? 0 : -errno;
}

static int epoll_attach(struct cr_world *world, int fd, uint64_t token)
{
    int result = epoll_open(world);
    if (result < 0)
        return result;
    struct epoll_event interest = {.events = (uint32_t)INTEREST, .data.u64 = token};
    return epoll_add(world, fd, &interest);
}

static bool epoll_detach(struct cr_world *world, int fd, int place)
{
    (void)place;
    return epoll_ctl(world->queue, EPOLL_CTL_DEL, fd, &(struct epoll_event){0}) == 0;
}

/* The kernel knows a registration by the file and its number together, and refuses a second one.
 * (To modify it would tell its edge again.) */
static bool epoll_lost(struct cr_world *world, int fd, uint64_t token)
{
    (void)token;
    struct epoll_event nothing = {0};
    int result = epoll_ctl(world->queue, EPOLL_CTL_ADD, fd, &nothing);
    if (result == 0)
        epoll_ctl(world->queue, EPOLL_CTL_DEL, fd, &nothing);
    return result == 0 || errno != EEXIST;
}

/* A kernel before 5.11 has no nanoseconds in epoll_wait (and some sandboxes forbid what they do not
 * know): there the epoll itself is polled. */
static int epoll_wait_ns(int queue, struct epoll_event *events, int most, struct timespec *left)
{
    static atomic_bool missing;
    if (!atomic_load_explicit(&missing, memory_order_relaxed)) {
        long count = syscall(SYS_epoll_pwait2, queue, events, most, left, NULL, 8);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM))
            return (int)count;
        atomic_store_explicit(&missing, true, memory_order_relaxed);
    }
    struct pollfd ask = {.fd = queue, .events = POLLIN};
    int ready = cr_os_poll(&ask, 1, left);
    return ready > 0 ? epoll_wait(queue, events, most, 0) : ready;
}

CR_INLINE int epoll_collect(struct cr_world *world, struct epoll_event got[BATCH_MOST], int most,
                            uint64_t until)
{
    int room = most < BATCH_MOST ? most : BATCH_MOST;
    struct timespec left_buf, *left = cr_posix_left(world, until, &left_buf);
    int count;
    if (world->queue < 0)
        count = cr_os_poll(NULL, 0, left);
    else if (until == 0)
        count = epoll_wait(world->queue, got, room, 0);
    else
        count = epoll_wait_ns(world->queue, got, room, left);
    world->is_full = count == room;
    return count >= 0 ? count : errno == EINTR ? 0 : -errno;
}

CR_INLINE int epoll_mask(uint32_t events)
{
    if (CR_UNLIKELY(events & ~(uint32_t)(EPOLLIN | EPOLLOUT)))
        return cr_posix_mask((short)events);
    return (events & EPOLLIN ? COIR_IN : 0) | (events & EPOLLOUT ? COIR_OUT : 0);
}

static int epoll_wait_events(struct cr_world *world, struct cr_event *events, int most,
                             uint64_t until)
{
    struct epoll_event got[BATCH_MOST];
    int count = epoll_collect(world, got, most, until);
    for (int i = 0; i < count; i++) {
        events[i].token = got[i].data.u64;
        events[i].value = epoll_mask(got[i].events);
    }
    return count;
}

static int epoll_watch(struct cr_world *world, int fd, int place, uint64_t token, int old, int mask)
{
    int result = epoll_open(world);
    if (result < 0)
        return result;
    if (mask == 0) {
        epoll_detach(world, fd, place);
        return 0;
    }
    struct epoll_event interest = {.data.u64 = token};
    if (mask & COIR_IN)
        interest.events |= EPOLLIN | EPOLLRDHUP;
    if (mask & COIR_OUT)
        interest.events |= EPOLLOUT;
    if (!old)
        return epoll_add(world, fd, &interest);
    return epoll_ctl(world->queue, EPOLL_CTL_MOD, fd, &interest) == 0 ? 0 : -errno;
}

static int epoll_levels(struct cr_world *world, struct cr_level *levels, int most, uint64_t until)
{
    struct epoll_event got[BATCH_MOST];
    int count = epoll_collect(world, got, most, until);
    for (int i = 0; i < count; i++)
        levels[i] = cr_posix_level(got[i].data.u64, (short)got[i].events);
    return count;
}

static void epoll_fini(struct cr_world *world)
{
    if (world->queue >= 0)
        close(world->queue);
}

int cr_epoll_init(struct cr_world *world)
{
    _Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR &&
                       EPOLLHUP == POLLHUP && EPOLLRDHUP == POLLRDHUP && EPOLLPRI == POLLPRI,
                   "epoll's bits are poll's");
    cr_posix_init(world);
    world->name = "epoll";
    world->wait = epoll_wait_events;
    world->open = epoll_open;
    world->attach = epoll_attach;
    world->detach = epoll_detach;
    world->lost = epoll_lost;
    world->watch = epoll_watch;
    world->levels = epoll_levels;
    world->fini = epoll_fini;
    return 0;
}

#else

int cr_epoll_init(struct cr_world *world)
{
    (void)world;
    return -ENOSYS;
}

#endif
