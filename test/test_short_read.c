/* A read that comes back short: on TCP it proves that nothing is left, and saves a call; everywhere
 * else the rest, or the end of file, must be read without another edge, because the one that
 * reported of all of it has been taken in. */
#include "fds.h"

#ifdef __linux__
#include <sys/eventfd.h>
#endif
#include <termios.h>

enum { READS_MOST = 4, SIZE = 100 };

/* What is put into `out` at once, and what reads of SIZE bytes from `in` give then. "" is the end
 * of file; NULL: nothing more. */
struct message {
    const char *name;
    struct fds_pair (*make)(void);
    void (*put)(struct fds_pair pair);
    const char *reads[READS_MOST];
};

/* ---- pairs ---- */

static struct fds_pair make_pipe(void)
{
    return fds_pipe(0);
}

static struct fds_pair make_stream(void)
{
    return fds_unix(SOCK_STREAM);
}

static struct fds_pair make_datagrams(void)
{
    return fds_unix(SOCK_DGRAM);
}

static struct fds_pair make_packets(void)
{
    return fds_unix(SOCK_SEQPACKET);
}

static struct fds_pair make_udp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    struct fds_pair pair = {socket(AF_INET, SOCK_DGRAM, 0), socket(AF_INET, SOCK_DGRAM, 0)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(pair.in, (struct sockaddr *)&address, size), 0);
    CHECK_EQ(getsockname(pair.in, (struct sockaddr *)&address, &size), 0);
    CHECK_EQ(connect(pair.out, (struct sockaddr *)&address, size), 0);
    return pair;
}

static struct fds_pair make_terminal(void)
{
    struct fds_pair terminal = fds_terminal();
    struct termios mode;
    CHECK_EQ(tcgetattr(terminal.in, &mode), 0);
    mode.c_lflag &= ~(tcflag_t)ECHO;
    CHECK_EQ(tcsetattr(terminal.in, TCSANOW, &mode), 0);
    return terminal;
}

static struct fds_pair make_tcp_urgent_inline(void)
{
    struct fds_pair tcp = fds_tcp();
    CHECK_EQ(setsockopt(tcp.in, SOL_SOCKET, SO_OOBINLINE, &(int){1}, sizeof(int)), 0);
    return tcp;
}

#ifdef __linux__
static struct fds_pair make_packet_pipe(void)
{
    return fds_pipe(O_DIRECT);
}

static struct fds_pair make_packet_writer(void)
{
    struct fds_pair pipe = fds_pipe(0);
    CHECK_EQ(fcntl(pipe.out, F_SETFL, O_DIRECT), 0);
    return pipe;
}

static struct fds_pair make_semaphore(void)
{
    int counter = eventfd(0, EFD_SEMAPHORE);
    return (struct fds_pair){.in = counter, .out = dup(counter)};
}

static void put_three(struct fds_pair pair)
{
    CHECK_EQ(eventfd_write(pair.out, 3), 0);
}
#endif

/* ---- what is put into them ---- */

static void put_two(struct fds_pair pair)
{
    fds_put(pair.out, "ab");
    fds_put(pair.out, "cd");
}

static void put_lines(struct fds_pair pair)
{
    fds_put(pair.out, "ab\ncd\n");
}

static void put_and_end(struct fds_pair pair)
{
    fds_put(pair.out, "abc");
    if (shutdown(pair.out, SHUT_WR) != 0)
        CHECK_EQ(dup2(STDERR_FILENO, pair.out), pair.out); /* a pipe's last writer goes */
}

static void put_with_descriptors(struct fds_pair pair)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    char bytes[2] = {'a', 'b'};
    struct iovec data = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.head), &pair.out, sizeof(int));
    CHECK_EQ(sendmsg(pair.out, &message, 0), 2);
    fds_put(pair.out, "cd");
}

static void put_urgent(struct fds_pair pair)
{
    fds_put(pair.out, "abc");
    CHECK_EQ(send(pair.out, "!", 1, MSG_OOB), 1);
    fds_put(pair.out, "def");
}

static void put_urgent_and_end(struct fds_pair pair)
{
    put_urgent(pair);
    CHECK_EQ(shutdown(pair.out, SHUT_WR), 0);
}

/* Stands for a 1 as a counter gives it, eight bytes long. */
static const char ONE[] = "1";

static const struct message MESSAGES[] = {
    {"datagrams", make_datagrams, put_two, {"ab", "cd"}},
    {"packets", make_packets, put_two, {"ab", "cd"}},
    {"UDP", make_udp, put_two, {"ab", "cd"}},
    {"stream with descriptors", make_stream, put_with_descriptors, {"ab", "cd"}},
    {"TCP, urgent data", fds_tcp, put_urgent, {"abc", "def"}},
    {"TCP, urgent data inline", make_tcp_urgent_inline, put_urgent, {"abc", "!def"}},
    {"TCP, urgent data and end", fds_tcp, put_urgent_and_end, {"abc", "def", ""}},
    {"TCP, end right after", fds_tcp, put_and_end, {"abc", ""}},
    {"pipe, end right after", make_pipe, put_and_end, {"abc", ""}},
    {"stream, end right after", make_stream, put_and_end, {"abc", ""}},
#ifdef __linux__
    {"semaphore", make_semaphore, put_three, {ONE, ONE, ONE}},
#endif
    {"terminal", make_terminal, put_lines, {"ab\n", "cd\n"}},
};

