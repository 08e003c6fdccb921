/* What is registered of a descriptor when its number is closed, given away or adopted meanwhile. */
#include "fds.h"

#include <coir_io.h>

#include <errno.h>

static bool knows_registrations(void)
{
    return strcmp(test_world_name(), "poll") != 0;
}

static struct sockaddr_un name;

static int sendto_full(void *arg)
{
    return (int)coir_sendto(*(int *)arg, "x", 1, 0, (struct sockaddr *)&name, sizeof name,
                            coir_after(COIR_MS(20)));
}

static int paused(void *arg)
{
    int server = socket(AF_UNIX, SOCK_DGRAM, 0), filler = socket(AF_UNIX, SOCK_DGRAM, 0);
    int sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    fds_nonblocking(sender);
    name = fds_name("full");
    CHECK_EQ(bind(server, (struct sockaddr *)&name, sizeof name), 0);
    CHECK_EQ(connect(filler, (struct sockaddr *)&name, sizeof name), 0);
    fds_fill(filler);
    coir_fiber fiber = run_spawn(sendto_full, &sender);
    fds_until_parked(fiber);
    CHECK_EQ(coir_wait_fd(sender, COIR_IN, coir_after(COIR_MS(5) / 2)), COIR_TIMED_OUT);
    CHECK_EQ(run_join(fiber), COIR_TIMED_OUT);
    fds_check_nothing_left(sender);
    return arg ? 1 : 0;
}

/* proves: D6, W4 */
TEST(test_regress_foreign_descriptor_stays_registered_after_a_pause)
{
    run_virtual(paused, NULL);
}

static int close_raw(void *arg)
{
    close(*(int *)arg);
    return 0;
}

static int back_from_dup(void *arg)
{
    struct fds_pair pair = fds_pipe(O_NONBLOCK);
    int same = dup(pair.in);
    run_spawn(close_raw, &pair.in);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_IN, coir_after(COIR_MS(1))), -EBADF);
    CHECK_EQ(dup2(same, pair.in), pair.in);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_IN, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    fds_put(pair.out, "x");
    CHECK_EQ(coir_wait_fd(pair.in, COIR_IN, coir_after(COIR_MS(1))), COIR_IN);
    return arg ? 1 : 0;
}

/* proves: D3, D6 */
TEST(test_regress_file_that_comes_back_to_its_number_from_a_dup_is_eexist)
{
    if (!knows_registrations())
        SKIP("poll tells at once that a number is closed");
    run_virtual(back_from_dup, NULL);
}

static int adopted_over(void *arg)
{
    struct fds_pair pair = fds_pipe(O_NONBLOCK), next = fds_pipe(O_NONBLOCK);
    struct fds_waiter w = {.fd = pair.in, .mask = COIR_IN};
    fds_start(&w, 1);
    CHECK_EQ(dup2(next.in, pair.in), pair.in);
    CHECK_EQ(coir_adopt(pair.in), 0);
    CHECK_EQ(run_join(w.fiber), -EBADF);
    CHECK(inside_fd(pair.in)->owned);
    return arg ? 1 : 0;
}

/* proves: D16 */
TEST(test_regress_adopt_over_a_foreign_wait_takes_the_old_file)
{
    if (!knows_registrations())
        SKIP("poll knows no files, only numbers");
    run_virtual(adopted_over, NULL);
}

static int ghost(void *arg)
{
    struct fds_pair pair = fds_pipe(O_NONBLOCK), next = fds_pipe(O_NONBLOCK);
    int same = dup(pair.in);
    run_spawn(close_raw, &pair.in);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_IN, coir_after(COIR_MS(1))), -EBADF);
    CHECK_EQ(dup2(next.in, pair.in), pair.in);
    struct fds_waiter w = {.fd = pair.in, .mask = COIR_IN, .until = coir_after(COIR_MS(5))};
    fds_start(&w, 1);
    fds_put(pair.out, "x");
    CHECK_EQ(run_join(w.fiber), COIR_TIMED_OUT);
    close(same);
    return arg ? 1 : 0;
}

/* proves: D4, D5 */
TEST(test_regress_old_file_wakes_who_waits_for_the_next_of_its_number)
{
    if (!knows_registrations())
        SKIP("poll tells at once that a number is closed");
    run_virtual(ghost, NULL);
}

/* Coir's own socket was closed by plain close; the number is a blocking pipe's now. */
static int writes_parts(void *arg)
{
    struct fds_pair old = fds_unix(SOCK_STREAM), next = fds_pipe(0);
    struct iovec parts[] = {{(char[]){"ab"}, 2}, {(char[]){"c"}, 1}};
    CHECK_EQ(coir_adopt(old.out), 0);
    CHECK_EQ(dup2(next.out, old.out), old.out);
    CHECK_EQ(coir_writev(old.out, parts, 2, COIR_NEVER), 2);
    return arg ? 1 : 0;
}

/* proves: D20 */
TEST(test_regress_writev_to_a_reused_number_says_that_it_is_no_socket)
{
    if (!knows_registrations())
        SKIP("poll knows no files, only numbers");
    run_virtual(writes_parts, NULL);
}

static int write_much(void *arg)
{
    static char much[1 << 20];
    struct iovec part = {much, sizeof much};
    return (int)coir_writev(*(int *)arg, &part, 1, COIR_NEVER);
}

static int pipe_for_pipe(void *arg)
{
    struct fds_pair old = fds_pipe(0), next = fds_pipe(0);
    CHECK_EQ(coir_adopt(old.out), 0);
    CHECK_EQ(dup2(next.out, old.out), old.out);
    CHECK_EQ(run_join(run_spawn(write_much, &old.out)), 4096);
    return arg ? 1 : 0;
}

