/* What descriptors cost, owned by coir or not, and what becomes of those that block or are full. */
#include "fds.h"

#include <sys/resource.h>
#include <sys/stat.h>

/* ---- registrations ---- */

static int wait_owned(void *arg)
{
    (void)arg;
    struct fds_pair pipe = fds_pipe(0);
    fds_count();
    CHECK_EQ(coir_adopt(pipe.in), 0);
    CHECK_EQ(coir_adopt(pipe.in), 0);
    for (int i = 0; i < 1000; i++) {
        struct fds_waiter w = {.fd = pipe.in, .mask = COIR_IN};
        fds_start(&w, 1);
        fds_put(pipe.out, "x");
        CHECK_EQ(run_join(w.fiber), COIR_IN);
        CHECK_EQ(coir_read(pipe.in, &(char){0}, 1, COIR_TRY), 1);
    }
    CHECK_EQ(fds_calls.attach, 1);
    CHECK_EQ(fds_calls.detach, 0);
    CHECK_EQ(coir_close(pipe.in), 0);
    CHECK_EQ(fds_calls.detach, 1);
    close(pipe.out);
    return 0;
}

/* proves: D6 */
TEST(test_foreign_no_more_an_adopted_descriptor_is_registered_once)
{
    run_virtual(wait_owned, NULL);
}

