/* Every fiber is a scope; daemons, limits, firm ends, races of functions, scopes that end with
 * their block, and handles wherever they come from. */
#include "scopes.h"

#include "../src/debug/debug.h"

#include <coir_post.h>
#include <limits.h>
#include <pthread.h>

/* ---- families */

static int leaves_a_child(void *arg)
{
    spawn_alone(sleep_ms, arg);
    return 5;
}

static int family(void *arg)
{
    (void)arg;
    coir_fiber fiber = run_spawn(leaves_a_child, &ms[MS_20]);
    CHECK_EQ(coir_join(fiber, NULL, coir_after(COIR_MS(10))), COIR_TIMED_OUT);
    CHECK_EQ(coir_wake(fiber), -EBUSY);
    CHECK_EQ(run_join(fiber), 5);
    CHECK_EQ(now_ms(), 20);

    fiber = run_spawn(leaves_a_child, &ms[MS_100]);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_cancel(fiber, -EIO), 0); /* its function has returned */
    CHECK_EQ(run_join(fiber), COIR_CANCELLED);
    fiber = run_spawn(leaves_a_child, &ms[MS_100]);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_cancel(fiber, 0), 0);
    CHECK_EQ(run_join(fiber), 5); /* enough, and what it has said counts */
    CHECK_EQ(now_ms(), 22);
    return 0;
}

/* proves: C4, C6, C7 */
TEST(test_a_fiber_ends_when_its_last_child_has)
{
    run_virtual(family, NULL);
    CHECK_STR(run_log, "slept COIR_CANCELLED COIR_CANCELLED");
}

static int joins_its_grandparent(void *arg)
{
    CHECK_EQ(coir_join(*(coir_fiber *)arg, NULL, COIR_NEVER), -EDEADLK);
    CHECK_EQ(coir_join(*(coir_fiber *)arg, NULL, COIR_TRY), -EDEADLK);
    CHECK_EQ(coir_finish(*(coir_fiber *)arg, 0, NULL), -EDEADLK);
    CHECK_EQ(coir_race(arg, 1, NULL, COIR_NEVER), -EDEADLK);
    return 0;
}

static int between(void *arg)
{
    spawn_alone(joins_its_grandparent, arg);
    return 0;
}

static int grandparent(void *arg)
{
    static coir_fiber self;
    self = coir_self();
    spawn_alone(between, &self);
    return arg ? 1 : 0;
}

/* proves: E3 */
TEST(test_an_ancestor_cannot_be_waited_for)
{
    run_virtual(grandparent, NULL);
}

static int fails_with_children(void *arg)
{
    spawn_alone(sleep_ms, arg);
    return -EIO;
}

static int failures(void *arg)
{
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_alone(fails_with_children, &ms[MS_100]);
    int slept = coir_sleep(COIR_MS(50));
    CHECK_EQ(slept, COIR_CANCELLED);
    CHECK_EQ(coir_scope_end(&scope, slept), -EIO);
    return now_ms() == 0 ? 0 : 1;
}

/* proves: C5, C6 */
TEST(test_a_fiber_that_fails_cancels_its_children_and_is_not_excused_by_that)
{
    run_virtual(failures, NULL);
    CHECK_STR(run_log, "COIR_CANCELLED");
}

/* ---- daemons */

static int beats;

static int heart(void *arg)
{
    while (coir_sleep(COIR_MS(10)) == 0)
        beats++;
    int reason = -1;
    CHECK(coir_cancelled(&reason));
    return arg && reason != 0 ? reason : 0;
}

static coir_fiber spawn_daemon(int (*fn)(void *), void *arg)
{
    coir_fiber fiber;
    struct coir_spawn_opts opts = {.daemon = true};
    CHECK_EQ(coir_spawn(&fiber, fn, arg, &opts), 0);
    return fiber;
}

static int failing_daemon(void *arg)
{
    (void)arg;
    coir_sleep(COIR_MS(5));
    return -EPIPE;
}

