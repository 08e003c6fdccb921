/* The orders of a select, and the ends of fibers as its cases. */
#include "waits.h"

#include <coir_select.h>

enum { CASES = 4 };

static coir_event events[CASES];

static void make_cases(coir_case *cases, int count)
{
    for (int i = 0; i < count; i++)
        cases[i] = coir_case_wait(&events[i]);
}

/* ---- random ---- */

enum { DRAWS = 6000 };

static uint8_t drawn[DRAWS];

static int draw_all(void *arg)
{
    int count = *(int *)arg;
    coir_case cases[CASES];
    make_cases(cases, count);
    for (int i = 0; i < count; i++)
        coir_event_set(&events[i]);
    for (int i = 0; i < DRAWS; i++) {
        int which = coir_select(cases, count, COIR_RANDOM, i % 2 ? COIR_NEVER : COIR_TRY);
        CHECK(which >= 0 && which < count);
        drawn[i] = (uint8_t)which;
    }
    return 0;
}

static void draw_with(uint64_t seed, int count)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL, .seed = seed};
    int result = -1;
    CHECK_EQ(coir_run(draw_all, &count, &opts, &result), 0);
    CHECK_EQ(result, 0);
}

/* Within 6 standard deviations of a binomial distribution. */
static void check_share(const char *what, int wins, int of, double chance)
{
    double off = wins - of * chance;
    fprintf(stderr, "%s: %d of %d\n", what, wins, of);
    CHECK(off * off < 36 * of * chance * (1 - chance));
}

/* proves: Z5 */
TEST(test_a_random_select_reaches_every_case_equally_often_and_forgets_the_last)
{
    for (int count = 2; count <= CASES; count++) {
        int wins[CASES] = {0}, repeats = 0;
        draw_with((uint64_t)count * 77, count);
        for (int i = 0; i < DRAWS; i++)
            wins[drawn[i]]++;
        for (int i = 1; i < DRAWS; i++)
            repeats += drawn[i] == drawn[i - 1];
        for (int i = 0; i < count; i++)
            check_share("a case", wins[i], DRAWS, 1.0 / count);
        check_share("the same as before", repeats, DRAWS - 1, 1.0 / count);
    }
}

/* proves: Z5 */
TEST(test_the_same_seed_gives_the_same_random_orders_and_another_gives_others)
{
    static uint8_t before[DRAWS];
    for (uint64_t seed = 0; seed < 3; seed++) {
        draw_with(seed, 3);
        memcpy(before, drawn, sizeof before);
        draw_with(seed, 3);
        CHECK_EQ(memcmp(before, drawn, sizeof before), 0);
        draw_with(seed + 1, 3);
        CHECK(memcmp(before, drawn, sizeof before) != 0);
    }
}

/* Of three cases two are ready: which of them is found first is a matter of the whole order. */
static int orders(void *arg)
{
    coir_case cases[3];
    (void)arg;
    make_cases(cases, 3);
    for (int without = 0; without < 3; without++) {
        int low = without == 0 ? 1 : 0, wins = 0;
        for (int i = 0; i < 3; i++)
            coir_event_set(&events[i]);
        coir_event_reset(&events[without]);
        for (int i = 0; i < DRAWS; i++)
            wins += coir_select(cases, 3, COIR_RANDOM, COIR_NEVER) == low;
        check_share("the lower of two", wins, DRAWS, 0.5);
    }
    return 0;
}

/* proves: Z5 */
TEST(test_every_random_order_is_as_likely_as_another)
{
    run_virtual(orders, NULL);
}

static int wait_in_any_order(void *arg)
{
    static coir_chan chan;
    coir_case cases[CASES];
    int64_t item = -1;
    (void)arg;
    CHECK_EQ(coir_chan_open(&chan, sizeof item, 0), 0);
    for (int order = 0; order <= COIR_RANDOM; order++)
        for (int i = 0; i < 20; i++) {
            make_cases(cases, CASES);
            cases[2] = coir_case_recv(&chan, &item);
            begin_send("s", &chan, i, COIR_NEVER);
            CHECK_EQ(coir_select(cases, CASES, order, COIR_NEVER), 2);
            CHECK_EQ(item, i);
            CHECK_LOG("s");
            CHECK_EQ(coir_select(cases, CASES, order, coir_after(10)), COIR_TIMED_OUT);
            waiters_used = 0;
        }
    coir_chan_free(&chan, NULL, NULL);
    return 0;
}

/* proves: Z5, Z2 */
TEST(test_an_order_changes_nothing_where_one_case_is_ready_or_none)
{
    run_virtual(wait_in_any_order, NULL);
}

static int set_it(void *arg)
{
    coir_event_set(arg);
    return 0;
}

