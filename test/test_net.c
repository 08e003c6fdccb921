/* Listening and dialling: every kind of socket, what its options do, and that a failure leaves
 * nothing open. */
#include "fds.h"

#include <coir_net.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

static int must(int result)
{
    CHECK(result >= 0);
    return result;
}

/* The text of a listener's own address. */
static const char *where(int fd, char *text)
{
    coir_addr addr;
    CHECK_EQ(coir_net_local(fd, &addr), 0);
    CHECK(coir_addr_text(&addr, text, COIR_ADDR_TEXT) > 0);
    return text;
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;
    CHECK_EQ(coir_getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

static bool has_v6(void)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&in6, sizeof in6) == 0;
    if (fd >= 0)
        close(fd);
    return has;
}

/* A path of the test's own with a prefix. */
static const char *path_after(const char *prefix, const char *name)
{
    static char path[100];
    snprintf(path, sizeof path, "%s%s", prefix, test_path(name));
    return path;
}

static void exchange(int a, int b)
{
    char byte = 'x';
    CHECK_EQ(coir_write(a, &byte, 1, COIR_NEVER), 1);
    CHECK_EQ(coir_read(b, &byte, 1, COIR_NEVER), 1);
}

/* Listens at one text and dials another (NULL: what the listener says of itself). */
static int stream_by(const char *at, const char *dial)
{
    char text[COIR_ADDR_TEXT], peer[COIR_ADDR_TEXT], own[COIR_ADDR_TEXT];
    coir_addr addr;
    int listener = must(coir_net_listen(at, NULL));
    where(listener, text);
    if (dial) {
        CHECK_EQ(coir_net_local(listener, &addr), 0);
        unsigned port = ntohs(((struct sockaddr_in *)&addr.storage)->sin_port);
        snprintf(text, sizeof text, "%s:%u", dial, port);
    }
    int client = must(coir_net_dial(text, NULL, COIR_NEVER));
    int server = must(coir_accept(listener, NULL, NULL, COIR_NEVER));
    exchange(client, server);
    exchange(server, client);
    CHECK_EQ(coir_net_peer(client, &addr), 0);
    CHECK(coir_addr_text(&addr, peer, sizeof peer) > 0);
    CHECK_STR(peer, text);
    CHECK_EQ(coir_net_peer(server, &addr), 0);
    CHECK(coir_addr_text(&addr, peer, sizeof peer) > 0);
    CHECK_STR(peer, where(client, own));
    CHECK_EQ(coir_close(client), 0);
    CHECK_EQ(coir_close(server), 0);
    return coir_close(listener);
}

static int streams(void *arg)
{
    (void)arg;
    CHECK_EQ(stream_by("127.0.0.1:0", NULL), 0);
    CHECK_EQ(stream_by("tcp:127.0.0.1:0", NULL), 0);
    CHECK_EQ(stream_by(":0", "127.0.0.1"), 0);
    CHECK_EQ(stream_by(test_path("stream"), NULL), 0);
#ifdef __linux__
    CHECK_EQ(stream_by(path_after("@", "abstract"), NULL), 0);
#endif
    return 0;
}

/* proves: N2 */
TEST(test_streams_are_dialled_where_they_listen)
{
    int before = fds_open();
    run_monotonic(streams, NULL);
    CHECK_EQ(fds_open(), before);
}

static int streams_v6(void *arg)
{
    struct coir_net_opts only = {.v6_only = true};
    char text[COIR_ADDR_TEXT];
    coir_addr addr;
    (void)arg;
    CHECK_EQ(stream_by("[::1]:0", NULL), 0);
    CHECK_EQ(stream_by(":0", "[::1]"), 0);
    int listener = must(coir_net_listen(":0", &only));
    CHECK_EQ(coir_net_local(listener, &addr), 0);
    unsigned port = ntohs(((struct sockaddr_in6 *)&addr.storage)->sin6_port);
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    CHECK_EQ(coir_net_dial(text, NULL, COIR_NEVER), -ECONNREFUSED);
    snprintf(text, sizeof text, "[::1]:%u", port);
    CHECK_EQ(coir_close(must(coir_net_dial(text, NULL, COIR_NEVER))), 0);
    return coir_close(listener);
}

