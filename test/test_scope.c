/* Scopes: children, the first failure, deadlines, nesting, and misuse. */
#include "scopes.h"

static int grandchild(void *arg)
{
    spawn_alone(sleep_ms, arg);
    return 0;
}

static int close_waits(void *arg)
{
    (void)arg;
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_alone(sleep_ms, &ms[MS_10]);
    coir_fiber handle = run_spawn(sleep_ms, &ms[MS_20]);
    spawn_alone(grandchild, &ms[MS_30]);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK_EQ(now_ms(), 30);
    CHECK_EQ(coir_join(handle, NULL, COIR_NEVER), -ESRCH); /* its result went with the scope */
    coir_scope_open(&scope, COIR_NEVER, 0);
    return coir_scope_end(&scope, 0);
}

/* proves: C4 */
TEST(test_a_scope_is_closed_when_all_that_was_spawned_in_it_has_ended)
{
    run_virtual(close_waits, NULL);
    CHECK_STR(run_log, "slept slept slept");
}

static int spawn_into(void *arg)
{
    coir_scope inner;
    coir_scope_open(&inner, COIR_NEVER, 0);
    struct coir_spawn_opts opts = {.scope = arg};
    CHECK_EQ(coir_spawn(NULL, sleep_ms, &ms[MS_30], &opts), 0);
    CHECK_EQ(coir_scope_end(&inner, 0), 0);
    CHECK_EQ(now_ms(), 0);
    return 0;
}

static int named_scope(void *arg)
{
    (void)arg;
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_alone(spawn_into, &scope);
    spawn_alone(own_scope, &ms[MS_10]);
    struct coir_spawn_opts detached = {.detached = true};
    CHECK_EQ(coir_spawn(NULL, sleep_ms, &ms[MS_100], &detached), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK_EQ(now_ms(), 30);
    return 0;
}

/* proves: C4 */
TEST(test_a_child_belongs_to_the_innermost_scope_or_the_one_that_is_named)
{
    run_virtual(named_scope, NULL);
    CHECK_STR(run_log, "slept slept slept");
}

static int yield_once(void *arg)
{
    (void)arg;
    return coir_yield();
}

static int spawn_late(void *arg)
{
    CHECK_EQ(coir_yield(), 0);
    struct coir_spawn_opts opts = {.scope = arg};
    CHECK_EQ(coir_spawn(NULL, sleep_ms, &ms[MS_10], &opts), 0);
    return 0;
}

/* The last child ends, then another fiber spawns into the scope, then its owner goes on. */
static int spawned_into_late(void *arg)
{
    (void)arg;
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    struct coir_spawn_opts detached = {.detached = true};
    spawn_alone(yield_once, NULL);
    CHECK_EQ(coir_spawn(NULL, spawn_late, &scope, &detached), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK_EQ(now_ms(), 10);
    return 0;
}

/* proves: C4 */
TEST(test_regress_a_scope_spawned_into_after_its_last_child_is_not_closed)
{
    run_virtual(spawned_into_late, NULL);
    CHECK_STR(run_log, "slept");
}

static int first_failure(void *arg)
{
    (void)arg;
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_alone(sleep_ms, &ms[MS_100]);
    spawn_alone(fail_after, &ms[MS_2]);
    spawn_alone(own_scope, &ms[MS_100]);
    CHECK_EQ(coir_sleep(COIR_MS(50)), COIR_CANCELLED);
    CHECK_EQ(now_ms(), 2);
    CHECK_EQ(coir_scope_end(&scope, 0), -EPROTO - 2);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(now_ms(), 3);
    return 0;
}

/* proves: C5, C6 */
TEST(test_the_first_child_to_fail_stops_its_scope)
{
    run_virtual(first_failure, NULL);
    CHECK_STR(run_log, "COIR_CANCELLED COIR_CANCELLED");
}

/* Each way of taking a result makes a failure the taker's, not the scope's. */
static int take_the_failure(void *arg)
{
    coir_scope scope;
    int way = *(int *)arg, result = 0;
    coir_scope_open(&scope, COIR_NEVER, 0);
    coir_fiber fiber = run_spawn(fail_after, &ms[MS_2]);
    if (way == 1)
        CHECK_EQ(coir_join(fiber, &result, COIR_NEVER), 0);
    else if (way == 2)
        CHECK_EQ(coir_join_any(&fiber, 1, &result, COIR_NEVER), 0);
    else
        CHECK_EQ(coir_join_all(&fiber, 1, &result, COIR_NEVER), 0);
    CHECK_EQ(result, -EPROTO - 2);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_join(fiber, NULL, COIR_TRY), -ESRCH);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    return 0;
}

/* proves: C5 */
TEST(test_a_failure_whose_result_is_taken_is_not_the_scopes)
{
    for (int i = MS_1; i <= MS_3; i++)
        run_virtual(take_the_failure, &ms[i]);
}

/* Somebody else waits for the failure that cancels the scope they are all in. */
static int wait_for_it(void *arg)
{
    int result = 0;
    CHECK_EQ(coir_join(*(coir_fiber *)arg, &result, COIR_NEVER), 0);
    CHECK_EQ(result, -EPROTO - 2);
    return 0;
}

static coir_fiber alone;

static int fail_alone(void *arg)
{
    alone = coir_self();
    return fail_after(arg);
}

static int join_what_nobody_holds(void *arg)
{
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_alone(fail_alone, &ms[MS_2]);
    coir_yield();
    spawn_alone(wait_for_it, &alone);
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    return 0;
}

/* proves: C3, C5 */
TEST(test_a_failure_without_handle_is_that_of_whoever_waits_for_it)
{
    run_virtual(join_what_nobody_holds, NULL);
}

/* A result that nobody has taken when the code has ended, and one that comes after that. */
static int leave_the_failure(void *arg)
{
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    run_spawn(fail_after, &ms[MS_2]);
    spawn_alone(sleep_ms, &ms[MS_10]);
    if (arg)
        CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), -EPROTO - 2);
    CHECK_EQ(now_ms(), arg ? 5 : 2);
    return 0;
}

