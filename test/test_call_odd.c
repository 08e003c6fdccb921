/* Calls on descriptors of which the kernel says odd things: readiness that stays and is not so,
 * ends that are none, attempts that failed. */
#include "fds.h"

#include <coir_io.h>
#include <coir_net.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Far less than a call that spins takes, also where the machine is emulated. */
enum { NO_SPIN_US = 100 * 1000 };

static int64_t processor_us(void)
{
    struct rusage usage;
    CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
    return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* ---- readiness that stays ---- */

#if defined(__linux__)
#include <linux/errqueue.h>

/* A socket whose error queue nobody empties: poll says ERR forever. */
static int error_queue(void *arg)
{
    bool owned = *(bool *)arg;
    struct sockaddr_in dead = {.sin_family = AF_INET};
    socklen_t size = sizeof dead;
    char byte;
    dead.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int nobody = socket(AF_INET, SOCK_DGRAM, 0), fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_EQ(bind(nobody, (struct sockaddr *)&dead, size), 0);
    CHECK_EQ(getsockname(nobody, (struct sockaddr *)&dead, &size), 0);
    close(nobody);
    CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &(int){1}, sizeof(int)), 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&dead, size), 0);
    if (owned)
        CHECK_EQ(coir_adopt(fd), 0);
    CHECK_EQ(send(fd, "x", 1, 0), 1);
    CHECK_EQ(coir_read(fd, &byte, 1, coir_after(COIR_SEC(5))), -ECONNREFUSED);
    int64_t before = processor_us();
    CHECK_EQ(coir_recv(fd, &byte, 1, 0, coir_after(COIR_MS(300))), COIR_TIMED_OUT);
    CHECK_EQ(coir_read(fd, &byte, 1, coir_after(COIR_MS(300))), COIR_TIMED_OUT);
    CHECK(processor_us() - before < NO_SPIN_US);
    return coir_close(fd);
}

/* proves: T7, D12 */
TEST(test_regress_reader_beside_an_error_queue_spins)
{
    for (int owned = 0; owned < 2; owned++)
        run_monotonic(error_queue, &(bool){owned});
}
#endif

#if defined(__linux__)
static struct {
    struct sockaddr_un names[2];
    int socket, peers[2];
    ssize_t sent;
} post;

static void name_peer(int i)
{
    post.names[i] = fds_name(i == 0 ? "first" : "second");
    post.peers[i] = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_EQ(bind(post.peers[i], (struct sockaddr *)&post.names[i], sizeof post.names[i]), 0);
}

static char large[60000];

static ssize_t send_to(int i, size_t size, coir_time until)
{
    return coir_sendto(post.socket, large, size, 0, (struct sockaddr *)&post.names[i],
                       sizeof post.names[i], until);
}

static int sends_to_the_full(void *arg)
{
    CHECK_EQ(send_to(0, 1, COIR_NEVER), COIR_CANCELLED);
    return arg ? 1 : 0;
}

static int sends_to_the_drained(void *arg)
{
    CHECK_EQ(send_to(1, sizeof large, COIR_NEVER), sizeof large);
    return arg ? 1 : 0;
}

/* One fills its queue with messages, the other the socket's own buffer. */
static int two_senders(void *arg)
{
    coir_fiber fibers[2];
    name_peer(0);
    name_peer(1);
    post.socket = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_EQ(coir_adopt(post.socket), 0);
    while (send_to(0, 1, COIR_TRY) == 1)
        continue;
    while (send_to(1, sizeof large, COIR_TRY) > 0)
        continue;
    fibers[0] = run_spawn(sends_to_the_full, arg);
    CHECK_EQ(coir_sleep(COIR_MS(2)), 0);
    fibers[1] = run_spawn(sends_to_the_drained, arg);
    CHECK_EQ(coir_sleep(COIR_MS(2)), 0);
    while (recv(post.peers[1], large, sizeof large, MSG_DONTWAIT) > 0)
        continue;
    CHECK_EQ(coir_join(fibers[1], NULL, coir_after(COIR_SEC(5))), 0);
    CHECK_EQ(coir_cancel(fibers[0], COIR_CANCELLED), 0);
    CHECK_EQ(run_join(fibers[0]), 0);
    for (int i = 0; i < 2; i++)
        close(post.peers[i]);
    return coir_close(post.socket);
}

