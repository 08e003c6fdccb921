/* Ends of connections: coir_net_drain, and what a plain close loses. */
#include "fds.h"

#include <coir_net.h>

static struct fds_pair tcp; /* its `in` is the server's end */

/* The server's end is coir's own, or foreign. */
static void tcp_open(const bool *own)
{
    tcp = fds_tcp();
    CHECK_EQ(coir_adopt(tcp.out), 0);
    if (*own)
        CHECK_EQ(coir_adopt(tcp.in), 0);
}

static void tcp_close(void)
{
    CHECK_EQ(coir_close(tcp.in), 0);
    CHECK_EQ(coir_close(tcp.out), 0);
}

static void run_both(int (*body)(void *own))
{
    for (int own = 0; own < 2; own++)
        run_monotonic(body, &(bool){own});
}

/* A client that says much, reads late, and sees the answer whole. */
static int client(void *arg)
{
    char data[1000] = "", answer[10];
    (void)arg;
    for (int i = 0; i < 500; i++)
        CHECK(coir_write(tcp.out, data, sizeof data, COIR_NEVER) > 0);
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    CHECK_EQ(coir_read(tcp.out, answer, sizeof answer, COIR_NEVER), 6);
    CHECK_EQ(memcmp(answer, "answer", 6), 0);
    CHECK_EQ(coir_read(tcp.out, answer, sizeof answer, COIR_NEVER), 0);
    return coir_shutdown(tcp.out, SHUT_WR);
}

static int answer_early(void *arg)
{
    char byte;
    tcp_open(arg);
    coir_fiber fiber = run_spawn(client, NULL);
    CHECK_EQ(coir_read(tcp.in, &byte, 1, COIR_NEVER), 1);
    CHECK_EQ(coir_write(tcp.in, "answer", 6, COIR_NEVER), 6);
    CHECK_EQ(coir_net_drain(tcp.in, COIR_NEVER), 0);
    CHECK_EQ(run_join(fiber), 0);
    CHECK_EQ(coir_net_drain(tcp.in, COIR_NEVER), -ENOTCONN); /* both had ended */
    tcp_close();
    return 0;
}

/* proves: N14 */
TEST(test_what_was_written_arrives_though_much_was_not_read)
{
    run_both(answer_early);
}

static bool over; /* the sender has ended */

static int send_for_ever(void *arg)
{
    static char data[65536];
    (void)arg;
    while (coir_write(tcp.out, data, sizeof data, COIR_NEVER) > 0)
        ;
    over = true;
    return 0;
}

static int endless(void *arg)
{
    tcp_open(arg);
    over = false;
    coir_fiber fiber = run_spawn(send_for_ever, NULL);
    CHECK_EQ(coir_net_drain(tcp.in, coir_after(COIR_MS(20))), COIR_TIMED_OUT);
    CHECK(!over);
    CHECK_EQ(coir_net_drain(tcp.in, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_close(tcp.in), 0);
    CHECK_EQ(run_join(fiber), 0);
    CHECK_EQ(coir_close(tcp.out), 0);
    return 0;
}

/* proves: N14 */
TEST(test_a_peer_that_sends_for_ever_is_given_up)
{
    run_both(endless);
}

static int silent(void *arg)
{
    tcp_open(arg);
    CHECK_EQ(coir_net_drain(tcp.in, coir_after(COIR_MS(5))), COIR_TIMED_OUT);
    CHECK_EQ(coir_cancel(coir_self(), COIR_CANCELLED), 0);
    CHECK_EQ(coir_net_drain(tcp.in, COIR_NEVER), COIR_CANCELLED);
    tcp_close();
    CHECK_EQ(coir_net_drain(-1, COIR_NEVER), -EBADF);
    return 0;
}

/* proves: N14 */
TEST(test_a_peer_that_says_nothing_is_given_up)
{
    run_both(silent);
}

/* A peer that resets, one that is gone, and what is no socket. */
static int failing(void *arg)
{
    struct fds_pair pipe = fds_pipe(0);
    tcp_open(arg);
    struct linger at_once = {.l_onoff = 1};
    CHECK_EQ(coir_setsockopt(tcp.out, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    CHECK_EQ(coir_close(tcp.out), 0);
    CHECK_EQ(coir_net_drain(tcp.in, COIR_NEVER), -ECONNRESET);
    CHECK_EQ(coir_close(tcp.in), 0);
    int fd = coir_socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(coir_net_drain(fd, COIR_NEVER), -ENOTCONN);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(coir_net_drain(pipe.in, COIR_NEVER), -ENOTSOCK);
    fds_close(pipe);
    return 0;
}

/* proves: N14 */
TEST(test_draining_what_has_failed_says_so)
{
    run_both(failing);
}
