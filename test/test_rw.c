/* Reads and writes, and the moments at which something else happens to their descriptor. */
#include "fds.h"
#include "clock.h"

#include <coir_io.h>

#include <errno.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

/* ---- deadlines that have passed ---- */

static int reads_past_the_deadline(void *arg)
{
    int fds[2];
    char buf[10];
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(coir_sleep(100), 0);
    CHECK_EQ(coir_read(fds[0], buf, sizeof buf, coir_after(10)), COIR_TIMED_OUT);
    CHECK_EQ(coir_write(fds[1], "abc", 3, COIR_NEVER), 3);
    CHECK_EQ(coir_read(fds[0], buf, sizeof buf, at_ns(50)), 3);
    CHECK_EQ(coir_read(fds[0], buf, sizeof buf, at_ns(50)), COIR_TIMED_OUT);
    CHECK_EQ(coir_write(fds[1], "abc", 3, COIR_NEVER), 3);
    CHECK_EQ(coir_recv(fds[0], buf, sizeof buf, 0, coir_now()), 3);
    CHECK(coir_close(fds[0]) == 0 && coir_close(fds[1]) == 0);
    return arg ? 1 : 0;
}

/* proves: T4 */
TEST(test_regress_read_past_its_deadline_leaves_what_is_there)
{
    run_virtual(reads_past_the_deadline, NULL);
}

static int read_one(void *arg)
{
    char byte;
    return (int)coir_read(*(int *)arg, &byte, 1, COIR_NEVER);
}

/* The reader's wait registers the socket, whose room is reported by the loop's next turn. */
static int writes_past_the_deadline(void *arg)
{
    int fds[2];
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(coir_sleep(100), 0);
    coir_fiber reader = run_spawn(read_one, &fds[0]);
    CHECK_EQ(coir_yield(), 0);
    CHECK_EQ(coir_write(fds[0], "x", 1, at_ns(50)), 1);
    CHECK_EQ(coir_write(fds[1], "x", 1, at_ns(50)), 1);
    CHECK_EQ(run_join(reader), 1);
    CHECK(coir_close(fds[0]) == 0 && coir_close(fds[1]) == 0);
    return arg ? 1 : 0;
}

/* proves: T4 */
TEST(test_regress_write_past_its_deadline_does_not_see_the_room_there_is)
{
    run_virtual(writes_past_the_deadline, NULL);
}

/* ---- the fast path ---- */

/* Whether the next read of this fiber, or write, takes the fast path, where there is one. */
static bool knows_the_fast_path(int fd, int mask)
{
    const struct cr_fd *entry = inside_fd(fd);
    return entry->last[cr_fd_direction(mask)] == cr_sched_self->key &&
           (mask == COIR_IN || entry->kind & CR_FD_SOCKET) &&
           (inside_io()->fds.fast_count > 0) == inside_world()->edges;
}

/* A fiber that has made the same call before, when nothing is there. The first read finds nothing
 * registered, so that the second is the first to be remembered. */
