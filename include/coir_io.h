/* coir_io.h: the other calls on descriptors. Each has the arguments of the POSIX call of its name,
 * and `until` where it may wait; what coir.h says of all calls holds here too. So:
 *  - a call that waits parks only its fiber, is refused to a stopped one, and limits its wait by
 *    `until` (COIR_TRY: one try); EINTR never shows; no signal SIGPIPE ends the program;
 *  - what has been done is reported: a call that was stopped, or ran out of time, has done nothing.
 *
 * Descriptors that are made here are coir's own: non-blocking, closed on exec, and to be closed by
 * coir_close. Of others, coir_accept and coir_connect take possession as coir_adopt does; the rest
 * leaves their flags alone. Mistakes: a size above PTRDIFF_MAX. */
#ifndef COIR_IO_H
#define COIR_IO_H

#include "coir.h"

#include <sys/socket.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- making descriptors; never park ---------------------------------------------------------- */

/* A socket: its descriptor, or what socket(2) says, or -ENOMEM. */
COIR_API int coir_socket(int domain, int type, int protocol);

/* Two connected sockets. Returns 0, or what socketpair(2) says, or -ENOMEM. */
COIR_API int coir_socketpair(int domain, int type, int protocol, int fds[2]);

/* A pipe: fds[0] is read, fds[1] written. Returns 0, or what pipe(2) says, or -ENOMEM. */
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

/* Connects a socket: 0, or what connect(2) says. After -ETIMEDOUT by `until`, or -ECANCELED, the
 * attempt goes on in the kernel: call again to wait on, or coir_close. The kernel's own -ETIMEDOUT
 * has ended it. Of several fibers in the connect of one socket, one is told why it failed, the
 * others -ECONNABORTED. A Unix socket whose peer's queue is full is tried again after 1 ms, 2 ms …
 * 16 ms. Parks. */
COIR_API int coir_connect(int fd, const struct sockaddr *addr, socklen_t size, coir_time until);

/* ---- data; all park -------------------------------------------------------------------------- */

/* As recv(2) and send(2): the count, or an error. MSG_WAITALL has no effect: see
 * coir_read_full. */
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

/* Reads or writes all of `size` bytes. Returns `size`; less after an end of file, an error, a stop
 * or `until`: then that many bytes were moved, and the next call, with the same `until`, tells why
 * (an end of file: 0).
 * An error when none was. */
COIR_API ssize_t coir_read_full(int fd, void *buf, size_t size, coir_time until);
/* See coir_read_full. */
COIR_API ssize_t coir_write_full(int fd, const void *buf, size_t size, coir_time until);

#ifdef __cplusplus
}
#endif
#endif
