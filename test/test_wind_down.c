/* Scopes that wind down: soft scopes end at once, what is under way has the grace, and then comes
 * the cancel. On a virtual clock. */
#include "soft.h"

#include <coir_test.h>

/* A fiber that takes jobs, of which each lasts `job_ns`, and is idle for `idle_ns` in between. */
struct worker {
    int64_t idle_ns, job_ns;
    int jobs;
    bool saw_the_end;
    uint64_t ended_at;
};

static int work(void *arg)
{
    struct worker *w = arg;
    int result;
    while ((result = soft_sleep(w->idle_ns)) > 0 && (result = coir_sleep(w->job_ns)) == 0)
        w->jobs++;
    w->saw_the_end = coir_winding_down();
    w->ended_at = now_ns();
    return result;
}

/* ---- what ends when ---- */

static int three_workers(void *arg)
{
    struct worker idle = {.idle_ns = COIR_SEC(100)},
                  busy = {.idle_ns = COIR_MS(1), .job_ns = COIR_MS(20)},
                  slow = {.idle_ns = COIR_MS(1), .job_ns = COIR_SEC(100)};
    coir_scope scope;
    uint64_t start = now_ns();
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    run_spawn(work, &idle);
    run_spawn(work, &busy);
    run_spawn(work, &slow);
    CHECK_EQ(coir_sleep(COIR_MS(10)), 0);
    CHECK(!coir_winding_down());
    CHECK_EQ(coir_scope_wind_down(&scope, COIR_MS(50)), 0);
    CHECK(coir_winding_down());
    CHECK(!coir_cancelled(NULL));
    CHECK_EQ(coir_scope_end(&scope, 7), 7);
    CHECK(!coir_winding_down());
    CHECK_EQ(idle.jobs, 0);
    CHECK_EQ(idle.ended_at - start, COIR_MS(10));
    CHECK(idle.saw_the_end);
    CHECK_EQ(busy.jobs, 1);
    CHECK_EQ(busy.ended_at - start, COIR_MS(21)); /* it takes no second job */
    CHECK(busy.saw_the_end);
    CHECK_EQ(slow.jobs, 0);
    CHECK_EQ(slow.ended_at - start, COIR_MS(60));
    CHECK_EQ(now_ns() - start, COIR_MS(60));
    CHECK_EQ(cr_sched_here->winding, 0);
    return 0;
}

/* proves: C15 */
TEST(test_wind_down_ends_the_idle_and_leaves_the_grace_to_the_others)
{
    run_virtual(three_workers, NULL);
}

static int spawns_a_worker(void *arg)
{
    struct worker *w = arg;
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    CHECK(coir_winding_down());
    run_spawn(work, w);
    return coir_sleep(COIR_MS(5));
}

static int goes_on(void *arg)
{
    struct worker w = {.idle_ns = COIR_SEC(100)};
    coir_scope scope;
    uint64_t start = now_ns();
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    run_spawn(spawns_a_worker, &w);
    CHECK_EQ(coir_scope_wind_down(&scope, COIR_SEC(1)), 0);
    CHECK_EQ(soft_sleep(COIR_SEC(100)), 0); /* the scope's own code, too */
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK_EQ(now_ns() - start, COIR_MS(10));
    CHECK_EQ(w.ended_at - start, COIR_MS(5));
    CHECK(w.saw_the_end);
    return soft_sleep(COIR_MS(1)) == 1 ? 0 : -1;
}

/* proves: C15 */
TEST(test_wind_down_holds_for_soft_scopes_and_children_that_come_later)
{
    run_virtual(goes_on, NULL);
}

/* ---- deadlines ---- */

struct limits {
    int64_t deadline_ns, graces_ns[3]; /* < 0: none */
    int result;
    int64_t took_ns;
};

static const struct limits LIMITS[] = {
    {-1, {COIR_MS(30), -1, -1}, 0, COIR_MS(30)},
    {-1, {COIR_MS(30), COIR_MS(20), -1}, 0, COIR_MS(20)},
    {-1, {COIR_MS(20), COIR_MS(30), -1}, 0, COIR_MS(20)},
    {-1, {INT64_MAX, COIR_MS(20), INT64_MAX}, 0, COIR_MS(20)},
    {COIR_MS(10), {COIR_MS(30), -1, -1}, COIR_TIMED_OUT, COIR_MS(10)},
    {COIR_MS(10), {COIR_MS(10), -1, -1}, COIR_TIMED_OUT, COIR_MS(10)},
    {COIR_MS(10), {INT64_MAX, -1, -1}, COIR_TIMED_OUT, COIR_MS(10)},
    {COIR_MS(30), {COIR_MS(10), COIR_MS(20), COIR_MS(5)}, 0, COIR_MS(5)},
    {COIR_MS(30), {0, -1, -1}, 0, 0},
};

static int winds_down_later(void *arg)
{
    coir_scope *scope = ((void **)arg)[0];
    const struct limits *limits = ((void **)arg)[1];
    for (int i = 0; i < 3 && limits->graces_ns[i] >= 0; i++)
        CHECK_EQ(coir_scope_wind_down(scope, limits->graces_ns[i]), 0);
    return 0;
}

