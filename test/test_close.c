/* coir_close ends the waits for a descriptor, and nothing of them is left: a number that is closed
 * under a fiber's feet may be another file's by the time the fiber runs. */
#include "fds.h"

/* ---- the calls that can be parked on a descriptor ---- */

static int call_wait_in(void *arg)
{
    return coir_wait_fd(*(int *)arg, COIR_IN, COIR_NEVER);
}

static int call_wait_out(void *arg)
{
    return coir_wait_fd(*(int *)arg, COIR_OUT, COIR_NEVER);
}

static int call_read(void *arg)
{
    return (int)coir_read(*(int *)arg, &(char){0}, 1, COIR_NEVER);
}

static int call_write(void *arg)
{
    return (int)coir_write(*(int *)arg, "x", 1, COIR_NEVER);
}

static const struct call {
    const char *name;
    int (*fn)(void *arg);
    bool owned, writes;
} CALLS[] = {
    {"wait_fd for IN, foreign", call_wait_in, false, false},
    {"wait_fd for IN, owned", call_wait_in, true, false},
    {"wait_fd for OUT, foreign", call_wait_out, false, true},
    {"wait_fd for OUT, owned", call_wait_out, true, true},
    {"read, foreign", call_read, false, false},
    {"read, owned", call_read, true, false},
    {"write, foreign", call_write, false, true},
    {"write, owned", call_write, true, true},
};

/* A pipe on which the call parks, and the end that it is called on. */
static struct fds_pair pipe_that_blocks(const struct call *call, int *fd)
{
    struct fds_pair pipe = fds_pipe(O_NONBLOCK);
    *fd = call->writes ? pipe.out : pipe.in;
    if (call->writes)
        fds_fill(pipe.out);
    if (call->owned)
        CHECK_EQ(coir_adopt(*fd), 0);
    return pipe;
}

static int other_end(struct fds_pair pipe, int fd)
{
    return fd == pipe.in ? pipe.out : pipe.in;
}

static void for_all_calls(int (*scenario)(void *call))
{
    for (size_t i = 0; i < sizeof CALLS / sizeof *CALLS; i++) {
        printf("%s\n", CALLS[i].name);
        fflush(stdout);
        run_virtual(scenario, (void *)(uintptr_t)&CALLS[i]);
    }
}

/* ---- closed while waited for ---- */

/* Stands for the world's close: whoever waited is already ready, with -EBADF, and nothing of the
 * number is registered. */
static const struct cr_world_ops *real;
static struct cr_world_ops ops;
static int closes;

static int64_t close_after_the_wakes(struct cr_world *world, struct cr_op *op)
{
    if (op->kind == CR_OP_CLOSE) {
        struct cr_fd *entry = inside_fd(op->fd);
        CHECK(entry && !inside_fd_is_waited_for(entry) && !entry->attached && !entry->owned);
        closes++;
    }
    return real->start(world, op);
}

static int close_while_parked(void *arg)
{
    const struct call *call = arg;
    int fd;
    struct fds_pair pipe = pipe_that_blocks(call, &fd);
    coir_fiber fibers[3];
    for (int i = 0; i < 3; i++) {
        fibers[i] = run_spawn(call->fn, &fd);
        fds_until_parked(fibers[i]);
    }
    real = inside_replace_ops(&ops);
    ops.start = close_after_the_wakes;
    closes = 0;
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(closes, 1);
    for (int i = 0; i < 3; i++)
        CHECK(!inside_fiber(fibers[i])->wait);
    inside_restore_ops(real);
    CHECK_EQ(coir_close(fd), -EBADF);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(run_join(fibers[i]), -EBADF);
    fds_check_nothing_left(fd);
    close(other_end(pipe, fd));
    return 0;
}

/* proves: D5, W4 */
TEST(test_close_ends_every_wait_with_ebadf_before_the_number_is_free)
{
    for_all_calls(close_while_parked);
}

/* The fiber's descriptor became ready, and before it runs its number is another pipe's: full if it
 * reads, empty if it writes. */
static int close_after_the_event(void *arg)
{
    const struct call *call = arg;
    int fd;
    struct fds_pair old = pipe_that_blocks(call, &fd), next = fds_pipe(O_NONBLOCK);
    int next_end = call->writes ? next.out : next.in;
    coir_fiber fiber = run_spawn(call->fn, &fd);
    fds_until_parked(fiber);
    if (call->writes)
        fds_drain(old.in);
    else
        fds_put(old.out, "old");
    fds_until_woken(fiber);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(dup2(next_end, fd), fd);
    close(next_end);
    if (!call->writes)
        fds_put(next.out, "next");
    CHECK_EQ(run_join(fiber), -EBADF);
    if (!call->writes)
        next.in = fd;
    CHECK_EQ(fds_drain(next.in), call->writes ? 0 : strlen("next"));
    fds_check_nothing_left(fd);
    CHECK_EQ(coir_close(fd), 0);
    close(other_end(old, fd));
    close(call->writes ? next.in : next.out);
    return 0;
}

