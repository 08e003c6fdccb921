/* Serving at random: few descriptors or many, handlers that answer, wait, sleep, close or keep a
 * connection, clients that hang up, and an end at any moment. When it returns, no handler is left,
 * no descriptor, and each client has been answered, refused or hung up on. */
#define TEST_SECONDS 60
#include "serve.h"

#include <sys/resource.h>

enum { CLIENTS = 12, ASKS = 3 };

static uint64_t seed;
static int live, served, answered;
static int kept[64], kept_count; /* connections that outlive their handlers */

static unsigned rnd(unsigned below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % below;
}

/* What it has read it answers, if it is not cancelled. */
static int handle(int fd, void *arg)
{
    struct server *server = arg;
    char byte;
    ssize_t got = 1;
    CHECK((size_t)++live <= server->opts.limit || !server->opts.limit);
    served++;
    if (rnd(8) == 0 && (kept[kept_count] = coir_dup(fd)) >= 0)
        kept_count++;
    while (got > 0) {
        got = rnd(2) ? coir_net_await(fd, &byte, 1, coir_after(COIR_MS(1 + rnd(20))))
                     : coir_read(fd, &byte, 1, coir_after(COIR_MS(1 + rnd(5))));
        if (got > 0 && rnd(3) == 0 && coir_sleep(COIR_US(rnd(3000))) < 0)
            break;
        if (got > 0)
            got = coir_write(fd, &byte, 1, COIR_NEVER);
        if (rnd(12) == 0)
            break;
    }
    CHECK(got != -EBADF);
    if (rnd(5) == 0)
        CHECK_EQ(coir_close(fd), 0);
    live--;
    return -(int)rnd(2);
}

static int client(void *arg)
{
    struct server *server = arg;
    coir_sleep(COIR_US(rnd(5000)));
    int fd = coir_net_dial(server->text, NULL, coir_after(COIR_MS(10)));
    if (fd < 0) {
        CHECK(fd == -ECONNREFUSED || fd == -EMFILE || fd == COIR_TIMED_OUT || fd == -ECONNRESET);
        return 0;
    }
    for (int i = 0; i < ASKS; i++) {
        char byte = (char)rnd(100), back;
        ssize_t put = coir_write(fd, &byte, 1, COIR_NEVER);
        ssize_t got = put == 1 ? coir_read(fd, &back, 1, coir_after(COIR_MS(200))) : 0;
        if (got != 1) {
            CHECK(got == 0 || got == -ECONNRESET || got == COIR_TIMED_OUT);
            break;
        }
        CHECK_EQ(back, byte);
        answered++;
        if (rnd(3) == 0)
            coir_sleep(COIR_MS(rnd(8)));
    }
    return coir_close(fd);
}

static int play(void *arg)
{
    struct server server = {.handler = handle};
    coir_fiber clients[CLIENTS];
    int loud = (int)rnd(3);
    (void)arg;
    live = 0;
    server.opts.limit = rnd(2) ? 1 + rnd(4) : 0;
    server.opts.grace_ns = rnd(2) ? COIR_MS(rnd(20)) : 0;
    serve_begin(&server);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = run_spawn(client, &server);
    coir_sleep(COIR_US(rnd(30000)));
    if (loud == 0)
        CHECK_EQ(coir_close(server.listener), 0);
    else
        CHECK_EQ(coir_cancel(server.fiber, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(server.fiber), 0);
    CHECK_EQ(server.result, loud == 0 ? 0 : COIR_CANCELLED);
    CHECK_EQ(live, 0);
    if (loud)
        CHECK_EQ(coir_close(server.listener), 0);
    while (kept_count > 0)
        CHECK_EQ(coir_close(kept[--kept_count]), 0);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(run_join(clients[i]), 0);
    return 0;
}

static void play_many(enum coir_clock clock, unsigned games)
{
    int open = fds_open();
    struct rlimit files;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
    rlim_t most = files.rlim_cur;
    bool enough = false;
    for (unsigned game = 1; game <= games || (!enough && game <= 20 * games); game++) {
        int result = -1;
        seed = game;
        fprintf(stderr, "seed %u\n", game);
        files.rlim_cur = rnd(2) ? most : (rlim_t)(open + 8 + (int)rnd(20));
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
        CHECK_EQ(run_as(play, NULL, clock, &result), 0);
        CHECK_EQ(result, 0);
        files.rlim_cur = most;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
        CHECK_EQ(fds_open(), open);
        enough = served > (int)games && answered > (int)games;
    }
    CHECK(enough);
}

/* proves: N5, N6, N7, N11 */
TEST(test_serving_ends_at_any_moment_on_a_virtual_clock)
{
    play_many(COIR_CLOCK_VIRTUAL, 300);
}

/* proves: N5, N6, N7, N11 */
TEST(test_serving_ends_at_any_moment_on_the_kernels_clock)
{
    play_many(COIR_CLOCK_MONOTONIC, 30);
}
