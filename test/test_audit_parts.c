/* How far an audit goes and how often one comes: parts, with fibers that run in between, and rests
 * that are longer after an audit that took long. */
#define TEST_AT_ONCE 16
#include "fds.h"
#include "clock.h"

#include <coir_io.h>

#include <errno.h>
#include <pthread.h>

static bool knows_registrations(void)
{
    return strcmp(test_world_name(), "poll") != 0;
}

static struct fds_waiter waiter;
static struct fds_pair pair;

/* More waits than one part of an audit asks about, which is 512. */
enum { PAIRS = 350, CLOSED = 30 };

/* How far apart the waits end for what was closed. */
static uint64_t wait_in_two_parts(int first)
{
    static struct fds_waiter waiters[2 * PAIRS];
    const int last = first + CLOSED;
    for (int i = 0; i < PAIRS; i++) {
        pair = fds_unix(SOCK_STREAM);
        waiters[2 * i] = (struct fds_waiter){.fd = pair.in, .mask = COIR_IN};
        waiters[2 * i + 1] = (struct fds_waiter){.fd = pair.out, .mask = COIR_IN};
    }
    fds_start(waiters, 2 * PAIRS);
    int kept[CLOSED]; /* the files stay open, so no other end is reported */
    for (int i = first; i < last; i++)
        kept[i - first] = dup(waiters[i].fd);
    for (int i = first; i < last; i++)
        close(waiters[i].fd);
    uint64_t end = 0;
    for (int i = first; i < last; i++) {
        CHECK_EQ(run_join(waiters[i].fiber), -EBADF);
        end = waiters[i].ended_at > end ? waiters[i].ended_at : end;
        close(kept[i - first]);
    }
    for (int i = 0; i < 2 * PAIRS; i++) {
        if (i >= first && i < last)
            continue;
        CHECK(coir_wake(waiters[i].fiber) == 1 && run_join(waiters[i].fiber) == -EINTR);
        CHECK_EQ(coir_close(waiters[i].fd), 0);
    }
    return end - waiters[first].ended_at;
}

static int wait_in_one_audit(void *arg)
{
    uint64_t apart = UINT64_MAX;
    for (int i = 0; i < TEST_TRIES && apart >= (uint64_t)COIR_MS(700); i++)
        apart = wait_in_two_parts(*(int *)arg);
    CHECK(apart < (uint64_t)COIR_MS(700));
    return 0;
}

/* proves: D18 */
TEST(test_audit_asks_about_all_around_the_end_of_a_part)
{
    static int around = 500;
    run_monotonic(wait_in_one_audit, &around);
}

/* proves: D18 */
TEST(test_audit_goes_on_by_itself_to_the_next_part)
{
    static int behind = 2 * PAIRS - CLOSED;
    run_monotonic(wait_in_one_audit, &behind);
}

static void *write_soon(void *arg)
{
    usleep(20000);
    fds_put(pair.out, "x");
    return arg;
}

static int wait_on_virtual_clock(void *arg)
{
    pthread_t thread;
    pair = fds_pipe(O_NONBLOCK);
    CHECK_EQ(pthread_create(&thread, NULL, write_soon, NULL), 0);
    CHECK_EQ(coir_wait_fd(pair.in, COIR_IN, COIR_NEVER), COIR_IN);
    pthread_join(thread, NULL);
    CHECK_EQ(now_ns(), 0);
    return arg ? 1 : 0;
}

/* proves: T1, D19 */
TEST(test_audit_moves_no_virtual_clock)
{
    run_virtual(wait_on_virtual_clock, NULL);
}

static int asked;

static bool slow_lost(struct cr_world *world, int fd, uint64_t token)
{
    (void)world, (void)fd, (void)token;
    asked++;
    usleep(50000);
    return false;
}

