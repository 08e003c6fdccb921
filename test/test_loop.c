/* The event loop without fibers: what is reported, when, and how its calls fail. */
#include "loops.h"

#include <sys/time.h>

/* ---- levels ---- */

/* proves: P1, P5 */
TEST(test_loop_tells_what_is_readable_until_it_is_read)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        struct fds_pair pipe = fds_pipe(0);
        CHECK_EQ(coir_loop_add_read(loop, pipe.in, WORD(1)), 0);
        CHECK_EQ(loops_now(loop), 0);
        fds_put(pipe.out, "four");
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(loops_soon(loop), 1);
            CHECK_EQ(loops_events[0].fd, pipe.in);
            CHECK_EQ(loops_events[0].flags, COIR_IN);
            CHECK_EQ(loops_events[0].bytes, 4);
            CHECK(loops_events[0].user == WORD(1));
        }
        CHECK_EQ(fds_drain(pipe.in), 4);
        CHECK_EQ(loops_now(loop), 0);
        fds_put(pipe.out, "x");
        CHECK_EQ(loops_now(loop), 1);
        CHECK_EQ(coir_loop_del_read(loop, pipe.in), 0);
        CHECK_EQ(loops_now(loop), 0);
        fds_close(pipe);
    }
}

/* proves: P1 */
TEST(test_loop_watches_both_directions_apart_each_with_its_word)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        struct fds_pair pair = fds_unix(SOCK_STREAM);
        CHECK_EQ(coir_loop_add_read(loop, pair.in, WORD(1)), 0);
        CHECK_EQ(loops_now(loop), 0);
        CHECK_EQ(coir_loop_add_write(loop, pair.in, WORD(2)), 0);
        CHECK_EQ(loops_now(loop), 1);
        CHECK(loops_find(pair.in, COIR_OUT)->user == WORD(2));
        fds_put(pair.out, "xyz");
        CHECK_EQ(loops_now(loop), 2);
        CHECK(loops_find(pair.in, COIR_IN)->user == WORD(1));
        CHECK(loops_find(pair.in, COIR_OUT)->user == WORD(2));
        CHECK_EQ(loops_find(pair.in, COIR_IN)->bytes, 3);
        CHECK_EQ(loops_find(pair.in, COIR_OUT)->bytes, 0);
        CHECK_EQ(coir_loop_del_write(loop, pair.in), 0);
        CHECK_EQ(loops_now(loop), 1);
        CHECK_EQ(loops_flags(pair.in, COIR_IN), COIR_IN);
        CHECK_EQ(coir_loop_add_write(loop, pair.in, WORD(3)), 0);
        CHECK_EQ(coir_loop_del_read(loop, pair.in), 0);
        CHECK_EQ(loops_now(loop), 1);
        CHECK(loops_find(pair.in, COIR_OUT)->user == WORD(3));
        fds_drain(pair.in);
        CHECK_EQ(coir_loop_add_read(loop, pair.in, WORD(1)), 0);
        CHECK_EQ(coir_loop_del_write(loop, pair.in), 0);
        loops_check_asleep(loop);
        CHECK_EQ(coir_loop_add_write(loop, pair.in, WORD(3)), 0);
        fds_fill(pair.in);
        CHECK_EQ(loops_now(loop), 0);
        CHECK_EQ(coir_loop_del_write(loop, pair.in), 0);
        fds_close(pair);
    }
}

/* proves: P3 */
TEST(test_loop_add_again_changes_the_word_and_nothing_else)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        struct fds_pair pair = fds_unix(SOCK_STREAM);
        fds_put(pair.out, "x");
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(coir_loop_add_read(loop, pair.in, WORD(i)), 0);
            CHECK_EQ(coir_loop_add_write(loop, pair.in, WORD(10 + i)), 0);
            CHECK_EQ(loops_now(loop), 2);
            CHECK(loops_find(pair.in, COIR_IN)->user == WORD(i));
            CHECK(loops_find(pair.in, COIR_OUT)->user == WORD(10 + i));
        }
        CHECK_EQ(coir_loop_add_wake(loop, WORD(1)), 0);
        CHECK_EQ(coir_loop_add_wake(loop, WORD(2)), 0);
        CHECK_EQ(coir_loop_wake(loop), 0);
        CHECK_EQ(loops_now(loop), 3);
        CHECK(loops_find(-1, COIR_LOOP_WAKE)->user == WORD(2));
        CHECK_EQ(coir_loop_del_read(loop, pair.in), 0);
        CHECK_EQ(coir_loop_del_read(loop, pair.in), -ENOENT);
        CHECK_EQ(loops_now(loop), 1);
        fds_close(pair);
    }
}