static int wait_foreign(void *arg)
{
    struct fds_pair pipe = fds_pipe(*(int *)arg);
    int flags = fcntl(pipe.in, F_GETFL), fd_flags = fcntl(pipe.in, F_GETFD);
    fds_count();
    CHECK_EQ(coir_wait_fd(pipe.in, COIR_IN, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(fds_calls.attach, 0);
    for (int i = 1; i <= 10; i++) {
        struct fds_waiter one = {.fd = pipe.in, .mask = COIR_IN}, w[3] = {one, one, one};
        fds_start(w, 3);
        CHECK_EQ(fds_calls.attach, i);
        CHECK_EQ(fds_calls.detach, i - 1);
        fds_put(pipe.out, "x");
        for (int k = 0; k < 3; k++)
            CHECK_EQ(run_join(w[k].fiber), COIR_IN);
        CHECK_EQ(fds_calls.attach, i);
        CHECK_EQ(fds_calls.detach, i);
        CHECK_EQ(coir_wait_fd(pipe.in, COIR_IN, COIR_NEVER), COIR_IN);
        CHECK_EQ(coir_read(pipe.in, &(char){0}, 1, COIR_TRY), 1);
        CHECK_EQ(fcntl(pipe.in, F_GETFL), flags);
        CHECK_EQ(fcntl(pipe.in, F_GETFD), fd_flags);
    }
    CHECK_EQ(fds_calls.attach, 10);
    fds_close(pipe);
    return 0;
}

/* proves: D6 */
TEST(test_foreign_descriptors_are_registered_while_fibers_wait_and_keep_their_flags)
{
    int blocking = 0, nonblocking = O_NONBLOCK;
    run_virtual(wait_foreign, &blocking);
    run_virtual(wait_foreign, &nonblocking);
}

/* Two fibers that wait for one descriptor are woken at once; then two descriptors are waited for,
 * to each of which its own bytes must be reported. */
static int two_then_two(void *arg)
{
    (void)arg;
    struct fds_pair pipes[3] = {fds_pipe(0), fds_pipe(0), fds_pipe(0)};
    struct fds_waiter one = {.fd = pipes[0].in, .mask = COIR_IN}, both[2] = {one, one};
    fds_start(both, 2);
    fds_put(pipes[0].out, "x");
    CHECK_EQ(run_join(both[0].fiber), COIR_IN);
    CHECK_EQ(run_join(both[1].fiber), COIR_IN);

    struct fds_waiter each[2];
    for (int i = 0; i < 2; i++)
        each[i] = (struct fds_waiter){.fd = pipes[i + 1].in, .mask = COIR_IN,
                                      .until = coir_after(COIR_SEC(1))};
    fds_start(each, 2);
    fds_put(pipes[1].out, "x");
    CHECK_EQ(run_join(each[0].fiber), COIR_IN);
    fds_put(pipes[2].out, "x");
    CHECK_EQ(run_join(each[1].fiber), COIR_IN);
    for (int i = 0; i < 3; i++)
        fds_close(pipes[i]);
    return 0;
}

/* proves: D6, D1 */
TEST(test_foreign_descriptors_keep_apart_after_two_fibers_were_woken_at_once)
{
    run_virtual(two_then_two, NULL);
}

static int adopt_while_waited_for(void *arg)
{
    (void)arg;
    struct fds_pair pipe = fds_pipe(0);
    struct fds_waiter w = {.fd = pipe.in, .mask = COIR_IN};
    fds_count();
    fds_start(&w, 1);
    CHECK_EQ(coir_adopt(pipe.in), 0);
    CHECK(fcntl(pipe.in, F_GETFL) & O_NONBLOCK);
    fds_put(pipe.out, "x");
    CHECK_EQ(run_join(w.fiber), COIR_IN);
    CHECK_EQ(coir_read(pipe.in, &(char){0}, 1, COIR_TRY), 1);
    fds_start(&w, 1);
    fds_put(pipe.out, "x");
    CHECK_EQ(run_join(w.fiber), COIR_IN);
    CHECK_EQ(coir_close(pipe.in), 0);
    CHECK_EQ(fds_calls.attach, fds_calls.detach);
    CHECK(fds_calls.attach <= 2);
    close(pipe.out);
    return 0;
}

/* proves: D6 */
TEST(test_foreign_descriptor_is_adopted_while_a_fiber_waits_for_it)
{
    run_virtual(adopt_while_waited_for, NULL);
}

static int adopt_fails(struct cr_world *world, int fd)
{
    (void)world;
    (void)fd;
    return -ENOMEM;
}

static int adopt_in_vain(void *arg)
{
    (void)arg;
    struct fds_pair pipe = fds_pipe(0);
    fds_count();
    fds_ops.adopt = adopt_fails;
    CHECK_EQ(coir_adopt(pipe.in), -ENOMEM);
    fds_check_nothing_left(pipe.in);
    CHECK_EQ(fds_calls.attach, fds_calls.detach);
    fds_ops.adopt = fds_real->adopt;
    CHECK_EQ(coir_adopt(pipe.in), 0);
    CHECK_EQ(coir_close(pipe.in), 0);
    close(pipe.out);
    return 0;
}

/* proves: D6, F1 */
TEST(test_foreign_descriptor_that_cannot_be_adopted_is_not_registered)
{
    run_virtual(adopt_in_vain, NULL);
}

/* ---- full pipes and sockets whose reader goes away ---- */

static int write_some(void *arg)
{
    static const char data[100000];
    return (int)coir_write(*(int *)arg, data, sizeof data, COIR_NEVER);
}

static int wait_out(void *arg)
{
    return coir_wait_fd(*(int *)arg, COIR_OUT, COIR_NEVER);
}

static void reader_goes_away(struct fds_pair pair, bool owned)
{
    fds_fill(pair.out);
    if (owned)
        CHECK_EQ(coir_adopt(pair.out), 0);
    coir_fiber writers[2] = {run_spawn(write_some, &pair.out), run_spawn(write_some, &pair.out)};
    coir_fiber waiter = run_spawn(wait_out, &pair.out);
    fds_until_parked(waiter);
    close(pair.in);
    int ready = run_join(waiter);
    CHECK_EQ(ready & COIR_OUT, COIR_OUT);
    CHECK(ready & (COIR_ERR | COIR_HUP));
    /* A reset that took data with it is reported first, and once. */
    for (int i = 0; i < 2; i++) {
        int result = run_join(writers[i]);
        CHECK(result == -EPIPE || result == -ECONNRESET);
    }
    CHECK_EQ(coir_write(pair.out, "x", 1, COIR_NEVER), -EPIPE);
    CHECK_EQ(coir_write(pair.out, "x", 1, COIR_TRY), -EPIPE);
    fds_check_nothing_left(pair.out);
    CHECK_EQ(coir_close(pair.out), 0);
}

static int readers_go_away(void *arg)
{
    bool owned = arg;
    reader_goes_away(fds_pipe(0), owned);
    reader_goes_away(fds_pipe(O_NONBLOCK), owned);
    reader_goes_away(fds_unix(SOCK_STREAM), owned);
    struct fds_pair pair = fds_unix(SOCK_STREAM);
    fds_nonblocking(pair.in);
    fds_nonblocking(pair.out);
    reader_goes_away(pair, owned);
    reader_goes_away(fds_tcp(), owned);
    return 0;
}

/* proves: D8 */
TEST(test_foreign_or_owned_a_full_descriptor_whose_reader_goes_away_says_epipe)
{
    int owned = 1;
    run_monotonic(readers_go_away, NULL);
    run_monotonic(readers_go_away, &owned);
}

/* A handler, or a wish to ignore it, that the program has set stays in force. */
static volatile sig_atomic_t pipe_signals;

static void count_pipe_signal(int number)
{
    (void)number;
    pipe_signals++;
}

static int write_to_nobody(void *arg)
{
    (void)arg;
    struct fds_pair pipe = fds_pipe(0);
    close(pipe.in);
    CHECK_EQ(coir_write(pipe.out, "x", 1, COIR_NEVER), -EPIPE);
    CHECK_EQ(coir_close(pipe.out), 0);
    return 0;
}

/* proves: D8 */
TEST(test_foreign_handlers_of_sigpipe_stay_and_the_default_comes_back)
{
    struct sigaction now;
    signal(SIGPIPE, count_pipe_signal);
    run_virtual(write_to_nobody, NULL);
    CHECK_EQ(pipe_signals, 1);
    CHECK_EQ(sigaction(SIGPIPE, NULL, &now), 0);
    CHECK(now.sa_handler == count_pipe_signal);
    signal(SIGPIPE, SIG_DFL);
    run_virtual(write_to_nobody, NULL);
    CHECK_EQ(sigaction(SIGPIPE, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
}

/* ---- descriptors that block ---- */

struct ticker {
    bool stop;
    int turns;
};

static int tick(void *arg)
{
    struct ticker *ticker = arg;
    for (; !ticker->stop; ticker->turns++)
        coir_yield();
    return 0;
}

static int read_nothing(void *arg)
{
    char bytes[8];
    struct fds_pair pairs[3] = {fds_pipe(0), fds_unix(SOCK_STREAM), fds_unix(SOCK_DGRAM)};
    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct ticker ticker = {false, 0};
        coir_fiber other = run_spawn(tick, &ticker);
        CHECK(coir_read(pairs[i].in, bytes, 8, coir_after(COIR_MS(1))) == COIR_TIMED_OUT);
        CHECK(ticker.turns > 0);
        fds_put(pairs[i].out, "abc");
        CHECK_EQ(coir_read(pairs[i].in, bytes, sizeof bytes, COIR_NEVER), 3);
        CHECK(!(fcntl(pairs[i].in, F_GETFL) & O_NONBLOCK));
        ticker.stop = true;
        run_join(other);
        fds_close(pairs[i]);
    }
    return 0;
}

/* proves: D9 */
TEST(test_foreign_blocking_descriptors_do_not_block_a_read)
{
    run_monotonic(read_nothing, NULL);
}

enum { MEBIBYTE = 1 << 20 };

static unsigned char pattern(size_t at)
{
    return (unsigned char)(at * 7 + (at >> 12));
}

static int write_mebibyte(void *arg)
{
    static unsigned char data[MEBIBYTE];
    for (size_t i = 0; i < MEBIBYTE; i++)
        data[i] = pattern(i);
    for (size_t at = 0; at < MEBIBYTE;) {
        ssize_t written = coir_write(*(int *)arg, data + at, MEBIBYTE - at, COIR_NEVER);
        CHECK(written > 0);
        at += (size_t)written;
    }
    close(*(int *)arg);
    return 0;
}

static void carry_mebibyte(struct fds_pair pair)
{
    unsigned char bytes[3000];
    struct ticker ticker = {false, 0};
    coir_fiber writer = run_spawn(write_mebibyte, &pair.out), other = run_spawn(tick, &ticker);
    size_t at = 0;
    for (ssize_t got; (got = coir_read(pair.in, bytes, sizeof bytes, COIR_NEVER)) > 0;)
        for (ssize_t i = 0; i < got; i++)
            CHECK_EQ(bytes[i], pattern(at++));
    CHECK_EQ(at, MEBIBYTE);
    CHECK(ticker.turns > 10);
    ticker.stop = true;
    run_join(other);
    run_join(writer);
    close(pair.in);
}

static int carry(void *arg)
{
    (void)arg;
#ifdef F_SETPIPE_SZ
    struct fds_pair small = fds_pipe(0);
    CHECK(fcntl(small.in, F_SETPIPE_SZ, 4096) > 0);
    carry_mebibyte(small);
#endif
    carry_mebibyte(fds_pipe(0));
    carry_mebibyte(fds_unix(SOCK_STREAM));
    carry_mebibyte(fds_tcp());
    return 0;
}

/* proves: D9 */
TEST(test_foreign_blocking_descriptors_take_a_mebibyte_while_others_run)
{
    run_monotonic(carry, NULL);
}

/* ---- coir's own descriptors, and large numbers ---- */

enum { NUMBERS = 256 };

static int count_own(void *arg)
{
    const bool *was_open = arg;
    int before = fds_open();
    CHECK_EQ(coir_sleep(1), 0);
    CHECK_EQ(coir_wait_fd(-1, COIR_IN, COIR_TRY), -EBADF);
    CHECK_EQ(fds_open(), before);
    struct fds_pair pipe = fds_pipe(0);
    CHECK_EQ(coir_wait_fd(pipe.out, COIR_OUT, COIR_NEVER), COIR_OUT);
    CHECK_EQ(coir_write(pipe.out, "x", 1, COIR_NEVER), 1);
    CHECK_EQ(coir_read(pipe.in, &(char){0}, 1, COIR_NEVER), 1);
    CHECK_EQ(fds_open(), before + 2);
    CHECK_EQ(coir_wait_fd(pipe.in, COIR_IN, coir_after(1)), COIR_TIMED_OUT);
    CHECK_EQ(fds_open(), before + 2 + inside_own_count());
    for (int fd = 0; fd < NUMBERS; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !was_open[fd] && fd != pipe.in && fd != pipe.out)
            CHECK_EQ(flags, FD_CLOEXEC);
    }
    fds_close(pipe);
    return 0;
}

/* proves: D10 */
TEST(test_foreign_to_the_program_are_no_descriptors_before_a_wait_or_after_the_end)
{
    bool was_open[NUMBERS];
    int before = fds_open();
    for (int fd = 0; fd < NUMBERS; fd++)
        was_open[fd] = fcntl(fd, F_GETFD) >= 0;
    run_virtual(count_own, was_open);
    CHECK_EQ(fds_open(), before);
}

static int highest_allowed(void)
{
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct rlimit more = {1 << 20, 1 << 20};
    if (setrlimit(RLIMIT_NOFILE, &more) != 0) {
        limit.rlim_cur = limit.rlim_max;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
        return (int)limit.rlim_max - 1;
    }
    return (int)more.rlim_max - 1;
}

static size_t pages_of(const struct cr_table *fds)
{
    size_t pages = 0;
    for (size_t i = 0; i < fds->pages_count; i++)
        pages += fds->pages[i].first != NULL;
    return pages;
}

static int large_number(void *arg)
{
    int fd = *(int *)arg;
    struct fds_pair pipe = fds_pipe(0);
    for (int least = fd; least > pipe.out; least = least / 2) {
        int number = fcntl(pipe.in, F_DUPFD, least);
        CHECK(number >= least);
        CHECK_EQ(coir_adopt(number), 0);
        CHECK_EQ(coir_wait_fd(number, COIR_IN, coir_after(1)), COIR_TIMED_OUT);
        fds_put(pipe.out, "x");
        CHECK_EQ(coir_read(number, &(char){0}, 1, COIR_NEVER), 1);
        CHECK_EQ(coir_close(number), 0);
    }
    size_t pages = pages_of(&inside_io()->fds.table);
    CHECK(pages <= 21); /* one for each number that was used, at most */
    printf("numbers up to %d, %zu pages of %zu\n", fd, pages, inside_io()->fds.table.pages_count);
    fds_close(pipe);
    return 0;
}

/* proves: D11 */
TEST(test_foreign_or_owned_numbers_may_be_as_large_as_the_system_lets_them)
{
    int fd = highest_allowed();
    run_virtual(large_number, &fd);
}

/* The table alone, because few systems give out such numbers. proves: D11 */
TEST(test_foreign_numbers_near_a_billion_cost_one_page)
{
    struct cr_fds fds = {0};
    struct cr_fd *entry = cr_fd_make(&fds, 1000 * 1000 * 1000);
    CHECK(entry && entry == cr_fd_find(&fds, 1000 * 1000 * 1000));
    CHECK(!cr_fd_find(&fds, 1000 * 1000 * 1000 - 1));
    CHECK(!cr_fd_find(&fds, 7) && !cr_fd_find(&fds, INT32_MAX));
    CHECK_EQ(pages_of(&fds.table), 1);
    CHECK(cr_fd_make(&fds, 7) && cr_fd_find(&fds, 1000 * 1000 * 1000) == entry);
    CHECK(fds.table.pages_count * sizeof *fds.table.pages < 4 * 1024 * 1024);
    cr_fd_fini(&fds);
}
