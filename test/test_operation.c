/* Operations that a world has under way, in a played world (played.h): each owns its buffer until
 * it is over, whatever becomes of its caller meanwhile. */
#include "played.h"
#include "clock.h"

/* ---- the fibers ---- */

struct call {
    int fd;
    bool writes;
    coir_time until;
    int64_t result;
    uint64_t returned_at;
    char buf[16];
    char after[16]; /* the buffer as it was at the return */
    coir_fiber fiber;
};

static int call_main(void *arg)
{
    struct call *call = arg;
    if (call->writes)
        call->result = coir_write(call->fd, call->buf, sizeof call->buf, call->until);
    else
        call->result = coir_read(call->fd, call->buf, sizeof call->buf, call->until);
    call->returned_at = now_ns();
    for (int i = 0; i < ops_count; i++) /* no return while the world may write */
        CHECK(ops[i].over || ops[i].buf != call->buf);
    memcpy(call->after, call->buf, sizeof call->buf);
    return 0;
}

static void start(struct call *call)
{
    call->fiber = run_spawn(call_main, call);
    fds_until_parked(call->fiber);
}

static void check_left_nothing(struct call *call)
{
    CHECK_EQ(cr_sched_here->outside, 0);
    CHECK(!cr_timer_first(&cr_sched_here->timers));
    CHECK_EQ(memcmp(call->buf, call->after, sizeof call->buf), 0);
}

/* Any open descriptor; the played world does nothing with it. */
static int some_fd(bool owned)
{
    int fd = open("/dev/null", O_RDWR);
    CHECK(fd >= 0);
    if (owned)
        CHECK_EQ(coir_adopt(fd), 0);
    return fd;
}

/* ---- ends by itself ---- */

static int completes(void *arg)
{
    bool owned = arg;
    int fd = some_fd(owned);
    play();
    plans[0] = (struct plan){.ends_at = 50, .value = 5};
    plans[1] = (struct plan){.ends_at = 60, .value = -ECONNRESET};
    plans[2] = (struct plan){.ends_at = 70, .value = 0};
    for (int i = 0; i < 3; i++) {
        struct call call = {.fd = fd, .until = i == 1 ? at_ns(1000) : COIR_NEVER};
        start(&call);
        CHECK_EQ(cr_sched_here->outside, 1);
        CHECK_EQ(coir_wake(call.fiber), -EBUSY);
        CHECK_EQ(run_join(call.fiber), 0);
        CHECK_EQ(call.result, plans[i].value);
        CHECK_EQ(call.returned_at, plans[i].ends_at);
        CHECK_EQ(ops[i].cancels, 0);
        check_left_nothing(&call);
        if (i == 0)
            CHECK_EQ(memcmp(call.buf, "ddddd???????????", 16), 0);
    }
    close(fd);
    return 0;
}

/* proves: D13 */
TEST(test_operation_parks_its_fiber_until_its_end_and_returns_its_result)
{
    int owned = 1;
    run_virtual(completes, NULL);
    run_virtual(completes, &owned);
}

static int out_of_order(void *arg)
{
    (void)arg;
    static struct call calls[OPS_MOST];
    int fd = some_fd(true);
    play();
    for (int i = 0; i < OPS_MOST; i++) {
        plans[i] = (struct plan){.ends_at = 10 + (uint64_t)(i * 7 % OPS_MOST), .value = i};
        calls[i] = (struct call){.fd = fd, .until = COIR_NEVER, .writes = i % 3 == 0};
        start(&calls[i]);
    }
    CHECK_EQ(cr_sched_here->outside, OPS_MOST);
    for (int i = 0; i < OPS_MOST; i++) {
        CHECK_EQ(run_join(calls[i].fiber), 0);
        CHECK_EQ(calls[i].result, i);
        CHECK_EQ(calls[i].returned_at, plans[i].ends_at);
    }
    for (int i = 0; i < OPS_MOST; i++)
        check_left_nothing(&calls[i]);
    close(fd);
    return 0;
}

/* proves: D13 */
TEST(test_operation_ends_reach_their_own_fibers_in_any_order)
{
    run_virtual(out_of_order, NULL);
}

/* ---- runs out of time ---- */

struct late_case {
    const char *name;
    uint64_t until_ns;
    struct plan plan;
    int64_t result;
    uint64_t returned_at;
    int cancels;
};

