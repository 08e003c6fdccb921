/* What coir_net.h and coir_loop.h say of descriptors that are none or not the right ones, of texts
 * that are no addresses, of pointers to nothing and of lengths that cannot be: a defined error
 * each, at once, and nothing stays open. */
#include "fds.h"

#include <coir_loop.h>
#include <coir_buffer.h>
#include <coir_net.h>
#include <limits.h>

static char memory[64], *handed_out;
static coir_addr addr;
static coir_loop *loop;
static coir_reader shared_reader;

static int no_handler(int fd, void *arg)
{
    (void)arg;
    return fd;
}

static coir_reader *reader_of(int fd)
{
    coir_reader_init(&shared_reader, fd, memory, sizeof memory);
    return &shared_reader;
}

static int64_t flush_to(int fd)
{
    coir_writer writer;
    coir_writer_init(&writer, fd, memory, sizeof memory);
    CHECK_EQ(coir_writer_write(&writer, "x", 1, COIR_NEVER), 1);
    int result = coir_writer_flush(&writer, COIR_NEVER);
    CHECK(result == 0 || (writer.end == 1 && coir_writer_flush(&writer, COIR_NEVER) == result));
    return result;
}

static int64_t write_long_to(int fd)
{
    static char text[1000];
    coir_writer writer;
    coir_writer_init(&writer, fd, memory, sizeof memory);
    int64_t result = coir_writer_write(&writer, text, sizeof text, COIR_NEVER);
    CHECK(result >= 0 || writer.error == result);
    return result;
}

#define CALL(id, expr)                                                                             \
    static int64_t call_##id(int fd)                                                               \
    {                                                                                              \
        return (expr);                                                                             \
    }

CALL(local, coir_net_local(fd, &addr))
CALL(peer, coir_net_peer(fd, &addr))
CALL(serve, coir_net_serve(fd, no_handler, NULL, NULL))
CALL(fill, coir_reader_fill(reader_of(fd), COIR_NEVER))
CALL(line, coir_reader_line(reader_of(fd), &handed_out, COIR_NEVER))
CALL(until, coir_reader_until(reader_of(fd), "x", 1, &handed_out, COIR_NEVER))
CALL(exact, coir_reader_exact(reader_of(fd), 2, &handed_out, COIR_NEVER))
CALL(read, coir_reader_read(reader_of(fd), memory, 1, COIR_NEVER))
CALL(flush, flush_to(fd))
CALL(write_long, write_long_to(fd))
CALL(add_read, coir_loop_add_read(loop, fd, NULL))
CALL(add_write, coir_loop_add_write(loop, fd, NULL))
CALL(del_read, coir_loop_del_read(loop, fd))
CALL(del_write, coir_loop_del_write(loop, fd))

/* What each says of a number that is not open, of a directory, and of a socket that is not
 * connected. */
static const struct row {
    const char *name;
    int64_t (*call)(int fd);
    int closed, negative, directory, unconnected;
} ROWS[] = {
    {"local", call_local, -EBADF, -EBADF, -ENOTSOCK, 0},
    {"peer", call_peer, -EBADF, -EBADF, -ENOTSOCK, -ENOTCONN},
    {"serve", call_serve, -EBADF, -EBADF, -ENOTSOCK, -EINVAL},
    {"fill", call_fill, -EBADF, -EBADF, -EISDIR, -ENOTCONN},
    {"line", call_line, -EBADF, -EBADF, -EISDIR, -ENOTCONN},
    {"until", call_until, -EBADF, -EBADF, -EISDIR, -ENOTCONN},
    {"exact", call_exact, -EBADF, -EBADF, -EISDIR, -ENOTCONN},
    {"read", call_read, -EBADF, -EBADF, -EISDIR, -ENOTCONN},
    {"flush", call_flush, -EBADF, -EBADF, -EBADF, -EPIPE},
    {"write_long", call_write_long, -EBADF, -EBADF, -EBADF, -EPIPE},
    {"add_read", call_add_read, -EBADF, -EBADF, 0, 0},
    {"add_write", call_add_write, -EBADF, -EBADF, 0, 0},
    {"del_read", call_del_read, -ENOENT, -EBADF, 0, 0},
    {"del_write", call_del_write, -ENOENT, -EBADF, 0, 0},
};

enum { ROWS_COUNT = sizeof ROWS / sizeof *ROWS };

