/* The calls of coir_io.h, and the others on descriptors of coir.h. Each fills in an operation and
 * sends it the way of all calls. */
#include "call.h"

#include "../../include/coir_io.h"
#include "../debug/debug.h"

#include <netinet/in.h>

/* ---- making descriptors ---- */

static int calls_kind(int domain, int type, int protocol)
{
    bool tcp = (domain == AF_INET || domain == AF_INET6) && (type & 15) == SOCK_STREAM &&
               (protocol == 0 || protocol == IPPROTO_TCP);
    return CR_FD_SOCKET | (tcp ? CR_FD_SHORT_EMPTIES : 0);
}

static struct cr_io *calls_io(void)
{
    return cr_io_of(cr_sched_here);
}

int coir_socket(int domain, int type, int protocol)
{
    struct cr_op op = {.kind = CR_OP_SOCKET, .fd = -1, .make = {domain, type, protocol, NULL}};
    int fd = (int)cr_call_now(&op, "coir_socket", CR_CALLER);
    return fd < 0 ? fd : cr_fd_enter(calls_io(), fd, calls_kind(domain, type, protocol));
}

static int calls_enter_both(int fds[2], int kind)
{
    int first = cr_fd_enter(calls_io(), fds[0], kind);
    int second = cr_fd_enter(calls_io(), fds[1], kind);
    if (first >= 0 && second >= 0)
        return 0;
    if (first >= 0 || second >= 0)
        coir_close(first >= 0 ? first : second);
    return -ENOMEM;
}

int coir_socketpair(int domain, int type, int protocol, int fds[2])
{
    struct cr_op op = {.kind = CR_OP_SOCKETPAIR, .fd = -1, .make = {domain, type, protocol, fds}};
    int result = (int)cr_call_now(&op, "coir_socketpair", CR_CALLER);
    return result < 0 ? result : calls_enter_both(fds, calls_kind(domain, type, protocol));
}

int coir_pipe(int fds[2])
{
    struct cr_op op = {.kind = CR_OP_PIPE, .fd = -1, .make = {.fds = fds}};
    int result = (int)cr_call_now(&op, "coir_pipe", CR_CALLER);
    return result < 0 ? result : calls_enter_both(fds, 0);
}

int coir_dup(int fd)
{
    struct cr_op op = {.kind = CR_OP_DUP, .fd = fd};
    int copy = (int)cr_call_now(&op, "coir_dup", CR_CALLER);
    if (copy < 0)
        return copy;
    struct cr_world *world = calls_io()->world;
    int kind = world->ops->adopt(world, copy);
    if (kind >= 0)
        return cr_fd_enter(calls_io(), copy, kind);
    coir_close(copy);
    return kind;
}

int coir_close(int fd)
{
    struct cr_op op = {.kind = CR_OP_CLOSE, .fd = fd};
    if (CR_UNLIKELY(!cr_sched_here))
        return cr_sched_none("coir_close", CR_CALLER);
    struct cr_fd *entry = cr_fd_find(&calls_io()->fds, fd);
    if (entry && !entry->is_own)
        cr_fd_forget(calls_io(), entry);
    return (int)cr_call_now(&op, "coir_close", CR_CALLER);
}

/* ---- sockets: what never waits ---- */

int coir_bind(int fd, const struct sockaddr *addr, socklen_t size)
{
    struct cr_op op = {.kind = CR_OP_BIND, .fd = fd, .name = {addr, size}};
    return (int)cr_call_now(&op, "coir_bind", CR_CALLER);
}

int coir_listen(int fd, int backlog)
{
    struct cr_op op = {.kind = CR_OP_LISTEN, .fd = fd, .backlog = backlog};
    int result = (int)cr_call_now(&op, "coir_listen", CR_CALLER);
    return result < 0 ? result : cr_fd_listen(calls_io(), fd);
}