static const struct late_case LATE_CASES[] = {
    {"cancelled in time", 100, {CR_NEVER, 0, 30, -ECANCELED}, COIR_TIMED_OUT, 130, 1},
    {"cancelled at once", 100, {CR_NEVER, 0, 0, -ECANCELED}, COIR_TIMED_OUT, 100, 1},
    {"done all the same", 100, {CR_NEVER, 0, 30, 7}, 7, 130, 1},
    {"end of file all the same", 100, {CR_NEVER, 0, 30, 0}, 0, 130, 1},
    {"failed all the same", 100, {CR_NEVER, 0, 30, -EIO}, -EIO, 130, 1},
    {"would have been done later", 100, {500, 16, 30, -ECANCELED}, COIR_TIMED_OUT, 130, 1},
    {"done at the deadline", 100, {100, 9, 0, -ECANCELED}, 9, 100, 0},
    {"done just before", 100, {99, 9, 0, -ECANCELED}, 9, 99, 0},
    {"failed at the deadline", 100, {100, -EIO, 0, -ECANCELED}, -EIO, 100, 0},
    {"done just after", 100, {101, 9, 5, -ECANCELED}, COIR_TIMED_OUT, 105, 1},
};

static int late(void *arg)
{
    bool owned = arg;
    int fd = some_fd(owned);
    for (size_t i = 0; i < sizeof LATE_CASES / sizeof *LATE_CASES; i++) {
        const struct late_case *c = &LATE_CASES[i];
        printf("%s\n", c->name);
        fflush(stdout);
        uint64_t begun = now_ns();
        play();
        plans[0] = c->plan;
        if (plans[0].ends_at != CR_NEVER)
            plans[0].ends_at += begun;
        struct call call = {.fd = fd, .until = at_ns(begun + c->until_ns)};
        start(&call);
        CHECK_EQ(run_join(call.fiber), 0);
        CHECK_EQ(call.result, c->result);
        CHECK_EQ(call.returned_at - begun, c->returned_at);
        CHECK_EQ(ops[0].cancels, c->cancels);
        uint64_t slept_from = now_ns();
        CHECK_EQ(coir_sleep(1000), 0); /* nothing of the wait ends this one, nor is anything left */
        CHECK_EQ(now_ns() - slept_from, 1000);
        check_left_nothing(&call);
    }
    close(fd);
    return 0;
}

/* proves: D13, W4 */
TEST(test_operation_out_of_time_is_cancelled_once_and_waited_for)
{
    int owned = 1;
    run_virtual(late, NULL);
    run_virtual(late, &owned);
}

/* While a cancelled operation ends, neither a wake nor a cancel brings its fiber back early. */
static int wake_meanwhile(void *arg)
{
    (void)arg;
    int fd = some_fd(true);
    play();
    plans[0] = (struct plan){CR_NEVER, 0, 1000, -ECANCELED};
    struct call call = {.fd = fd, .until = at_ns(100)};
    start(&call);
    CHECK_EQ(coir_sleep(500), 0);
    CHECK_EQ(ops[0].cancels, 1);
    CHECK_EQ(coir_wake(call.fiber), -EBUSY);
    CHECK(inside_fiber(call.fiber)->wait);
    CHECK_EQ(run_join(call.fiber), 0);
    CHECK_EQ(call.result, COIR_TIMED_OUT);
    CHECK_EQ(call.returned_at, 1100);
    check_left_nothing(&call);
    close(fd);
    return 0;
}

/* proves: D13, W2 */
TEST(test_operation_that_is_cancelled_is_not_woken)
{
    run_virtual(wake_meanwhile, NULL);
}

/* ---- a scheduler that is freed ---- */

static struct call freed[4];

static int free_during(void *arg)
{
    (void)arg;
    int fd = some_fd(true);
    play();
    plans[0] = (struct plan){CR_NEVER, 0, 300, -ECANCELED};
    plans[1] = (struct plan){CR_NEVER, 0, 300, 4};
    plans[2] = (struct plan){CR_NEVER, 0, 0, -ECANCELED};
    plans[3] = (struct plan){CR_NEVER, 0, 300, -ECANCELED};
    for (int i = 0; i < 4; i++) {
        freed[i] = (struct call){.fd = fd, .until = i == 3 ? at_ns(100) : COIR_NEVER};
        CHECK_EQ(coir_spawn(NULL, call_main, &freed[i], NULL), 0);
    }
    return 0;
}

