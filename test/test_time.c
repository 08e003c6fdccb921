/* Both clocks: deadlines, sleeps, and what moves a virtual clock. */
#include "run.h"
#include "clock.h"
#include "inside.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

static int fresh_clock(void *arg)
{
    (void)arg;
    CHECK_EQ(now_ns(), 0);
    for (int i = 0; i < 1000; i++)
        coir_yield();
    CHECK_EQ(now_ns(), 0);
    CHECK_EQ(coir_sleep(COIR_SEC(3600) * 24 * 365), 0);
    return now_ns() == 31536000ull * 1000000000 ? 0 : 1;
}

/* proves: T1 */
TEST(test_a_virtual_clock_starts_at_zero_and_jumps_to_the_deadline)
{
    run_virtual(fresh_clock, NULL);
}

static int ends[2];

static int write_to_pipe(void *arg)
{
    (void)arg;
    CHECK_EQ(write(ends[1], "x", 1), 1);
    return 0;
}

static int fd_before_time(void *arg)
{
    (void)arg;
    CHECK_EQ(pipe(ends), 0);
    run_spawn(write_to_pipe, NULL);
    CHECK_EQ(coir_wait_fd(ends[0], COIR_IN, coir_after(5)), COIR_IN);
    CHECK_EQ(now_ns(), 0);
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(coir_wait_fd(ends[0], COIR_IN, coir_after(5)), COIR_TIMED_OUT);
    return now_ns() == 5 ? 0 : 1;
}

/* proves: T1 */
TEST(test_a_virtual_clock_waits_for_a_ready_descriptor)
{
    run_virtual(fd_before_time, NULL);
}

static uint64_t yields_count;

static int yield_for_ever(void *arg)
{
    (void)arg;
    while (coir_yield() == 0)
        yields_count++;
    return 0;
}

static int sleep_zero_for_ever(void *arg)
{
    (void)arg;
    while (coir_sleep(0) == 0)
        continue;
    return 0;
}

static int sleep_a_while(void *arg)
{
    (void)arg;
    run_spawn_named(yield_for_ever, NULL, "spinner");
    return coir_sleep(COIR_MS(1));
}

static int sleep_beside_zero_sleeper(void *arg)
{
    (void)arg;
    run_spawn(sleep_zero_for_ever, NULL);
    return coir_sleep(COIR_MS(1));
}

/* proves: T2, E1 */
TEST(test_a_run_after_a_livelock_counts_anew)
{
    coir_sched *sched;
    struct coir_sched_opts opts = {
        .clock = COIR_CLOCK_VIRTUAL, .report = run_report_line, .livelock_limit = 10000};
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    run_spawn(sleep_a_while, NULL);
    for (int i = 0; i < 2; i++) {
        uint64_t yields = yields_count;
        CHECK_EQ(coir_sched_run(sched), -ELOOP);
        CHECK(yields_count - yields > 9000);
    }
    coir_sched_free(sched);
}

static void expect_livelock(int (*fn)(void *))
{
    struct coir_sched_opts opts = {
        .clock = COIR_CLOCK_VIRTUAL, .report = run_report_line, .livelock_limit = 10000};
    CHECK_EQ(coir_run(fn, NULL, &opts, NULL), -ELOOP);
    CHECK(strstr(run_report, "coir: livelock: 10000 switches"));
    CHECK(strstr(run_report, "fiber 0 waits for its sleep to end"));
}

/* proves: T2, F3 */
TEST(test_yielding_while_a_timer_waits_is_a_livelock)
{
    expect_livelock(sleep_a_while);
    CHECK(strstr(run_report, "fiber 1 'spinner' is ready"));
}

/* proves: T2 */
TEST(test_sleeping_for_nothing_while_a_timer_waits_is_a_livelock)
{
    expect_livelock(sleep_beside_zero_sleeper);
}

static coir_fiber ring[3];

static int pass_on(void *arg)
{
    while (coir_park(COIR_NEVER) == 0)
        coir_wake(ring[(int)(intptr_t)arg]);
    return 0;
}

/* Three in a ring, so that no budget of switches ends at the same place twice. */
static int busy_but_alive(void *arg)
{
    ring[0] = coir_self();
    for (int i = 1; i < 3; i++)
        ring[i] = run_spawn(pass_on, (void *)(intptr_t)((i + 1) % 3));
    coir_yield();
    for (int i = 0; i < 20000; i++) {
        coir_wake(ring[1]);
        CHECK_EQ(coir_park(coir_after(COIR_SEC(1))), 0);
    }
    (void)arg;
    return now_ns() == 0 ? 0 : 1;
}