/* proves: D1 */
TEST(test_regress_sender_to_a_full_peer_keeps_the_wake_from_others)
{
    run_monotonic(two_senders, NULL);
}
#endif

/* A datagram socket that is shut for reading: poll says readable forever, a read EAGAIN (Linux) or
 * the end (others). On a virtual clock the deadline has to come all the same. */
static int shut_datagrams(void *arg)
{
    bool owned = *(bool *)arg;
    struct fds_pair pair = fds_unix(SOCK_DGRAM);
    fds_nonblocking(pair.in);
    CHECK_EQ(shutdown(pair.in, SHUT_RD), 0);
    if (owned)
        CHECK_EQ(coir_adopt(pair.in), 0);
    int64_t before = processor_us();
    ssize_t got = coir_read(pair.in, &(char){0}, 1, coir_after(COIR_MS(500)));
    CHECK(got == COIR_TIMED_OUT || got == 0);
    CHECK(processor_us() - before < NO_SPIN_US);
    close(pair.out);
    return coir_close(pair.in);
}

/* proves: T7, T1 */
TEST(test_regress_reader_of_a_datagram_socket_that_is_shut_spins)
{
    for (int owned = 0; owned < 2; owned++) {
        run_monotonic(shut_datagrams, &(bool){owned});
        run_virtual(shut_datagrams, &(bool){owned});
    }
}

/* A file that cannot be polled, and says all the same that it would have to wait. */
static const struct cr_world_ops *real;
static struct cr_world_ops ops;

static int64_t never_reads(struct cr_world *world, struct cr_op *op)
{
    return op->kind == CR_OP_READ ? -EAGAIN : real->start(world, op);
}

static int file_that_waits(void *arg)
{
    bool owned = *(bool *)arg;
    int fd = fds_file();
    if (owned)
        CHECK_EQ(coir_adopt(fd), 0);
    real = inside_replace_ops(&ops);
    ops.start = never_reads;
    int64_t before = processor_us();
    CHECK_EQ(coir_read(fd, &(char){0}, 1, coir_after(COIR_MS(300))), COIR_TIMED_OUT);
    CHECK(processor_us() - before < NO_SPIN_US);
    inside_restore_ops(real);
    return coir_close(fd);
}

/* proves: T7, D3 */
TEST(test_reader_of_a_file_that_cannot_be_polled_and_would_wait_does_not_spin)
{
    for (int owned = 0; owned < 2; owned++)
        run_monotonic(file_that_waits, &(bool){owned});
}

/* ---- an end that is none ---- */

static int write_to_fifo(void *arg)
{
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    int fd = open(test_path("fifo"), O_WRONLY | O_NONBLOCK);
    CHECK(fd >= 0);
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    fds_put(fd, "hello");
    close(fd);
    return arg ? 1 : 0;
}

