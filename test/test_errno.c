/* Every kind of the world's calls with every error that POSIX and Linux document for it: the caller
 * gets it as it is, and nothing is left open, registered or waiting. */
#include "fds.h"

#include <coir_io.h>
#include <netinet/in.h>

/* What the world says the next time it is asked for a call of this kind. */
static struct {
    const struct cr_world_ops *real;
    struct cr_world_ops ops;
    enum cr_op_kind kind;
    int error, asked;
} injected;

static int64_t injected_start(struct cr_world *world, struct cr_op *op)
{
    if (op->kind == injected.kind && injected.error != 0) {
        injected.asked++;
        int error = injected.error;
        injected.error = 0;
        return -error;
    }
    return injected.real->start(world, op);
}

struct files {
    int listener, stream[2], datagram, pipe[2];
    struct sockaddr_in there;
};

static struct files files;
static char byte = 'x';
static struct iovec part = {&byte, 1};
static struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
static int pair[2];

static int call_socket(void)
{
    int fd = coir_socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? fd : coir_close(fd);
}

static int close_pair(int result)
{
    return result < 0 ? result : coir_close(pair[0]) | coir_close(pair[1]);
}

static int call_socketpair(void)
{
    return close_pair(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
}

static int call_pipe(void)
{
    return close_pair(coir_pipe(pair));
}

static int call_dup(void)
{
    int fd = coir_dup(files.pipe[0]);
    return fd < 0 ? fd : coir_close(fd);
}

static int call_accept(void)
{
    int client = coir_socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr *there = (struct sockaddr *)&files.there;
    int result = coir_connect(client, there, sizeof files.there, COIR_NEVER);
    while (result == 0 && (result = coir_accept(files.listener, NULL, NULL, COIR_NEVER)) < 0) {
        CHECK(injected.asked == 1);
        int told = result;
        result = coir_accept(files.listener, NULL, NULL, COIR_NEVER); /* it is still there */
        CHECK(result >= 0);
        CHECK_EQ(coir_close(result), 0);
        CHECK_EQ(coir_close(client), 0);
        return told;
    }
    CHECK_EQ(coir_close(client), 0);
    return result < 0 ? result : coir_close(result);
}

static int64_t connect_ns = COIR_SEC(10);

static int call_connect(void)
{
    int client = coir_socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr *there = (struct sockaddr *)&files.there;
    int result = coir_connect(client, there, sizeof files.there, coir_after(connect_ns));
    CHECK_EQ(coir_close(client), 0);
    int fd = result == 0 ? coir_accept(files.listener, NULL, NULL, COIR_NEVER) : -1;
    if (fd >= 0)
        CHECK_EQ(coir_close(fd), 0);
    return result;
}

#define CALL(id, expr)                                                                             \
    static int call_##id(void)                                                                     \
    {                                                                                              \
        return (int)(expr);                                                                        \
    }

CALL(recv, coir_recv(files.stream[0], &byte, 1, 0, coir_after(1)))
CALL(send, coir_send(files.stream[1], &byte, 1, 0, COIR_NEVER))
CALL(recvfrom, coir_recvfrom(files.datagram, &byte, 1, 0, NULL, NULL, coir_after(1)))
CALL(sendto, coir_sendto(files.datagram, &byte, 1, 0, (struct sockaddr *)&files.there,
                         sizeof files.there, COIR_NEVER))
CALL(recvmsg, coir_recvmsg(files.stream[0], &message, 0, coir_after(1)))
CALL(sendmsg, coir_sendmsg(files.stream[1], &message, 0, COIR_NEVER))
CALL(readv, coir_readv(files.pipe[0], &part, 1, coir_after(1)))
CALL(writev, coir_writev(files.pipe[1], &part, 1, COIR_NEVER))
CALL(bind, coir_bind(files.datagram, (struct sockaddr *)&files.there, sizeof files.there))
CALL(listen, coir_listen(files.listener, 8))
CALL(shutdown, coir_shutdown(files.stream[1], SHUT_RDWR))

static const struct row {
    const char *name;
    enum cr_op_kind kind;
    int (*call)(void);
    int errors[24];
} ROWS[] = {
    {"socket", CR_OP_SOCKET, call_socket,
     {EACCES, EAFNOSUPPORT, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTONOSUPPORT}},
    {"socketpair", CR_OP_SOCKETPAIR, call_socketpair,
     {EAFNOSUPPORT, EFAULT, EMFILE, ENFILE, EOPNOTSUPP, EPROTONOSUPPORT, ENOMEM}},
    {"pipe", CR_OP_PIPE, call_pipe, {EFAULT, EINVAL, EMFILE, ENFILE, ENOMEM}},
    {"dup", CR_OP_DUP, call_dup, {EBADF, EINVAL, EMFILE, EBUSY}},
    {"accept", CR_OP_ACCEPT, call_accept,
     {EBADF, EFAULT, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOTSOCK,
      EOPNOTSUPP, EPROTO, EPERM, ENETDOWN, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT}},
    {"connect", CR_OP_CONNECT, call_connect,
     {EACCES, EPERM, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EBADF, ECONNREFUSED, EFAULT,
      EISCONN, ENETUNREACH, ENOTSOCK, EPROTOTYPE, ETIMEDOUT, EHOSTUNREACH, ECONNRESET}},
    {"recv", CR_OP_RECV, call_recv,
     {EBADF, ECONNREFUSED, ECONNRESET, EFAULT, EINVAL, ENOMEM, ENOTCONN, ENOTSOCK, ETIMEDOUT}},
    {"send", CR_OP_SEND, call_send,
     {EACCES, EALREADY, EBADF, ECONNRESET, EDESTADDRREQ, EFAULT, EINVAL, EISCONN, EMSGSIZE,
      ENOBUFS, ENOMEM, ENOTCONN, ENOTSOCK, EOPNOTSUPP, EPIPE, EHOSTUNREACH, ENETDOWN}},
    {"recvfrom", CR_OP_RECV, call_recvfrom,
     {EBADF, ECONNREFUSED, EFAULT, EINVAL, ENOMEM, ENOTCONN, ENOTSOCK}},
    {"sendto", CR_OP_SEND, call_sendto,
     {EACCES, EBADF, EDESTADDRREQ, EFAULT, EMSGSIZE, ENOBUFS, ENETUNREACH, EAFNOSUPPORT}},
    {"recvmsg", CR_OP_RECVMSG, call_recvmsg, {EBADF, ECONNRESET, EFAULT, EMSGSIZE, ENOTCONN}},
    {"sendmsg", CR_OP_SENDMSG, call_sendmsg,
     {EBADF, EFAULT, EMSGSIZE, ENOBUFS, EPIPE, ETOOMANYREFS}},
    {"readv", CR_OP_READV, call_readv, {EBADF, EFAULT, EINVAL, EIO, EISDIR}},
    {"writev", CR_OP_WRITEV, call_writev, {EBADF, EDQUOT, EFBIG, EFAULT, EIO, ENOSPC, EPIPE}},
    {"bind", CR_OP_BIND, call_bind, {EACCES, EADDRINUSE, EBADF, EINVAL, ENOTSOCK, EROFS, ELOOP}},
    {"listen", CR_OP_LISTEN, call_listen, {EADDRINUSE, EBADF, ENOTSOCK, EOPNOTSUPP}},
    {"shutdown", CR_OP_SHUTDOWN, call_shutdown, {EBADF, EINVAL, ENOTCONN, ENOTSOCK}},
};

static void open_files(void)
{
    socklen_t size = sizeof files.there;
    files.there = (struct sockaddr_in){.sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    files.listener = coir_socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(coir_bind(files.listener, (struct sockaddr *)&files.there, size), 0);
    CHECK_EQ(coir_listen(files.listener, 8), 0);
    CHECK_EQ(coir_getsockname(files.listener, (struct sockaddr *)&files.there, &size), 0);
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, files.stream), 0);
    files.datagram = coir_socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_EQ(coir_pipe(files.pipe), 0);
}

