/* Numbers of descriptors: those that stand for another file when a deadline comes, or when a wait
 * begins; and those of coir's own, which no call may touch and which begin at 3. */
#include "fds.h"

#include <coir_io.h>
#include <coir_post.h>
#include <coir_loop.h>
#include <sys/wait.h>

/* ---- another file at the deadline ---- */

static struct fds_pair old, next;

/* Behind coir's back, while a fiber waits. */
static int puts_another_file_there(void *arg)
{
    CHECK_EQ(dup2(next.in, old.in), old.in);
    return arg ? 1 : 0;
}

static int reads_late(void *arg)
{
    bool owned = *(bool *)arg;
    char byte;
    old = fds_unix(SOCK_STREAM);
    next = fds_unix(SOCK_STREAM);
    fds_put(next.out, "x");
    if (owned)
        CHECK_EQ(coir_adopt(old.in), 0);
    for (int i = 0; i < 2; i++) /* so that the next one takes the fast path, if there is one */
        CHECK_EQ(coir_read(old.in, &byte, 1, coir_after(1)), COIR_TIMED_OUT);
    run_spawn(puts_another_file_there, NULL);
    CHECK_EQ(coir_read(old.in, &byte, 1, coir_after(10)), -EBADF);
    CHECK_EQ(fds_drain(next.in), 1); /* it is not that reader's */
    fds_check_nothing_left(old.in);
    close(old.out);
    fds_close(next);
    return coir_close(old.in);
}

/* proves: D18, D20 */
TEST(test_regress_last_try_at_the_deadline_reads_another_files_bytes)
{
    if (strcmp(test_world_name(), "poll") == 0)
        SKIP("poll knows no files, only numbers");
    for (int owned = 0; owned < 2; owned++)
        run_virtual(reads_late, &(bool){owned});
}

/* A foreign number is another file's when the second fiber begins to wait for it. */
static int waits_anew(void *arg)
{
    struct fds_waiter first, second;
    old = fds_unix(SOCK_STREAM);
    next = fds_unix(SOCK_STREAM);
    first = (struct fds_waiter){.fd = old.in, .mask = COIR_IN};
    second = (struct fds_waiter){.fd = old.in, .mask = COIR_IN};
    fds_start(&first, 1);
    CHECK_EQ(dup2(next.in, old.in), old.in);
    fds_start(&second, 1);
    CHECK_EQ(run_join(first.fiber), -EBADF);
    fds_put(next.out, "x");
    CHECK_EQ(run_join(second.fiber), COIR_IN);
    fds_check_nothing_left(old.in);
    close(old.out);
    fds_close(next);
    CHECK_EQ(coir_close(old.in), 0);
    return arg ? 1 : 0;
}

/* proves: D16, D6 */
TEST(test_foreign_number_that_is_another_files_is_registered_anew_and_let_go)
{
    if (strcmp(test_world_name(), "poll") == 0)
        SKIP("poll knows no files, only numbers");
    run_virtual(waits_anew, NULL);
}

/* ---- numbers ---- */

static int64_t any_call(int which, int fd)
{
    static char byte;
    struct sockaddr_in name = {.sin_family = AF_INET};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    socklen_t size = sizeof name;
    struct sockaddr *addr = (struct sockaddr *)&name;
    switch (which) {
    case 0: return coir_read(fd, &byte, 1, COIR_TRY);
    case 1: return coir_write(fd, &byte, 1, COIR_TRY);
    case 2: return coir_readv(fd, &part, 1, COIR_TRY);
    case 3: return coir_writev(fd, &part, 1, COIR_TRY);
    case 4: return coir_recv(fd, &byte, 1, 0, COIR_TRY);
    case 5: return coir_send(fd, &byte, 1, 0, COIR_TRY);
    case 6: return coir_recvmsg(fd, &message, 0, COIR_TRY);
    case 7: return coir_sendmsg(fd, &message, 0, COIR_TRY);
    case 8: return coir_accept(fd, NULL, NULL, COIR_TRY);
    case 9: return coir_connect(fd, addr, size, COIR_TRY);
    case 10: return coir_wait_fd(fd, COIR_IN, COIR_TRY);
    case 11: return coir_adopt(fd);
    case 12: return coir_dup(fd);
    case 13: return coir_bind(fd, addr, size);
    case 14: return coir_listen(fd, 1);
    case 15: return coir_shutdown(fd, SHUT_RD);
    case 16: return coir_getsockopt(fd, SOL_SOCKET, SO_TYPE, &size, &size);
    case 17: return coir_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &size, sizeof size);
    case 18: return coir_getsockname(fd, addr, &size);
    case 19: return coir_getpeername(fd, addr, &size);
    case 20: return coir_close(fd);
    default: return 1;
    }
}

