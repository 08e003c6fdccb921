/* Handlers that wait for their next request by coir_net_await: at the end those that are idle end
 * at once, those at work go on, and what has arrived is read. */
#include "serve.h"

/* Answers each byte, where there is a gate when that is open, and is idle in between. */
static int answer(int fd, void *arg)
{
    struct server *server = arg;
    char byte;
    ssize_t got;
    serve_enter(server);
    while ((got = coir_net_await(fd, &byte, 1, COIR_NEVER)) == 1) {
        if (server->gate.in)
            CHECK_EQ(coir_wait_fd(server->gate.in, COIR_IN, COIR_NEVER), COIR_IN);
        byte = coir_winding_down() ? 'e' : 'g';
        if (coir_write(fd, &byte, 1, COIR_NEVER) != 1)
            break;
    }
    CHECK_EQ(got, 0);
    server->ended++;
    return 0;
}

static char answer_of(int fd)
{
    char byte = 0;
    CHECK_EQ(coir_read(fd, &byte, 1, coir_after(COIR_SEC(15))), 1);
    return byte;
}

static int end_with_idle(void *arg)
{
    enum { IDLE = 20 };
    struct server server = {
        .handler = answer, .gate = fds_pipe(0), .opts.grace_ns = COIR_SEC(1000)};
    bool by_close = arg;
    int fds[IDLE];
    serve_begin(&server);
    for (int i = 0; i < IDLE; i++)
        fds[i] = serve_dial(&server);
    CHECK_EQ(coir_write(fds[0], "xy", 2, COIR_NEVER), 2); /* the second waits in the kernel */
    while (server.begun < IDLE)
        CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_write(fds[1], "x", 1, COIR_NEVER), 1); /* its handler does not know yet */
    CHECK_EQ(server.ended, 0);
    CHECK_EQ(by_close ? coir_close(server.listener) : coir_cancel(server.fiber, COIR_CANCELLED), 0);
    for (int i = 2; i < IDLE; i++)
        serve_see_end(fds[i]);
    fds_put(server.gate.out, "x");
    for (int i = 0; i < 2; i++) {
        for (int k = i; k < 2; k++)
            CHECK_EQ(answer_of(fds[i]), 'e');
        serve_see_end(fds[i]);
    }
    CHECK_EQ(run_join(server.fiber), 0);
    CHECK_EQ(server.ended, IDLE);
    for (int i = 0; i < IDLE; i++)
        CHECK_EQ(coir_close(fds[i]), 0);
    fds_close(server.gate);
    return by_close ? 0 : coir_close(server.listener);
}

/* proves: N12 */
TEST(test_idle_handlers_end_when_serving_does_and_others_go_on)
{
    int before = fds_open();
    run_monotonic(end_with_idle, NULL);
    run_monotonic(end_with_idle, &before);
    CHECK_EQ(fds_open(), before);
}

/* A sibling of the handler's, to which the same byte is reported, takes it: so the handler,
 * which was woken, finds nothing, and is about to wait again. */
static int took;

static int take(void *arg)
{
    char byte;
    took += coir_read(*(int *)arg, &byte, 1, COIR_NEVER) == 1;
    return 0;
}

static int share(int fd, void *arg)
{
    struct server *server = arg;
    char byte;
    ssize_t got;
    serve_enter(server);
    coir_fiber taker = run_spawn(take, &fd);
    fds_until_parked(taker);
    while ((got = coir_net_await(fd, &byte, 1, COIR_NEVER)) == 1)
        took++;
    CHECK_EQ(got, 0);
    CHECK(coir_winding_down());
    coir_cancel(taker, COIR_CANCELLED);
    CHECK_EQ(run_join(taker), 0);
    server->ended++;
    return 0;
}

/* The budget decides when the loop has its turn, and so whether the byte is reported before, while
 * or after idle handlers are ended. */
static int end_on_its_way(void *arg)
{
    struct server server = {.handler = share, .opts.grace_ns = COIR_SEC(1000)};
    took = 0;
    serve_begin(&server);
    int fd = serve_dial(&server);
    while (server.begun == 0)
        CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_sleep(COIR_MS(2)), 0);
    CHECK_EQ(coir_write(fd, "x", 1, COIR_NEVER), 1);
    CHECK_EQ(coir_close(server.listener), 0);
    cr_sched_here->budget = *(int *)arg;
    CHECK_EQ(run_join(server.fiber), 0);
    CHECK_EQ(server.ended, 1);
    CHECK_EQ(took, 1);
    return coir_close(fd);
}

/* proves: N12 */
TEST(test_a_handler_that_was_woken_for_nothing_ends_as_well)
{
    for (int budget = 0; budget < 8; budget++)
        run_monotonic(end_on_its_way, &budget);
}

