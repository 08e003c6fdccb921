/* Descriptors that are closed, and numbers that are given to other files, by plain calls behind
 * coir's back: what the kernel can tell is noticed, at the latest by an audit. */
#define TEST_AT_ONCE 16
#include "fds.h"
#include "clock.h"

#include <coir_io.h>

#include <errno.h>

enum { CROWD = 3000, WITHIN_MS = 1500 };

static const struct cr_world_ops *real;
static struct cr_world_ops ops;
static int losts, waits;

static bool counted_lost(struct cr_world *world, int fd, uint64_t token)
{
    losts++;
    return real->lost(world, fd, token);
}

static int counted_wait(struct cr_world *world, struct cr_event *events, int max, uint64_t until,
                        bool *more)
{
    waits += until != 0;
    return real->wait(world, events, max, until, more);
}

static void count_asks(void)
{
    real = inside_replace_ops(&ops);
    ops.lost = counted_lost;
    ops.wait = counted_wait;
    losts = waits = 0;
}

static bool knows_registrations(void)
{
    return strcmp(test_world_name(), "poll") != 0;
}

/* One fiber in one call on one number. */
struct caller {
    int fd;
    int64_t (*call)(int fd);
    coir_fiber fiber;
    int64_t result;
    uint64_t ended_at;
};

static int64_t call_wait(int fd)
{
    return coir_wait_fd(fd, COIR_IN, COIR_NEVER);
}

static int64_t call_read(int fd)
{
    char byte;
    return coir_read(fd, &byte, 1, COIR_NEVER);
}

static int64_t call_write(int fd)
{
    return coir_write(fd, "x", 1, COIR_NEVER);
}

static int64_t call_accept(int fd)
{
    return coir_accept(fd, NULL, NULL, COIR_NEVER);
}

static int caller_main(void *arg)
{
    struct caller *caller = arg;
    caller->result = caller->call(caller->fd);
    caller->ended_at = now_ns();
    return 0;
}

static void caller_start(struct caller *caller)
{
    caller->fiber = run_spawn(caller_main, caller);
    fds_until_parked(caller->fiber);
}

/* A descriptor on which the call waits, coir's own or not. */
static int made_for(int64_t (*call)(int fd), bool owned)
{
    int fds[2];
    struct sockaddr_in address;
    if (call == call_accept)
        return fds_listen(&address, 5);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    if (call == call_write) {
        fds_nonblocking(fds[0]);
        fds_fill(fds[0]);
    }
    if (owned)
        CHECK_EQ(coir_adopt(fds[0]), 0);
    return fds[0];
}

static struct caller callers[] = {
    {.call = call_wait}, {.call = call_wait},   {.call = call_read},
    {.call = call_read}, {.call = call_write}, {.call = call_accept},
};

enum { CALLERS = sizeof callers / sizeof *callers };

static void read_from(int fd, int other_end)
{
    struct caller reader = {.call = call_read, .fd = fd};
    caller_start(&reader);
    fds_put(other_end, "x");
    CHECK_EQ(run_join(reader.fiber), 0);
    CHECK_EQ(reader.result, 1);
}

/* All callers at once, as each waits for the audit. `reuse`: another file takes the numbers. How
 * long the last of them waits. */
static uint64_t closed_by_plain_close(bool reuse)
{
    uint64_t last_at = 0;
    for (int i = 0; i < CALLERS; i++) {
        callers[i].fd = made_for(callers[i].call, i % 2);
        caller_start(&callers[i]);
    }
    uint64_t began_at = now_ns();
    struct fds_pair next = fds_pipe(O_NONBLOCK);
    for (int i = 0; i < CALLERS; i++) {
        close(callers[i].fd);
        if (reuse)
            CHECK_EQ(dup2(next.in, callers[i].fd), callers[i].fd);
    }
    for (int i = 0; i < CALLERS; i++) {
        CHECK_EQ(run_join(callers[i].fiber), 0);
        CHECK_EQ(callers[i].result, -EBADF);
        last_at = callers[i].ended_at > last_at ? callers[i].ended_at : last_at;
    }
    for (int i = 0; i < CALLERS; i++) {
        fds_check_nothing_left(callers[i].fd);
        if (reuse)
            read_from(callers[i].fd, next.out);
    }
    return last_at - began_at;
}

