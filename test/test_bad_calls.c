/* Each call that is misuse where it is made says so in its own name and stops the program; what
 * else can be handed to calls that have to do with no descriptor is a defined error. */
#include "fds.h"
#include "clock.h"

#include <coir_loop.h>
#include <coir_buffer.h>
#include <coir_net.h>
#include <coir_post.h>
#include <limits.h>

static char byte;
static coir_mailbox box;
static coir_letter letter;
static coir_reader reader;
static coir_writer writer;
static struct coir_stats stats;
static coir_scope scope;
static coir_addr addr;
static coir_fiber fiber;
static coir_sched *here; /* this thread's, or none */

static int nothing(void *arg)
{
    return arg ? 1 : 0;
}

static int no_handler(int fd, void *arg)
{
    (void)arg;
    return fd;
}

#define OUTSIDE "called outside a fiber"
#define NO_SCHED "called in a thread without a scheduler"
#define NOT_OURS "not this thread's scheduler"
#define IN_FIBER "called in a fiber of the scheduler"

/* Where the misuse is. */
enum place { BARE_THREAD, BESIDE_FIBERS, IN_A_FIBER };


/* They do not return. */
#pragma GCC diagnostic ignored "-Wunused-result"

/* One function for each row, so that the table can be read. */
#define ROWS                                                                                       \
    ROW(BARE_THREAD, coir_now, NO_SCHED, )                                                         \
    ROW(BARE_THREAD, coir_after, NO_SCHED, 1)                                                      \
    ROW(BARE_THREAD, coir_wake, NO_SCHED, fiber)                                                   \
    ROW(BARE_THREAD, coir_cancel, NO_SCHED, fiber, 0)                                              \
    ROW(BARE_THREAD, coir_adopt, NO_SCHED, 0)                                                      \
    ROW(BARE_THREAD, coir_close, NO_SCHED, -1)                                                     \
    ROW(BARE_THREAD, coir_stats, NO_SCHED, &stats)                                                 \
    ROW(BARE_THREAD, coir_dump, NO_SCHED, 1)                                                       \
    ROW(BARE_THREAD, coir_mailbox_open, NO_SCHED, &box, 0)                                         \
    ROW(BARE_THREAD, coir_mailbox_close, NO_SCHED, box)                                            \
    ROW(BARE_THREAD, coir_socket, NO_SCHED, AF_UNIX, SOCK_STREAM, 0)                               \
    ROW(BARE_THREAD, coir_dup, NO_SCHED, 0)                                                        \
    ROW(BARE_THREAD, coir_listen, NO_SCHED, 0, 1)                                                  \
    ROW(BARE_THREAD, coir_net_listen, NO_SCHED, "127.0.0.1:0", NULL)                               \
    ROW(BARE_THREAD, coir_sched_run, NOT_OURS, NULL)                                               \
    ROW(BARE_THREAD, coir_sched_step, NOT_OURS, NULL, 0)                                           \
    ROW(BARE_THREAD, coir_sched_deadline, NOT_OURS, NULL)                                          \
    ROW(BARE_THREAD, coir_sched_fd, NOT_OURS, NULL)                                                \
    ROW(BARE_THREAD, coir_sched_new, "the place for the scheduler is NULL", NULL, NULL)            \
    ROW(BARE_THREAD, coir_run, "the function is NULL", NULL, NULL, NULL, NULL)                     \
    ROW(BARE_THREAD, coir_post, "the letter or its function is NULL", box, &letter)                \
    ROW(BARE_THREAD, coir_reader_init, "the buffer has no size", &reader, 0, NULL, 1)              \
    ROW(BARE_THREAD, coir_writer_init, "the buffer has no size", &writer, 0, &byte, 0)             \
    ROW(BARE_THREAD, coir_yield, OUTSIDE, )                                                        \
    ROW(BESIDE_FIBERS, coir_mailbox_open, "`mailbox` is NULL", NULL, 0)                            \
    ROW(BESIDE_FIBERS, coir_spawn, "the function is NULL", NULL, NULL, NULL, NULL)                 \
    ROW(BESIDE_FIBERS, coir_join, OUTSIDE, fiber, NULL, COIR_NEVER)                                \
    ROW(BESIDE_FIBERS, coir_sleep, OUTSIDE, 1)                                                     \
    ROW(BESIDE_FIBERS, coir_park, OUTSIDE, COIR_TRY)                                               \
    ROW(BESIDE_FIBERS, coir_wait_fd, OUTSIDE, -1, 0, COIR_TRY)                                     \
    ROW(BESIDE_FIBERS, coir_read, OUTSIDE, -1, &byte, 1, COIR_TRY)                                 \
    ROW(BESIDE_FIBERS, coir_write, OUTSIDE, -1, &byte, 1, COIR_TRY)                                \
    ROW(BESIDE_FIBERS, coir_recv, OUTSIDE, -1, &byte, 1, 0, COIR_TRY)                              \
    ROW(BESIDE_FIBERS, coir_read_all, OUTSIDE, -1, &byte, 1, NULL, COIR_TRY)                       \
    ROW(BESIDE_FIBERS, coir_write_all, OUTSIDE, -1, &byte, 1, NULL, COIR_TRY)                      \
    ROW(BESIDE_FIBERS, coir_readv, OUTSIDE, -1, NULL, 0, COIR_TRY)                                 \
    ROW(BESIDE_FIBERS, coir_accept, OUTSIDE, -1, NULL, NULL, COIR_TRY)                             \
    ROW(BESIDE_FIBERS, coir_connect, OUTSIDE, -1, NULL, 0, COIR_TRY)                               \
    ROW(BESIDE_FIBERS, coir_net_dial, OUTSIDE, "127.0.0.1:1", NULL, COIR_TRY)                      \
    ROW(BESIDE_FIBERS, coir_net_serve, OUTSIDE, -1, no_handler, NULL, NULL)                        \
    ROW(BESIDE_FIBERS, coir_scope_open, OUTSIDE, &scope, COIR_NEVER, 0)                            \
    ROW(IN_A_FIBER, coir_sched_run, IN_FIBER, here)                                                \
    ROW(IN_A_FIBER, coir_sched_step, IN_FIBER, here, 0)                                            \
    ROW(IN_A_FIBER, coir_sched_deadline, IN_FIBER, here)                                           \
    ROW(IN_A_FIBER, coir_sched_fd, IN_FIBER, here)                                                 \
    ROW(IN_A_FIBER, coir_sched_free, IN_FIBER, here)                                               \
    ROW(IN_A_FIBER, coir_net_serve, "the function is NULL", 0, NULL, NULL, NULL)                   \
    ROW(IN_A_FIBER, coir_read, "the size is negative", 0, &byte, SIZE_MAX, COIR_TRY)               \
    ROW(IN_A_FIBER, coir_write, "the size is negative", 0, &byte, SIZE_MAX, COIR_TRY)              \
    ROW(IN_A_FIBER, coir_recv, "the size is negative", 0, &byte, SIZE_MAX, 0, COIR_TRY)            \
    ROW(IN_A_FIBER, coir_sendto, "the size is negative", 0, &byte, SIZE_MAX, 0, NULL, 0, COIR_TRY) \
    ROW(IN_A_FIBER, coir_read_all, "the size is negative", 0, &byte, SIZE_MAX, NULL, COIR_TRY)     \
    ROW(IN_A_FIBER, coir_write_all, "the size is negative", 0, &byte, SIZE_MAX, NULL, COIR_TRY)    \
    ROW(IN_A_FIBER, coir_reader_until, "the delimiter is empty", &reader, "", 0, NULL, COIR_TRY)   \
    ROW(IN_A_FIBER, coir_writer_write, "the size is negative", &writer, &byte, SIZE_MAX, COIR_TRY)