/* proves: N2 */
TEST(test_any_address_is_of_both_families_unless_told_otherwise)
{
    if (!has_v6())
        SKIP("the system has no IPv6");
    run_monotonic(streams_v6, NULL);
}

static const struct cr_world_ops *real;
static struct cr_world_ops ops;

static int64_t without_v6(struct cr_world *world, struct cr_op *op)
{
    if (op->kind == CR_OP_SOCKET && op->make.domain == AF_INET6)
        return -EAFNOSUPPORT;
    return real->start(world, op);
}

/* As OpenBSD says. */
static int64_t with_v6_only(struct cr_world *world, struct cr_op *op)
{
    if (op->kind == CR_OP_SETSOCKOPT && op->option.name == IPV6_V6ONLY &&
        !*(const int *)op->option.value && op->option.level == IPPROTO_IPV6)
        return -EINVAL;
    return real->start(world, op);
}

static int streams_without_v6(void *arg)
{
    (void)arg;
    real = inside_replace_ops(&ops);
    ops.start = without_v6;
    CHECK_EQ(stream_by(":0", "127.0.0.1"), 0);
    CHECK_EQ(coir_net_listen("[::1]:0", NULL), -EAFNOSUPPORT);
    CHECK_EQ(coir_net_listen(":0", &(struct coir_net_opts){.v6_only = true}), -EAFNOSUPPORT);
    CHECK_EQ(coir_net_dial("[::1]:1", NULL, COIR_NEVER), -EAFNOSUPPORT);
    ops.start = with_v6_only;
    int fd = coir_net_listen(":0", NULL);
    CHECK(fd >= 0 || fd == -EAFNOSUPPORT);
    if (fd >= 0)
        CHECK_EQ(coir_close(fd), 0);
    inside_restore_ops(real);
    return 0;
}

/* proves: N2 */
TEST(test_any_address_is_that_of_ipv4_where_there_is_no_other)
{
    run_monotonic(streams_without_v6, NULL);
}

