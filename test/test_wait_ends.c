/* How waits for descriptors end (readiness, a deadline, a wake, a cancel) and what is left then. */
#include "fds.h"
#include "clock.h"

static int end_by_deadline(void *arg)
{
    int fd = *(int *)arg;
    uint64_t begun = now_ns();
    CHECK_EQ(coir_wait_fd(fd, COIR_IN, at_ns(begun + 1000)), COIR_TIMED_OUT);
    CHECK_EQ(now_ns(), begun + 1000);
    return 0;
}

static int end_by_wake(void *arg)
{
    struct fds_waiter w = {.fd = *(int *)arg, .mask = COIR_IN, .until = coir_after(COIR_SEC(1))};
    fds_start(&w, 1);
    CHECK_EQ(coir_wake(w.fiber), 1);
    CHECK_EQ(coir_wake(w.fiber), 0);
    CHECK_EQ(run_join(w.fiber), -EINTR);
    return 0;
}

static int end_by_stop(void *arg)
{
    struct fds_waiter *w = arg;
    w->result = coir_wait_fd(w->fd, w->mask, COIR_NEVER);
    CHECK_EQ(w->result, COIR_CANCELLED);
    CHECK_EQ(coir_wait_fd(w->fd, w->mask, COIR_TRY), COIR_CANCELLED);
    CHECK_EQ(coir_read(w->fd, &(char){0}, 1, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(coir_write(w->fd, "x", 1, COIR_NEVER), COIR_CANCELLED);
    fds_check_nothing_left(w->fd);
    return 0;
}

/* A wait that ended early leaves no deadline and no event that ends the next one. */
static int ends(void *arg)
{
    struct fds_pair pipe = fds_pipe(0);
    if (arg)
        CHECK_EQ(coir_adopt(pipe.in), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(end_by_deadline(&pipe.in), 0);
        fds_check_nothing_left(pipe.in);
        CHECK_EQ(end_by_wake(&pipe.in), 0);
        fds_check_nothing_left(pipe.in);
        uint64_t begun = now_ns();
        CHECK_EQ(coir_sleep(COIR_SEC(2)), 0);
        CHECK_EQ(now_ns(), begun + COIR_SEC(2));
    }
    struct fds_waiter w = {.fd = pipe.in, .mask = COIR_IN, .until = coir_after(COIR_SEC(1))};
    fds_start(&w, 1);
    close(pipe.out);
    CHECK_EQ(run_join(w.fiber), COIR_IN | COIR_HUP);
    fds_check_nothing_left(pipe.in);
    CHECK_EQ(coir_close(pipe.in), 0);
    return 0;
}

/* proves: W4, W2 */
TEST(test_wait_that_a_deadline_a_wake_or_the_peer_ends_leaves_nothing_behind)
{
    int owned = 1;
    run_virtual(ends, NULL);
    run_virtual(ends, &owned);
}

/* proves: W4 */
TEST(test_wait_that_a_stop_ends_leaves_nothing_behind)
{
    struct fds_pair pipe = fds_pipe(0);
    int before = fds_open();
    for (int owned = 0; owned < 2; owned++) {
        coir_sched *sched;
        struct fds_waiter waiters[3];
        CHECK_EQ(coir_sched_new(&sched, NULL), 0);
        if (owned)
            CHECK_EQ(coir_adopt(pipe.in), 0);
        for (int i = 0; i < 3; i++) {
            waiters[i] = (struct fds_waiter){.fd = pipe.in, .mask = COIR_IN};
            CHECK_EQ(coir_spawn(NULL, end_by_stop, &waiters[i], NULL), 0);
        }
        CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
        coir_sched_free(sched);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(waiters[i].result, COIR_CANCELLED);
        CHECK_EQ(fds_open(), before);
    }
}

static int run_flag(void *arg)
{
    *(bool *)arg = true;
    return 0;
}

static int tries(void *arg)
{
    bool owned = arg, ran = false;
    char byte = 0;
    struct fds_pair pair = fds_unix(SOCK_STREAM);
    fds_fill(pair.in);
    if (owned)
        CHECK_EQ(coir_adopt(pair.in), 0);
    coir_fiber other = run_spawn(run_flag, &ran);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_IN | COIR_OUT, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_read(pair.in, &byte, 1, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_write(pair.in, "x", 1, COIR_TRY), COIR_TIMED_OUT);
    CHECK(!ran);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_OUT, at_ns(0)), COIR_TIMED_OUT);
    CHECK(ran);
    ran = false;
    run_join(other);
    other = run_spawn(run_flag, &ran);
    CHECK_EQ(coir_read(pair.in, &byte, 1, at_ns(0)), COIR_TIMED_OUT);
    CHECK(ran);
    run_join(other);
    fds_put(pair.out, "y");
    CHECK_EQ(coir_wait_fd(pair.in, COIR_IN, at_ns(0)), COIR_IN);
    CHECK_EQ(coir_read(pair.in, &byte, 1, COIR_TRY), 1);
    CHECK_EQ(byte, 'y');
    fds_check_nothing_left(pair.in);
    fds_close(pair);
    return 0;
}

