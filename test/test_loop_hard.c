/* The event loop without fibers where files go behind its back, where there is little room, and
 * beside forks, schedulers and other loops. */
#include "loops.h"

/* ---- numbers that get another file ---- */

/* proves: P8 */
TEST(test_loop_delete_after_a_raw_close_is_harmless)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        for (int waits = 0; waits < 2; waits++) {
            struct fds_pair pair = fds_unix(SOCK_STREAM);
            int file = fds_file();
            CHECK_EQ(coir_loop_add_read(loop, pair.in, NULL), 0);
            CHECK_EQ(coir_loop_add_write(loop, pair.in, NULL), 0);
            CHECK_EQ(coir_loop_add_write(loop, file, NULL), 0);
            fds_close(pair);
            close(file);
            for (int i = 0; i < waits; i++)
                loops_check_asleep(loop);
            CHECK_EQ(coir_loop_del_write(loop, pair.in), 0);
            CHECK_EQ(coir_loop_del_read(loop, pair.in), 0);
            CHECK_EQ(coir_loop_del_write(loop, file), 0);
            CHECK_EQ(coir_loop_del_read(loop, pair.in), -ENOENT);
            CHECK_EQ(coir_loop_add_read(loop, pair.in, NULL), -EBADF);
            loops_check_asleep(loop);
        }
    }
}

/* Adds a number, in one direction or both, and then its next file. The old one, which has something
 * to read, lives on. */
static void reuse(coir_loop *loop, int first, struct fds_pair old, struct fds_pair new)
{
    int lives_on = dup(old.in);
    fds_put(old.out, "old");
    CHECK_EQ(coir_loop_add_read(loop, old.in, WORD(1)), 0);
    if (first & COIR_OUT)
        CHECK_EQ(coir_loop_add_write(loop, old.in, WORD(2)), 0);
    close(old.in);
    CHECK_EQ(dup2(new.in, old.in), old.in);
    CHECK_EQ(coir_loop_add_read(loop, old.in, WORD(3)), 0);
    if (first & COIR_OUT)
        CHECK_EQ(coir_loop_del_write(loop, old.in), 0);
    loops_check_asleep(loop);
    fds_put(new.out, "x");
    CHECK_EQ(loops_soon(loop), 1);
    CHECK_EQ(loops_flags(old.in, COIR_IN), COIR_IN);
    CHECK(loops_events[0].user == WORD(3));
    CHECK_EQ(coir_loop_del_read(loop, old.in), 0);
    CHECK_EQ(loops_now(loop), 0);
    close(lives_on);
    fds_close(old);
    fds_close(new);
}

/* proves: P8 */
TEST(test_loop_tells_of_a_number_s_next_file_with_the_next_word)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        reuse(loop, COIR_IN, fds_pipe(0), fds_pipe(0));
        reuse(loop, COIR_IN, fds_unix(SOCK_STREAM), fds_pipe(0));
        reuse(loop, COIR_IN | COIR_OUT, fds_unix(SOCK_STREAM), fds_unix(SOCK_STREAM));
    }
}

/* The one that lives on is left behind, and with it the world, when all that is watched has moved
 * to another. proves: P8 */
TEST(test_loop_watches_the_last_number_of_a_page_also_in_the_next_world)
{
    coir_loop *loop;
    struct rlimit limit;
    const int number = CR_TABLE_PAGE - 1;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max <= (rlim_t)number || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        SKIP("the system does not give out such numbers");
    while (loops_next(&loop)) {
        struct fds_pair last = fds_pipe(0);
        CHECK_EQ(dup2(last.in, number), number);
        CHECK_EQ(coir_loop_add_read(loop, number, WORD(9)), 0);
        reuse(loop, COIR_IN, fds_pipe(0), fds_pipe(0));
        fds_put(last.out, "x");
        CHECK_EQ(loops_soon(loop), 1);
        CHECK_EQ(loops_flags(number, COIR_IN), COIR_IN);
        CHECK_EQ(coir_loop_del_read(loop, number), 0);
        close(number);
        fds_close(last);
    }
}

/* proves: P8, P6 */
TEST(test_loop_a_number_changes_between_what_can_be_polled_and_what_cannot)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        struct fds_pair pipe = fds_pipe(0), socket = fds_unix(SOCK_STREAM);
        int file = fds_file(), number = dup(file);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(dup2(file, number), number);
            CHECK_EQ(coir_loop_add_read(loop, number, WORD(1)), 0);
            CHECK_EQ(loops_soon(loop), 1);
            CHECK(loops_events[0].user == WORD(1));
            CHECK_EQ(dup2(pipe.in, number), number);
            CHECK_EQ(coir_loop_add_read(loop, number, WORD(2)), 0);
            loops_check_asleep(loop);
            fds_put(pipe.out, "x");
            CHECK_EQ(loops_soon(loop), 1);
            CHECK(loops_events[0].user == WORD(2));
            fds_drain(pipe.in);
        }
        CHECK_EQ(dup2(file, number), number);
        CHECK_EQ(coir_loop_add_write(loop, number, NULL), 0);
        CHECK_EQ(dup2(pipe.in, number), number); /* and nothing is said of it */
        if (loops_world != COIR_WORLD_POLL)
            loops_check_asleep(loop);
        CHECK_EQ(dup2(file, number), number);
        CHECK_EQ(coir_loop_add_write(loop, number, NULL), 0);
        CHECK_EQ(dup2(socket.in, number), number); /* which could always be written */
        CHECK_EQ(coir_loop_add_read(loop, number, NULL), 0);
        if (loops_world != COIR_WORLD_POLL)
            loops_check_asleep(loop);
        close(number);
        close(file);
        fds_close(pipe);
        fds_close(socket);
    }
}