#define ROW(place, call, what, ...)                                                                \
    static void mistake_##place##_##call(void)                                                     \
    {                                                                                              \
        call(__VA_ARGS__);                                                                         \
    }
ROWS
#undef ROW

static const struct mistake {
    enum place place;
    const char *line;
    void (*make)(void);
} MISTAKES[] = {
#define ROW(place, call, what, ...) {place, "coir: " #call ": " what, mistake_##place##_##call},
    ROWS
#undef ROW
};

static const struct mistake *mistake;

static void check_line(const char *line)
{
    _exit(strncmp(line, mistake->line, strlen(mistake->line)) == 0 ? 42 : 43);
}

static int make_in_fiber(void *arg)
{
    mistake->make();
    return nothing(arg);
}

static void make_one(void)
{
    coir_on_fatal(check_line);
    if (mistake->place != BARE_THREAD)
        CHECK_EQ(coir_sched_new(&here, NULL), 0);
    if (mistake->place != BARE_THREAD)
        CHECK_EQ(coir_spawn(&fiber, mistake->place == IN_A_FIBER ? make_in_fiber : nothing, NULL,
                            NULL), 0);
    if (mistake->place == IN_A_FIBER)
        coir_sched_run(here);
    else
        mistake->make();
    _exit(44);
}

