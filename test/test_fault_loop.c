/* Memory and system calls that fail, one after the other, under all that an event loop does; and
 * how many calls a wait makes. */
#define TEST_SECONDS 60
#include "fault.h"

#include "loops.h"

static struct coir_loop_event events[8];

static enum coir_world chosen(void)
{
    const char *name = test_world_name();
    return strcmp(name, "poll") == 0     ? COIR_WORLD_POLL
           : strcmp(name, "kqueue") == 0 ? COIR_WORLD_KQUEUE
                                         : COIR_WORLD_EPOLL;
}

static coir_loop *loop_open(void)
{
    coir_loop *loop;
    CHECK_EQ(FAULT_TRY(coir_loop_open(&loop, chosen())), 0);
    return loop;
}

static int wait_for(coir_loop *loop, coir_time until)
{
    return (int)FAULT_TRY(coir_loop_wait(loop, events, 8, until));
}

/* A bell that cannot be rung or hushed for another reason than a signal is none. */
static void wake(coir_loop *loop)
{
    fault.paused = fault.variant == 0;
    CHECK_EQ(coir_loop_wake(loop), 0);
    CHECK_EQ(coir_loop_wait(loop, events, 8, COIR_NEVER), 1);
    CHECK_EQ(events[0].flags, COIR_LOOP_WAKE);
    fault.paused = false;
}

static int life(void)
{
    coir_loop *loop = loop_open();
    CHECK_EQ(FAULT_TRY(coir_loop_add_wake(loop, &events)), 0);
    CHECK_EQ(wait_for(loop, coir_loop_after(COIR_MS(1))), 0);
    wake(loop);
    coir_loop_close(loop);
    return 0;
}

static int interest(void)
{
    fault.paused = true;
    struct fds_pair pair = fds_unix(SOCK_STREAM), large = fds_pipe(0);
    CHECK_EQ(dup2(large.in, 3000), 3000);
    int file = fds_file();
    fault.paused = false;
    coir_loop *loop = loop_open();
    CHECK_EQ(FAULT_TRY(coir_loop_add_read(loop, pair.in, &pair)), 0);
    CHECK_EQ(FAULT_TRY(coir_loop_add_write(loop, pair.in, &large)), 0);
    CHECK_EQ(wait_for(loop, COIR_NEVER), 1);
    CHECK(events[0].user == &large);
    CHECK_EQ(FAULT_TRY(coir_loop_del_write(loop, pair.in)), 0);
    CHECK_EQ(wait_for(loop, coir_loop_after(COIR_MS(1))), 0);
    CHECK_EQ(FAULT_TRY(coir_loop_add_read(loop, 3000, &large)), 0);
    CHECK_EQ(FAULT_TRY(coir_loop_add_read(loop, file, &file)), 0);
    CHECK_EQ(wait_for(loop, COIR_NEVER), 1);
    CHECK(events[0].user == &file);
    CHECK_EQ(FAULT_TRY(coir_loop_del_read(loop, file)), 0);
    CHECK_EQ(__real_write(pair.out, "four", 4), 4);
    CHECK_EQ(wait_for(loop, COIR_NEVER), 1);
    CHECK(events[0].user == &pair);
    CHECK(events[0].bytes == 4 || fault.failed == FAULT_IOCTL);
    coir_loop_close(loop);
    const int fds[] = {pair.in, pair.out, large.in, large.out, 3000, file};
    for (int i = 0; i < 6; i++)
        __real_close(fds[i]);
    return 0;
}

/* More than the poll world's first entries and the first list of what is always ready. */
static int many(void)
{
    enum { COUNT = 70, FILES = 10 };
    struct fds_pair pipes[COUNT];
    int files[FILES];
    coir_loop *loop = loop_open();
    for (int i = 0; i < COUNT; i++) {
        pipes[i] = fds_pipe(0);
        CHECK_EQ(FAULT_TRY(coir_loop_add_read(loop, pipes[i].in, NULL)), 0);
    }
    CHECK_EQ(wait_for(loop, COIR_TRY), 0);
    for (int i = 0; i < FILES; i++) {
        files[i] = open("/dev/null", O_RDONLY);
        CHECK_EQ(FAULT_TRY(coir_loop_add_read(loop, files[i], NULL)), 0);
    }
    coir_loop_close(loop);
    for (int i = 0; i < COUNT; i++) {
        __real_close(pipes[i].in);
        __real_close(pipes[i].out);
    }
    for (int i = 0; i < FILES; i++)
        __real_close(files[i]);
    return 0;
}

/* A file that was closed and lives on makes the loop move to a new epoll. */
static int ghosts(void)
{
    struct fds_pair dead = fds_pipe(0), pipe = fds_pipe(0), full = fds_unix(SOCK_STREAM);
    int lives_on = dup(dead.in);
    coir_loop *loop = loop_open();
    CHECK_EQ(FAULT_TRY(coir_loop_add_read(loop, dead.in, &dead)), 0);
    CHECK_EQ(FAULT_TRY(coir_loop_add_read(loop, pipe.in, &pipe)), 0);
    CHECK_EQ(FAULT_TRY(coir_loop_add_read(loop, full.in, &full)), 0);
    CHECK_EQ(FAULT_TRY(coir_loop_add_wake(loop, &loop)), 0);
    fault.paused = true;
    close(dead.in);
    CHECK_EQ(coir_loop_del_read(loop, dead.in), 0);
    fault.paused = false;
    CHECK_EQ(__real_write(dead.out, "x", 1), 1);
    CHECK_EQ(wait_for(loop, coir_loop_after(COIR_MS(1))), 0);
    CHECK_EQ(__real_write(pipe.out, "x", 1), 1);
    CHECK_EQ(wait_for(loop, COIR_NEVER), 1);
    CHECK(events[0].user == &pipe);
    CHECK_EQ(FAULT_TRY(coir_loop_del_read(loop, pipe.in)), 0);
    wake(loop);
    coir_loop_close(loop);
    const int fds[] = {dead.out, lives_on, pipe.in, pipe.out, full.in, full.out};
    for (int i = 0; i < 6; i++)
        __real_close(fds[i]);
    return 0;
}