/* proves: D9, D20 */
TEST(test_regress_writev_to_a_reused_number_blocks_the_thread)
{
    if (!knows_registrations())
        SKIP("poll knows no files, only numbers");
    run_virtual(pipe_for_pipe, NULL);
}

static int write_at_the_end_of_the_budget(void *arg)
{
    cr_sched_here->budget = 0;
    return (int)coir_write(*(int *)arg, "x", 1, COIR_NEVER);
}

/* The call lets others run before it begins, and they give its number to a file of coir's. */
static int reused_in_a_rest(void *arg)
{
    struct fds_pair old = fds_pipe(0);
    int fds[2];
    char byte;
    coir_fiber fiber = run_spawn(write_at_the_end_of_the_budget, &old.out);
    CHECK_EQ(coir_yield(), 0);
    fds_close(old);
    CHECK_EQ(coir_pipe(fds), 0);
    CHECK(fds[0] == old.in && fds[1] == old.out);
    CHECK_EQ(run_join(fiber), -EBADF);
    CHECK_EQ(coir_read(fds[0], &byte, 1, COIR_TRY), COIR_TIMED_OUT);
    return arg ? 1 : 0;
}

/* proves: D16 */
TEST(test_regress_call_that_rests_goes_on_with_the_next_file_of_its_number)
{
    run_virtual(reused_in_a_rest, NULL);
}

/* A socket that was written to and waited for, or not; a raw close; a pipe has its number. */
static int adopt_over_a_socket(void *arg)
{
    int fds[2], ends[2];
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_write(fds[1], "x", 1, COIR_NEVER), 1);
    if (*(int *)arg)
        CHECK_EQ(coir_wait_fd(fds[1], COIR_IN, coir_after(1)), COIR_TIMED_OUT);
    CHECK(close(fds[0]) == 0 && close(fds[1]) == 0);
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(ends[1], fds[1]);
    CHECK_EQ(coir_adopt(ends[1]), 0);
    CHECK_EQ(coir_write(ends[1], "x", 1, COIR_NEVER), 1);
    CHECK(coir_close(ends[0]) == 0 && coir_close(ends[1]) == 0);
    return 0;
}

/* proves: D16 */
TEST(test_regress_adopted_pipe_is_written_to_as_the_socket_that_had_its_number)
{
    run_virtual(adopt_over_a_socket, &(int){0});
    run_virtual(adopt_over_a_socket, &(int){1});
}

/* The loop takes the edge of both before the first is read. */
static int datagrams_over_tcp(void *arg)
{
    int tcp = coir_socket(AF_INET, SOCK_STREAM, 0), fds[2];
    char buf[10];
    (void)arg;
    CHECK_EQ(close(tcp), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    CHECK_EQ(fds[0], tcp);
    CHECK_EQ(coir_adopt(fds[0]), 0);
    CHECK_EQ(coir_read(fds[0], buf, sizeof buf, coir_after(1)), COIR_TIMED_OUT);
    CHECK(write(fds[1], "ab", 2) == 2 && write(fds[1], "cd", 2) == 2);
    CHECK_EQ(coir_wait_fd(fds[1], COIR_IN, coir_after(1)), COIR_TIMED_OUT);
    CHECK_EQ(coir_read(fds[0], buf, sizeof buf, COIR_NEVER), 2);
    CHECK_EQ(coir_read(fds[0], buf, sizeof buf, COIR_NEVER), 2);
    CHECK(coir_close(fds[0]) == 0 && close(fds[1]) == 0);
    return 0;
}

/* proves: D7, D16 */
TEST(test_regress_short_read_of_a_datagram_is_trusted_since_tcp_had_the_number)
{
    run_virtual(datagrams_over_tcp, NULL);
}

/* The first connect is cut short; the connection has reported its end when the second says 0. */
static int connects_twice(void *arg)
{
    struct sockaddr_in address;
    struct fds_pair idle = fds_pipe(0);
    bool urgent = *(int *)arg;
    char buf[10];
    int listener = fds_listen(&address, 1), fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(coir_connect(fd, (struct sockaddr *)&address, sizeof address, COIR_TRY),
             COIR_TIMED_OUT);
    int peer = accept(listener, NULL, NULL);
    CHECK_EQ(write(peer, "abc", 3), 3);
    if (urgent)
        CHECK(send(peer, "!", 1, MSG_OOB) == 1 && write(peer, "def", 3) == 3);
    else
        CHECK_EQ(close(peer), 0);
    CHECK_EQ(coir_wait_fd(idle.in, COIR_IN, coir_after(COIR_MS(5))), COIR_TIMED_OUT);
    CHECK_EQ(coir_connect(fd, (struct sockaddr *)&address, sizeof address, COIR_NEVER), 0);
    CHECK_EQ(coir_read(fd, buf, sizeof buf, COIR_NEVER), 3);
    CHECK_EQ(coir_read(fd, buf, sizeof buf, COIR_NEVER), urgent ? 3 : 0);
    CHECK(coir_close(fd) == 0 && close(listener) == 0);
    fds_close(idle);
    return 0;
}

/* proves: D7, D14 */
TEST(test_regress_end_that_came_before_a_second_connect_is_never_told)
{
    run_monotonic(connects_twice, &(int){0});
}

/* proves: D7, D14 */
TEST(test_regress_bytes_behind_urgent_data_before_a_second_connect_are_never_told)
{
    run_monotonic(connects_twice, &(int){1});
}