static int closed_in_time(void *arg)
{
    uint64_t took = UINT64_MAX;
    for (int i = 0; i < TEST_TRIES && took >= (uint64_t)COIR_MS(WITHIN_MS); i++)
        took = closed_by_plain_close(arg);
    CHECK(took < (uint64_t)COIR_MS(WITHIN_MS));
    return 0;
}

/* proves: D18 */
TEST(test_wait_for_what_was_closed_behind_coirs_back_ends_with_an_audit)
{
    run_monotonic(closed_in_time, NULL);
}

/* proves: D18 */
TEST(test_wait_for_what_was_closed_ends_though_the_number_is_another_files_now)
{
    static bool reuse = true;
    if (!knows_registrations())
        SKIP("poll knows no files, only numbers");
    run_monotonic(closed_in_time, &reuse);
}

static int sit_idle(void *arg)
{
    struct caller caller = {.call = call_read, .fd = made_for(call_read, true)};
    int unused = made_for(call_read, true);
    caller_start(&caller);
    count_asks();
    CHECK_EQ(coir_sleep(COIR_MS(2200)), 0);
    CHECK_EQ(coir_close(unused), 0);
    CHECK_EQ(losts, 1);
    CHECK(waits <= 5);
    CHECK_EQ(coir_close(caller.fd), 0);
    CHECK_EQ(run_join(caller.fiber), 0);
    return arg ? 1 : 0;
}

/* proves: D19, T7 */
TEST(test_audit_comes_once_and_not_again_while_nothing_runs)
{
    run_monotonic(sit_idle, NULL);
}

static int tick(void *arg)
{
    coir_time until = coir_after(COIR_MS(1500));
    while (coir_left(until) > 0)
        CHECK_EQ(coir_sleep(COIR_MS(10)), 0);
    return arg ? 1 : 0;
}

static int sit_beside_ticks(void *arg)
{
    struct caller caller = {.call = call_read, .fd = made_for(call_read, true)};
    uint64_t began_at = now_ns();
    caller_start(&caller);
    count_asks();
    CHECK_EQ(run_join(run_spawn(tick, NULL)), 0);
    CHECK(losts >= 1 && (uint64_t)losts <= (now_ns() - began_at) / COIR_SEC(1));
    CHECK_EQ(coir_close(caller.fd), 0);
    CHECK_EQ(run_join(caller.fiber), 0);
    return arg ? 1 : 0;
}

/* proves: D19 */
TEST(test_audits_are_a_second_apart_however_much_runs)
{
    run_monotonic(sit_beside_ticks, NULL);
}

/* Every seventh is closed; the others must not notice. */
static int wait_in_a_crowd(void *arg)
{
    static struct caller crowd[CROWD];
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int count = limit.rlim_cur < 2 * CROWD + 100 ? (int)limit.rlim_cur / 2 - 50 : CROWD;
    for (int i = 0; i < count; i++) {
        crowd[i] = (struct caller){.call = call_wait, .fd = made_for(call_wait, false)};
        caller_start(&crowd[i]);
    }
    for (int i = 0; i < count; i += 7)
        close(crowd[i].fd);
    for (int i = 0; i < count; i += 7) {
        CHECK_EQ(run_join(crowd[i].fiber), 0);
        CHECK_EQ(crowd[i].result, -EBADF);
    }
    for (int i = 0; i < count; i++) {
        CHECK_EQ(coir_wake(crowd[i].fiber), i % 7 ? 1 : -ESRCH);
        if (i % 7)
            CHECK(run_join(crowd[i].fiber) == 0 && crowd[i].result == -EINTR);
    }
    return arg ? 1 : 0;
}

