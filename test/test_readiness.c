/* Readiness as the kernel reports it, and as coir_wait_fd tells it: each row of the table is asked
 * for before and during a wait, of an adopted and of a foreign descriptor, and asked for again. */
#include "fds.h"

#ifdef __linux__
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#endif

/* `in` is the end that is waited for, `out` the other one. */
struct row {
    const char *name;
    struct fds_pair (*make)(void);
    void (*provoke)(struct fds_pair *pair); /* NULL: the state is there from the beginning */
    int mask, expect;
};

/* ---- pairs ---- */

static struct fds_pair make_pipe_reader(void)
{
    return fds_pipe(0);
}

static struct fds_pair make_pipe_writer_full(void)
{
    struct fds_pair pipe = fds_pipe(0);
    fds_fill(pipe.out);
    return (struct fds_pair){.in = pipe.out, .out = pipe.in};
}

static struct fds_pair make_unix(void)
{
    return fds_unix(SOCK_STREAM);
}

static struct fds_pair make_unix_full(void)
{
    struct fds_pair pair = fds_unix(SOCK_STREAM);
    fds_fill(pair.in);
    return pair;
}

static struct fds_pair make_datagrams(void)
{
    return fds_unix(SOCK_DGRAM);
}

static struct fds_pair make_tcp_full(void)
{
    struct fds_pair tcp = fds_tcp();
    fds_fill_tcp(tcp.in);
    return tcp;
}

static struct fds_pair make_unconnected(void)
{
    return (struct fds_pair){.in = socket(AF_INET, SOCK_STREAM, 0), .out = -1};
}

static struct fds_pair make_refused(void)
{
    struct sockaddr_in address;
    close(fds_listen(&address, 1));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    fds_nonblocking(client);
    CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == -1);
    return (struct fds_pair){.in = client, .out = -1};
}

static struct fds_pair make_connecting(void)
{
    struct sockaddr_in address;
    int listener = fds_listen(&address, 1), client = socket(AF_INET, SOCK_STREAM, 0);
    fds_nonblocking(client);
    connect(client, (struct sockaddr *)&address, sizeof address);
    return (struct fds_pair){.in = client, .out = listener};
}

/* A listener, and a client that has yet to connect. */
static struct sockaddr_in listener_address;

static struct fds_pair make_listener(void)
{
    int listener = fds_listen(&listener_address, 5);
    return (struct fds_pair){.in = listener, .out = socket(AF_INET, SOCK_STREAM, 0)};
}

#ifdef __linux__
static struct fds_pair make_eventfd(void)
{
    int fd = eventfd(0, 0);
    return (struct fds_pair){.in = fd, .out = dup(fd)};
}

static struct fds_pair make_timerfd(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    return (struct fds_pair){.in = fd, .out = dup(fd)};
}

static void count_event(struct fds_pair *pair)
{
    CHECK_EQ(eventfd_write(pair->out, 1), 0);
}

static void set_timer(struct fds_pair *pair)
{
    struct itimerspec soon = {.it_value.tv_nsec = 100 * 1000};
    CHECK_EQ(timerfd_settime(pair->out, 0, &soon, NULL), 0);
}
#endif

static struct fds_pair make_terminal(void)
{
    struct fds_pair terminal = fds_terminal();
    return (struct fds_pair){.in = terminal.out, .out = terminal.in};
}

static struct fds_pair make_file(void)
{
    return (struct fds_pair){.in = fds_file(), .out = -1};
}

static struct fds_pair make_folder(void)
{
    return (struct fds_pair){.in = open("/", O_RDONLY), .out = -1};
}

static struct fds_pair make_null(void)
{
    return (struct fds_pair){.in = open("/dev/null", O_RDWR), .out = -1};
}

/* ---- what happens to them ---- */

static void end_other(struct fds_pair *pair)
{
    close(pair->out);
    pair->out = -1;
}

static void half_close(struct fds_pair *pair)
{
    CHECK_EQ(shutdown(pair->out, SHUT_WR), 0);
}

static void close_both_halves(struct fds_pair *pair)
{
    CHECK_EQ(shutdown(pair->in, SHUT_WR), 0);
    CHECK_EQ(shutdown(pair->out, SHUT_WR), 0);
}

static void put_byte(struct fds_pair *pair)
{
    fds_put(pair->out, "x");
}

