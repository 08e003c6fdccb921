/* The loop that serves connections. Three kinds of fibers:
 *
 *     the caller     opens `outside`, and in it `inside`, a shield; parks until the acceptor is
 *                    done, then lets `inside` wind down
 *     the acceptor   a child of `outside`, so what cancels the caller cancels it; accepts in a
 *                    soft scope, and after a wind-down around the caller waits for its cancel
 *     handlers       children of `inside`, which only its wind-down cancels
 *
 * All share one record on the caller's stack, and a connection needs no memory but its fiber: the
 * acceptor notes the descriptor in a ring, and each handler's fiber takes the oldest when it
 * begins.
 *
 * Invariants: `live` counts the descriptors in the ring whose fiber is spawned, and those whose
 * fiber has not closed them; what waits for it to fall is woken by each fall. The listener is
 * touched only while its entry has the token that it had at first. */
#include "../base/base.h"

#include "../../include/coir_net.h"
#include "../debug/debug.h"
#include "../io/call.h"

#include <errno.h>

enum { SERVE_RING = 64, SERVE_PAUSE_MOST_MS = 100 };

struct serve {
    int listener;
    int (*handler)(int fd, void *arg);
    void *arg;
    struct coir_serve_opts opts;
    coir_scope outside, inside;
    coir_fiber caller;
    struct cr_fd *entry; /* the listener's */
    uint64_t token; /* of the entry, at first */
    struct cr_fiber *acceptor;
    coir_fiber accepting; /* its handle, for when it may have ended */
    struct cr_fd_wait *room; /* the acceptor's wait while `limit` connections are open or a resource
                                has run out; NULL while it does not wait */
    size_t live;
    bool done; /* the acceptor accepts no more, because of `result` */
    int result;
    int pause_ms; /* before the next try, after errors in a row; 0: there was none */
    unsigned oldest, noted;
    int ring[SERVE_RING];
};

static const struct cr_wait_kind ROOM = {
    .name = "room for one more connection",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
};

static int serve_take(struct serve *serve)
{
    int fd = serve->ring[serve->oldest];
    serve->oldest = (serve->oldest + 1) % SERVE_RING;
    serve->noted--;
    return fd;
}

/* What a handler has spawned may use the connection, so that has ended before it is closed. A
 * handler may have closed it itself, and its number may be another file's. */
static int serve_connection(void *arg)
{
    struct serve *serve = arg;
    coir_scope family;
    int fd = serve_take(serve);
    struct cr_fd *entry = cr_fd_find(&cr_io_of(cr_sched_here)->fds, fd);
    uint64_t token = entry->token;
    coir_scope_open(&family, COIR_NEVER, 0);
    int ignored = coir_scope_end(&family, serve->handler(fd, serve->arg));
    (void)ignored;
    if (entry->token == token)
        coir_close(fd);
    serve->live--;
    if (serve->room && serve->acceptor->wait == &serve->room->wait)
        cr_sched_wake(serve->acceptor, 0);
    else if (serve->done && serve->live == 0)
        coir_wake(serve->accepting);
    return 0;
}

/* Until a connection ends, or until `until`: 0, -EBADF when the listener was closed meanwhile, or
 * COIR_CANCELLED. */
static int serve_wait(struct serve *serve, coir_time until)
{
    struct cr_fd_wait wait;
    if (serve->entry->token != serve->token)
        return -EBADF;
    serve->room = &wait;
    int result = cr_io_pause(serve->acceptor, serve->entry, &wait, &ROOM, until);
    serve->room = NULL;
    return result == COIR_TIMED_OUT ? 0 : result;
}

/* After something has run out, the longer the more often in a row: 0, or an error. */
static int serve_pause(struct serve *serve)
{
    int next_ms = serve->pause_ms ? 2 * serve->pause_ms : 1;
    serve->pause_ms = next_ms < SERVE_PAUSE_MOST_MS ? next_ms : SERVE_PAUSE_MOST_MS;
    return serve_wait(serve, coir_after(COIR_MS(serve->pause_ms)));
}

/* Whether the listener itself is at fault, or the loop was cancelled. */
static bool serve_is_over(int error)
{
    return error == COIR_CANCELLED || error == -EBADF || error == -EINVAL || error == -ENOTSOCK ||
           error == -EOPNOTSUPP;
}

