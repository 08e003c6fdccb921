/* coir_net.h: addresses as text, listening and dialling by them, and a loop that serves
 * connections. What coir.h says of all calls holds here too. coir_buffer.h has buffered reading and
 * writing, for the handlers.
 *
 *     static int greet(int fd, void *arg)
 *     {
 *         char memory[4096], *line;
 *         coir_reader in;
 *         coir_reader_init(&in, fd, memory, sizeof memory);
 *         while (coir_reader_await(&in, coir_after(COIR_SEC(30))) > 0 &&
 *                coir_reader_line(&in, &line, coir_after(COIR_SEC(30))) > 0)
 *             …
 *         return 0;
 *     }
 *     int listener = coir_net_listen("127.0.0.1:7000", NULL);
 *     coir_net_serve(listener, greet, NULL, &(struct coir_serve_opts){.grace_ns = COIR_SEC(5)});
 *
 * Descriptors that are made here are coir's own, as in coir_io.h. Names of hosts are not looked up:
 * what the C library has for it blocks the thread. An address or a text that is NULL is -EINVAL. */
#ifndef COIR_NET_H
#define COIR_NET_H

#include "coir_io.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- addresses ------------------------------------------------------------------------------- */

/* An address and the type of socket that it is for: a value, made by coir_addr_parse, or filled in
 * by whatever fills in a struct sockaddr and its size. */
typedef struct coir_addr {
    struct sockaddr_storage storage; /* cast its address to struct sockaddr * */
    socklen_t size;                  /* how much of it counts */
    int type;                        /* SOCK_STREAM or SOCK_DGRAM */
} coir_addr;

/* Enough for the text of any address. */
#define COIR_ADDR_TEXT 144

/* Reads the text of an address:
 *
 *     127.0.0.1:80   [::1]:80   [fe80::1%eth0]:80   [fe80::1%2]:80   :80
 *     /run/x.sock   ./x.sock   unix:x.sock
 *
 * with "tcp:" (the default) or "udp:" in front of what has a port, "unix:" (stream, the default) or
 * "unixgram:" in front of a path. An empty host is any address, of IPv6 and IPv4: the same as [::].
 * Port 0 lets the system choose; a port has one spelling, decimal without leading zeros. What
 * begins with an at sign, there or alone, is an abstract name (Linux); "./" in front makes it a
 * file. Returns 0; -EINVAL for what is no address, -ENAMETOOLONG for a path that the system has no
 * room for (108 bytes on Linux), -ENODEV or what if_nametoindex(3) says for an
 * interface that is not there: `addr` is then untouched. Opens nothing, but for an interface by
 * name; callable anywhere. */
COIR_API int coir_addr_parse(coir_addr *addr, const char *text);

/* Writes the text of an address, such that coir_addr_parse makes the same of it: an interface by
 * number, "unix:" before each path, "udp:" and "unixgram:" where they are. Two have a text and no
 * way back: a Unix socket without name ("unix:"), and NUL bytes in an abstract name (at signs).
 * Returns the length; -ENAMETOOLONG when it does not fit into `size` bytes, -EAFNOSUPPORT for
 * another family, -EINVAL for a size that cannot be: then the text is "". Callable anywhere. */
COIR_API int coir_addr_text(const coir_addr *addr, char *text, size_t size);

/* The address that a socket has, or its peer's. IPv4 through a socket of IPv6 is returned as IPv4.
 * Returns 0, or what getsockname(2) and getpeername(2) say. Never parks. */
COIR_API int coir_net_local(int fd, coir_addr *addr);
/* See coir_net_local. */
COIR_API int coir_net_peer(int fd, coir_addr *addr);

/* ---- listening and dialling ------------------------------------------------------------------ */

/* How a socket is made. What does not fit its kind has no effect. */
struct coir_net_opts {
    int backlog;      /* connections that wait to be accepted; default 4096, or the system's most */
    int keep_alive_s; /* TCP: seconds of silence before the peer is probed; default never */
    bool delay;       /* TCP: gather small writes, as Nagle does; default TCP_NODELAY */
    bool reuse_port;  /* others may listen on the same port, and share what comes (SO_REUSEPORT) */
    bool v6_only;     /* [::] and :80 leave IPv4 alone; default both, where the system can */
    bool unlink;      /* a Unix socket's file whose owner has gone is removed before */
};

