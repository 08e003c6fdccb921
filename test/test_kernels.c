/* What kernels answer differently (kqueue/kernel.h), and what coir makes the same of: each test
 * failed in at least one of them. */
#include "loops.h"

#include <coir_io.h>
#include <coir_net.h>
#include <termios.h>
#include <sys/un.h>

static char byte[] = "x";

/* ---- sending ---- */

static int64_t by_write(int fd, coir_time until)
{
    return coir_write(fd, "x", 1, until);
}

static int64_t by_write_all(int fd, coir_time until)
{
    return coir_write_all(fd, "x", 1, NULL, until);
}

static int64_t by_writev(int fd, coir_time until)
{
    struct iovec part = {byte, 1};
    return coir_writev(fd, &part, 1, until);
}

static int64_t by_send(int fd, coir_time until)
{
    return coir_send(fd, "x", 1, 0, until);
}

static int64_t by_sendto(int fd, coir_time until)
{
    return coir_sendto(fd, "x", 1, 0, NULL, 0, until);
}

static int64_t by_sendmsg(int fd, coir_time until)
{
    struct iovec part = {byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return coir_sendmsg(fd, &message, 0, until);
}

/* A foreign socket that is in blocking mode, and full. */
static int send_without_room(void *arg)
{
    static int64_t (*const SENDS[])(int fd, coir_time until) = {
        by_write, by_write_all, by_writev, by_send, by_sendto, by_sendmsg};
    struct fds_pair pair = fds_unix(SOCK_STREAM);
    (void)arg;
    fds_fill(pair.out);
    int flags = fcntl(pair.out, F_GETFL);
    CHECK_EQ(fcntl(pair.out, F_SETFL, flags & ~O_NONBLOCK), 0);
    for (size_t i = 0; i < sizeof SENDS / sizeof *SENDS; i++) {
        CHECK_EQ(SENDS[i](pair.out, COIR_TRY), COIR_TIMED_OUT);
        CHECK_EQ(SENDS[i](pair.out, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    }
    CHECK_EQ(fcntl(pair.out, F_GETFL) & O_NONBLOCK, 0);
    fds_drain(pair.in);
    for (size_t i = 0; i < sizeof SENDS / sizeof *SENDS; i++)
        CHECK(SENDS[i](pair.out, COIR_NEVER) >= 0);
    fds_close(pair);
    return 0;
}

/* macOS and NetBSD: MSG_DONTWAIT means receiving. proves: D6, D14 */
TEST(test_regress_a_send_on_a_blocking_socket_of_others_held_up_the_thread)
{
    run_virtual(send_without_room, NULL);
}

static int drain_later(void *arg)
{
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    fds_drain(*(int *)arg);
    return 0;
}

static int write_to_full_datagrams(void *arg)
{
    int fds[2];
    size_t done;
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    ssize_t result = 1;
    while (result == 1)
        result = coir_write(fds[1], "x", 1, COIR_TRY);
    CHECK_EQ(result, COIR_TIMED_OUT);
    CHECK_EQ(coir_write(fds[1], "x", 1, coir_after(COIR_MS(3))), COIR_TIMED_OUT);
    CHECK_EQ(coir_write_all(fds[1], "x", 1, &done, coir_after(COIR_MS(3))), COIR_TIMED_OUT);
    coir_fiber drains = run_spawn(drain_later, &fds[0]);
    CHECK_EQ(coir_write(fds[1], "x", 1, COIR_NEVER), 1);
    CHECK_EQ(coir_write_all(fds[1], "x", 1, &done, COIR_NEVER), 0);
    CHECK_EQ(run_join(drains), 0);
    CHECK_EQ(coir_close(fds[0]), 0);
    return arg ? 1 : coir_close(fds[1]);
}

/* All but Linux: ENOBUFS. proves: D12, T4 */
TEST(test_regress_a_write_to_a_full_datagram_socket_failed_on_the_fast_path)
{
    run_monotonic(write_to_full_datagrams, NULL);
}

/* ---- listening ---- */

static int accept_one(void *arg)
{
    coir_time until = coir_after(COIR_SEC(5));
    int fd = coir_accept(*(int *)arg, NULL, NULL, until);
    CHECK(coir_left(until) > 0);
    return fd < 0 ? fd : coir_close(fd);
}

static int listen_after_a_wait(void *arg)
{
    struct sockaddr_in there = {.sin_family = AF_INET};
    socklen_t size = sizeof there;
    bool foreign = arg;
    int fd = foreign ? socket(AF_INET, SOCK_STREAM, 0) : coir_socket(AF_INET, SOCK_STREAM, 0);
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(fd, (struct sockaddr *)&there, sizeof there), 0);
    if (foreign)
        CHECK_EQ(coir_adopt(fd), 0);
    coir_wait_fd(fd, COIR_IN, coir_after(COIR_MS(1)));
    CHECK_EQ(coir_listen(fd, 5), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&there, &size), 0);
    coir_fiber fiber = run_spawn(accept_one, &fd);
    fds_until_parked(fiber);
    int client = fds_connect(&there);
    CHECK_EQ(run_join(fiber), 0);
    close(client);
    return coir_close(fd);
}

/* NetBSD: what was registered before listen hears of no connection. proves: D1, D2 */
TEST(test_regress_a_socket_that_was_waited_for_before_it_listened_was_deaf)
{
    run_monotonic(listen_after_a_wait, NULL);
    run_monotonic(listen_after_a_wait, (void *)1);
}

/* ---- ends ---- */

/* All but Linux: EV_EOF of what one has shut oneself. proves: P4 */
TEST(test_regress_a_loop_told_a_hang_up_after_its_own_shutdown)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        if (!loops_tells_ends())
            continue;
        struct fds_pair pairs[] = {fds_tcp(), fds_unix(SOCK_STREAM)};
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(coir_loop_add_write(loop, pairs[i].in, NULL), 0);
            CHECK_EQ(shutdown(pairs[i].in, SHUT_WR), 0);
            CHECK_EQ(loops_soon(loop), 1);
            CHECK_EQ(loops_flags(pairs[i].in, COIR_OUT), COIR_OUT);
            CHECK_EQ(shutdown(pairs[i].out, SHUT_WR), 0);
            while (loops_soon(loop) == 1 && loops_flags(pairs[i].in, COIR_OUT) == COIR_OUT)
                continue;
            CHECK_EQ(loops_flags(pairs[i].in, COIR_OUT) & ~COIR_ERR, COIR_OUT | COIR_HUP);
            CHECK_EQ(coir_loop_del_write(loop, pairs[i].in), 0);
            fds_close(pairs[i]);
        }
    }
}