static int daemons(void *arg)
{
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_daemon(heart, &scope);
    spawn_alone(sleep_ms, &ms[MS_30]);
    spawn_alone(sleep_ms, &ms[MS_100]);
    CHECK_EQ(coir_scope_end(&scope, 3), 3);
    CHECK_EQ(now_ms(), 100);
    CHECK(beats >= 9);

    coir_scope_open(&scope, COIR_NEVER, 0);
    CHECK_EQ(coir_spawn(NULL, failing_daemon, NULL, &(struct coir_spawn_opts){.daemon = true}), 0);
    CHECK_EQ(coir_scope_end(&scope, coir_sleep(COIR_SEC(1))), -EPIPE);
    CHECK_EQ(now_ms(), 105);

    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_daemon(heart, NULL);
    CHECK_EQ(coir_scope_cancel(&scope, -EIO), 0); /* reaches daemons as others */
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    spawn_daemon(heart, &scope); /* main's own, which ends with it */
    return 0;
}

/* proves: C5, C12 */
TEST(test_daemons_end_when_nothing_else_of_their_parent_is_left)
{
    run_virtual(daemons, NULL);
    CHECK_STR(run_log, "slept slept");
}

/* proves: C12 */
TEST(test_a_run_ends_though_daemons_of_the_scheduler_are_left)
{
    coir_sched *sched;
    struct coir_spawn_opts both = {.daemon = true, .detached = true};
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL, .report = run_report_line};
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    CHECK_EQ(coir_spawn(NULL, heart, &ms[0], &both), 0);
    CHECK_EQ(coir_sched_run(sched), 0); /* nothing but it was there */
    CHECK_EQ(coir_spawn(NULL, heart, &ms[0], &both), 0);
    CHECK_EQ(coir_spawn(NULL, sleep_ms, &ms[MS_100], NULL), 0);
    CHECK_EQ(coir_sched_run(sched), 0);
    CHECK_EQ(now_ms(), 100);
    coir_sched_free(sched);
    CHECK_STR(run_report, "");
}

/* ---- races of functions */

static int starts[8], started;

struct attempt {
    int number, length_ms, result;
};

static int attempt(void *arg)
{
    const struct attempt *attempt = arg;
    starts[attempt->number] = (int)now_ms();
    started++;
    int slept = coir_sleep(COIR_MS(attempt->length_ms));
    return slept < 0 ? slept : attempt->result;
}