/* A socket that listens at an address or, for datagrams, is bound to it. TCP: with SO_REUSEADDR;
 * accepted connections have its options. Without IPv6, any address is that of IPv4. A path is
 * created, and stays after coir_close; one that is there already is -EADDRINUSE but with
 * opts.unlink. That asks by connects, so of two programs that begin at once one may take the
 * other's path. Returns the descriptor; an error as coir_addr_parse, or what socket(2),
 * setsockopt(2), bind(2) or listen(2) says, or -ENOMEM: then nothing stays open. Callable anywhere
 * in the scheduler's thread. Never parks. */
COIR_API int coir_net_listen(const char *text, const struct coir_net_opts *opts);

/* A socket that is connected to an address, a datagram socket as well. Returns the descriptor, or
 * an error as coir_net_listen or coir_connect: then nothing stays open, nor goes on in the kernel.
 * A connection of a TCP socket with itself, which a port of this machine can give where nobody
 * listens, is closed and tried again, three times in all, then -ECONNREFUSED. Parks. */
COIR_API int coir_net_dial(const char *text, const struct coir_net_opts *opts, coir_time until);

/* ---- serving --------------------------------------------------------------------------------- */

/* How connections are served. */
struct coir_serve_opts {
    size_t limit;      /* most connections at once, the others wait in the kernel; default any */
    int64_t grace_ns;  /* at the end, how long handlers may go on before they are cancelled;
                          default not at all; INT64_MAX: forever */
    size_t stack_size; /* of handlers, see coir_spawn_opts */
    const char *name;  /* of handlers, for reports */
    bool inherit;      /* handlers start with the caller's local values, see coir_local.h */
};

/* Accepts connections and runs handler(fd, arg) for each in a fiber of its own, until the calling
 * fiber is cancelled, a scope around it winds down, or coir_close closes the listener. Then it
 * accepts no more, lets the handlers wind down, and returns when all have ended. Their grace is
 * that of the scope that winds down, else opts.grace_ns: a cancel of the caller does not reach
 * them before. (After a cancel, the caller's blocking clean-up
 * needs a shield.) So a handler that waits must end on COIR_CANCELLED.
 *
 * The handler and what it spawns own the connection until they have ended; their results, failures
 * among them, mean nothing to the server. Then it is closed (one that they have closed by
 * coir_close is left alone). To keep it longer: coir_dup.
 *
 * When descriptors or memory run out, a connection waits until there is room again: the next try is
 * made after 1 ms, 2 ms … 100 ms, or as soon as a handler ends. What a single connection fails with
 * ends nothing.
 *
 * Returns 0 after coir_close of the listener, or a wind-down; COIR_CANCELLED after a cancel;
 * -ENOMEM when it could not begin; what accept(2) says of a descriptor that does not listen
 * (-EBADF, -EINVAL, -ENOTSOCK, -EOPNOTSUPP). After a cancel or a wind-down the listener is open,
 * and who connects during the grace waits in the kernel for the next call: to have them refused,
 * end it by coir_close. That resets who waits there already, with what they have sent: to serve
 * them too, accept until COIR_TRY finds nobody, and then close. Parks. */
COIR_API int coir_net_serve(int listener, int (*handler)(int fd, void *arg), void *arg,
                            const struct coir_serve_opts *opts);

/* What a handler waits with for its next request: coir_read in a soft scope, see COIR_SOFT. Once
 * coir_net_serve accepts no more, or another scope around it winds down, it does not wait: it reads
 * what is there, and 0, as at the end of file, says that there is nothing. So at the end idle
 * connections are closed at once, and the grace is for those that are at work. coir_winding_down
 * tells the handler whether its answer is the last. Parks. */
COIR_API ssize_t coir_net_await(int fd, void *buf, size_t size, coir_time until);

/* Ends a connection such that the peer gets all that was written to it: says that no more comes
 * (SHUT_WR) and reads away what the peer still sends, until its end. A coir_close alone, with bytes
 * unread or on their way, resets a TCP connection, and what the peer has not read yet is lost (RFC
 * 9112, 9.6). The descriptor stays open, for coir_close. Returns 0: the peer has ended too, and a
 * close loses nothing; COIR_TIMED_OUT for a peer that does not end; -ENOTCONN where both had ended
 * before, or a reset was returned before; or an error as coir_shutdown or coir_read. Parks. */
COIR_API int coir_net_drain(int fd, coir_time until);

#ifdef __cplusplus
}
#endif
#endif
