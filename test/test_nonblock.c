/* O_NONBLOCK is a flag of the open file, so whoever shares it can clear it. {each call that
 * waits} x {each world} x {sockets, pipes, terminals}: no call of coir's waits in the kernel for
 * that. */
#include "call_rows.h"

#include <termios.h>

static void clear_flag(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    CHECK(flags >= 0);
    CHECK_EQ(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK), 0);
}

static void call_twice_in_vain(const struct row *row, const struct place *place)
{
    clear_flag(place->fd);
    CHECK_EQ(row->call(place, 1, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(row->call(place, 1, coir_after(COIR_US(100))), COIR_TIMED_OUT);
}

/* Before anything has come, and when what has come is taken again, by a fiber that knows the
 * way. */
static void call_where_nothing_is(const struct row *row, struct place *place)
{
    CHECK_EQ(coir_adopt(place->fd), 0);
    call_twice_in_vain(row, place);
    for (int times = row->what == A_CONNECTION ? 1 : 2; times > 0; times--) {
        make_possible(place);
        CHECK_EQ(row->call(place, 1, COIR_NEVER), row->expected);
    }
}

static bool takes_away(const struct row *row)
{
    return row->kind != CR_OP_READY && row->kind != CR_OP_CONNECT;
}

static int call_each(void *arg)
{
    for (int i = 0; i < ROWS_COUNT; i++) {
        struct place place = make_place(ROWS[i].what);
        if (!takes_away(&ROWS[i]))
            continue;
        printf("%s\n", ROWS[i].name);
        call_where_nothing_is(&ROWS[i], &place);
        if (ROWS[i].what == ROOM)
            fds_fill(place.fd);
        call_twice_in_vain(&ROWS[i], &place);
        end_place(&place);
    }
    return arg ? 1 : 0;
}

/* proves: D9 */
TEST(test_regress_a_socket_whose_flag_was_cleared_held_up_the_thread)
{
    in_each_world(call_each, COIR_CLOCK_MONOTONIC);
}

/* ---- what is no socket ---- */

static struct fds_pair make_terminal(void)
{
    struct fds_pair terminal = fds_terminal();
    struct termios raw;
    CHECK_EQ(tcgetattr(terminal.in, &raw), 0);
    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    raw.c_oflag &= (tcflag_t)~OPOST;
    CHECK_EQ(tcsetattr(terminal.in, TCSANOW, &raw), 0);
    return terminal;
}

static void read_each(struct fds_pair pair)
{
    struct place place = {.what = A_BYTE, .fd = pair.in, .peer = pair.out};
    CHECK_EQ(coir_adopt(pair.in), 0);
    for (int i = 0; i < ROWS_COUNT; i++)
        if (ROWS[i].kind == CR_OP_READ || ROWS[i].kind == CR_OP_READV) {
            call_twice_in_vain(&ROWS[i], &place);
            fds_put(place.peer, "x");
            CHECK_EQ(ROWS[i].call(&place, 1, COIR_NEVER), 1);
            call_twice_in_vain(&ROWS[i], &place);
        }
}

static void write_each(struct fds_pair pair)
{
    static char much[1 << 20];
    struct place place = {.what = ROOM, .fd = pair.out, .peer = pair.in};
    struct iovec part = {much, sizeof much};
    CHECK_EQ(coir_adopt(pair.out), 0);
    for (int i = 0; i < ROWS_COUNT; i++)
        if (ROWS[i].kind == CR_OP_WRITE || ROWS[i].kind == CR_OP_WRITEV) {
            clear_flag(place.fd);
            while (coir_write(place.fd, much, sizeof much, COIR_TRY) > 0)
                continue;
            while (coir_writev(place.fd, &part, 1, COIR_TRY) > 0)
                continue;
            call_twice_in_vain(&ROWS[i], &place);
            fds_drain(place.peer);
        }
}

static int move_each(void *arg)
{
    struct fds_pair pairs[] = {fds_pipe(0), make_terminal()};
    for (int i = 0; i < 2; i++) {
        read_each(pairs[i]);
        fds_nonblocking(pairs[i].in);
        if (i == 0) /* a terminal that is full takes no byte, but may say that it is ready */
            write_each(pairs[i]);
        CHECK_EQ(coir_close(pairs[i].in), 0);
        CHECK_EQ(coir_close(pairs[i].out), 0);
    }
    return arg ? 1 : 0;
}

/* proves: D9 */
TEST(test_regress_a_pipe_whose_flag_was_cleared_held_up_the_thread)
{
    in_each_world(move_each, COIR_CLOCK_MONOTONIC);
}
