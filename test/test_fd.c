/* Waits on descriptors: who is woken, by what, and what is left afterwards. */
#include "fds.h"
#include "clock.h"

/* ---- many waiters ---- */

static int many_on_one(void *arg)
{
    enum { COUNT = 50 };
    static struct fds_waiter readers[COUNT];
    struct fds_pair pipe = fds_pipe(0);
    if (arg)
        CHECK_EQ(coir_adopt(pipe.in), 0);
    for (int i = 0; i < COUNT; i++)
        readers[i] = (struct fds_waiter){.fd = pipe.in, .mask = COIR_IN};
    fds_start(readers, COUNT);
    CHECK_EQ(cr_sched_here->outside, COUNT);
    fds_put(pipe.out, "x");
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(run_join(readers[i].fiber), COIR_IN);
    fds_check_nothing_left(pipe.in);
    fds_close(pipe);
    return 0;
}

/* proves: D1 */
TEST(test_fd_one_byte_wakes_all_who_wait_for_it)
{
    int owned = 1;
    run_virtual(many_on_one, NULL);
    run_virtual(many_on_one, &owned);
}

static int note_name(void *arg)
{
    int result = fds_wait(arg);
    run_note(coir_name());
    return result;
}

static int in_order(void *arg)
{
    (void)arg;
    struct fds_pair pipe = fds_pipe(0);
    struct fds_waiter one = {.fd = pipe.in, .mask = COIR_IN}, copies[3] = {one, one, one};
    const char *names[3] = {"a", "b", "c"};
    coir_fiber fibers[3];
    for (int i = 0; i < 3; i++)
        fibers[i] = run_spawn_named(note_name, &copies[i], names[i]);
    coir_yield();
    fds_put(pipe.out, "x");
    for (int i = 0; i < 3; i++)
        CHECK_EQ(run_join(fibers[i]), COIR_IN);
    fds_close(pipe);
    return 0;
}

/* proves: D1 */
TEST(test_fd_waiters_wake_in_the_order_in_which_they_waited)
{
    run_virtual(in_order, NULL);
    CHECK_STR(run_log, "a b c");
}

/* On a full socket with nothing to read nobody is ready. A byte ends the waits for IN and for
 * either; room ends those for OUT. */
static int mixed_masks(void *arg)
{
    struct fds_pair pair = fds_unix(SOCK_STREAM);
    fds_fill(pair.in);
    if (arg)
        CHECK_EQ(coir_adopt(pair.in), 0);
    struct fds_waiter waiters[6];
    static const int masks[6] = {COIR_IN,  COIR_OUT,           COIR_IN | COIR_OUT,
                                 COIR_OUT, COIR_IN | COIR_OUT, COIR_IN};
    for (int i = 0; i < 6; i++)
        waiters[i] = (struct fds_waiter){.fd = pair.in, .mask = masks[i]};
    fds_start(waiters, 6);
    fds_put(pair.out, "x");
    for (int i = 0; i < 6; i++)
        if (masks[i] & COIR_IN)
            CHECK_EQ(run_join(waiters[i].fiber), COIR_IN);
    CHECK_EQ(cr_sched_here->outside, 2);
    CHECK(inside_fiber(waiters[1].fiber)->wait && inside_fiber(waiters[3].fiber)->wait);
    fds_drain(pair.out);
    CHECK_EQ(run_join(waiters[1].fiber), COIR_OUT);
    CHECK_EQ(run_join(waiters[3].fiber), COIR_OUT);
    fds_check_nothing_left(pair.in);
    fds_close(pair);
    return 0;
}

/* proves: D1 */
TEST(test_fd_a_direction_wakes_only_those_who_wait_for_it)
{
    int owned = 1;
    run_virtual(mixed_masks, NULL);
    run_virtual(mixed_masks, &owned);
}

/* A reader and a writer of one adopted socket, each parked in its call, move all bytes. */
enum { BULK = 1 << 20 };

static int bulk_write(void *arg)
{
    static const char data[65536];
    size_t left = BULK;
    while (left > 0) {
        ssize_t sent = coir_write(*(int *)arg, data, left < sizeof data ? left : sizeof data,
                                  COIR_NEVER);
        CHECK(sent > 0);
        left -= (size_t)sent;
    }
    return 0;
}

static int bulk_read(void *arg)
{
    static char sink[10000];
    size_t left = BULK;
    while (left > 0) {
        ssize_t got = coir_read(*(int *)arg, sink, left < sizeof sink ? left : sizeof sink,
                                COIR_NEVER);
        CHECK(got > 0);
        left -= (size_t)got;
    }
    return 0;
}

