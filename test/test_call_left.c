/* What one call leaves behind for the next: what it has learned must not keep another one from what
 * could be done at once, nor from its wake. */
#include "fds.h"

#include <coir_io.h>
#include <coir_net.h>
#include <sys/stat.h>

static struct fds_pair pair;
static int64_t results[2];

static int reads(void *arg)
{
    int64_t *result = arg;
    char byte;
    coir_read(pair.in, &byte, 1, COIR_TRY); /* so that the next one may take the fast path */
    *result = coir_read(pair.in, &byte, 1, coir_after(COIR_SEC(2)));
    return 0;
}

/* ---- for others that wait ---- */

static int cancelled_at_the_end(void *arg)
{
    const char *path = test_path("fifo");
    coir_fiber fibers[2];
    CHECK_EQ(mkfifo(path, 0600), 0);
    pair.in = open(path, O_RDONLY | O_NONBLOCK);
    pair.out = open(path, O_WRONLY);
    CHECK(pair.in >= 0 && pair.out >= 0 && unlink(path) == 0);
    if (*(bool *)arg)
        CHECK_EQ(coir_adopt(pair.in), 0);
    for (int i = 0; i < 2; i++) {
        fibers[i] = run_spawn(reads, &results[i]);
        CHECK_EQ(coir_sleep(10), 0);
    }
    close(pair.out);
    fds_until_woken(fibers[0]);
    CHECK_EQ(coir_cancel(fibers[0], COIR_CANCELLED), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_join(fibers[i], NULL, coir_after(COIR_MS(1))), 0);
    CHECK(results[0] == 0 || results[0] == COIR_CANCELLED);
    CHECK_EQ(results[1], 0);
    return coir_close(pair.in);
}

/* proves: D1, D2 */
TEST(test_regress_reader_that_is_cancelled_with_the_end_of_a_fifo_keeps_it_from_the_next)
{
    for (int owned = 0; owned < 2; owned++)
        run_virtual(cancelled_at_the_end, &(bool){owned});
}

#ifdef MSG_ERRQUEUE
static int wants_errors(void *arg)
{
    char byte;
    (void)arg;
    return (int)coir_recv(pair.in, &byte, 1, MSG_ERRQUEUE, coir_after(COIR_MS(5)));
}

/* A foreign number is another file's when a call with flags begins to wait for it. */
static int aside_of_a_lost_file(void *arg)
{
    struct fds_pair next = fds_tcp();
    char byte;
    pair = fds_unix(SOCK_DGRAM);
    coir_fiber old = run_spawn(reads, &results[0]);
    CHECK_EQ(coir_sleep(10), 0);
    CHECK_EQ(dup2(next.in, pair.in), pair.in);
    CHECK_EQ(coir_recv(pair.in, &byte, 1, MSG_PEEK, coir_after(10)), COIR_TIMED_OUT);
    CHECK_EQ(run_join(old), 0);
    CHECK_EQ(inside_fd(pair.in)->asides, 0);
    coir_fiber aside = run_spawn(wants_errors, NULL);
    CHECK_EQ(coir_sleep(10), 0);
    coir_fiber reader = run_spawn(reads, &results[1]);
    CHECK_EQ(coir_sleep(10), 0);
    fds_put(next.out, "x");
    CHECK_EQ(coir_join(reader, NULL, coir_after(COIR_MS(1))), 0);
    CHECK_EQ(results[1], 1);
    CHECK_EQ(run_join(aside), COIR_TIMED_OUT);
    fds_check_nothing_left(pair.in);
    close(pair.out);
    fds_close(next);
    CHECK_EQ(coir_close(pair.in), 0);
    return arg ? 1 : 0;
}

/* proves: D1, D16 */
TEST(test_regress_call_with_flags_on_a_lost_file_is_counted_less_than_never)
{
    run_virtual(aside_of_a_lost_file, NULL);
}
#endif

/* ---- what could be done at once ---- */

static int sends_by_name(void *arg)
{
    const struct sockaddr_un *name = arg;
    return (int)coir_sendto(pair.in, "x", 1, 0, (const struct sockaddr *)name, sizeof *name,
                            coir_after(COIR_SEC(2)));
}