/* proves: P3 */
TEST(test_loop_says_what_is_wrong_with_a_call)
{
    coir_loop *loop;
    CHECK_EQ(coir_loop_open(NULL, COIR_WORLD_DEFAULT), -EINVAL);
    CHECK_EQ(coir_loop_open(&loop, (enum coir_world)77), -ENOSYS);
    coir_loop_close(NULL);
    while (loops_next(&loop)) {
        struct fds_pair pipe = fds_pipe(0);
        const int closed[] = {-1, -7, INT32_MIN, 900, 5000, 1 << 20, INT32_MAX};
        for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
            CHECK_EQ(coir_loop_add_read(loop, closed[i], NULL), -EBADF);
            CHECK_EQ(coir_loop_add_write(loop, closed[i], NULL), -EBADF);
            CHECK_EQ(coir_loop_del_read(loop, closed[i]), closed[i] < 0 ? -EBADF : -ENOENT);
            CHECK_EQ(coir_loop_del_write(loop, closed[i]), closed[i] < 0 ? -EBADF : -ENOENT);
        }
        CHECK_EQ(coir_loop_del_read(loop, pipe.in), -ENOENT);
        CHECK_EQ(coir_loop_add_read(loop, pipe.in, NULL), 0);
        CHECK_EQ(coir_loop_del_write(loop, pipe.in), -ENOENT);
        CHECK_EQ(coir_loop_wait(loop, loops_events, 0, COIR_TRY), -EINVAL);
        CHECK_EQ(coir_loop_wait(loop, loops_events, -1, COIR_NEVER), -EINVAL);
        CHECK_EQ(coir_loop_wait(loop, NULL, 1, COIR_NEVER), -EINVAL);
        CHECK_EQ(coir_loop_wait(NULL, loops_events, 1, COIR_NEVER), -EINVAL);
        CHECK_EQ(coir_loop_add_wake(NULL, NULL), -EINVAL);
        CHECK_EQ(coir_loop_add_read(NULL, pipe.in, NULL), -EINVAL);
        CHECK_EQ(coir_loop_del_read(NULL, pipe.in), -EINVAL);
        CHECK_EQ(coir_loop_wake(NULL), -EINVAL);
        fds_put(pipe.out, "x");
        CHECK_EQ(coir_loop_wait(loop, loops_events, INT32_MAX, COIR_NEVER), 1);
        fds_close(pipe);
    }
}

/* ---- ends and errors ---- */

/* proves: P4 */
TEST(test_loop_tells_the_end_of_a_pipe_that_was_empty)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        struct fds_pair pipe = fds_pipe(0);
        CHECK_EQ(coir_loop_add_read(loop, pipe.in, NULL), 0);
        close(pipe.out);
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(loops_soon(loop), 1);
            CHECK_EQ(loops_flags(pipe.in, COIR_IN), COIR_IN | COIR_HUP);
            CHECK_EQ(loops_events[0].bytes, 0);
        }
        close(pipe.in);
    }
}

/* proves: P4, P5 */
TEST(test_loop_tells_the_end_of_a_socket_beside_what_is_left_to_read)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        if (!loops_tells_ends())
            continue;
        struct fds_pair tcp = fds_tcp();
        CHECK_EQ(coir_loop_add_read(loop, tcp.in, NULL), 0);
        fds_put(tcp.out, "rest");
        CHECK_EQ(shutdown(tcp.out, SHUT_WR), 0);
        while (loops_soon(loop) == 1 && !(loops_events[0].flags & COIR_HUP))
            continue;
        CHECK_EQ(loops_flags(tcp.in, COIR_IN), COIR_IN | COIR_HUP);
        CHECK_EQ(loops_events[0].bytes, 4);
        CHECK_EQ(coir_loop_add_write(loop, tcp.in, NULL), 0);
        CHECK_EQ(loops_soon(loop), 2);
        CHECK_EQ(loops_flags(tcp.in, COIR_OUT), COIR_OUT); /* its reader is still there */
        fds_close(tcp);
    }
}