static int both_ways(void *arg)
{
    struct fds_pair pair = fds_unix(SOCK_STREAM);
    if (arg) {
        CHECK_EQ(coir_adopt(pair.in), 0);
        CHECK_EQ(coir_adopt(pair.out), 0);
    }
    coir_fiber fibers[4] = {run_spawn(bulk_write, &pair.in), run_spawn(bulk_write, &pair.out),
                            run_spawn(bulk_read, &pair.in), run_spawn(bulk_read, &pair.out)};
    for (int i = 0; i < 4; i++)
        CHECK_EQ(run_join(fibers[i]), 0);
    fds_check_nothing_left(pair.in);
    CHECK_EQ(coir_close(pair.in), 0);
    CHECK_EQ(coir_close(pair.out), 0);
    return 0;
}

/* proves: D1, D9 */
TEST(test_fd_both_directions_of_two_sockets_carry_a_mebibyte_at_once)
{
    int owned = 1;
    run_virtual(both_ways, &owned);
    run_virtual(both_ways, NULL);
}

/* ---- what cannot be polled, and what is not open ---- */

static int unpollable(void *arg)
{
    (void)arg;
    char text[4] = "";
    int file = fds_file(), folder = open("/", O_RDONLY);
    CHECK(file >= 0 && folder >= 0);
    for (int again = 0; again < 2; again++) {
        CHECK_EQ(coir_wait_fd(file, COIR_IN, COIR_NEVER), COIR_IN);
        CHECK_EQ(coir_wait_fd(file, COIR_IN | COIR_OUT, COIR_NEVER), COIR_IN | COIR_OUT);
        CHECK_EQ(coir_wait_fd(folder, COIR_IN, COIR_NEVER), COIR_IN);
        CHECK_EQ(coir_write(file, "abc", 3, COIR_NEVER), 3);
        CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
        CHECK_EQ(coir_read(file, text, sizeof text, COIR_NEVER), 3);
        CHECK_EQ(coir_read(file, text, sizeof text, COIR_NEVER), 0);
        CHECK_EQ(coir_read(folder, text, sizeof text, COIR_NEVER), -EISDIR);
        CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
        CHECK_EQ(coir_adopt(file), 0);
        CHECK_EQ(coir_adopt(folder), 0);
    }
    fds_check_nothing_left(file);
    CHECK_EQ(coir_close(file), 0);
    CHECK_EQ(coir_close(folder), 0);
    return 0;
}

/* proves: D3 */
TEST(test_fd_a_file_and_a_directory_are_always_ready)
{
    run_virtual(unpollable, NULL);
}

/* A file that epoll refuses, but whose read says once that it would have to wait. */
static int refusals;

static int64_t read_later(struct cr_world *world, struct cr_op *op)
{
    if (op->kind == CR_OP_READ && refusals-- > 0)
        return -EAGAIN;
    return fds_real->start(world, op);
}

static int read_file(void *arg)
{
    char text[4];
    return (int)coir_read(*(int *)arg, text, sizeof text, COIR_NEVER);
}

static int unpollable_later(void *arg)
{
    (void)arg;
    int file = fds_file();
    fds_put(file, "abc");
    for (int owned = 0; owned < 2; owned++) {
        if (owned)
            CHECK_EQ(coir_adopt(file), 0);
        CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
        fds_count();
        fds_ops.start = read_later;
        refusals = 1;
        coir_fiber reader = run_spawn(read_file, &file);
        for (int i = 0; i < 1000 && refusals >= 0; i++)
            coir_yield();
        CHECK(refusals < 0); /* else it is not tried again, ever */
        CHECK_EQ(run_join(reader), 3);
        refusals = 1;
        reader = run_spawn(read_file, &file);
        coir_yield();
        int copy = dup(file);
        CHECK_EQ(coir_close(file), 0);
        CHECK_EQ(run_join(reader), -EBADF);
        CHECK_EQ(refusals, 0);
        file = copy;
    }
    close(file);
    return 0;
}

/* proves: D3 */
TEST(test_fd_a_file_that_would_wait_is_tried_again)
{
    run_virtual(unpollable_later, NULL);
}

static int not_open(void *arg)
{
    (void)arg;
    struct fds_pair pipe = fds_pipe(0);
    CHECK_EQ(coir_adopt(pipe.in), 0);
    CHECK_EQ(coir_close(pipe.in), 0);
    close(pipe.out);
    int numbers[] = {pipe.in, pipe.out, -1, INT32_MIN, INT32_MAX, 999999999};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        int fd = numbers[i];
        char byte;
        for (int late = 0; late < 2; late++) {
            coir_time until = late ? COIR_TIME_NS(2) : COIR_TRY;
            CHECK_EQ(coir_wait_fd(fd, COIR_IN, until), -EBADF);
            CHECK_EQ(coir_read(fd, &byte, 1, until), -EBADF);
            CHECK_EQ(coir_write(fd, "x", 1, until), -EBADF);
        }
        CHECK_EQ(coir_adopt(fd), -EBADF);
        CHECK_EQ(coir_close(fd), -EBADF);
        fds_check_nothing_left(fd < 0 ? 0 : fd);
    }
    CHECK(inside_io()->fds.table.pages_count <= 1); /* no memory for what is not there */
    return 0;
}

