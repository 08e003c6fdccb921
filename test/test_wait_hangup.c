/* coir_wait_fd with COIR_HUP alone: the other side's end, whatever is there to read. */
#include "fds.h"

enum { KINDS = 4 };

static struct fds_pair pair;

/* Whose `out` hangs `in` up when it is closed: a pipe, a Unix socket, TCP; the last one half. */
static void open_kind(int kind, bool own)
{
    pair = kind == 0 ? fds_pipe(0) : kind == 1 ? fds_unix(SOCK_STREAM) : fds_tcp();
    if (own)
        CHECK_EQ(coir_adopt(pair.in), 0);
}

static void hang_up(int kind)
{
    if (kind == 3)
        CHECK_EQ(shutdown(pair.out, SHUT_WR), 0);
    else
        close(pair.out);
}

/* After it has hung up. */
static void close_kind(int kind)
{
    CHECK_EQ(coir_close(pair.in), 0);
    if (kind == 3)
        close(pair.out);
}

struct trial {
    int kind;
    bool own;
};

static int hangs_up_late(void *arg)
{
    struct trial *trial = arg;
    char byte = 'x';
    for (int i = 0; i < 100; i++) { /* which wakes a reader */
        CHECK_EQ(write(pair.out, &byte, 1), 1);
        CHECK_EQ(coir_yield(), 0);
    }
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    hang_up(trial->kind);
    return 0;
}

static int reader(void *arg)
{
    char byte;
    int count = 0;
    (void)arg;
    while (coir_read(pair.in, &byte, 1, COIR_NEVER) == 1)
        count++;
    return count;
}

static int wait_hangup(void *arg)
{
    (void)arg;
    int ready = coir_wait_fd(pair.in, COIR_HUP, COIR_NEVER);
    CHECK_EQ(ready & ~COIR_ERR, COIR_HUP);
    return 0;
}

static int wait_among_data(void *arg)
{
    struct trial *trial = arg;
    open_kind(trial->kind, trial->own);
    coir_fiber waiters[3] = {run_spawn(wait_hangup, NULL), run_spawn(wait_hangup, NULL)};
    CHECK_EQ(coir_wait_fd(pair.in, COIR_HUP, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_HUP, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    waiters[2] = run_spawn(hangs_up_late, trial);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_IN, COIR_NEVER) & COIR_IN, COIR_IN);
    wait_hangup(NULL);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(run_join(waiters[i]), 0);
    CHECK_EQ(run_join(run_spawn(reader, NULL)), 100); /* the data are still there */
    wait_hangup(NULL);
    close_kind(trial->kind);
    return 0;
}

static int wait_beside_a_reader(void *arg)
{
    struct trial *trial = arg;
    open_kind(trial->kind, trial->own);
    coir_fiber waiter = run_spawn(wait_hangup, NULL), last = run_spawn(reader, NULL);
    CHECK_EQ(coir_yield(), 0);
    coir_fiber writer = run_spawn(hangs_up_late, trial);
    CHECK_EQ(run_join(last), 100);
    CHECK_EQ(run_join(waiter), 0);
    CHECK_EQ(run_join(writer), 0);
    close_kind(trial->kind);
    return 0;
}

/* proves: D4 */
TEST(test_a_hang_up_is_waited_for_whatever_there_is_to_read)
{
    for (int i = 0; i < 2 * KINDS; i++) {
        run_monotonic(wait_among_data, &(struct trial){i / 2, i % 2});
        run_monotonic(wait_beside_a_reader, &(struct trial){i / 2, i % 2});
        run_virtual(wait_beside_a_reader, &(struct trial){i / 2, i % 2});
    }
}

static int read_one(void *arg)
{
    char byte;
    (void)arg;
    CHECK_EQ(coir_read(pair.in, &byte, 1, COIR_NEVER), 1);
    return 0;
}

/* The only event is the reader's, though it began to wait later. */
static int one_byte(void *arg)
{
    struct trial *trial = arg;
    open_kind(trial->kind, trial->own);
    coir_fiber waiter = run_spawn(wait_hangup, NULL), next = run_spawn(read_one, NULL);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(write(pair.out, "x", 1), 1);
    CHECK_EQ(run_join(next), 0);
    hang_up(trial->kind);
    CHECK_EQ(run_join(waiter), 0);
    close_kind(trial->kind);
    return 0;
}

/* proves: D4 */
TEST(test_regress_wait_for_a_hang_up_takes_the_event_of_a_reader)
{
    for (int i = 0; i < 2 * KINDS; i++)
        run_monotonic(one_byte, &(struct trial){i / 2, i % 2});
}

static int woken(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_wait_fd(pair.in, COIR_HUP, COIR_NEVER), -EINTR);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_HUP, COIR_NEVER), COIR_CANCELLED);
    return 0;
}

static int closed(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_wait_fd(pair.in, COIR_HUP, COIR_NEVER), -EBADF);
    return 0;
}

static int ends(void *arg)
{
    for (int kind = 0; kind < KINDS; kind++) {
        open_kind(kind, *(bool *)arg);
        coir_fiber fiber = run_spawn(woken, NULL);
        CHECK_EQ(coir_sleep(COIR_MS(3)), 0);
        while (coir_wake(fiber) == 0) /* in the poll world it looks again just then */
            CHECK_EQ(coir_yield(), 0);
        CHECK_EQ(coir_yield(), 0);
        CHECK_EQ(coir_cancel(fiber, 0), 0);
        CHECK_EQ(run_join(fiber), 0);
        fiber = run_spawn(closed, NULL);
        CHECK_EQ(coir_sleep(COIR_MS(3)), 0);
        CHECK_EQ(coir_close(pair.in), 0);
        CHECK_EQ(run_join(fiber), 0);
        close(pair.out);
    }
    CHECK_EQ(coir_wait_fd(pair.in, 0, COIR_TRY), -EINVAL);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_ERR, COIR_TRY), -EINVAL);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_HUP | COIR_ERR, COIR_TRY), -EINVAL);
    CHECK_EQ(coir_wait_fd(-1, COIR_HUP, COIR_TRY), -EBADF);
    return 0;
}

/* proves: D4, W2 */
TEST(test_a_wait_for_a_hang_up_ends_as_others_do)
{
    run_monotonic(ends, &(bool){false});
    run_monotonic(ends, &(bool){true});
}

static int never(void *arg)
{
    int file = fds_file();
    uint64_t before = now_ns();
    (void)arg;
    CHECK_EQ(coir_wait_fd(file, COIR_HUP, coir_after(COIR_MS(30))), COIR_TIMED_OUT);
    CHECK(now_ns() - before >= (uint64_t)COIR_MS(30));
    CHECK_EQ(coir_wait_fd(file, COIR_HUP | COIR_IN, COIR_NEVER), COIR_IN);
    close(file);
    return 0;
}

/* proves: D4 */
TEST(test_a_file_never_hangs_up)
{
    run_monotonic(never, NULL);
}
