/* The loop that serves connections: who gets a handler, how many at once, and how it ends. */
#include "serve.h"
#include "clock.h"

static int talk(void *arg)
{
    int fd = serve_dial(arg);
    for (int i = 0; i < 5; i++)
        serve_ask(fd);
    CHECK_EQ(coir_shutdown(fd, SHUT_WR), 0);
    serve_see_end(fd);
    return coir_close(fd);
}

static int many(void *arg)
{
    enum { CLIENTS = 200 };
    struct server server = {.handler = serve_echo, .opts.limit = *(size_t *)arg};
    coir_fiber clients[CLIENTS];
    serve_begin(&server);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = run_spawn(talk, &server);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(run_join(clients[i]), 0);
    serve_end(&server);
    CHECK_EQ(server.ended, CLIENTS);
    CHECK(server.opts.limit == 0 ? server.most > 3 : (size_t)server.most == server.opts.limit);
    return 0;
}

/* proves: N5 */
TEST(test_every_connection_is_served_and_closed)
{
    size_t limits[] = {0, 1, 3};
    int before = fds_open();
    for (int i = 0; i < 3; i++)
        run_monotonic(many, &limits[i]);
    CHECK_EQ(fds_open(), before);
}

static int unix_too(void *arg)
{
    struct server server = {.handler = serve_echo};
    (void)arg;
    serve_listen(&server, test_path("socket"));
    server.fiber = run_spawn(serve_run, &server);
    CHECK_EQ(run_join(run_spawn(talk, &server)), 0);
    serve_end(&server);
    return 0;
}

/* proves: N5 */
TEST(test_unix_connections_are_served)
{
    run_monotonic(unix_too, NULL);
}

/* Accepts are made while there may be one, and once more. */
static int burst(void *arg)
{
    enum { CLIENTS = 100 };
    struct server server = {.handler = serve_echo};
    int fds[CLIENTS];
    (void)arg;
    serve_listen(&server, "127.0.0.1:0");
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = serve_dial(&server);
    serve_count();
    server.fiber = run_spawn(serve_run, &server);
    for (int i = 0; i < CLIENTS; i++)
        serve_ask(fds[i]);
    CHECK_EQ(serve_calls.accepts, CLIENTS + 1);
    CHECK_EQ(serve_calls.again, 1);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(coir_close(fds[i]), 0);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    serve_end(&server);
    return 0;
}

/* proves: N5 */
TEST(test_a_burst_costs_one_accept_each_and_one_more)
{
    run_monotonic(burst, NULL);
}

/* ---- ends ---- */

static int stop_within_grace(void *arg)
{
    struct server server = {
        .handler = serve_echo, .work_ns = COIR_MS(20), .opts.grace_ns = COIR_SEC(10)};
    char byte = 'x';
    (void)arg;
    serve_begin(&server);
    int fd = serve_dial(&server);
    serve_ask(fd);
    CHECK_EQ(coir_write(fd, &byte, 1, COIR_NEVER), 1);
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0); /* the handler is at work */
    uint64_t stopped_at = now_ns();
    CHECK_EQ(coir_cancel(server.fiber, COIR_CANCELLED), 0);
    CHECK_EQ(coir_wake(server.fiber), 1); /* which means nothing */
    CHECK_EQ(coir_yield(), 0);
    int late = coir_net_dial(server.text, NULL, COIR_NEVER); /* to the kernel's queue */
    CHECK_EQ(coir_read(fd, &byte, 1, COIR_NEVER), 1);
    serve_ask(fd); /* it may go on */
    CHECK_EQ(server.cancelled, 0);
    CHECK_EQ(server.ended, 0);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(run_join(server.fiber), 0);
    CHECK_EQ(server.result, COIR_CANCELLED);
    CHECK(now_ns() - stopped_at < (uint64_t)COIR_SEC(9));
    CHECK_EQ(server.begun, 1);
    CHECK_EQ(server.cancelled, 0);
    CHECK_EQ(coir_close(late), 0);
    return coir_close(server.listener);
}

/* proves: N7 */
TEST(test_a_stop_lets_handlers_finish_within_the_grace)
{
    int before = fds_open();
    run_monotonic(stop_within_grace, NULL);
    CHECK_EQ(fds_open(), before);
}