/* The same event twice: both cases become ready at the same moment. */
static int wait_for_one_twice(void *arg)
{
    int wins[3][2] = {{0}};
    (void)arg;
    for (int order = 0; order <= COIR_RANDOM; order++)
        for (int i = 0; i < 400; i++) {
            coir_case cases[] = {coir_case_take(&events[0]), coir_case_take(&events[0])};
            run_spawn(set_it, &events[0]);
            wins[order][coir_select(cases, 2, order, COIR_NEVER)]++;
        }
    CHECK(wins[0][0] == 400 && abs(wins[COIR_FAIR][0] - 200) < 3);
    check_share("the first of two", wins[COIR_RANDOM][0], 400, 0.5);
    return 0;
}

/* proves: Z5, Z4 */
TEST(test_an_order_holds_for_cases_that_become_ready_together_too)
{
    run_virtual(wait_for_one_twice, NULL);
}

static int no_such_order(void *arg)
{
    coir_case it = coir_case_wait(&events[0]);
    return coir_select(&it, 1, *(int *)arg, COIR_TRY);
}

/* proves: F2 */
TEST_DIES(test_an_order_above_those_there_are_stops, SIGABRT, "coir: coir_select: there is no such")
{
    run_as(no_such_order, &(int){3}, COIR_CLOCK_VIRTUAL, NULL);
}

/* proves: F2 */
TEST_DIES(test_an_order_below_zero_stops, SIGABRT, "coir: coir_select: there is no such order")
{
    run_as(no_such_order, &(int){-1}, COIR_CLOCK_VIRTUAL, NULL);
}

/* ---- the ends of fibers ---- */

struct ending {
    int64_t after;
    int result;
};

static int end_after(void *arg)
{
    const struct ending *ending = arg;
    if (ending->after > 0)
        coir_sleep(ending->after);
    return ending->result;
}

static int select_join(coir_fiber fiber, int *result, int *of_case, coir_time until)
{
    coir_case cases[] = {coir_case_wait(&events[0]), coir_case_join(fiber, result)};
    int which = coir_select(cases, 2, 0, until);
    CHECK(which == 1 || which == COIR_TIMED_OUT);
    *of_case = which == 1 ? cases[1].result : 0;
    return which;
}

