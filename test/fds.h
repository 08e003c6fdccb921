/* What the tests of descriptors share: pipes and sockets, empty or full, fibers that wait for them,
 * and a look at what the scheduler keeps of a number. Include it before any other header. */
#ifndef TEST_FDS_H
#define TEST_FDS_H

#include "inside.h"

#include "clock.h"
#include "kqueue/kernel.h"
#include "run.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

/* What is written to `out` is read from `in`. */
struct fds_pair {
    int in, out;
};

static inline struct fds_pair fds_pipe(int flags)
{
    int fds[2];
    CHECK_EQ(pipe2(fds, flags), 0);
    return (struct fds_pair){fds[0], fds[1]};
}

static inline struct fds_pair fds_unix(int type)
{
    int fds[2];
    CHECK_EQ(socketpair(AF_UNIX, type, 0, fds), 0);
    return (struct fds_pair){fds[0], fds[1]};
}

/* A socket that listens on a free port of the loopback. */
static inline int fds_listen(struct sockaddr_in *address, int backlog)
{
    socklen_t size = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(listener >= 0);
    CHECK_EQ(bind(listener, (struct sockaddr *)address, size), 0);
    CHECK_EQ(listen(listener, backlog), 0);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)address, &size), 0);
    return listener;
}

static inline int fds_connect(const struct sockaddr_in *address)
{
    int client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(client >= 0);
    CHECK_EQ(connect(client, (const struct sockaddr *)address, sizeof *address), 0);
    return client;
}

static inline struct fds_pair fds_tcp(void)
{
    struct sockaddr_in address;
    int listener = fds_listen(&address, 1), client = fds_connect(&address);
    struct fds_pair tcp = {.in = accept(listener, NULL, NULL), .out = client};
    CHECK(tcp.in >= 0);
    close(listener);
    return tcp;
}

/* A terminal and its other side. A table has it last: where there is none, the rest was tested. */
static inline struct fds_pair fds_terminal(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        SKIP("the system has no terminal to give");
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    CHECK(slave >= 0);
    return (struct fds_pair){.in = slave, .out = master};
}

/* The address of a Unix socket of the test's own. */
static inline struct sockaddr_un fds_name(const char *name)
{
    struct sockaddr_un there = {.sun_family = AF_UNIX};
    snprintf(there.sun_path, sizeof there.sun_path, "%s", test_path(name));
    return there;
}

/* A regular file without a name. */
static inline int fds_file(void)
{
    char path[] = "/tmp/coir_test_XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK_EQ(unlink(path), 0);
    return fd;
}

static inline void fds_close(struct fds_pair pair)
{
    close(pair.in);
    close(pair.out);
}

