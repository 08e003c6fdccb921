/* The calls of coir_io.h where several fibers, a refusal or a full queue come between. */
#include "fds.h"
#include "clock.h"

#include <coir_io.h>
#include <time.h>

static struct sockaddr_un full;

static int must(int result)
{
    CHECK(result >= 0);
    return result;
}

static int connect_to(int fd, const struct sockaddr_un *name, coir_time until)
{
    return coir_connect(fd, (const struct sockaddr *)name, sizeof *name, until);
}

static int raise_flag(void *arg)
{
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    *(bool *)arg = true;
    return 0;
}

static int refused_connect(int fd)
{
    struct sockaddr_un nobody = fds_name("nobody");
    return connect_to(fd, &nobody, COIR_NEVER);
}

static int bad_connect(int fd)
{
    struct sockaddr_un nobody = fds_name("nobody");
    (void)fd;
    return connect_to(-1, &nobody, COIR_NEVER);
}

static int bad_accept(int fd)
{
    (void)fd;
    return coir_accept(-1, NULL, NULL, COIR_NEVER);
}

static int bad_read(int fd)
{
    char byte;
    (void)fd;
    return (int)coir_read(-1, &byte, 1, COIR_NEVER);
}

static int bad_wait(int fd)
{
    (void)fd;
    return coir_wait_fd(-1, COIR_IN, COIR_NEVER);
}

static int fail_and_fail(void *arg)
{
    static int (*const CALLS[])(int fd) = {refused_connect, bad_connect, bad_accept, bad_read,
                                           bad_wait};
    int fd = must(coir_socket(AF_UNIX, SOCK_STREAM, 0));
    for (size_t i = 0; i < sizeof CALLS / sizeof *CALLS; i++) {
        bool flag = false;
        coir_fiber other = run_spawn(raise_flag, &flag);
        for (int j = 0; j < 1000 * 1000 && !flag; j++)
            CHECK(CALLS[i](fd) < 0);
        CHECK(flag);
        CHECK_EQ(run_join(other), 0);
    }
    CHECK_EQ(coir_cancel(coir_self(), COIR_CANCELLED), 0);
    for (size_t i = 0; i < sizeof CALLS / sizeof *CALLS; i++)
        CHECK_EQ(CALLS[i](fd), COIR_CANCELLED);
    (void)arg;
    return coir_close(fd);
}

/* proves: O3, C1 */
TEST(test_regress_a_call_that_fails_in_a_loop_stops_all_others)
{
    run_monotonic(fail_and_fail, NULL);
}

struct dial {
    int fd;
    struct sockaddr_in addr;
};

static int dial(void *arg)
{
    struct dial *to = arg;
    return coir_connect(to->fd, (struct sockaddr *)&to->addr, sizeof to->addr,
                        coir_after(COIR_SEC(2)));
}

/* A listener whose queue is full answers nobody; a shutdown ends the connect. */
static int share_a_connect(void *arg)
{
    struct dial to;
    int listener = fds_listen(&to.addr, 0), queued[16], count = 0, result = 0;
    (void)arg;
    for (; result == 0 && count < 16; count++) {
        queued[count] = to.fd = must(coir_socket(AF_INET, SOCK_STREAM, 0));
        result = coir_connect(to.fd, (struct sockaddr *)&to.addr, sizeof to.addr,
                              coir_after(COIR_MS(20)));
    }
    CHECK_EQ(result, COIR_TIMED_OUT);
    coir_fiber first = run_spawn(dial, &to), second = run_spawn(dial, &to);
    fds_until_parked(first);
    fds_until_parked(second);
    coir_shutdown(to.fd, SHUT_RDWR);
    CHECK_EQ(run_join(first), -ECONNRESET);
    CHECK_EQ(run_join(second), -ECONNABORTED);
    while (count-- > 0)
        CHECK_EQ(coir_close(queued[count]), 0);
    return coir_close(listener);
}

/* proves: D14 */
TEST(test_regress_the_second_of_two_in_a_connect_that_fails_never_wakes)
{
    run_monotonic(share_a_connect, NULL);
}

static int dial_unix(void *arg)
{
    return connect_to(*(int *)arg, &full, COIR_NEVER);
}

static int close_in_a_pause(void *arg)
{
    int listener = must(coir_socket(AF_UNIX, SOCK_STREAM, 0));
    int queued = must(coir_socket(AF_UNIX, SOCK_STREAM, 0));
    int fd = must(coir_socket(AF_UNIX, SOCK_STREAM, 0));
    (void)arg;
    full = fds_name("full");
    CHECK_EQ(coir_bind(listener, (struct sockaddr *)&full, sizeof full), 0);
    CHECK_EQ(coir_listen(listener, 0), 0);
    CHECK_EQ(connect_to(queued, &full, COIR_NEVER), 0);
    coir_fiber fiber = run_spawn(dial_unix, &fd);
    fds_until_parked(fiber);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(coir_socket(AF_UNIX, SOCK_STREAM, 0), fd);
    CHECK_EQ(coir_close(must(coir_accept(listener, NULL, NULL, COIR_NEVER))), 0);
    CHECK_EQ(run_join(fiber), kernel->full_path_refuses ? -ECONNREFUSED : -EBADF);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(coir_close(queued), 0);
    return coir_close(listener);
}

