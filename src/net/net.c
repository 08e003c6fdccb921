/* Sockets by the text of their address: made, prepared, bound or connected. Options are set before
 * the socket listens or connects; what a listener has, the connections that it accepts have too, at
 * no cost for each. */
#include "../base/base.h"

#include "../../include/coir_net.h"
#include "../io/call.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/un.h>

#if defined(TCP_KEEPIDLE)
enum { NET_KEEP_IDLE = TCP_KEEPIDLE };
#elif defined(TCP_KEEPALIVE)
enum { NET_KEEP_IDLE = TCP_KEEPALIVE };
#else
enum { NET_KEEP_IDLE = 0 }; /* the system has one length for all */
#endif

/* FreeBSD hands everything to the last one otherwise. */
#if defined(SO_REUSEPORT_LB)
enum { NET_REUSE_PORT = SO_REUSEPORT_LB };
#else
enum { NET_REUSE_PORT = SO_REUSEPORT };
#endif

/* ITSELF: no errno, and none of coir's own codes. */
enum { NET_BACKLOG = 4096, NET_TRIES = 3, NET_ITSELF = INT_MIN };

static const struct coir_net_opts DEFAULTS;

static struct sockaddr *net_sockaddr(coir_addr *addr)
{
    return (struct sockaddr *)&addr->storage;
}

static int net_set(int fd, int level, int name, int value)
{
    return coir_setsockopt(fd, level, name, &value, sizeof value);
}

/* Whether it is [::], which stands for IPv4 too. */
static bool net_is_any(const coir_addr *addr)
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr->storage;
    return in6->sin6_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

static void net_become_v4(coir_addr *addr, const void *host)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = ((struct sockaddr_in6 *)&addr->storage)->sin6_port};
    memcpy(&in.sin_addr, host, sizeof in.sin_addr);
    memset(&addr->storage, 0, sizeof addr->storage);
    memcpy(&addr->storage, &in, sizeof in);
    addr->size = sizeof in;
}

static int net_socket(coir_addr *addr, const struct coir_net_opts *opts)
{
    int fd = coir_socket(addr->storage.ss_family, addr->type, 0);
    if (fd != -EAFNOSUPPORT || !net_is_any(addr) || opts->v6_only)
        return fd;
    net_become_v4(addr, &(struct in_addr){.s_addr = htonl(INADDR_ANY)});
    return coir_socket(AF_INET, addr->type, 0);
}

/* OpenBSD knows nothing but v6_only, and says -EINVAL. */
static int net_set_v6(int fd, const struct coir_net_opts *opts)
{
    int result = net_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, opts->v6_only);
    return result == -EINVAL && !opts->v6_only ? 0 : result;
}

static int net_set_tcp(int fd, const struct coir_net_opts *opts)
{
    int result = opts->delay ? 0 : net_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (result == 0 && opts->keep_alive_s != 0)
        result = net_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (result == 0 && opts->keep_alive_s != 0 && NET_KEEP_IDLE != 0)
        result = net_set(fd, IPPROTO_TCP, NET_KEEP_IDLE, opts->keep_alive_s);
    return result;
}

static int net_prepare(int fd, const coir_addr *addr, const struct coir_net_opts *opts)
{
    int result = 0;
    if (addr->storage.ss_family == AF_INET6)
        result = net_set_v6(fd, opts);
    if (result == 0 && addr->type == SOCK_STREAM && addr->storage.ss_family != AF_UNIX)
        result = net_set_tcp(fd, opts);
    return result;
}

/* A socket for the address of a text, prepared; or an error. */
static int net_open(const char *text, coir_addr *addr, const struct coir_net_opts *opts)
{
    int result = coir_addr_parse(addr, text);
    if (result < 0)
        return result;
    int fd = net_socket(addr, opts);
    if (fd < 0)
        return fd;
    result = net_prepare(fd, addr, opts);
    if (result == 0)
        return fd;
    coir_close(fd);
    return result;
}

/* What a socket of this type gets that asks for a connection to a path. */
static int net_ask(coir_addr *addr, int type)
{
    int fd = coir_socket(AF_UNIX, type, 0);
    if (fd < 0)
        return fd;
    struct cr_op ask = {
        .kind = CR_OP_CONNECT, .fd = fd, .name = {net_sockaddr(addr), addr->size}};
    int result = (int)cr_call_now(&ask, "coir_net_listen", CR_CALLER);
    coir_close(fd);
    return result;
}

/* Removes a path that is a socket whose owner has gone; else -EADDRINUSE. A queue that is full, or
 * is not there yet, may refuse a connection as well; but to a socket of the other type whoever
 * lives says EPROTOTYPE, full or not. */
static int net_unlink(coir_addr *addr)
{
    if (net_ask(addr, SOCK_STREAM) != -ECONNREFUSED || net_ask(addr, SOCK_DGRAM) != -ECONNREFUSED)
        return -EADDRINUSE;
    struct cr_op remove = {
        .kind = CR_OP_UNLINK, .fd = -1, .name = {net_sockaddr(addr), addr->size}};
    int result = (int)cr_call_now(&remove, "coir_net_listen", CR_CALLER);
    return result == -ENOTSOCK ? -EADDRINUSE : result == -ENOENT ? 0 : result;
}

