/* coir_io.h: the calls on descriptors. Most have the arguments of the POSIX call of their name, and
 * `until` where they may wait. What coir.h says of all calls holds here too. So:
 *  - A waiting call parks only its fiber. `until` limits the wait (COIR_TRY: one try). If
 *    cancelled, it returns COIR_CANCELLED. It never returns -EINTR. SIGPIPE cannot end the program,
 *    unless opts.keep_signals, or a later signal(SIGPIPE, SIG_DFL), leaves that of a pipe alone.
 *  - A call that returns COIR_CANCELLED or COIR_TIMED_OUT has moved no data.
 *
 * Descriptors that are made here are owned by coir: non-blocking, closed on exec, to be closed by
 * coir_close. coir_accept and coir_connect adopt theirs, as coir_adopt does; the other calls leave
 * the flags of foreign descriptors alone. Misuse: a size above PTRDIFF_MAX. */
#ifndef COIR_IO_H
#define COIR_IO_H

#include "coir.h"

#include <sys/socket.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- readiness, reading, writing ------------------------------------------------------------- */

/* What a descriptor is ready for: bits of a mask. */
enum {
    COIR_IN = 1,  /* a read would not block: data, end of file, or an error to fetch */
    COIR_OUT = 2, /* a write would not block: room, or an error to fetch */
    COIR_HUP = 4, /* the other side is gone, or will send no more; always reported */
    COIR_ERR = 8  /* reported only: an error is pending on it */
};

/* Waits until a descriptor is ready for COIR_IN, COIR_OUT or either, and returns what it is ready
 * for, with COIR_HUP and COIR_ERR where they hold. COIR_HUP alone waits until the other side is
 * gone or will send no more, or an error is pending, whatever is there to read: so a server can
 * stop working for a client that has left. (The poll world looks every 16 ms.)
 *
 * It asks the kernel, so the answer is true at that moment. End of file, hang-up and error count as
 * ready; so does, always, what cannot be polled (a regular file, which does not hang up). A FIFO is
 * at its end whenever all writers have left, but not before the first has come: to outlive them,
 * open it for both directions. Any number of fibers may wait for one descriptor. A descriptor that
 * coir does not own costs one registration for each wait that parks. Errors: -EBADF for a number
 * that is not open, or when it is closed by coir_close meanwhile; -EINVAL for a mask of none, or
 * of others; COIR_TIMED_OUT, -EINTR (coir_wake), COIR_CANCELLED; -ENOMEM, -ENOSPC, and at the
 * scheduler's first wait -EMFILE, -ENFILE, or -EACCES in a sandbox that forbids epoll
 * (COIR_WORLD=poll helps), for a wait that must register. Parks. */
COIR_API int coir_wait_fd(int fd, int mask, coir_time until);

/* Gives an open descriptor to coir: makes it non-blocking, registers it once, and remembers its
 * readiness from now on, so that later waits cost no registration. Its kind is looked up here:
 * after a dup2 onto the number, adopt it again, or coir may treat the new file as the old one.
 * Non-blocking is a flag of the open file, so others that share it (a shell its terminal) see it
 * too, and it stays. You may make system calls on it directly: after EAGAIN, call coir_wait_fd
 * and retry; after EINPROGRESS, wait for COIR_OUT and read SO_ERROR. Close it by coir_close.
 * Adopting twice is harmless. Returns 0, -EBADF, -ENOMEM, -EMFILE, -ENFILE, -ENOSPC. Callable
 * anywhere in the thread. Never parks. */
COIR_API int coir_adopt(int fd);

/* Waits until there is something to read, then reads at most `size` bytes into `buf`. Returns the
 * count, 0 at the end of file; COIR_TIMED_OUT, COIR_CANCELLED; -EBADF: closed, also meanwhile; or
 * what read(2) says. COIR_TRY asks the kernel once. Parks; coir_wake does not end it. A foreign
 * descriptor keeps its flags and costs one more system call. */
COIR_API ssize_t coir_read(int fd, void *buf, size_t size, coir_time until);

/* Writes as soon as there is space for one byte; may write less than `size`. Returns the count, or
 * an error as coir_read; -EPIPE instead of SIGPIPE. A foreign descriptor in blocking mode that
 * is no socket takes at most PIPE_BUF bytes per call (4096 on Linux). Parks. */
COIR_API ssize_t coir_write(int fd, const void *buf, size_t size, coir_time until);

/* Closes a descriptor. Every fiber that waits for it returns -EBADF, before the number is free.
 * Returns 0, -EBADF or what close(2) says (the number is free all the same). With SO_LINGER and a
 * time set, close(2) holds up the whole thread for up to that time: let a fiber call coir_net_drain
 * before. After a plain close(2), the waiting fibers get -EBADF from an audit, usually within about
 * a second; on a virtual clock there are no audits. Callable anywhere in the scheduler's thread.
 * Never parks. */
COIR_API int coir_close(int fd);

/* ---- making descriptors; never park ---------------------------------------------------------- */

/* A socket: its descriptor, or what socket(2) says, or -ENOMEM. */
COIR_API int coir_socket(int domain, int type, int protocol);