static int tick_beside_slow_audits(void *arg)
{
    (void)arg;
    pair = fds_pipe(O_NONBLOCK);
    waiter = (struct fds_waiter){.fd = pair.in, .mask = COIR_IN};
    fds_start(&waiter, 1);
    static struct cr_world_ops ops;
    inside_replace_ops(&ops);
    ops.lost = slow_lost;
    for (coir_time until = coir_after(COIR_MS(2500)); coir_left(until) > 0;)
        CHECK_EQ(coir_sleep(COIR_MS(20)), 0);
    CHECK_EQ(asked, 1);
    CHECK_EQ(coir_close(pair.in), 0);
    return run_join(waiter.fiber) == -EBADF ? 0 : 1;
}

/* proves: D19 */
TEST(test_audits_that_take_long_come_seldom)
{
    run_monotonic(tick_beside_slow_audits, NULL);
}

/* The clock of the next test, in which to ask about one descriptor takes 20 ms. */
static uint64_t told_time = 1;

static uint64_t told_now(struct cr_world *world)
{
    (void)world;
    return told_time;
}

static bool lost_in_20_ms(struct cr_world *world, int fd, uint64_t token)
{
    (void)world, (void)fd, (void)token;
    told_time += COIR_MS(20);
    return false;
}

static int audit_again_and_again(void *arg)
{
    static struct cr_world_ops ops;
    struct cr_identity *audit = &inside_io()->identity;
    (void)arg;
    pair = fds_pipe(O_NONBLOCK);
    waiter = (struct fds_waiter){.fd = pair.in, .mask = COIR_IN};
    fds_start(&waiter, 1);
    const struct cr_world_ops *real = inside_replace_ops(&ops);
    ops.now = told_now;
    ops.lost = lost_in_20_ms;
    *audit = (struct cr_identity){0};
    for (int i = 0; i < 4; i++) {
        audit->needed = true;
        uint64_t due = cr_identity_turn(inside_io());
        CHECK_EQ(due - told_time, i == 0 ? COIR_SEC(1) : COIR_SEC(2));
        told_time = due - 1;
        CHECK_EQ(cr_identity_turn(inside_io()), due);
        told_time = due;
        CHECK_EQ(cr_identity_turn(inside_io()), UINT64_MAX);
        CHECK_EQ(told_time, due + COIR_MS(20));
    }
    inside_restore_ops(real);
    CHECK_EQ(coir_close(pair.in), 0);
    return run_join(waiter.fiber) == -EBADF ? 0 : 1;
}

/* proves: D19 */
TEST(test_audits_rest_for_a_hundred_times_what_the_last_one_took)
{
    run_monotonic(audit_again_and_again, NULL);
}

static int wait_for_it(void *arg)
{
    return coir_wait_fd(*(int *)arg, COIR_IN, COIR_NEVER);
}

/* Closes a number that the audit under way has passed, and which nobody asks about again soon. */
static int close_behind(void *arg)
{
    const struct cr_identity *audit = &inside_io()->identity;
    while (!audit->sweeping || audit->next <= *(size_t *)arg)
        coir_yield();
    return close((int)*(size_t *)arg);
}

static int closed_between_parts(void *arg)
{
    struct fds_pair low = fds_pipe(0), other = fds_pipe(0);
    int high = dup2(other.in, 19000), result = 0;
    size_t number = (size_t)low.in;
    (void)arg;
    if (high < 0)
        SKIP("the system gives out no such numbers");
    coir_fiber first = run_spawn(wait_for_it, &low.in), last = run_spawn(wait_for_it, &high);
    fds_until_parked(first);
    fds_until_parked(last);
    coir_fiber closer = run_spawn(close_behind, &number);
    CHECK_EQ(coir_join(first, &result, COIR_NEVER), 0);
    CHECK_EQ(result, -EBADF);
    CHECK_EQ(run_join(closer), 0);
    CHECK_EQ(coir_cancel(last, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(last), COIR_CANCELLED);
    CHECK(close(high) == 0 && close(low.out) == 0);
    fds_close(other);
    return 0;
}

/* proves: D18 */
TEST(test_regress_what_was_closed_between_two_parts_of_an_audit_is_never_asked_about)
{
    if (!knows_registrations())
        SKIP("poll knows no files, only numbers");
    run_monotonic(closed_between_parts, NULL);
}