static int plain_beside_named(void *arg)
{
    struct sockaddr_un full = fds_name("full");
    int peer = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_EQ(bind(peer, (struct sockaddr *)&full, sizeof full), 0);
    pair = fds_unix(SOCK_DGRAM);
    while (sendto(pair.in, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&full, sizeof full) > 0)
        continue;
    CHECK_EQ(coir_adopt(pair.in), 0);
    coir_fiber named = run_spawn(sends_by_name, &full);
    CHECK_EQ(coir_sleep(COIR_MS(20)), 0);
    uint64_t begun = now_ns();
    CHECK_EQ(coir_send(pair.in, "y", 1, 0, coir_after(COIR_SEC(1))), 1);
    CHECK_EQ(now_ns(), begun);
    CHECK_EQ(coir_cancel(named, COIR_CANCELLED), 0);
    coir_join(named, NULL, COIR_NEVER);
    close(peer);
    close(pair.out);
    CHECK_EQ(coir_close(pair.in), 0);
    return arg ? 1 : 0;
}

/* proves: T4 */
TEST(test_regress_full_queue_of_one_peer_keeps_what_is_for_another)
{
    run_virtual(plain_beside_named, NULL);
}

/* Whether poll tells of little room or not. */
static int smaller_writes(void *arg)
{
    char byte = 'x';
    pair = fds_unix(SOCK_STREAM);
    CHECK_EQ(coir_adopt(pair.in), 0);
    fds_fill(pair.in);
    for (int taken = 0; taken < 4096; taken++)
        CHECK_EQ(read(pair.out, &byte, 1), 1);
    uint64_t begun = now_ns();
    int ready = coir_wait_fd(pair.in, COIR_OUT, coir_after(10));
    CHECK(ready == COIR_OUT || ready == COIR_TIMED_OUT);
    begun = now_ns();
    bool fits = send(pair.in, &byte, 1, MSG_DONTWAIT) == 1;
    CHECK_EQ(coir_write(pair.in, &byte, 1, coir_after(10)), fits ? 1 : COIR_TIMED_OUT);
    CHECK(!fits || now_ns() == begun);
    close(pair.out);
    CHECK_EQ(coir_close(pair.in), 0);
    return arg ? 1 : 0;
}

/* proves: T4 */
TEST(test_regress_write_that_fits_is_not_tried_after_one_that_did_not)
{
    run_virtual(smaller_writes, NULL);
}

static int urgent(void *arg)
{
    char byte = 0;
    pair = fds_tcp();
    if (*(bool *)arg)
        CHECK_EQ(coir_adopt(pair.in), 0);
    CHECK_EQ(coir_read(pair.in, &byte, 1, coir_after(10)), COIR_TIMED_OUT);
    CHECK_EQ(send(pair.out, "!", 1, MSG_OOB), 1);
    CHECK_EQ(coir_sleep(COIR_MS(20)), 0);
    uint64_t begun = now_ns();
    CHECK_EQ(coir_recv(pair.in, &byte, 1, MSG_OOB, coir_after(COIR_SEC(5))), 1);
    CHECK(now_ns() - begun < (uint64_t)COIR_SEC(2));
    CHECK_EQ(byte, '!');
    close(pair.out);
    return coir_close(pair.in);
}

/* proves: T4 */
TEST(test_regress_urgent_byte_that_is_there_is_not_tried)
{
    for (int owned = 0; owned < 2; owned++)
        run_monotonic(urgent, &(bool){owned});
}

static int nothing_with_flags(void *arg)
{
    struct msghdr message = {0};
    char byte;
    pair = fds_tcp();
    if (*(bool *)arg)
        CHECK_EQ(coir_adopt(pair.in) | coir_adopt(pair.out), 0);
    CHECK_EQ(coir_read(pair.in, &byte, 1, coir_after(10)), COIR_TIMED_OUT);
    uint64_t begun = now_ns();
    CHECK_EQ(coir_recv(pair.in, &byte, 0, MSG_PEEK, COIR_NEVER), 0);
    CHECK_EQ(coir_recv(pair.in, &byte, 0, MSG_DONTWAIT, COIR_NEVER), 0);
    fds_fill(pair.out);
    CHECK_EQ(coir_send(pair.out, &byte, 0, MSG_NOSIGNAL, COIR_NEVER), 0);
    CHECK_EQ(coir_sendmsg(pair.out, &message, MSG_NOSIGNAL, COIR_NEVER), 0);
    CHECK_EQ(now_ns(), begun);
    return coir_close(pair.in) | coir_close(pair.out);
}