/* proves: D18, D19 */
TEST(test_audit_of_a_crowd_finds_all_that_were_closed_and_no_others)
{
    run_monotonic(wait_in_a_crowd, NULL);
}

/* ---- another fiber calls on the number ---- */

static int64_t call_read_or_time_out(int fd)
{
    char byte;
    return coir_read(fd, &byte, 1, coir_after(COIR_MS(5)));
}

/* The next file is a blocking one, so a call that took it for the old one would hang the thread. */
static int another_reads(void *arg)
{
    struct caller old = {.call = call_read, .fd = made_for(call_read, true)};
    struct fds_pair next = fds_pipe(0);
    caller_start(&old);
    CHECK_EQ(dup2(next.in, old.fd), old.fd);
    struct caller another = {.call = call_read_or_time_out, .fd = old.fd};
    caller_start(&another);
    CHECK(run_join(another.fiber) == 0 && another.result == COIR_TIMED_OUT);
    CHECK(run_join(old.fiber) == 0 && old.result == -EBADF);
    read_from(old.fd, next.out);
    CHECK_EQ(fcntl(next.in, F_GETFL) & O_NONBLOCK, 0);
    return arg ? 1 : 0;
}

/* proves: D20 */
TEST(test_another_fiber_that_reads_from_a_reused_number_reads_from_the_new_file)
{
    if (!knows_registrations())
        SKIP("poll knows no files, only numbers");
    run_virtual(another_reads, NULL);
}

static int accept_from_reused(void *arg)
{
    struct sockaddr_in address;
    struct caller old = {.call = call_accept, .fd = fds_listen(&address, 5)};
    caller_start(&old);
    int next = fds_listen(&address, 5);
    CHECK_EQ(dup2(next, old.fd), old.fd);
    struct caller another = {.call = call_accept, .fd = old.fd};
    caller_start(&another);
    CHECK(run_join(old.fiber) == 0 && old.result == -EBADF);
    int client = fds_connect(&address);
    CHECK_EQ(run_join(another.fiber), 0);
    CHECK(another.result >= 0);
    CHECK_EQ(coir_close((int)another.result), 0);
    close(client);
    return arg ? 1 : 0;
}

/* proves: D20 */
TEST(test_regress_accept_from_a_reused_number_blocks_the_thread)
{
    if (!knows_registrations())
        SKIP("poll knows no files, only numbers");
    run_virtual(accept_from_reused, NULL);
}

enum { ROUNDS = 20 };

static int read_rounds(void *arg)
{
    char byte;
    for (int i = 0; i < ROUNDS; i++)
        CHECK_EQ(coir_read(*(int *)arg, &byte, 1, COIR_NEVER), 1);
    return 0;
}

static int write_rounds(void *arg)
{
    for (int i = 0; i < ROUNDS; i++)
        CHECK(coir_write(*(int *)arg, "x", 1, COIR_NEVER) == 1 && coir_yield() == 0);
    return 0;
}

/* A socket that one fiber reads and another writes is asked about as little as one fiber's own. */
static int ask_seldom(void *arg)
{
    struct fds_pair pair = fds_unix(SOCK_STREAM);
    CHECK(coir_adopt(pair.in) == 0 && coir_adopt(pair.out) == 0);
    count_asks();
    coir_fiber fibers[] = {run_spawn(read_rounds, &pair.in), run_spawn(read_rounds, &pair.out),
                           run_spawn(write_rounds, &pair.in), run_spawn(write_rounds, &pair.out)};
    for (int i = 0; i < 4; i++)
        CHECK_EQ(run_join(fibers[i]), 0);
    CHECK(losts > 0 && losts <= 4);
    return arg ? 1 : 0;
}

/* proves: D20 */
TEST(test_fiber_that_was_the_last_to_call_in_its_direction_asks_nothing)
{
    run_virtual(ask_seldom, NULL);
}

