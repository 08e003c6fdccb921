/* All operations, for every world over a POSIX kernel: one function for each kind, made again when
 * a signal interrupts it. None waits, whatever the flags of the file, which other processes may
 * share, but connect: what moves data of a socket is kept from waiting by flags of the call; about
 * anything else that may block the kernel is asked first. */
#include "../os/os.h"
#include "posix.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#endif

enum { FIRST_FREE_NUMBER = 3 };

static int64_t ops_fail(int error)
{
    errno = error;
    return -1;
}

/* ---- data ---- */

/* 1, 0, or -1. */
static int ops_may_block(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : !(flags & O_NONBLOCK);
}

/* Before a call that would wait where nothing is ready: 0 where it does not block, 1 where it
 * may but something is ready, or -1. */
static int64_t ops_ask(const struct cr_op *op, int mask)
{
    int may_block = op->foreign ? 1 : ops_may_block(op->fd);
    if (may_block <= 0)
        return may_block;
    int ready = cr_posix_ask(op->fd, mask);
    return ready > 0 ? 1 : ops_fail(ready < 0 ? -ready : EAGAIN);
}

static bool ops_is_settled(int64_t result)
{
    return result >= 0 || errno != ENOTSOCK;
}

static int64_t ops_read(const struct cr_op *op)
{
    void *buf = op->read.buf;
    size_t size = op->read.size;
    if (size > 0 && (op->is_socket || op->foreign)) {
        int64_t got = recv(op->fd, buf, size, MSG_DONTWAIT);
        if (ops_is_settled(got))
            return got;
    }
    if (size > 0 && ops_ask(op, COIR_IN) < 0)
        return -1;
    return read(op->fd, buf, size);
}

/* A blocking pipe that is ready takes PIPE_BUF bytes without waiting, and no more for sure. */
static int64_t ops_write(const struct cr_op *op)
{
    size_t size = op->write.size;
    if (op->is_socket || op->foreign) {
        int64_t sent = send(op->fd, op->write.buf, size, CR_OS_SEND);
        if (ops_is_settled(sent))
            return sent;
    }
    int64_t may_block = size > 0 ? ops_ask(op, COIR_OUT) : 0;
    if (may_block < 0)
        return -1;
    if (may_block && size > PIPE_BUF && ops_may_block(op->fd))
        size = PIPE_BUF;
    return write(op->fd, op->write.buf, size);
}

static bool ops_is_valid(const struct cr_op *op)
{
    return op->vector.parts && op->vector.count > 0 && op->vector.count <= IOV_MAX;
}

static bool ops_is_empty(const struct cr_op *op)
{
    for (int i = 0; i < op->vector.count; i++)
        if (op->vector.parts[i].iov_len > 0)
            return false;
    return true;
}

/* Of no parts, which some systems refuse: only whether the file is open in that direction. */
static int64_t ops_of_nothing(int fd, int other_direction)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : (flags & O_ACCMODE) == other_direction ? ops_fail(EBADF) : 0;
}

static struct msghdr ops_message(const struct cr_op *op)
{
    return (struct msghdr){
        .msg_iov = (struct iovec *)(uintptr_t)op->vector.parts,
        .msg_iovlen = (__typeof__(((struct msghdr *)0)->msg_iovlen))op->vector.count,
    };
}

static int64_t ops_readv(const struct cr_op *op)
{
    if (op->vector.count == 0)
        return ops_of_nothing(op->fd, O_WRONLY);
    bool moves = ops_is_valid(op) && !ops_is_empty(op);
    if (moves && (op->is_socket || op->foreign)) {
        struct msghdr message = ops_message(op);
        int64_t got = recvmsg(op->fd, &message, MSG_DONTWAIT);
        if (ops_is_settled(got))
            return got;
    }
    if (moves && ops_ask(op, COIR_IN) < 0)
        return -1;
    return readv(op->fd, op->vector.parts, op->vector.count);
}

/* The first part that is not empty, as a write. */
static int64_t ops_write_part(const struct cr_op *op)
{
    int first = 0;
    while (first < op->vector.count - 1 && op->vector.parts[first].iov_len == 0)
        first++;
    const struct iovec *part = &op->vector.parts[first];
    size_t size = part->iov_len < PIPE_BUF ? part->iov_len : PIPE_BUF;
    return write(op->fd, part->iov_base, size);
}