/* proves: D5 */
TEST(test_close_of_a_number_that_is_reused_touches_nothing_of_the_next_file)
{
    for_all_calls(close_after_the_event);
}

/* As before, but the next file of the number has a waiter of its own when the old fiber runs; a
 * waiter that is foreign depends on a registration that the old fiber might take away. */
static int close_then_wait_again(void *arg)
{
    const struct call *call = arg;
    int fd;
    struct fds_pair old = pipe_that_blocks(call, &fd), next = fds_pipe(0);
    coir_fiber fiber = run_spawn(call->fn, &fd);
    fds_until_parked(fiber);
    if (call->writes)
        fds_drain(old.in);
    else
        fds_put(old.out, "old");
    fds_until_woken(fiber);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(dup2(next.in, fd), fd);
    coir_fiber heir = run_spawn(call_wait_in, &fd);
    CHECK_EQ(run_join(fiber), -EBADF);
    fds_until_parked(heir);
    coir_sleep(1);
    CHECK(inside_fiber(heir) && inside_fiber(heir)->wait);
    fds_put(next.out, "x");
    CHECK_EQ(run_join(heir), COIR_IN);
    fds_check_nothing_left(fd);
    CHECK_EQ(coir_close(fd), 0);
    fds_close(next);
    close(other_end(old, fd));
    return 0;
}

/* proves: D5 */
TEST(test_close_leaves_the_waiters_of_the_next_file_alone)
{
    for_all_calls(close_then_wait_again);
}

/* The event that led to the close comes in one batch with, and before, that of the reader. */
static int close_on_event(void *arg)
{
    int *fds = arg;
    CHECK_EQ(coir_wait_fd(fds[0], COIR_IN, COIR_NEVER), COIR_IN);
    CHECK_EQ(coir_close(fds[1]), 0);
    CHECK_EQ(dup2(fds[2], fds[1]), fds[1]);
    return 0;
}

static int one_batch(void *arg)
{
    struct fds_pair first = fds_pipe(0), second = fds_pipe(0), next = fds_pipe(0);
    if (arg) {
        CHECK_EQ(coir_adopt(first.in), 0);
        CHECK_EQ(coir_adopt(second.in), 0);
    }
    int fds[3] = {first.in, second.in, next.in};
    coir_fiber closer = run_spawn(close_on_event, fds), reader = run_spawn(call_read, &second.in);
    coir_yield();
    fds_put(first.out, "x");
    fds_put(second.out, "old");
    fds_put(next.out, "next");
    CHECK_EQ(run_join(closer), 0);
    CHECK_EQ(run_join(reader), -EBADF);
    CHECK_EQ(fds_drain(second.in), strlen("next"));
    fds_check_nothing_left(second.in);
    fds_close(first);
    fds_close(second);
    fds_close(next);
    return 0;
}

/* proves: D5 */
TEST(test_close_by_a_fiber_of_the_same_batch_wins_over_the_event)
{
    int owned = 1;
    run_virtual(one_batch, NULL);
    run_virtual(one_batch, &owned);
}

/* A fiber whose calls need not wait rests in one of them now and then, and the others run. */
struct often {
    const struct call *call;
    int fd;
    bool last;
};

static int call_often(void *arg)
{
    struct often *often = arg;
    int result;
    do
        result = often->call->fn(&often->fd);
    while (result > 0 && !often->last);
    return result;
}

static int close_during_a_rest(void *arg)
{
    const struct call *call = arg;
    struct fds_pair pipe = fds_pipe(0), next = fds_pipe(0);
    struct often often = {call, call->writes ? pipe.out : pipe.in, false};
    if (!call->writes)
        fds_fill(pipe.out);
    if (call->owned)
        CHECK_EQ(coir_adopt(often.fd), 0);
    coir_fiber fiber = run_spawn(call_often, &often);
    coir_yield(); /* until it rests */
    CHECK_EQ(coir_close(often.fd), 0);
    CHECK_EQ(dup2(call->writes ? next.out : next.in, often.fd), often.fd);
    fds_put(next.out, "next");
    often.last = true;
    CHECK_EQ(run_join(fiber), -EBADF);
    CHECK_EQ(fds_drain(next.in), strlen("next"));
    fds_close(pipe);
    fds_close(next);
    return 0;
}