/* proves: C5, E3 */
TEST(test_a_failure_that_nobody_takes_is_the_scopes_at_its_end)
{
    run_virtual(leave_the_failure, NULL);
    run_virtual(leave_the_failure, &ms[0]);
}

static int two_failures(void *arg)
{
    (void)arg;
    coir_scope scope;
    int minus[] = {-EIO, -EPERM, COIR_CANCELLED, 5};
    coir_scope_open(&scope, COIR_NEVER, 0);
    for (int i = 0; i < 4; i++)
        spawn_alone(number, &minus[i]);
    CHECK_EQ(coir_scope_end(&scope, 0), -EIO);

    /* Nobody cancelled it, so it has failed. */
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_alone(number, &minus[2]);
    spawn_alone(sleep_ms, &ms[MS_10]);
    CHECK_EQ(coir_scope_end(&scope, 0), COIR_CANCELLED);
    CHECK_EQ(now_ms(), 0);

    /* It was cancelled, and its siblings go on. */
    coir_scope_open(&scope, COIR_NEVER, 0);
    coir_fiber told = run_spawn(sleep_ms, &ms[MS_10]);
    spawn_alone(sleep_ms, &ms[MS_20]);
    CHECK_EQ(coir_cancel(told, COIR_CANCELLED), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK_EQ(now_ms(), 20);

    /* It was cancelled, but fails in its own way. */
    coir_scope_open(&scope, COIR_NEVER, 0);
    told = run_spawn(number, &minus[0]);
    CHECK_EQ(coir_cancel(told, COIR_CANCELLED), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), -EIO);
    return 0;
}

/* proves: C5 */
TEST(test_a_child_that_was_told_to_stop_and_says_so_has_not_failed)
{
    run_virtual(two_failures, NULL);
    CHECK_STR(run_log, "COIR_CANCELLED COIR_CANCELLED slept");
}

static int deadlines(void *arg)
{
    (void)arg;
    coir_scope outer, inner;
    open_for(&outer, COIR_MS(20));
    spawn_alone(sleep_ms, &ms[MS_100]);

    open_for(&inner, COIR_MS(10));
    CHECK_EQ(coir_sleep(COIR_MS(100)), COIR_CANCELLED);
    CHECK_EQ(coir_park(coir_after(1)), COIR_CANCELLED);
    CHECK_EQ(now_ms(), 10);
    CHECK_EQ(coir_scope_end(&inner, COIR_CANCELLED), COIR_TIMED_OUT);

    open_for(&inner, COIR_MS(5)); /* ends before its deadline */
    CHECK_EQ(coir_sleep(COIR_MS(4)), 0);
    CHECK_EQ(coir_scope_end(&inner, 0), 0);
    CHECK_EQ(coir_sleep(COIR_MS(4)), 0);

    open_for(&inner, COIR_MS(500));
    CHECK_EQ(coir_sleep(COIR_MS(100)), COIR_CANCELLED);
    CHECK_EQ(now_ms(), 20);
    CHECK_EQ(coir_scope_end(&inner, COIR_CANCELLED), COIR_CANCELLED);
    CHECK_EQ(coir_scope_end(&outer, 0), COIR_TIMED_OUT);
    CHECK_EQ(now_ms(), 20);
    return coir_sleep(COIR_MS(1000));
}

/* proves: C5, C7 */
TEST(test_a_deadline_stops_what_is_inside_and_ends_with_its_scope)
{
    run_virtual(deadlines, NULL);
    CHECK_STR(run_log, "COIR_CANCELLED");
}