int coir_shutdown(int fd, int how)
{
    struct cr_op op = {.kind = CR_OP_SHUTDOWN, .fd = fd, .how = how};
    return (int)cr_call_now(&op, "coir_shutdown", CR_CALLER);
}

int coir_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    struct cr_op op = {
        .kind = CR_OP_GETSOCKOPT, .fd = fd, .option_out = {level, name, value, size}};
    return (int)cr_call_now(&op, "coir_getsockopt", CR_CALLER);
}

int coir_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    struct cr_op op = {.kind = CR_OP_SETSOCKOPT, .fd = fd, .option = {level, name, value, size}};
    return (int)cr_call_now(&op, "coir_setsockopt", CR_CALLER);
}

int coir_getsockname(int fd, struct sockaddr *addr, socklen_t *size)
{
    struct cr_op op = {.kind = CR_OP_GETSOCKNAME, .fd = fd, .name_out = {addr, size}};
    return (int)cr_call_now(&op, "coir_getsockname", CR_CALLER);
}

int coir_getpeername(int fd, struct sockaddr *addr, socklen_t *size)
{
    struct cr_op op = {.kind = CR_OP_GETPEERNAME, .fd = fd, .name_out = {addr, size}};
    return (int)cr_call_now(&op, "coir_getpeername", CR_CALLER);
}

/* ---- sockets: connections ---- */

/* Takes possession of a socket whose call would otherwise block. 0, or an error; refused to
 * a cancelled fiber, which is not to touch it. */
static int calls_adopt(struct cr_fiber *self, int fd, int direction)
{
    struct cr_fd *entry = cr_fd_find(&calls_io()->fds, fd);
    if (self->cancelled || (entry && entry->owned &&
                       cr_identity_call(calls_io(), self, entry, direction)))
        return 0;
    int type;
    socklen_t size = sizeof type;
    int result = coir_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    if (result == 0)
        result = coir_adopt(fd);
    if (result < 0)
        cr_sched_spend(self);
    return self->cancelled ? 0 : result;
}

int coir_accept(int fd, struct sockaddr *addr, socklen_t *size, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_accept", CR_CALLER);
    int result = calls_adopt(self, fd, CR_FD_IN);
    if (result < 0)
        return result;
    do {
        struct cr_call call = {
            .op = {.kind = CR_OP_ACCEPT, .fd = fd, .name_out = {addr, size}},
            .until = until,
        };
        result = (int)cr_call_make(&call, "coir_accept", CR_CALLER);
    } while (result == -ECONNABORTED);
    if (result < 0)
        return result;
    struct cr_fd *listener = cr_fd_find(&calls_io()->fds, fd);
    return cr_fd_enter(calls_io(), result, listener->owned ? listener->kind : CR_FD_SOCKET);
}

int coir_connect(int fd, const struct sockaddr *addr, socklen_t size, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_call call = {
        .op = {.kind = CR_OP_CONNECT, .fd = fd, .name = {addr, size}},
        .until = until,
    };
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_connect", CR_CALLER);
    int result = calls_adopt(self, fd, CR_FD_OUT);
    return result < 0 ? result : (int)cr_call_make(&call, "coir_connect", CR_CALLER);
}

/* ---- data ---- */

static void calls_check(size_t size, const char *function, void *caller)
{
    if (CR_UNLIKELY(size > PTRDIFF_MAX))
        cr_fatal_mistake(function, caller, "the size is negative");
}

/* Flags with which a call asks for what others get, too. */
enum { PLAIN_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_TRUNC | MSG_WAITALL };

static bool calls_is_aside(int flags)
{
    return (flags & ~PLAIN_FLAGS) != 0;
}

static ssize_t calls_recv(const struct cr_op *op, coir_time until, const char *function,
                          void *caller)
{
    struct cr_call call = {.op = *op, .until = until, .aside = calls_is_aside(op->recv.flags)};
    calls_check(op->recv.size, function, caller);
    return (ssize_t)cr_call_make(&call, function, caller);
}