static int accept_rounds(void *arg)
{
    struct sockaddr_in address;
    int listener = fds_listen(&address, ROUNDS);
    CHECK_EQ(coir_adopt(listener), 0);
    count_asks();
    for (int i = 0; i < ROUNDS; i++) {
        int client = fds_connect(&address);
        CHECK_EQ(coir_close(coir_accept(listener, NULL, NULL, COIR_NEVER)), 0);
        close(client);
    }
    CHECK_EQ(losts, 1);
    return arg ? 1 : 0;
}

/* proves: D20 */
TEST(test_regress_each_accept_asks_whether_the_listener_is_the_same)
{
    run_virtual(accept_rounds, NULL);
}

/* ---- a file that goes on under another number ---- */

static int closed_while_a_dup_lives(void *arg)
{
    struct fds_pair old = fds_pipe(O_NONBLOCK), next = fds_pipe(O_NONBLOCK);
    int same = dup(old.in);
    CHECK_EQ(coir_adopt(old.in), 0);
    struct caller first = {.call = call_read, .fd = old.in}, second = first;
    caller_start(&first);
    close(old.in);
    CHECK(run_join(first.fiber) == 0 && first.result == -EBADF);
    CHECK_EQ(dup2(next.in, old.in), old.in);
    caller_start(&second);
    fds_put(old.out, "x");
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    CHECK_EQ(coir_wake(second.fiber), -EBUSY);
    fds_put(next.out, "y");
    CHECK(run_join(second.fiber) == 0 && second.result == 1);
    struct caller third = {.call = call_read, .fd = same};
    caller_start(&third);
    CHECK(run_join(third.fiber) == 0 && third.result == 1);
    return arg ? 1 : 0;
}

/* proves: D18 */
TEST(test_file_that_lives_on_under_another_number_does_not_wake_who_waits_for_the_next)
{
    run_monotonic(closed_while_a_dup_lives, NULL);
}

/* ---- what the kernel cannot tell ---- */

/* The fiber that closed the old file and waits for the new one, as which the number was never
 * registered: the audit ends its wait, and then the number is known to be another file's. */
static int closer_waits_itself(void *arg)
{
    struct fds_pair old = fds_unix(SOCK_STREAM), next = fds_unix(SOCK_STREAM);
    char byte;
    CHECK_EQ(coir_adopt(old.in), 0);
    CHECK_EQ(coir_read(old.in, &byte, 1, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    fds_nonblocking(next.in);
    CHECK_EQ(dup2(next.in, old.in), old.in);
    fds_put(next.out, "x");
    bool told = knows_registrations();
    CHECK_EQ(coir_read(old.in, &byte, 1, coir_after(COIR_SEC(5))), told ? -EBADF : 1);
    if (told)
        CHECK_EQ(coir_read(old.in, &byte, 1, coir_after(COIR_SEC(5))), 1);
    return arg ? 1 : 0;
}

/* proves: D18 */
TEST(test_cannot_be_told_fiber_that_reused_a_number_itself_learns_of_it_by_the_audit)
{
    run_monotonic(closer_waits_itself, NULL);
}

/* An owned descriptor that nobody has waited for is not registered anywhere. */
static int reused_before_the_first_wait(void *arg)
{
    int fds[2];
    char byte;
    struct fds_pair next = fds_pipe(O_NONBLOCK);
    CHECK_EQ(coir_pipe(fds), 0);
    CHECK_EQ(dup2(next.in, fds[0]), fds[0]);
    fds_put(next.out, "x");
    CHECK_EQ(coir_read(fds[0], &byte, 1, COIR_NEVER), 1);
    return arg ? 1 : 0;
}

/* proves: D18 */
TEST(test_cannot_be_told_number_that_was_reused_before_its_first_wait_is_taken_for_the_old_file)
{
    run_virtual(reused_before_the_first_wait, NULL);
}