/* Half a peer is no reason to wake a writer that waits for room. */
/* proves: P4, P1 */
TEST(test_loop_writer_without_room_is_not_told_that_its_peer_sends_no_more)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        struct fds_pair pair = fds_unix(SOCK_STREAM);
        fds_fill(pair.in);
        CHECK_EQ(coir_loop_add_write(loop, pair.in, NULL), 0);
        CHECK_EQ(shutdown(pair.out, SHUT_WR), 0);
        loops_check_asleep(loop);
        close(pair.out);
        CHECK_EQ(loops_soon(loop), 1);
        CHECK(!loops_tells_ends() || loops_flags(pair.in, COIR_OUT) & (COIR_HUP | COIR_ERR));
        close(pair.in);
    }
}

/* proves: P4 */
TEST(test_loop_tells_a_writer_that_the_reader_of_a_full_pipe_is_gone)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        struct fds_pair pipe = fds_pipe(0);
        fds_fill(pipe.out);
        CHECK_EQ(coir_loop_add_write(loop, pipe.out, WORD(3)), 0);
        CHECK_EQ(loops_now(loop), 0);
        close(pipe.in);
        CHECK_EQ(loops_soon(loop), 1);
        CHECK(loops_flags(pipe.out, COIR_OUT) & (COIR_HUP | COIR_ERR));
        CHECK_EQ(coir_loop_del_write(loop, pipe.out), 0);
        CHECK_EQ(coir_loop_add_write(loop, pipe.out, WORD(4)), 0); /* a kqueue refuses it now */
        CHECK_EQ(loops_soon(loop), 1);
        CHECK(loops_events[0].user == WORD(4));
        CHECK_EQ(coir_loop_del_write(loop, pipe.out), 0);
        CHECK_EQ(loops_now(loop), 0);
        close(pipe.out);
    }
}

/* proves: P4 */
TEST(test_loop_tells_a_connect_that_was_refused_as_writable_with_an_error)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        struct sockaddr_in address;
        close(fds_listen(&address, 1)); /* nobody listens there */
        int client = socket(AF_INET, SOCK_STREAM, 0), error = 0;
        fds_nonblocking(client);
        int result = connect(client, (struct sockaddr *)&address, sizeof address);
        CHECK_EQ(result, -1);
        CHECK(errno == EINPROGRESS || errno == ECONNREFUSED);
        if (errno == EINPROGRESS) {
            CHECK_EQ(coir_loop_add_write(loop, client, NULL), 0);
            CHECK_EQ(loops_soon(loop), 1);
            CHECK(!loops_tells_ends() || loops_flags(client, COIR_OUT) & COIR_ERR);
            CHECK_EQ(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error}),
                     0);
            CHECK_EQ(error, ECONNREFUSED);
        }
        close(client);
    }
}

/* proves: P5 */
TEST(test_loop_tells_of_a_connection_that_has_come)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        struct sockaddr_in address;
        int listener = fds_listen(&address, 4);
        CHECK_EQ(coir_loop_add_read(loop, listener, WORD(9)), 0);
        CHECK_EQ(loops_now(loop), 0);
        int client = fds_connect(&address);
        CHECK_EQ(loops_soon(loop), 1);
        CHECK_EQ(loops_flags(listener, COIR_IN), COIR_IN);
        CHECK_EQ(loops_events[0].bytes, 0);
        close(client);
        close(listener);
    }
}

/* ---- what cannot be polled ---- */

/* proves: P6, P1, P5 */
TEST(test_loop_tells_what_cannot_be_polled_as_always_ready)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        const int fds[] = {fds_file(), open("/dev/null", O_RDWR), open("/tmp", O_RDONLY)};
        fds_put(fds[0], "12345");
        CHECK_EQ(lseek(fds[0], 2, SEEK_SET), 2);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(coir_loop_add_read(loop, fds[i], WORD(i)), 0);
            CHECK_EQ(coir_loop_add_write(loop, fds[i], WORD(10 + i)), 0);
            CHECK_EQ(coir_loop_add_write(loop, fds[i], WORD(20 + i)), 0);
        }
        for (int turn = 0; turn < 3; turn++) {
            CHECK_EQ(loops_soon(loop), 6);
            CHECK_EQ(loops_find(fds[0], COIR_IN)->bytes, 3);
            for (int i = 0; i < 3; i++) {
                CHECK(loops_find(fds[i], COIR_IN)->user == WORD(i));
                CHECK(loops_find(fds[i], COIR_OUT)->user == WORD(20 + i));
            }
        }
        CHECK_EQ(coir_loop_del_read(loop, fds[0]), 0);
        CHECK_EQ(coir_loop_del_write(loop, fds[1]), 0);
        CHECK_EQ(loops_soon(loop), 4);
        CHECK(!loops_find(fds[0], COIR_IN) && !loops_find(fds[1], COIR_OUT));
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(coir_loop_del_read(loop, fds[i]), i == 0 ? -ENOENT : 0);
            CHECK_EQ(coir_loop_del_write(loop, fds[i]), i == 1 ? -ENOENT : 0);
            close(fds[i]);
        }
        CHECK_EQ(loops_now(loop), 0);
    }
}

