/* The calls on descriptors beside read and write, for every world over a POSIX kernel: one function
 * for each kind, made again when a signal interrupts it. What sends and receives is told not to
 * wait, so the flags of the descriptor do not matter. */
#include "world.h"

#include "../os/os.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#endif

static ssize_t calls_socket(const struct cr_call *call)
{
    return cr_os_socket(call->domain, call->type, call->protocol);
}

/* Some systems have made the descriptors when they find that there is no place for them. */
static ssize_t calls_without_place(void)
{
    errno = EFAULT;
    return -1;
}

static ssize_t calls_socketpair(const struct cr_call *call)
{
    if (!call->fds)
        return calls_without_place();
    return cr_os_socketpair(call->domain, call->type, call->protocol, call->fds);
}

static ssize_t calls_pipe(const struct cr_call *call)
{
    return call->fds ? cr_os_pipe(call->fds) : calls_without_place();
}

static ssize_t calls_dup(const struct cr_call *call)
{
    return fcntl(call->fd, F_DUPFD_CLOEXEC, 0);
}

static ssize_t calls_bind(const struct cr_call *call)
{
    return bind(call->fd, call->addr, call->in_size);
}

static ssize_t calls_listen(const struct cr_call *call)
{
    return listen(call->fd, call->backlog);
}

static ssize_t calls_shutdown(const struct cr_call *call)
{
    return shutdown(call->fd, call->how);
}

static ssize_t calls_getsockopt(const struct cr_call *call)
{
    return getsockopt(call->fd, call->level, call->name, call->buf, call->size_out);
}

static ssize_t calls_setsockopt(const struct cr_call *call)
{
    return setsockopt(call->fd, call->level, call->name, call->buf, call->in_size);
}

static ssize_t calls_getsockname(const struct cr_call *call)
{
    return getsockname(call->fd, call->addr, call->size_out);
}

static ssize_t calls_getpeername(const struct cr_call *call)
{
    return getpeername(call->fd, call->addr, call->size_out);
}

static ssize_t calls_accept(const struct cr_call *call)
{
    return cr_os_accept(call->fd, call->addr, call->size_out);
}

static ssize_t calls_connect(const struct cr_call *call)
{
    return connect(call->fd, call->addr, call->in_size);
}

static ssize_t calls_recv(const struct cr_call *call)
{
    return recv(call->fd, call->buf, call->size, call->flags | MSG_DONTWAIT);
}

static ssize_t calls_send(const struct cr_call *call)
{
    return send(call->fd, call->buf, call->size, call->flags | MSG_DONTWAIT | MSG_NOSIGNAL);
}

static ssize_t calls_recvfrom(const struct cr_call *call)
{
    return recvfrom(call->fd, call->buf, call->size, call->flags | MSG_DONTWAIT, call->addr,
                    call->size_out);
}

static ssize_t calls_sendto(const struct cr_call *call)
{
    return sendto(call->fd, call->buf, call->size, call->flags | MSG_DONTWAIT | MSG_NOSIGNAL,
                  call->addr, call->in_size);
}

/* No message at all: not every C library leaves that to the kernel (musl looks into it). */
static ssize_t calls_no_message(int fd)
{
    int type;
    socklen_t size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0)
        errno = EFAULT;
    return -1;
}

static ssize_t calls_recvmsg(const struct cr_call *call)
{
    if (CR_UNLIKELY(!call->message))
        return calls_no_message(call->fd);
    return recvmsg(call->fd, call->message, call->flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
}

static ssize_t calls_sendmsg(const struct cr_call *call)
{
    if (CR_UNLIKELY(!call->message))
        return calls_no_message(call->fd);
    return sendmsg(call->fd, call->message, call->flags | MSG_DONTWAIT | MSG_NOSIGNAL);
}

static ssize_t calls_readv(const struct cr_call *call)
{
    return readv(call->fd, call->parts, call->count);
}

static ssize_t calls_writev(const struct cr_call *call)
{
    return writev(call->fd, call->parts, call->count);
}

static ssize_t calls_unlink(const struct cr_call *call)
{
    const char *path = ((const struct sockaddr_un *)(const void *)call->addr)->sun_path;
    struct stat about;
    if (lstat(path, &about) != 0)
        return -1;
    if (S_ISSOCK(about.st_mode))
        return unlink(path);
    errno = ENOTSOCK;
    return -1;
}

/* An interrupted connect goes on by itself. */
int64_t cr_calls_make(struct cr_world *world, const struct cr_call *call, uint64_t token)
{
    static ssize_t (*const CALLS[CR_CALL_KINDS])(const struct cr_call *call) = {
        [CR_CALL_SOCKET] = calls_socket,           [CR_CALL_SOCKETPAIR] = calls_socketpair,
        [CR_CALL_PIPE] = calls_pipe,               [CR_CALL_DUP] = calls_dup,
        [CR_CALL_BIND] = calls_bind,               [CR_CALL_LISTEN] = calls_listen,
        [CR_CALL_SHUTDOWN] = calls_shutdown,       [CR_CALL_GETSOCKOPT] = calls_getsockopt,
        [CR_CALL_SETSOCKOPT] = calls_setsockopt,   [CR_CALL_GETSOCKNAME] = calls_getsockname,
        [CR_CALL_GETPEERNAME] = calls_getpeername, [CR_CALL_ACCEPT] = calls_accept,
        [CR_CALL_CONNECT] = calls_connect,         [CR_CALL_RECV] = calls_recv,
        [CR_CALL_SEND] = calls_send,               [CR_CALL_RECVFROM] = calls_recvfrom,
        [CR_CALL_SENDTO] = calls_sendto,           [CR_CALL_RECVMSG] = calls_recvmsg,
        [CR_CALL_SENDMSG] = calls_sendmsg,         [CR_CALL_READV] = calls_readv,
        [CR_CALL_WRITEV] = calls_writev,           [CR_CALL_UNLINK] = calls_unlink,
    };
    (void)world;
    (void)token;
    ssize_t result;
    do
        result = CALLS[call->kind](call);
    while (result < 0 && errno == EINTR && call->kind != CR_CALL_CONNECT);
    if (result >= 0)
        return result;
    return errno == EWOULDBLOCK ? -EAGAIN : errno == EINTR ? -EINPROGRESS : -errno;
}