static void put_line(struct fds_pair *pair)
{
    fds_put(pair->out, "line\n");
}

static void take_all(struct fds_pair *pair)
{
    fds_drain(pair->out);
}

/* A reset: closed while bytes to it lie unread, which it does not get any more. */
static void reset(struct fds_pair *pair)
{
    struct linger at_once = {.l_onoff = 1};
    CHECK_EQ(setsockopt(pair->out, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    end_other(pair);
}

static void connect_client(struct fds_pair *pair)
{
    socklen_t size = sizeof listener_address;
    CHECK_EQ(connect(pair->out, (struct sockaddr *)&listener_address, size), 0);
}

static const struct row ROWS[] = {
    {"pipe reader, byte", make_pipe_reader, put_byte, COIR_IN, COIR_IN},
    {"pipe reader, empty, last writer gone", make_pipe_reader, end_other, COIR_IN,
     COIR_IN | COIR_HUP},
    {"pipe reader, last writer gone, asked for OUT", make_pipe_reader, end_other, COIR_OUT,
     COIR_OUT | COIR_HUP},
    {"pipe writer, room again", make_pipe_writer_full, take_all, COIR_OUT, COIR_OUT},
    {"pipe writer, full, last reader gone", make_pipe_writer_full, end_other, COIR_OUT,
     COIR_OUT | COIR_ERR},
    {"pipe writer, last reader gone, asked for IN", make_pipe_writer_full, end_other, COIR_IN,
     COIR_IN | COIR_ERR},
    {"unconnected socket, IN", make_unconnected, NULL, COIR_IN, COIR_IN | COIR_HUP},
    {"unconnected socket, OUT", make_unconnected, NULL, COIR_OUT, COIR_OUT | COIR_HUP},
    {"refused connect, IN", make_refused, NULL, COIR_IN, COIR_IN | COIR_HUP | COIR_ERR},
    {"refused connect, OUT", make_refused, NULL, COIR_OUT, COIR_OUT | COIR_HUP | COIR_ERR},
    {"connect", make_connecting, NULL, COIR_OUT, COIR_OUT},
    {"listener, connection", make_listener, connect_client, COIR_IN, COIR_IN},
    {"tcp, byte", fds_tcp, put_byte, COIR_IN, COIR_IN},
    {"tcp, half-closed peer", fds_tcp, half_close, COIR_IN, COIR_IN | COIR_HUP},
    {"tcp, both halves, IN", fds_tcp, close_both_halves, COIR_IN, COIR_IN | COIR_HUP},
    {"tcp, full, reset, OUT", make_tcp_full, reset, COIR_OUT, COIR_OUT | COIR_HUP | COIR_ERR},
    {"tcp, full, reset, IN", make_tcp_full, reset, COIR_IN, COIR_IN | COIR_HUP | COIR_ERR},
    {"tcp, room again", make_tcp_full, take_all, COIR_OUT, COIR_OUT},
    {"unix, byte, either", make_unix_full, put_byte, COIR_IN | COIR_OUT, COIR_IN},
    {"unix, half-closed peer", make_unix, half_close, COIR_IN, COIR_IN | COIR_HUP},
    {"unix, peer gone, IN", make_unix, end_other, COIR_IN, COIR_IN | COIR_HUP},
    {"unix, room again", make_unix_full, take_all, COIR_OUT, COIR_OUT},
    {"unix datagram", make_datagrams, put_byte, COIR_IN, COIR_IN},
#ifdef __linux__
    {"eventfd", make_eventfd, count_event, COIR_IN, COIR_IN},
    {"timerfd", make_timerfd, set_timer, COIR_IN, COIR_IN},
#endif
    {"regular file, IN", make_file, NULL, COIR_IN, COIR_IN},
    {"regular file, either", make_file, NULL, COIR_IN | COIR_OUT, COIR_IN | COIR_OUT},
    {"directory", make_folder, NULL, COIR_IN, COIR_IN},
    {"/dev/null", make_null, NULL, COIR_IN | COIR_OUT, COIR_IN | COIR_OUT},
    {"terminal, line", make_terminal, put_line, COIR_IN, COIR_IN},
    {"terminal, other side gone", make_terminal, end_other, COIR_IN, COIR_IN | COIR_HUP},
};

enum { ROWS_COUNT = sizeof ROWS / sizeof *ROWS };

static void check_row(const struct row *row, bool owned, bool parked)
{
    printf("%s, %s, %s\n", row->name, owned ? "owned" : "foreign", parked ? "parked" : "asked");
    fflush(stdout);
    if (row->make == make_unconnected && !kernel->unconnected_ends)
        return; /* it would wait forever */
    struct fds_pair pair = row->make();
    CHECK(pair.in >= 0);
    if (owned)
        CHECK_EQ(coir_adopt(pair.in), 0);
    struct fds_waiter w = {.fd = pair.in, .mask = row->mask, .until = coir_after(COIR_SEC(5))};
    if (row->provoke && !parked)
        row->provoke(&pair);
    w.fiber = run_spawn(fds_wait, &w);
    if (row->provoke && parked) {
        CHECK_EQ(coir_sleep(0), 0);
        CHECK(inside_fiber(w.fiber) && inside_fiber(w.fiber)->wait);
        row->provoke(&pair);
    }
    CHECK_EQ(run_join(w.fiber), row->expect);
    for (int again = 0; again < 2; again++)
        CHECK_EQ(coir_wait_fd(pair.in, row->mask, coir_after(COIR_SEC(5))), row->expect);
    CHECK_EQ(coir_wait_fd(pair.in, row->mask, COIR_TRY), row->expect);
    fds_check_nothing_left(pair.in);
    CHECK_EQ(coir_close(pair.in), 0);
    if (pair.out >= 0)
        close(pair.out);
}

static int check_rows(void *arg)
{
    const bool *parked = arg;
    for (int i = 0; i < 2 * ROWS_COUNT; i++)
        check_row(&ROWS[i / 2], i % 2, *parked);
    return 0;
}

/* proves: D2, D3 */
TEST(test_readiness_that_is_there_before_a_wait_is_told_and_told_again)
{
    run_monotonic(check_rows, &(bool){false});
}

/* proves: D2 */
TEST(test_readiness_that_comes_during_a_wait_is_told_and_told_again)
{
    run_monotonic(check_rows, &(bool){true});
}

static void half_close_and_take_all(struct fds_pair *pair)
{
    half_close(pair);
    take_all(pair);
}

static void half_close_and_take_all_later(struct fds_pair *pair)
{
    half_close(pair);
    coir_sleep(1); /* so that the half-close is reported by itself */
    take_all(pair);
}

/* The same answer whether the kernel was asked or reported it, in each world. */
static const struct row OUT_ROWS[] = {
    {"tcp, half-closed", make_tcp_full, half_close_and_take_all, COIR_OUT, COIR_OUT | COIR_HUP},
    {"tcp, half-closed before", make_tcp_full, half_close_and_take_all_later, COIR_OUT,
     COIR_OUT | COIR_HUP},
    {"unix, half-closed", make_unix_full, half_close_and_take_all, COIR_OUT, COIR_OUT | COIR_HUP},
    {"unix, half-closed before", make_unix_full, half_close_and_take_all_later, COIR_OUT,
     COIR_OUT | COIR_HUP},
};

static int check_out_rows(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < sizeof OUT_ROWS / sizeof *OUT_ROWS; i++)
        for (int how = 0; how < 4; how++)
            check_row(&OUT_ROWS[i], how & 1, how & 2);
    return 0;
}

/* proves: D2, D12 */
TEST(test_readiness_for_out_tells_hup_of_a_peer_that_sends_no_more)
{
    run_monotonic(check_out_rows, NULL);
}

/* A peer that sends no more does not make room. */
static int no_room(void *arg)
{
    struct fds_pair pair = make_unix_full();
    if (arg)
        CHECK_EQ(coir_adopt(pair.in), 0);
    struct fds_waiter w = {.fd = pair.in, .mask = COIR_OUT, .until = coir_after(COIR_MS(1))};
    fds_start(&w, 1);
    half_close(&pair);
    CHECK_EQ(run_join(w.fiber), COIR_TIMED_OUT);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_OUT, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_IN, COIR_TRY), COIR_IN | COIR_HUP);
    fds_check_nothing_left(pair.in);
    CHECK_EQ(coir_close(pair.in), 0);
    close(pair.out);
    return 0;
}

