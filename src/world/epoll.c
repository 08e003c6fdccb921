/* The world of Linux: one epoll, every descriptor registered once, for both directions and for
 * edges. Waits have the kernel's nanoseconds.
 *
 * A wait with a time limit costs the kernel a timer to set and to take back, each time. So a
 * deadline that is not near is left to a timer descriptor in the epoll set, which is set again only
 * for a deadline that is earlier than the one it is set for; the waits have no limit then. It may
 * fire for a deadline that has gone: that wait ends without an event.
 *
 * Invariant: `alarm_ns` is when the timer descriptor fires, or CR_NEVER. */
#include "levels.h"

#if defined(__linux__) && !defined(COIR_OS_BSD)

#include "../os/os.h"
#include "posix.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

enum { BATCH_MAX = 128 }; /* for levels; a scheduler asks for fewer */

enum { NEAR_NS = 2 * 1000 * 1000, SECOND_NS = 1000 * 1000 * 1000 };

struct cr_epoll {
    struct cr_world world;
    int queue; /* -1: not opened yet */
    int next;  /* what takes its place; -1: none is being filled */
    int timer; /* -1: none */
    bool hosted;
    uint64_t alarm_ns;
};

static struct cr_epoll *epoll_of(struct cr_world *world)
{
    return CR_CONTAINER(world, struct cr_epoll, world);
}

/* What a sandbox says of a call that it forbids. EPERM is what epoll says of a file that cannot be
 * polled. */
static int epoll_forbidden(int error)
{
    return error == EPERM ? -EACCES : -error;
}

static int epoll_open_queue(int *queue)
{
    if (*queue < 0)
        *queue = cr_os_number(epoll_create1(EPOLL_CLOEXEC));
    return *queue < 0 ? epoll_forbidden(errno) : *queue;
}

static int epoll_own(struct cr_world *world, int i)
{
    return i == 0 ? epoll_of(world)->queue : i == 1 ? epoll_of(world)->timer : -1;
}

enum { INTEREST = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | (int)EPOLLET };

/* Whether it is the file that cannot be polled, or the call that is forbidden: of an epoll
 * itself the kernel says EINVAL. */
static int epoll_refusal(int queue)
{
    struct epoll_event nothing = {0};
    bool is_forbidden = epoll_ctl(queue, EPOLL_CTL_ADD, queue, &nothing) != 0 && errno == EPERM;
    return is_forbidden ? -EACCES : -EPERM;
}

/* If a number was closed and opened again by way of a dup, its file may still be registered: to
 * modify the registration renews it, and reports its edge again. */
static int epoll_add(int queue, int fd, uint32_t events, uint64_t token)
{
    struct epoll_event interest = {.events = events, .data.u64 = token};
    int result = epoll_ctl(queue, EPOLL_CTL_ADD, fd, &interest);
    if (result != 0 && errno == EEXIST)
        result = epoll_ctl(queue, EPOLL_CTL_MOD, fd, &interest);
    return result == 0 ? 0 : errno == EPERM ? epoll_refusal(queue) : -errno;
}

static bool epoll_remove(int queue, int fd)
{
    return epoll_ctl(queue, EPOLL_CTL_DEL, fd, &(struct epoll_event){0}) == 0;
}

