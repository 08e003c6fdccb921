/* What closes descriptors behind coir's back besides fibers that come to rest: letters, and fibers
 * that never let the loop idle; and numbers that others than their owners have put to new use. */
#define TEST_AT_ONCE 16
#include "fds.h"

#include <coir_io.h>
#include <coir_post.h>

#include <errno.h>
#include <pthread.h>

static bool knows_registrations(void)
{
    return strcmp(test_world_name(), "poll") != 0;
}

static struct fds_waiter waiter;
static struct fds_pair pair;
static coir_mailbox box;

static void close_file(void *arg)
{
    (void)arg;
    close(pair.in);
}

static int wait_beside_letters(void *arg)
{
    coir_letter letter = {.fn = close_file};
    (void)arg;
    pair = fds_pipe(O_NONBLOCK);
    waiter = (struct fds_waiter){.fd = pair.in, .mask = COIR_IN, .until = coir_after(COIR_SEC(9))};
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    fds_start(&waiter, 1);
    CHECK_EQ(coir_post(box, &letter), 0);
    CHECK_EQ(run_join(waiter.fiber), -EBADF);
    return coir_mailbox_close(box);
}

/* proves: D18, D19 */
TEST(test_wait_for_what_a_letter_closed_ends_with_an_audit)
{
    run_monotonic(wait_beside_letters, NULL);
}

static coir_letter closing = {.fn = close_file};

static void on_alarm(int number)
{
    (void)number;
    coir_post(box, &closing);
}

/* The audit of what the fibers themselves have done is over when the letter comes. */
static int wait_alone(void *arg)
{
    (void)arg;
    pair = fds_pipe(O_NONBLOCK);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    signal(SIGALRM, on_alarm);
    alarm(2);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_IN, coir_after(COIR_SEC(9))), -EBADF);
    return coir_mailbox_close(box);
}

/* proves: D18, D19 */
TEST(test_regress_wait_for_what_a_letter_closed_while_nothing_else_ran_hangs)
{
    run_monotonic(wait_alone, NULL);
}

/* ---- a connect that waits for room in a queue, on a socket that is registered nowhere ---- */

static struct sockaddr_un there;

/* Connects until there is no more room; the descriptor of the one that found none. */
static int fill_queue(void)
{
    there = fds_name("full");
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), result = 0, fd = -1;
    CHECK_EQ(bind(listener, (struct sockaddr *)&there, sizeof there), 0);
    CHECK_EQ(listen(listener, 0), 0);
    while (result == 0) {
        fd = coir_socket(AF_UNIX, SOCK_STREAM, 0);
        result = coir_connect(fd, (struct sockaddr *)&there, sizeof there, COIR_TRY);
    }
    return fd;
}

static int connect_for_a_while(void *arg)
{
    return coir_connect(*(int *)arg, (struct sockaddr *)&there, sizeof there,
                        coir_after(COIR_MS(1500)));
}

static int connect_beside_audits(void *arg)
{
    (void)arg;
    if (kernel->full_path_refuses)
        SKIP("this kernel refuses a connection for which there is no room");
    int fd = fill_queue();
    pair = fds_pipe(O_NONBLOCK);
    waiter = (struct fds_waiter){.fd = pair.in, .mask = COIR_IN};
    fds_start(&waiter, 1);
    CHECK_EQ(connect_for_a_while(&fd), COIR_TIMED_OUT);
    CHECK_EQ(coir_close(pair.in), 0);
    CHECK_EQ(run_join(waiter.fiber), -EBADF);
    return 0;
}

/* proves: D14, D19 */
TEST(test_audit_leaves_a_connect_alone_that_waits_for_room_in_a_queue)
{
    run_monotonic(connect_beside_audits, NULL);
}

static int connect_on_reused(void *arg)
{
    (void)arg;
    if (kernel->full_path_refuses)
        SKIP("this kernel refuses a connection for which there is no room");
    int fd = fill_queue();
    coir_fiber fiber = run_spawn(connect_for_a_while, &fd);
    fds_until_parked(fiber);
    close(fd);
    CHECK_EQ(coir_socket(AF_UNIX, SOCK_STREAM, 0), fd);
    CHECK_EQ(run_join(fiber), -EBADF);
    return coir_close(fd);
}

/* proves: D16 */
TEST(test_connect_that_waits_for_room_ends_when_its_number_is_given_to_a_new_socket)
{
    run_virtual(connect_on_reused, NULL);
}

static int spin(void *arg)
{
    struct fds_waiter *other = arg;
    coir_time until = coir_after(COIR_SEC(5));
    while (!other->ended_at && coir_left(until) > 0)
        coir_yield();
    CHECK_EQ(other->result, -EBADF);
    return 0;
}

static int wait_beside_a_crowd_that_yields(void *arg)
{
    (void)arg;
    pair = fds_pipe(O_NONBLOCK);
    waiter = (struct fds_waiter){.fd = pair.in, .mask = COIR_IN, .until = coir_after(COIR_SEC(9))};
    fds_start(&waiter, 1);
    close(pair.in);
    CHECK_EQ(spin(&waiter), 0);
    return run_join(waiter.fiber) == -EBADF ? 0 : 1;
}

/* proves: D18, D19 */
TEST(test_regress_fibers_that_always_yield_put_off_the_audit)
{
    run_monotonic(wait_beside_a_crowd_that_yields, NULL);
}