static inline void fds_nonblocking(int fd)
{
    CHECK_EQ(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

/* Writes until it takes no more; its flags stay what they were. Returns how much it took. */
static inline size_t fds_fill(int fd)
{
    static const char zeros[4096];
    int flags = fcntl(fd, F_GETFL);
    fds_nonblocking(fd);
    size_t total = 0, size = sizeof zeros;
    while (size > 0) {
        ssize_t written = write(fd, zeros, size);
        total += written > 0 ? (size_t)written : 0;
        if (written < 0)
            size /= 2;
    }
    CHECK_EQ(fcntl(fd, F_SETFL, flags), 0);
    return total;
}

/* Writes until a TCP socket takes no more and stays so: what the peer acknowledges makes room
 * again, and it may put that off for a fifth of a second. */
static inline void fds_fill_tcp(int fd)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    int small = 4096;
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    do
        fds_fill(fd);
    while (poll(&room, 1, 250) > 0);
}

/* Reads what there is. Returns how much it was. */
static inline size_t fds_drain(int fd)
{
    static char sink[65536];
    int flags = fcntl(fd, F_GETFL);
    fds_nonblocking(fd);
    size_t total = 0;
    for (ssize_t got; (got = read(fd, sink, sizeof sink)) > 0;)
        total += (size_t)got;
    CHECK_EQ(fcntl(fd, F_SETFL, flags), 0);
    return total;
}

static inline void fds_put(int fd, const char *text)
{
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
}

/* How many descriptors this process has open. */
static inline int fds_open(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = -1; /* the folder's own */
    if (!folder)
        folder = opendir("/dev/fd");
    CHECK(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* Lets others run until a fiber is parked. */
static inline void fds_until_parked(coir_fiber handle)
{
    while (inside_fiber(handle) && !inside_fiber(handle)->wait)
        coir_yield();
}

/* Lets others run until a fiber that was parked is ready. It has not run: the loop, which woke it,
 * put it behind the caller. */
static inline void fds_until_woken(coir_fiber handle)
{
    while (inside_fiber(handle) && inside_fiber(handle)->wait)
        coir_yield();
}

/* A fiber in coir_wait_fd. */
struct fds_waiter {
    int fd, mask;
    coir_time until;
    int result;
    uint64_t ended_at;
    coir_fiber fiber;
};

static inline int fds_wait(void *arg)
{
    struct fds_waiter *w = arg;
    w->result = coir_wait_fd(w->fd, w->mask, w->until);
    w->ended_at = now_ns();
    return w->result;
}

/* Spawns them and lets them park. */
static inline void fds_start(struct fds_waiter *waiters, int count)
{
    for (int i = 0; i < count; i++) {
        waiters[i].fiber = run_spawn(fds_wait, &waiters[i]);
        fds_until_parked(waiters[i].fiber);
    }
}

/* After all waits have ended: nothing of them is left, neither on the number nor anywhere else. */
static inline void fds_check_nothing_left(int fd)
{
    struct cr_fd *entry = inside_fd(fd);
    CHECK_EQ(cr_sched_here->outside, 0);
    CHECK(!cr_timer_first(&cr_sched_here->timers));
    CHECK(!entry || !inside_fd_is_waited_for(entry));
    CHECK(!entry || (entry->attached <= entry->owned && entry->holds == 0 && entry->asides == 0));
}

/* Calls that go through the world's table, counted from fds_count on. */
static struct {
    int attach, detach, start, read, read_again, write;
} fds_calls;

static const struct cr_world_ops *fds_real; /* the entries that were there before */
static struct cr_world_ops fds_ops;

static inline int fds_counted_attach(struct cr_world *world, int fd, uint64_t token)
{
    fds_calls.attach++;
    return fds_real->attach(world, fd, token);
}

static inline bool fds_counted_detach(struct cr_world *world, int fd, int index)
{
    fds_calls.detach++;
    return fds_real->detach(world, fd, index);
}

static inline int64_t fds_counted_start(struct cr_world *world, struct cr_op *op)
{
    int64_t result = fds_real->start(world, op);
    fds_calls.start++;
    fds_calls.read += op->kind == CR_OP_READ;
    fds_calls.read_again += op->kind == CR_OP_READ && result == -EAGAIN;
    fds_calls.write += op->kind == CR_OP_WRITE;
    return result;
}

/* Counts from 0 the calls of this thread's scheduler. */
static inline void fds_count(void)
{
    memset(&fds_calls, 0, sizeof fds_calls);
    if (inside_world()->ops == &fds_ops)
        return;
    fds_real = inside_replace_ops(&fds_ops);
    fds_ops.attach = fds_counted_attach;
    fds_ops.detach = fds_counted_detach;
    fds_ops.start = fds_counted_start;
}

/* How often a bell was rung since it was last read. A mailbox's is the first descriptor that is
 * made for it. */
static inline long bell_rings(int bell)
{
    uint64_t rings[8];
    ssize_t got = read(bell, rings, sizeof rings), sum = 0;
    for (ssize_t i = 0; i < got / (ssize_t)sizeof *rings; i++)
        sum += (long)rings[i];
    return sum;
}

#endif