/* proves: F2 */
TEST(test_each_mistake_says_what_it_is)
{
    for (size_t i = 0; i < sizeof MISTAKES / sizeof *MISTAKES; i++) {
        int status;
        mistake = &MISTAKES[i];
        printf("%s\n", mistake->line);
        pid_t child = fork();
        if (child == 0)
            make_one();
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 42);
    }
}

/* ---- handles that are forged, and values that cannot be ---- */

static int forged(void *arg)
{
    static const coir_fiber HANDLES[] = {
        {0, 0, 0}, {UINT64_MAX, UINT32_MAX, UINT32_MAX}, {1, 0, 1}, {1, 77777, 1}};
    (void)arg;
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(coir_join(HANDLES[i], NULL, COIR_NEVER), -ESRCH);
        CHECK_EQ(coir_wake(HANDLES[i]), -ESRCH);
        CHECK_EQ(coir_cancel(HANDLES[i], COIR_CANCELLED), -ESRCH);
    }
    letter.fn = (void (*)(void *))(uintptr_t)1;
    for (uint32_t slot = 0; slot < 70; slot++)
        for (uint32_t generation = 0; generation < 5; generation++) {
            coir_mailbox mine = {slot, generation, 0};
            CHECK_EQ(coir_post(mine, &letter), -ESRCH);
            CHECK_EQ(coir_mailbox_close(mine), -ESRCH);
        }
    CHECK_EQ(coir_post((coir_mailbox){UINT32_MAX, UINT32_MAX, 0}, &letter), -ESRCH);
    CHECK_EQ(letter.posted, 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    coir_mailbox near[] = {{box.slot, box.generation + 1, 0},
                           {box.slot, box.generation + 2, 0},
                           {box.slot + 1, box.generation, 0},
                           {box.slot, box.generation - 1, 0},
                           {box.slot + (1u << 16), box.generation, 0}};
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(coir_post(near[i], &letter), -ESRCH);
        CHECK_EQ(coir_mailbox_close(near[i]), -ESRCH);
    }
    CHECK_EQ(coir_mailbox_close(box), 0);
    CHECK_EQ(coir_sleep(-1), -EINVAL);
    CHECK_EQ(coir_sleep(INT64_MIN), -EINVAL);
    CHECK(coir_left(coir_after(INT64_MAX)) > INT64_MAX / 2);
    CHECK_EQ(coir_left(coir_after(INT64_MIN)), 0);
    CHECK_EQ(coir_wait_fd(0, 0, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_wait_fd(0, 16 | COIR_IN, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_wait_fd(0, -1, COIR_NEVER), -EINVAL);
    return coir_addr_parse(&addr, "[::1]:1");
}

/* proves: E4, T5, X5, D17 */
TEST(test_bad_input_of_forged_handles_and_impossible_values)
{
    run_monotonic(forged, NULL);
}

static int wrong_pointers(void *arg)
{
    struct iovec odd[] = {{&byte, 1}, {NULL, 1}};
    struct msghdr broken = {.msg_iov = NULL, .msg_iovlen = 3};
    int before = fds_open(), fds[2], foreign[2];
    (void)arg;
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, NULL), -EFAULT);
    CHECK_EQ(coir_pipe(NULL), -EFAULT);
    CHECK_EQ(coir_socketpair(AF_INET, SOCK_STREAM, 0, fds), -EOPNOTSUPP);
    CHECK_EQ(fds_open(), before);
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(pipe(foreign), 0);
    int refused = coir_connect(fds[0], NULL, 0, COIR_NEVER);
    CHECK(refused == -EINVAL || refused == -EFAULT);
    CHECK_EQ(coir_connect(fds[0], NULL, 16, COIR_NEVER), -EFAULT);
    CHECK_EQ(coir_bind(fds[0], NULL, 16), -EFAULT);
    CHECK_EQ(coir_bind(fds[0], (struct sockaddr *)&addr.storage, (socklen_t)-1), -EINVAL);
    CHECK_EQ(coir_getsockname(fds[0], NULL, NULL), -EFAULT);
    CHECK_EQ(coir_getsockopt(fds[0], SOL_SOCKET, SO_TYPE, NULL, NULL), -EFAULT);
    CHECK_EQ(coir_setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, NULL, 4), -EFAULT);
    CHECK_EQ(coir_setsockopt(fds[0], SOL_SOCKET, 99999, &before, 4), -ENOPROTOOPT);
    CHECK_EQ(coir_shutdown(fds[0], 99), -EINVAL);
    CHECK_EQ(coir_sendmsg(fds[0], NULL, 0, COIR_NEVER), -EFAULT);
    CHECK_EQ(coir_recvmsg(fds[0], NULL, 0, COIR_NEVER), -EFAULT);
    CHECK_EQ(coir_sendmsg(fds[0], &broken, 0, COIR_NEVER), -EFAULT);
    for (int i = 0; i < 2; i++) {
        int in = i ? foreign[0] : fds[0], out = i ? foreign[1] : fds[1];
        CHECK_EQ(coir_readv(in, odd, -1, COIR_NEVER), -EINVAL);
        CHECK_EQ(coir_readv(in, odd, INT_MAX, COIR_NEVER), -EINVAL);
        CHECK_EQ(coir_writev(out, odd, -1, COIR_NEVER), -EINVAL);
        CHECK_EQ(coir_writev(out, odd, INT_MAX, COIR_NEVER), -EINVAL);
        CHECK_EQ(coir_writev(out, NULL, 1, COIR_NEVER), -EFAULT);
        CHECK_EQ(coir_write(out, NULL, 1, COIR_NEVER), -EFAULT);
        int64_t sent = coir_writev(out, odd, 2, COIR_NEVER);
        CHECK(sent == 1 || sent == -EFAULT);
        if (sent != 1)
            CHECK_EQ(coir_write(out, &byte, 1, COIR_NEVER), 1);
        CHECK_EQ(coir_read(in, NULL, 1, COIR_NEVER), -EFAULT);
        CHECK_EQ(coir_readv(in, NULL, 1, COIR_NEVER), -EFAULT);
        int64_t got = coir_read(in, &byte, PTRDIFF_MAX, COIR_NEVER); /* beyond all addresses */
        CHECK(got == 1 || got == -EFAULT || got == -EINVAL);
        if (got != 1)
            CHECK_EQ(coir_read(in, &byte, test_far_too_many(), COIR_NEVER), 1);
        CHECK_EQ(coir_read(in, &byte, 0, COIR_NEVER), 0);
        CHECK(coir_close(in) == 0 && coir_close(out) == 0);
    }
    CHECK_EQ(fds_open(), before);
    return 0;
}