static int tries_once(void *arg)
{
    int fds[2];
    char buf[10];
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_read(fds[0], buf, sizeof buf, coir_after(10)), COIR_TIMED_OUT);
    uint64_t parks = cr_sched_here->timers.order;
    CHECK(knows_the_fast_path(fds[0], COIR_IN));
    CHECK_EQ(coir_read(fds[0], buf, sizeof buf, COIR_TRY), COIR_TIMED_OUT);
    fds_fill(fds[0]);
    CHECK_EQ(coir_write(fds[0], "x", 1, COIR_TRY), COIR_TIMED_OUT);
    CHECK(knows_the_fast_path(fds[0], COIR_OUT));
    CHECK_EQ(coir_write(fds[0], "x", 1, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(cr_sched_here->timers.order, parks);
    CHECK(coir_close(fds[0]) == 0 && coir_close(fds[1]) == 0);
    return arg ? 1 : 0;
}

/* proves: T4 */
TEST(test_second_read_and_write_without_time_do_not_wait_either)
{
    run_virtual(tries_once, NULL);
}

/* The loop has reported both directions, each once. */
static void meet_both_directions(int fds[2])
{
    struct fds_pair idle = fds_pipe(0);
    char byte;
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(coir_read(fds[0], &byte, 1, coir_after(10)), COIR_TIMED_OUT);
    for (int i = 0; i < 2; i++) {
        fds_put(fds[1], "x");
        CHECK_EQ(coir_read(fds[0], &byte, 1, COIR_NEVER), 1);
    }
    CHECK_EQ(coir_write(fds[0], "x", 1, COIR_NEVER), 1);
    fds_put(fds[1], "x");
    CHECK_EQ(coir_wait_fd(idle.in, COIR_IN, coir_after(10)), COIR_TIMED_OUT);
    fds_close(idle);
    CHECK(knows_the_fast_path(fds[0], COIR_IN) && knows_the_fast_path(fds[0], COIR_OUT));
}

/* Both calls are over at once: at the deadline, one would find what had not been reported to it. */
static int finds_one_direction_shut(void *arg)
{
    int fds[2];
    char byte;
    meet_both_directions(fds);
    fds_fill(fds[0]);
    uint64_t now = now_ns();
    CHECK_EQ(coir_write(fds[0], "x", 1, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_read(fds[0], &byte, 1, coir_after(10)), 1);
    CHECK_EQ(now_ns(), now);
    CHECK(coir_close(fds[0]) == 0 && coir_close(fds[1]) == 0);
    meet_both_directions(fds);
    fds_drain(fds[0]);
    CHECK_EQ(coir_read(fds[0], &byte, 1, coir_after(10)), COIR_TIMED_OUT);
    now = now_ns();
    CHECK_EQ(coir_write(fds[0], "x", 1, coir_after(10)), 1);
    CHECK_EQ(now_ns(), now);
    CHECK(coir_close(fds[0]) == 0 && coir_close(fds[1]) == 0);
    return arg ? 1 : 0;
}

/* proves: D1, D4 */
TEST(test_write_without_room_leaves_what_is_to_be_read_and_the_other_way_round)
{
    run_virtual(finds_one_direction_shut, NULL);
}

/* What a test puts into the world's table is called from then on, each time. */
static int calls_of_another_world(void *arg)
{
    int fds[2];
    char byte;
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_write(fds[0], "x", 1, COIR_NEVER), 1);
        CHECK_EQ(coir_read(fds[1], &byte, 1, COIR_NEVER), 1);
    }
    fds_count();
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_write(fds[0], "x", 1, COIR_NEVER), 1);
        CHECK_EQ(coir_read(fds[1], &byte, 1, COIR_NEVER), 1);
    }
    CHECK(fds_calls.write == 3 && fds_calls.read == 3);
    CHECK(coir_close(fds[0]) == 0 && coir_close(fds[1]) == 0);
    return arg ? 1 : 0;
}

TEST(test_world_that_was_changed_is_asked_by_a_fiber_that_has_read_and_written_before)
{
    run_virtual(calls_of_another_world, NULL);
}

/* A fiber that knows a number as a socket finds a pipe there. */
static int meets_a_pipe(void *arg)
{
    int fds[2], ends[2];
    char byte;
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (int i = 0; i < 3; i++)
        for (int end = 0; end < 2; end++) {
            CHECK_EQ(coir_write(fds[end], "x", 1, COIR_NEVER), 1);
            CHECK_EQ(coir_read(fds[1 - end], &byte, 1, COIR_NEVER), 1);
        }
    CHECK(coir_close(fds[0]) == 0 && coir_close(fds[1]) == 0);
    CHECK_EQ(coir_pipe(ends), 0);
    CHECK(ends[0] == fds[0] && ends[1] == fds[1]);
    CHECK_EQ(coir_wait_fd(ends[1], COIR_OUT, COIR_NEVER), COIR_OUT);
    CHECK_EQ(coir_wait_fd(ends[0], COIR_IN, coir_after(1)), COIR_TIMED_OUT);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_read(ends[0], &byte, 1, coir_after(1)), COIR_TIMED_OUT);
        CHECK_EQ(coir_write(ends[1], "x", 1, COIR_NEVER), 1);
        CHECK_EQ(coir_read(ends[0], &byte, 1, COIR_NEVER), 1);
    }
    CHECK(coir_close(ends[0]) == 0 && coir_close(ends[1]) == 0);
    return arg ? 1 : 0;
}