static int each_descriptor(void *arg)
{
    int folder = open("/", O_RDONLY | O_DIRECTORY);
    int closed[] = {100, INT_MAX, INT_MAX - 1}, negative[] = {-1, -2, INT_MIN};
    (void)arg;
    CHECK_EQ(coir_loop_open(&loop, COIR_WORLD_DEFAULT), 0);
    for (int row = 0; row < ROWS_COUNT; row++) {
        printf("%s\n", ROWS[row].name);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(ROWS[row].call(closed[i]), ROWS[row].closed);
            CHECK_EQ(ROWS[row].call(negative[i]), ROWS[row].negative);
        }
        CHECK_EQ(ROWS[row].call(folder), ROWS[row].directory);
        int fd = coir_socket(AF_INET, SOCK_STREAM, 0);
        if (strncmp(ROWS[row].name, "del_", 4) == 0)
            CHECK_EQ(row % 2 ? coir_loop_add_write(loop, fd, NULL)
                             : coir_loop_add_read(loop, fd, NULL), 0);
        CHECK_EQ(ROWS[row].call(fd), ROWS[row].unconnected);
        CHECK_EQ(coir_close(fd), 0);
    }
    close(folder);
    coir_loop_close(loop);
    return 0;
}

/* proves: D17, P3, N11 */
TEST(test_bad_input_of_descriptors_to_servers_readers_writers_and_loops)
{
    run_monotonic(each_descriptor, NULL);
}

/* ---- texts, pointers, numbers ---- */

static const char *const NO_ADDRESSES[] = {
    NULL, "", ":", "::", "[", "[]", "[]:", "[]:80", "[::1]", "[::1]80", "[::1]:", "[::1:80",
    "127.0.0.1", "127.0.0.1:", "127.0.0.1:-1", "127.0.0.1:65536", "127.0.0.1:080", "127.0.0.1:8x",
    "127.0.0.1:99999999999999999999", "127.0.0.256:80", "127.1:80", "localhost:80", "1.2.3.4.5:80",
    " 127.0.0.1:80", "127.0.0.1:80 ", "tcp:", "udp:", "unix:", "unixgram:", "@", "unix:@", "tcp:/x",
    "[127.0.0.1]:80", "[::1%]:80", "[fe80::1%-1]:80", "[fe80::1%99999999999]:80", "\xff\xfe:80",
};

static int each_text(void *arg)
{
    static char longest[5000];
    int before = fds_open();
    coir_addr untouched;
    (void)arg;
    memset(&untouched, 0x5a, sizeof untouched);
    for (size_t i = 0; i < sizeof NO_ADDRESSES / sizeof *NO_ADDRESSES; i++) {
        addr = untouched;
        int result = coir_addr_parse(&addr, NO_ADDRESSES[i]);
        printf("\"%s\": %s\n", NO_ADDRESSES[i] ? NO_ADDRESSES[i] : "(null)",
               coir_error_name(result));
        CHECK(result == -EINVAL || result == -ENODEV);
        CHECK(memcmp(&addr, &untouched, sizeof addr) == 0);
        CHECK_EQ(coir_net_listen(NO_ADDRESSES[i], NULL), result);
        CHECK_EQ(coir_net_dial(NO_ADDRESSES[i], NULL, COIR_NEVER), result);
    }
    memset(longest, 'x', sizeof longest - 1);
    CHECK_EQ(coir_net_listen(longest, NULL), -EINVAL);
    memcpy(longest, "./", 2);
    CHECK_EQ(coir_net_listen(longest, NULL), -ENAMETOOLONG);
    CHECK_EQ(coir_net_dial(longest, NULL, COIR_NEVER), -ENAMETOOLONG);
    CHECK_EQ(coir_net_listen("/nowhere/at/all.sock", NULL), -ENOENT);
    CHECK_EQ(coir_net_dial("/nowhere/at/all.sock", NULL, COIR_NEVER), -ENOENT);
    struct coir_net_opts odd = {.keep_alive_s = -1, .backlog = -1};
    int fd = coir_net_listen("127.0.0.1:0", &odd);
    CHECK(fd == -EINVAL || (fd >= 0 && coir_close(fd) == 0));
    CHECK_EQ(fds_open(), before);
    return 0;
}

/* proves: D17, N1, N3 */
TEST(test_bad_input_of_texts_that_are_no_addresses)
{
    run_monotonic(each_text, NULL);
}

