/* Every call on a descriptor with a descriptor that is not one, not the right one, or not open; and
 * with sizes and pointers that are nothing: a defined error each, at once. */
#include "fds.h"

#include <coir_io.h>
#include <limits.h>

static char byte;
static struct iovec part = {&byte, 1};
static struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
static struct sockaddr_storage addr = {.ss_family = AF_INET};
static socklen_t addr_size;

#define CALL(id, expr)                                                                             \
    static int64_t call_##id(int fd)                                                               \
    {                                                                                              \
        addr_size = sizeof(struct sockaddr_in);                                                    \
        return (expr);                                                                             \
    }

CALL(wait_fd, coir_wait_fd(fd, COIR_IN, COIR_NEVER))
CALL(adopt, coir_adopt(fd))
CALL(read, coir_read(fd, &byte, 1, COIR_NEVER))
CALL(write, coir_write(fd, &byte, 1, COIR_NEVER))
CALL(read_all, coir_read_all(fd, &byte, 1, NULL, COIR_NEVER))
CALL(write_all, coir_write_all(fd, &byte, 1, NULL, COIR_NEVER))
CALL(readv, coir_readv(fd, &part, 1, COIR_NEVER))
CALL(writev, coir_writev(fd, &part, 1, COIR_NEVER))
CALL(dup, coir_dup(fd))
CALL(recv, coir_recv(fd, &byte, 1, 0, COIR_NEVER))
CALL(send, coir_send(fd, &byte, 1, 0, COIR_NEVER))
CALL(recvfrom, coir_recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&addr, &addr_size, COIR_NEVER))
CALL(sendto, coir_sendto(fd, &byte, 1, 0, (struct sockaddr *)&addr, addr_size, COIR_NEVER))
CALL(recvmsg, coir_recvmsg(fd, &message, 0, COIR_NEVER))
CALL(sendmsg, coir_sendmsg(fd, &message, 0, COIR_NEVER))
CALL(bind, coir_bind(fd, (struct sockaddr *)&addr, addr_size))
CALL(listen, coir_listen(fd, 1))
CALL(shutdown, coir_shutdown(fd, SHUT_WR))
CALL(getsockopt, coir_getsockopt(fd, SOL_SOCKET, SO_ERROR, &byte, &addr_size))
CALL(setsockopt, coir_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &addr_size, sizeof addr_size))
CALL(getsockname, coir_getsockname(fd, (struct sockaddr *)&addr, &addr_size))
CALL(getpeername, coir_getpeername(fd, (struct sockaddr *)&addr, &addr_size))
CALL(accept, coir_accept(fd, NULL, NULL, COIR_NEVER))
CALL(connect, coir_connect(fd, (struct sockaddr *)&addr, addr_size, COIR_NEVER))
CALL(close, coir_close(fd))

#define ROW(id) {#id, call_##id}

static const struct row {
    const char *name;
    int64_t (*call)(int fd);
} ROWS[] = {
    ROW(wait_fd),     ROW(adopt),       ROW(read),   ROW(write),   ROW(read_all),
    ROW(write_all),  ROW(readv),       ROW(writev), ROW(dup),     ROW(recv),
    ROW(send),        ROW(recvfrom),    ROW(sendto), ROW(recvmsg), ROW(sendmsg),
    ROW(bind),        ROW(listen),      ROW(shutdown), ROW(getsockopt), ROW(setsockopt),
    ROW(getsockname), ROW(getpeername), ROW(accept), ROW(connect), ROW(close),
};

enum { ROWS_COUNT = sizeof ROWS / sizeof *ROWS, ROW_FIRST_SOCKET = 9, ROW_LAST_SOCKET = 23 };

static int not_open(void *arg)
{
    int closed = dup(0), numbers[] = {-1, INT_MIN, INT_MAX, closed};
    (void)arg;
    CHECK_EQ(close(closed), 0);
    for (int i = 0; i < 4; i++)
        for (int row = 0; row < ROWS_COUNT; row++) {
            printf("%s of %d\n", ROWS[row].name, numbers[i]);
            CHECK_EQ(ROWS[row].call(numbers[i]), -EBADF);
        }
    CHECK(inside_io()->fds.table.pages_count == 0);
    return 0;
}

/* proves: D17 */
TEST(test_bad_input_of_a_number_that_is_not_open)
{
    run_monotonic(not_open, NULL);
}

/* A pipe's ends are empty and writable, so none of the calls may wait to find out. */
static int not_a_socket(void *arg)
{
    int files[] = {fds_file(), 0, 0};
    (void)arg;
    CHECK_EQ(pipe2(files + 1, 0), 0);
    for (int i = 0; i < 3; i++)
        for (int row = ROW_FIRST_SOCKET; row <= ROW_LAST_SOCKET; row++) {
            printf("%s of file %d\n", ROWS[row].name, i);
            CHECK_EQ(ROWS[row].call(files[i]), -ENOTSOCK);
        }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_close(files[i]), 0);
    return 0;
}

/* proves: D17 */
TEST(test_bad_input_of_a_file_that_is_not_a_socket)
{
    run_monotonic(not_a_socket, NULL);
}

static int nothing(void *arg)
{
    int fds[2];
    (void)arg;
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(coir_write(fds[0], NULL, 0, COIR_NEVER), 0);
    CHECK_EQ(coir_send(fds[0], NULL, 0, 0, COIR_NEVER), 0);
    CHECK_EQ(coir_writev(fds[0], NULL, 0, COIR_NEVER), 0);
    CHECK_EQ(coir_read_all(fds[0], NULL, 0, NULL, COIR_NEVER), 1);
    CHECK_EQ(coir_write_all(fds[0], NULL, 0, NULL, COIR_NEVER), 0);
    CHECK_EQ(coir_send(fds[0], NULL, 1, 0, COIR_NEVER), -EFAULT);
    CHECK_EQ(coir_write(fds[0], "x", 1, COIR_NEVER), 1);
    CHECK_EQ(coir_recv(fds[1], NULL, 1, 0, COIR_NEVER), -EFAULT);
    CHECK_EQ(coir_read(fds[1], &byte, 1, COIR_NEVER), 1);
    CHECK_EQ(coir_accept(fds[0], NULL, NULL, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_socket(-1, SOCK_STREAM, 0), -EAFNOSUPPORT);
    CHECK_EQ(coir_close(fds[0]), 0);
    return coir_close(fds[1]);
}

/* proves: D17 */
TEST(test_bad_input_of_nothing)
{
    if (getenv("COIR_TEST_VALGRIND"))
        SKIP("valgrind objects to the pointers themselves");
    run_monotonic(nothing, NULL);
}

static int send_too_much(void *arg)
{
    return (int)coir_send(1, arg, SIZE_MAX, 0, COIR_NEVER);
}

/* proves: D17, F2 */
TEST_DIES(test_bad_input_of_a_negative_size, SIGABRT, "coir_send: the size is negative")
{
    coir_run(send_too_much, NULL, NULL, NULL);
}