static int take_results(void *arg)
{
    static struct ending soon = {0, 7}, later = {10, -EIO};
    int result = 77, of_case = 1;
    (void)arg;
    coir_fiber fiber = run_spawn(end_after, &soon);
    CHECK_EQ(coir_sleep(1), 0);
    CHECK_EQ(select_join(fiber, &result, &of_case, COIR_TRY), 1); /* it has ended before */
    CHECK(of_case == 0 && result == 7);
    CHECK_EQ(coir_join(fiber, NULL, COIR_TRY), -ESRCH);
    result = 77;
    CHECK_EQ(select_join(fiber, &result, &of_case, COIR_NEVER), 1);
    CHECK(of_case == -ESRCH && result == 77);
    fiber = run_spawn(end_after, &later);
    CHECK_EQ(select_join(fiber, &result, &of_case, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(select_join(fiber, &result, &of_case, coir_after(5)), COIR_TIMED_OUT);
    CHECK_EQ(result, 77);
    CHECK_EQ(select_join(fiber, &result, &of_case, COIR_NEVER), 1); /* it ends meanwhile */
    CHECK(of_case == 0 && result == -EIO);
    CHECK_EQ(coir_join(fiber, NULL, COIR_TRY), -ESRCH);
    fiber = run_spawn(end_after, &later);
    CHECK_EQ(select_join(fiber, NULL, &of_case, COIR_NEVER), 1);
    CHECK_EQ(coir_join(fiber, NULL, COIR_TRY), -ESRCH);
    CHECK_EQ(select_join(coir_self(), &result, &of_case, COIR_NEVER), 1);
    CHECK_EQ(of_case, -EDEADLK);
    CHECK_EQ(select_join((coir_fiber){0, 0, 0}, &result, &of_case, COIR_NEVER), 1);
    CHECK_EQ(of_case, -ESRCH);
    return result == -EIO ? 0 : 1;
}

/* proves: Z7, E3 */
TEST(test_a_select_takes_the_result_of_a_fiber_as_a_join_does)
{
    run_virtual(take_results, NULL);
}

static int join_parent(void *arg)
{
    int of_case = 0;
    CHECK_EQ(select_join(*(coir_fiber *)arg, NULL, &of_case, COIR_NEVER), 1);
    return of_case == -EDEADLK ? 0 : 1;
}

static int ancestor(void *arg)
{
    coir_fiber self = coir_self();
    (void)arg;
    return run_join(run_spawn(join_parent, &self));
}

/* proves: Z7 */
TEST(test_an_ancestor_as_a_case_is_a_deadlock)
{
    run_virtual(ancestor, NULL);
}

static coir_fiber ending_fibers[2];

static int call_any_join(struct waiter *w)
{
    int results[2] = {77, 77};
    coir_case cases[] = {coir_case_join(ending_fibers[0], &results[0]),
                         coir_case_join(ending_fibers[1], &results[1])};
    int which = coir_select(cases, 2, 0, w->until);
    if (which < 0)
        return which;
    CHECK_EQ(cases[which].result, 0);
    CHECK_EQ(results[which], which + 1);
    CHECK_EQ(results[1 - which], 77);
    return which;
}

/* The second ends first, at the same instant. */
static void spawn_endings(void)
{
    static struct ending endings[] = {{10, 1}, {10, 2}};
    ending_fibers[1] = run_spawn(end_after, &endings[1]);
    ending_fibers[0] = run_spawn(end_after, &endings[0]);
}

static int two_ends(void *arg)
{
    int result = 0;
    (void)arg;
    spawn_endings();
    begin("a", call_any_join, NULL, COIR_NEVER);
    begin("b", call_any_join, NULL, COIR_NEVER);
    struct waiter *c = begin("c", call_any_join, NULL, COIR_NEVER);
    CHECK_EQ(coir_sleep(5), 0);
    cancel(c);
    CHECK_EQ(coir_sleep(20), 0);
    CHECK_LOG("c=CANCELLED a=1 b=1");
    CHECK_EQ(coir_join(ending_fibers[0], &result, COIR_TRY), 0); /* nobody has taken it */
    CHECK_EQ(result, 1);
    CHECK_EQ(coir_join(ending_fibers[1], &result, COIR_TRY), -ESRCH);
    return 0;
}

/* proves: Z1, Z7 */
TEST(test_of_two_fibers_that_end_at_once_the_first_is_taken_and_the_other_is_kept)
{
    run_virtual(two_ends, NULL);
}

static int cancelled_before_the_end(void *arg)
{
    int result = 0;
    (void)arg;
    spawn_endings();
    struct waiter *a = begin("a", call_any_join, NULL, coir_after(COIR_SEC(1)));
    cancel(a);
    CHECK_LOG("a=CANCELLED");
    CHECK_EQ(coir_sleep(20), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(coir_join(ending_fibers[i], &result, COIR_TRY), 0);
        CHECK_EQ(result, i + 1);
    }
    return 0;
}

/* proves: Z2, Z7 */
TEST(test_a_select_that_was_cancelled_takes_no_result)
{
    run_virtual(cancelled_before_the_end, NULL);
}

/* ---- the result is the select's from the end on, though it has not run ---- */

static int join_result;

static int end_and_be_joined(void *arg)
{
    coir_fiber *fiber = arg;
    CHECK_EQ(coir_sleep(10), 0);
    join_result = coir_join(*fiber, NULL, COIR_TRY);
    return 0;
}

static int join_between(void *arg)
{
    (void)arg;
    spawn_endings();
    CHECK_EQ(coir_yield(), 0); /* they sleep first, so they end before this one wakes */
    coir_fiber late = run_spawn(end_and_be_joined, &ending_fibers[1]);
    begin("a", call_any_join, NULL, COIR_NEVER);
    CHECK_EQ(run_join(late), 0);
    CHECK_LOG("a=1");
    CHECK_EQ(join_result, -ESRCH);
    return 0;
}

/* proves: Z7, Y4, C3 */
TEST(test_a_join_after_the_end_finds_that_a_select_that_has_not_run_has_the_result)
{
    run_virtual(join_between, NULL);
}

static struct ending failing = {10, -EIO};
static bool by_select;

static int fail_for_others(void *arg)
{
    coir_fiber *fiber = arg;
    *fiber = run_spawn(end_after, &failing);
    return 0;
}

static int take_failure(void *arg)
{
    int result = 0, of_case = 0;
    coir_fiber child = {0, 0, 0};
    coir_fiber parent = run_spawn(fail_for_others, &child);
    CHECK_EQ(coir_yield(), 0);
    if (by_select)
        CHECK_EQ(select_join(child, &result, &of_case, COIR_NEVER), 1);
    else
        CHECK_EQ(coir_join(child, &result, COIR_NEVER), 0);
    CHECK_EQ(result, -EIO);
    CHECK_EQ(run_join(parent), 0); /* not its failure: somebody has taken it */
    return arg ? 1 : 0;
}

/* proves: Z7, C5 */
TEST(test_a_failure_that_a_join_or_a_select_takes_is_not_the_parents)
{
    run_virtual(take_failure, NULL);
    by_select = true;
    run_virtual(take_failure, NULL);
}