static int tries_later(void *arg)
{
    coir_sleep(1000); /* so that a deadline of 1 has passed */
    return tries(arg);
}

/* proves: T4, W4 */
TEST(test_wait_until_0_tries_once_and_a_passed_deadline_lets_others_run_first)
{
    int owned = 1;
    run_virtual(tries_later, NULL);
    run_virtual(tries_later, &owned);
}

/* Sixteen waits with deadlines, of which every second one is answered at a time of its own. */
static int timers_and_fds(void *arg)
{
    enum { COUNT = 16 };
    static struct fds_waiter waiters[COUNT];
    struct fds_pair pipes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        pipes[i] = fds_pipe(0);
        if (arg && i & 2)
            CHECK_EQ(coir_adopt(pipes[i].in), 0);
        waiters[i] = (struct fds_waiter){.fd = pipes[i].in, .mask = COIR_IN,
                                         .until = coir_after(COIR_MS(10 * (COUNT - i)))};
    }
    uint64_t begun = now_ns();
    fds_start(waiters, COUNT);
    for (int i = COUNT - 1; i >= 0; i--) { /* 5, 15, 25, … ms: halfway between two deadlines */
        coir_sleep(i == COUNT - 1 ? COIR_MS(5) : COIR_MS(10));
        if (i % 2 == 0)
            fds_put(pipes[i].out, "x");
    }
    for (int i = 0; i < COUNT; i++) {
        bool answered = i % 2 == 0;
        int64_t at = COIR_MS(10 * (COUNT - i) - (answered ? 5 : 0));
        CHECK_EQ(run_join(waiters[i].fiber), answered ? COIR_IN : COIR_TIMED_OUT);
        CHECK_EQ(waiters[i].ended_at - begun, at);
        fds_close(pipes[i]);
    }
    CHECK(!cr_timer_first(&cr_sched_here->timers));
    CHECK_EQ(cr_sched_here->outside, 0);
    return 0;
}

/* proves: W4 */
TEST(test_wait_timers_and_descriptors_end_waits_at_their_own_times)
{
    int owned = 1;
    run_virtual(timers_and_fds, NULL);
    run_virtual(timers_and_fds, &owned);
}

/* ---- what does not end a wait ---- */

static const struct cr_world_ops *real;
static struct cr_world_ops ops;
static int waits;

static int counted_wait(struct cr_world *world, struct cr_event *events, int max, uint64_t until,
                        bool *more)
{
    waits++;
    return real->wait(world, events, max, until, more);
}

/* The world may tell of what is not waited for, but not over and over. */
static void sleeps_through(struct fds_pair pair, int mask, void (*happens)(struct fds_pair pair))
{
    for (int owned = 0; owned < 2; owned++) {
        if (owned)
            CHECK_EQ(coir_adopt(pair.in), 0);
        struct fds_waiter w = {.fd = pair.in, .mask = mask, .until = coir_after(COIR_MS(3))};
        fds_start(&w, 1);
        if (!owned)
            happens(pair);
        waits = 0;
        CHECK_EQ(run_join(w.fiber), COIR_TIMED_OUT);
        CHECK(waits <= 10);
        fds_check_nothing_left(pair.in);
    }
    CHECK_EQ(coir_close(pair.in), 0);
    close(pair.out);
}

static void send_urgent(struct fds_pair pair)
{
    CHECK_EQ(send(pair.out, "!", 1, MSG_OOB), 1);
}

static void half_close(struct fds_pair pair)
{
    CHECK_EQ(shutdown(pair.out, SHUT_WR), 0);
}

static int sleep_through(void *arg)
{
    (void)arg;
    real = inside_replace_ops(&ops);
    ops.wait = counted_wait;
    sleeps_through(fds_tcp(), COIR_IN, send_urgent);
    struct fds_pair full = fds_unix(SOCK_STREAM);
    fds_fill(full.in);
    sleeps_through(full, COIR_OUT, half_close);
    return 0;
}

/* proves: T7 */
TEST(test_wait_sleeps_through_an_urgent_byte_or_a_half_close_that_it_does_not_wait_for)
{
    run_monotonic(sleep_through, NULL);
}
