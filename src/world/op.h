/* An operation: what the world is asked to do, with its arguments and its result. A kind has the
 * arguments of the POSIX call of its name, in the member that the kind names.
 *
 * The record is its caller's. It must stay where it is until the operation is over: from the
 * return of start(), or, after CR_PENDING, from the event whose token is the record's address. */
#ifndef CR_OP_H
#define CR_OP_H

#include "../base/base.h"

#include <sys/socket.h>
#include <sys/uio.h>

enum cr_op_kind {
    /* These answer -EAGAIN where they would have to wait for the descriptor. */
    CR_OP_READ,
    CR_OP_WRITE,
    CR_OP_READV,
    CR_OP_WRITEV,
    CR_OP_RECV,
    CR_OP_SEND,
    CR_OP_RECVMSG,
    CR_OP_SENDMSG,
    CR_OP_ACCEPT,
    CR_OP_CONNECT,
    CR_OP_CONNECTED, /* the outcome of a connect under way: 0, or why it failed */
    CR_OP_READY,     /* what of a mask it is ready for, with HUP and ERR */
    /* These never wait. */
    CR_OP_SOCKET,
    CR_OP_SOCKETPAIR,
    CR_OP_PIPE,
    CR_OP_DUP,
    CR_OP_BIND,
    CR_OP_LISTEN,
    CR_OP_SHUTDOWN,
    CR_OP_GETSOCKOPT,
    CR_OP_SETSOCKOPT,
    CR_OP_GETSOCKNAME,
    CR_OP_GETPEERNAME,
    CR_OP_UNLINK, /* removes the file of a Unix socket's address; -ENOTSOCK if it is none */
    CR_OP_CLOSE,
    CR_OP_KINDS
};

struct cr_op {
    uint8_t kind;   /* enum cr_op_kind */
    bool at_once;   /* the caller cannot wait, so CR_PENDING is no answer */
    bool foreign;   /* it may be in blocking mode, and a FIFO at its end */
    bool is_socket; /* of a descriptor that is not foreign */
    int fd;
    int64_t result; /* of one that was pending, once it is over */
    union {
        struct { void *buf; size_t size; } read;
        struct { const void *buf; size_t size; } write;
        struct { const struct iovec *parts; int count; } vector;
        struct {
            void *buf;
            size_t size;
            int flags;
            struct sockaddr *addr;
            socklen_t *addr_size;
        } recv;
        struct {
            const void *buf;
            size_t size;
            int flags;
            socklen_t addr_size;
            const struct sockaddr *addr;
        } send;
        struct { struct msghdr *message; int flags; } recvmsg;
        struct { const struct msghdr *message; int flags; } sendmsg;
        struct { struct sockaddr *addr; socklen_t *size; } name_out; /* accept, get…name */
        struct { const struct sockaddr *addr; socklen_t size; } name; /* connect, bind, unlink */
        struct { int level, name; void *value; socklen_t *size; } option_out;
        struct { int level, name; const void *value; socklen_t size; } option;
        struct { int domain, type, protocol; int *fds; } make; /* fds: two; of pairs and pipes */
        int mask;    /* ready: COIR_IN, COIR_OUT; or COIR_HUP alone */
        int backlog; /* listen */
        int how;     /* shutdown */
    };
};

#endif