#ifdef __linux__
static const struct message PACKET_PIPES[] = {
    {"O_DIRECT pipe", make_packet_pipe, put_two, {"ab", "cd"}},
    {"pipe made O_DIRECT by its writer", make_packet_writer, put_two, {"ab", "cd"}},
};
#endif

/* ---- reading them ---- */

struct reader {
    const struct message *message;
    int fd;
    bool waits; /* by coir_wait_fd, before it reads */
};

static int read_all(void *arg)
{
    const struct reader *reader = arg;
    char bytes[SIZE];
    coir_time until = coir_after(COIR_SEC(20));
    if (reader->waits)
        CHECK(coir_wait_fd(reader->fd, COIR_IN, until) > 0);
    for (int i = 0; i < READS_MOST && reader->message->reads[i]; i++) {
        const char *expected = reader->message->reads[i];
        uint64_t one = 1;
        const void *data = expected == ONE ? (const void *)&one : expected;
        size_t size = expected == ONE ? sizeof one : strlen(expected);
        CHECK_EQ(coir_read(reader->fd, bytes, sizeof bytes, until), size);
        CHECK_EQ(memcmp(bytes, data, size), 0);
    }
    CHECK(coir_left(until) > 0); /* past which a read would find what no edge had reported */
    return 0;
}

/* How the bytes and the reader meet: before it asks for any, while it is parked in a wait or a
 * read, or after a first message has made it a reader that waits for edges. */
enum meeting { BEFORE, IN_WAIT, IN_READ, MEETINGS };

static void check_message(const struct message *message, enum meeting meeting)
{
    static const char *const names[MEETINGS] = {"before", "in a wait", "in a read"};
    printf("%s, %s\n", message->name, names[meeting]);
    fflush(stdout);
    struct fds_pair pair = message->make();
    struct reader reader = {message, pair.in, meeting == IN_WAIT};
    CHECK(pair.in >= 0 && pair.out >= 0);
    CHECK_EQ(coir_adopt(pair.in), 0);
    if (meeting == BEFORE)
        message->put(pair);
    coir_fiber fiber = run_spawn(read_all, &reader);
    if (meeting != BEFORE) {
        fds_until_parked(fiber);
        message->put(pair);
    }
    CHECK_EQ(run_join(fiber), 0);
    fds_check_nothing_left(pair.in);
    CHECK_EQ(coir_close(pair.in), 0);
    close(pair.out);
}

static int check_messages(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < sizeof MESSAGES / sizeof *MESSAGES; i++)
        for (int meeting = 0; meeting < MEETINGS; meeting++)
            check_message(&MESSAGES[i], meeting);
    return 0;
}

/* proves: D7 */
TEST(test_short_read_of_what_comes_in_pieces_is_followed_by_the_next_piece)
{
    run_monotonic(check_messages, NULL);
}

#ifdef __linux__
/* Only the writer's flags say that a pipe holds packets: pipe2 gives the reader no O_DIRECT. */
static int check_packet_pipe(void *arg)
{
    for (int meeting = 0; meeting < MEETINGS; meeting++)
        check_message(arg, meeting);
    return 0;
}

/* proves: D7 */
TEST(test_short_read_of_a_packet_pipe_is_followed_by_the_next_packet)
{
    run_monotonic(check_packet_pipe, (void *)(uintptr_t)&PACKET_PIPES[0]);
    run_monotonic(check_packet_pipe, (void *)(uintptr_t)&PACKET_PIPES[1]);
}
#endif

/* ---- what was seen before the descriptor was adopted ---- */

static int wait_out(void *arg)
{
    return coir_wait_fd(*(int *)arg, COIR_OUT, coir_after(COIR_SEC(2)));
}

/* Adopted after its end of file was reported, and while another wait keeps it registered. */
static int adopt_late(void *arg)
{
    bool urgent = arg;
    char bytes[SIZE];
    struct fds_pair tcp = fds_tcp();
    fds_fill_tcp(tcp.in);
    struct fds_waiter in = {.fd = tcp.in, .mask = COIR_IN, .until = coir_after(COIR_SEC(20))};
    fds_start(&in, 1);
    coir_fiber out = run_spawn(wait_out, &tcp.in);
    fds_until_parked(out);
    if (urgent)
        put_urgent(tcp);
    else
        put_and_end(tcp);
    CHECK(run_join(in.fiber) & COIR_IN);
    CHECK(inside_fiber(out) && inside_fiber(out)->wait);
    CHECK_EQ(coir_adopt(tcp.in), 0);
    coir_time until = coir_after(COIR_SEC(20));
    CHECK_EQ(coir_read(tcp.in, bytes, sizeof bytes, until), 3);
    CHECK_EQ(coir_read(tcp.in, bytes, sizeof bytes, until), urgent ? 3 : 0);
    CHECK(coir_left(until) > 0);
    while (fds_drain(tcp.out) > 0)
        continue;
    CHECK(run_join(out) & COIR_OUT);
    fds_check_nothing_left(tcp.in);
    CHECK_EQ(coir_close(tcp.in), 0);
    close(tcp.out);
    return 0;
}

