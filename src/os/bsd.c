/* macOS, the BSDs, and whatever else keeps to POSIX: a guard is a page without access, memory that
 * is released is mapped again, and a wait is rounded up to milliseconds.
 *
 * There MADV_DONTNEED keeps the contents, and MADV_FREE may or may not, so neither will do where
 * what is released shall read as zero. A new mapping in the same place will, but it wipes out the
 * guards that it covers. */
#include "os.h"

#if !defined(__linux__) || defined(COIR_OS_BSD)

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

/* OpenBSD kills a process whose stack pointer is elsewhere. FreeBSD means memory that grows by the
 * page as one stack does, which a slab of many cannot; the others mean nothing by it. */
#ifdef __OpenBSD__
enum { BSD_STACK = MAP_STACK };
#else
enum { BSD_STACK = 0 };
#endif

enum { BSD_MAP = MAP_PRIVATE | MAP_ANON | BSD_STACK, BSD_ACCESS = PROT_READ | PROT_WRITE };

/* Some kernels refuse a longer wait by select, as EINVAL: about three years. */
enum { SELECT_SECONDS_MOST = 100000000 };

const bool cr_os_clears_across_guards = false;

char *cr_os_map(size_t size)
{
    char *low = mmap(NULL, size, BSD_ACCESS, BSD_MAP, -1, 0);
    return low == MAP_FAILED ? NULL : low;
}

void cr_os_unmap(char *low, size_t size)
{
    munmap(low, size);
}

bool cr_os_guard(char *low, size_t size)
{
    return mprotect(low, size, PROT_NONE) == 0;
}

void cr_os_clear(char *low, size_t size)
{
    mmap(low, size, BSD_ACCESS, BSD_MAP | MAP_FIXED, -1, 0);
}

bool cr_os_clear_guarded(char *low, size_t size)
{
    (void)low, (void)size;
    return false;
}

/* What is too long ends early, and is waited for again. */
int cr_os_poll(struct pollfd *asks, size_t count, const struct timespec *left)
{
    static const struct timespec MOST = {.tv_sec = SELECT_SECONDS_MOST};
    int64_t left_ms = -1;
    if (count == 0)
        return pselect(0, NULL, NULL, NULL,
                       left && left->tv_sec > SELECT_SECONDS_MOST ? &MOST : left, NULL);
    if (left && left->tv_sec < INT_MAX / 1000)
        left_ms = (int64_t)left->tv_sec * 1000 + (left->tv_nsec + 999999) / 1000000;
    else if (left)
        left_ms = INT_MAX;
    return poll(asks, (nfds_t)count, (int)left_ms);
}

/* Only TCP has the option. */
bool cr_os_is_tcp(int fd)
{
    int value;
    socklen_t size = sizeof value;
    return getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size) == 0;
}

/* In two steps, since not all systems can do it in one: another thread's exec between them inherits
 * the descriptor. */
static int bsd_own(int fd)
{
    fd = cr_os_number(fd);
    if (fd < 0)
        return fd;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 &&
        fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0) {
        cr_os_no_sigpipe(fd);
        return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int bsd_own_both(int fds[2])
{
    if (cr_os_number_both(fds) < 0)
        return -1;
    if (bsd_own(fds[0]) < 0) {
        int error = errno;
        close(fds[1]);
        errno = error;
        return -1;
    }
    if (bsd_own(fds[1]) >= 0)
        return 0;
    int error = errno;
    close(fds[0]);
    errno = error;
    return -1;
}

int cr_os_socket(int domain, int type, int protocol)
{
    return bsd_own(socket(domain, type, protocol));
}

int cr_os_socketpair(int domain, int type, int protocol, int fds[2])
{
    return socketpair(domain, type, protocol, fds) < 0 ? -1 : bsd_own_both(fds);
}

int cr_os_pipe(int fds[2])
{
    return pipe(fds) < 0 ? -1 : bsd_own_both(fds);
}

int cr_os_bell(int ends[2])
{
    return cr_os_pipe(ends);
}

int cr_os_accept(int fd, struct sockaddr *addr, socklen_t *size)
{
    return bsd_own(accept(fd, addr, size));
}

const char *cr_os_stack_pointer(const void *context)
{
    (void)context;
    return NULL;
}

bool cr_os_is_privileged(void)
{
    return getuid() != geteuid() || getgid() != getegid();
}

#ifdef SO_NOSIGPIPE
void cr_os_no_sigpipe(int fd)
{
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &(int){1}, sizeof(int));
}
#else
void cr_os_no_sigpipe(int fd)
{
    (void)fd;
}
#endif

#endif