/* proves: D5, D14 */
TEST(test_regress_a_connect_to_a_full_queue_goes_on_with_the_next_file)
{
    run_monotonic(close_in_a_pause, NULL);
}

static int hang_up_before(void *arg)
{
    struct sockaddr_in addr;
    int listener = fds_listen(&addr, 1), fd = socket(AF_INET, SOCK_STREAM, 0);
    (void)arg;
    CHECK_EQ(coir_adopt(fd), 0);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0); /* the loop hears that it is not connected */
    CHECK_EQ(coir_connect(fd, (struct sockaddr *)&addr, sizeof addr, COIR_NEVER), 0);
    int server = must(coir_accept(listener, NULL, NULL, COIR_NEVER));
    struct fds_waiter wait = {.fd = fd, .mask = COIR_IN};
    coir_fiber fiber = run_spawn(fds_wait, &wait);
    fds_until_parked(fiber);
    CHECK_EQ(coir_write(server, "x", 1, COIR_NEVER), 1);
    CHECK_EQ(run_join(fiber), COIR_IN);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(coir_close(server), 0);
    return coir_close(listener);
}

/* proves: D2, D4 */
TEST(test_regress_a_hang_up_before_the_connect_is_told_after_it)
{
    run_monotonic(hang_up_before, NULL);
}

static int parts(void *arg)
{
    char first[] = "abcd", second[] = "efg", got[16];
    struct iovec out[] = {{first, 4}, {second, 3}};
    struct fds_pair socks = fds_unix(SOCK_DGRAM), pipe = fds_pipe(0);
    (void)arg;
    CHECK_EQ(coir_writev(socks.out, out, 2, COIR_NEVER), 7);
    CHECK_EQ(coir_read(socks.in, got, sizeof got, COIR_NEVER), 7);
    if (!getenv("COIR_TEST_VALGRIND")) /* which objects to the pointer itself */
        CHECK_EQ(coir_writev(pipe.out, NULL, 2, COIR_NEVER), -EFAULT);
    CHECK_EQ(coir_writev(pipe.out, out, 2, COIR_NEVER), 4);
    fds_close(socks);
    fds_close(pipe);
    return 0;
}

/* proves: D9, D14, D17 */
TEST(test_regress_a_foreign_datagram_of_parts_is_sent_in_pieces)
{
    run_monotonic(parts, NULL);
}