/* proves: D18, D19 */
TEST(test_wait_for_what_was_closed_between_steps_and_a_run_ends_with_an_audit)
{
    coir_sched *sched;
    pair = fds_pipe(O_NONBLOCK);
    waiter = (struct fds_waiter){.fd = pair.in, .mask = COIR_IN};
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_spawn(&waiter.fiber, fds_wait, &waiter, NULL), 0);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    while (coir_sched_deadline(sched).ns != COIR_NEVER.ns)
        usleep(10000);
    close(pair.in);
    CHECK_EQ(coir_sched_run(sched), 0);
    CHECK_EQ(waiter.result, -EBADF);
    coir_sched_free(sched);
}

/* ---- numbers that are another file's ---- */

static int second_waiter(void *arg)
{
    struct fds_pair old = fds_pipe(O_NONBLOCK), next = fds_pipe(O_NONBLOCK);
    struct fds_waiter first = {.fd = old.in, .mask = COIR_IN}, second = first;
    (void)arg;
    fds_start(&first, 1);
    CHECK_EQ(dup2(next.in, old.in), old.in);
    fds_start(&second, 1);
    CHECK_EQ(run_join(first.fiber), -EBADF);
    CHECK_EQ(coir_sleep(COIR_MS(1200)), 0);
    fds_put(next.out, "x");
    CHECK_EQ(run_join(second.fiber), COIR_IN);
    fds_check_nothing_left(old.in);
    return 0;
}

/* proves: D16, D18 */
TEST(test_regress_second_wait_for_a_reused_foreign_number_ends_though_its_file_is_open)
{
    if (!knows_registrations())
        SKIP("poll knows no files, only numbers");
    run_monotonic(second_waiter, NULL);
}

static int adopt_reused(void *arg)
{
    struct fds_pair old = fds_pipe(O_NONBLOCK), next = fds_pipe(O_NONBLOCK);
    struct fds_waiter first = {.fd = old.in, .mask = COIR_IN}, second = first;
    (void)arg;
    fds_start(&first, 1);
    CHECK_EQ(dup2(next.in, old.in), old.in);
    CHECK_EQ(coir_adopt(old.in), 0);
    CHECK_EQ(run_join(first.fiber), -EBADF);
    fds_start(&second, 1);
    fds_put(next.out, "x");
    CHECK_EQ(run_join(second.fiber), COIR_IN);
    return coir_close(old.in);
}

/* proves: D16 */
TEST(test_regress_adopted_number_that_a_foreign_wait_had_registered_is_not_registered)
{
    if (!knows_registrations())
        SKIP("poll knows no files, only numbers");
    run_virtual(adopt_reused, NULL);
}

static int another_waits(void *arg)
{
    struct fds_pair old = fds_pipe(O_NONBLOCK), next = fds_pipe(O_NONBLOCK);
    struct fds_waiter first = {.fd = old.in, .mask = COIR_IN}, second = first;
    (void)arg;
    CHECK_EQ(coir_adopt(old.in), 0);
    fds_start(&first, 1);
    CHECK_EQ(dup2(next.in, old.in), old.in);
    fds_start(&second, 1);
    CHECK_EQ(run_join(first.fiber), -EBADF);
    fds_put(next.out, "x");
    CHECK_EQ(run_join(second.fiber), COIR_IN);
    return 0;
}

/* proves: D20 */
TEST(test_another_fiber_that_waits_for_a_reused_number_waits_for_the_new_file)
{
    if (!knows_registrations())
        SKIP("poll knows no files, only numbers");
    run_virtual(another_waits, NULL);
}

/* The caller was the last on the file before; of the one that is adopted then, it knows nothing. */
static int last_on_the_file_before(void *arg)
{
    struct fds_pair old = fds_pipe(O_NONBLOCK), own = fds_pipe(O_NONBLOCK), next = fds_pipe(0);
    char byte;
    (void)arg;
    CHECK_EQ(coir_adopt(old.in), 0);
    CHECK_EQ(coir_read(old.in, &byte, 1, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    CHECK_EQ(coir_close(old.in), 0);
    CHECK_EQ(dup2(own.in, old.in), old.in);
    CHECK_EQ(coir_adopt(old.in), 0);
    CHECK_EQ(dup2(next.in, old.in), old.in);
    CHECK_EQ(coir_read(old.in, &byte, 1, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    return 0;
}

static int last_as_another(void *arg)
{
    return run_join(run_spawn(last_on_the_file_before, arg));
}

/* proves: D20 */
TEST(test_regress_fiber_that_called_on_the_file_before_blocks_the_thread)
{
    if (!knows_registrations())
        SKIP("poll knows no files, only numbers");
    run_virtual(last_as_another, NULL);
}

static int call_first(void *arg)
{
    struct fds_pair own = fds_pipe(O_NONBLOCK), next = fds_pipe(0);
    char byte;
    (void)arg;
    CHECK_EQ(coir_adopt(own.in), 0);
    CHECK_EQ(dup2(next.in, own.in), own.in);
    CHECK_EQ(coir_read(own.in, &byte, 1, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    return 0;
}

/* proves: D20 */
TEST(test_regress_first_fiber_is_taken_for_one_that_has_called)
{
    if (!knows_registrations())
        SKIP("poll knows no files, only numbers");
    run_virtual(call_first, NULL);
}