static int64_t ops_writev(const struct cr_op *op)
{
    if (op->vector.count == 0)
        return ops_of_nothing(op->fd, O_RDONLY);
    bool is_valid = ops_is_valid(op);
    if (is_valid && (op->is_socket || op->foreign)) {
        struct msghdr message = ops_message(op);
        int64_t sent = sendmsg(op->fd, &message, CR_OS_SEND);
        if (ops_is_settled(sent))
            return sent;
    }
    int64_t may_block = is_valid && !ops_is_empty(op) ? ops_ask(op, COIR_OUT) : 0;
    if (may_block < 0)
        return -1;
    if (may_block && ops_may_block(op->fd))
        return ops_write_part(op);
    return writev(op->fd, op->vector.parts, op->vector.count);
}

static int64_t ops_recv(const struct cr_op *op)
{
    int flags = op->recv.flags | MSG_DONTWAIT;
    if (!op->recv.addr)
        return recv(op->fd, op->recv.buf, op->recv.size, flags);
    return recvfrom(op->fd, op->recv.buf, op->recv.size, flags, op->recv.addr, op->recv.addr_size);
}

static int64_t ops_send(const struct cr_op *op)
{
    int flags = op->send.flags | CR_OS_SEND;
    if (!op->send.addr)
        return send(op->fd, op->send.buf, op->send.size, flags);
    return sendto(op->fd, op->send.buf, op->send.size, flags, op->send.addr, op->send.addr_size);
}

/* No message at all: not every C library leaves that to the kernel (musl looks into it). */
static int64_t ops_no_message(int fd)
{
    int type;
    socklen_t size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0)
        errno = EFAULT;
    return -1;
}

static int64_t ops_recvmsg(const struct cr_op *op)
{
    if (CR_UNLIKELY(!op->recvmsg.message))
        return ops_no_message(op->fd);
    int flags = op->recvmsg.flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
    return recvmsg(op->fd, op->recvmsg.message, flags);
}

static int64_t ops_sendmsg(const struct cr_op *op)
{
    if (CR_UNLIKELY(!op->sendmsg.message))
        return ops_no_message(op->fd);
    return sendmsg(op->fd, op->sendmsg.message, op->sendmsg.flags | CR_OS_SEND);
}

/* ---- connections ---- */

static int64_t ops_accept(const struct cr_op *op)
{
    if (ops_ask(op, COIR_IN) < 0)
        return -1;
    return cr_os_accept(op->fd, op->name_out.addr, op->name_out.size);
}

/* One that is interrupted goes on by itself. */
static int64_t ops_connect(const struct cr_op *op)
{
    int result = connect(op->fd, op->name.addr, op->name.size);
    return result < 0 && errno == EINTR ? ops_fail(EINPROGRESS) : result;
}

/* Linux remembers an attempt until it is asked again. Without this the next connect would say
 * ECONNABORTED, and begin nothing, after one that failed; and 0 after one that did not. */