TEST(test_readiness_for_out_does_not_follow_from_a_half_close)
{
    int owned = 1;
    run_virtual(no_room, NULL);
    run_virtual(no_room, &owned);
}

/* ---- numbers that die, connections that cannot be taken ---- */

/* The file of a closed number lives on by a dup, and goes on having events. */
static int closed_while_a_dup_lives(void *arg)
{
    struct fds_pair old = fds_pipe(0), next = fds_pipe(0);
    int number = old.in, copy = dup(old.in);
    if (arg)
        CHECK_EQ(coir_adopt(number), 0);
    struct fds_waiter w = {.fd = number, .mask = COIR_IN, .until = coir_after(COIR_MS(1))};
    fds_start(&w, 1);
    CHECK_EQ(coir_close(number), 0);
    CHECK_EQ(run_join(w.fiber), -EBADF);
    CHECK_EQ(dup2(next.in, number), number);
    if (arg)
        CHECK_EQ(coir_adopt(number), 0);
    fds_start(&w, 1);
    fds_put(old.out, "old");
    CHECK_EQ(run_join(w.fiber), COIR_TIMED_OUT);
    struct cr_event event;
    while (inside_world()->ops->wait(inside_world(), &event, 1, 0, &(bool){false}) > 0)
        CHECK(event.token == inside_fd(number)->token || event.token == CR_TOKEN_TIMER);
    w.until = coir_after(COIR_SEC(5));
    fds_start(&w, 1);
    fds_put(next.out, "next");
    CHECK_EQ(run_join(w.fiber), COIR_IN);
    CHECK_EQ(fds_drain(copy), strlen("old"));
    CHECK_EQ(coir_close(number), 0);
    close(copy);
    close(old.out);
    fds_close(next);
    return 0;
}