static int staggered(void *arg)
{
    struct attempt attempts[] = {
        {0, 10, -EIO}, {1, 500, 1}, {2, 30, -EPERM}, {3, 10, 3}, {4, 0, 4}};
    struct coir_racer racers[5];
    int64_t delays[] = {0, 100, 200, 300, 400};
    int results[5];
    (void)arg;
    for (int i = 0; i < 5; i++)
        racers[i] = (struct coir_racer){attempt, &attempts[i], COIR_MS(delays[i])};
    CHECK_EQ(coir_race_run(racers, 5, results, COIR_NEVER), 3);
    CHECK_EQ(now_ms(), 310);
    CHECK_EQ(started, 4);
    CHECK(starts[0] == 0 && starts[1] == 10 && starts[2] == 200 && starts[3] == 300);
    CHECK(results[0] == -EIO && results[1] == COIR_CANCELLED && results[2] == -EPERM);
    CHECK(results[3] == 3 && results[4] == COIR_CANCELLED);

    started = 0;
    attempts[1].result = attempts[3].result = attempts[4].result = -EBADMSG;
    CHECK_EQ(coir_race_run(racers, 5, results, COIR_NEVER), -EIO); /* the first to fail */
    CHECK_EQ(started, 5);
    CHECK_EQ(coir_race_run(racers, 2, results, coir_after(COIR_MS(20))), COIR_TIMED_OUT);
    CHECK(results[0] == -EIO && results[1] == COIR_CANCELLED);
    CHECK_EQ(coir_race_run(racers, 0, results, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_race_run(racers, (size_t)INT_MAX + 1, results, COIR_NEVER), -EINVAL);
    return 0;
}

static int many_functions(void *arg)
{
    static struct coir_racer racers[100];
    static struct attempt attempts[100];
    static int results[100];
    (void)arg;
    for (int i = 0; i < 100; i++) {
        attempts[i] = (struct attempt){0, 200 - i, i};
        racers[i] = (struct coir_racer){attempt, &attempts[i], 0};
    }
    CHECK_EQ(coir_race_run(racers, 100, results, COIR_NEVER), 99);
    return results[99] == 99 && results[0] == COIR_CANCELLED ? 0 : 1;
}

/* proves: R2 */
TEST(test_functions_race_with_staggered_starts_that_a_failure_hastens)
{
    run_virtual(staggered, NULL);
    run_virtual(many_functions, NULL);
}

/* ---- scopes that end with their block */

static int returns_early(bool early)
{
    COIR_SCOPE(scope, COIR_NEVER, 0);
    spawn_alone(sleep_ms, &ms[MS_10]);
    if (early)
        return 1;
    return coir_scope_end(&scope, 0);
}

static int blocks(void *arg)
{
    (void)arg;
    CHECK_EQ(returns_early(true), 1);
    CHECK_EQ(now_ms(), 0);
    CHECK_EQ(returns_early(false), 0);
    CHECK_EQ(now_ms(), 10);
    for (int i = 0; i < 3; i++) {
        COIR_SCOPE(scope, coir_after(COIR_MS(5)), 0);
        if (i < 2)
            continue;
        CHECK_EQ(coir_scope_end(&scope, coir_sleep(COIR_MS(50))), COIR_TIMED_OUT);
    }
    return now_ms() == 15 ? 0 : 1;
}

/* proves: C10 */
TEST(test_a_scope_of_a_block_ends_with_it)
{
    run_virtual(blocks, NULL);
    CHECK_STR(run_log, "COIR_CANCELLED slept");
}

__attribute__((noinline)) static void leaves_its_scope(int kind)
{
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, kind);
}

static int opens_after_that(void *arg)
{
    coir_scope scope;
    leaves_its_scope(arg ? COIR_SHIELD : 0);
    coir_scope_open(&scope, COIR_NEVER, 0);
    return coir_scope_end(&scope, 0);
}

static int spawns_after_that(void *arg)
{
    leaves_its_scope(0);
    return coir_spawn(NULL, number, arg, NULL);
}

/* proves: C10 */
TEST_DIES(test_a_scope_left_by_a_return_is_found_by_the_next_open, SIGABRT,
          "coir_scope_open: a function has returned without ending its scope")
{
    if (CR_SAN_ADDRESS) /* whose frames may lie elsewhere */
        cr_fatal_mistake("coir_scope_open", NULL,
                         "a function has returned without ending its scope");
    coir_run(opens_after_that, NULL, NULL, NULL);
}

/* proves: C10 */
TEST_DIES(test_a_scope_left_by_a_return_is_found_by_the_next_spawn, SIGABRT,
          "coir_spawn: a function has returned without ending its scope")
{
    if (CR_SAN_ADDRESS)
        cr_fatal_mistake("coir_spawn", NULL, "a function has returned without ending its scope");
    coir_run(spawns_after_that, &ms[MS_1], NULL, NULL);
}

static int bad_reason(void *arg)
{
    coir_scope scope;
    int which = *(int *)arg;
    coir_scope_open(&scope, COIR_NEVER, which == 3 ? 3 : 0);
    if (which == 0)
        coir_cancel(coir_self(), 1);
    else if (which == 1)
        coir_scope_cancel(&scope, 1);
    else
        coir_finish(coir_self(), 1, NULL);
    return coir_scope_end(&scope, 0);
}

/* proves: C10 */
TEST_DIES(test_a_positive_reason_of_a_cancel_stops, SIGABRT, "coir_cancel: the reason is positive")
{
    coir_run(bad_reason, &ms[MS_0], NULL, NULL);
}