/* On epoll such a registration cannot be taken off. */
/* proves: P8 */
TEST(test_loop_sleeps_though_a_closed_file_lives_on_and_is_ready)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        struct fds_pair dead = fds_unix(SOCK_STREAM), pipe = fds_pipe(0);
        int lives_on = dup(dead.in), file = fds_file();
        fds_put(dead.out, "x");
        CHECK_EQ(coir_loop_add_wake(loop, WORD(9)), 0);
        CHECK_EQ(coir_loop_add_read(loop, dead.in, WORD(1)), 0);
        CHECK_EQ(coir_loop_add_write(loop, dead.in, WORD(1)), 0);
        CHECK_EQ(coir_loop_add_read(loop, pipe.in, WORD(2)), 0);
        CHECK_EQ(coir_loop_add_read(loop, lives_on, WORD(3)), 0);
        CHECK_EQ(coir_loop_del_read(loop, lives_on), 0);
        close(dead.in);
        CHECK_EQ(coir_loop_del_read(loop, dead.in), 0);
        CHECK_EQ(coir_loop_del_write(loop, dead.in), 0);
        loops_check_asleep(loop);
        loops_check_asleep(loop);
        fds_put(pipe.out, "xy");
        CHECK_EQ(loops_soon(loop), 1);
        CHECK(loops_events[0].user == WORD(2));
        CHECK_EQ(coir_loop_wake(loop), 0);
        CHECK_EQ(loops_soon(loop), 2);
        CHECK(loops_find(-1, COIR_LOOP_WAKE)->user == WORD(9));
        fds_drain(pipe.in);
        loops_check_asleep(loop);
        CHECK_EQ(coir_loop_add_write(loop, lives_on, WORD(4)), 0);
        CHECK_EQ(loops_soon(loop), 1);
        CHECK(loops_events[0].user == WORD(4));
        close(lives_on);
        close(dead.out);
        close(file);
        fds_close(pipe);
    }
}

/* ---- little room ---- */

/* proves: P9 */
TEST(test_loop_gives_each_a_turn_where_there_is_room_for_few)
{
    enum { PAIRS = 5, TOTAL = 2 * PAIRS + 3 };
    coir_loop *loop;
    while (loops_next(&loop)) {
        struct fds_pair pairs[PAIRS];
        int file = fds_file();
        for (int i = 0; i < PAIRS; i++) {
            pairs[i] = fds_unix(SOCK_STREAM);
            fds_put(pairs[i].out, "x");
            CHECK_EQ(coir_loop_add_read(loop, pairs[i].in, WORD(2 * i)), 0);
            CHECK_EQ(coir_loop_add_write(loop, pairs[i].in, WORD(2 * i + 1)), 0);
        }
        CHECK_EQ(coir_loop_add_read(loop, file, WORD(2 * PAIRS)), 0);
        CHECK_EQ(coir_loop_add_write(loop, file, WORD(2 * PAIRS + 1)), 0);
        CHECK_EQ(coir_loop_add_wake(loop, WORD(2 * PAIRS + 2)), 0);
        for (int most = 1; most <= TOTAL; most++) {
            int told[TOTAL] = {0}, waits = 60 * TOTAL / most;
            for (int i = 0; i < waits; i++) {
                CHECK_EQ(coir_loop_wake(loop), 0);
                int count = coir_loop_wait(loop, loops_events, most, COIR_NEVER);
                CHECK(count > 0 && count <= most);
                for (int e = 0; e < count; e++)
                    told[(char *)loops_events[e].user - loops_words]++;
            }
            for (int i = 0; i < TOTAL; i++) {
                CHECK(told[i] >= 10);
                CHECK(told[i] <= waits);
            }
        }
        close(file);
        for (int i = 0; i < PAIRS; i++)
            fds_close(pairs[i]);
    }
}

/* ---- forks and execs ---- */

/* How many descriptors a loop has that nothing was added to. */
static int loops_own(void)
{
    coir_loop *loop;
    int before = fds_open();
    CHECK_EQ(coir_loop_open(&loop, loops_world), 0);
    int own = fds_open() - before;
    coir_loop_close(loop);
    return own;
}

