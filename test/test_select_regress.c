/* What outsiders found in selects, and in waits for ends that are over. */
#include "run.h"

#include <coir_io.h>
#include <coir_select.h>
#include <coir_test.h>
#include <sys/wait.h>

/* ---- failures that nobody gets ---- */

enum { BY_ANOTHER_CASE, BY_DEADLINE, BY_CANCEL, BY_ANOTHER_END, BY_DEADLINE_OF_ALL, WAYS };

static coir_fiber kid, other, watch;
static coir_event quit;
static coir_time at;
static int way;

static int fails(void *arg)
{
    (void)arg;
    kid = coir_self();
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    coir_event_set(&quit);
    return -EIO;
}

static int ends_with_it(void *arg)
{
    (void)arg;
    return coir_sleep(COIR_MS(5));
}

static int ends_late(void *arg)
{
    (void)arg;
    int result = coir_sleep(COIR_MS(50));
    run_note(result == 0 ? "late" : coir_error_name(result));
    return result;
}

static int watches(void *arg)
{
    int result = 0, results[2];
    coir_fiber both[] = {other, kid};
    coir_case cases[] = {coir_case_join(kid, &result), coir_case_wait(&quit)};
    (void)arg;
    if (way == BY_ANOTHER_END)
        coir_join_any(both, 2, &result, COIR_NEVER);
    else if (way == BY_DEADLINE_OF_ALL)
        coir_join_all(both, 2, results, coir_after(COIR_MS(20)));
    else
        coir_select(cases, way == BY_ANOTHER_CASE ? 2 : 1, 0,
                    way == BY_DEADLINE ? at : COIR_NEVER);
    return 0;
}

static int cancels(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    return way == BY_CANCEL ? coir_cancel(watch, 0) : 0;
}

static int loses_none(void *arg)
{
    coir_scope scope;
    (void)arg;
    quit = (coir_event){{0}};
    coir_scope_open(&scope, COIR_NEVER, 0);
    at = coir_after(COIR_MS(5));
    other = run_spawn(way == BY_DEADLINE_OF_ALL ? ends_late : ends_with_it, NULL);
    CHECK_EQ(coir_spawn(NULL, cancels, NULL, NULL), 0);
    CHECK_EQ(coir_spawn(NULL, fails, NULL, NULL), 0);
    CHECK_EQ(coir_yield(), 0);
    watch = run_spawn(watches, NULL);
    CHECK_EQ(coir_spawn(NULL, ends_late, NULL, NULL), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), -EIO);
    CHECK(!strstr(run_log, "late"));
    return 0;
}

/* proves: C5, R4 */
TEST(test_regress_failure_vanished_beside_a_wait_that_was_over)
{
    for (way = 0; way < WAYS; way++)
        run_virtual(loses_none, NULL);
}

/* ---- events of descriptors that others use up ---- */

static coir_chan chan;
static coir_queue queue;
static int fds[2];

static int selects(void *arg)
{
    int item = 0;
    coir_case cases[] = {coir_case_recv(&chan, &item), coir_case_queue(&queue),
                         coir_case_fd(fds[0], COIR_IN)};
    (void)arg;
    int which = coir_select(cases, 3, 0, COIR_NEVER);
    CHECK(which >= 0);
    return which * 100 + item;
}

static int receives(void *arg)
{
    int item = 0;
    (void)arg;
    CHECK_EQ(coir_chan_recv(&chan, &item, coir_after(COIR_SEC(5))), 0);
    return item;
}

static int reads_one(void *arg)
{
    char byte;
    (void)arg;
    return coir_read(fds[0], &byte, 1, COIR_NEVER) == 1 ? 0 : -EPROTO;
}

static int keeps_its_place(void *arg)
{
    int item = 7;
    (void)arg;
    CHECK_EQ(coir_chan_open(&chan, sizeof item, 0), 0);
    CHECK_EQ(pipe(fds), 0);
    for (int foreign = 1; foreign >= 0; foreign--) {
        coir_fiber reader = run_spawn(reads_one, NULL), first = run_spawn(selects, NULL);
        CHECK_EQ(coir_idle(COIR_NEVER), 0);
        coir_fiber second = run_spawn(receives, NULL);
        CHECK_EQ(coir_idle(COIR_NEVER), 0);
        CHECK_EQ(write(fds[1], "x", 1), 1);
        CHECK_EQ(run_join(reader), 0);
        CHECK_EQ(coir_idle(COIR_NEVER), 0);
        CHECK_EQ(coir_chan_send(&chan, &item, COIR_TRY), 0);
        CHECK_EQ(run_join(first), 7);
        CHECK_EQ(coir_chan_send(&chan, &item, COIR_TRY), 0);
        CHECK_EQ(run_join(second), 7);
        CHECK(!foreign || coir_adopt(fds[0]) == 0);
    }
    return 0;
}