/* proves: D17 */
TEST(test_regress_no_bytes_with_flags_wait)
{
    for (int owned = 0; owned < 2; owned++)
        run_virtual(nothing_with_flags, &(bool){owned});
}

/* A call that readiness has fooled again and again still sees what comes. */
static int lies; /* how often a read still says that nothing is there */
static const struct cr_world_ops *real;
static struct cr_world_ops ops;

static int64_t lies_at_first(struct cr_world *world, struct cr_op *op)
{
    return op->kind == CR_OP_READ && lies-- > 0 ? -EAGAIN : real->start(world, op);
}

static int writes_later(void *arg)
{
    CHECK_EQ(coir_sleep(COIR_MS(100)), 0);
    fds_drain(pair.in);
    CHECK_EQ(coir_sleep(COIR_MS(100)), 0);
    fds_put(pair.out, "x");
    return arg ? 1 : 0;
}

static int fooled_for_a_while(void *arg)
{
    char byte;
    pair = fds_unix(SOCK_STREAM);
    if (*(bool *)arg)
        CHECK_EQ(coir_adopt(pair.in), 0);
    fds_put(pair.out, "y"); /* taken by somebody else, in the end */
    real = inside_replace_ops(&ops);
    ops.start = lies_at_first;
    lies = 1000000;
    coir_fiber writer = run_spawn(writes_later, NULL);
    CHECK_EQ(coir_read(pair.in, &byte, 1, coir_after(COIR_MS(150))), COIR_TIMED_OUT);
    lies = 0;
    uint64_t begun = now_ns();
    CHECK_EQ(coir_read(pair.in, &byte, 1, coir_after(COIR_SEC(5))), 1);
    CHECK(now_ns() - begun < (uint64_t)COIR_SEC(1));
    CHECK_EQ(run_join(writer), 0);
    /* and within one call, where there are no edges to wait for */
    fds_put(pair.out, "y");
    lies = inside_world()->edges ? 0 : 6;
    begun = now_ns();
    CHECK_EQ(coir_read(pair.in, &byte, 1, coir_after(COIR_SEC(5))), 1);
    CHECK(now_ns() - begun < (uint64_t)COIR_SEC(1));
    inside_restore_ops(real);
    close(pair.out);
    return coir_close(pair.in);
}

/* proves: D1, D12 */
TEST(test_regress_call_that_was_fooled_asks_no_more)
{
    for (int owned = 0; owned < 2; owned++)
        run_monotonic(fooled_for_a_while, &(bool){owned});
}

static int puts_another_there(void *arg)
{
    int *fds = arg;
    CHECK_EQ(dup2(fds[1], fds[0]), fds[0]);
    return 0;
}

/* To a short name (shorter than a sockaddr), whose queue is full; and the number is another file's
 * when a pause is over. */
static int pauses(void *arg)
{
    struct sockaddr_un full = {.sun_family = AF_UNIX, .sun_path = ""};
    struct fds_pair next = fds_unix(SOCK_DGRAM);
    snprintf(full.sun_path + 1, sizeof full.sun_path - 1, "left%d", (int)getpid() % 1000);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                                 strlen(full.sun_path + 1));
    int peer = socket(AF_UNIX, SOCK_DGRAM, 0), fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_EQ(bind(peer, (struct sockaddr *)&full, size), 0);
    CHECK_EQ(coir_adopt(fd), 0);
    while (sendto(fd, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&full, size) > 0)
        continue;
    uint64_t begun = now_ns();
    CHECK_EQ(coir_sendto(fd, "x", 1, 0, (struct sockaddr *)&full, size, coir_after(COIR_MS(50))),
             COIR_TIMED_OUT);
    CHECK_EQ(now_ns() - begun, COIR_MS(50));
    int fds[2] = {fd, next.in};
    run_spawn(puts_another_there, fds);
    int64_t result = coir_sendto(fd, "x", 1, 0, (struct sockaddr *)&full, size,
                                 coir_after(COIR_MS(50)));
    CHECK(result == -EBADF || strcmp(test_world_name(), "poll") == 0);
    close(peer);
    fds_close(next);
    CHECK_EQ(coir_close(fd), 0);
    return arg ? 1 : 0;
}

/* proves: T7, D20 */
TEST(test_regress_short_name_of_a_unix_socket_is_sent_to_again_and_again)
{
    run_virtual(pauses, NULL);
}

/* ---- what is over ---- */

static int waits_for_in(void *arg)
{
    return coir_wait_fd(*(int *)arg, COIR_IN, coir_after(COIR_SEC(5)));
}

