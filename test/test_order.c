/* In what order fibers run, and what parks, wakes and yields do to it. Almost everything here runs
 * on the virtual clock, where times are exact. */
#include "run.h"
#include "clock.h"
#include "inside.h"

#include <coir_io.h>

#include <unistd.h>

static int note(void *arg)
{
    run_note(arg);
    return 0;
}

static int note_twice(void *arg)
{
    run_note(arg);
    coir_yield();
    run_note(arg);
    return 0;
}

static int spawn_three(void *arg)
{
    (void)arg;
    run_spawn(note_twice, "a");
    run_spawn(note_twice, "b");
    run_spawn(note, "c");
    run_note("main");
    coir_yield();
    run_note("main");
    return 0;
}

/* proves: O1, O2 */
TEST(test_spawn_goes_to_the_tail_and_ready_fibers_run_in_turn)
{
    run_virtual(spawn_three, NULL);
    CHECK_STR(run_log, "main a b c main a b");
}

static int numbers(void *arg)
{
    (void)arg;
    struct coir_stats stats;
    for (int i = 1; i <= 3; i++) {
        coir_fiber fiber = run_spawn(note, "x");
        CHECK_EQ(cr_fiber_number(inside_fiber(fiber)), (uint64_t)i);
    }
    coir_stats(&stats);
    CHECK_EQ(stats.spawned, 4);
    CHECK_EQ(stats.ready, 3);
    CHECK_EQ(stats.parked, 0);
    CHECK_EQ(stats.ended, 0);
    coir_yield();
    coir_stats(&stats);
    CHECK_EQ(stats.ended, 3);
    CHECK_EQ(stats.ready, 0);
    return cr_fiber_number(cr_sched_self) == 0 ? 0 : 1;
}

/* proves: O1 */
TEST(test_fibers_are_numbered_from_zero_and_counted)
{
    run_virtual(numbers, NULL);
}

static int yields_until_stopped;

static int yield_for_ever(void *arg)
{
    int *stop = arg;
    while (!*stop) {
        coir_yield();
        yields_until_stopped++;
    }
    return 0;
}

static int starve_timer(void *arg)
{
    (void)arg;
    int stop = 0;
    coir_fiber yielders[2] = {run_spawn(yield_for_ever, &stop), run_spawn(yield_for_ever, &stop)};
    CHECK_EQ(coir_sleep(COIR_US(100)), 0);
    stop = 1;
    run_join(yielders[0]);
    return run_join(yielders[1]);
}

/* proves: O3 */
TEST(test_a_timer_fires_while_others_only_yield)
{
    run_monotonic(starve_timer, NULL);
}

static int pipe_ends[2];

static int starve_fd(void *arg)
{
    (void)arg;
    int stop = 0;
    CHECK_EQ(pipe(pipe_ends), 0);
    coir_fiber yielder = run_spawn(yield_for_ever, &stop);
    CHECK_EQ(coir_wait_fd(pipe_ends[0], COIR_IN, coir_after(COIR_US(50))), COIR_TIMED_OUT);
    CHECK_EQ(write(pipe_ends[1], "x", 1), 1);
    yields_until_stopped = 0;
    run_spawn(note, "between");
    CHECK(coir_wait_fd(pipe_ends[0], COIR_IN, COIR_NEVER) > 0);
    stop = 1;
    return run_join(yielder);
}

/* proves: O3 */
TEST(test_a_descriptor_is_served_while_others_only_yield)
{
    run_monotonic(starve_fd, NULL);
}

static int write_later(void *arg)
{
    int *switches = arg;
    CHECK_EQ(write(pipe_ends[1], "x", 1), 1);
    *switches = 0;
    return 0;
}

static int count_switches(void *arg)
{
    int *switches = arg;
    while (*switches >= 0) {
        ++*switches;
        coir_yield();
    }
    return 0;
}

static int bound_of_switches(void *arg)
{
    (void)arg;
    int switches = 0;
    CHECK_EQ(pipe(pipe_ends), 0);
    run_spawn(write_later, &switches);
    coir_fiber counter = run_spawn(count_switches, &switches);
    CHECK_EQ(coir_wait_fd(pipe_ends[0], COIR_IN, COIR_NEVER), COIR_IN);
    CHECK(switches >= 1 && switches <= 257);
    switches = -1;
    return run_join(counter);
}

/* proves: O3 */
TEST(test_a_ready_descriptor_waits_for_256_switches_at_most)
{
    run_virtual(bound_of_switches, NULL);
}

enum { CROWD = 300 };

static int queue_most;

static void note_queue(void)
{
    int length = 0;
    for (struct cr_fiber *fiber = cr_sched_here->ready; fiber; fiber = fiber->next)
        length++;
    queue_most = length > queue_most ? length : queue_most;
}

static int answer(void *arg)
{
    int fd = *(int *)arg;
    char byte;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_read(fd, &byte, 1, COIR_NEVER), 1);
        note_queue();
        CHECK_EQ(coir_write(fd, &byte, 1, COIR_NEVER), 1);
    }
    return 0;
}

/* All have something to read, each time. */
static int serve_a_crowd(void *arg)
{
    static int pairs[CROWD][2];
    static coir_fiber fibers[CROWD];
    char byte;
    for (int i = 0; i < CROWD; i++) {
        CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
        fibers[i] = run_spawn(answer, &pairs[i][0]);
    }
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < CROWD; i++)
            CHECK_EQ(write(pairs[i][1], "x", 1), 1);
        queue_most = 0;
        CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
        CHECK(queue_most > 0 && queue_most <= *(int *)arg);
        for (int i = 0; i < CROWD; i++)
            CHECK_EQ(read(pairs[i][1], &byte, 1), 1);
    }
    for (int i = 0; i < CROWD; i++) {
        CHECK_EQ(run_join(fibers[i]), 0);
        CHECK(coir_close(pairs[i][0]) == 0 && coir_close(pairs[i][1]) == 0);
    }
    return 0;
}