/* proves: P6, P1 */
TEST(test_loop_tells_of_pipes_beside_what_is_always_ready)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        struct fds_pair pipe = fds_pipe(0);
        int file = fds_file();
        CHECK_EQ(coir_loop_add_write(loop, file, NULL), 0);
        CHECK_EQ(coir_loop_add_read(loop, pipe.in, NULL), 0);
        CHECK_EQ(coir_loop_add_wake(loop, NULL), 0);
        CHECK_EQ(loops_soon(loop), 1);
        fds_put(pipe.out, "x");
        CHECK_EQ(coir_loop_wake(loop), 0);
        CHECK_EQ(loops_soon(loop), 3);
        CHECK_EQ(loops_soon(loop), 2);
        close(file);
        fds_close(pipe);
    }
}

/* ---- time ---- */

static double lateness(coir_loop *loop, uint64_t length_ns)
{
    coir_time until = coir_loop_after((int64_t)length_ns);
    CHECK_EQ(coir_loop_wait(loop, loops_events, LOOPS_EVENTS, until), 0);
    coir_time now = coir_loop_now();
    CHECK(now.ns >= until.ns);
    return (double)(now.ns - until.ns) / 1e6;
}

/* proves: P2 */
TEST(test_loop_waits_until_its_deadline_and_not_a_millisecond_longer)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        double least = 1000;
        CHECK(lateness(loop, 40000000) >= 0); /* with nothing added */
        CHECK_EQ(coir_loop_add_wake(loop, NULL), 0);
        for (int i = 0; i < TEST_TRIES_SHORT && (i < 20 || least >= 1); i++) {
            double late = lateness(loop, 300000 + (uint64_t)(i % 20) * 10007);
            least = late < least ? late : least;
        }
        CHECK(least < 1);
        loops_check_asleep(loop);
        CHECK_EQ(loops_now(loop), 0);
        CHECK_EQ(coir_loop_wait(loop, loops_events, 1, COIR_TIME_NS(2)), 0); /* long past */
    }
}

/* proves: P2 */
TEST(test_loop_after_saturates)
{
    uint64_t before = coir_loop_now().ns, after = coir_loop_after(COIR_SEC(1)).ns;
    CHECK(after >= before + (uint64_t)COIR_SEC(1));
    CHECK(after <= coir_loop_now().ns + (uint64_t)COIR_SEC(1));
    CHECK(coir_loop_after(-COIR_SEC(1)).ns >= before);
    CHECK(coir_loop_after(INT64_MIN).ns <= coir_loop_now().ns);
    CHECK(coir_loop_after(INT64_MAX - 1).ns > (uint64_t)INT64_MAX - 1);
}

static int alarms;

static void on_alarm(int number)
{
    alarms += number == SIGALRM;
}

/* proves: P2 */
TEST(test_loop_signal_neither_ends_nor_prolongs_a_wait)
{
    coir_loop *loop;
    struct sigaction action = {.sa_handler = on_alarm};
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    while (loops_next(&loop)) {
        CHECK_EQ(coir_loop_add_wake(loop, NULL), 0);
        struct itimerval often = {{.tv_usec = 5000}, {.tv_usec = 5000}};
        double least = 1000;
        alarms = 0;
        CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
        for (int i = 0; i < TEST_TRIES && (alarms <= 5 || least >= 60); i++) {
            double late = lateness(loop, 100000000 - (uint64_t)(i * 37 % 90) * 1000000);
            least = late < least ? late : least;
        }
        CHECK_EQ(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL), 0);
        CHECK(alarms > 5 && least < 60);
    }
}