/* The scope's deadline was armed first, then the call's. */
static int same_instant(void *arg)
{
    (void)arg;
    coir_scope scope;
    coir_time until = coir_after(COIR_MS(10));
    coir_scope_open(&scope, until, 0);
    CHECK_EQ(coir_scope_end(&scope, coir_park(until)), COIR_TIMED_OUT);
    coir_fiber sleeper = run_spawn(sleep_ms, &ms[MS_10]);
    coir_yield();
    open_for(&scope, COIR_MS(10));
    spawn_alone(sleep_ms, &ms[MS_10]);
    CHECK_EQ(coir_scope_end(&scope, 0), COIR_TIMED_OUT);
    CHECK_EQ(run_join(sleeper), 0);
    return 0;
}

/* proves: C1, C3 */
TEST(test_of_two_deadlines_at_one_instant_the_one_armed_first_wins)
{
    run_virtual(same_instant, NULL);
    CHECK_STR(run_log, "slept COIR_CANCELLED");
}

/* A chain of fibers, each with a scope in which the next one lives; as deep as there are stacks,
 * which without guard markers is some 30 000. */
enum { DEPTH = 100000, DEPTH_LEAST = 5000 };

static int nest(void *arg)
{
    int *left = arg;
    coir_scope scope;
    if (--*left == 0)
        return coir_sleep(COIR_MS(1000));
    coir_scope_open(&scope, COIR_NEVER, 0);
    struct coir_spawn_opts opts = {.stack_size = 16 * 1024};
    int spawned = coir_spawn(NULL, nest, left, &opts);
    CHECK(spawned == 0 || spawned == -ENOMEM);
    CHECK_EQ(coir_scope_end(&scope, coir_sleep(COIR_MS(1000))), COIR_CANCELLED);
    return COIR_CANCELLED;
}

static int cancel_deep(void *arg)
{
    int depth = *(int *)arg, left = depth;
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_alone(nest, &left);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK(left == 0 || depth - left > DEPTH_LEAST);
    CHECK_EQ(coir_scope_cancel(&scope, COIR_CANCELLED), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), COIR_CANCELLED);
    CHECK_EQ(now_ms(), 1);
    return 0;
}

/* The fiber that cancels has a stack of 64 KiB with a guard. proves: C6 */
TEST(test_a_deep_tree_is_cancelled_from_its_root)
{
    int depth = getenv("COIR_TEST_SLOW") ? DEPTH / 10 : DEPTH;
    run_virtual(cancel_deep, &depth);
}

static int end_with_a_scope_open(void *arg)
{
    (void)arg;
    static coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    return 0;
}

/* proves: C10 */
TEST_DIES(test_ending_with_a_scope_open_stops, SIGABRT, "the fiber ended with a scope open")
{
    coir_run(end_with_a_scope_open, NULL, NULL, NULL);
}

/* What the line says is where a fiber's function begins, also the first one's. */
static void check_the_line(const char *line)
{
    char wanted[40];
    snprintf(wanted, sizeof wanted, "called from %p",
             (void *)((char *)(uintptr_t)end_with_a_scope_open + 1));
    fputs(strstr(line, wanted) ? "the right function\n" : line, stderr);
}

/* proves: F2 */
TEST_DIES(test_regress_scope_left_open_is_put_down_to_another_function, SIGABRT, "right function")
{
    coir_on_fatal(check_the_line);
    coir_run(end_with_a_scope_open, NULL, NULL, NULL);
}

static int close_the_outer(void *arg)
{
    (void)arg;
    coir_scope outer, inner;
    coir_scope_open(&outer, COIR_NEVER, 0);
    coir_scope_open(&inner, COIR_NEVER, 0);
    return coir_scope_end(&outer, 0);
}

/* proves: C10 */
TEST_DIES(test_closing_an_outer_scope_stops, SIGABRT, "coir_scope_end: not the innermost scope")
{
    coir_run(close_the_outer, NULL, NULL, NULL);
}

static int close_a_strangers(void *arg)
{
    return coir_scope_end(arg, 0);
}

static int lend_a_scope(void *arg)
{
    (void)arg;
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_alone(close_a_strangers, &scope);
    return coir_scope_end(&scope, 0);
}

/* proves: C10 */
TEST_DIES(test_closing_the_scope_of_another_fiber_stops, SIGABRT, "not the innermost scope")
{
    coir_run(lend_a_scope, NULL, NULL, NULL);
}

static int use_a_closed_one(void *arg)
{
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    if (arg)
        return coir_spawn(NULL, number, arg, &(struct coir_spawn_opts){.scope = &scope});
    return coir_scope_cancel(&scope, COIR_CANCELLED);
}

/* proves: C10 */
TEST_DIES(test_cancelling_a_closed_scope_stops, SIGABRT, "coir_scope_cancel: the scope is not open")
{
    coir_run(use_a_closed_one, NULL, NULL, NULL);
}

/* proves: C10 */
TEST_DIES(test_spawning_into_a_closed_scope_stops, SIGABRT, "coir_spawn: the scope is not open")
{
    coir_run(use_a_closed_one, &ms[MS_1], NULL, NULL);
}