/* A TCP socket is hung up until it listens. */
static int listens_later(void *arg)
{
    struct sockaddr_in there = {.sin_family = AF_INET};
    socklen_t size = sizeof there;
    int listener = coir_socket(AF_INET, SOCK_STREAM, 0), result;
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(coir_bind(listener, (struct sockaddr *)&there, size), 0);
    CHECK_EQ(coir_adopt(listener), 0);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK(coir_wait_fd(listener, COIR_IN, coir_after(COIR_MS(20))) != 0);
    CHECK_EQ(coir_listen(listener, 1), 0);
    CHECK_EQ(coir_getsockname(listener, (struct sockaddr *)&there, &size), 0);
    coir_fiber waiter = run_spawn(waits_for_in, &listener);
    fds_until_parked(waiter);
    int client = fds_connect(&there);
    CHECK_EQ(coir_join(waiter, &result, COIR_NEVER), 0);
    CHECK_EQ(result, COIR_IN);
    close(client);
    CHECK_EQ(coir_close(listener), 0);
    return arg ? 1 : 0;
}

/* proves: D4 */
TEST(test_regress_hang_up_from_before_a_listen_is_reported_with_the_first_connection)
{
    run_monotonic(listens_later, NULL);
}

/* ---- a handler that backs off ---- */

static int listener_fd;

static int64_t never_reads(struct cr_world *world, struct cr_op *op)
{
    return op->kind == CR_OP_READ ? -EAGAIN : real->start(world, op);
}

static int awaits(int fd, void *arg)
{
    char byte;
    (void)arg;
    results[0] = coir_net_await(fd, &byte, 1, COIR_NEVER);
    return 0;
}

static int serves(void *arg)
{
    return coir_net_serve(listener_fd, awaits, arg,
                          &(struct coir_serve_opts){.grace_ns = COIR_SEC(100)});
}

static int ends_beside_a_back_off(void *arg)
{
    struct sockaddr_in there;
    listener_fd = fds_listen(&there, 1);
    coir_fiber server = run_spawn(serves, NULL);
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    real = inside_replace_ops(&ops);
    ops.start = never_reads;
    results[0] = -1;
    int client = fds_connect(&there), result;
    fds_put(client, "x"); /* ready, and never read */
    CHECK_EQ(coir_sleep(COIR_MS(50)), 0);
    CHECK_EQ(results[0], -1);
    CHECK_EQ(coir_close(listener_fd), 0);
    CHECK_EQ(coir_join(server, &result, coir_after(COIR_SEC(2))), 0);
    CHECK_EQ(results[0], 0);
    inside_restore_ops(real);
    close(client);
    return arg ? 1 : 0;
}

/* proves: N12 */
TEST(test_regress_handler_that_backs_off_is_not_ended_by_its_server)
{
    run_monotonic(ends_beside_a_back_off, NULL);
}

/* ---- what a connection costs ---- */

static struct cr_world_ops counting;
static const struct cr_world_ops *asked_of;
static int asked;

static bool counts_lost(struct cr_world *world, int fd, uint64_t token)
{
    asked++;
    return asked_of->lost(world, fd, token);
}

static int answers_once(void *arg)
{
    char byte;
    (void)arg;
    CHECK_EQ(coir_read(pair.in, &byte, 1, COIR_NEVER), 1);
    CHECK_EQ(coir_write(pair.in, &byte, 1, COIR_NEVER), 1);
    return 0;
}

static int first_answer(void *arg)
{
    pair = fds_unix(SOCK_STREAM);
    CHECK_EQ(coir_adopt(pair.in), 0);
    asked_of = inside_replace_ops(&counting), counting.lost = counts_lost;
    coir_fiber fiber = run_spawn(answers_once, NULL);
    fds_until_parked(fiber);
    asked = 0;
    fds_put(pair.out, "x");
    CHECK_EQ(run_join(fiber), 0);
    CHECK_EQ(asked, 0); /* but another one has to ask */
    CHECK_EQ(coir_write(pair.in, "x", 1, COIR_NEVER), 1);
    CHECK_EQ(asked, 1);
    inside_restore_ops(asked_of);
    close(pair.out);
    return coir_close(pair.in) + (arg ? 1 : 0);
}

/* proves: D20 */
TEST(test_regress_only_fiber_of_a_descriptor_asks_who_it_is)
{
    run_virtual(first_answer, NULL);
}