/* proves: D5 */
TEST(test_readiness_of_a_closed_number_ends_though_a_dup_lives)
{
    int owned = 1;
    run_virtual(closed_while_a_dup_lives, NULL);
    run_virtual(closed_while_a_dup_lives, &owned);
}

/* A child that closes its copies and ends takes away no registration of its parent. */
static int child_closes(void *arg)
{
    struct fds_pair pipe = fds_pipe(0);
    if (arg)
        CHECK_EQ(coir_adopt(pipe.in), 0);
    struct fds_waiter w = {.fd = pipe.in, .mask = COIR_IN, .until = coir_after(COIR_SEC(5))};
    fds_start(&w, 1);
    int wait_status;
    pid_t child = fork();
    if (child == 0) {
        for (int fd = STDERR_FILENO + 1; fd < 64; fd++)
            close(fd);
        _exit(0);
    }
    CHECK_EQ(waitpid(child, &wait_status, 0), child);
    fds_put(pipe.out, "x");
    CHECK_EQ(run_join(w.fiber), COIR_IN);
    CHECK_EQ(coir_close(pipe.in), 0);
    close(pipe.out);
    return 0;
}

/* proves: D2 */
TEST(test_readiness_goes_on_after_a_child_closed_its_copies)
{
    run_monotonic(child_closes, NULL);
    run_monotonic(child_closes, &(int){1});
}

/* With no descriptor left a connection cannot be accepted; it stays, and goes on being reported. */
static int accept_without_room(void *arg)
{
    struct fds_pair pair = make_listener();
    if (arg)
        CHECK_EQ(coir_adopt(pair.in), 0);
    fds_nonblocking(pair.in);
    struct fds_waiter w = {.fd = pair.in, .mask = COIR_IN, .until = coir_after(COIR_SEC(5))};
    fds_start(&w, 1);
    connect_client(&pair);
    CHECK_EQ(run_join(w.fiber), COIR_IN);
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = dup(pair.in);
    close(next);
    struct rlimit full = {(rlim_t)next, limit.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &full), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(accept(pair.in, NULL, NULL), -1);
        CHECK_EQ(errno, EMFILE);
        CHECK_EQ(coir_wait_fd(pair.in, COIR_IN, coir_after(COIR_SEC(5))), COIR_IN);
    }
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int accepted = accept(pair.in, NULL, NULL);
    CHECK(accepted >= 0);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_IN, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_close(pair.in), 0);
    close(accepted);
    close(pair.out);
    return 0;
}

/* proves: D2 */
TEST(test_readiness_of_a_connection_stays_while_no_descriptor_is_left)
{
    test_skip_under_valgrind();
    run_monotonic(accept_without_room, NULL);
    run_monotonic(accept_without_room, &(int){1});
}