/* proves: D5 */
TEST(test_close_while_a_fiber_rests_in_its_call_keeps_the_call_off_the_next_file)
{
    for_all_calls(close_during_a_rest);
}

/* A world may tell of what is gone: of an old file of the number, or of a number never heard of. */
static struct cr_event stale[2];

static int wait_with_stale(struct cr_world *world, struct cr_event *events, int max,
                           uint64_t until, bool *more)
{
    (void)until;
    (void)more;
    world->ops = real;
    CHECK(max >= 2);
    memcpy(events, stale, sizeof stale);
    return 2;
}

static int ignore_stale(void *arg)
{
    struct fds_pair old = fds_pipe(0), next = fds_pipe(0);
    struct fds_waiter w = {.fd = old.in, .mask = COIR_IN, .until = at_ns(1000)};
    CHECK_EQ(coir_adopt(old.in), 0);
    stale[0] = (struct cr_event){inside_fd(w.fd)->token, COIR_IN};
    stale[1] = (struct cr_event){cr_token_of_fd(0, 4000), COIR_IN | COIR_HUP};
    CHECK_EQ(coir_close(w.fd), 0);
    CHECK_EQ(dup2(next.in, w.fd), w.fd);
    if (arg)
        CHECK_EQ(coir_adopt(w.fd), 0);
    real = inside_replace_ops(&ops);
    ops.wait = wait_with_stale;
    w.fiber = run_spawn(fds_wait, &w);
    CHECK_EQ(run_join(w.fiber), COIR_TIMED_OUT);
    CHECK_EQ(w.ended_at, 1000);
    CHECK_EQ(coir_close(w.fd), 0);
    close(old.out);
    fds_close(next);
    return 0;
}

/* proves: D5, W4 */
TEST(test_close_makes_the_worlds_events_of_the_old_file_mean_nothing)
{
    int owned = 1;
    run_virtual(ignore_stale, NULL);
    run_virtual(ignore_stale, &owned);
}

/* Adopted again under the same number: nothing is known of the next file before it is asked. */
static int adopt_again(void *arg)
{
    (void)arg;
    char text[8];
    for (int i = 0; i < 100; i++) {
        struct fds_pair pipe = fds_pipe(0);
        CHECK_EQ(coir_adopt(pipe.in), 0);
        CHECK_EQ(coir_read(pipe.in, text, sizeof text, coir_after(1)), COIR_TIMED_OUT);
        fds_put(pipe.out, "abc");
        CHECK_EQ(coir_read(pipe.in, text, sizeof text, coir_after(1)), 3);
        close(pipe.out);
        CHECK_EQ(coir_read(pipe.in, text, sizeof text, coir_after(1)), 0);
        CHECK_EQ(coir_close(pipe.in), 0);
    }
    return 0;
}

/* proves: D5 */
TEST(test_close_forgets_what_was_known_of_the_number)
{
    run_virtual(adopt_again, NULL);
}

/* While nobody waits for a foreign descriptor it may be closed without coir. */
static int close_behind_coirs_back(void *arg)
{
    struct fds_pair old = fds_pipe(0), next = fds_pipe(0);
    struct fds_waiter w = {.fd = old.in, .mask = COIR_IN};
    fds_start(&w, 1);
    close(old.out);
    CHECK_EQ(run_join(w.fiber), COIR_IN | COIR_HUP);
    CHECK_EQ(dup2(next.in, old.in), old.in);
    fds_start(&w, 1);
    fds_put(next.out, "x");
    CHECK_EQ(run_join(w.fiber), COIR_IN);
    close(old.in);
    fds_close(next);
    return arg ? 1 : 0;
}

/* proves: D5, D6 */
TEST(test_close_behind_coirs_back_while_nobody_waits_leaves_nothing_of_the_old_file)
{
    run_virtual(close_behind_coirs_back, NULL);
}

static int wake_call(void *arg)
{
    const struct call *call = arg;
    bool raw = call->fn == call_wait_in || call->fn == call_wait_out;
    int fd;
    struct fds_pair pipe = pipe_that_blocks(call, &fd);
    coir_fiber fiber = run_spawn(call->fn, &fd);
    fds_until_parked(fiber);
    CHECK_EQ(coir_wake(fiber), raw ? 1 : -EBUSY);
    if (!raw)
        CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(run_join(fiber), raw ? -EINTR : -EBADF);
    fds_check_nothing_left(fd);
    if (raw)
        CHECK_EQ(coir_close(fd), 0);
    close(other_end(pipe, fd));
    return 0;
}

/* proves: W2 */
TEST(test_close_or_readiness_ends_a_read_or_write_but_not_a_wake)
{
    for_all_calls(wake_call);
}