/* proves: D13, E5 */
TEST(test_operation_under_way_is_cancelled_and_waited_for_when_the_scheduler_is_freed)
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, &(struct coir_sched_opts){.clock = COIR_CLOCK_VIRTUAL}), 0);
    CHECK_EQ(coir_spawn(NULL, free_during, NULL, NULL), 0);
    while (now_ns() < 100)
        CHECK(coir_sched_step(sched, 0) > COIR_STEP_DONE);
    coir_sched_step(sched, 0);
    CHECK_EQ(ops_count, 4);
    CHECK_EQ(ops[3].cancels, 1); /* its time was over; it is stopped while it ends */
    coir_sched_free(sched);
    CHECK_EQ(freed[0].result, COIR_CANCELLED);
    CHECK_EQ(freed[1].result, 4);
    CHECK_EQ(freed[2].result, COIR_CANCELLED);
    CHECK_EQ(freed[3].result, COIR_TIMED_OUT);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(ops[i].cancels, 1);
}

/* ---- tries once, tries again, is closed ---- */

static int try_once(void *arg)
{
    (void)arg;
    int fd = some_fd(true);
    play();
    plans[0] = (struct plan){CR_NEVER, 0, 0, -ECANCELED};
    struct call call = {.fd = fd, .until = COIR_TRY};
    CHECK_EQ(call_main(&call), 0);
    CHECK_EQ(call.result, COIR_TIMED_OUT);
    CHECK_EQ(call.returned_at, 0);
    CHECK_EQ(ops[0].cancels, 1);
    check_left_nothing(&call);
    close(fd);
    return 0;
}

/* proves: D13, T4 */
TEST(test_operation_of_a_single_try_takes_no_time)
{
    run_virtual(try_once, NULL);
}

/* The buffer is the world's although the number is closed: the call ends by the operation's event,
 * which the close asks for. */
static int close_during(void *arg)
{
    (void)arg;
    int fd = some_fd(true);
    play();
    plans[0] = (struct plan){CR_NEVER, 0, 300, -ECANCELED};
    plans[1] = (struct plan){CR_NEVER, 0, 300, 4};
    struct call calls[2];
    for (int i = 0; i < 2; i++) {
        calls[i] = (struct call){.fd = fd, .until = coir_after(10000)};
        start(&calls[i]);
    }
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(run_join(calls[0].fiber), 0);
    CHECK_EQ(run_join(calls[1].fiber), 0);
    CHECK_EQ(calls[0].result, -EBADF);
    CHECK_EQ(calls[1].result, 4);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(calls[i].returned_at, 300);
        CHECK_EQ(ops[i].cancels, 1);
    }
    check_left_nothing(&calls[0]);
    return 0;
}

/* proves: D5, D13 */
TEST(test_operation_under_way_is_cancelled_when_its_descriptor_is_closed)
{
    run_virtual(close_during, NULL);
}

/* It ends as one that would have to wait, when its number is another file's. */
static int close_and_reuse(void *arg)
{
    int fd = some_fd(true), ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    play();
    plans[0] = (struct plan){CR_NEVER, 0, 300, -EAGAIN};
    plans[1] = (struct plan){CR_NEVER, 0, 300, 4};
    struct call call = {.fd = fd, .until = coir_after(10000)};
    start(&call);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(dup2(ends[0], fd), fd);
    CHECK_EQ(run_join(call.fiber), 0);
    CHECK_EQ(call.result, -EBADF);
    CHECK_EQ(ops_count, 1);
    check_left_nothing(&call);
    close(fd);
    return arg ? 1 : 0;
}

/* proves: D5, D13 */
TEST(test_operation_that_ends_after_its_number_was_closed_is_not_begun_again)
{
    run_virtual(close_and_reuse, NULL);
}

/* A report says what the fiber waits for. (A cancelled fiber's dump does not wait, so it asks no
 * world for a write.) */
static int dump_during(void *arg)
{
    char text[512] = "", expected[64];
    (void)arg;
    int fd = some_fd(true);
    struct fds_pair pipe = fds_pipe(0);
    play();
    plans[0] = (struct plan){1000, 1, 0, 0};
    struct call call = {.fd = fd, .until = COIR_NEVER};
    start(&call);
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    CHECK_EQ(coir_scope_cancel(&scope, 0), 0);
    CHECK_EQ(coir_dump(pipe.out), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK(read(pipe.in, text, sizeof text - 1) > 0);
    snprintf(expected, sizeof expected, "waits for an operation on descriptor %d\n", fd);
    CHECK(strstr(text, expected));
    CHECK_EQ(run_join(call.fiber), 0);
    fds_close(pipe);
    close(fd);
    return 0;
}

TEST(test_operation_under_way_is_named_by_a_dump)
{
    run_virtual(dump_during, NULL);
}
