/* The calls of coir_io.h: what each does, how each ends, and what it says of bad input. */
#include "fds.h"

#include <coir_io.h>
#include <netinet/in.h>

struct link {
    int listener, client, server;
};

static int must(int result)
{
    CHECK(result >= 0);
    return result;
}

static struct sockaddr_in here(int listener)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof addr;
    if (listener >= 0)
        CHECK_EQ(coir_getsockname(listener, (struct sockaddr *)&addr, &size), 0);
    return addr;
}

static int listen_tcp(int backlog)
{
    struct sockaddr_in addr = here(-1);
    int fd = must(coir_socket(AF_INET, SOCK_STREAM, 0));
    CHECK_EQ(coir_bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    CHECK_EQ(coir_listen(fd, backlog), 0);
    return fd;
}

static int dial_tcp(int listener, coir_time until)
{
    struct sockaddr_in addr = here(listener);
    int fd = must(coir_socket(AF_INET, SOCK_STREAM, 0));
    int result = coir_connect(fd, (struct sockaddr *)&addr, sizeof addr, until);
    if (result == 0)
        return fd;
    CHECK_EQ(coir_close(fd), 0);
    return result;
}

static struct link connect_tcp(void)
{
    struct link link = {.listener = listen_tcp(8)};
    link.client = must(dial_tcp(link.listener, COIR_NEVER));
    link.server = must(coir_accept(link.listener, NULL, NULL, COIR_NEVER));
    return link;
}

static void close_link(struct link link)
{
    CHECK_EQ(coir_close(link.client), 0);
    CHECK_EQ(coir_close(link.server), 0);
    CHECK_EQ(coir_close(link.listener), 0);
}

static bool is_ours(int fd)
{
    return fcntl(fd, F_GETFD) & FD_CLOEXEC && fcntl(fd, F_GETFL) & O_NONBLOCK;
}

static int answer(void *arg)
{
    char text[16];
    int listener = *(int *)arg;
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int fd = must(coir_accept(listener, (struct sockaddr *)&peer, &size, COIR_NEVER));
    CHECK(is_ours(fd));
    CHECK_EQ(size, sizeof peer);
    CHECK_EQ(coir_recv(fd, text, sizeof text, MSG_PEEK, COIR_NEVER), 4);
    CHECK_EQ(coir_recv(fd, text, sizeof text, 0, COIR_NEVER), 4);
    CHECK_EQ(coir_send(fd, text, 4, 0, COIR_NEVER), 4);
    CHECK_EQ(coir_recv(fd, text, sizeof text, 0, COIR_NEVER), 0);
    return coir_close(fd);
}

static int ask(void *arg)
{
    char text[16] = "ping";
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    (void)arg;
    int listener = listen_tcp(8);
    coir_fiber server = run_spawn(answer, &listener);
    int fd = must(dial_tcp(listener, COIR_NEVER));
    CHECK(is_ours(fd) && is_ours(listener));
    CHECK_EQ(coir_getpeername(fd, (struct sockaddr *)&peer, &size), 0);
    CHECK_EQ(peer.sin_port, here(listener).sin_port);
    CHECK_EQ(coir_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int)), 0);
    int kept = 0;
    size = sizeof kept;
    CHECK_EQ(coir_getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &kept, &size), 0);
    CHECK(kept);
    CHECK_EQ(coir_recv(fd, text, sizeof text, 0, coir_after(1000)), COIR_TIMED_OUT);
    CHECK_EQ(coir_send(fd, text, 4, 0, COIR_NEVER), 4);
    CHECK_EQ(coir_read_all(fd, text, 4, NULL, COIR_NEVER), 1);
    CHECK_EQ(coir_shutdown(fd, SHUT_WR), 0);
    CHECK_EQ(coir_recv(fd, text, sizeof text, 0, COIR_NEVER), 0);
    CHECK_EQ(run_join(server), 0);
    CHECK_EQ(coir_close(fd), 0);
    return coir_close(listener);
}

/* proves: D14 */
TEST(test_a_connection_is_made_used_and_closed)
{
    int before = fds_open();
    run_monotonic(ask, NULL);
    CHECK_EQ(fds_open(), before);
}