/* While its own code runs, or while it waits for its children. */
static int limited(void *arg)
{
    for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++) {
        const struct limits *limits = &LIMITS[i];
        uint64_t start = now_ns();
        coir_scope scope;
        void *args[] = {&scope, (void *)(uintptr_t)limits};
        coir_time until = limits->deadline_ns < 0 ? COIR_NEVER : coir_after(limits->deadline_ns);
        struct worker slow = {.job_ns = COIR_SEC(100)};
        coir_scope_open(&scope, until, 0);
        run_spawn(work, &slow);
        CHECK_EQ(coir_sleep(0), 0);
        if (arg)
            coir_spawn(NULL, winds_down_later, args, NULL);
        else
            winds_down_later(args);
        CHECK_EQ(coir_scope_end(&scope, 0), limits->result);
        CHECK_EQ(now_ns() - start, limits->took_ns);
        CHECK(!cr_timer_first(&cr_sched_here->timers));
        CHECK_EQ(cr_sched_here->winding, 0);
    }
    return 0;
}

/* proves: C15 */
TEST(test_wind_down_keeps_the_earliest_of_deadline_and_graces)
{
    int waiting = 1;
    run_virtual(limited, NULL);
    run_virtual(limited, &waiting);
}

static int after_a_cancel(void *arg)
{
    struct worker slow = {.idle_ns = 0, .job_ns = COIR_SEC(100)};
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    run_spawn(work, &slow);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_scope_cancel(&scope, -EIO), 0);
    CHECK_EQ(coir_scope_wind_down(&scope, COIR_SEC(1)), 0);
    CHECK(coir_winding_down());
    CHECK_EQ(coir_scope_end(&scope, 0), -EIO);
    CHECK(!coir_winding_down());
    coir_scope_open(&scope, COIR_NEVER, 0);
    run_spawn(work, &slow);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_scope_wind_down(&scope, COIR_SEC(1)), 0);
    CHECK_EQ(coir_scope_cancel(&scope, -EIO), 0); /* the grace is not waited for */
    CHECK_EQ(coir_scope_end(&scope, 0), -EIO);
    CHECK(now_ns() < (uint64_t)COIR_MS(3));
    return 0;
}

/* proves: C2, C15 */
TEST(test_wind_down_of_the_cancelled_is_nothing_and_a_cancel_cuts_the_grace)
{
    run_virtual(after_a_cancel, NULL);
}

/* ---- how deep and how wide ---- */

enum { DEEP = 2000, WIDE = 2000 };

static int deep_result[DEEP];

static int deep(void *arg)
{
    int *result = arg;
    if (result + 1 < deep_result + DEEP)
        coir_spawn(NULL, deep, result + 1, &(struct coir_spawn_opts){.stack_size = 16384});
    return *result = soft_sleep(COIR_SEC(100));
}

static int in_a_large_tree(void *arg)
{
    static int wide_result[WIDE];
    coir_scope scope;
    uint64_t start = now_ns();
    (void)arg;
    memset(deep_result, -1, sizeof deep_result);
    memset(wide_result, -1, sizeof wide_result);
    coir_scope_open(&scope, COIR_NEVER, 0);
    run_spawn(deep, deep_result);
    for (int i = 0; i < WIDE; i++)
        run_spawn(soft_sleeper, &wide_result[i]);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_scope_wind_down(&scope, COIR_SEC(1)), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK_EQ(now_ns() - start, COIR_MS(1));
    for (int i = 0; i < DEEP; i++)
        CHECK_EQ(deep_result[i], 0);
    for (int i = 0; i < WIDE; i++)
        CHECK_EQ(wide_result[i], 0);
    return 0;
}

/* proves: C7, C15 */
TEST(test_wind_down_reaches_a_deep_and_wide_tree_at_once)
{
    run_virtual(in_a_large_tree, NULL);
}

/* ---- a cancel at each switch, and misuse ---- */

static int checked(void *arg)
{
    struct worker busy = {.job_ns = COIR_MS(20)}, slow = {.job_ns = COIR_SEC(100)};
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    coir_spawn(NULL, work, &busy, NULL);
    coir_spawn(NULL, work, &slow, NULL);
    int result = coir_sleep(COIR_MS(10));
    coir_scope_wind_down(&scope, COIR_MS(50));
    return coir_scope_end(&scope, result);
}

/* proves: C15 */
TEST(test_wind_down_that_is_cancelled_leaves_nothing_behind)
{
    struct coir_sched_opts quiet = {.report = run_report_line};
    int points = 0;
    CHECK_EQ(coir_check_cancels(checked, NULL, &quiet, &points), 0);
    CHECK(points >= 3);
    CHECK_STR(run_report, "");
}

static int winds_down_a_closed_scope(void *arg)
{
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    return coir_scope_wind_down(&scope, 0);
}

/* proves: C10 */
TEST_DIES(test_wind_down_of_a_closed_scope_stops, SIGABRT,
          "coir_scope_wind_down: the scope is not open")
{
    run_virtual(winds_down_a_closed_scope, NULL);
}
