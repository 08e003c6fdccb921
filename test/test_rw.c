/* Reads and writes, and the moments at which something else happens to their descriptor. */
#include "fds.h"

#include <coir_io.h>

#include <errno.h>

/* ---- deadlines that have passed ---- */

static int reads_past_the_deadline(void *arg)
{
    int fds[2];
    char buf[10];
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(coir_sleep(100), 0);
    CHECK_EQ(coir_read(fds[0], buf, sizeof buf, coir_after(10)), -ETIMEDOUT);
    CHECK_EQ(coir_write(fds[1], "abc", 3, COIR_NEVER), 3);
    CHECK_EQ(coir_read(fds[0], buf, sizeof buf, 50), 3);
    CHECK_EQ(coir_read(fds[0], buf, sizeof buf, 50), -ETIMEDOUT);
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

/* The reader's wait registers the socket, whose room is told by the loop's next turn. */
static int writes_past_the_deadline(void *arg)
{
    int fds[2];
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(coir_sleep(100), 0);
    coir_fiber reader = run_spawn(read_one, &fds[0]);
    CHECK_EQ(coir_yield(), 0);
    CHECK_EQ(coir_write(fds[0], "x", 1, 50), 1);
    CHECK_EQ(coir_write(fds[1], "x", 1, 50), 1);
    CHECK_EQ(run_join(reader), 1);
    CHECK(coir_close(fds[0]) == 0 && coir_close(fds[1]) == 0);
    return arg ? 1 : 0;
}

/* proves: T4 */
TEST(test_regress_write_past_its_deadline_does_not_see_the_room_there_is)
{
    run_virtual(writes_past_the_deadline, NULL);
}

/* ---- the short way ---- */

/* A fiber that has made the same call before, when nothing is there. */
static int tries_once(void *arg)
{
    int fds[2];
    char buf[10];
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(coir_read(fds[0], buf, sizeof buf, coir_after(10)), -ETIMEDOUT);
    uint64_t parks = cr_sched_here->timers.order;
    CHECK_EQ(coir_read(fds[0], buf, sizeof buf, 0), -ETIMEDOUT);
    fds_fill(fds[0]);
    CHECK_EQ(coir_write(fds[0], "x", 1, 0), -ETIMEDOUT);
    CHECK_EQ(coir_write(fds[0], "x", 1, 0), -ETIMEDOUT);
    CHECK_EQ(cr_sched_here->timers.order, parks);
    CHECK(coir_close(fds[0]) == 0 && coir_close(fds[1]) == 0);
    return arg ? 1 : 0;
}

/* proves: T4 */
TEST(test_second_read_and_write_without_time_do_not_wait_either)
{
    run_virtual(tries_once, NULL);
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
    CHECK_EQ(coir_wait_fd(ends[0], COIR_IN, coir_after(1)), -ETIMEDOUT);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_read(ends[0], &byte, 1, coir_after(1)), -ETIMEDOUT);
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
    CHECK_EQ(coir_now(), 0);
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
