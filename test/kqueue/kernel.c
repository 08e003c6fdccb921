/* The calls around the tests' kqueue, each as the chosen kernel answers it. The real ones are the
 * C library's, found behind these. */
#include "kernel.h"

#include "knote.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* With _GNU_SOURCE, which declares these, addresses of sockets are of another type. */
#ifndef RTLD_NEXT
#define RTLD_NEXT ((void *)-1L)
#endif
#ifndef POLLRDHUP
#define POLLRDHUP 0x2000
#endif

enum { NBIO = 0x20000, NUMBERS = 1 << 16 };

static struct kernel kernels[] = {
#define MACOS(member, linux, macos, freebsd, netbsd, openbsd, source) .member = macos,
    {.name = "macos", KERNEL_ROWS(MACOS)},
#define FREEBSD(member, linux, macos, freebsd, netbsd, openbsd, source) .member = freebsd,
    {.name = "freebsd", KERNEL_ROWS(FREEBSD)},
#define NETBSD(member, linux, macos, freebsd, netbsd, openbsd, source) .member = netbsd,
    {.name = "netbsd", KERNEL_ROWS(NETBSD)},
#define OPENBSD(member, linux, macos, freebsd, netbsd, openbsd, source) .member = openbsd,
    {.name = "openbsd", KERNEL_ROWS(OPENBSD)},
};

enum { KERNELS_COUNT = sizeof kernels / sizeof *kernels };

struct kernel *kernel = &kernels[1];

static struct {
    int (*poll)(struct pollfd *asks, nfds_t count, int ms);
    int (*connect)(int fd, const struct sockaddr *addr, socklen_t size);
    int (*listen)(int fd, int backlog);
    int (*accept)(int fd, struct sockaddr *addr, socklen_t *size);
    int (*shutdown)(int fd, int how);
    ssize_t (*sendto)(int fd, const void *buf, size_t size, int flags, const struct sockaddr *addr,
                      socklen_t addr_size);
    ssize_t (*sendmsg)(int fd, const struct msghdr *message, int flags);
    ssize_t (*readv)(int fd, const struct iovec *parts, int count);
    ssize_t (*writev)(int fd, const struct iovec *parts, int count);
} real;

static bool has_shut[NUMBERS], has_dialled[NUMBERS];

static void find(const char *name, void *to)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(to, &found, sizeof found);
}

__attribute__((constructor(101))) static void choose(void)
{
    const char *name = getenv("COIR_KERNEL");
    find("poll", &real.poll);
    find("connect", &real.connect);
    find("listen", &real.listen);
    find("accept", &real.accept);
    find("shutdown", &real.shutdown);
    find("sendto", &real.sendto);
    find("sendmsg", &real.sendmsg);
    find("readv", &real.readv);
    find("writev", &real.writev);
    for (int i = 0; name && i < KERNELS_COUNT; i++)
        if (strcmp(kernels[i].name, name) == 0)
            kernel = &kernels[i];
    if (name && strcmp(kernel->name, name) != 0) {
        fprintf(stderr, "COIR_KERNEL: no kernel is named '%s'\n", name);
        exit(2);
    }
}

static int type_of(int fd)
{
    int type = 0;
    socklen_t size = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 ? type : -1;
}

static int domain_of(int fd)
{
    int domain = 0;
    socklen_t size = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 ? domain : -1;
}

/* ---- ends ---- */

bool kernel_has_shut(int fd)
{
    return fd >= 0 && fd < NUMBERS && has_shut[fd];
}

void kernel_forget(int fd)
{
    if (fd >= 0 && fd < NUMBERS)
        has_shut[fd] = has_dialled[fd] = false;
}

bool kernel_is_unconnected(int fd)
{
    short ends = kernel_poll(fd, POLLRDHUP);
    bool dialled = fd >= 0 && fd < NUMBERS && has_dialled[fd];
    return ends & POLLHUP && !(ends & (POLLRDHUP | POLLERR)) && !dialled;
}

int shutdown(int fd, int how)
{
    int result = real.shutdown(fd, how);
    if (result == 0 && how != SHUT_RD && fd < NUMBERS) {
        has_shut[fd] = true;
        note_look_again(fd, EVFILT_WRITE);
    }
    return result;
}

/* ---- poll ---- */

short kernel_poll(int fd, short events)
{
    struct pollfd ask = {.fd = fd, .events = events};
    return real.poll(&ask, 1, 0) > 0 ? ask.revents : 0;
}