static void close_files(void)
{
    int fds[] = {files.listener, files.stream[0], files.stream[1],
                 files.datagram, files.pipe[0],   files.pipe[1]};
    for (int i = 0; i < 6; i++)
        CHECK_EQ(coir_close(fds[i]), 0);
}

static void inject(const struct row *row, int error)
{
    injected.kind = row->kind;
    injected.error = error;
    injected.asked = 0;
}

static int each_error(void *arg)
{
    int count = 0;
    injected.real = inside_replace_ops(&injected.ops);
    injected.ops.start = injected_start;
    open_files();
    CHECK_EQ(call_accept(), 0); /* the world's own descriptor is open after that */
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        for (int j = 0; ROWS[i].errors[j] != 0; j++, count++) {
            int open = fds_open();
            printf("%s: %s\n", ROWS[i].name, coir_error_name(ROWS[i].errors[j]));
            inject(&ROWS[i], ROWS[i].errors[j]);
            CHECK_EQ(ROWS[i].call(), -ROWS[i].errors[j]);
            CHECK_EQ(injected.asked, 1);
            CHECK(strcmp(coir_error_name(ROWS[i].errors[j]), "E?") != 0);
            CHECK_EQ(fds_open(), open);
            CHECK_EQ(cr_sched_here->outside, 0);
        }
    close_files();
    printf("%d errors\n", count);
    return arg ? 1 : 0;
}

/* proves: D14, F1 */
TEST(test_each_error_of_each_call_is_told_as_it_is)
{
    run_monotonic(each_error, NULL);
}

/* Errors that say: not yet, or: once more. */
static int passing_errors(void *arg)
{
    static const struct row *accept = &ROWS[4], *connect = &ROWS[5], *send = &ROWS[7];
    (void)arg;
    injected.real = inside_replace_ops(&injected.ops);
    injected.ops.start = injected_start;
    open_files();
    CHECK_STR(accept->name, "accept");
    CHECK_STR(connect->name, "connect");
    CHECK_STR(send->name, "send");
    inject(accept, ECONNABORTED);
    CHECK_EQ(accept->call(), 0);
    CHECK_EQ(injected.asked, 1);
    inject(connect, EAGAIN);
    CHECK_EQ(connect->call(), 0);
    CHECK_EQ(injected.asked, 1);
    /* Nothing is under way, as after another's error; a kqueue has nothing to report then. */
    if (strcmp(test_world_name(), "kqueue") == 0)
        connect_ns = COIR_MS(50);
    inject(connect, EINPROGRESS);
    CHECK_EQ(connect->call(), kernel->unconnected_ends ? -ECONNABORTED : COIR_TIMED_OUT);
    inject(send, EAGAIN);
    CHECK_EQ(send->call(), 1);
    CHECK_EQ(injected.asked, 1);
    close_files();
    return 0;
}

/* proves: D14 */
TEST(test_errors_that_pass_are_waited_for)
{
    run_monotonic(passing_errors, NULL);
}
