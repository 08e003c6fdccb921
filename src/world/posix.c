/* What every world over a POSIX kernel shares: the clock, the one question about readiness, and
 * what an adoption does. What a system lacks of these, os.h makes up for. */
#include "posix.h"

#include "../os/os.h"
#include "levels.h"
#include "raw.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const uint64_t NS_PER_SECOND = 1000000000;

uint64_t cr_posix_now(struct cr_world *world)
{
    (void)world;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

struct timespec *cr_posix_left(uint64_t until, struct timespec *left)
{
    if (until == CR_NEVER)
        return NULL;
    uint64_t now = until == 0 ? 0 : cr_posix_now(NULL);
    uint64_t left_ns = until > now ? until - now : 0;
    left->tv_sec = (time_t)(left_ns / NS_PER_SECOND);
    left->tv_nsec = (long)(left_ns % NS_PER_SECOND);
    return left;
}

short cr_posix_poll_mask(int mask)
{
    int in = mask & COIR_IN ? POLLIN | POLLRDHUP | POLLPRI : mask & COIR_HUP ? POLLRDHUP : 0;
    return (short)(in | (mask & COIR_OUT ? POLLOUT | POLLRDHUP : 0));
}

/* End of file, hang-up and error are ready for whichever direction is asked. */
int cr_posix_mask(short poll_mask)
{
    int mask = 0;
    if (poll_mask & (POLLIN | POLLRDHUP | POLLHUP | POLLERR))
        mask |= COIR_IN;
    if (poll_mask & (POLLOUT | POLLHUP | POLLERR))
        mask |= COIR_OUT;
    if (poll_mask & (POLLRDHUP | POLLHUP))
        mask |= COIR_HUP;
    if (poll_mask & POLLERR)
        mask |= COIR_ERR;
    if (poll_mask & POLLPRI)
        mask |= CR_URGENT;
    return mask;
}

struct cr_level cr_posix_level(uint64_t token, short poll_mask)
{
    struct cr_level level = {.token = token};
    int error = poll_mask & POLLERR ? COIR_ERR : 0;
    if (poll_mask & (POLLIN | POLLRDHUP | POLLHUP | POLLERR))
        level.in = COIR_IN | error | (poll_mask & (POLLRDHUP | POLLHUP) ? COIR_HUP : 0);
    if (poll_mask & (POLLOUT | POLLHUP | POLLERR))
        level.out = COIR_OUT | error | (poll_mask & POLLHUP ? COIR_HUP : 0);
    return level;
}

/* A device that a system's poll knows nothing of (macOS has such) cannot be waited for, so it is
 * always ready. */
int cr_posix_ask(int fd, int mask)
{
    if (fd < 0)
        return -EBADF;
    struct pollfd ask = {.fd = fd, .events = cr_posix_poll_mask(mask)};
    int count;
    do
        count = poll(&ask, 1, 0);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return -errno;
    if (ask.revents & POLLNVAL)
        return fcntl(fd, F_GETFD) < 0 ? -EBADF : mask & (COIR_IN | COIR_OUT);
    int ready = cr_posix_mask(ask.revents);
    if (mask == COIR_HUP)
        mask |= COIR_ERR;
    return ready & mask ? ready & (mask | COIR_HUP | COIR_ERR) : 0;
}

int cr_posix_ready(struct cr_world *world, int fd, int mask)
{
    (void)world;
    return cr_posix_ask(fd, mask);
}

/* A read ends at the end of a datagram, where descriptors are passed, at a line's end. A pipe is in
 * packet mode (O_DIRECT) by its writer's flag, which the reader cannot see. So a short read proves
 * emptiness for TCP only. */
int cr_posix_adopt(struct cr_world *world, int fd)
{
    (void)world;
    struct stat about;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &about) != 0)
        return -errno;
    if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return -errno;
    if (!S_ISSOCK(about.st_mode))
        return S_ISFIFO(about.st_mode) ? CR_FD_FIFO : 0;
    cr_os_no_sigpipe(fd);
    return CR_FD_SOCKET | (cr_os_is_tcp(fd) ? CR_FD_SHORT_EMPTIES : 0);
}

size_t cr_posix_readable_bytes(int fd)
{
    int bytes = 0;
    return ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

void cr_posix_cancel(struct cr_world *world, struct cr_op *op)
{
    (void)world;
    (void)op;
}

int cr_posix_renew(struct cr_world *world, enum cr_renewal step)
{
    (void)world;
    (void)step;
    return -ENOSYS;
}

#ifdef CR_RAW_BY_LIBC

static int64_t posix_result(ssize_t result)
{
    if (result >= 0)
        return result;
    return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

int64_t cr_world_recv(int fd, void *buf, size_t size)
{
    return posix_result(recv(fd, buf, size, MSG_DONTWAIT));
}

int64_t cr_world_send(int fd, const void *buf, size_t size)
{
    return posix_result(send(fd, buf, size, CR_OS_SEND));
}

#endif

/* Numbers above the highest that programs reach are passed over. */
int cr_posix_count_open(void)
{
    enum { NUMBERS_MAX = 65536, AT_ONCE = 1024 };
    struct pollfd asked[AT_ONCE];
    struct rlimit limit;
    int count = 0, end = NUMBERS_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < NUMBERS_MAX)
        end = (int)limit.rlim_cur;
    for (int first = 0; first < end; first += AT_ONCE) {
        int numbers = end - first < AT_ONCE ? end - first : AT_ONCE;
        for (int i = 0; i < numbers; i++)
            asked[i] = (struct pollfd){.fd = first + i};
        poll(asked, (nfds_t)numbers, 0);
        for (int i = 0; i < numbers; i++)
            count += !(asked[i].revents & POLLNVAL);
    }
    return count;
}