static ssize_t calls_send(const struct cr_op *op, coir_time until, const char *function,
                          void *caller)
{
    struct cr_call call = {.op = *op, .until = until};
    calls_check(op->send.size, function, caller);
    return (ssize_t)cr_call_make(&call, function, caller);
}

ssize_t coir_recv(int fd, void *buf, size_t size, int flags, coir_time until)
{
    struct cr_op op = {.kind = CR_OP_RECV, .fd = fd, .recv = {buf, size, flags, NULL, NULL}};
    return calls_recv(&op, until, "coir_recv", CR_CALLER);
}

ssize_t coir_send(int fd, const void *buf, size_t size, int flags, coir_time until)
{
    struct cr_op op = {.kind = CR_OP_SEND, .fd = fd, .send = {buf, size, flags, 0, NULL}};
    return calls_send(&op, until, "coir_send", CR_CALLER);
}

ssize_t coir_recvfrom(int fd, void *buf, size_t size, int flags, struct sockaddr *addr,
                      socklen_t *addr_size, coir_time until)
{
    struct cr_op op = {.kind = CR_OP_RECV, .fd = fd, .recv = {buf, size, flags, addr, addr_size}};
    return calls_recv(&op, until, "coir_recvfrom", CR_CALLER);
}

ssize_t coir_sendto(int fd, const void *buf, size_t size, int flags, const struct sockaddr *addr,
                    socklen_t addr_size, coir_time until)
{
    struct cr_op op = {.kind = CR_OP_SEND, .fd = fd, .send = {buf, size, flags, addr_size, addr}};
    return calls_send(&op, until, "coir_sendto", CR_CALLER);
}

ssize_t coir_recvmsg(int fd, struct msghdr *message, int flags, coir_time until)
{
    struct cr_call call = {
        .op = {.kind = CR_OP_RECVMSG, .fd = fd, .recvmsg = {message, flags}},
        .until = until,
        .aside = calls_is_aside(flags),
    };
    return (ssize_t)cr_call_make(&call, "coir_recvmsg", CR_CALLER);
}

ssize_t coir_sendmsg(int fd, const struct msghdr *message, int flags, coir_time until)
{
    struct cr_call call = {
        .op = {.kind = CR_OP_SENDMSG, .fd = fd, .sendmsg = {message, flags}},
        .until = until,
    };
    return (ssize_t)cr_call_make(&call, "coir_sendmsg", CR_CALLER);
}

ssize_t coir_readv(int fd, const struct iovec *parts, int count, coir_time until)
{
    struct cr_call call = {
        .op = {.kind = CR_OP_READV, .fd = fd, .vector = {parts, count}},
        .until = until,
    };
    return (ssize_t)cr_call_make(&call, "coir_readv", CR_CALLER);
}

ssize_t coir_writev(int fd, const struct iovec *parts, int count, coir_time until)
{
    struct cr_call call = {
        .op = {.kind = CR_OP_WRITEV, .fd = fd, .vector = {parts, count}},
        .until = until,
    };
    return (ssize_t)cr_call_make(&call, "coir_writev", CR_CALLER);
}

/* ---- readiness ---- */

int coir_wait_fd(int fd, int mask, coir_time until)
{
    int directions = mask & (COIR_IN | COIR_OUT);
    struct cr_call call = {
        .op = {.kind = CR_OP_READY, .fd = fd, .mask = directions ? directions : COIR_HUP},
        .until = until,
        .aside = !directions,
    };
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_wait_fd", CR_CALLER);
    if (CR_UNLIKELY(!mask || mask & ~(COIR_IN | COIR_OUT | COIR_HUP)))
        return -EINVAL;
    call.by_pauses = !directions && !cr_io_of(cr_sched_self->sched)->world->edges;
    return (int)cr_call_make(&call, "coir_wait_fd", CR_CALLER);
}