static bool serve_ran_out(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

/* The next connection, or why there is none any more. What a connection failed with is no reason to
 * wait; a second error in a row may be something else. */
static int serve_accept(struct serve *serve)
{
    int result = 0;
    for (;;) {
        while (result == 0 && serve->opts.limit && serve->live >= serve->opts.limit)
            result = serve_wait(serve, COIR_NEVER);
        if (result == 0 && serve->entry->token != serve->token)
            result = -EBADF;
        if (result < 0)
            return result;
        int fd = coir_accept(serve->listener, NULL, NULL, COIR_NEVER);
        if (fd >= 0 || serve_is_over(fd))
            return fd;
        if (serve->pause_ms || serve_ran_out(fd))
            result = serve_pause(serve);
        else
            serve->pause_ms = 1;
    }
}

/* Starts the handler of a connection; an error when the loop ended before there was memory for it,
 * and the connection is closed. */
static int serve_start(struct serve *serve, int fd)
{
    struct coir_spawn_opts opts = {
        .name = serve->opts.name,
        .stack_size = serve->opts.stack_size,
        .scope = &serve->inside,
        .inherit = serve->opts.inherit,
    };
    int result = 0;
    while (result == 0 && serve->noted == SERVE_RING)
        result = coir_yield();
    while (result == 0) {
        serve->ring[(serve->oldest + serve->noted++) % SERVE_RING] = fd;
        serve->live++;
        result = coir_spawn(NULL, serve_connection, serve, &opts);
        if (result == 0) {
            serve->pause_ms = 0;
            return 0;
        }
        serve->noted--;
        serve->live--;
        if (result == -ENOMEM)
            result = serve_pause(serve);
    }
    coir_close(fd);
    return result;
}

/* Whether it ends because what is around the caller winds down. */
static bool serve_winds_down(const struct serve *serve)
{
    return serve->done && serve->result == 0;
}

/* The grace of what is around the caller is that of the handlers: they are cancelled when the
 * acceptor is. */
static void serve_share_grace(struct serve *serve)
{
    while (serve->live > 0 && coir_park(COIR_NEVER) == 0)
        continue;
    if (serve->live > 0)
        coir_scope_cancel(&serve->inside, 0);
}

static int serve_acceptor(void *arg)
{
    struct serve *serve = arg;
    serve->acceptor = cr_sched_self;
    serve->accepting = coir_self();
    coir_scope soft;
    int result = 0;
    coir_scope_open(&soft, COIR_NEVER, COIR_SOFT);
    while (result == 0) {
        result = serve_accept(serve);
        if (result >= 0)
            result = serve_start(serve, result);
    }
    serve->result = coir_scope_end(&soft, result);
    serve->done = true;
    coir_wake(serve->caller);
    if (serve_winds_down(serve))
        serve_share_grace(serve);
    return 0;
}

int coir_net_serve(int listener, int (*handler)(int fd, void *arg), void *arg,
                   const struct coir_serve_opts *opts)
{
    struct serve serve = {.listener = listener, .handler = handler, .arg = arg,
                          .caller = coir_self()};
    if (CR_UNLIKELY(!cr_sched_self))
        return cr_sched_no_fiber("coir_net_serve", CR_CALLER);
    if (CR_UNLIKELY(!handler))
        cr_fatal_mistake("coir_net_serve", CR_CALLER, "the function is NULL");
    serve.opts = opts ? *opts : serve.opts;
    if (cr_sched_self->cancelled)
        return cr_sched_refuse(cr_sched_self);
    int result = coir_adopt(listener);
    if (result < 0)
        return result;
    serve.entry = cr_fd_find(&cr_io_of(cr_sched_here)->fds, listener);
    serve.token = serve.entry->token;
    coir_scope_open(&serve.outside, COIR_NEVER, 0);
    struct coir_spawn_opts acceptor = {.inherit = serve.opts.inherit};
    result = coir_spawn(NULL, serve_acceptor, &serve, &acceptor);
    if (result == 0) {
        coir_scope_open(&serve.inside, COIR_NEVER, COIR_SHIELD);
        while (!serve.done && coir_park(COIR_NEVER) == 0)
            continue;
        coir_scope_wind_down(&serve.inside,
                             serve_winds_down(&serve) ? INT64_MAX : serve.opts.grace_ns);
        result = coir_scope_end(&serve.inside, 0);
        if (serve.result != -EBADF)
            result = serve.result;
    }
    return coir_scope_end(&serve.outside, result);
}

/* When the wait has been ended, what came meanwhile is read: under a shield, because a soft scope
 * around may have ended it too. */
ssize_t coir_net_await(int fd, void *buf, size_t size, coir_time until)
{
    coir_scope soft;
    coir_scope_open(&soft, COIR_NEVER, COIR_SOFT);
    ssize_t got = coir_read(fd, buf, size, until);
    int result = coir_scope_end(&soft, got < 0 ? (int)got : 0);
    if (got != COIR_CANCELLED || result < 0)
        return got;
    coir_scope shield;
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    got = coir_read(fd, buf, size, COIR_TRY);
    result = coir_scope_end(&shield, 0);
    return got == COIR_TIMED_OUT ? result : got;
}
