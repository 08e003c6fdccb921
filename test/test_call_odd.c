/* Calls on descriptors of which the kernel says odd things: readiness that stays and is not so,
 * ends that are none, attempts that failed; and numbers that are coir's own. */
#include "fds.h"

#include <coir_io.h>
#include <coir_loop.h>
#include <coir_net.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

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

/* A socket whose error queue nobody empties: poll says ERR for ever. */
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
    CHECK_EQ(coir_recv(fd, &byte, 1, 0, coir_after(COIR_MS(300))), -ETIMEDOUT);
    CHECK_EQ(coir_read(fd, &byte, 1, coir_after(COIR_MS(300))), -ETIMEDOUT);
    CHECK(processor_us() - before < 10000);
    return coir_close(fd);
}

/* proves: T7, D12 */
TEST(test_regress_reader_beside_an_error_queue_spins)
{
    for (int owned = 0; owned < 2; owned++)
        run_monotonic(error_queue, &(bool){owned});
}
#endif

/* A datagram socket that is shut for reading: poll says readable for ever, a read EAGAIN (Linux) or
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
    CHECK(got == -ETIMEDOUT || got == 0);
    CHECK(processor_us() - before < 10000);
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

/* ---- an end that is none ---- */

static const char *fifo_path(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/coir_fifo_%d", (int)getpid());
    return path;
}

static int write_to_fifo(void *arg)
{
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    int fd = open(fifo_path(), O_WRONLY | O_NONBLOCK);
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
    int fd = open(fifo_path(), O_RDONLY | O_NONBLOCK);
    CHECK(fd >= 0);
    if (owned)
        CHECK_EQ(coir_adopt(fd), 0);
    CHECK_EQ(coir_read(fd, text, sizeof text, 0), -ETIMEDOUT);
    CHECK_EQ(coir_read(fd, text, sizeof text, coir_after(COIR_MS(1))), -ETIMEDOUT);
    for (int vector = 0; vector < 2; vector++) {
        coir_fiber writer = run_spawn(write_to_fifo, NULL);
        uint64_t until = coir_after(COIR_SEC(5));
        ssize_t got = vector ? coir_readv(fd, &part, 1, until)
                             : coir_read(fd, text, sizeof text, until);
        CHECK_EQ(got, 5);
        CHECK_EQ(run_join(writer), 0);
        CHECK_EQ(coir_read(fd, text, sizeof text, until), 0); /* its writer has gone */
        if (!vector) { /* one that is opened anew has had no writer yet */
            int again = open(fifo_path(), O_RDONLY | O_NONBLOCK);
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
        unlink(fifo_path());
        CHECK_EQ(mkfifo(fifo_path(), 0600), 0);
        run_monotonic(read_from_fifo, &(bool){owned});
        unlink(fifo_path());
    }
}

/* ---- connects ---- */

static int burn(void *arg)
{
    uint64_t until = coir_after(COIR_MS(*(int *)arg));
    while (coir_now() < until)
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
    CHECK_EQ(coir_recv(pair.in, text, 0, 0, coir_after(COIR_MS(1))), -ETIMEDOUT);
    while (coir_send(pair.out, text, 4, 0, 0) == 4)
        continue;
    CHECK_EQ(coir_send(pair.out, "", 0, 0, coir_after(COIR_MS(1))), -ETIMEDOUT); /* is a message */
    CHECK_EQ(coir_close(pair.in) | coir_close(pair.out), 0);
    return 0;
}

/* proves: D17 */
TEST(test_messages_without_bytes_are_messages)
{
    for (int owned = 0; owned < 2; owned++)
        run_monotonic(empty_messages, &(bool){owned});
}

/* ---- numbers ---- */

static int64_t any_call(int which, int fd)
{
    static char byte;
    struct sockaddr_in name = {.sin_family = AF_INET};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    socklen_t size = sizeof name;
    struct sockaddr *addr = (struct sockaddr *)&name;
    switch (which) {
    case 0: return coir_read(fd, &byte, 1, 0);
    case 1: return coir_write(fd, &byte, 1, 0);
    case 2: return coir_readv(fd, &part, 1, 0);
    case 3: return coir_writev(fd, &part, 1, 0);
    case 4: return coir_recv(fd, &byte, 1, 0, 0);
    case 5: return coir_send(fd, &byte, 1, 0, 0);
    case 6: return coir_recvmsg(fd, &message, 0, 0);
    case 7: return coir_sendmsg(fd, &message, 0, 0);
    case 8: return coir_accept(fd, NULL, NULL, 0);
    case 9: return coir_connect(fd, addr, size, 0);
    case 10: return coir_wait_fd(fd, COIR_IN, 0);
    case 11: return coir_adopt(fd);
    case 12: return coir_dup(fd);
    case 13: return coir_bind(fd, addr, size);
    case 14: return coir_listen(fd, 1);
    case 15: return coir_shutdown(fd, SHUT_RD);
    case 16: return coir_getsockopt(fd, SOL_SOCKET, SO_TYPE, &size, &size);
    case 17: return coir_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &size, sizeof size);
    case 18: return coir_getsockname(fd, addr, &size);
    case 19: return coir_getpeername(fd, addr, &size);
    case 20: return coir_close(fd);
    default: return 1;
    }
}