static int own_numbers(void *arg)
{
    coir_mailbox box;
    bool was_open[256], any = false;
    for (int fd = 0; fd < 256; fd++)
        was_open[fd] = fcntl(fd, F_GETFD) >= 0;
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    for (int fd = 0; fd < 256; fd++)
        for (int which = 0; !was_open[fd] && fcntl(fd, F_GETFD) >= 0; which++) {
            int64_t result = any_call(which, fd);
            if (result == 1)
                break;
            printf("descriptor %d, call %d\n", fd, which);
            CHECK_EQ(result, -EBADF);
            any = true;
        }
    CHECK(any);
    CHECK_EQ(coir_mailbox_close(box), 0);
    return arg ? 1 : 0;
}

/* proves: D10 */
TEST(test_descriptors_that_coir_keeps_for_itself_are_not_open_for_any_call)
{
    run_monotonic(own_numbers, NULL);
}

/* proves: P3 */
TEST(test_descriptors_of_an_event_loop_are_not_open_for_it)
{
    coir_loop *loop;
    bool was_open[256];
    for (int fd = 0; fd < 256; fd++)
        was_open[fd] = fcntl(fd, F_GETFD) >= 0;
    CHECK_EQ(coir_loop_open(&loop, COIR_WORLD_DEFAULT), 0);
    CHECK_EQ(coir_loop_add_wake(loop, NULL), 0);
    for (int fd = 0; fd < 256; fd++)
        if (!was_open[fd] && fcntl(fd, F_GETFD) >= 0) {
            CHECK_EQ(coir_loop_add_read(loop, fd, NULL), -EBADF);
            CHECK_EQ(coir_loop_add_write(loop, fd, NULL), -EBADF);
            CHECK_EQ(coir_loop_del_read(loop, fd), -EBADF);
            CHECK_EQ(coir_loop_del_write(loop, fd), -EBADF);
        }
    coir_loop_close(loop);
}

static int makes_all(void *arg)
{
    coir_mailbox box;
    struct sockaddr_in there;
    int made[8], count = 6;
    CHECK_EQ(coir_pipe(made), 0);
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, made + 2), 0);
    made[4] = coir_socket(AF_INET, SOCK_STREAM, 0);
    made[5] = coir_dup(made[0]);
    int listener = fds_listen(&there, 1), client = fds_connect(&there);
    made[count++] = coir_accept(listener, NULL, NULL, coir_after(COIR_SEC(5)));
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    for (int i = 0; i < count; i++)
        CHECK(made[i] > 2);
    for (int fd = 0; fd < 3; fd++)
        CHECK(fcntl(fd, F_GETFD) < 0 || fd == listener || fd == client);
    CHECK_EQ(coir_mailbox_close(box), 0);
    return arg ? 1 : 0;
}