/* proves: P11, P2 */
TEST(test_fault_in_the_life_of_an_event_loop)
{
    fault_each("loop_life", life);
}

/* proves: P11 */
TEST(test_fault_in_what_an_event_loop_watches)
{
    fault_each("loop_interest", interest);
}

/* proves: P11 */
TEST(test_fault_in_watching_many)
{
    fault_each("loop_many", many);
}

/* proves: P11, P8 */
TEST(test_fault_while_an_event_loop_gets_rid_of_ghosts)
{
    fault_each("loop_ghosts", ghosts);
}

/* proves: P3, P11 */
TEST(test_fault_of_memory_does_not_hide_that_a_number_is_closed)
{
    struct fds_pair pipe = fds_pipe(0);
    coir_loop *loop = loop_open();
    memset(&fault, 0, sizeof fault);
    fault.no_memory = true;
    CHECK_EQ(coir_loop_add_read(loop, 3001, NULL), -EBADF);
    CHECK_EQ(coir_loop_add_read(loop, INT32_MAX, NULL), -EBADF);
    CHECK_EQ(coir_loop_add_read(loop, pipe.in, NULL), -ENOMEM);
    CHECK_EQ(coir_loop_del_read(loop, pipe.in), -ENOENT);
    fault.no_memory = false;
    coir_loop_close(loop);
}

/* Which call fails does not matter, and how many there are differs from world to world. */
/* proves: P3, P11 */
TEST(test_fault_in_adding_leaves_what_was_added_and_no_more)
{
    coir_loop *loop = loop_open();
    int refused = 0;
    for (int n = 1; n <= 8; n++) {
        struct fds_pair pair = fds_unix(SOCK_STREAM);
        CHECK_EQ(coir_loop_add_read(loop, pair.in, &pair), 0);
        memset(&fault, 0, sizeof fault);
        fault.left = n;
        int result = coir_loop_add_write(loop, pair.in, &loop);
        fault.left = 0;
        if (result < 0) {
            refused++;
            loops_check_asleep(loop);
            CHECK_EQ(coir_loop_del_write(loop, pair.in), -ENOENT);
        }
        CHECK_EQ(__real_write(pair.out, "x", 1), 1);
        CHECK_EQ(loops_now(loop), result < 0 ? 1 : 2);
        CHECK(loops_find(pair.in, COIR_IN)->user == &pair);
        CHECK_EQ(coir_loop_del_read(loop, pair.in), 0);
        CHECK_EQ(coir_loop_del_write(loop, pair.in), result < 0 ? -ENOENT : 0);
        fds_close(pair);
    }
    CHECK(refused > 0);
    coir_loop_close(loop);
}

/* What a wait of `count` events calls, of which `bytes` are readable. */
static void check_calls(coir_loop *loop, int count, int bytes, coir_time until)
{
    memset(&fault, 0, sizeof fault);
    CHECK_EQ(coir_loop_wait(loop, events, 8, until), count);
    long waits = fault.calls[FAULT_SYSCALL] + fault.calls[FAULT_PPOLL] + fault.calls[FAULT_POLL];
    CHECK_EQ(fault.calls[FAULT_EPOLL_CTL], 0);
    CHECK_EQ(fault.calls[FAULT_IOCTL], bytes);
    CHECK_EQ(waits, cr_is_try(until) ? 0 : 1); /* a mere look is not counted */
    for (int point = FAULT_MALLOC; point <= FAULT_EPOLL_CREATE1; point++)
        CHECK_EQ(fault.calls[point], 0);
    CHECK_EQ(fault.calls[FAULT_READ] + fault.calls[FAULT_FCNTL] + fault.calls[FAULT_FSTAT], 0);
}

/* proves: P10 */
TEST(test_loop_wait_makes_one_call_and_one_for_each_event_of_reading)
{
    if (chosen() == COIR_WORLD_KQUEUE)
        SKIP("the tests' own kqueue makes calls of its own");
    bool lacking = getenv("COIR_TEST_SLOW") || getenv("COIR_TEST_VALGRIND");
    if (lacking && chosen() == COIR_WORLD_EPOLL)
        SKIP("an emulator and valgrind have no epoll_pwait2, so a wait takes two calls");
    struct fds_pair a = fds_unix(SOCK_STREAM), b = fds_unix(SOCK_STREAM);
    coir_loop *loop = loop_open();
    CHECK_EQ(coir_loop_add_read(loop, a.in, NULL), 0);
    CHECK_EQ(coir_loop_add_write(loop, a.in, NULL), 0);
    CHECK_EQ(coir_loop_add_read(loop, b.in, NULL), 0);
    CHECK_EQ(coir_loop_add_wake(loop, NULL), 0);
    check_calls(loop, 1, 0, COIR_NEVER);
    CHECK_EQ(__real_write(a.out, "x", 1), 1);
    CHECK_EQ(__real_write(b.out, "x", 1), 1);
    for (int i = 0; i < 3; i++) {
        check_calls(loop, 3, 2, COIR_NEVER);
        check_calls(loop, 3, 2, coir_loop_after(COIR_SEC(1)));
        check_calls(loop, 3, 2, COIR_TRY);
    }
    coir_loop_close(loop);
}
