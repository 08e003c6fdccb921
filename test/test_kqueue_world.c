/* Waiting in the tests' own kqueue (test/kqueue) as kqueue(2) documents it, timers included; and
 * what the kqueue world does beside all that the suite asks of every world. */
#include "fds.h"

#include "../src/world/posix.h"

#ifndef COIR_KQUEUE

TEST(test_kqueue_waits_as_is_documented)
{
    SKIP("this build has no kqueue: cmake --preset kqueue");
}

#else

#include <pthread.h>
#include <kernel.h>
#include <sys/event.h>
#include <sys/time.h>

static struct kevent events[8];

static int queue_make(void)
{
    int queue = kqueue();
    CHECK(queue >= 0);
    return queue;
}

static void add(int queue, uintptr_t ident, int filter, uint32_t fflags, intptr_t data)
{
    struct kevent one = {ident, (int16_t)filter, EV_ADD | EV_CLEAR, fflags, data, NULL};
    CHECK_EQ(kevent(queue, &one, 1, NULL, 0, NULL), 0);
}

static int wait_ns(int queue, int most, int64_t length_ns)
{
    struct timespec length = {length_ns / 1000000000, length_ns % 1000000000};
    return kevent(queue, NULL, 0, events, most, &length);
}

/* ---- waiting ---- */

TEST(test_kqueue_waits_no_shorter_than_its_time)
{
    int queue = queue_make();
    uint64_t before = cr_posix_now(NULL);
    CHECK_EQ(wait_ns(queue, 8, COIR_US(1500)), 0);
    uint64_t waited = cr_posix_now(NULL) - before;
    CHECK(waited >= (uint64_t)COIR_US(1500));
    CHECK(waited < (uint64_t)COIR_SEC(5));
}

TEST(test_kqueue_refuses_bad_times)
{
    int queue = queue_make();
    struct timespec bad[] = {
        {-1, 0}, {0, -1}, {0, 1000000000}, {(time_t)kernel->seconds_most + 1, 0}};
    for (int i = 0; i < (kernel->seconds_most ? 4 : 3); i++) {
        CHECK_EQ(kevent(queue, NULL, 0, events, 8, &bad[i]), -1);
        CHECK_EQ(errno, EINVAL);
    }
}

TEST(test_kqueue_without_room_for_events_does_not_wait)
{
    int queue = queue_make();
    CHECK_EQ(kevent(queue, NULL, 0, NULL, 0, NULL), 0);
}

static void on_alarm(int signal)
{
    (void)signal;
}

/* From now on a signal each this many microseconds (0: none): the first may come before a wait. */
static void ring_often(int us)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval often = {{.tv_usec = us}, {.tv_usec = us}};
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
}

TEST(test_kqueue_a_signal_ends_a_wait)
{
    int queue = queue_make();
    ring_often(300000);
    CHECK_EQ(kevent(queue, NULL, 0, events, 8, NULL), -1);
    CHECK_EQ(errno, EINTR);
}

TEST(test_kqueue_is_ready_itself_for_poll_when_it_has_events)
{
    struct fds_pair pipe = fds_pipe(0);
    int queue = queue_make();
    add(queue, (uintptr_t)pipe.in, EVFILT_READ, 0, 0);
    CHECK_EQ(cr_posix_ask(queue, COIR_IN), 0);
    fds_put(pipe.out, "x");
    CHECK_EQ(cr_posix_ask(queue, COIR_IN), COIR_IN);
}

TEST(test_kqueue_a_small_batch_leaves_the_rest_for_the_next)
{
    enum { COUNT = 20 };
    int queue = queue_make(), told[COUNT] = {0}, total = 0;
    struct fds_pair pipes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        pipes[i] = fds_pipe(0);
        add(queue, (uintptr_t)pipes[i].in, EVFILT_READ, 0, 0);
        fds_put(pipes[i].out, "x");
    }
    for (int count; (count = wait_ns(queue, 3, 0)) > 0; total += count)
        for (int e = 0; e < count; e++)
            for (int i = 0; i < COUNT; i++)
                told[i] += events[e].ident == (uintptr_t)pipes[i].in;
    CHECK_EQ(total, COUNT);
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(told[i], 1);
}

