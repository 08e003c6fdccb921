/* Every call that waits for a descriptor, as a row of a table; and places where it has to wait
 * until a peer does something; and every world of the build. Include it before any other header. */
#ifndef TEST_CALL_ROWS_H
#define TEST_CALL_ROWS_H

#include "fds.h"

#include <coir_io.h>

/* What it waits for: a byte to read, room to write, the other side's end behind a byte that nobody
 * reads, a connection, room in a listener's queue. */
enum what { A_BYTE, ROOM, AN_END, A_CONNECTION, A_PLACE };

struct place {
    enum what what;
    int fd;   /* that of the call */
    int peer; /* by which it becomes possible */
    struct sockaddr_un name;
    int filler; /* fills the queue of a listener */
};

struct row {
    const char *name;
    enum what what;
    enum cr_op_kind kind;
    bool moves_bytes; /* so it can be asked to move none */
    int64_t expected;
    int64_t (*call)(const struct place *place, size_t size, coir_time until);
};

static char buffer[4];

static int64_t call_read(const struct place *place, size_t size, coir_time until)
{
    return coir_read(place->fd, buffer, size, until);
}

static int64_t call_read_all(const struct place *place, size_t size, coir_time until)
{
    size_t done = 0;
    int result = coir_read_all(place->fd, buffer, size, &done, until);
    return result < 0 ? result : (int64_t)done;
}

static int64_t call_readv(const struct place *place, size_t size, coir_time until)
{
    struct iovec parts[2] = {{buffer, 0}, {buffer, size}};
    return coir_readv(place->fd, parts, 2, until);
}

static int64_t call_recv(const struct place *place, size_t size, coir_time until)
{
    return coir_recv(place->fd, buffer, size, 0, until);
}

static int64_t call_recvfrom(const struct place *place, size_t size, coir_time until)
{
    struct sockaddr_storage from;
    socklen_t from_size = sizeof from;
    return coir_recvfrom(place->fd, buffer, size, 0, (struct sockaddr *)&from, &from_size, until);
}