/* Without it waits have limits. */
static void epoll_open_timer(struct cr_epoll *epoll)
{
    int timer = cr_os_number(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (timer < 0)
        return;
    if (epoll_add(epoll->queue, timer, EPOLLIN | (uint32_t)EPOLLET, CR_TOKEN_TIMER) == 0)
        epoll->timer = timer;
    else
        close(timer);
}

/* Both at once, and not the timer when it is needed first: it could get the number of a file that
 * was closed by a plain close(2), and would pass for it. */
static int epoll_open(struct cr_world *world)
{
    struct cr_epoll *epoll = epoll_of(world);
    if (epoll->queue >= 0)
        return epoll->queue;
    int result = epoll_open_queue(&epoll->queue);
    if (result >= 0)
        epoll_open_timer(epoll);
    return result;
}

static void epoll_close_timer(struct cr_epoll *epoll)
{
    if (epoll->timer < 0)
        return;
    epoll_remove(epoll->queue, epoll->timer);
    close(epoll->timer);
    epoll->timer = -1;
    epoll->alarm_ns = CR_NEVER;
}

/* For a host loop that watches it: an alarm that was set by a wait would make it readable later, so
 * there is none any more. */
static int epoll_open_for_host(struct cr_world *world)
{
    struct cr_epoll *epoll = epoll_of(world);
    int queue = epoll_open(world);
    epoll->hosted = queue >= 0;
    epoll_close_timer(epoll);
    return queue;
}

static int epoll_attach(struct cr_world *world, int fd, uint64_t token)
{
    int next = epoll_of(world)->next, queue = next >= 0 ? next : epoll_open(world);
    return queue < 0 ? queue : epoll_add(queue, fd, (uint32_t)INTEREST, token);
}

/* The registration of a file that was closed by number, and lives on, can be named by nobody: only
 * another epoll is without it. A host watches this one. */
static int epoll_renew(struct cr_world *world, enum cr_renewal step)
{
    struct cr_epoll *epoll = epoll_of(world);
    if (step == CR_RENEWAL_BEGIN) {
        if (epoll->queue < 0 || epoll->hosted)
            return -EBUSY;
        int next = epoll_open_queue(&epoll->next);
        return next < 0 ? next : 0;
    }
    int over = epoll->next;
    if (step == CR_RENEWAL_KEEP) {
        epoll_close_timer(epoll);
        over = epoll->queue;
        epoll->queue = epoll->next;
        epoll_open_timer(epoll);
    }
    epoll->next = -1;
    close(over);
    return 0;
}

static bool epoll_detach(struct cr_world *world, int fd, int index)
{
    (void)index;
    return epoll_remove(epoll_of(world)->queue, fd);
}

/* The kernel knows a registration by the file and its number together, and refuses a second one.
 * (To modify it would report its edge again.) */
static bool epoll_lost(struct cr_world *world, int fd, uint64_t token)
{
    (void)token;
    int queue = epoll_of(world)->queue;
    struct epoll_event nothing = {0};
    int result = epoll_ctl(queue, EPOLL_CTL_ADD, fd, &nothing);
    if (result == 0)
        epoll_remove(queue, fd);
    return result == 0 || errno != EEXIST;
}

/* ---- waiting ---- */

/* A kernel before 5.11 has no nanoseconds in epoll_wait (and some sandboxes forbid what they do not
 * know): there the epoll itself is polled. */
static int epoll_wait_until(int queue, struct epoll_event *events, int max, uint64_t until)
{
    static atomic_bool missing;
    struct timespec left_buf, *left = cr_posix_left(until, &left_buf);
    if (!atomic_load_explicit(&missing, memory_order_relaxed)) {
        long count = syscall(SYS_epoll_pwait2, queue, events, max, left, NULL, 8);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM && errno != EACCES))
            return (int)count;
        atomic_store_explicit(&missing, true, memory_order_relaxed);
    }
    struct pollfd ask = {.fd = queue, .events = POLLIN};
    int ready = cr_os_poll(&ask, 1, left);
    return ready > 0 ? epoll_wait(queue, events, max, 0) : ready;
}

/* Whether a wait without a limit ends at a deadline, or before. */
static bool epoll_set_alarm(struct cr_epoll *epoll, uint64_t until)
{
    if (CR_LIKELY(epoll->alarm_ns <= until))
        return true;
    uint64_t now = cr_posix_now(NULL);
    if (epoll->timer < 0 || until < now + NEAR_NS)
        return false;
    struct itimerspec alarm = {.it_value = {.tv_sec = (time_t)(until / SECOND_NS),
                                            .tv_nsec = (long)(until % SECOND_NS)}};
    if (timerfd_settime(epoll->timer, TFD_TIMER_ABSTIME, &alarm, NULL) != 0)
        return false;
    epoll->alarm_ns = until;
    return true;
}

CR_INLINE int epoll_collect(struct cr_epoll *epoll, struct epoll_event got[BATCH_MAX], int max,
                            uint64_t until)
{
    struct timespec left_buf;
    if (epoll->queue < 0 || max == 0)
        return cr_os_poll(NULL, 0, cr_posix_left(until, &left_buf));
    if (until == 0)
        return epoll_wait(epoll->queue, got, max, 0);
    if (until == CR_NEVER || epoll_set_alarm(epoll, until))
        return epoll_wait(epoll->queue, got, max, -1);
    return epoll_wait_until(epoll->queue, got, max, until);
}

CR_INLINE int epoll_mask(uint32_t events)
{
    if (CR_UNLIKELY(events & ~(uint32_t)(EPOLLIN | EPOLLOUT)))
        return cr_posix_mask((short)events);
    return (events & EPOLLIN ? COIR_IN : 0) | (events & EPOLLOUT ? COIR_OUT : 0);
}