/* proves: D17 */
TEST(test_bad_input_of_pointers_and_counts_to_calls_on_descriptors)
{
    if (getenv("COIR_TEST_VALGRIND"))
        SKIP("valgrind objects to the pointers themselves");
    run_monotonic(wrong_pointers, NULL);
}

/* Of an empty pipe, before and after it was found empty. */
static int no_bytes(void *arg)
{
    int own[2], foreign[2];
    struct iovec part = {&byte, 1};
    (void)arg;
    CHECK_EQ(coir_pipe(own), 0);
    CHECK_EQ(pipe(foreign), 0);
    for (int i = 0; i < 4; i++) {
        int in = i % 2 ? own[0] : foreign[0];
        CHECK_EQ(coir_read(in, NULL, 0, COIR_NEVER), 0);
        CHECK(coir_readv(in, &part, 0, COIR_NEVER) <= 0);
        CHECK_EQ(coir_readv(in, &part, -1, COIR_NEVER), -EINVAL);
        CHECK_EQ(coir_readv(in, &part, INT_MAX, COIR_NEVER), -EINVAL);
        CHECK_EQ(coir_readv(in, NULL, 1, COIR_NEVER), -EFAULT);
        CHECK_EQ(coir_read(in, &byte, 1, coir_after(1)), COIR_TIMED_OUT);
    }
    return 0;
}

/* proves: D17 */
TEST(test_regress_read_of_no_bytes_from_an_empty_foreign_pipe_waits)
{
    if (getenv("COIR_TEST_VALGRIND"))
        SKIP("valgrind objects to the pointers themselves");
    run_monotonic(no_bytes, NULL);
}
