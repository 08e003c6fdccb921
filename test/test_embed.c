/* A scheduler driven by somebody else's loop: the descriptor, the deadline, and steps. */
#include "fds.h"
#include "clock.h"

#include <coir_io.h>
#include <coir_post.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>

enum { PEERS = 200, ROUNDS = 5 };

static coir_sched *sched;
static int fd;

static bool is_readable(void)
{
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) == 1;
}

static void embed(const struct coir_sched_opts *opts)
{
    CHECK_EQ(coir_sched_new(&sched, opts), 0);
    fd = coir_sched_fd(sched);
    if (fd == -ENOSYS)
        SKIP("this world has no descriptor to watch");
    CHECK(fd >= 0);
}

static int settle(void)
{
    int result;
    do
        result = coir_sched_step(sched, 0);
    while (result == COIR_STEP_READY);
    return result;
}

/* A foreign loop in five lines. */
static void drive(void)
{
    while (settle() == COIR_STEP_WAITING) {
        int64_t left = coir_left(coir_sched_deadline(sched));
        int left_ms = left == INT64_MAX ? -1 : left > 0 ? (int)(left / 1000000 + 1) : 0;
        poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, left_ms);
    }
}

static struct fds_pair pairs[PEERS];
static int echoed, slept;

static int echo(void *arg)
{
    struct fds_pair *pair = arg;
    char text[4];
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(coir_read_all(pair->in, text, sizeof text, NULL, COIR_NEVER), 1);
        echoed++;
    }
    return 0;
}

static int send_slowly(void *arg)
{
    struct fds_pair *pair = arg;
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(coir_sleep(COIR_MS(1) + (pair - pairs) * COIR_US(20)), 0);
        slept++;
        CHECK_EQ(coir_write_all(pair->out, "abcd", 4, NULL, COIR_NEVER), 0);
    }
    return 0;
}

static void echo_all(const struct coir_sched_opts *opts)
{
    embed(opts);
    for (int i = 0; i < PEERS; i++) {
        int fds[2];
        CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        pairs[i] = (struct fds_pair){fds[0], fds[1]};
        CHECK_EQ(coir_spawn(NULL, echo, &pairs[i], NULL), 0);
        CHECK_EQ(coir_spawn(NULL, send_slowly, &pairs[i], NULL), 0);
    }
    drive();
    CHECK(echoed == PEERS * ROUNDS && slept == PEERS * ROUNDS);
    coir_sched_free(sched);
}

/* proves: E8, E9 */
TEST(test_embedded_fibers_sleep_and_echo_in_a_foreign_loop)
{
    echo_all(&(struct coir_sched_opts){0});
}

/* proves: E8, E9, T1 */
TEST(test_embedded_fibers_sleep_and_echo_on_a_virtual_clock)
{
    echo_all(&(struct coir_sched_opts){.clock = COIR_CLOCK_VIRTUAL});
}

/* proves: E9 */
TEST(test_embedding_descriptor_is_readable_while_there_is_something_to_do)
{
    struct fds_pair pair = fds_pipe(O_NONBLOCK);
    struct fds_waiter waiter = {.fd = pair.in, .mask = COIR_IN, .until = COIR_NEVER};
    embed(NULL);
    CHECK(!is_readable());
    CHECK_EQ(coir_spawn(&waiter.fiber, fds_wait, &waiter, NULL), 0);
    CHECK_EQ(settle(), COIR_STEP_WAITING);
    CHECK(!is_readable());
    fds_put(pair.out, "x");
    CHECK(is_readable());
    CHECK_EQ(settle(), COIR_STEP_DONE);
    CHECK(!is_readable());
    coir_sched_free(sched);
}

static int adopt_only(void *arg)
{
    return coir_adopt(*(int *)arg);
}

/* proves: E9 */
TEST(test_regress_edge_that_nobody_waits_for_keeps_a_foreign_loop_busy)
{
    struct fds_pair pair = fds_pipe(O_NONBLOCK);
    embed(NULL);
    CHECK_EQ(coir_spawn(NULL, adopt_only, &pair.in, NULL), 0);
    settle();
    fds_put(pair.out, "x");
    settle();
    CHECK(!is_readable());
    coir_sched_free(sched);
}

static coir_mailbox box;
static int calls;

static void count_call(void *arg)
{
    (void)arg;
    calls++;
}

static void *post_one(void *arg)
{
    CHECK_EQ(coir_post(box, arg), 0);
    return NULL;
}

/* proves: E9, X4 */
TEST(test_post_makes_the_descriptor_of_a_waiting_scheduler_readable)
{
    pthread_t thread;
    coir_letter letter = {.fn = count_call};
    embed(NULL);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(settle(), COIR_STEP_WAITING);
        CHECK(!is_readable());
        CHECK_EQ(pthread_create(&thread, NULL, post_one, &letter), 0);
        pthread_join(thread, NULL);
        CHECK(is_readable());
        CHECK_EQ(settle(), COIR_STEP_WAITING);
        CHECK_EQ(calls, i);
    }
    CHECK_EQ(coir_mailbox_close(box), 0);
    CHECK_EQ(settle(), COIR_STEP_DONE);
    coir_sched_free(sched);
}

