/* A server whose handlers have children that fail, at each step of a request and in each way; the
 * connections of others do not notice. Include it before any other header. */
#ifndef TEST_SERVE_FAILS_H
#define TEST_SERVE_FAILS_H

#include "serve.h"

/* When a handler spawns it: before it has read, in the middle of the request, after it, in the
 * middle of the answer, while it waits for the next request, as the last thing it does. */
enum fails_step { AT_FIRST, IN_REQUEST, AFTER_REQUEST, IN_ANSWER, IN_WAIT, AT_LAST, STEPS };

/* How the child fails. */
enum fails_way { AT_ONCE, LATER, BY_ITS_CHILD, UNJOINED, AS_DAEMON, IN_A_SCOPE, DETACHED, BY_CANCEL,
                 WAYS };

enum { FAILS_CLIENTS = 32, FAILS_WITNESSES = 4 };

static bool fails_begun, fails_over;
static long fails_left, fails_seen[STEPS][WAYS], fails_echoes;
static uint64_t fails_random = 88172645463325252;

static unsigned int fails_below(unsigned int most)
{
    fails_random ^= fails_random << 13;
    fails_random ^= fails_random >> 7;
    fails_random ^= fails_random << 17;
    return (unsigned int)(fails_random >> 20) % most;
}

static int fails_at_once(void *arg)
{
    (void)arg;
    return -EIO;
}

static int fails_later(void *arg)
{
    (void)arg;
    coir_yield();
    coir_yield();
    return -EPIPE;
}

static int fails_by_its_child(void *arg)
{
    return coir_spawn(NULL, fails_later, arg, NULL) < 0 ? -ENOMEM : coir_sleep(COIR_SEC(100));
}

static int fails_by_cancel(void *arg)
{
    coir_fiber *handler = arg;
    coir_yield();
    coir_cancel(*handler, -EACCES);
    free(handler);
    return 0;
}

/* A child that may end after its handler's function. */
static void fails_spawn_canceller(void)
{
    coir_fiber *handler = malloc(sizeof *handler);
    *handler = coir_self();
    if (coir_spawn(NULL, fails_by_cancel, handler, NULL) < 0)
        free(handler);
}

/* In the handler's fiber. */
static void fails_spawn(enum fails_way way)
{
    static const struct coir_spawn_opts DAEMON = {.daemon = true}, FREE = {.detached = true};
    coir_fiber unjoined;
    coir_scope scope;
    int failed = 0;
    if (way == IN_A_SCOPE) {
        coir_scope_open(&scope, COIR_NEVER, 0);
        coir_spawn(NULL, fails_later, NULL, NULL);
        failed = coir_scope_end(&scope, 0);
        CHECK(failed == -EPIPE || failed == COIR_CANCELLED);
    } else if (way == BY_CANCEL) {
        fails_spawn_canceller();
    } else {
        coir_spawn(way == UNJOINED ? &unjoined : NULL,
                   way == BY_ITS_CHILD ? fails_by_its_child
                   : way == LATER      ? fails_later
                                       : fails_at_once,
                   NULL, way == AS_DAEMON ? &DAEMON : way == DETACHED ? &FREE : NULL);
    }
}

static int fails_handle(int fd, void *arg)
{
    char byte, reader[2];
    enum fails_step step = fails_begun ? (enum fails_step)fails_below(STEPS) : STEPS;
    enum fails_way way = (enum fails_way)fails_below(WAYS);
    (void)arg;
    if (step < STEPS)
        fails_seen[step][way]++;
    for (int at = AT_FIRST; at < STEPS; at++) {
        int64_t result = 0;
        if (at == (int)step)
            fails_spawn(way);
        if (at == AT_FIRST || at == IN_REQUEST)
            result = coir_read(fd, &reader[at], 1, COIR_NEVER);
        else if (at == AFTER_REQUEST || at == IN_ANSWER)
            result = coir_write(fd, reader, 1, COIR_NEVER);
        else if (at == IN_WAIT && step != IN_WAIT)
            result = 1;
        else if (at == IN_WAIT)
            result = coir_net_await(fd, &byte, 1, COIR_NEVER);
        if (at < AT_LAST && result <= 0)
            return (int)result;
    }
    while (step == STEPS && coir_net_await(fd, &byte, 1, COIR_NEVER) == 1)
        if (coir_write(fd, &byte, 1, COIR_NEVER) != 1)
            break;
    return 0;
}

/* What the server does to it, it takes. */
static int fails_ask(void *arg)
{
    char answer[4];
    while (fails_left-- > 0) {
        int fd = serve_dial(arg);
        int64_t result = coir_write(fd, "xy", 2, COIR_NEVER);
        CHECK(result == 2 || result == -EPIPE || result == -ECONNRESET);
        coir_shutdown(fd, SHUT_WR);
        do
            result = coir_read(fd, answer, sizeof answer, coir_after(COIR_SEC(15)));
        while (result > 0);
        CHECK(result == 0 || result == -ECONNRESET);
        CHECK_EQ(coir_close(fd), 0);
    }
    return 0;
}

/* Asks the same server all the time, and is always answered. */
static int fails_witness(void *arg)
{
    char answer[2];
    int fd = serve_dial(arg);
    CHECK_EQ(coir_write(fd, "ab", 2, COIR_NEVER), 2);
    CHECK_EQ(coir_read_all(fd, answer, 2, NULL, coir_after(COIR_SEC(15))), 1);
    while (!fails_over) {
        char byte = (char)fails_below(256), back = 0;
        CHECK_EQ(coir_write(fd, &byte, 1, COIR_NEVER), 1);
        CHECK_EQ(coir_read(fd, &back, 1, coir_after(COIR_SEC(15))), 1);
        CHECK_EQ(back, byte);
        fails_echoes++;
    }
    return coir_close(fd);
}

static int fails_all(void *arg)
{
    struct server server = {.handler = fails_handle};
    coir_fiber clients[FAILS_CLIENTS], witnesses[FAILS_WITNESSES];
    serve_listen(&server, test_path("socket"));
    CHECK_EQ(coir_spawn(&server.fiber, serve_run, &server, NULL), 0);
    for (int i = 0; i < FAILS_WITNESSES; i++)
        witnesses[i] = run_spawn(fails_witness, &server);
    while (fails_echoes < 10 * FAILS_WITNESSES)
        CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    fails_begun = true;
    for (int i = 0; i < FAILS_CLIENTS; i++)
        clients[i] = run_spawn(fails_ask, &server);
    for (int i = 0; i < FAILS_CLIENTS; i++)
        CHECK_EQ(run_join(clients[i]), 0);
    fails_over = true;
    for (int i = 0; i < FAILS_WITNESSES; i++)
        CHECK_EQ(run_join(witnesses[i]), 0);
    serve_end(&server);
    return arg ? 1 : 0;
}

static inline void fails_run(long tries)
{
    int before = fds_open();
    fails_left = tries;
    run_monotonic(fails_all, NULL);
    CHECK_EQ(fds_open(), before);
    for (int step = 0; step < STEPS; step++)
        for (int way = 0; way < WAYS; way++)
            CHECK(fails_seen[step][way] > 0);
    printf("%ld tries, %ld answers to others\n", tries, fails_echoes);
}

#endif