/* proves: Z9, Q1 */
TEST(test_regress_select_lost_its_place_by_an_event_that_another_fiber_used_up)
{
    run_monotonic(keeps_its_place, NULL);
}

static int wakes_at_once(void *arg)
{
    CHECK_EQ(reads_one(arg), 0);
    CHECK_EQ(coir_queue_wake(&queue, 1), 1);
    return 0;
}

static int is_woken(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_chan_open(&chan, sizeof(int), 0), 0);
    CHECK_EQ(pipe(fds), 0);
    run_spawn(wakes_at_once, NULL);
    coir_fiber first = run_spawn(selects, NULL);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(run_join(first), 100);
    first = run_spawn(selects, NULL);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(write(fds[1], "y", 1), 1);
    CHECK_EQ(run_join(first), 200);
    return 0;
}

/* proves: Z9, Y3 */
TEST(test_regress_wake_was_lost_on_a_select_that_looked_at_a_descriptor)
{
    run_monotonic(is_woken, NULL);
}

/* ---- sources that do what they like ---- */

static coir_event event;
static coir_sem sem;
static coir_fiber self;
static int act_now, hangs;

enum { SETS, RELEASES, CLOSES, PUTS_BACK, ENDS_QUEUE, CANCELS, ACTS };

static int attempt_that_acts(coir_case *it)
{
    int item = 7;
    (void)it;
    switch (act_now) {
    case SETS: coir_event_set(&event); break;
    case RELEASES: coir_sem_release(&sem, 1); break;
    case CLOSES: coir_chan_close(&chan); break;
    case PUTS_BACK: coir_chan_put_back(&chan, &item); break;
    case ENDS_QUEUE: coir_queue_end(&queue); break;
    case CANCELS: coir_cancel(self, 0); break;
    }
    return COIR_TIMED_OUT;
}

static void count_hang(coir_case *it)
{
    (void)it;
    hangs++;
}

static const struct coir_source ACTS_FIRST = {"an actor", attempt_that_acts, count_hang,
                                              count_hang};

static int sees_what_attempts_do(void *arg)
{
    int item;
    (void)arg;
    self = coir_self();
    for (act_now = 0; act_now < ACTS; act_now++) {
        CHECK_EQ(coir_chan_open(&chan, sizeof item, 0), 0);
        event = (coir_event){{0}}, sem = (coir_sem){{0}}, queue = (coir_queue){{0}};
        coir_case cases[] = {coir_case_take(&event), coir_case_acquire(&sem),
                             coir_case_recv(&chan, &item), coir_case_queue(&queue),
                             coir_case_of(&ACTS_FIRST, NULL, NULL)};
        static const int EXPECT[] = {0, 1, 2, 2, 3, COIR_CANCELLED};
        CHECK_EQ(coir_select(cases, 5, 0, coir_after(COIR_MS(10))), EXPECT[act_now]);
        CHECK_EQ(hangs, 0);
        coir_chan_free(&chan, NULL, NULL);
    }
    return COIR_CANCELLED;
}

/* proves: Z8, C1 */
TEST(test_regress_what_an_attempt_did_was_missed_by_its_select)
{
    int result = 0;
    CHECK_EQ(run_as(sees_what_attempts_do, NULL, COIR_CLOCK_VIRTUAL, &result), 0);
}

static int attempt_that_parks(coir_case *it)
{
    (void)it;
    return coir_yield();
}

static const struct coir_source PARKS = {"a parker", attempt_that_parks, count_hang, count_hang};

static int select_of(void *arg)
{
    const struct coir_source *source = arg;
    coir_case it = coir_case_of(source, NULL, NULL);
    return coir_select(&it, 1, 0, coir_after(COIR_MS(1)));
}

/* proves: Z8, F5 */
TEST_DIES(test_regress_source_that_parked_was_not_noticed, SIGABRT,
          "coir_yield: called outside a fiber")
{
    run_virtual(select_of, (void *)(uintptr_t)&PARKS);
}

TEST_DIES(test_source_without_functions_is_a_mistake, SIGABRT, "coir_case_of: the source")
{
    static const struct coir_source NONE = {.name = "none"};
    coir_case_of(&NONE, NULL, NULL);
}