/* What an answer of Linux' becomes. A socket that was never connected has nothing to tell. */
static short answer(const struct pollfd *ask)
{
    short told = ask->revents, in = ask->events & (POLLIN | POLLRDNORM);
    short out = ask->events & (POLLOUT | POLLWRNORM);
    if ((!told && !kernel_has_shut(ask->fd)) || told & POLLNVAL || type_of(ask->fd) < 0)
        return told;
    short ends = kernel_poll(ask->fd, POLLRDHUP);
    bool peer = ends & POLLRDHUP, both = ends & POLLHUP, own = kernel_has_shut(ask->fd);
    if (kernel_is_unconnected(ask->fd))
        return 0;
    told &= (short)~(POLLHUP | POLLERR | POLLRDHUP);
    if (ends & (POLLHUP | POLLERR))
        told |= in | out;
    if (own)
        told |= out;
    bool hup = kernel->hup == HUP_BOTH ? both
               : kernel->hup == HUP_ANY ? (in && peer) || (out && (own || both))
                                        : false;
    return hup ? (short)((told & ~out) | POLLHUP) : told;
}

/* What has been shut can be written, whether there is room or not. */
static bool is_shut_for(const struct pollfd *ask)
{
    return ask->events & (POLLOUT | POLLWRNORM) && kernel_has_shut(ask->fd);
}

/* What Linux tells and this kernel does not keeps Linux' poll from waiting: hence the pauses. */
static int ask_all(struct pollfd *asks, nfds_t count, int ms)
{
    int error = errno;
    bool shut = false;
    for (nfds_t i = 0; i < count; i++)
        shut |= is_shut_for(&asks[i]);
    for (;; ms -= ms > 0) {
        int ready = real.poll(asks, count, shut ? 0 : ms), told = 0;
        if (ready < 0)
            return ready;
        for (nfds_t i = 0; i < count; i++) {
            asks[i].revents = answer(&asks[i]);
            told += asks[i].revents != 0;
        }
        errno = error;
        if ((ready == 0 && !shut) || told > 0 || ms == 0)
            return told;
        real.poll(NULL, 0, 1);
    }
}

/* The C library declares that poll only writes to *asks. */
static int (*volatile const ASK_ALL)(struct pollfd *asks, nfds_t count, int ms) = ask_all;

int poll(struct pollfd *asks, nfds_t count, int ms)
{
    return ASK_ALL(asks, count, ms);
}

/* ---- sockets ---- */

static int accepted(int listener, int fd)
{
    if (fd >= 0 && kernel->accept_tells_rest)
        note_look_again(listener, EVFILT_READ);
    return fd;
}

int accept(int fd, struct sockaddr *addr, socklen_t *size)
{
    return accepted(fd, real.accept(fd, addr, size));
}

/* Those that were added before hear nothing of connections. */
int listen(int fd, int backlog)
{
    int result = real.listen(fd, backlog);
    if (result == 0 && kernel->listen_deafens)
        note_deafen(fd);
    return result;
}

/* A Unix path whose queue is full refuses at once, whatever the socket's flags. */
int connect(int fd, const struct sockaddr *addr, socklen_t size)
{
    if (fd >= 0 && fd < NUMBERS)
        has_dialled[fd] = true;
    if (!addr || size < sizeof addr->sa_family || addr->sa_family != AF_UNIX ||
        type_of(fd) != SOCK_STREAM)
        return real.connect(fd, addr, size);
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    int result = real.connect(fd, addr, size), error = errno;
    fcntl(fd, F_SETFL, flags);
    errno = error == EAGAIN ? ECONNREFUSED : error;
    return result;
}

/* The flags of Linux' for a send with these; a datagram of a Unix socket never waits for room. */
static int send_flags(int fd, int flags)
{
    if (kernel->send_waits && !(flags & NBIO))
        flags &= ~MSG_DONTWAIT;
    if (domain_of(fd) == AF_UNIX && type_of(fd) == SOCK_DGRAM)
        flags |= MSG_DONTWAIT;
    return flags & ~NBIO;
}

static ssize_t sent(int fd, ssize_t result)
{
    int error = errno;
    if (result < 0 && error == EAGAIN && domain_of(fd) == AF_UNIX && type_of(fd) == SOCK_DGRAM)
        error = ENOBUFS;
    errno = error;
    return result;
}

ssize_t sendto(int fd, const void *buf, size_t size, int flags, const struct sockaddr *addr,
               socklen_t addr_size)
{
    return sent(fd, real.sendto(fd, buf, size, send_flags(fd, flags), addr, addr_size));
}

ssize_t send(int fd, const void *buf, size_t size, int flags)
{
    return sendto(fd, buf, size, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return sent(fd, real.sendmsg(fd, message, send_flags(fd, flags)));
}

static ssize_t refuse(void)
{
    errno = kernel->no_parts;
    return -1;
}

ssize_t readv(int fd, const struct iovec *parts, int count)
{
    return count == 0 && kernel->no_parts ? refuse() : real.readv(fd, parts, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return count == 0 && kernel->no_parts ? refuse() : real.writev(fd, parts, count);
}