static int64_t call_recvmsg(const struct place *place, size_t size, coir_time until)
{
    struct iovec part = {buffer, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return coir_recvmsg(place->fd, &message, 0, until);
}

static int64_t call_write(const struct place *place, size_t size, coir_time until)
{
    return coir_write(place->fd, buffer, size, until);
}

static int64_t call_write_all(const struct place *place, size_t size, coir_time until)
{
    size_t done = 0;
    int result = coir_write_all(place->fd, buffer, size, &done, until);
    return result < 0 ? result : (int64_t)done;
}

static int64_t call_writev(const struct place *place, size_t size, coir_time until)
{
    struct iovec parts[2] = {{buffer, 0}, {buffer, size}};
    return coir_writev(place->fd, parts, 2, until);
}

static int64_t call_send(const struct place *place, size_t size, coir_time until)
{
    return coir_send(place->fd, buffer, size, 0, until);
}

static int64_t call_sendto(const struct place *place, size_t size, coir_time until)
{
    return coir_sendto(place->fd, buffer, size, 0, NULL, 0, until);
}

static int64_t call_sendmsg(const struct place *place, size_t size, coir_time until)
{
    struct iovec part = {buffer, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return coir_sendmsg(place->fd, &message, 0, until);
}

static int64_t call_accept(const struct place *place, size_t size, coir_time until)
{
    (void)size;
    int fd = coir_accept(place->fd, NULL, NULL, until);
    return fd < 0 ? fd : coir_close(fd);
}

static int64_t call_connect(const struct place *place, size_t size, coir_time until)
{
    const struct sockaddr *name = (const struct sockaddr *)&place->name;
    (void)size;
    return coir_connect(place->fd, name, sizeof place->name, until);
}

static int64_t call_wait_in(const struct place *place, size_t size, coir_time until)
{
    (void)size;
    return coir_wait_fd(place->fd, COIR_IN, until);
}

static int64_t call_wait_out(const struct place *place, size_t size, coir_time until)
{
    (void)size;
    return coir_wait_fd(place->fd, COIR_OUT, until);
}

/* Of a socket that is full as well, so that both directions have to be waited for. */
static int64_t call_wait_both(const struct place *place, size_t size, coir_time until)
{
    (void)size;
    return coir_wait_fd(place->fd, COIR_IN | COIR_OUT, until);
}

static int64_t call_wait_hangup(const struct place *place, size_t size, coir_time until)
{
    (void)size;
    return coir_wait_fd(place->fd, COIR_HUP, until);
}

static const struct row ROWS[] = {
    {"read", A_BYTE, CR_OP_READ, true, 1, call_read},
    {"read_all", A_BYTE, CR_OP_READ, true, 1, call_read_all},
    {"readv", A_BYTE, CR_OP_READV, true, 1, call_readv},
    {"recv", A_BYTE, CR_OP_RECV, true, 1, call_recv},
    {"recvfrom", A_BYTE, CR_OP_RECV, true, 1, call_recvfrom},
    {"recvmsg", A_BYTE, CR_OP_RECVMSG, true, 1, call_recvmsg},
    {"write", ROOM, CR_OP_WRITE, true, 1, call_write},
    {"write_all", ROOM, CR_OP_WRITE, true, 1, call_write_all},
    {"writev", ROOM, CR_OP_WRITEV, true, 1, call_writev},
    {"send", ROOM, CR_OP_SEND, true, 1, call_send},
    {"sendto", ROOM, CR_OP_SEND, true, 1, call_sendto},
    {"sendmsg", ROOM, CR_OP_SENDMSG, true, 1, call_sendmsg},
    {"accept", A_CONNECTION, CR_OP_ACCEPT, false, 0, call_accept},
    {"connect", A_PLACE, CR_OP_CONNECT, false, 0, call_connect},
    {"wait_fd in", A_BYTE, CR_OP_READY, false, COIR_IN, call_wait_in},
    {"wait_fd out", ROOM, CR_OP_READY, false, COIR_OUT, call_wait_out},
    {"wait_fd both", ROOM, CR_OP_READY, false, COIR_OUT, call_wait_both},
    {"wait_fd hangup", AN_END, CR_OP_READY, false, COIR_HUP, call_wait_hangup},
};

enum { ROWS_COUNT = sizeof ROWS / sizeof *ROWS };

/* Whether this kernel, by this world, can wait for it. */
__attribute__((unused)) static bool row_is_here(const struct row *row)
{
    bool polls = strcmp(cr_io_of(cr_sched_here)->world->name, "poll") == 0;
    if (row->what == AN_END && polls)
        return kernel->hup == HUP_LINUX;
    return row->what != A_PLACE || !kernel->full_path_refuses;
}

/* ---- places ---- */

static int unix_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    return fd;
}

/* A listener, and what fills its queue. */
static void make_listener(struct place *place)
{
    static int number;
    char name[20];
    snprintf(name, sizeof name, "%d", number++);
    place->name = fds_name(name);
    place->peer = unix_socket();
    CHECK_EQ(bind(place->peer, (struct sockaddr *)&place->name, sizeof place->name), 0);
    CHECK_EQ(listen(place->peer, 0), 0);
}

static struct place make_place(enum what what)
{
    struct place place = {.what = what, .filler = -1};
    if (what == A_BYTE || what == ROOM || what == AN_END) {
        struct fds_pair pair = fds_unix(SOCK_STREAM);
        place.fd = pair.in;
        place.peer = pair.out;
    } else {
        make_listener(&place);
        place.fd = place.filler = unix_socket();
    }
    if (what == ROOM)
        fds_fill(place.fd);
    else if (what == AN_END)
        fds_put(place.peer, "x");
    if (what == A_CONNECTION) {
        place.fd = place.peer;
        place.peer = place.filler;
        place.filler = -1;
    } else if (what == A_PLACE) {
        CHECK_EQ(connect(place.filler, (struct sockaddr *)&place.name, sizeof place.name), 0);
        place.fd = unix_socket();
    }
    return place;
}

static void make_possible(const struct place *place)
{
    if (place->what == A_BYTE)
        fds_put(place->peer, "x");
    else if (place->what == ROOM)
        fds_drain(place->peer);
    else if (place->what == AN_END)
        CHECK_EQ(shutdown(place->peer, SHUT_WR), 0);
    else if (place->what == A_CONNECTION)
        CHECK_EQ(connect(place->peer, (struct sockaddr *)&place->name, sizeof place->name), 0);
    else
        close(accept(place->peer, NULL, NULL));
}

static void end_place(const struct place *place)
{
    CHECK_EQ(coir_close(place->fd), 0);
    close(place->peer);
    if (place->filler >= 0)
        close(place->filler);
}

/* ---- worlds ---- */

static const enum coir_world WORLDS[] = {
#if defined(COIR_KQUEUE) || !defined(__linux__)
    COIR_WORLD_KQUEUE,
#else
    COIR_WORLD_EPOLL,
#endif
    COIR_WORLD_POLL,
};

static inline void in_each_world(int (*fn)(void *arg), enum coir_clock clock)
{
    for (size_t w = 0; w < sizeof WORLDS / sizeof *WORLDS; w++) {
        struct coir_sched_opts opts = {.clock = clock, .world = WORLDS[w]};
        int result = -1;
        printf("world %d\n", (int)WORLDS[w]);
        CHECK_EQ(coir_run(fn, NULL, &opts, &result), 0);
        CHECK_EQ(result, 0);
    }
}

#endif