static int stop_after_grace(void *arg)
{
    enum { CLIENTS = 20 };
    struct server server = {.handler = serve_echo, .opts.grace_ns = *(int64_t *)arg};
    int fds[CLIENTS];
    serve_begin(&server);
    for (int i = 0; i < CLIENTS; i++)
        serve_ask(fds[i] = serve_dial(&server));
    CHECK_EQ(coir_close(fds[0]), 0);
    while (server.ended == 0) /* one has ended before */
        CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    uint64_t stopped_at = now_ns();
    CHECK_EQ(coir_cancel(server.fiber, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(server.fiber), 0);
    CHECK(now_ns() - stopped_at >= (uint64_t)server.opts.grace_ns);
    CHECK_EQ(server.result, COIR_CANCELLED);
    CHECK_EQ(server.begun, CLIENTS);
    CHECK_EQ(server.cancelled, CLIENTS - 1);
    for (int i = 1; i < CLIENTS; i++) {
        serve_see_end(fds[i]);
        CHECK_EQ(coir_close(fds[i]), 0);
    }
    return coir_close(server.listener);
}

/* proves: N7 */
TEST(test_handlers_that_outlast_the_grace_are_cancelled)
{
    int64_t graces[] = {0, COIR_MS(50)};
    int before = fds_open();
    run_monotonic(stop_after_grace, &graces[0]);
    run_monotonic(stop_after_grace, &graces[1]);
    CHECK_EQ(fds_open(), before);
}

/* A deadline of the scope around it stops the loop too, and does not reach the handlers. */
static int stop_by_scope(void *arg)
{
    struct server server = {.handler = serve_echo, .opts.grace_ns = COIR_SEC(10)};
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    serve_begin(&server);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    coir_scope shield;
    int fd = serve_dial(&server);
    serve_ask(fd);
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    CHECK_EQ(coir_scope_cancel(&scope, COIR_CANCELLED), 0);
    CHECK_EQ(coir_sleep(COIR_MS(10)), 0);
    serve_ask(fd);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(coir_scope_end(&shield, 0), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK_EQ(server.result, COIR_CANCELLED);
    CHECK_EQ(server.cancelled, 0);
    return coir_close(server.listener);
}

/* proves: N7 */
TEST(test_a_stop_of_the_scope_around_it_does_not_reach_the_handlers)
{
    run_monotonic(stop_by_scope, NULL);
}

static int woken(void *arg)
{
    struct server server = {.handler = serve_echo};
    (void)arg;
    serve_begin(&server);
    int fd = serve_dial(&server);
    serve_ask(fd);
    CHECK_EQ(coir_wake(server.fiber), 1);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    serve_ask(fd);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    serve_end(&server);
    CHECK_EQ(server.cancelled, 0);
    return 0;
}

/* proves: N7 */
TEST(test_a_wake_does_not_end_serving)
{
    run_monotonic(woken, NULL);
}

static int close_at_limit(void *arg)
{
    struct server server = {
        .handler = serve_echo, .opts = {.limit = 1, .grace_ns = COIR_SEC(10)}};
    (void)arg;
    serve_begin(&server);
    int first = serve_dial(&server), second = serve_dial(&server);
    serve_ask(first);
    CHECK_EQ(coir_close(server.listener), 0);
    CHECK_EQ(coir_socket(AF_INET, SOCK_STREAM, 0), server.listener); /* the number's next file */
    serve_ask(first);
    CHECK_EQ(coir_close(first), 0);
    CHECK_EQ(run_join(server.fiber), 0);
    CHECK_EQ(server.result, 0);
    CHECK_EQ(server.begun, 1);
    serve_see_end(second); /* the kernel drops what waited */
    CHECK_EQ(coir_close(second), 0);
    return coir_close(server.listener);
}

/* proves: N7 */
TEST(test_closing_the_listener_ends_a_loop_that_waits_for_room)
{
    run_monotonic(close_at_limit, NULL);
}

/* The first handler closes the listener, while the loop lets a crowd of handlers begin, and opens
 * another one that gets its number. */
static int replace_listener(int fd, void *arg)
{
    struct server *server = arg;
    char byte;
    serve_enter(server);
    if (server->begun == 1) {
        CHECK_EQ(coir_close(server->listener), 0);
        CHECK_EQ(coir_net_listen("127.0.0.1:0", NULL), server->listener);
    }
    server->cancelled += coir_read(fd, &byte, 1, COIR_NEVER) == COIR_CANCELLED;
    server->ended++;
    return 0;
}

static int replaced(void *arg)
{
    enum { CLIENTS = 70 };
    struct server server = {
        .handler = replace_listener,
        .opts = {.limit = *(size_t *)arg, .grace_ns = COIR_MS(10)}};
    int fds[CLIENTS];
    serve_listen(&server, "127.0.0.1:0");
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = serve_dial(&server);
    server.fiber = run_spawn(serve_run, &server);
    CHECK_EQ(run_join(server.fiber), 0);
    CHECK_EQ(server.result, 0);
    CHECK(server.begun >= 64 && server.begun <= 65);
    CHECK_EQ(server.cancelled, server.begun);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(coir_close(fds[i]), 0);
    return coir_close(server.listener);
}

/* proves: N7 */
TEST(test_a_listener_that_was_closed_and_its_number_used_again_is_left_alone)
{
    size_t limits[] = {0, 65};
    run_monotonic(replaced, &limits[0]);
    run_monotonic(replaced, &limits[1]);
}

static int cancel_at_limit(void *arg)
{
    struct server server = {.handler = serve_echo, .opts.limit = 1};
    (void)arg;
    serve_begin(&server);
    int fd = serve_dial(&server);
    serve_ask(fd);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_cancel(server.fiber, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(server.fiber), 0);
    CHECK_EQ(server.result, COIR_CANCELLED);
    CHECK_EQ(server.cancelled, 1);
    CHECK_EQ(coir_close(fd), 0);
    return coir_close(server.listener);
}

/* proves: N7 */
TEST(test_a_stop_ends_a_loop_that_waits_for_room)
{
    run_monotonic(cancel_at_limit, NULL);
}

static bool answered;

static int free_while_serving(void *arg)
{
    struct server *server = arg;
    serve_begin(server);
    serve_ask(serve_dial(server));
    answered = true;
    return 0;
}

/* proves: N7, E5 */
TEST(test_a_scheduler_is_freed_while_it_serves)
{
    int before = fds_open();
    struct server server = {.handler = serve_echo, .opts.grace_ns = COIR_MS(20)};
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_spawn(NULL, free_while_serving, &server, NULL), 0);
    while (!answered)
        CHECK(coir_sched_step(sched, 0) >= 0);
    coir_sched_free(sched);
    CHECK_EQ(server.result, COIR_CANCELLED);
    CHECK_EQ(server.ended, 1);
    CHECK_EQ(fds_open(), before + 2); /* the listener and the client are the test's */
}

static int hasty(void *arg)
{
    struct server server = {.handler = serve_echo, .opts.grace_ns = COIR_SEC(5)};
    (void)arg;
    serve_listen(&server, "127.0.0.1:0");
    int fd = serve_dial(&server);
    CHECK_EQ(coir_cancel(coir_self(), COIR_CANCELLED), 0);
    CHECK_EQ(coir_net_serve(server.listener, serve_echo, &server, NULL), COIR_CANCELLED);
    CHECK_EQ(server.begun, 0);
    CHECK_EQ(coir_close(fd), 0);
    return coir_close(server.listener);
}

/* proves: N7, C1 */
TEST(test_a_stopped_fiber_serves_nothing)
{
    run_monotonic(hasty, NULL);
}

/* ---- handlers ---- */

/* Closes its connection itself, and opens something that gets the number. */
static int closes(int fd, void *arg)
{
    struct server *server = arg;
    serve_enter(server);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(coir_socket(AF_INET, SOCK_STREAM, 0), fd);
    server->ended++;
    server->result = fd;
    return 0;
}

static int closed_by_handler(void *arg)
{
    struct server server = {.handler = closes};
    (void)arg;
    serve_begin(&server);
    int fd = serve_dial(&server);
    serve_see_end(fd);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_close(server.result), 0); /* it is still open */
    CHECK_EQ(coir_close(fd), 0);
    serve_end(&server);
    return 0;
}

/* proves: N5 */
TEST(test_a_connection_that_its_handler_has_closed_is_not_closed_again)
{
    run_monotonic(closed_by_handler, NULL);
}

static int name_is(int fd, void *arg)
{
    struct server *server = arg;
    char byte;
    serve_enter(server);
    CHECK_STR(coir_name(), "guest");
    char large[100 * 1024]; /* more than the default stack */
    memset(large, 1, sizeof large);
    coir_read(fd, &byte, 1, COIR_NEVER);
    server->ended += large[sizeof large / 2];
    return 0;
}

static int handler_opts(void *arg)
{
    struct server server = {
        .handler = name_is, .opts = {.name = "guest", .stack_size = 256 * 1024}};
    (void)arg;
    serve_begin(&server);
    int fd = serve_dial(&server);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    serve_end(&server);
    CHECK_EQ(server.ended, 1);
    return 0;
}

/* proves: N5 */
TEST(test_handlers_have_the_name_and_the_stack_that_was_asked_for)
{
    run_monotonic(handler_opts, NULL);
}
