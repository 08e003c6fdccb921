/* What the tests of coir_net_serve share: a server fiber, clients, and a count of the accepts that
 * it makes. Include it before any other header. */
#ifndef TEST_SERVE_H
#define TEST_SERVE_H

#include "fds.h"

#include <coir_buffer.h>
#include <coir_net.h>

static inline int serve_must(int result)
{
    CHECK(result >= 0);
    return result;
}

/* A server and what it counts; `handler` may use it all. */
struct server {
    int listener, result;
    char text[COIR_ADDR_TEXT];
    int (*handler)(int fd, void *arg);
    struct coir_serve_opts opts;
    coir_fiber fiber;
    int begun, ended, cancelled, most;
    int64_t work_ns;
    struct fds_pair gate; /* a pipe: what waits for it goes on when there is a byte */
};

static inline int serve_run(void *arg)
{
    struct server *server = arg;
    server->result = coir_net_serve(server->listener, server->handler, server, &server->opts);
    CHECK_EQ(server->begun, server->ended);
    return 0;
}

static inline void serve_listen(struct server *server, const char *at)
{
    coir_addr addr;
    server->listener = serve_must(coir_net_listen(at, NULL));
    CHECK_EQ(coir_net_local(server->listener, &addr), 0);
    CHECK(coir_addr_text(&addr, server->text, sizeof server->text) > 0);
}

static inline void serve_begin(struct server *server)
{
    serve_listen(server, "127.0.0.1:0");
    server->fiber = run_spawn(serve_run, server);
}

/* Ends it by closing the listener. */
static inline void serve_end(struct server *server)
{
    CHECK_EQ(coir_close(server->listener), 0);
    CHECK_EQ(run_join(server->fiber), 0);
    CHECK_EQ(server->result, 0);
}

static inline void serve_enter(struct server *server)
{
    server->begun++;
    if (server->begun - server->ended > server->most)
        server->most = server->begun - server->ended;
}

/* Echoes single bytes, each after work_ns; says nothing good at its end. */
static inline int serve_echo(int fd, void *arg)
{
    struct server *server = arg;
    char byte;
    ssize_t got;
    serve_enter(server);
    while ((got = coir_read(fd, &byte, 1, COIR_NEVER)) == 1) {
        if (server->work_ns)
            coir_sleep(server->work_ns);
        if ((got = coir_write(fd, &byte, 1, COIR_NEVER)) != 1)
            break;
    }
    server->cancelled += got == COIR_CANCELLED;
    server->ended++;
    return -EIO;
}

static inline int serve_dial(const struct server *server)
{
    return serve_must(coir_net_dial(server->text, NULL, COIR_NEVER));
}

static inline void serve_ask(int fd)
{
    char byte = 'a';
    CHECK_EQ(coir_write(fd, &byte, 1, COIR_NEVER), 1);
    CHECK_EQ(coir_read(fd, &byte, 1, coir_after(COIR_SEC(15))), 1);
}

/* Until the server has closed it: the end of file. */
static inline void serve_see_end(int fd)
{
    char byte;
    ssize_t got = coir_read(fd, &byte, 1, coir_after(COIR_SEC(15)));
    CHECK(got == 0 || got == -ECONNRESET);
}

/* The accepts that the world was asked for since serve_count (once in a scheduler), and what those
 * shall say that are made to fail. */
static struct {
    const struct cr_world_ops *real;
    struct cr_world_ops ops;
    int accepts, again, refused, waits;
    int fail, fail_times; /* the error, and how often */
} serve_calls;

static inline int64_t serve_counted_start(struct cr_world *world, struct cr_op *op)
{
    if (op->kind != CR_OP_ACCEPT)
        return serve_calls.real->start(world, op);
    serve_calls.accepts++;
    if (serve_calls.fail_times > 0) {
        serve_calls.fail_times--;
        return -serve_calls.fail;
    }
    int64_t result = serve_calls.real->start(world, op);
    serve_calls.again += result == -EAGAIN;
    serve_calls.refused += result == -EMFILE;
    return result;
}

static inline int serve_counted_wait(struct cr_world *world, struct cr_event *events, int max,
                                     uint64_t until, bool *more)
{
    serve_calls.waits++;
    return serve_calls.real->wait(world, events, max, until, more);
}

static inline void serve_count(void)
{
    memset(&serve_calls, 0, sizeof serve_calls);
    serve_calls.real = inside_replace_ops(&serve_calls.ops);
    serve_calls.ops.start = serve_counted_start;
    serve_calls.ops.wait = serve_counted_wait;
}

#endif