static int datagrams(void *arg)
{
    char text[COIR_ADDR_TEXT];
    coir_addr from = {.size = sizeof from.storage};
    const char *path = arg;
    int server = must(coir_net_listen(path ? path : "udp:127.0.0.1:0", NULL));
    int client = must(coir_net_dial(where(server, text), NULL, COIR_NEVER));
    CHECK_EQ(coir_send(client, "one", 3, 0, COIR_NEVER), 3);
    CHECK_EQ(coir_recvfrom(server, text, sizeof text, 0, (struct sockaddr *)&from.storage,
                           &from.size, COIR_NEVER), 3);
    if (!path) {
        CHECK_EQ(coir_sendto(server, "three", 5, 0, (struct sockaddr *)&from.storage, from.size,
                             COIR_NEVER), 5);
        CHECK_EQ(coir_recv(client, text, sizeof text, 0, COIR_NEVER), 5);
    }
    CHECK_EQ(option(client, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
    CHECK_EQ(coir_close(client), 0);
    return coir_close(server);
}

/* proves: N2 */
TEST(test_datagrams_are_dialled_where_they_are_bound)
{
    const char *path = path_after("unixgram:", "gram");
    run_monotonic(datagrams, NULL);
    run_monotonic(datagrams, (void *)(uintptr_t)path);
}

static int options(void *arg)
{
    struct coir_net_opts opts = {.keep_alive_s = 77, .delay = true, .reuse_port = true};
    char text[COIR_ADDR_TEXT];
    (void)arg;
    for (int turn = 0; turn < 2; turn++) {
        const struct coir_net_opts *given = turn ? &opts : NULL;
        int listener = must(coir_net_listen("127.0.0.1:0", given));
        int client = must(coir_net_dial(where(listener, text), given, COIR_NEVER));
        int server = must(coir_accept(listener, NULL, NULL, COIR_NEVER)), both[] = {client, server};
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(!option(both[i], IPPROTO_TCP, TCP_NODELAY), turn);
            CHECK_EQ(option(both[i], SOL_SOCKET, SO_KEEPALIVE) != 0, turn);
#ifdef TCP_KEEPIDLE
            CHECK_EQ(option(both[i], IPPROTO_TCP, TCP_KEEPIDLE) == 77, turn);
#endif
            CHECK_EQ(coir_close(both[i]), 0);
        }
        CHECK(option(listener, SOL_SOCKET, SO_REUSEADDR));
        int other = coir_net_listen(text, given);
        CHECK(turn ? other >= 0 : other == -EADDRINUSE);
        if (other >= 0)
            CHECK_EQ(coir_close(other), 0);
        CHECK_EQ(coir_close(listener), 0);
    }
    CHECK_EQ(coir_net_listen("127.0.0.1:0", &(struct coir_net_opts){.keep_alive_s = -1}), -EINVAL);
    int udp = must(coir_net_listen("udp:127.0.0.1:0", &opts));
    CHECK_EQ(option(udp, SOL_SOCKET, SO_REUSEADDR), 0);
    return coir_close(udp);
}

/* proves: N2, N3 */
TEST(test_options_reach_the_connections_that_are_accepted)
{
    int before = fds_open();
    run_monotonic(options, NULL);
    CHECK_EQ(fds_open(), before);
}

static int short_queue(void *arg)
{
    struct coir_net_opts one = {.backlog = 1};
    char text[COIR_ADDR_TEXT];
    int fds[64], count = 0, result = 0;
    (void)arg;
    int listener = must(coir_net_listen("127.0.0.1:0", &one)), before = fds_open();
    where(listener, text);
    while (count < 64 &&
           (result = coir_net_dial(text, NULL, coir_after(COIR_MS(30)))) >= 0)
        fds[count++] = result;
    CHECK_EQ(result, COIR_TIMED_OUT);
    CHECK_EQ(fds_open(), before + count + inside_own_count());
    CHECK_EQ(coir_net_dial(text, NULL, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_cancel(coir_self(), COIR_CANCELLED), 0);
    CHECK_EQ(coir_net_dial(text, NULL, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(fds_open(), before + count + inside_own_count());
    while (count > 0)
        CHECK_EQ(coir_close(fds[--count]), 0);
    return coir_close(listener);
}

/* proves: N3, C1, T4 */
TEST(test_a_dial_that_is_cut_short_closes_its_socket)
{
    run_monotonic(short_queue, NULL);
}

static int failures(void *arg)
{
    struct coir_net_opts take = {.unlink = true};
    char text[COIR_ADDR_TEXT];
    (void)arg;
    int listener = must(coir_net_listen("127.0.0.1:0", NULL)), before = fds_open();
    CHECK_EQ(coir_net_listen(where(listener, text), NULL), -EADDRINUSE);
    CHECK_EQ(coir_net_listen(text, &take), -EADDRINUSE);
    CHECK_EQ(coir_net_listen("nowhere", NULL), -EINVAL);
    CHECK_EQ(coir_net_dial("nowhere:80", NULL, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_net_listen("192.0.2.1:0", NULL), -EADDRNOTAVAIL);
    CHECK_EQ(coir_net_listen("/nonesuch/x", NULL), -ENOENT);
    CHECK_EQ(coir_net_dial("/nonesuch/x", NULL, COIR_NEVER), -ENOENT);
    CHECK_EQ(fds_open(), before);
    CHECK_EQ(coir_close(listener), 0);
    CHECK_EQ(coir_net_dial(text, NULL, COIR_NEVER), -ECONNREFUSED);
    CHECK_EQ(coir_net_local(listener, &(coir_addr){0}), -EBADF);
    CHECK_EQ(coir_net_peer(-1, &(coir_addr){0}), -EBADF);
    return 0;
}

/* proves: N3 */
TEST(test_what_cannot_be_made_is_an_error_and_leaves_nothing)
{
    run_monotonic(failures, NULL);
}

static int stale(void *arg)
{
    struct coir_net_opts take = {.unlink = true};
    const char *path = arg;
    struct stat about;
    int listener = must(coir_net_listen(path, &take)), before = fds_open();
    CHECK_EQ(coir_net_listen(path, &take), -EADDRINUSE); /* somebody listens */
    CHECK_EQ(coir_close(must(coir_net_dial(path, NULL, COIR_NEVER))), 0);
    CHECK_EQ(fds_open(), before);
    CHECK_EQ(coir_close(listener), 0);
    CHECK_EQ(lstat(path, &about), 0); /* it stays */
    CHECK_EQ(coir_net_dial(path, NULL, COIR_NEVER), -ECONNREFUSED);
    CHECK_EQ(coir_net_listen(path, NULL), -EADDRINUSE);
    listener = must(coir_net_listen(path, &take));
    CHECK_EQ(coir_close(must(coir_net_dial(path, NULL, COIR_NEVER))), 0);
    CHECK_EQ(coir_close(listener), 0);
    CHECK_EQ(unlink(path), 0);

    int file = creat(path, 0600); /* not a socket */
    CHECK_EQ(close(file), 0);
    CHECK_EQ(coir_net_listen(path, &take), -EADDRINUSE);
    CHECK_EQ(lstat(path, &about), 0);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(symlink("/tmp", path), 0);
    CHECK_EQ(coir_net_listen(path, &take), -EADDRINUSE);
    CHECK_EQ(lstat(path, &about), 0);
    return 0;
}

/* proves: N4 */
TEST(test_a_path_is_taken_only_from_a_socket_where_nobody_listens)
{
    run_monotonic(stale, (void *)(uintptr_t)test_path("stale"));
}

/* A path whose owner lives, but takes no connection. */
static int bound(void *arg)
{
    struct coir_net_opts take = {.unlink = true};
    coir_addr addr;
    const char *path = arg;
    CHECK_EQ(coir_addr_parse(&addr, path), 0);
    for (int i = 0; i < 2; i++) {
        int type = i == 0 ? SOCK_STREAM : SOCK_DGRAM;
        int fd = must(coir_socket(AF_UNIX, type, 0)), before = fds_open();
        CHECK_EQ(coir_bind(fd, (const struct sockaddr *)&addr.storage, addr.size), 0);
        CHECK_EQ(coir_net_listen(path, &take), -EADDRINUSE);
        CHECK_EQ(fds_open(), before);
        CHECK_EQ(coir_close(fd), 0);
        CHECK_EQ(coir_close(must(coir_net_listen(path, &take))), 0);
        CHECK_EQ(unlink(path), 0);
    }
    return 0;
}

/* proves: N4 */
TEST(test_regress_a_path_was_taken_from_an_owner_that_did_not_listen_yet)
{
    run_monotonic(bound, (void *)(uintptr_t)test_path("bound"));
}

static int no_handler(int fd, void *arg)
{
    return fd && arg;
}

static int not_listeners(void *arg)
{
    struct fds_pair pipe = fds_pipe(0);
    int udp = must(coir_net_listen("udp:127.0.0.1:0", NULL));
    int idle = must(coir_socket(AF_INET, SOCK_STREAM, 0)), closed = dup(0);
    (void)arg;
    close(closed);
    CHECK_EQ(coir_net_serve(closed, no_handler, NULL, NULL), -EBADF);
    CHECK_EQ(coir_net_serve(-1, no_handler, NULL, NULL), -EBADF);
    CHECK_EQ(coir_net_serve(pipe.in, no_handler, NULL, NULL), -ENOTSOCK);
    CHECK_EQ(coir_net_serve(idle, no_handler, NULL, NULL), -EINVAL);
    CHECK_EQ(coir_net_serve(udp, no_handler, NULL, NULL), -EOPNOTSUPP);
    CHECK_EQ(coir_close(udp), 0);
    CHECK_EQ(coir_close(idle), 0);
    CHECK_EQ(coir_close(pipe.in), 0);
    return coir_close(pipe.out);
}

/* proves: N5 */
TEST(test_what_does_not_listen_is_not_served)
{
    run_monotonic(not_listeners, NULL);
}

static int serve_nothing(void *arg)
{
    return coir_net_serve(0, NULL, arg, NULL);
}

/* proves: F2 */
TEST_DIES(test_serving_without_handler_is_a_mistake, SIGABRT, "coir_net_serve: the function is")
{
    coir_run(serve_nothing, NULL, NULL, NULL);
}

/* proves: F2 */
TEST_DIES(test_dialling_outside_a_fiber_is_a_mistake, SIGABRT, "coir_net_dial: called")
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    coir_net_dial("127.0.0.1:1", NULL, COIR_NEVER);
}

/* proves: F2 */
TEST_DIES(test_listening_without_a_scheduler_is_a_mistake, SIGABRT, "coir_net_listen: ")
{
    coir_net_listen("127.0.0.1:0", NULL);
}