static void ops_disconnect(int fd)
{
    connect(fd, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
}

/* The kernel reports the error of an attempt once, so another fiber may have got it. */
static int64_t ops_connected(const struct cr_op *op)
{
    struct sockaddr_storage peer;
    int error = 0, ready = cr_posix_ask(op->fd, COIR_OUT);
    socklen_t size = sizeof error;
    if (ready <= 0)
        return ops_fail(ready < 0 ? -ready : EAGAIN);
    if (getsockopt(op->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return -1;
    if (error != 0) {
        ops_disconnect(op->fd);
        return ops_fail(error);
    }
    size = sizeof peer;
    if (getpeername(op->fd, (struct sockaddr *)&peer, &size) < 0)
        return errno == ENOTCONN ? ops_fail(ECONNABORTED) : -1;
    connect(op->fd, op->name.addr, op->name.size);
    return 0;
}

/* ---- what never waits ---- */

static int64_t ops_socket(const struct cr_op *op)
{
    return cr_os_socket(op->make.domain, op->make.type, op->make.protocol);
}

/* Some systems have made the descriptors when they find that there is no place for them. */
static int64_t ops_socketpair(const struct cr_op *op)
{
    if (!op->make.fds)
        return ops_fail(EFAULT);
    return cr_os_socketpair(op->make.domain, op->make.type, op->make.protocol, op->make.fds);
}

static int64_t ops_pipe(const struct cr_op *op)
{
    return op->make.fds ? cr_os_pipe(op->make.fds) : ops_fail(EFAULT);
}

static int64_t ops_dup(const struct cr_op *op)
{
    return fcntl(op->fd, F_DUPFD_CLOEXEC, FIRST_FREE_NUMBER);
}

static int64_t ops_bind(const struct cr_op *op)
{
    return bind(op->fd, op->name.addr, op->name.size);
}

static int64_t ops_listen(const struct cr_op *op)
{
    return listen(op->fd, op->backlog);
}

static int64_t ops_shutdown(const struct cr_op *op)
{
    return shutdown(op->fd, op->how);
}

static int64_t ops_getsockopt(const struct cr_op *op)
{
    return getsockopt(op->fd, op->option_out.level, op->option_out.name, op->option_out.value,
                      op->option_out.size);
}

static int64_t ops_setsockopt(const struct cr_op *op)
{
    return setsockopt(op->fd, op->option.level, op->option.name, op->option.value,
                      op->option.size);
}

static int64_t ops_getsockname(const struct cr_op *op)
{
    return getsockname(op->fd, op->name_out.addr, op->name_out.size);
}

static int64_t ops_getpeername(const struct cr_op *op)
{
    return getpeername(op->fd, op->name_out.addr, op->name_out.size);
}

static int64_t ops_unlink(const struct cr_op *op)
{
    const char *path = ((const struct sockaddr_un *)(const void *)op->name.addr)->sun_path;
    struct stat about;
    if (lstat(path, &about) != 0)
        return -1;
    return S_ISSOCK(about.st_mode) ? unlink(path) : ops_fail(ENOTSOCK);
}

/* After EINTR the number is free, as everywhere but on HP-UX. */
static int64_t ops_close(const struct cr_op *op)
{
    return close(op->fd) == 0 || errno == EINTR ? 0 : -1;
}

int64_t cr_ops_start(struct cr_world *world, struct cr_op *op)
{
    static int64_t (*const OPS[CR_OP_KINDS])(const struct cr_op *op) = {
        [CR_OP_READ] = ops_read,
        [CR_OP_WRITE] = ops_write,
        [CR_OP_READV] = ops_readv,
        [CR_OP_WRITEV] = ops_writev,
        [CR_OP_RECV] = ops_recv,
        [CR_OP_SEND] = ops_send,
        [CR_OP_RECVMSG] = ops_recvmsg,
        [CR_OP_SENDMSG] = ops_sendmsg,
        [CR_OP_ACCEPT] = ops_accept,
        [CR_OP_CONNECT] = ops_connect,
        [CR_OP_CONNECTED] = ops_connected,
        [CR_OP_SOCKET] = ops_socket,
        [CR_OP_SOCKETPAIR] = ops_socketpair,
        [CR_OP_PIPE] = ops_pipe,
        [CR_OP_DUP] = ops_dup,
        [CR_OP_BIND] = ops_bind,
        [CR_OP_LISTEN] = ops_listen,
        [CR_OP_SHUTDOWN] = ops_shutdown,
        [CR_OP_GETSOCKOPT] = ops_getsockopt,
        [CR_OP_SETSOCKOPT] = ops_setsockopt,
        [CR_OP_GETSOCKNAME] = ops_getsockname,
        [CR_OP_GETPEERNAME] = ops_getpeername,
        [CR_OP_UNLINK] = ops_unlink,
        [CR_OP_CLOSE] = ops_close,
    };
    int64_t result;
    if (op->kind == CR_OP_READY) {
        result = world->ops->ready(world, op->fd, op->mask);
        return result == 0 ? -EAGAIN : result;
    }
    do
        result = OPS[op->kind](op);
    while (result < 0 && errno == EINTR);
    if (result >= 0)
        return result;
    return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}