/* proves: D3, D11 */
TEST(test_fd_a_number_that_is_not_open_is_ebadf)
{
    run_virtual(not_open, NULL);
}

static int bad_masks(void *arg)
{
    (void)arg;
    static const int masks[] = {0, COIR_ERR, 16, COIR_IN | COIR_ERR, COIR_HUP | 16, 64, -1};
    struct fds_pair pipe = fds_pipe(0);
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++)
        CHECK_EQ(coir_wait_fd(pipe.in, masks[i], COIR_NEVER), -EINVAL);
    fds_close(pipe);
    return 0;
}

TEST(test_fd_a_mask_of_none_or_of_others_is_einval)
{
    run_virtual(bad_masks, NULL);
}

/* ---- the kernel is asked ---- */

static int behind_coirs_back(void *arg)
{
    char byte;
    struct fds_pair pipe = fds_pipe(0);
    if (arg)
        CHECK_EQ(coir_adopt(pipe.in), 0);
    fds_put(pipe.out, "xy");
    CHECK_EQ(coir_wait_fd(pipe.in, COIR_IN, COIR_NEVER), COIR_IN);
    CHECK_EQ(coir_read(pipe.in, &byte, 1, COIR_NEVER), 1);
    CHECK_EQ(read(pipe.in, &byte, 1), 1);
    CHECK_EQ(coir_wait_fd(pipe.in, COIR_IN, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_wait_fd(pipe.in, COIR_IN, coir_after(1000)), COIR_TIMED_OUT);
    CHECK_EQ(coir_read(pipe.in, &byte, 1, COIR_TRY), COIR_TIMED_OUT);
    fds_put(pipe.out, "z");
    CHECK_EQ(coir_wait_fd(pipe.in, COIR_IN, COIR_TRY), COIR_IN);
    CHECK_EQ(coir_read(pipe.in, &byte, 1, COIR_TRY), 1);
    CHECK_EQ(byte, 'z');
    fds_check_nothing_left(pipe.in);
    CHECK_EQ(coir_close(pipe.in), 0);
    close(pipe.out);
    return 0;
}

/* proves: D4, T4 */
TEST(test_fd_reads_and_writes_behind_coirs_back_are_seen)
{
    int owned = 1;
    run_virtual(behind_coirs_back, NULL);
    run_virtual(behind_coirs_back, &owned);
}

/* The first of two takes the byte that woke both. */
static int wait_and_take(void *arg)
{
    struct fds_waiter *w = arg;
    char byte;
    int result = coir_wait_fd(w->fd, COIR_IN, w->until);
    if (result == COIR_IN)
        CHECK_EQ(read(w->fd, &byte, 1), 1);
    return result;
}

static int one_byte_for_two(void *arg)
{
    struct fds_pair pipe = fds_pipe(O_NONBLOCK);
    if (arg)
        CHECK_EQ(coir_adopt(pipe.in), 0);
    struct fds_waiter w = {.fd = pipe.in, .until = coir_after(COIR_SEC(1))};
    coir_fiber first = run_spawn(wait_and_take, &w), second = run_spawn(wait_and_take, &w);
    coir_yield();
    fds_put(pipe.out, "x");
    CHECK_EQ(run_join(first), COIR_IN);
    CHECK_EQ(run_join(second), COIR_TIMED_OUT);
    CHECK_EQ(now_ns(), COIR_SEC(1));
    fds_check_nothing_left(pipe.in);
    CHECK_EQ(coir_close(pipe.in), 0);
    close(pipe.out);
    return 0;
}

/* proves: D4 */
TEST(test_fd_the_second_waiter_is_not_told_of_a_byte_that_the_first_has_taken)
{
    int owned = 1;
    run_virtual(one_byte_for_two, NULL);
    run_virtual(one_byte_for_two, &owned);
}

/* The world's own descriptor, which the first adoption opens, gets the number. */
static int adopts_a_closed_one(void *arg)
{
    int fd = coir_socket(AF_UNIX, SOCK_STREAM, 0);
    (void)arg;
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(coir_adopt(fd), -EBADF);
    CHECK_EQ(coir_adopt(fd), -EBADF);
    return 0;
}

/* proves: D3 */
TEST(test_regress_adopt_of_a_number_that_coir_closed_is_invalid)
{
    run_monotonic(adopts_a_closed_one, NULL);
}