static int epoll_wait_events(struct cr_world *world, struct cr_event *events, int max,
                             uint64_t until, bool *more)
{
    struct cr_epoll *epoll = epoll_of(world);
    struct epoll_event got[BATCH_MAX];
    int room = max < BATCH_MAX ? max : BATCH_MAX;
    int count = epoll_collect(epoll, got, room, until);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        events[i].token = got[i].data.u64;
        events[i].value = epoll_mask(got[i].events);
        if (CR_UNLIKELY(got[i].data.u64 == CR_TOKEN_TIMER))
            epoll->alarm_ns = CR_NEVER;
    }
    *more = count == room && max > 0;
    return count;
}

static void epoll_close(struct cr_world *world)
{
    struct cr_epoll *epoll = epoll_of(world);
    if (epoll->timer >= 0)
        close(epoll->timer);
    if (epoll->queue >= 0)
        close(epoll->queue);
    free(epoll);
}

int cr_epoll_make(struct cr_world **world)
{
    static const struct cr_world_ops OPS = {
        .now = cr_posix_now,
        .wait = epoll_wait_events,
        .open = epoll_open_for_host,
        .own = epoll_own,
        .attach = epoll_attach,
        .detach = epoll_detach,
        .lost = epoll_lost,
        .renew = epoll_renew,
        .ready = cr_posix_ready,
        .adopt = cr_posix_adopt,
        .start = cr_ops_start,
        .cancel = cr_posix_cancel,
        .close = epoll_close,
    };
    struct cr_epoll *epoll = malloc(sizeof *epoll);
    if (!epoll)
        return -ENOMEM;
    *epoll = (struct cr_epoll){
        .world = {.ops = &OPS, .name = "epoll", .edges = true, .plain = true},
        .queue = -1,
        .next = -1,
        .timer = -1,
        .alarm_ns = CR_NEVER,
    };
    *world = &epoll->world;
    return 0;
}

/* ---- levels ---- */

static int epoll_watch(struct cr_levels *levels, int fd, int index, uint64_t token, int old,
                       int mask)
{
    (void)index;
    int queue = epoll_open_queue(&levels->queue);
    if (queue < 0)
        return queue;
    if (mask == 0) {
        epoll_remove(queue, fd);
        return 0;
    }
    struct epoll_event interest = {.data.u64 = token};
    if (mask & COIR_IN)
        interest.events |= EPOLLIN | EPOLLRDHUP;
    if (mask & COIR_OUT)
        interest.events |= EPOLLOUT;
    if (!old)
        return epoll_add(queue, fd, interest.events, token);
    return epoll_ctl(queue, EPOLL_CTL_MOD, fd, &interest) == 0 ? 0 : -errno;
}

static int epoll_wait_levels(struct cr_levels *levels, struct cr_level *got, int max,
                             uint64_t until)
{
    struct epoll_event events[BATCH_MAX];
    struct timespec left_buf;
    int room = max < BATCH_MAX ? max : BATCH_MAX, count;
    if (levels->queue < 0)
        count = cr_os_poll(NULL, 0, cr_posix_left(until, &left_buf));
    else if (until == 0)
        count = epoll_wait(levels->queue, events, room, 0);
    else
        count = epoll_wait_until(levels->queue, events, room, until);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++)
        got[i] = cr_posix_level(events[i].data.u64, (short)events[i].events);
    return count;
}

static void epoll_close_levels(struct cr_levels *levels)
{
    if (levels->queue >= 0)
        close(levels->queue);
    free(levels);
}

int cr_epoll_make_levels(struct cr_levels **levels)
{
    _Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR &&
                       EPOLLHUP == POLLHUP && EPOLLRDHUP == POLLRDHUP && EPOLLPRI == POLLPRI,
                   "epoll's bits are poll's");
    static const struct cr_levels_ops OPS = {
        .make = cr_epoll_make_levels,
        .watch = epoll_watch,
        .wait = epoll_wait_levels,
        .ready = cr_posix_ask,
        .close = epoll_close_levels,
    };
    struct cr_levels *made = malloc(sizeof *made);
    if (!made)
        return -ENOMEM;
    *made = (struct cr_levels){.ops = &OPS, .queue = -1};
    *levels = made;
    return 0;
}

#else

int cr_epoll_make(struct cr_world **world)
{
    (void)world;
    return -ENOSYS;
}

int cr_epoll_make_levels(struct cr_levels **levels)
{
    (void)levels;
    return -ENOSYS;
}

#endif