static int end_at_once(void *arg)
{
    (void)arg;
    return coir_sleep(0);
}

static int read_zeros(void *arg)
{
    int zeros = *(int *)arg;
    char byte;
    for (int i = 0; i < 5000; i++)
        CHECK_EQ(coir_read(zeros, &byte, 1, COIR_NEVER), 1);
    return 0;
}

static int busy_otherwise(void *arg)
{
    int zeros = open("/dev/zero", O_RDONLY);
    CHECK(zeros >= 0);
    coir_fiber reader = run_spawn(read_zeros, &zeros);
    for (int i = 0; i < 3000; i++)
        run_spawn(end_at_once, NULL);
    CHECK_EQ(coir_sleep(1), 0);
    coir_close(zeros);
    (void)arg;
    return run_join(reader);
}

/* proves: T2 */
TEST(test_regress_reads_and_ends_are_no_livelock)
{
    struct coir_sched_opts opts = {
        .clock = COIR_CLOCK_VIRTUAL, .report = run_report_line, .livelock_limit = 1000};
    int result = -1;
    CHECK_EQ(coir_run(busy_otherwise, NULL, &opts, &result), 0);
    CHECK_EQ(result, 0);
}

/* proves: T2 */
TEST(test_wakes_under_a_deadline_are_no_livelock)
{
    struct coir_sched_opts opts = {
        .clock = COIR_CLOCK_VIRTUAL, .report = run_report_line, .livelock_limit = 1000};
    int result = -1;
    CHECK_EQ(coir_run(busy_but_alive, NULL, &opts, &result), -EDEADLK);
    CHECK(!strstr(run_report, "livelock"));
    CHECK(strstr(run_report, "deadlock"));
}

static int punctual(void *arg)
{
    (void)arg;
    uint64_t least_late = UINT64_MAX;
    for (int i = 0; i < TEST_TRIES_SHORT && (i < 50 || least_late >= 1000000); i++) {
        coir_time until = coir_after(COIR_US(200));
        CHECK_EQ(coir_park(until), COIR_TIMED_OUT);
        uint64_t now = coir_now().ns;
        CHECK(now >= until.ns);
        if (now - until.ns < least_late)
            least_late = now - until.ns;
    }
    CHECK(least_late < 1000000);
    return 0;
}

/* proves: T3 */
TEST(test_a_wait_is_never_early_and_not_a_millisecond_late)
{
    run_monotonic(punctual, NULL);
}

static int punctual_with_descriptors(void *arg)
{
    CHECK_EQ(pipe(ends), 0);
    for (int i = 0; i < 20; i++) {
        coir_time until = coir_after(COIR_US(300));
        CHECK_EQ(coir_wait_fd(ends[0], COIR_IN, until), COIR_TIMED_OUT);
        CHECK(coir_left(until) == 0);
    }
    return punctual(arg);
}

/* proves: T3 */
TEST(test_a_wait_for_a_descriptor_ends_by_nanoseconds)
{
    run_monotonic(punctual_with_descriptors, NULL);
}