static int wait_in_vain(int fd, void *arg)
{
    struct server *server = arg;
    char byte;
    serve_enter(server);
    CHECK_EQ(coir_net_await(fd, &byte, 1, coir_after(COIR_MS(5))), COIR_TIMED_OUT);
    CHECK_EQ(coir_net_await(fd, &byte, 1, COIR_TRY), COIR_TIMED_OUT);
    CHECK(!coir_winding_down());
    CHECK_EQ(coir_cancel(coir_self(), COIR_CANCELLED), 0);
    CHECK_EQ(coir_net_await(fd, &byte, 1, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(coir_net_await(-1, &byte, 1, COIR_NEVER), COIR_CANCELLED);
    server->ended++;
    return 0;
}

static int fail(void *arg)
{
    struct server server = {.handler = wait_in_vain};
    (void)arg;
    serve_begin(&server);
    int fd = serve_dial(&server);
    serve_see_end(fd);
    serve_end(&server);
    return coir_close(fd);
}

/* proves: N12 */
TEST(test_await_fails_as_a_read_does_while_serving_goes_on)
{
    run_monotonic(fail, NULL);
}

static int elsewhere(void *arg)
{
    struct fds_pair pipe = fds_pipe(O_NONBLOCK);
    char memory[8], byte;
    coir_reader in;
    (void)arg;
    CHECK(!coir_winding_down());
    CHECK_EQ(coir_net_await(pipe.in, &byte, 1, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    fds_put(pipe.out, "ab\ncd");
    coir_reader_init(&in, pipe.in, memory, sizeof memory);
    CHECK_EQ(coir_reader_await(&in, COIR_NEVER), 5);
    CHECK_EQ(coir_reader_take(&in, 3), 3);
    CHECK_EQ(coir_reader_await(&in, COIR_TRY), 2);
    CHECK_EQ(coir_reader_take(&in, 2), 2);
    CHECK_EQ(coir_reader_await(&in, COIR_TRY), COIR_TIMED_OUT);
    fds_put(pipe.out, "12345678");
    CHECK_EQ(coir_reader_await(&in, COIR_NEVER), 8); /* the whole buffer is free again */
    CHECK_EQ(memcmp(in.data, "12345678", 8), 0);
    CHECK_EQ(coir_reader_take(&in, 8), 8);
    close(pipe.out);
    CHECK_EQ(coir_reader_await(&in, COIR_NEVER), 0);
    close(pipe.in);
    return 0;
}

/* proves: N12 */
TEST(test_await_elsewhere_is_a_read)
{
    run_monotonic(elsewhere, NULL);
    CHECK(!coir_winding_down());
}

/* In a soft scope that winds down what has come is read all the same. */
static int awaits_softly(void *arg)
{
    struct fds_pair pipe = fds_pipe(O_NONBLOCK);
    coir_scope scope, soft;
    char byte;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    coir_scope_open(&soft, COIR_NEVER, COIR_SOFT);
    CHECK_EQ(coir_scope_wind_down(&scope, INT64_MAX), 0);
    fds_put(pipe.out, "z");
    CHECK_EQ(coir_net_await(pipe.in, &byte, 1, COIR_NEVER), 1);
    CHECK_EQ(coir_net_await(pipe.in, &byte, 1, COIR_NEVER), 0);
    CHECK_EQ(coir_read(pipe.in, &byte, 1, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(coir_scope_end(&soft, 0), 0);
    fds_close(pipe);
    return coir_scope_end(&scope, 0);
}

/* proves: N12 */
TEST(test_regress_await_in_a_soft_scope_leaves_what_has_come)
{
    run_monotonic(awaits_softly, NULL);
}

static int serves_when_cancelled(void *arg)
{
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    CHECK_EQ(coir_scope_cancel(&scope, 0), 0);
    CHECK_EQ(coir_net_serve(999, answer, NULL, NULL), COIR_CANCELLED);
    return coir_scope_end(&scope, 0);
}

/* proves: C1 */
TEST(test_regress_serving_of_a_bad_number_is_not_refused_to_a_cancelled_fiber)
{
    run_monotonic(serves_when_cancelled, NULL);
}

/* ---- in a tree that winds down ---- */

/* The connection is read in a fiber of its own. */
static int reads(void *arg)
{
    char byte;
    return (int)coir_net_await(*(int *)arg, &byte, 1, COIR_NEVER);
}

static int hands_on(int fd, void *arg)
{
    struct server *server = arg;
    serve_enter(server);
    CHECK_EQ(run_join(run_spawn(reads, &fd)), 0);
    CHECK(coir_winding_down());
    server->ended++;
    return 0;
}

/* `limit`: the server waits for room. */
static int wound_down_from_outside(void *arg)
{
    struct server server = {
        .handler = hands_on, .opts = {.grace_ns = COIR_SEC(1000), .limit = *(size_t *)arg}};
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    serve_begin(&server);
    int fds[] = {serve_dial(&server), serve_dial(&server)};
    while (server.begun < 1)
        CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_scope_wind_down(&scope, COIR_SEC(1000)), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK_EQ(server.result, 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_close(fds[i]), 0);
    return coir_close(server.listener);
}

static int at_work(int fd, void *arg)
{
    struct server *server = arg;
    serve_enter(server);
    server->cancelled += coir_sleep(COIR_SEC(100)) == COIR_CANCELLED;
    server->ended++;
    (void)fd;
    return 0;
}

/* The options' grace is shorter, or longer. */
static int wound_down_with_a_grace(void *arg)
{
    struct server server = {.handler = at_work, .opts.grace_ns = *(int64_t *)arg};
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    serve_begin(&server);
    int fd = serve_dial(&server);
    while (server.begun < 1)
        CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    coir_time start = coir_now();
    CHECK_EQ(coir_scope_wind_down(&scope, COIR_SEC(5)), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK_EQ(coir_since(start), COIR_SEC(5));
    CHECK_EQ(server.result, 0);
    CHECK_EQ(server.cancelled, 1);
    return coir_close(fd) + coir_close(server.listener);
}

/* proves: C15, N7 */
TEST(test_handlers_have_the_grace_of_the_scope_that_winds_down)
{
    int64_t graces[] = {0, COIR_SEC(2), COIR_SEC(9)};
    for (int i = 0; i < 3; i++)
        run_virtual(wound_down_with_a_grace, &graces[i]);
}

/* proves: C15, N7, N12 */
TEST(test_serving_ends_when_what_is_around_it_winds_down)
{
    int before = fds_open();
    for (size_t limit = 0; limit < 2; limit++)
        run_monotonic(wound_down_from_outside, &limit);
    CHECK_EQ(fds_open(), before);
}