static void *trigger(void *arg)
{
    struct kevent one = {.ident = 1, .filter = EVFILT_USER, .fflags = NOTE_TRIGGER};
    CHECK_EQ(kevent(*(int *)arg, &one, 1, NULL, 0, NULL), 0);
    return NULL;
}

TEST(test_kqueue_a_user_event_of_another_thread_ends_a_wait)
{
    int queue = queue_make();
    pthread_t thread;
    add(queue, 1, EVFILT_USER, 0, 0);
    CHECK_EQ(pthread_create(&thread, NULL, trigger, &queue), 0);
    CHECK_EQ(kevent(queue, NULL, 0, events, 8, NULL), 1);
    CHECK_EQ(events[0].filter, EVFILT_USER);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

TEST(test_kqueue_timers_repeat_and_count_unless_oneshot)
{
    int queue = queue_make();
    add(queue, 1, EVFILT_TIMER, NOTE_USECONDS, 200);
    CHECK_EQ(wait_ns(queue, 8, COIR_SEC(5)), 1);
    CHECK_EQ(events[0].ident, 1);
    CHECK(events[0].data >= 1);
    CHECK_EQ(usleep(2000), 0);
    CHECK_EQ(wait_ns(queue, 8, COIR_SEC(5)), 1);
    CHECK(events[0].data >= 5);
    struct kevent end = {.ident = 1, .filter = EVFILT_TIMER, .flags = EV_DELETE};
    CHECK_EQ(kevent(queue, &end, 1, NULL, 0, NULL), 0);
    struct kevent once = {1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_NSECONDS, 1000, NULL};
    CHECK_EQ(kevent(queue, &once, 1, events, 8, &(struct timespec){5, 0}), 1);
    once.flags = EV_DELETE;
    CHECK_EQ(kevent(queue, &once, 1, NULL, 0, NULL), -1);
    CHECK_EQ(errno, ENOENT);
}

/* ---- the world ---- */

static struct cr_world *world;
static bool more;

static void world_begin(void)
{
    CHECK_EQ(cr_kqueue_make(&world), 0);
    CHECK_STR(world->name, "kqueue");
}

TEST(test_kqueue_world_makes_one_queue_that_ends_with_exec)
{
    struct fds_pair pipe = fds_pipe(0);
    int before = fds_open();
    world_begin();
    CHECK_EQ(world->ops->attach(world, pipe.in, 1), 0);
    CHECK_EQ(fds_open(), before + 1);
    CHECK_EQ(fcntl(world->ops->open(world), F_GETFD), FD_CLOEXEC);
    world->ops->detach(world, pipe.in, 0);
    world->ops->close(world);
    CHECK_EQ(fds_open(), before);
}

/* proves: D3 */
TEST(test_kqueue_world_does_not_poll_what_tells_nothing)
{
    struct fds_pair broken = fds_pipe(0);
    close(broken.in);
    world_begin();
    CHECK_EQ(world->ops->attach(world, open("/tmp", O_TMPFILE | O_RDWR, 0600), 1), -EPERM);
    CHECK_EQ(world->ops->attach(world, open("/", O_RDONLY), 1), -EPERM);
    int null = world->ops->attach(world, open("/dev/null", O_RDWR), 1);
    CHECK_EQ(null, kernel->null_device == ENODEV ? -EPERM : 0); /* which is always ready then */
    CHECK_EQ(world->ops->attach(world, broken.out, 1), kernel->gone_reader == EPIPE ? -EPERM : 0);
    CHECK_EQ(world->ops->attach(world, 999, 1), -EBADF);
}

static void check_not_registered(int fd)
{
    static const int16_t FILTERS[] = {EVFILT_READ, EVFILT_WRITE, EVFILT_EXCEPT};
    for (int i = 0; i < 3; i++) {
        struct kevent old = {(uintptr_t)fd, FILTERS[i], EV_DELETE, 0, 0, NULL};
        CHECK_EQ(kevent(world->ops->open(world), &old, 1, NULL, 0, NULL), -1);
        CHECK_EQ(errno, ENOENT);
    }
}

/* proves: D6 */
TEST(test_kqueue_world_leaves_no_registration_after_detach_or_failure)
{
    struct fds_pair pair = fds_unix(SOCK_STREAM), pipe = fds_pipe(0), broken = fds_pipe(0);
    close(broken.in);
    world_begin();
    for (int again = 0; again < 3; again++) {
        CHECK_EQ(world->ops->attach(world, pair.in, 1), 0);
        world->ops->detach(world, pair.in, 0);
        check_not_registered(pair.in);
    }
    if (world->ops->attach(world, broken.out, 1) == 0)
        world->ops->detach(world, broken.out, 0);
    check_not_registered(broken.out);
    kernel->wrong_end = ENOMEM;
    CHECK_EQ(world->ops->attach(world, pipe.in, 1), -ENOMEM);
    check_not_registered(pipe.in);
    CHECK_EQ(world->ops->attach(world, pipe.out, 1), -ENOMEM);
    check_not_registered(pipe.out);
}

TEST(test_kqueue_world_does_with_one_direction_where_the_other_is_refused)
{
    static const int refusals[] = {EBADF, EINVAL, ENODEV, EPERM, EOPNOTSUPP};
    struct cr_event told;
    for (int i = 0; i < 5; i++) {
        struct fds_pair pipe = fds_pipe(0);
        kernel->wrong_end = refusals[i];
        world_begin();
        CHECK_EQ(world->ops->attach(world, pipe.in, 1), 0);
        CHECK_EQ(world->ops->attach(world, pipe.out, 3), 0);
        CHECK_EQ(world->ops->wait(world, &told, 1, 0, &more), 1);
        CHECK_EQ(told.token, 3);
        CHECK_EQ(told.value, COIR_OUT);
        fds_put(pipe.out, "x");
        CHECK_EQ(world->ops->wait(world, &told, 1, 0, &more), 1);
        CHECK_EQ(told.token, 1);
        CHECK_EQ(told.value, COIR_IN);
        world->ops->close(world);
    }
}

/* Both directions at once are one event. */
TEST(test_kqueue_world_tells_of_both_directions_in_one_event)
{
    struct fds_pair pair = fds_unix(SOCK_STREAM);
    struct cr_event told[8];
    uint64_t token = (uint64_t)UINT32_MAX << 32 | (uint64_t)pair.in << 1 | 1;
    world_begin();
    fds_put(pair.out, "x");
    CHECK_EQ(world->ops->attach(world, pair.in, token), 0);
    CHECK_EQ(world->ops->wait(world, told, 8, 0, &more), 1);
    CHECK(told[0].token == token);
    CHECK_EQ(told[0].value, COIR_IN | COIR_OUT);
    CHECK_EQ(world->ops->wait(world, told, 8, 0, &more), 0);
}

static int poll_says;

static int ready_as_said(struct cr_world *asked, int fd, int mask)
{
    (void)asked;
    (void)fd;
    (void)mask;
    return poll_says;
}

static void world_begin_as_said(void)
{
    static struct cr_world_ops ops;
    world_begin();
    ops = *world->ops;
    ops.ready = ready_as_said;
    world->ops = &ops;
}

static int told_at_the_end(int fd, int says)
{
    struct cr_event told;
    poll_says = says;
    world_begin_as_said();
    CHECK_EQ(world->ops->attach(world, fd, 1), 0);
    CHECK_EQ(world->ops->wait(world, &told, 1, 0, &more), 1);
    world->ops->close(world);
    return (int)told.value;
}

/* Of an end poll may know less, as where there is no POLLRDHUP, or nothing. */
TEST(test_kqueue_world_tells_an_end_that_poll_does_not)
{
    struct fds_pair pipe = fds_pipe(0), socket = fds_unix(SOCK_STREAM);
    fds_fill(socket.in);
    CHECK_EQ(shutdown(socket.out, SHUT_WR), 0);
    CHECK_EQ(told_at_the_end(socket.in, COIR_IN), COIR_IN | COIR_HUP);
    CHECK_EQ(told_at_the_end(socket.in, 0), COIR_IN | COIR_HUP);
    close(pipe.out);
    CHECK_EQ(told_at_the_end(pipe.in, -ENOMEM), COIR_IN | COIR_OUT | COIR_HUP | COIR_ERR);
}

/* The error of a reset socket. */
TEST(test_kqueue_world_tells_an_error_that_poll_does_not)
{
    struct fds_pair tcp = fds_tcp();
    struct linger at_once = {.l_onoff = 1};
    CHECK_EQ(setsockopt(tcp.out, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(tcp.out);
    CHECK(told_at_the_end(tcp.in, COIR_IN) & COIR_ERR);
}

/* A reader that goes away during the wait. */
TEST(test_kqueue_world_tells_a_writer_that_its_reader_is_gone)
{
    struct cr_event told;
    for (poll_says = 0; poll_says <= COIR_OUT; poll_says += COIR_OUT) {
        struct fds_pair next = fds_pipe(0);
        fds_fill(next.out);
        world_begin_as_said();
        CHECK_EQ(world->ops->attach(world, next.out, 1), 0);
        CHECK_EQ(world->ops->wait(world, &told, 1, 0, &more), 0);
        close(next.in);
        CHECK_EQ(world->ops->wait(world, &told, 1, 0, &more), 1);
        CHECK_EQ(told.value & COIR_OUT, poll_says || kernel->tells_full_pipe ? COIR_OUT : 0);
        CHECK(poll_says || told.value & COIR_HUP);
    }
}

/* proves: D7 */
TEST(test_kqueue_world_trusts_no_short_read_where_urgent_data_is_not_told)
{
    struct fds_pair tcp = fds_tcp();
    world_begin();
    CHECK_EQ(world->ops->attach(world, tcp.in, 1), 0);
    CHECK_EQ(world->ops->adopt(world, tcp.in),
             CR_FD_SOCKET | (kernel->has_except ? CR_FD_SHORT_EMPTIES : 0));
    kernel->has_except = false;
    CHECK_EQ(world->ops->attach(world, tcp.out, 1), 0);
    CHECK_EQ(world->ops->adopt(world, tcp.out), CR_FD_SOCKET);
}

/* proves: T6 */
TEST(test_kqueue_world_waits_longer_than_the_kernel_lets_it)
{
    struct fds_pair pipe = fds_pipe(0);
    struct cr_event told;
    world_begin();
    CHECK_EQ(world->ops->attach(world, pipe.in, 1), 0);
    ring_often(300000);
    CHECK_EQ(world->ops->wait(world, &told, 1, CR_NEVER - 1, &more), 0);
    ring_often(0);
    fds_put(pipe.out, "x");
    CHECK_EQ(world->ops->wait(world, &told, 1, CR_NEVER - 1, &more), 1);
}

static int name_of_world(void *arg)
{
    *(const char **)arg = inside_world()->name;
    return 0;
}

TEST(test_kqueue_world_is_chosen_by_name_by_option_and_first)
{
    const char *name = NULL;
    setenv("COIR_WORLD", "kqueue", 1);
    run_monotonic(name_of_world, &name);
    CHECK_STR(name, "kqueue");
    unsetenv("COIR_WORLD");
    run_monotonic(name_of_world, &name);
    CHECK_STR(name, "kqueue");
    struct coir_sched_opts opts = {.world = COIR_WORLD_KQUEUE};
    CHECK_EQ(coir_run(name_of_world, &name, &opts, NULL), 0);
    CHECK_STR(name, "kqueue");
}

#endif
