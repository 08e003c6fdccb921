/* The calls of coir_io.h, each in terms of the world's call of its kind. Those that wait go the way
 * of read and write (io.c); a connect has a wait of its own, because a second try of it means
 * something else than the first. */
#include "io.h"

#include "../../include/coir_io.h"
#include "../debug/debug.h"

#include <limits.h>
#include <netinet/in.h>

enum { BACKOFF_MOST_MS = 16 };

/* A call that never waits, and needs no fiber. */
static int64_t call_now(const struct cr_call *call, const char *function, void *caller)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none(function, caller);
    return sched->world.call(&sched->world, call, 0);
}

/* A call that waits until it can be made. */
static int64_t call_parking(const struct cr_call *call, int mask, size_t size, uint64_t until,
                            const char *function, void *caller)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber(function, caller);
    if (CR_UNLIKELY(call->size > PTRDIFF_MAX))
        cr_fatal_mistake(function, caller, "the size is negative");
    struct cr_io io = {.fd = call->fd, .mask = mask, .size = size, .until = until, .call = call};
    io.aside = mask == COIR_IN && call->kind != CR_CALL_READV && call->flags != 0;
    return cr_io_call(self, &io);
}

/* Before the next try at a Unix socket whose queue is full, since readiness does not tell when it
 * has room again: 0, or an error. */
static int call_pause(struct cr_fiber *self, int fd, int *pause_ms, uint64_t until)
{
    uint64_t pause = coir_after(COIR_MS(*pause_ms));
    int outcome = cr_io_pause(self, fd, pause < until ? pause : until);
    if (outcome != -ETIMEDOUT || pause >= until)
        return outcome;
    *pause_ms = *pause_ms < BACKOFF_MOST_MS ? 2 * *pause_ms : *pause_ms;
    return 0;
}

/* A call that sends, to `addr` where there is one. A socket that sends by name is always writable,
 * so a full queue would be tried without end. */
static int64_t call_sending(const struct cr_call *call, const struct sockaddr *addr, socklen_t size,
                            uint64_t until, const char *function, void *caller)
{
    bool by_name = addr && size >= sizeof *addr && addr->sa_family == AF_UNIX;
    int pause_ms = 1;
    if (!by_name || until == 0 || !cr_sched_self)
        return call_parking(call, COIR_OUT, 0, until, function, caller);
    int64_t result;
    do {
        result = call_parking(call, COIR_OUT, 0, 0, function, caller);
        if (result != -ETIMEDOUT)
            return result;
        result = call_pause(cr_sched_self, call->fd, &pause_ms, until);
    } while (result == 0);
    return result;
}

static int call_kind(int domain, int type, int protocol)
{
    bool tcp = (domain == AF_INET || domain == AF_INET6) && (type & 15) == SOCK_STREAM &&
               (protocol == 0 || protocol == IPPROTO_TCP);
    return CR_FD_SOCKET | (tcp ? CR_FD_SHORT_EMPTIES : 0);
}

int coir_socket(int domain, int type, int protocol)
{
    struct cr_call call = {CR_CALL_SOCKET, .domain = domain, .type = type, .protocol = protocol};
    int fd = (int)call_now(&call, "coir_socket", CR_CALLER);
    return fd < 0 ? fd : cr_io_own(cr_sched_here, fd, call_kind(domain, type, protocol));
}

static int call_own_both(int fds[2], int kind)
{
    int first = cr_io_own(cr_sched_here, fds[0], kind);
    int second = cr_io_own(cr_sched_here, fds[1], kind);
    if (first >= 0 && second >= 0)
        return 0;
    if (first >= 0 || second >= 0)
        coir_close(first >= 0 ? first : second);
    return -ENOMEM;
}

int coir_socketpair(int domain, int type, int protocol, int fds[2])
{
    struct cr_call call = {
        CR_CALL_SOCKETPAIR, .domain = domain, .type = type, .protocol = protocol, .fds = fds};
    int result = (int)call_now(&call, "coir_socketpair", CR_CALLER);
    return result < 0 ? result : call_own_both(fds, call_kind(domain, type, protocol));
}

int coir_pipe(int fds[2])
{
    struct cr_call call = {CR_CALL_PIPE, .fds = fds};
    int result = (int)call_now(&call, "coir_pipe", CR_CALLER);
    return result < 0 ? result : call_own_both(fds, 0);
}

int coir_dup(int fd)
{
    struct cr_call call = {CR_CALL_DUP, .fd = fd};
    int copy = (int)call_now(&call, "coir_dup", CR_CALLER);
    if (copy < 0)
        return copy;
    struct cr_world *world = &cr_sched_here->world;
    int kind = world->adopt(world, copy);
    if (kind >= 0)
        return cr_io_own(cr_sched_here, copy, kind);
    world->close(world, copy);
    return kind;
}

