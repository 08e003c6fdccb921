/* The event loop against poll(2): after each step of a random life of pipes and sockets, a wait
 * tells of just what is watched and ready, with the words that it was added with. */
#include "fuzz.h"

#include <coir_loop.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

enum { PAIRS = 4, FDS = 2 * PAIRS, WORDS = 4, EVENTS = 4 * FDS };

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

static int fds[FDS];                  /* of a pair, 2 i and 2 i + 1; -1: closed */
static const char *watched[FDS][2];   /* the word for reading, for writing; NULL: not watched */
static const char WORD[WORDS + 1] = "abcd";

static void make_pair(int pair, unsigned int kind)
{
    int *ends = &fds[2 * pair];
    int result = kind % 2 ? pipe(ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    EXPECT(result == 0);
    for (int i = 0; i < 2; i++)
        EXPECT(fcntl(ends[i], F_SETFL, O_NONBLOCK) == 0);
}

static void unwatch(coir_loop *loop, int i, bool closed)
{
    int result[2] = {coir_loop_del_read(loop, fds[i]), coir_loop_del_write(loop, fds[i])};
    for (int out = 0; out < 2; out++) {
        EXPECT(closed || result[out] == (watched[i][out] ? 0 : -ENOENT));
        watched[i][out] = NULL;
    }
}

/* With the registration taken off before, or after. */
static void end_one(coir_loop *loop, int i, bool before)
{
    if (before)
        unwatch(loop, i, false);
    EXPECT(close(fds[i]) == 0);
    if (!before)
        unwatch(loop, i, true);
    fds[i] = -1;
}

static void watch(coir_loop *loop, int i, bool out, const char *word)
{
    void *user = (void *)(uintptr_t)word;
    int result = out ? coir_loop_add_write(loop, fds[i], user)
                     : coir_loop_add_read(loop, fds[i], user);
    EXPECT(result == 0);
    watched[i][out] = word;
}

static void move(int i, bool out, unsigned int much)
{
    static char bytes[70000];
    size_t size = much % 8 == 0 ? sizeof bytes : much;
    ssize_t moved = out ? send(fds[i], bytes, size, MSG_NOSIGNAL) : read(fds[i], bytes, size);
    if (out && moved < 0)
        moved = write(fds[i], bytes, size);
}

static void step(coir_loop *loop, struct fuzz *fuzz)
{
    unsigned int what = fuzz_byte(fuzz), more = fuzz_byte(fuzz);
    int i = (int)(more % FDS);
    if (fds[i] < 0) {
        if (fds[i ^ 1] < 0)
            make_pair(i / 2, what);
        return;
    }
    switch (what % 7) {
    case 0:
    case 1:
        watch(loop, i, what % 2, &WORD[more / FDS % WORDS]);
        break;
    case 2:
        unwatch(loop, i, false);
        break;
    case 3:
    case 4:
        move(i, what % 2, more);
        break;
    case 5:
        end_one(loop, i, more & 64);
        break;
    case 6:
        shutdown(fds[i], more & 64 ? SHUT_WR : SHUT_RD);
        break;
    }
}

static bool is_ready(int fd, bool out)
{
    struct pollfd ask = {.fd = fd, .events = out ? POLLOUT : POLLIN | POLLRDHUP};
    EXPECT(poll(&ask, 1, 0) >= 0);
    return ask.revents & (ask.events | POLLHUP | POLLERR);
}

static void compare(coir_loop *loop)
{
    struct coir_loop_event events[EVENTS];
    int count = coir_loop_wait(loop, events, EVENTS, COIR_TRY), expected = 0;
    EXPECT(count >= 0);
    for (int i = 0; i < FDS; i++)
        for (int out = 0; fds[i] >= 0 && out < 2; out++)
            expected += watched[i][out] && is_ready(fds[i], out);
    EXPECT(count == expected);
    for (int e = 0; e < count; e++) {
        int i = 0;
        while (i < FDS && fds[i] != events[e].fd)
            i++;
        bool out = events[e].flags & COIR_OUT;
        EXPECT(i < FDS && watched[i][out] == events[e].user && is_ready(fds[i], out));
    }
}

static void live(enum coir_world world, struct fuzz fuzz)
{
    coir_loop *loop;
    EXPECT(coir_loop_open(&loop, world) == 0);
    memset(fds, -1, sizeof fds);
    memset(watched, 0, sizeof watched);
    for (int steps = 0; fuzz.left > 0 && steps < 100; steps++) {
        step(loop, &fuzz);
        compare(loop);
    }
    coir_loop_close(loop);
    for (int i = 0; i < FDS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    signal(SIGPIPE, SIG_IGN);
    live(COIR_WORLD_DEFAULT, (struct fuzz){data, size});
    live(COIR_WORLD_POLL, (struct fuzz){data, size});
    return 0;
}