static void expect_broken(coir_loop *loop, const struct fds_pair *pipe, bool reads)
{
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(loops_soon(loop), reads ? 2 : 1);
        CHECK_EQ(loops_flags(pipe->out, COIR_OUT), COIR_OUT | COIR_ERR);
    }
}

/* FreeBSD forgets that it was asked of a pipe without a reader, and refuses to be asked, as NetBSD
 * does. proves: P1, P4 */
TEST(test_regress_a_loop_forgot_a_pipe_whose_reader_is_gone)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        for (int when = 0; when < 4; when++) {
            struct fds_pair pipe = fds_pipe(O_NONBLOCK);
            if (when == 0)
                CHECK_EQ(coir_loop_add_write(loop, pipe.out, NULL), 0);
            if (when == 0)
                CHECK_EQ(loops_soon(loop), 1);
            close(pipe.in);
            if (when == 1)
                CHECK_EQ(coir_loop_add_read(loop, pipe.out, NULL), 0);
            if (when > 0)
                CHECK_EQ(coir_loop_add_write(loop, pipe.out, NULL), 0);
            if (when == 2)
                CHECK_EQ(coir_loop_add_read(loop, pipe.out, NULL), 0);
            expect_broken(loop, &pipe, when == 1 || when == 2);
            if (when == 1 || when == 2)
                CHECK_EQ(coir_loop_del_read(loop, pipe.out), 0);
            expect_broken(loop, &pipe, false);
            CHECK_EQ(coir_loop_del_write(loop, pipe.out), 0);
            CHECK_EQ(loops_now(loop), 0);
            close(pipe.out);
        }
    }
}