int coir_bind(int fd, const struct sockaddr *addr, socklen_t size)
{
    struct cr_call call = {
        CR_CALL_BIND, fd, .addr = (struct sockaddr *)(uintptr_t)addr, .in_size = size};
    return (int)call_now(&call, "coir_bind", CR_CALLER);
}

int coir_listen(int fd, int backlog)
{
    struct cr_call call = {CR_CALL_LISTEN, fd, .backlog = backlog};
    return (int)call_now(&call, "coir_listen", CR_CALLER);
}

int coir_shutdown(int fd, int how)
{
    struct cr_call call = {CR_CALL_SHUTDOWN, fd, .how = how};
    return (int)call_now(&call, "coir_shutdown", CR_CALLER);
}

int coir_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    struct cr_call call = {
        CR_CALL_GETSOCKOPT, fd, .level = level, .name = name, .buf = value, .size_out = size};
    return (int)call_now(&call, "coir_getsockopt", CR_CALLER);
}

int coir_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    struct cr_call call = {CR_CALL_SETSOCKOPT,
                           fd,
                           .level = level,
                           .name = name,
                           .buf = (void *)(uintptr_t)value,
                           .in_size = size};
    return (int)call_now(&call, "coir_setsockopt", CR_CALLER);
}

int coir_getsockname(int fd, struct sockaddr *addr, socklen_t *size)
{
    struct cr_call call = {CR_CALL_GETSOCKNAME, fd, .addr = addr, .size_out = size};
    return (int)call_now(&call, "coir_getsockname", CR_CALLER);
}

int coir_getpeername(int fd, struct sockaddr *addr, socklen_t *size)
{
    struct cr_call call = {CR_CALL_GETPEERNAME, fd, .addr = addr, .size_out = size};
    return (int)call_now(&call, "coir_getpeername", CR_CALLER);
}

/* Takes possession of a socket whose call would else block. */
static int call_adopt(struct cr_fiber *self, int fd, int mask)
{
    struct cr_fd *entry = cr_fd_find(&self->sched->fds, fd);
    if (entry && entry->owned && cr_io_is_same(self, entry, fd, mask))
        return 0;
    int type;
    socklen_t size = sizeof type;
    int result = coir_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    return result < 0 ? result : coir_adopt(fd);
}

int coir_accept(int fd, struct sockaddr *addr, socklen_t *size, uint64_t until)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_call call = {CR_CALL_ACCEPT, fd, .addr = addr, .size_out = size};
    int result = self && !self->stop ? call_adopt(self, fd, COIR_IN) : 0;
    if (result < 0) {
        cr_sched_spend(self);
        return self->stop ? cr_sched_refuse(self) : result;
    }
    do
        result = (int)call_parking(&call, COIR_IN, 0, until, "coir_accept", CR_CALLER);
    while (result == -ECONNABORTED);
    if (result < 0)
        return result;
    struct cr_fd *entry = cr_fd_find(&cr_sched_here->fds, fd);
    return cr_io_own(cr_sched_here, result, entry ? entry->kind : CR_FD_SOCKET);
}

/* What has become of a connect that the kernel goes on with: 0, -EINPROGRESS, or why it failed.
 * The kernel tells its error once, so another fiber may have been told. */
static int connect_outcome(struct cr_world *world, int fd)
{
    struct sockaddr_storage peer;
    int error = 0, ready = world->ready(world, fd, COIR_OUT);
    socklen_t size = sizeof error;
    struct cr_call ask_error = {CR_CALL_GETSOCKOPT,
                                fd,
                                .level = SOL_SOCKET,
                                .name = SO_ERROR,
                                .buf = &error,
                                .size_out = &size};
    if (ready <= 0)
        return ready < 0 ? ready : -EINPROGRESS;
    int result = (int)world->call(world, &ask_error, 0);
    if (result < 0 || error != 0)
        return result < 0 ? result : -error;
    size = sizeof peer;
    struct cr_call ask_peer = {
        CR_CALL_GETPEERNAME, fd, .addr = (struct sockaddr *)&peer, .size_out = &size};
    result = (int)world->call(world, &ask_peer, 0);
    return result == -ENOTCONN ? -ECONNABORTED : result;
}

static int connect_try_again(struct cr_fiber *self, const struct cr_call *call, uint64_t until)
{
    struct cr_world *world = &self->sched->world;
    int pause_ms = 1, result = -EAGAIN;
    if (until == 0)
        return cr_sched_try_once(self);
    while (result == -EAGAIN) {
        result = call_pause(self, call->fd, &pause_ms, until);
        if (result == 0)
            result = (int)world->call(world, call, 0);
    }
    return result;
}

/* A stream that began before says 0 when it is connected, and may have told of its end since. */
static bool connect_begins(const struct cr_fd *entry, int result)
{
    return result == -EINPROGRESS || (result == 0 && !(entry->kind & CR_FD_SHORT_EMPTIES));
}