/* proves: C10 */
TEST_DIES(test_a_positive_reason_of_a_scopes_cancel_stops, SIGABRT,
          "coir_scope_cancel: the reason is positive")
{
    coir_run(bad_reason, &ms[MS_1], NULL, NULL);
}

/* proves: C10 */
TEST_DIES(test_a_positive_reason_of_a_finish_stops, SIGABRT, "coir_finish: the reason is positive")
{
    coir_run(bad_reason, &ms[MS_2], NULL, NULL);
}

/* proves: C10 */
TEST_DIES(test_a_scope_of_no_kind_stops, SIGABRT, "coir_scope_open: there is no such kind of scope")
{
    coir_run(bad_reason, &ms[MS_3], NULL, NULL);
}

/* ---- handles: of whatever is gone, in each call */

static coir_fiber foreign;

static void *other_thread(void *arg)
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    for (int i = 0; i < 3; i++)
        foreign = run_spawn(number, arg);
    coir_sched_free(sched);
    return NULL;
}

static void check_nothing_is_found(coir_fiber gone)
{
    int result = 77, results[1] = {77};
    CHECK_EQ(coir_join(gone, &result, COIR_NEVER), -ESRCH);
    CHECK_EQ(coir_join(gone, &result, COIR_TRY), -ESRCH);
    CHECK_EQ(coir_join_all(&gone, 1, results, COIR_NEVER), -ESRCH);
    CHECK_EQ(coir_join_any(&gone, 1, &result, COIR_NEVER), -ESRCH);
    CHECK(result == 77 && results[0] == 77);
    CHECK_EQ(coir_race(&gone, 1, results, COIR_NEVER), -ESRCH);
    CHECK_EQ(results[0], -ESRCH);
    CHECK_EQ(coir_finish(gone, 0, &result), -ESRCH);
    CHECK_EQ(coir_cancel(gone, 0), -ESRCH);
    CHECK_EQ(coir_wake(gone), -ESRCH);
    CHECK_EQ(result, 77);
}

static int all_handles(void *arg)
{
    const coir_fiber *earlier = arg;
    pthread_t thread;
    coir_fiber decoys[8];
    for (int i = 0; i < 8; i++)
        decoys[i] = run_spawn(sleep_ms, &ms[MS_10]);
    CHECK_EQ(pthread_create(&thread, NULL, other_thread, &ms[MS_1]), 0);
    pthread_join(thread, NULL);
    coir_fiber ended = run_spawn(number, &ms[MS_1]);
    CHECK_EQ(run_join(ended), 1);
    check_nothing_is_found((coir_fiber){0, 0, 0});
    CHECK(!coir_scope_find((coir_scope_ref){decoys[0]}));
    check_nothing_is_found(*earlier);
    check_nothing_is_found(foreign);
    check_nothing_is_found(ended); /* its slot is free */
    coir_fiber next = run_spawn(sleep_ms, &ms[MS_10]);
    CHECK_EQ(next.slot, ended.slot);
    check_nothing_is_found(ended); /* its slot is another's */
    coir_scope scope;
    coir_scope_ref ref;
    coir_scope_open(&scope, COIR_NEVER, 0);
    CHECK_EQ(coir_scope_refer(&scope, &ref), 0);
    check_nothing_is_found(ref.opaque); /* it names a scope */
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK(!coir_scope_find(ref));
    CHECK_EQ(coir_join_all(decoys, 8, NULL, COIR_NEVER), 0);
    return run_join(next);
}

static int make_one(void *arg)
{
    for (int i = 0; i < 5; i++)
        *(coir_fiber *)arg = run_spawn(number, &ms[MS_1]);
    return 0;
}

/* proves: E4 */
TEST(test_a_handle_of_whatever_is_gone_finds_nothing_in_any_call)
{
    coir_fiber earlier;
    run_virtual(make_one, &earlier);
    run_virtual(all_handles, &earlier);
}