/* proves: D10 */
TEST(test_regress_socket_of_coirs_gets_the_number_of_standard_error)
{
    int status;
    if (strcmp(test_world_name(), "kqueue") == 0)
        SKIP("the tests' own kqueue knows one number of itself");
    pid_t child = fork();
    if (child == 0) {
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        int result = -1;
        _exit(coir_run(makes_all, NULL, NULL, &result) != 0 || result != 0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

static int adopts_first(void *arg)
{
    CHECK_EQ(coir_adopt(*(int *)arg), -EBADF);
    CHECK_EQ(coir_adopt(*(int *)arg), -EBADF);
    return 0;
}

/* proves: D17 */
TEST(test_adopting_a_closed_number_is_ebadf_though_it_is_the_first_call)
{
    int fd = dup(0);
    close(fd);
    run_monotonic(adopts_first, &fd);
}

/* ---- a number of coir's own ---- */

static int own_over_owned(void *arg)
{
    int ends[2];
    char bytes[8];
    CHECK_EQ(coir_pipe(ends), 0); /* never waited for, so never registered */
    CHECK_EQ(coir_write(ends[1], "x", 1, COIR_TRY), 1);
    CHECK_EQ(coir_read(ends[0], bytes, 1, COIR_TRY), 1);
    close(ends[0]);
    close(ends[1]);
    int copies[2] = {dup(0), dup(0)}, high = fcntl(copies[0], F_DUPFD, 100);
    struct fds_pair far = fds_unix(SOCK_STREAM);
    int in = fcntl(far.in, F_DUPFD, 101);
    fds_close(far);
    close(copies[0]);
    close(copies[1]);
    CHECK_EQ(coir_read(in, bytes, 1, coir_after(10)), 0); /* the world opens its own now */
    for (int i = 0; i < inside_own_count(); i++) {
        int fd = inside_world()->ops->own(inside_world(), i);
        CHECK_EQ(coir_read(fd, bytes, sizeof bytes, COIR_TRY), -EBADF);
        CHECK_EQ(coir_write(fd, bytes, sizeof bytes, COIR_TRY), -EBADF);
        CHECK_EQ(coir_close(fd), -EBADF);
    }
    CHECK_EQ(coir_close(in), 0);
    close(high);
    return arg ? 1 : 0;
}

/* proves: D10 */
TEST(test_regress_worlds_own_descriptor_at_an_owned_number_passes_for_it)
{
    run_virtual(own_over_owned, NULL);
}

/* Two numbers of descriptors that coir knows, and that are closed behind its back. */
static int leaves_numbers(void *arg)
{
    int *ends = arg;
    char byte = 'x';
    CHECK_EQ(coir_pipe(ends), 0);
    CHECK_EQ(coir_write(ends[1], &byte, 1, COIR_TRY), 1);
    CHECK_EQ(coir_read(ends[0], &byte, 1, COIR_TRY), 1);
    return close(ends[0]) | close(ends[1]);
}

static int finds_them_taken(void *arg)
{
    char byte;
    (void)arg;
    for (int i = 0; i < inside_own_count(); i++) {
        int fd = inside_world()->ops->own(inside_world(), i);
        CHECK_EQ(coir_read(fd, &byte, 1, COIR_TRY), -EBADF);
        CHECK_EQ(coir_write(fd, &byte, 1, COIR_TRY), -EBADF);
        CHECK_EQ(coir_adopt(fd), -EBADF);
    }
    return 0;
}

/* proves: D10 */
TEST(test_regress_number_taken_by_an_embedding_or_a_mailbox_passes_for_a_pipe)
{
    for (int by_mailbox = 0; by_mailbox < 2; by_mailbox++) {
        int ends[2];
        coir_sched *sched;
        coir_mailbox box;
        CHECK_EQ(coir_sched_new(&sched, NULL), 0);
        CHECK_EQ(coir_spawn(NULL, leaves_numbers, ends, NULL), 0);
        CHECK_EQ(coir_sched_run(sched), 0);
        if (by_mailbox)
            CHECK_EQ(coir_mailbox_open(&box, 0), 0);
        else
            coir_sched_fd(sched);
        coir_fiber fiber;
        CHECK_EQ(coir_spawn(&fiber, finds_them_taken, NULL, NULL), 0);
        if (by_mailbox)
            while (coir_join(fiber, NULL, COIR_TRY) == COIR_TIMED_OUT)
                CHECK(coir_sched_step(sched, 0) >= 0);
        else
            CHECK_EQ(coir_sched_run(sched), 0);
        if (by_mailbox)
            CHECK_EQ(coir_mailbox_close(box), 0);
        coir_sched_free(sched);
    }
}