/* proves: D7 */
TEST(test_short_read_of_what_was_adopted_after_its_end_was_told_is_followed_by_the_end)
{
    run_monotonic(adopt_late, NULL);
}

/* proves: D7 */
TEST(test_short_read_of_what_was_adopted_after_urgent_data_was_told_is_followed_by_the_rest)
{
    int urgent = 1;
    run_monotonic(adopt_late, &urgent);
}

/* ---- the calls that are saved ---- */

enum { MESSAGES_COUNT = 100 };

static int echo_reader(void *arg)
{
    char bytes[SIZE];
    for (int i = 0; i < MESSAGES_COUNT + 2; i++)
        CHECK_EQ(coir_read(*(int *)arg, bytes, sizeof bytes, coir_after(COIR_SEC(2))), 5);
    CHECK_EQ(coir_read(*(int *)arg, bytes, sizeof bytes, coir_after(COIR_SEC(2))), 0);
    return 0;
}

/* The first message meets a reader that does not know yet whether there is something to read, the
 * second one that is in a call of the real world. */
static int count_reads(void *arg)
{
    (void)arg;
    struct fds_pair pair = fds_tcp();
    CHECK_EQ(coir_adopt(pair.in), 0);
    coir_fiber reader = run_spawn(echo_reader, &pair.in);
    for (int i = 0; i < MESSAGES_COUNT + 2; i++) {
        fds_until_parked(reader);
        if (i > 0 && i <= 2)
            fds_count();
        fds_put(pair.out, "hello");
        fds_until_woken(reader);
    }
    fds_until_parked(reader);
    if (!kernel->has_except)
        SKIP("this kernel does not report urgent data, so a short read proves nothing");
    CHECK_EQ(fds_calls.read, MESSAGES_COUNT);
    CHECK_EQ(fds_calls.read_again, 0);
    CHECK_EQ(fds_calls.attach + fds_calls.detach, 0);
    close(pair.out);
    CHECK_EQ(run_join(reader), 0);
    CHECK_EQ(fds_calls.read, MESSAGES_COUNT + 1);
    CHECK_EQ(coir_close(pair.in), 0);
    return 0;
}

/* proves: D7 */
TEST(test_short_read_of_tcp_costs_one_call_for_each_message)
{
    run_monotonic(count_reads, NULL);
}

/* ---- any bytes, any sizes ---- */

enum { STREAM_BYTES = 200 * 1000 };

static unsigned next_random(unsigned *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static int stream_write(void *arg)
{
    static char bytes[20000];
    struct fds_pair *pair = arg;
    unsigned random = 7;
    for (size_t at = 0; at < STREAM_BYTES;) {
        size_t size = 1 + next_random(&random) % (next_random(&random) % 2 ? 100 : sizeof bytes);
        size = size < STREAM_BYTES - at ? size : STREAM_BYTES - at;
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)((at + i) % 251);
        ssize_t sent = coir_write(pair->out, bytes, size, coir_after(COIR_SEC(2)));
        CHECK(sent > 0);
        at += (size_t)sent;
        if (next_random(&random) % 4 == 0)
            coir_yield();
    }
    CHECK_EQ(coir_close(pair->out), 0);
    return 0;
}

static int stream(void *arg)
{
    static char bytes[20000];
    struct fds_pair pair = ((struct fds_pair(*)(void))(uintptr_t)arg)();
    unsigned random = 3;
    CHECK_EQ(coir_adopt(pair.in), 0);
    CHECK_EQ(coir_adopt(pair.out), 0);
    coir_fiber writer = run_spawn(stream_write, &pair);
    size_t at = 0;
    for (;;) {
        size_t size = 1 + next_random(&random) % (next_random(&random) % 2 ? 100 : sizeof bytes);
        ssize_t got = coir_read(pair.in, bytes, size, coir_after(COIR_SEC(2)));
        CHECK(got >= 0);
        for (ssize_t i = 0; i < got; i++)
            CHECK_EQ(bytes[i], (char)(at++ % 251));
        if (got == 0)
            break;
    }
    CHECK_EQ(at, STREAM_BYTES);
    CHECK_EQ(run_join(writer), 0);
    CHECK_EQ(coir_close(pair.in), 0);
    return 0;
}

/* proves: D7 */
TEST(test_short_read_or_not_a_stream_arrives_whole)
{
    run_monotonic(stream, (void *)(uintptr_t)make_pipe);
    run_monotonic(stream, (void *)(uintptr_t)make_stream);
    run_monotonic(stream, (void *)(uintptr_t)fds_tcp);
}