static int own_numbers(void *arg)
{
    coir_mailbox box;
    bool was_open[256], any = false;
    for (int fd = 0; fd < 256; fd++)
        was_open[fd] = fcntl(fd, F_GETFD) >= 0;
    CHECK_EQ(coir_mailbox_open(&box), 0);
    for (int fd = 0; fd < 256; fd++)
        for (int which = 0; !was_open[fd] && fcntl(fd, F_GETFD) >= 0; which++) {
            int64_t result = any_call(which, fd);
            if (result == 1)
                break;
            printf("descriptor %d, call %d\n", fd, which);
            CHECK_EQ(result, -EBADF);
            any = true;
        }
    CHECK(any);
    CHECK_EQ(coir_mailbox_close(box), 0);
    return arg ? 1 : 0;
}

/* proves: D10 */
TEST(test_descriptors_that_coir_keeps_for_itself_are_not_open_for_any_call)
{
    run_monotonic(own_numbers, NULL);
}

/* proves: P3 */
TEST(test_descriptors_of_an_event_loop_are_not_open_for_it)
{
    coir_loop *loop;
    bool was_open[256];
    for (int fd = 0; fd < 256; fd++)
        was_open[fd] = fcntl(fd, F_GETFD) >= 0;
    CHECK_EQ(coir_loop_open(&loop, COIR_WORLD_DEFAULT), 0);
    CHECK_EQ(coir_loop_add_wake(loop, NULL), 0);
    for (int fd = 0; fd < 256; fd++)
        if (!was_open[fd] && fcntl(fd, F_GETFD) >= 0) {
            CHECK_EQ(coir_loop_add_read(loop, fd, NULL), -EBADF);
            CHECK_EQ(coir_loop_add_write(loop, fd, NULL), -EBADF);
            CHECK_EQ(coir_loop_del_read(loop, fd), -EBADF);
            CHECK_EQ(coir_loop_del_write(loop, fd), -EBADF);
        }
    coir_loop_close(loop);
}

static int makes_all(void *arg)
{
    coir_mailbox box;
    struct sockaddr_in there;
    int made[8], count = 6;
    CHECK_EQ(coir_pipe(made), 0);
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, made + 2), 0);
    made[4] = coir_socket(AF_INET, SOCK_STREAM, 0);
    made[5] = coir_dup(made[0]);
    int listener = fds_listen(&there, 1), client = fds_connect(&there);
    made[count++] = coir_accept(listener, NULL, NULL, coir_after(COIR_SEC(5)));
    CHECK_EQ(coir_mailbox_open(&box), 0);
    for (int i = 0; i < count; i++)
        CHECK(made[i] > 2);
    for (int fd = 0; fd < 3; fd++)
        CHECK(fcntl(fd, F_GETFD) < 0 || fd == listener || fd == client);
    CHECK_EQ(coir_mailbox_close(box), 0);
    return arg ? 1 : 0;
}

/* proves: D10 */
TEST(test_regress_socket_of_coirs_gets_the_number_of_standard_error)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        int result = -1;
        _exit(coir_run(makes_all, NULL, NULL, &result) != 0 || result != 0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

static int adopts_first(void *arg)
{
    CHECK_EQ(coir_adopt(*(int *)arg), -EBADF);
    CHECK_EQ(coir_adopt(*(int *)arg), -EBADF);
    return 0;
}

/* proves: D17 */
TEST(test_adopting_a_closed_number_is_ebadf_though_it_is_the_first_call)
{
    int fd = dup(0);
    close(fd);
    run_monotonic(adopts_first, &fd);
}