static int no_places(void *arg)
{
    char text[COIR_ADDR_TEXT];
    int fds[2];
    (void)arg;
    CHECK_EQ(coir_addr_parse(&addr, "127.0.0.1:80"), 0);
    CHECK_EQ(coir_addr_parse(NULL, "127.0.0.1:80"), -EINVAL);
    CHECK_EQ(coir_addr_text(NULL, text, sizeof text), -EINVAL);
    CHECK_STR(text, "");
    CHECK_EQ(coir_addr_text(&addr, NULL, sizeof text), -EINVAL);
    CHECK_EQ(coir_addr_text(&addr, NULL, 0), -ENAMETOOLONG);
    CHECK_EQ(coir_addr_text(&addr, text, 1), -ENAMETOOLONG);
    CHECK_EQ(coir_addr_text(&addr, text, SIZE_MAX), 12);
    for (int family = 0; family < 60; family++)
        for (socklen_t size = 0; size < 200; size += 7) {
            memset(&addr, 0xff, sizeof addr);
            addr.storage.ss_family = (sa_family_t)family;
            addr.size = size == 196 ? (socklen_t)-1 : size;
            int result = coir_addr_text(&addr, text, sizeof text);
            CHECK(result == (int)strlen(text) || (result < 0 && text[0] == '\0'));
        }
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(coir_net_local(fds[0], NULL), -EINVAL);
    CHECK_EQ(coir_net_peer(fds[0], NULL), -EINVAL);
    coir_reader reader = *reader_of(fds[0]);
    CHECK_EQ(coir_reader_exact(&reader, SIZE_MAX, &handed_out, COIR_NEVER), -EMSGSIZE);
    CHECK_EQ(coir_reader_exact(&reader, 0, &handed_out, COIR_NEVER), 0);
    CHECK_EQ(coir_reader_read(&reader, NULL, 0, COIR_NEVER), 0);
    CHECK_EQ(coir_reader_take(&reader, SIZE_MAX), 0);
    CHECK_EQ(coir_write(fds[1], "y", 1, COIR_NEVER), 1);
    CHECK_EQ(coir_reader_read(&reader, text, test_far_too_many(), COIR_NEVER), 1);
    CHECK(coir_close(fds[0]) == 0 && coir_close(fds[1]) == 0);
    return 0;
}

/* proves: D17, N1 */
TEST(test_bad_input_of_places_and_sizes_to_addresses_and_readers)
{
    run_monotonic(no_places, NULL);
}

/* proves: P3, P11 */
TEST(test_bad_input_of_loops_that_are_none)
{
    struct coir_loop_event event;
    CHECK_EQ(coir_loop_open(NULL, COIR_WORLD_DEFAULT), -EINVAL);
    CHECK_EQ(coir_loop_open(&loop, (enum coir_world)99), -ENOSYS);
    CHECK_EQ(coir_loop_open(&loop, (enum coir_world)-1), -ENOSYS);
    CHECK_EQ(coir_loop_add_read(NULL, 0, NULL), -EINVAL);
    CHECK_EQ(coir_loop_add_write(NULL, 0, NULL), -EINVAL);
    CHECK_EQ(coir_loop_del_read(NULL, 0), -EINVAL);
    CHECK_EQ(coir_loop_del_write(NULL, 0), -EINVAL);
    CHECK_EQ(coir_loop_add_wake(NULL, NULL), -EINVAL);
    CHECK_EQ(coir_loop_wake(NULL), -EINVAL);
    CHECK_EQ(coir_loop_wait(NULL, &event, 1, COIR_TRY), -EINVAL);
    coir_loop_close(NULL);
    CHECK_EQ(coir_loop_open(&loop, COIR_WORLD_DEFAULT), 0);
    CHECK_EQ(coir_loop_wait(loop, NULL, 1, COIR_TRY), -EINVAL);
    CHECK_EQ(coir_loop_wait(loop, &event, 0, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_loop_wait(loop, &event, INT_MIN, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_loop_wait(loop, &event, INT_MAX, COIR_TIME_NS(2)), 0);
    CHECK(coir_loop_after(INT64_MIN).ns <= coir_loop_now().ns);
    CHECK_EQ(coir_loop_after(INT64_MAX).ns, COIR_NEVER.ns);
    coir_loop_close(loop);
}
