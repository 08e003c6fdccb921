/* A TCP proxy: what comes at ADDRESS goes to TARGET, and back.
 *
 * usage: proxy TARGET [ADDRESS [IDLE_S [GRACE_S]]]
 *
 * A connection is closed after IDLE_S without a byte in either direction. The end of one direction
 * is passed on, and the other goes on until it ends too. What the target has said arrives, also
 * when it resets the connection then. */
#include "server.h"

#include <errno.h>

struct link {
    int fds[2];      /* the client's, the target's */
    coir_time until; /* when it is closed, unless bytes move before that, in either direction */
};

/* Reads or writes some bytes: how many, or an error. Bytes in the other direction put the end of
 * the wait off. */
static ssize_t move(struct link *link, bool out, int fd, void *buf, size_t size)
{
    for (;;) {
        ssize_t result = out ? coir_write(fd, buf, size, link->until)
                             : coir_read(fd, buf, size, link->until);
        if (result > 0)
            link->until = coir_after(server.idle_ns);
        if (result != COIR_TIMED_OUT || coir_left(link->until) == 0)
            return result;
    }
}

/* An error as it counts: of the client's side it ends both directions. A failure of the target is
 * no more than its end, so that what it has said arrives. */
static int failed(const struct link *link, int fd, ssize_t error)
{
    bool ended = fd == link->fds[1] && error != COIR_TIMED_OUT && error != COIR_CANCELLED;
    return ended ? 0 : (int)error;
}

/* Moves what comes from one side to the other until it ends: 0, or an error. */
static int pump(struct link *link, int from, int to)
{
    char buf[4096];
    ssize_t got, sent;
    while ((got = move(link, false, from, buf, sizeof buf)) > 0)
        for (char *at = buf; got > 0; at += sent, got -= sent)
            if ((sent = move(link, true, to, at, (size_t)got)) < 0)
                return failed(link, to, sent);
    int result = got < 0 ? failed(link, from, got) : 0;
    if (result == 0)
        coir_shutdown(to, SHUT_WR);
    return result;
}

static int pump_back(void *arg)
{
    struct link *link = arg;
    return pump(link, link->fds[1], link->fds[0]);
}

static int forward(int fd, void *target)
{
    int up = coir_net_dial(target, NULL, coir_after(server.idle_ns));
    struct link link = {{fd, up}, coir_after(server.idle_ns)};
    coir_scope scope;
    if (up < 0)
        return up;
    coir_scope_open(&scope, COIR_NEVER, 0);
    int result = coir_spawn(NULL, pump_back, &link, NULL);
    result = coir_scope_end(&scope, result < 0 ? result : pump(&link, fd, up));
    coir_close(up);
    return result == 0 ? coir_net_drain(fd, coir_after(COIR_SEC(1))) : result;
}

int main(int argc, char **argv)
{
    server.handler = forward;
    if (argc < 2) {
        fprintf(stderr, "usage: proxy TARGET [ADDRESS [IDLE_S [GRACE_S]]]\n");
        return 2;
    }
    return server_main(argc - 1, argv + 1, argv[1]);
}