/* proves: D16 */
TEST(test_pipe_with_a_sockets_number_is_no_socket_to_who_knew_that)
{
    run_virtual(meets_a_pipe, NULL);
}

/* The one has nothing to read, the other no room. */
static int turns_to_another(void *arg)
{
    int one[2], other[2];
    char byte;
    meet_both_directions(one);
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
    CHECK_EQ(coir_read(other[0], &byte, 1, coir_after(10)), COIR_TIMED_OUT);
    fds_fill(other[0]);
    CHECK_EQ(coir_read(one[0], &byte, 1, COIR_NEVER), 1);
    CHECK_EQ(coir_read(one[0], &byte, 1, coir_after(10)), COIR_TIMED_OUT);
    CHECK_EQ(coir_write(one[0], "x", 1, COIR_NEVER), 1);
    CHECK(knows_the_fast_path(one[0], COIR_IN) && knows_the_fast_path(one[0], COIR_OUT));
    fds_put(other[1], "x");
    uint64_t now = now_ns();
    CHECK_EQ(coir_read(other[0], &byte, 1, coir_after(10)), 1);
    CHECK_EQ(coir_write(other[0], "x", 1, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_write(one[0], "x", 1, coir_after(10)), 1);
    CHECK_EQ(now_ns(), now);
    for (int i = 0; i < 2; i++)
        CHECK(coir_close(one[i]) == 0 && coir_close(other[i]) == 0);
    return arg ? 1 : 0;
}

/* proves: D1, D4 */
TEST(test_fiber_that_knows_one_descriptor_mistakes_no_other_for_it)
{
    run_virtual(turns_to_another, NULL);
}

#ifdef __linux__
/* The fast path is for sockets only, whose calls say themselves that they do not wait. */
static int writes_what_it_reads(void *arg)
{
    int counter = eventfd(0, 0);
    uint64_t value = 3;
    CHECK_EQ(coir_adopt(counter), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_write(counter, &value, sizeof value, COIR_NEVER), sizeof value);
        CHECK_EQ(coir_read(counter, &value, sizeof value, COIR_NEVER), sizeof value);
        CHECK_EQ(value, 3);
    }
    CHECK(!knows_the_fast_path(counter, COIR_IN) && !knows_the_fast_path(counter, COIR_OUT));
    CHECK_EQ(coir_close(counter), 0);
    return arg ? 1 : 0;
}

/* proves: D14 */
TEST(test_what_is_no_socket_is_written_by_who_has_read_it)
{
    run_virtual(writes_what_it_reads, NULL);
}

/* A large write finds no room where a small one does. */
static int smaller_counts(void *arg)
{
    uint64_t large = UINT64_MAX - 1, small = 1;
    int counter = eventfd(0, 0);
    CHECK_EQ(coir_adopt(counter), 0);
    CHECK_EQ(coir_write(counter, &large, sizeof large, COIR_NEVER), 8);
    CHECK_EQ(coir_read(counter, &large, sizeof large, COIR_NEVER), 8);
    large = UINT64_MAX - 3;
    CHECK_EQ(coir_write(counter, &large, sizeof large, COIR_NEVER), 8);
    large = 100;
    CHECK_EQ(coir_write(counter, &large, sizeof large, coir_after(10)), COIR_TIMED_OUT);
    CHECK_EQ(coir_write(counter, &small, sizeof small, coir_after(10)), 8);
    CHECK_EQ(coir_close(counter), 0);
    return arg ? 1 : 0;
}

/* proves: D6 */
TEST(test_a_large_write_waits_for_room_where_a_small_one_goes)
{
    run_virtual(smaller_counts, NULL);
}
#endif

/* ---- short reads ---- */