static int read_from_fifo(void *arg)
{
    bool owned = *(bool *)arg;
    char text[8];
    struct iovec part = {text, sizeof text};
    int fd = open(test_path("fifo"), O_RDONLY | O_NONBLOCK);
    CHECK(fd >= 0);
    if (owned)
        CHECK_EQ(coir_adopt(fd), 0);
    CHECK_EQ(coir_read(fd, text, sizeof text, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_read(fd, text, sizeof text, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    for (int vector = 0; vector < 2; vector++) {
        coir_fiber writer = run_spawn(write_to_fifo, NULL);
        coir_time until = coir_after(COIR_SEC(5));
        ssize_t got = vector ? coir_readv(fd, &part, 1, until)
                             : coir_read(fd, text, sizeof text, until);
        CHECK_EQ(got, 5);
        CHECK_EQ(run_join(writer), 0);
        CHECK_EQ(coir_read(fd, text, sizeof text, until), 0); /* its writer has gone */
        if (!vector) { /* one that is opened again has had no writer yet */
            int again = open(test_path("fifo"), O_RDONLY | O_NONBLOCK);
            CHECK_EQ(coir_close(fd), 0);
            fd = again;
            if (owned)
                CHECK_EQ(coir_adopt(fd), 0);
        }
    }
    return coir_close(fd);
}

/* proves: D7 */
TEST(test_regress_read_of_a_fifo_without_a_writer_so_far_is_an_end_of_file)
{
    for (int owned = 0; owned < 2; owned++) {
        CHECK_EQ(mkfifo(test_path("fifo"), 0600), 0);
        run_monotonic(read_from_fifo, &(bool){owned});
        unlink(test_path("fifo"));
    }
}

/* ---- connects ---- */

static int burn(void *arg)
{
    coir_time until = coir_after(COIR_MS(*(int *)arg));
    while (coir_left(until) > 0)
        continue;
    return 0;
}

static int dial_beside_a_burner(void *arg)
{
    static int length = 60;
    coir_addr addr;
    char text[COIR_ADDR_TEXT];
    int listener = coir_net_listen("127.0.0.1:0", NULL);
    CHECK(listener >= 0 && coir_net_local(listener, &addr) == 0);
    CHECK(coir_addr_text(&addr, text, sizeof text) > 0);
    coir_fiber burner = run_spawn(burn, &length);
    int fd = coir_net_dial(text, NULL, coir_after(COIR_MS(20)));
    CHECK(fd >= 0);
    CHECK_EQ(run_join(burner), 0);
    CHECK(coir_close(fd) == 0 && coir_close(listener) == 0);
    return arg ? 1 : 0;
}

/* proves: T4, D14 */
TEST(test_regress_dial_that_the_kernel_has_done_is_out_of_time_because_the_loop_was_busy)
{
    run_monotonic(dial_beside_a_burner, NULL);
}

static int result_of(int result)
{
    return result < 0 ? -errno : result;
}

/* What a blocking connect(2) says, twice where nobody listens, and then where somebody does. */
static int connect_again(void *arg)
{
    int answers[2][5];
    for (int ours = 0; ours < 2; ours++) {
        struct sockaddr_in there;
        int listener = fds_listen(&there, 4), fd = socket(AF_INET, SOCK_STREAM, 0);
        const struct sockaddr *name = (const struct sockaddr *)&there;
        close(listener);
        for (int i = 0; i < 5; i++) {
            if (i == 2) {
                listener = socket(AF_INET, SOCK_STREAM, 0);
                CHECK_EQ(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, 4), 0);
                CHECK_EQ(bind(listener, name, sizeof there), 0);
                CHECK_EQ(listen(listener, 4), 0);
            }
            answers[ours][i] = ours ? coir_connect(fd, name, sizeof there, COIR_NEVER)
                                    : result_of(connect(fd, name, sizeof there));
        }
        CHECK_EQ(coir_close(fd), 0);
        close(listener);
    }
    for (int i = 0; i < 5; i++)
        CHECK_EQ(answers[1][i], answers[0][i]);
    return arg ? 1 : 0;
}

/* proves: D14 */
TEST(test_regress_connect_after_one_that_failed_says_aborted_and_begins_nothing)
{
    run_monotonic(connect_again, NULL);
}

/* ---- no bytes ---- */

static int empty_messages(void *arg)
{
    struct fds_pair pair = fds_unix(SOCK_DGRAM);
    char text[4];
    if (*(bool *)arg)
        CHECK_EQ(coir_adopt(pair.out) | coir_adopt(pair.in), 0);
    CHECK_EQ(coir_send(pair.out, "", 0, 0, COIR_NEVER), 0);
    CHECK_EQ(coir_sendto(pair.out, "", 0, 0, NULL, 0, COIR_NEVER), 0);
    CHECK_EQ(coir_send(pair.out, "abc", 3, 0, COIR_NEVER), 3);
    CHECK_EQ(coir_recv(pair.in, text, 4, 0, COIR_NEVER), 0);
    CHECK_EQ(coir_recv(pair.in, text, 0, 0, COIR_NEVER), 0); /* takes the second */
    CHECK_EQ(coir_recv(pair.in, text, 4, 0, COIR_NEVER), 3);
    CHECK_EQ(coir_recv(pair.in, text, 0, 0, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    while (coir_send(pair.out, text, 4, 0, COIR_TRY) == 4)
        continue;
    /* It is a message. */
    CHECK_EQ(coir_send(pair.out, "", 0, 0, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    CHECK_EQ(coir_close(pair.in) | coir_close(pair.out), 0);
    return 0;
}

/* proves: D17 */
TEST(test_messages_without_bytes_are_messages)
{
    for (int owned = 0; owned < 2; owned++)
        run_monotonic(empty_messages, &(bool){owned});
}