static int tries_once(void *arg)
{
    (void)arg;
    uint64_t parks = cr_sched_here->timers.order;
    CHECK_EQ(coir_park(COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(coir_wait_fd(ends[0], COIR_IN, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(cr_sched_here->timers.order, parks);
    return 0;
}

/* proves: T4 */
TEST(test_a_deadline_of_zero_tries_once)
{
    run_virtual(tries_once, NULL);
}

static int let_run(void *arg)
{
    run_note(arg);
    return 0;
}

static int passed_deadline(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_sleep(100), 0);
    run_spawn(let_run, "other");
    CHECK_EQ(coir_park(at_ns(50)), COIR_TIMED_OUT);
    run_note("main");
    return now_ns() == 100 ? 0 : 1;
}

/* proves: T4 */
TEST(test_a_deadline_that_has_passed_lets_others_run_and_never_turns_the_clock_back)
{
    run_virtual(passed_deadline, NULL);
    CHECK_STR(run_log, "other main");
}

static uint64_t almost_never(struct cr_world *world)
{
    (void)world;
    return CR_NEVER - 3;
}

static int bad_lengths(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_sleep(-1), -EINVAL);
    CHECK_EQ(coir_sleep(INT64_MIN), -EINVAL);
    CHECK_EQ(coir_sleep(10), 0);
    CHECK_EQ(coir_after(-5).ns, coir_now().ns);
    CHECK_EQ(coir_after(INT64_MAX - 1).ns, (uint64_t)INT64_MAX - 1 + coir_now().ns);
    CHECK_EQ(coir_after(INT64_MAX).ns, COIR_NEVER.ns);
    CHECK_EQ(coir_after(coir_left(COIR_NEVER)).ns, COIR_NEVER.ns);
    static struct cr_world_ops ops;
    inside_replace_ops(&ops);
    ops.now = almost_never;
    CHECK(coir_after(2).ns == CR_NEVER - 1);
    CHECK(coir_after(3).ns == COIR_NEVER.ns);
    CHECK(coir_after(1000).ns == COIR_NEVER.ns);
    return 0;
}

/* proves: T5 */
TEST(test_regress_a_negative_sleep_is_refused_and_deadlines_saturate)
{
    run_virtual(bad_lengths, NULL);
}

static volatile sig_atomic_t alarms;

static void count_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static int sleep_through_signals(void *arg)
{
    (void)arg;
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    signal(SIGALRM, count_alarm);
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
    uint64_t least_late = UINT64_MAX;
    for (int i = 0; i < TEST_TRIES && (alarms <= 3 || least_late >= (uint64_t)COIR_MS(500)); i++) {
        coir_time until = coir_after(COIR_MS(20));
        CHECK_EQ(coir_park(until), COIR_TIMED_OUT);
        uint64_t late = coir_now().ns - until.ns;
        CHECK(late < INT64_MAX);
        least_late = late < least_late ? late : least_late;
    }
    CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
    CHECK(least_late < (uint64_t)COIR_MS(500));
    return alarms > 3 ? 0 : 1;
}

/* proves: T6 */
TEST(test_signals_neither_end_nor_prolong_a_wait)
{
    run_monotonic(sleep_through_signals, NULL);
}

static const struct cr_world_ops *real;
static struct cr_world_ops ops;
static int waits;

static int counted_wait(struct cr_world *world, struct cr_event *events, int max, uint64_t until,
                        bool *more)
{
    waits++;
    return real->wait(world, events, max, until, more);
}

static int idle(void *arg)
{
    (void)arg;
    real = inside_replace_ops(&ops);
    ops.wait = counted_wait;
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(coir_wait_fd(ends[0], COIR_IN, coir_after(COIR_MS(30))), COIR_TIMED_OUT);
    return waits == 1 ? 0 : 1;
}

/* proves: T7 */
TEST(test_an_idle_loop_sits_in_one_call)
{
    run_monotonic(idle, NULL);
}

static uint64_t order_seed = 1;

static uint64_t order_random(void)
{
    order_seed = order_seed * 6364136223846793005u + 1442695040888963407u;
    return order_seed >> 33;
}

struct waiter {
    uint64_t until, armed;
};

static uint64_t last_deadline, last_armed, armed_count;

/* Waits a few times, now and then woken early; whenever a deadline ends a wait, it must come after
 * all earlier deadlines, and after equal ones that were armed before. */
static int wait_at_random(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        struct waiter waiter = {now_ns() + 1 + order_random() % 40, ++armed_count};
        if (coir_park(at_ns(waiter.until)) != COIR_TIMED_OUT)
            continue;
        CHECK_EQ(now_ns(), waiter.until);
        CHECK(waiter.until > last_deadline ||
              (waiter.until == last_deadline && waiter.armed > last_armed));
        last_deadline = waiter.until;
        last_armed = waiter.armed;
    }
    return 0;
}

static int many_timers(void *arg)
{
    (void)arg;
    enum { CROWD = 300 };
    coir_fiber crowd[CROWD];
    for (int i = 0; i < CROWD; i++)
        crowd[i] = run_spawn(wait_at_random, NULL);
    for (int i = 0; i < 2000; i++) {
        coir_wake(crowd[order_random() % CROWD]);
        if (i % 8 == 0)
            coir_yield();
    }
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(run_join(crowd[i]), 0);
    CHECK_EQ(cr_timer_first(&cr_sched_here->timers) != NULL, 0);
    return 0;
}

/* proves: O4, W4, W5 */
TEST(test_random_deadlines_and_wakes_fire_in_order)
{
    for (order_seed = 1; order_seed < 4; order_seed++) {
        uint64_t seed = order_seed;
        last_deadline = last_armed = 0;
        run_virtual(many_timers, NULL);
        order_seed = seed;
    }
}