/* The number was a TCP socket's, of which a short read says more. */
static int reuse_number(void *arg)
{
    char buf[8];
    struct fds_pair tcp = fds_tcp(), next = fds_unix(SOCK_DGRAM);
    CHECK_EQ(coir_adopt(tcp.in), 0);
    CHECK_EQ(coir_close(tcp.in), 0);
    CHECK_EQ(dup2(next.in, tcp.in), tcp.in);
    CHECK_EQ(coir_adopt(tcp.in), 0);
    CHECK_EQ(coir_read(tcp.in, buf, sizeof buf, coir_after(10)), COIR_TIMED_OUT);
    fds_put(next.out, "ab");
    fds_put(next.out, "cd");
    uint64_t now = now_ns();
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_read(tcp.in, buf, sizeof buf, coir_after(10)), 2);
    CHECK_EQ(now_ns(), now);
    CHECK_EQ(coir_close(tcp.in), 0);
    fds_close(next);
    close(tcp.out);
    return arg ? 1 : 0;
}

/* proves: D5, D7 */
TEST(test_short_read_on_a_number_that_was_a_tcp_sockets_is_followed_by_the_next_packet)
{
    run_virtual(reuse_number, NULL);
}

static int put_soon(void *arg)
{
    fds_put(*(int *)arg, "cd");
    return 0;
}

/* A connection is registered by its first wait, which is not always in its first read. After each
 * read, by the fast path or not, it is known that nothing is left, so that the next one makes no
 * call in vain. */
static int read_before_any_wait(void *arg)
{
    char buf[8];
    struct sockaddr_in address;
    int listener = fds_listen(&address, 1), client = fds_connect(&address);
    coir_time until = coir_after(COIR_SEC(20));
    int fd = coir_accept(listener, NULL, NULL, until);
    fds_put(client, "ab");
    CHECK_EQ(coir_read(fd, buf, sizeof buf, until), 2);
    for (int i = 0; i < 4; i++) {
        coir_fiber writer = run_spawn(put_soon, &client);
        CHECK_EQ(coir_read(fd, buf, sizeof buf, until), 2);
        CHECK(coir_left(until) > 0);
        if (kernel->has_except) /* else urgent data may make a read short */
            CHECK(!(inside_fd(fd)->ready & COIR_IN));
        CHECK_EQ(run_join(writer), 0);
    }
    CHECK(knows_the_fast_path(fd, COIR_IN));
    CHECK(coir_close(fd) == 0 && coir_close(listener) == 0);
    close(client);
    return arg ? 1 : 0;
}

/* proves: D6, D7 */
TEST(test_short_read_of_what_is_not_registered_yet_is_followed_by_a_wait)
{
    run_monotonic(read_before_any_wait, NULL);
}

/* ---- progress ---- */

static int sleep_a_little(void *arg)
{
    (void)arg;
    return coir_sleep(1000);
}

static bool over;

static int only_yield(void *arg)
{
    while (!over)
        coir_yield();
    return arg ? 1 : 0;
}

/* Half of each is done by the fiber's own calls, the other half where coir does not see it. Each
 * round is four switches, so the loop's turns, of 256, end in the same of them. */
static int moves_bytes_under_a_timer(void *arg)
{
    struct fds_pair pair = fds_unix(SOCK_STREAM);
    char byte;
    CHECK(coir_adopt(pair.in) == 0 && coir_adopt(pair.out) == 0);
    coir_fiber fibers[] = {run_spawn(sleep_a_little, NULL), run_spawn(only_yield, NULL),
                           run_spawn(only_yield, NULL)};
    for (int i = 0; i < 4000; i++) {
        CHECK(coir_write(pair.out, "x", 1, COIR_NEVER) == 1 && read(pair.in, &byte, 1) == 1);
        CHECK_EQ(coir_yield(), 0);
    }
    for (int i = 0; i < 4000; i++) {
        CHECK(write(pair.out, "x", 1) == 1 && coir_read(pair.in, &byte, 1, COIR_NEVER) == 1);
        CHECK_EQ(coir_yield(), 0);
    }
    CHECK_EQ(now_ns(), 0);
    CHECK(coir_close(pair.in) == 0 && coir_close(pair.out) == 0);
    over = true;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(run_join(fibers[i]), 0);
    return arg ? 1 : 0;
}

/* proves: T2, O3 */
TEST(test_bytes_that_one_fiber_moves_again_and_again_are_no_livelock)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL, .livelock_limit = 1000};
    CHECK_EQ(coir_run(moves_bytes_under_a_timer, NULL, &opts, NULL), 0);
}