/* Two connected sockets. Returns 0, or what socketpair(2) says, or -ENOMEM. */
COIR_API int coir_socketpair(int domain, int type, int protocol, int fds[2]);

/* A pipe: fds[0] is read, fds[1] written. It does not block for a child that inherits it either:
 * give a program one of pipe(2)'s, and read the other end here. Returns 0, or what pipe(2) says,
 * or -ENOMEM. */
COIR_API int coir_pipe(int fds[2]);

/* Another number for the same open file, which becomes non-blocking for all its numbers. Returns
 * it, or what dup(2) says, or -ENOMEM. */
COIR_API int coir_dup(int fd);

/* ---- sockets --------------------------------------------------------------------------------- */

/* As bind(2), listen(2), shutdown(2), getsockopt(2), setsockopt(2), getsockname(2), getpeername(2):
 * 0 or an error. Never park. */
COIR_API int coir_bind(int fd, const struct sockaddr *addr, socklen_t size);
/* See coir_bind. */
COIR_API int coir_listen(int fd, int backlog);
/* See coir_bind. It wakes the fibers that wait for the socket, as the kernel tells them. */
COIR_API int coir_shutdown(int fd, int how);
/* See coir_bind. */
COIR_API int coir_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
/* See coir_bind. */
COIR_API int coir_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
/* See coir_bind. */
COIR_API int coir_getsockname(int fd, struct sockaddr *addr, socklen_t *size);
/* See coir_bind. */
COIR_API int coir_getpeername(int fd, struct sockaddr *addr, socklen_t *size);

/* Takes the next connection: its descriptor. `addr` and `size` may be NULL. A connection that was
 * aborted before it was taken is passed over. Other errors are accept(2)'s; after -EMFILE, -ENFILE
 * and -ENOBUFS the connection is still there, so wait a little before the next try; after -ENOMEM
 * it is there or closed. Parks. */
COIR_API int coir_accept(int fd, struct sockaddr *addr, socklen_t *size, coir_time until);

/* Connects a socket: 0, or what connect(2) says. After COIR_TIMED_OUT by `until`, or
 * COIR_CANCELLED, the attempt goes on in the kernel: call again to wait on, or coir_close.
 * -ETIMEDOUT comes from the kernel: the attempt is over. If several fibers connect one
 * socket and it fails, one of them gets the reason, the others -ECONNABORTED. A Unix socket
 * whose peer's queue is full is tried again after 1 ms, 2 ms … 16 ms; elsewhere than on Linux it is
 * -ECONNREFUSED, as where nobody listens. Of a socket that is connected already, or has failed to
 * connect, each system has an opinion of its own: close it and make another. Parks. */
COIR_API int coir_connect(int fd, const struct sockaddr *addr, socklen_t size, coir_time until);

/* ---- data; all park -------------------------------------------------------------------------- */

/* As recv(2) and send(2): the count, or an error. MSG_WAITALL has no effect: see
 * coir_read_all. */
COIR_API ssize_t coir_recv(int fd, void *buf, size_t size, int flags, coir_time until);
/* See coir_recv. */
COIR_API ssize_t coir_send(int fd, const void *buf, size_t size, int flags, coir_time until);

/* As recvfrom(2) and sendto(2): the count, or an error. What is sent by name to a Unix socket whose
 * queue is full is tried again as coir_connect does. */
COIR_API ssize_t coir_recvfrom(int fd, void *buf, size_t size, int flags, struct sockaddr *addr,
                               socklen_t *addr_size, coir_time until);
/* See coir_recvfrom. */
COIR_API ssize_t coir_sendto(int fd, const void *buf, size_t size, int flags,
                             const struct sockaddr *addr, socklen_t addr_size, coir_time until);

/* As recvmsg(2) and sendmsg(2): the count, or an error. Descriptors that are received are not
 * coir's, but closed on exec where the system can do that at once. */
COIR_API ssize_t coir_recvmsg(int fd, struct msghdr *message, int flags, coir_time until);
/* See coir_recvmsg. */
COIR_API ssize_t coir_sendmsg(int fd, const struct msghdr *message, int flags, coir_time until);

/* As readv(2) and writev(2): the count, or an error. */
COIR_API ssize_t coir_readv(int fd, const struct iovec *parts, int count, coir_time until);
/* See coir_readv. Into a blocking descriptor that is neither coir's own nor a socket, one part at
 * a time. */
COIR_API ssize_t coir_writev(int fd, const struct iovec *parts, int count, coir_time until);

/* Reads all of `size` bytes. Returns 1: all; 0: the end of file came before; or an error as
 * coir_read. In any case *done (may be NULL) is how many were read. Parks. */
COIR_API COIR_MUST_CHECK int coir_read_all(int fd, void *buf, size_t size, size_t *done,
                                           coir_time until);
/* Writes all of `size` bytes. Returns 0; or an error as coir_write. In any case *done (may be NULL)
 * is how many were written. Parks. */
COIR_API COIR_MUST_CHECK int coir_write_all(int fd, const void *buf, size_t size, size_t *done,
                                            coir_time until);

#ifdef __cplusplus
}
#endif
#endif