/* proves: O3 */
TEST(test_ready_descriptors_are_taken_in_as_fast_as_they_are_served)
{
    run_virtual(serve_a_crowd, &(int){64});
}

static void serve_in_steps(int budget, int most)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    coir_sched *sched;
    int result;
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    CHECK_EQ(coir_spawn(NULL, serve_a_crowd, &most, NULL), 0);
    while ((result = coir_sched_step(sched, budget)) != COIR_STEP_DONE)
        CHECK(result >= 0);
    coir_sched_free(sched);
}

/* proves: O3 */
TEST(test_steps_take_in_descriptors_as_fast_as_they_serve_them)
{
    serve_in_steps(40, 10);
}

/* proves: O3 */
TEST(test_large_steps_take_in_no_more_descriptors_at_a_time_than_a_run)
{
    serve_in_steps(1000, 64);
}

static int read_for_ever(void *arg)
{
    int *stop = arg;
    char byte;
    while (!*stop)
        CHECK_EQ(coir_read(pipe_ends[0], &byte, 1, COIR_NEVER), 1);
    return 0;
}

static int greedy_reader(void *arg)
{
    (void)arg;
    static char zeros[65536], rest[65536];
    int stop = 0;
    CHECK_EQ(pipe(pipe_ends), 0);
    CHECK_EQ(coir_adopt(pipe_ends[0]), 0);
    CHECK_EQ(write(pipe_ends[1], zeros, sizeof zeros), sizeof zeros);
    coir_fiber reader = run_spawn(read_for_ever, &stop);
    CHECK_EQ(coir_sleep(COIR_US(10)), 0);
    stop = 1;
    CHECK_EQ(run_join(reader), 0);
    return read(pipe_ends[0], rest, sizeof rest) > 0 ? 0 : 1;
}

/* proves: O3 */
TEST(test_reads_that_never_park_let_timers_fire)
{
    run_monotonic(greedy_reader, NULL);
}

struct sleeper {
    const char *name;
    uint64_t until;
};

static int park_until(void *arg)
{
    struct sleeper *sleeper = arg;
    CHECK_EQ(coir_park(at_ns(sleeper->until)), COIR_TIMED_OUT);
    run_note(sleeper->name);
    return 0;
}

static int wait_for_pipe(void *arg)
{
    CHECK_EQ(coir_wait_fd(pipe_ends[0], COIR_IN, COIR_NEVER), COIR_IN);
    run_note(arg);
    return 0;
}

static int timers_then_fds(void *arg)
{
    (void)arg;
    CHECK_EQ(pipe(pipe_ends), 0);
    uint64_t now = now_ns();
    struct sleeper sleepers[] = {
        {"t3", now + 3}, {"t1", now + 1}, {"t2", now + 2}, {"u2", now + 2}, {"v2", now + 2}};
    run_spawn(wait_for_pipe, "fd");
    for (int i = 0; i < 5; i++)
        run_spawn(park_until, &sleepers[i]);
    coir_yield();
    CHECK_EQ(write(pipe_ends[1], "x", 1), 1);
    uint64_t deadline = now_ns() + 1000000;
    while (inside_world()->is_virtual ? false : now_ns() < deadline)
        continue;
    return coir_sleep(10) == 0 ? 0 : 1;
}

/* proves: O4, O6 */
TEST(test_due_timers_run_by_deadline_and_arming_then_descriptors)
{
    run_monotonic(timers_then_fds, NULL);
    CHECK_STR(run_log, "t1 t2 u2 v2 t3 fd");
}

/* proves: O4, O6, T1 */
TEST(test_on_a_virtual_clock_a_ready_descriptor_comes_before_later_timers)
{
    run_virtual(timers_then_fds, NULL);
    CHECK_STR(run_log, "fd t1 t2 u2 v2 t3");
}

static int sleep_zero(void *arg)
{
    CHECK_EQ(coir_sleep(0), 0);
    run_note(arg);
    return 0;
}

static int zero_goes_behind(void *arg)
{
    (void)arg;
    run_spawn(sleep_zero, "slept");
    run_spawn(note_twice, "a");
    run_spawn(note, "b");
    coir_yield();
    run_note("main");
    coir_yield();
    return now_ns() == 0 ? 0 : 1;
}

/* proves: O5 */
TEST(test_sleep_zero_goes_behind_all_that_is_ready)
{
    run_virtual(zero_goes_behind, NULL);
    CHECK_STR(run_log, "a b main a slept");
}

static struct cr_fiber **pick_last(struct coir_sched *sched)
{
    struct cr_fiber **link = &sched->ready;
    while ((*link)->next)
        link = &(*link)->next;
    return link;
}

static int backwards(void *arg)
{
    (void)arg;
    cr_sched_here->pick = pick_last;
    cr_sched_here->budget = 0;
    run_spawn(note, "a");
    run_spawn(note, "b");
    run_spawn(note, "c");
    return coir_sleep(1);
}

/* proves: O7 */
TEST(test_the_pick_hook_chooses_who_runs_next)
{
    run_virtual(backwards, NULL);
    CHECK_STR(run_log, "c b a");
}