/* proves: E9, X4 */
TEST(test_regress_post_after_coir_sched_deadline_does_not_wake_a_foreign_loop)
{
    pthread_t thread;
    coir_letter letter = {.fn = count_call};
    embed(NULL);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_DONE);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK(coir_left(coir_sched_deadline(sched)) > 0);
    CHECK_EQ(pthread_create(&thread, NULL, post_one, &letter), 0);
    pthread_join(thread, NULL);
    CHECK(is_readable());
    CHECK_EQ(coir_sched_deadline(sched).ns, COIR_TRY.ns);
    CHECK_EQ(settle(), COIR_STEP_WAITING);
    CHECK_EQ(calls, 1);
    coir_sched_free(sched);
}

static int park(void *arg)
{
    return coir_park(arg ? COIR_TIME_NS(2) : COIR_NEVER);
}

/* proves: E9 */
TEST(test_embedding_deadline_is_at_once_after_foreign_code_made_a_fiber_ready)
{
    coir_fiber fiber;
    coir_letter letter = {.fn = count_call};
    embed(NULL);
    CHECK(coir_sched_deadline(sched).ns == COIR_NEVER.ns);
    CHECK_EQ(coir_spawn(&fiber, park, NULL, NULL), 0);
    CHECK_EQ(coir_sched_deadline(sched).ns, COIR_TRY.ns);
    CHECK_EQ(settle(), COIR_STEP_WAITING);
    CHECK(coir_sched_deadline(sched).ns == COIR_NEVER.ns);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(coir_post(box, &letter), 0);
    CHECK_EQ(coir_sched_deadline(sched).ns, COIR_TRY.ns);
    CHECK_EQ(settle(), COIR_STEP_WAITING);
    CHECK_EQ(coir_wake(fiber), 1);
    CHECK_EQ(coir_sched_deadline(sched).ns, COIR_TRY.ns);
    CHECK_EQ(coir_mailbox_close(box), 0);
    CHECK_EQ(settle(), COIR_STEP_DONE);
    coir_sched_free(sched);
}

/* proves: D18, E9 */
TEST(test_foreign_loop_comes_back_for_the_audit_of_what_foreign_code_closed)
{
    struct fds_pair pair = fds_pipe(O_NONBLOCK);
    struct fds_waiter waiter = {.fd = pair.in, .mask = COIR_IN};
    embed(NULL);
    CHECK_EQ(coir_spawn(&waiter.fiber, fds_wait, &waiter, NULL), 0);
    CHECK_EQ(settle(), COIR_STEP_WAITING);
    coir_time audit = coir_sched_deadline(sched);
    CHECK(!cr_is_try(audit) && coir_left(audit) <= COIR_SEC(1));
    while (coir_left(audit) > 0)
        poll(NULL, 0, 20);
    CHECK_EQ(settle(), COIR_STEP_WAITING);
    CHECK(coir_sched_deadline(sched).ns == COIR_NEVER.ns);
    close(pair.in);
    settle();
    drive();
    CHECK_EQ(waiter.result, -EBADF);
    coir_sched_free(sched);
}

static int read_all(void *arg)
{
    char byte;
    while (coir_read(*(int *)arg, &byte, 1, COIR_NEVER) == 1)
        continue;
    return 0;
}

/* A foreign loop that watches by edge makes steps until WAITING, for more than a step takes in. */
static void serve_by_edge(int count, int budget)
{
    static struct fds_pair pipes[100];
    int result;
    embed(NULL);
    for (int i = 0; i < count; i++) {
        pipes[i] = fds_pipe(0);
        CHECK_EQ(coir_adopt(pipes[i].in), 0);
        CHECK_EQ(coir_spawn(NULL, read_all, &pipes[i].in, NULL), 0);
    }
    for (int round = 0; round < 3; round++) {
        while ((result = coir_sched_step(sched, budget)) == COIR_STEP_READY)
            continue;
        CHECK_EQ(result, COIR_STEP_WAITING);
        CHECK(!is_readable());
        for (int i = 0; i < count; i++) {
            CHECK_EQ(poll(&(struct pollfd){.fd = pipes[i].in, .events = POLLIN}, 1, 0), 0);
            fds_put(pipes[i].out, "x");
        }
        CHECK(is_readable());
    }
    coir_sched_free(sched);
    for (int i = 0; i < count; i++)
        fds_close(pipes[i]);
}

/* proves: E9 */
TEST(test_regress_step_waits_while_more_is_ready_than_it_took_in)
{
    serve_by_edge(100, 0);
    serve_by_edge(64, 0);
    serve_by_edge(5, 16);
    serve_by_edge(2, 1);
}

static int is_woken_early(void *arg)
{
    struct fds_pair *pair = arg;
    CHECK_EQ(coir_wait_fd(pair->in, COIR_IN, coir_after(COIR_MS(40))), COIR_IN);
    return 0;
}

static int wakes(void *arg)
{
    struct fds_pair *pair = arg;
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    fds_put(pair->out, "x");
    return 0;
}

/* proves: E9 */
TEST(test_regress_deadline_of_a_run_makes_the_embeddings_descriptor_readable_later)
{
    embed(NULL);
    struct fds_pair pair = fds_unix(SOCK_STREAM);
    CHECK_EQ(coir_spawn(NULL, is_woken_early, &pair, NULL), 0);
    CHECK_EQ(coir_spawn(NULL, wakes, &pair, NULL), 0);
    CHECK_EQ(coir_sched_run(sched), 0);
    fds_close(pair);
    CHECK_EQ(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 80), 0);
    coir_sched_free(sched);
}