static void in_child(coir_loop *loop, struct fds_pair pipe, int descriptors)
{
    int files[8];
    CHECK_EQ(coir_loop_wait(loop, loops_events, 1, COIR_TRY), -ECHILD);
    CHECK_EQ(coir_loop_wake(loop), -ECHILD);
    CHECK_EQ(coir_loop_add_wake(loop, NULL), -ECHILD);
    CHECK_EQ(coir_loop_add_write(loop, pipe.in, NULL), -ECHILD);
    CHECK_EQ(coir_loop_del_read(loop, pipe.in), -ECHILD);
    for (int i = 0; i < 8; i++) /* where the loop's own would have been */
        files[i] = open("/dev/null", O_RDONLY);
    coir_loop *own;
    CHECK_EQ(coir_loop_open(&own, loops_world), 0);
    CHECK_EQ(coir_loop_add_read(own, pipe.in, WORD(2)), 0);
    coir_loop_close(loop);
    for (int i = 0; i < 8; i++) {
        CHECK(fcntl(files[i], F_GETFD) >= 0);
        close(files[i]);
    }
    CHECK_EQ(loops_now(own), 0);
    coir_loop_close(own);
    CHECK_EQ(fds_open(), descriptors);
    _exit(0);
}

/* proves: P12 */
TEST(test_loop_child_may_close_it_and_harms_nothing)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        struct fds_pair pipe = fds_pipe(0);
        int wait_status, descriptors = fds_open() - loops_own();
        CHECK_EQ(coir_loop_add_read(loop, pipe.in, WORD(1)), 0);
        CHECK_EQ(coir_loop_add_wake(loop, NULL), 0);
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            in_child(loop, pipe, descriptors);
        CHECK_EQ(waitpid(child, &wait_status, 0), child);
        CHECK_EQ(wait_status, 0);
        CHECK_EQ(loops_now(loop), 0);
        fds_put(pipe.out, "x");
        CHECK_EQ(loops_soon(loop), 1);
        CHECK(loops_events[0].user == WORD(1));
        CHECK_EQ(coir_loop_wake(loop), 0);
        CHECK_EQ(loops_soon(loop), 2);
        fds_close(pipe);
    }
}

/* proves: P12 */
TEST(test_loop_descriptors_are_closed_on_exec)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        bool open_before[64];
        for (int fd = 0; fd < 64; fd++)
            open_before[fd] = fcntl(fd, F_GETFD) >= 0;
        coir_loop *second;
        CHECK_EQ(coir_loop_open(&second, loops_world), 0);
        CHECK_EQ(coir_loop_add_wake(second, NULL), 0);
        int own = 0;
        for (int fd = 0; fd < 64; fd++) {
            int flags = fcntl(fd, F_GETFD);
            own += !open_before[fd] && flags >= 0;
            CHECK(open_before[fd] || flags < 0 || flags & FD_CLOEXEC);
        }
        CHECK(own > 0);
        coir_loop_close(second);
    }
}

/* ---- others in the same thread ---- */

static int fiber_beside(void *arg)
{
    struct fds_pair pipe = fds_pipe(0);
    coir_loop *loop = *(coir_loop **)arg;
    CHECK_EQ(coir_adopt(pipe.in), 0);
    CHECK_EQ(coir_loop_add_read(loop, pipe.in, WORD(6)), 0);
    CHECK_EQ(loops_now(loop), 0);
    CHECK_EQ(coir_wait_fd(pipe.in, COIR_IN, coir_after(COIR_MS(5))), COIR_TIMED_OUT);
    fds_put(pipe.out, "x");
    CHECK_EQ(loops_now(loop), 1);
    CHECK_EQ(coir_wait_fd(pipe.in, COIR_IN, COIR_NEVER), COIR_IN);
    CHECK_EQ(coir_loop_del_read(loop, pipe.in), 0);
    CHECK_EQ(coir_close(pipe.in), 0);
    close(pipe.out);
    return 0;
}

/* proves: P13 */
TEST(test_loop_stands_beside_a_scheduler)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        struct coir_sched_opts opts = {.world = loops_world};
        CHECK_EQ(coir_run(fiber_beside, &loop, &opts, NULL), 0);
        CHECK_EQ(loops_now(loop), 0);
    }
}

/* proves: P13 */
TEST(test_loop_knows_nothing_of_another_loop)
{
    coir_loop *loop, *other;
    while (loops_next(&loop)) {
        struct fds_pair pipe = fds_pipe(0);
        CHECK_EQ(coir_loop_open(&other, loops_world), 0);
        CHECK_EQ(coir_loop_add_read(loop, pipe.in, WORD(1)), 0);
        CHECK_EQ(coir_loop_add_read(other, pipe.in, WORD(2)), 0);
        CHECK_EQ(coir_loop_add_wake(loop, NULL), 0);
        CHECK_EQ(coir_loop_add_wake(other, NULL), 0);
        fds_put(pipe.out, "x");
        CHECK_EQ(coir_loop_wake(other), 0);
        CHECK_EQ(loops_soon(loop), 1);
        CHECK(loops_events[0].user == WORD(1));
        CHECK_EQ(coir_loop_del_read(loop, pipe.in), 0);
        CHECK_EQ(loops_soon(other), 2);
        CHECK(loops_find(pipe.in, COIR_IN)->user == WORD(2));
        coir_loop_close(other);
        CHECK_EQ(loops_now(loop), 0);
        fds_close(pipe);
    }
}