#ifdef MSG_ERRQUEUE
static int look_aside(void *arg)
{
    char text[8];
    int fds[2];
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof addr;
    (void)arg;
    for (int i = 0; i < 2; i++)
        fds[i] = must(coir_socket(AF_INET, SOCK_DGRAM, 0));
    CHECK_EQ(coir_bind(fds[0], (struct sockaddr *)&addr, sizeof addr), 0);
    CHECK_EQ(coir_getsockname(fds[0], (struct sockaddr *)&addr, &size), 0);
    CHECK_EQ(coir_recv(fds[0], text, 8, 0, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    CHECK_EQ(coir_sendto(fds[1], "abc", 3, 0, (struct sockaddr *)&addr, size, COIR_NEVER), 3);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_recv(fds[0], text, 8, MSG_ERRQUEUE, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_recv(fds[0], text, 8, 0, coir_after(COIR_SEC(1))), 3);
    CHECK_EQ(coir_close(fds[1]), 0);
    return coir_close(fds[0]);
}

/* proves: D7, D14 */
TEST(test_regress_what_has_come_is_forgotten_by_a_look_at_the_error_queue)
{
    run_monotonic(look_aside, NULL);
}
#endif

static int send_by_name(void *arg)
{
    return (int)coir_sendto(*(int *)arg, "x", 1, 0, (struct sockaddr *)&full, sizeof full,
                            coir_after(COIR_SEC(1)));
}

static int full_datagrams(void *arg)
{
    char byte;
    int receiver = must(coir_socket(AF_UNIX, SOCK_DGRAM, 0));
    int filler = must(coir_socket(AF_UNIX, SOCK_DGRAM, 0));
    int sender = must(coir_socket(AF_UNIX, SOCK_DGRAM, 0));
    (void)arg;
    full = fds_name("full");
    CHECK_EQ(coir_bind(receiver, (struct sockaddr *)&full, sizeof full), 0);
    while (sendto(filler, "x", 1, 0, (struct sockaddr *)&full, sizeof full) == 1)
        continue;
    coir_fiber fiber = run_spawn(send_by_name, &sender);
    fds_until_parked(fiber);
    clock_t used = CLOCKS_PER_SEC;
    for (int i = 0; i < TEST_TRIES && used >= CLOCKS_PER_SEC / 20; i++) {
        clock_t before = clock();
        CHECK_EQ(coir_sleep(COIR_MS(100)), 0);
        used = clock() - before;
    }
    CHECK(used < CLOCKS_PER_SEC / 20);
    while (coir_read(receiver, &byte, 1, COIR_TRY) == 1)
        continue;
    CHECK_EQ(run_join(fiber), 1);
    CHECK_EQ(coir_close(sender), 0);
    CHECK_EQ(coir_close(filler), 0);
    return coir_close(receiver);
}

/* The kernel calls it writable, and each try that fails tells so again. proves: D14 */
TEST(test_regress_a_datagram_by_name_to_a_full_unix_socket_spins)
{
    run_monotonic(full_datagrams, NULL);
}

/* ---- calls that have nothing to wait for ---- */

static int call_for_nothing(void *arg)
{
    int fds[2];
    char byte;
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(coir_read(fds[0], &byte, 1, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    uint64_t before = now_ns();
    CHECK_EQ(coir_read(fds[0], NULL, 0, COIR_NEVER), 0);
    CHECK_EQ(coir_read_all(fds[0], NULL, 0, NULL, COIR_NEVER), 1);
    CHECK_EQ(coir_recvmsg(fds[0], NULL, 0, COIR_NEVER), -EFAULT);
    fds_fill(fds[0]);
    CHECK_EQ(coir_write(fds[0], "x", 1, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    CHECK_EQ(coir_write_all(fds[0], NULL, 0, NULL, COIR_NEVER), 0);
    CHECK_EQ(coir_sendmsg(fds[0], NULL, 0, COIR_NEVER), -EFAULT);
    CHECK_EQ(now_ns(), before + (uint64_t)COIR_MS(1));
    CHECK(coir_close(fds[0]) == 0 && coir_close(fds[1]) == 0);
    return arg ? 1 : 0;
}

/* proves: D14, D17 */
TEST(test_regress_call_for_no_bytes_or_with_no_message_waits_for_readiness)
{
    run_virtual(call_for_nothing, NULL);
}

static int call_for_nothing_stopped(void *arg)
{
    CHECK_EQ(coir_cancel(coir_self(), COIR_CANCELLED), 0);
    CHECK_EQ(coir_read_all(0, NULL, 0, NULL, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(coir_write_all(0, NULL, 0, NULL, COIR_NEVER), COIR_CANCELLED);
    return arg ? 1 : 0;
}

/* proves: C1 */
TEST(test_regress_full_call_for_no_bytes_is_not_refused_to_a_stopped_fiber)
{
    run_virtual(call_for_nothing_stopped, NULL);
}

static int write_too_many_parts(void *arg)
{
    static struct iovec parts[1025];
    struct fds_pair pair = fds_unix(SOCK_STREAM);
    CHECK_EQ(coir_writev(pair.out, parts, 1025, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_adopt(pair.out), 0);
    CHECK_EQ(coir_writev(pair.out, parts, 1025, COIR_NEVER), -EINVAL);
    fds_close(pair);
    return arg ? 1 : 0;
}

/* proves: D17 */
TEST(test_regress_writev_of_too_many_parts_says_that_the_message_is_too_long)
{
    run_virtual(write_too_many_parts, NULL);
}

static int accept_from_a_pipe(void *arg)
{
    struct fds_pair pipe = fds_pipe(0);
    CHECK_EQ(coir_accept(pipe.in, NULL, NULL, COIR_NEVER), -ENOTSOCK);
    CHECK_EQ(coir_connect(pipe.in, NULL, 0, COIR_NEVER), -ENOTSOCK);
    CHECK_EQ(fcntl(pipe.in, F_GETFL) & O_NONBLOCK, 0);
    fds_close(pipe);
    return arg ? 1 : 0;
}

/* proves: D6, D17 */
TEST(test_regress_accept_of_what_is_no_socket_changes_its_flags)
{
    run_virtual(accept_from_a_pipe, NULL);
}

static int try_once_when_due_to_rest(void *arg)
{
    struct fds_pair pipe = fds_pipe(0);
    cr_sched_here->budget = 0;
    int result = coir_wait_fd(pipe.in, COIR_IN, COIR_TRY);
    fds_close(pipe);
    return arg ? 1 : result;
}

static int stop_while_it_rests(void *arg)
{
    coir_fiber fiber = run_spawn(try_once_when_due_to_rest, NULL);
    CHECK_EQ(coir_yield(), 0);
    CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(fiber), COIR_CANCELLED);
    return arg ? 1 : 0;
}

/* proves: C1 */
TEST(test_regress_wait_that_was_stopped_in_its_rest_says_that_its_time_is_up)
{
    run_virtual(stop_while_it_rests, NULL);
}