static pid_t child = -1;

static int attempt_that_forks(coir_case *it)
{
    (void)it;
    if (child < 0)
        child = fork();
    return COIR_TIMED_OUT;
}

static void fork_on_hang(coir_case *it)
{
    (void)it;
    if (child < 0)
        child = fork();
}

static int attempt_nothing(coir_case *it)
{
    (void)it;
    return COIR_TIMED_OUT;
}

static const struct coir_source FORKS[] = {
    {"a forker", attempt_that_forks, count_hang, count_hang},
    {"a forker", attempt_nothing, fork_on_hang, count_hang},
    {"a forker", attempt_nothing, count_hang, fork_on_hang},
};

static int forks_in_source(void *arg)
{
    int status = -1;
    child = -1;
    int result = select_of(arg);
    if (child == 0)
        _exit(result != -ECHILD);
    CHECK_EQ(result, COIR_TIMED_OUT);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    return 0;
}

/* proves: L1, F5 */
TEST(test_regress_child_that_a_source_forked_crashed)
{
    for (int i = 0; i < 3; i++)
        run_virtual(forks_in_source, (void *)(uintptr_t)&FORKS[i]);
}

static coir_case *hanging;

static void keep(coir_case *it)
{
    hanging = it;
}

static const struct coir_source KEPT = {"a \033[31mthing\n", attempt_nothing, keep, count_hang};

static int selects_kept(void *arg)
{
    coir_case it = coir_case_of(&KEPT, arg, NULL);
    CHECK_EQ(coir_select(&it, 1, 0, COIR_NEVER), 0);
    CHECK_EQ(it.result, COIR_TIMED_OUT);
    return 0;
}

static int ends_by_timed_out(void *arg)
{
    run_spawn(selects_kept, arg);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK(coir_case_end(hanging, COIR_TIMED_OUT));
    CHECK(!coir_case_end(hanging, 0));
    return 0;
}

/* proves: Z8 */
TEST(test_regress_case_that_ended_with_timed_out_did_not_end_its_select)
{
    run_virtual(ends_by_timed_out, NULL);
}

static int hangs_for_good(void *arg)
{
    coir_case it = coir_case_of(&KEPT, arg, NULL);
    return coir_select(&it, 1, 0, COIR_NEVER);
}

/* proves: Z8, F6 */
TEST(test_regress_name_of_a_source_stood_raw_in_reports)
{
    CHECK_EQ(run_as(hangs_for_good, NULL, COIR_CLOCK_VIRTUAL, NULL), -EDEADLK);
    CHECK(strstr(run_report, "waits for a ?[31mthing?\n"));
}

/* ---- calls that do not count ---- */

static int runs_beside(void *arg)
{
    *(bool *)arg = true;
    return 0;
}

static int fails_at_once(void *arg)
{
    (void)arg;
    return -EAGAIN;
}

static int lets_others_run(void *arg)
{
    for (int how = 0; how < 2; how++) {
        bool ran = false;
        coir_once once = {{0}};
        run_spawn(runs_beside, &ran);
        for (int i = 0; i < 10000 && !ran; i++)
            CHECK(how == 0 ? coir_select(NULL, 0, 0, COIR_NEVER) == -EINVAL
                           : coir_once_call(&once, fails_at_once, arg, COIR_NEVER) == -EAGAIN);
        CHECK(ran);
    }
    return 0;
}

/* proves: O3 */
TEST(test_regress_failing_selects_and_calls_let_nobody_else_run)
{
    run_virtual(lets_others_run, NULL);
}

static int adds_too_many(void *arg)
{
    coir_wait_group group = {{0}};
    (void)arg;
    coir_wait_group_add(&group, SIZE_MAX);
    coir_wait_group_add(&group, 1);
    return 0;
}

TEST_DIES(test_regress_wait_group_wrapped, SIGABRT, "coir_wait_group_add: more than")
{
    run_virtual(adds_too_many, NULL);
}

static int opens_too_large(void *arg)
{
    coir_chan garbage;
    (void)arg;
    memset(&garbage, 0xa5, sizeof garbage);
    CHECK_EQ(coir_chan_open(&garbage, SIZE_MAX / 2, 4), -ENOMEM);
    coir_chan_free(&garbage, NULL, NULL);
    return 0;
}

/* proves: Q6 */
TEST(test_regress_channel_whose_opening_failed_could_not_be_freed)
{
    run_virtual(opens_too_large, NULL);
}