int coir_connect(int fd, const struct sockaddr *addr, socklen_t size, uint64_t until)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_call call = {
        CR_CALL_CONNECT, fd, .addr = (struct sockaddr *)(uintptr_t)addr, .in_size = size};
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_connect", CR_CALLER);
    struct cr_world *world = &self->sched->world;
    int result = cr_io_begin(self, fd, COIR_OUT);
    if (result == 0)
        result = call_adopt(self, fd, COIR_OUT);
    if (result == 0)
        result = (int)world->call(world, &call, 0);
    struct cr_fd *entry = cr_fd_find(&self->sched->fds, fd);
    if (entry && connect_begins(entry, result))
        cr_fd_connect(entry);
    if (result == -EAGAIN)
        result = connect_try_again(self, &call, until);
    while (result == -EINPROGRESS || result == -EALREADY) {
        result = until == 0 ? cr_sched_try_once(self) : cr_io_wait(self, fd, COIR_OUT, until);
        if (result == 0)
            result = connect_outcome(world, fd);
    }
    return result;
}

ssize_t coir_recv(int fd, void *buf, size_t size, int flags, uint64_t until)
{
    struct cr_call call = {CR_CALL_RECV, fd, .flags = flags, .buf = buf, .size = size};
    return (ssize_t)call_parking(&call, COIR_IN, flags ? 0 : size, until, "coir_recv", CR_CALLER);
}

ssize_t coir_send(int fd, const void *buf, size_t size, int flags, uint64_t until)
{
    struct cr_call call = {
        CR_CALL_SEND, fd, .flags = flags, .buf = (void *)(uintptr_t)buf, .size = size};
    return (ssize_t)call_parking(&call, COIR_OUT, 0, until, "coir_send", CR_CALLER);
}

ssize_t coir_recvfrom(int fd, void *buf, size_t size, int flags, struct sockaddr *addr,
                      socklen_t *addr_size, uint64_t until)
{
    struct cr_call call = {CR_CALL_RECVFROM, fd,   .flags = flags, .size_out = addr_size,
                           .addr = addr,     .buf = buf, .size = size};
    return (ssize_t)call_parking(&call, COIR_IN, 0, until, "coir_recvfrom", CR_CALLER);
}

ssize_t coir_sendto(int fd, const void *buf, size_t size, int flags, const struct sockaddr *addr,
                    socklen_t addr_size, uint64_t until)
{
    struct cr_call call = {CR_CALL_SENDTO,
                           fd,
                           .flags = flags,
                           .in_size = addr_size,
                           .addr = (struct sockaddr *)(uintptr_t)addr,
                           .buf = (void *)(uintptr_t)buf,
                           .size = size};
    return (ssize_t)call_sending(&call, addr, addr_size, until, "coir_sendto", CR_CALLER);
}

ssize_t coir_recvmsg(int fd, struct msghdr *message, int flags, uint64_t until)
{
    struct cr_call call = {CR_CALL_RECVMSG, fd, .flags = flags, .message = message};
    return (ssize_t)call_parking(&call, COIR_IN, 0, until, "coir_recvmsg", CR_CALLER);
}

ssize_t coir_sendmsg(int fd, const struct msghdr *message, int flags, uint64_t until)
{
    struct cr_call call = {
        CR_CALL_SENDMSG, fd, .flags = flags, .message = (struct msghdr *)(uintptr_t)message};
    const struct sockaddr *addr = message ? message->msg_name : NULL;
    return (ssize_t)call_sending(&call, addr, addr ? message->msg_namelen : 0, until,
                                 "coir_sendmsg", CR_CALLER);
}

ssize_t coir_readv(int fd, const struct iovec *parts, int count, uint64_t until)
{
    struct cr_call call = {CR_CALL_READV, fd, .count = count, .parts = parts};
    return (ssize_t)call_parking(&call, COIR_IN, 0, until, "coir_readv", CR_CALLER);
}

/* A socket is told not to wait and not to raise SIGPIPE; what else may block is written part by
 * part. */
ssize_t coir_writev(int fd, const struct iovec *parts, int count, uint64_t until)
{
    struct cr_call call = {CR_CALL_WRITEV, fd, .count = count, .parts = parts};
    struct cr_fiber *self = cr_sched_self;
    struct cr_fd *entry = self ? cr_fd_find(&self->sched->fds, fd) : NULL;
    bool owned = entry && entry->owned && cr_io_is_same(self, entry, fd, COIR_OUT);
    bool some = count > 0 && count <= IOV_MAX && parts && self;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                             .msg_iovlen = (__typeof__(message.msg_iovlen))count};
    if (some && (!owned || entry->kind & CR_FD_SOCKET))
        call = (struct cr_call){CR_CALL_SENDMSG, fd, .message = &message};
    int64_t result = call_parking(&call, COIR_OUT, 0, until, "coir_writev", CR_CALLER);
    if (owned || !some || result != -ENOTSOCK)
        return (ssize_t)result;
    int first = 0;
    while (first < count - 1 && parts[first].iov_len == 0)
        first++;
    return coir_write(fd, parts[first].iov_base, parts[first].iov_len, until);
}