#ifdef COIR_KQUEUE
/* Older kernels refuse the wrong end of a pipe, which has nothing to report then. proves: P1 */
TEST(test_a_loop_watches_a_pipe_whose_wrong_direction_is_refused)
{
    coir_loop *loop;
    kernel->wrong_end = EBADF;
    while (loops_next(&loop)) {
        struct fds_pair pipe = fds_pipe(O_NONBLOCK);
        CHECK_EQ(coir_loop_add_read(loop, pipe.in, NULL), 0);
        CHECK_EQ(coir_loop_add_write(loop, pipe.in, NULL), 0);
        CHECK_EQ(loops_now(loop), 0);
        fds_put(pipe.out, "x");
        CHECK_EQ(loops_soon(loop), 1);
        CHECK_EQ(loops_flags(pipe.in, COIR_IN), COIR_IN);
        fds_close(pipe);
    }
}
#endif

static int fill_and_wait(void *arg)
{
    struct fds_pair terminal = fds_terminal();
    struct termios raw;
    (void)arg;
    CHECK_EQ(tcgetattr(terminal.in, &raw), 0);
    raw.c_oflag &= (tcflag_t)~OPOST;
    CHECK_EQ(tcsetattr(terminal.in, TCSANOW, &raw), 0);
    CHECK_EQ(coir_adopt(terminal.in), 0);
    CHECK_EQ(coir_wait_fd(terminal.in, COIR_OUT, COIR_TRY), COIR_OUT);
    fds_fill(terminal.in);
    coir_fiber drains = run_spawn(drain_later, &terminal.out);
    coir_time until = coir_after(COIR_SEC(5));
    CHECK_EQ(coir_wait_fd(terminal.in, COIR_OUT, until), COIR_OUT);
    CHECK(coir_left(until) > 0); /* not by its last try */
    CHECK_EQ(run_join(drains), 0);
    CHECK_EQ(coir_close(terminal.in), 0);
    close(terminal.out);
    return 0;
}

/* A device that asks for a byte's room. proves: D1 */
TEST(test_a_terminal_that_was_full_can_be_written)
{
    run_monotonic(fill_and_wait, NULL);
}

static int shut_and_ask(void *arg)
{
    struct fds_pair pair = fds_unix(SOCK_STREAM);
    (void)arg;
    CHECK_EQ(shutdown(pair.in, SHUT_WR), 0);
    for (int owned = 0; owned < 2; owned++) {
        if (owned)
            CHECK_EQ(coir_adopt(pair.in), 0);
        CHECK_EQ(coir_wait_fd(pair.in, COIR_OUT, coir_after(COIR_SEC(1))), COIR_OUT);
        CHECK_EQ(coir_wait_fd(pair.in, COIR_IN, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
        CHECK_EQ(coir_wait_fd(pair.in, COIR_HUP, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    }
    CHECK_EQ(coir_close(pair.in), 0);
    close(pair.out);
    return 0;
}

/* proves: D2, D4 */
TEST(test_ones_own_shutdown_is_no_hang_up)
{
    if (strcmp(test_world_name(), "poll") == 0 && kernel->hup == HUP_ANY)
        SKIP("this kernel's poll calls it one");
    run_monotonic(shut_and_ask, NULL);
}

static int call_without_parts(void *arg)
{
    struct fds_pair pair = fds_unix(SOCK_STREAM), pipe = fds_pipe(0);
    struct iovec part = {byte, 1};
    int closed = dup(0);
    (void)arg;
    close(closed);
    CHECK_EQ(coir_writev(pair.in, &part, 0, COIR_NEVER), 0);
    CHECK_EQ(coir_writev(pair.in, NULL, 0, COIR_NEVER), 0);
    CHECK_EQ(coir_readv(pair.in, &part, 0, COIR_NEVER), 0);
    CHECK_EQ(coir_writev(pipe.out, NULL, 0, COIR_NEVER), 0);
    CHECK_EQ(coir_readv(pipe.in, NULL, 0, COIR_NEVER), 0);
    CHECK_EQ(coir_writev(pipe.in, NULL, 0, COIR_NEVER), -EBADF);
    CHECK_EQ(coir_readv(pipe.out, NULL, 0, COIR_NEVER), -EBADF);
    CHECK_EQ(coir_writev(closed, NULL, 0, COIR_NEVER), -EBADF);
    fds_close(pair);
    fds_close(pipe);
    return 0;
}

/* All but FreeBSD and Linux refuse them. proves: D17 */
TEST(test_regress_a_call_of_no_parts_was_refused)
{
    run_virtual(call_without_parts, NULL);
}