static int net_bind(int fd, coir_addr *addr, const struct coir_net_opts *opts)
{
    bool path = addr->storage.ss_family == AF_UNIX, stream = addr->type == SOCK_STREAM;
    int result = !path && stream ? net_set(fd, SOL_SOCKET, SO_REUSEADDR, 1) : 0;
    if (result == 0 && !path && opts->reuse_port)
        result = net_set(fd, SOL_SOCKET, NET_REUSE_PORT, 1);
    if (result == 0)
        result = coir_bind(fd, net_sockaddr(addr), addr->size);
    if (result == -EADDRINUSE && path && opts->unlink) {
        result = net_unlink(addr);
        if (result == 0)
            result = coir_bind(fd, net_sockaddr(addr), addr->size);
    }
    if (result == 0 && stream)
        result = coir_listen(fd, opts->backlog ? opts->backlog : NET_BACKLOG);
    return result;
}

int coir_net_listen(const char *text, const struct coir_net_opts *opts)
{
    coir_addr addr;
    opts = opts ? opts : &DEFAULTS;
    if (CR_UNLIKELY(!cr_sched_here))
        return cr_sched_none("coir_net_listen", CR_CALLER);
    int fd = net_open(text, &addr, opts), result = fd < 0 ? fd : net_bind(fd, &addr, opts);
    if (result == 0)
        return fd;
    if (fd >= 0)
        coir_close(fd);
    return result;
}

/* Finishes what the system says of a socket's address. */
static int net_told(int fd, coir_addr *addr, int result)
{
    socklen_t size = sizeof addr->type;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr->storage;
    if (addr->storage.ss_family == AF_UNIX && addr->size > sizeof(struct sockaddr_un))
        addr->size = sizeof(struct sockaddr_un); /* Linux counts a NUL behind the longest path */
    if (result == 0)
        result = coir_getsockopt(fd, SOL_SOCKET, SO_TYPE, &addr->type, &size);
    if (result == 0 && addr->storage.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        net_become_v4(addr, &in6->sin6_addr.s6_addr[12]);
    return result;
}

int coir_net_local(int fd, coir_addr *addr)
{
    if (CR_UNLIKELY(!addr))
        return -EINVAL;
    *addr = (coir_addr){.size = sizeof addr->storage};
    return net_told(fd, addr, coir_getsockname(fd, net_sockaddr(addr), &addr->size));
}

int coir_net_peer(int fd, coir_addr *addr)
{
    if (CR_UNLIKELY(!addr))
        return -EINVAL;
    *addr = (coir_addr){.size = sizeof addr->storage};
    return net_told(fd, addr, coir_getpeername(fd, net_sockaddr(addr), &addr->size));
}

/* ---- dialling -------------------------------------------------------------------------------- */

static in_port_t net_port(const coir_addr *addr)
{
    return addr->storage.ss_family == AF_INET6
               ? ((const struct sockaddr_in6 *)&addr->storage)->sin6_port
               : ((const struct sockaddr_in *)&addr->storage)->sin_port;
}

/* Whether a TCP socket is connected to itself. That happens at a port of this machine where nobody
 * listens, when the system chooses just that one for the socket's own end (RFC 9293, 3.5: both ends
 * open at the same time). */
static bool net_met_itself(int fd, const coir_addr *dialled)
{
    coir_addr local, peer;
    if (dialled->storage.ss_family == AF_UNIX || dialled->type != SOCK_STREAM ||
        coir_net_local(fd, &local) < 0 || net_port(&local) != net_port(dialled))
        return false;
    return coir_net_peer(fd, &peer) == 0 && local.size == peer.size &&
           memcmp(&local.storage, &peer.storage, local.size) == 0;
}

static int net_dial(const char *text, const struct coir_net_opts *opts, coir_time until)
{
    coir_addr addr;
    int fd = net_open(text, &addr, opts);
    if (fd < 0)
        return fd;
    int result = coir_connect(fd, net_sockaddr(&addr), addr.size, until);
    if (result == 0 && net_met_itself(fd, &addr))
        result = NET_ITSELF;
    if (result == 0)
        return fd;
    coir_close(fd);
    return result;
}

int coir_net_dial(const char *text, const struct coir_net_opts *opts, coir_time until)
{
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_net_dial", CR_CALLER);
    int result = NET_ITSELF;
    for (int tries = 0; tries < NET_TRIES && result == NET_ITSELF; tries++)
        result = net_dial(text, opts ? opts : &DEFAULTS, until);
    return result == NET_ITSELF ? -ECONNREFUSED : result;
}

/* ---- ending ---------------------------------------------------------------------------------- */

/* Of a peer that sends without end, each read would go well: the others have their turn between
 * two, and the deadline is looked at here. What is not connected any more may still have bytes. */
int coir_net_drain(int fd, coir_time until)
{
    char unwanted[4096];
    ssize_t got = coir_shutdown(fd, SHUT_WR);
    bool connected = got != -ENOTCONN;
    if (got < 0 && connected)
        return (int)got;
    while ((got = coir_read(fd, unwanted, sizeof unwanted, until)) > 0 && coir_left(until) > 0)
        coir_yield();
    return got > 0 ? COIR_TIMED_OUT : got == 0 && !connected ? -ENOTCONN : (int)got;
}