static int accept_one(void *arg)
{
    return coir_accept(*(int *)arg, NULL, NULL, COIR_NEVER);
}

static int wait_ends(void *arg)
{
    (void)arg;
    int listener = listen_tcp(8);
    CHECK_EQ(coir_accept(listener, NULL, NULL, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_accept(listener, NULL, NULL, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    coir_fiber fiber = run_spawn(accept_one, &listener);
    fds_until_parked(fiber);
    CHECK_EQ(coir_wake(fiber), -EBUSY);
    CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(fiber), COIR_CANCELLED);
    fiber = run_spawn(accept_one, &listener);
    fds_until_parked(fiber);
    CHECK_EQ(coir_close(listener), 0);
    CHECK_EQ(run_join(fiber), -EBADF);

    listener = listen_tcp(8);
    int closed = listen_tcp(8);
    struct sockaddr_in nobody = here(closed);
    CHECK_EQ(coir_close(closed), 0);
    int fd = must(coir_socket(AF_INET, SOCK_STREAM, 0));
    int refused = coir_connect(fd, (struct sockaddr *)&nobody, sizeof nobody, COIR_NEVER);
    CHECK_EQ(refused, -ECONNREFUSED);
    CHECK_EQ(coir_close(fd), 0);
    return coir_close(listener);
}

/* proves: C1, D5, D14 */
TEST(test_waits_for_connections_end_as_all_waits_do)
{
    run_monotonic(wait_ends, NULL);
}

static int dial(void *arg)
{
    int fd = dial_tcp(*(int *)arg, COIR_NEVER);
    return fd < 0 ? fd : coir_close(fd);
}

/* A listener whose queue is full answers nobody, so connects to it hang. */
static int hang(void *arg)
{
    int listener = listen_tcp(0), fds[64], count = 0, result = 0;
    (void)arg;
    while (count < 64 && (result = dial_tcp(listener, coir_after(COIR_MS(30)))) >= 0)
        fds[count++] = result;
    CHECK_EQ(result, COIR_TIMED_OUT);
    coir_fiber fiber = run_spawn(dial, &listener);
    fds_until_parked(fiber);
    CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(fiber), COIR_CANCELLED);
    for (int i = 0; i < count; i++)
        CHECK_EQ(coir_close(fds[i]), 0);
    return coir_close(listener);
}

/* proves: C1, D14, T4 */
TEST(test_a_connect_that_hangs_ends_by_deadline_and_by_cancel)
{
    run_monotonic(hang, NULL);
}

static struct sockaddr_un full;

static int dial_unix(void *arg)
{
    int fd = must(coir_socket(AF_UNIX, SOCK_STREAM, 0));
    coir_time until = arg ? coir_after(COIR_MS(*(int *)arg)) : COIR_NEVER;
    int result = coir_connect(fd, (struct sockaddr *)&full, sizeof full, until);
    CHECK_EQ(coir_close(fd), 0);
    return result;
}

static int full_queue(void *arg)
{
    int listener = must(coir_socket(AF_UNIX, SOCK_STREAM, 0)), five = 5;
    (void)arg;
    full = fds_name("full");
    CHECK_EQ(coir_bind(listener, (struct sockaddr *)&full, sizeof full), 0);
    CHECK_EQ(coir_listen(listener, 0), 0);
    CHECK_EQ(run_join(run_spawn(dial_unix, NULL)), 0);
    int refused = run_join(run_spawn(dial_unix, &five));
    CHECK(refused == COIR_TIMED_OUT || refused == -ECONNREFUSED);
    coir_fiber fiber = run_spawn(dial_unix, NULL);
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    CHECK_EQ(coir_close(must(coir_accept(listener, NULL, NULL, COIR_NEVER))), 0);
    int result = run_join(fiber);
    CHECK(result == 0 || refused == -ECONNREFUSED);
    return coir_close(listener);
}

/* The kernel says EAGAIN there, and no readiness ever comes (others refuse). proves: D14 */
TEST(test_a_full_queue_of_a_unix_socket_is_tried_again)
{
    run_monotonic(full_queue, NULL);
}

static int write_much(void *arg)
{
    static char block[1 << 20];
    size_t written;
    CHECK_EQ(coir_write_all(*(int *)arg, block, sizeof block, &written, COIR_NEVER), 0);
    return written == sizeof block ? coir_close(*(int *)arg) : 1;
}

static int full_counts(void *arg)
{
    static char block[(1 << 20) + 1];
    size_t done;
    int fds[2];
    (void)arg;
    CHECK_EQ(coir_pipe(fds), 0);
    CHECK(is_ours(fds[0]) && is_ours(fds[1]));
    coir_fiber writer = run_spawn(write_much, &fds[1]);
    CHECK_EQ(coir_read_all(fds[0], block, sizeof block, &done, COIR_NEVER), 0);
    CHECK_EQ(done, 1 << 20);
    CHECK_EQ(run_join(writer), 0);
    CHECK_EQ(coir_close(fds[0]), 0);

    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(coir_write_all(fds[0], "abc", 3, NULL, COIR_NEVER), 0);
    CHECK_EQ(coir_read_all(fds[1], block, 5, &done, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    CHECK_EQ(done, 3);
    CHECK_EQ(coir_read_all(fds[1], block, 0, &done, COIR_NEVER), 1);
    CHECK_EQ(done, 0);
    fds_fill(fds[0]);
    CHECK_EQ(coir_write_all(fds[0], block, 5, &done, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(done, 0);
    CHECK_EQ(coir_close(fds[1]), 0);
    CHECK_EQ(coir_write_all(fds[0], "abc", 3, NULL, COIR_NEVER), -EPIPE);
    return coir_close(fds[0]);
}

/* proves: D15 */
TEST(test_full_counts_are_full_or_tell_why_next_time)
{
    run_monotonic(full_counts, NULL);
}

static int vectors(void *arg)
{
    char one[4] = "", two[8] = "";
    char first[] = "abcd", second[] = "efg";
    struct iovec out[] = {{NULL, 0}, {first, 4}, {second, 3}};
    struct iovec in[] = {{one, 4}, {two, 8}};
    int fds[2], flags = *(int *)arg;
    if (flags < 0)
        CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    else
        CHECK_EQ(pipe2(fds, flags), 0);
    CHECK_EQ(coir_readv(fds[0], in, 2, coir_after(1000)), COIR_TIMED_OUT);
    ssize_t written = coir_writev(fds[1], out, 3, COIR_NEVER);
    CHECK(written == 7 || (flags >= 0 && written == 4));
    CHECK_EQ(coir_readv(fds[0], in, 2, COIR_NEVER), written);
    CHECK(memcmp(one, "abcd", 4) == 0 && (written == 4 || memcmp(two, "efg", 3) == 0));
    CHECK_EQ(coir_writev(fds[1], out, -1, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_close(fds[0]), 0);
    CHECK_EQ(coir_writev(fds[1], out, 3, COIR_NEVER), -EPIPE);
    return coir_close(fds[1]);
}

/* proves: D8, D9, D14 */
TEST(test_vectors_are_read_and_written)
{
    int flags[] = {-1, 0, O_NONBLOCK};
    for (int i = 0; i < 3; i++)
        run_monotonic(vectors, &flags[i]);
}

static int datagrams(void *arg)
{
    char text[8] = "";
    int a = must(coir_socket(AF_INET, SOCK_DGRAM, 0));
    int b = must(coir_socket(AF_INET, SOCK_DGRAM, 0));
    struct sockaddr_in addr = here(-1), from;
    socklen_t size = sizeof from;
    (void)arg;
    CHECK_EQ(coir_bind(a, (struct sockaddr *)&addr, sizeof addr), 0);
    CHECK_EQ(coir_bind(b, (struct sockaddr *)&addr, sizeof addr), 0);
    addr = here(b);
    CHECK_EQ(coir_sendto(a, "one", 3, 0, (struct sockaddr *)&addr, sizeof addr, COIR_NEVER), 3);
    CHECK_EQ(coir_sendto(a, "three", 5, 0, (struct sockaddr *)&addr, sizeof addr, COIR_NEVER), 5);
    CHECK_EQ(coir_recvfrom(b, text, 8, 0, (struct sockaddr *)&from, &size, COIR_NEVER), 3);
    CHECK_EQ(from.sin_port, here(a).sin_port);
    CHECK_EQ(coir_recvfrom(b, text, 8, 0, NULL, NULL, COIR_NEVER), 5);
    CHECK_EQ(coir_recvfrom(b, text, 8, 0, NULL, NULL, coir_after(1000)), COIR_TIMED_OUT);
    CHECK_EQ(coir_close(a), 0);
    return coir_close(b);
}

/* proves: D7, D14 */
TEST(test_datagrams_are_sent_and_received)
{
    run_monotonic(datagrams, NULL);
}

static int pass_descriptor(void *arg)
{
    char byte = 'x', control[CMSG_SPACE(sizeof(int))] = "";
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    int fds[2], passed;
    (void)arg;
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fds[1], sizeof(int));
    CHECK_EQ(coir_recvmsg(fds[1], &message, 0, coir_after(1000)), COIR_TIMED_OUT);
    CHECK_EQ(coir_sendmsg(fds[0], &message, 0, COIR_NEVER), 1);
    CHECK_EQ(coir_recvmsg(fds[1], &message, 0, COIR_NEVER), 1);
    memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    CHECK(fcntl(passed, F_GETFD) & FD_CLOEXEC);
    int copy = must(coir_dup(passed));
    CHECK(is_ours(copy));
    CHECK_EQ(coir_write(copy, "y", 1, COIR_NEVER), 1);
    CHECK_EQ(coir_read(fds[0], &byte, 1, COIR_NEVER), 1);
    CHECK(byte == 'y');
    CHECK_EQ(coir_close(copy), 0);
    CHECK_EQ(coir_close(passed), 0);
    CHECK_EQ(coir_close(fds[0]), 0);
    return coir_close(fds[1]);
}

/* proves: D14 */
TEST(test_a_message_passes_a_descriptor)
{
    run_monotonic(pass_descriptor, NULL);
}

static int wait_for_byte(void *arg)
{
    char byte;
    return (int)coir_read(*(int *)arg, &byte, 1, COIR_NEVER);
}

/* Closed by close, and its number given to a file that coir makes. */
static int reuse(void *arg)
{
    struct link link = connect_tcp();
    (void)arg;
    coir_fiber fiber = run_spawn(wait_for_byte, &link.server);
    fds_until_parked(fiber);
    CHECK_EQ(close(link.server), 0);
    CHECK_EQ(coir_socket(AF_INET, SOCK_STREAM, 0), link.server);
    CHECK_EQ(run_join(fiber), -EBADF);
    close_link(link);
    return 0;
}

/* proves: D16 */
TEST(test_a_number_that_coir_makes_anew_frees_those_who_wait_for_its_old_file)
{
    run_monotonic(reuse, NULL);
}

/* Closed by close, its number given to another file, and adopted again. */
static int adopt_again(void *arg)
{
    struct link link = connect_tcp();
    struct fds_pair pipe = fds_pipe(0);
    bool told = strcmp(test_world_name(), "poll") != 0;
    (void)arg;
    coir_fiber fiber = run_spawn(wait_for_byte, &link.server);
    fds_until_parked(fiber);
    CHECK_EQ(coir_adopt(link.server), 0); /* nothing has happened to it */
    CHECK_EQ(coir_yield(), 0);
    CHECK(inside_fiber(fiber)->wait);
    if (!told)
        CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
    CHECK_EQ(dup2(pipe.in, link.server), link.server);
    CHECK_EQ(coir_adopt(link.server), 0);
    CHECK_EQ(run_join(fiber), told ? -EBADF : COIR_CANCELLED);
    fiber = run_spawn(wait_for_byte, &link.server);
    fds_until_parked(fiber);
    fds_put(pipe.out, "x");
    CHECK_EQ(run_join(fiber), 1);
    fds_close(pipe);
    close_link(link);
    return 0;
}

/* proves: D16 */
TEST(test_regress_an_adopted_number_that_was_reused_never_wakes)
{
    run_monotonic(adopt_again, NULL);
}
