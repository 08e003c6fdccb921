/* The contract of scopes, cancels and races by the small programs that a critique of the first one
 * was made of: what each must say. The numbers are the critique's. */
#include "scopes.h"

#include <coir_io.h>

/* ---- S1: the body has a voice */

static int sleep_long(void *arg)
{
    return coir_sleep(arg ? COIR_MS(*(int *)arg) : COIR_SEC(1));
}

static int fail_proto(void *arg)
{
    (void)arg;
    coir_sleep(COIR_MS(1));
    return -EPROTO;
}

/* Returns a scope's result, in which `child` runs beside code that returns `result` after `ms`. */
static int beside(int (*child)(void *arg), int length_ms, int result)
{
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_alone(child, NULL);
    int slept = coir_sleep(COIR_MS(length_ms));
    return coir_scope_end(&scope, slept < 0 ? slept : result);
}

static int helper_may_go(void)
{
    coir_scope scope;
    struct coir_spawn_opts daemon = {.daemon = true};
    coir_scope_open(&scope, COIR_NEVER, 0);
    CHECK_EQ(coir_spawn(NULL, sleep_long, NULL, &daemon), 0);
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    return coir_scope_end(&scope, 0);
}

static int body(void *arg)
{
    (void)arg;
    CHECK_EQ(beside(fail_proto, 5, 0), -EPROTO);
    CHECK_EQ(now_ms(), 1);
    CHECK_EQ(beside(sleep_long, 0, -ECONNREFUSED), -ECONNREFUSED);
    CHECK_EQ(now_ms(), 1);
    CHECK_EQ(helper_may_go(), 0);
    CHECK_EQ(now_ms(), 6);
    return 0;
}

/* proves: C5, C6, C12 */
TEST(test_contract_s1_a_body_that_fails_ends_its_scope_and_one_that_is_done_lets_its_helpers_go)
{
    run_virtual(body, NULL);
}

/* ---- S2: enough is no error */

static int enough_inside(void *arg)
{
    coir_scope scope;
    coir_scope_open(&scope, arg ? coir_after(COIR_MS(3)) : COIR_NEVER, 0);
    spawn_alone(sleep_long, NULL);
    if (arg)
        return coir_scope_end(&scope, coir_sleep(COIR_SEC(9)) == COIR_CANCELLED ? 0 : 1);
    CHECK_EQ(coir_scope_cancel(&scope, 0), 0);
    return coir_scope_end(&scope, 0);
}

static int enough(void *arg)
{
    coir_scope outer;
    (void)arg;
    coir_scope_open(&outer, COIR_NEVER, 0);
    spawn_alone(enough_inside, NULL);
    CHECK_EQ(coir_sleep(COIR_MS(10)), 0);
    CHECK_EQ(coir_scope_end(&outer, 0), 0);
    CHECK_EQ(enough_inside(&outer), COIR_TIMED_OUT);
    return 0;
}

/* proves: C6 */
TEST(test_contract_s2_a_scope_that_has_had_enough_has_not_failed)
{
    run_virtual(enough, NULL);
}

/* ---- S3: a failure that is handled kills nobody */

static int primary(void *arg)
{
    (void)arg;
    return -ECONNRESET;
}

static int fall_back(void *arg)
{
    coir_fiber fiber;
    int result = 0;
    (void)arg;
    CHECK_EQ(coir_spawn(&fiber, primary, NULL, NULL), 0);
    CHECK_EQ(coir_join(fiber, &result, COIR_NEVER), 0);
    CHECK_EQ(result, -ECONNRESET);
    return coir_sleep(COIR_MS(1));
}

static int in_a_scope(void *arg)
{
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    return coir_scope_end(&scope, fall_back(NULL));
}

/* proves: C5 */
TEST(test_contract_s3_a_library_falls_back_whatever_scope_its_caller_has)
{
    run_virtual(fall_back, NULL);
    run_virtual(in_a_scope, NULL);
}

/* ---- S4: races */

static int unreachable(void *arg)
{
    coir_sleep(COIR_MS(*(int *)arg));
    return -ENETUNREACH;
}

static int connects(void *arg)
{
    int slept = coir_sleep(COIR_MS(*(int *)arg));
    return slept < 0 ? slept : 4;
}

static int happy_eyeballs(void *arg)
{
    coir_scope scope;
    coir_fiber attempts[2];
    int results[2];
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    CHECK_EQ(coir_spawn(&attempts[0], unreachable, &ms[MS_1], NULL), 0);
    CHECK_EQ(coir_sleep(COIR_MS(250)), 0);
    CHECK_EQ(coir_spawn(&attempts[1], connects, &ms[MS_20], NULL), 0);
    CHECK_EQ(coir_race(attempts, 2, results, COIR_NEVER), 1);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK_EQ(now_ms(), 270);

    struct coir_racer racers[] = {{unreachable, &ms[MS_1], 0},
                                  {connects, &ms[MS_20], COIR_MS(250)}};
    CHECK_EQ(coir_race_run(racers, 2, results, COIR_NEVER), 1);
    CHECK_EQ(results[0], -ENETUNREACH);
    CHECK_EQ(now_ms(), 270 + 21); /* the second starts when the first has failed */
    return 0;
}

/* proves: C5, R1, R2 */
TEST(test_contract_s4_happy_eyeballs)
{
    run_virtual(happy_eyeballs, NULL);
}

static int opens(void *arg)
{
    coir_scope shield;
    int ends[2];
    coir_sleep(COIR_MS(*(int *)arg));
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_pipe(ends), 0);
    CHECK_EQ(coir_close(ends[1]), 0);
    return coir_scope_end(&shield, ends[0]);
}

static int no_loser_leaks(void *arg)
{
    struct coir_racer racers[] = {
        {opens, &ms[MS_1], 0}, {opens, &ms[MS_1], 0}, {opens, &ms[MS_2], 0}};
    int results[3];
    int64_t limits[] = {COIR_SEC(1), COIR_MS(1)};
    (void)arg;
    for (int i = 0; i < 2; i++) {
        int winner = coir_race_run(racers, 3, results, coir_after(limits[i]));
        CHECK_EQ(winner, i == 0 ? 0 : COIR_TIMED_OUT);
        for (int k = 0; k < 3; k++)
            CHECK_EQ(coir_close(results[k]), 0); /* each has made one, also too late */
    }
    return 0;
}

/* proves: R1, R2 */
TEST(test_contract_s4b_what_losers_have_made_is_handed_out)
{
    run_virtual(no_loser_leaks, NULL);
}

/* ---- S5: a time-out adopts nothing */

static int background_steps;

static int background(void *arg)
{
    (void)arg;
    while (coir_sleep(COIR_MS(10)) == 0)
        background_steps++;
    return 0;
}

static int limited(void *arg)
{
    coir_scope limit;
    struct coir_spawn_opts daemon = {.daemon = true};
    (void)arg;
    coir_scope_open(&limit, coir_after(COIR_SEC(30)), COIR_LIMIT);
    CHECK_EQ(coir_spawn(NULL, background, NULL, &daemon), 0); /* a library's, at its first call */
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_scope_end(&limit, 0), 0);
    CHECK_EQ(now_ms(), 1);
    CHECK_EQ(coir_sleep(COIR_MS(99)), 0);
    CHECK_EQ(background_steps, 9);

    coir_scope_open(&limit, coir_after(COIR_MS(5)), COIR_LIMIT);
    CHECK_EQ(coir_scope_end(&limit, coir_sleep(COIR_SEC(1))), COIR_TIMED_OUT);
    CHECK_EQ(coir_sleep(COIR_MS(10)), 0);
    return background_steps == 11 ? 0 : 1;
}

/* proves: C12, C13 */
TEST(test_contract_s5_a_limit_around_a_call_leaves_alone_what_the_callee_starts)
{
    run_virtual(limited, NULL);
}

/* ---- S6: done is reported as done */

static int commits;

static int commit(void *arg)
{
    coir_scope shield;
    (void)arg;
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    int slept = coir_sleep(COIR_MS(20));
    commits++;
    return coir_scope_end(&shield, slept);
}

static int transaction(void)
{
    coir_scope scope;
    coir_scope_open(&scope, coir_after(COIR_MS(10)), 0);
    spawn_alone(commit, NULL);
    return coir_scope_end(&scope, 0);
}

static int retry(void *arg)
{
    int result, tries = 0;
    (void)arg;
    do
        result = transaction();
    while (result == COIR_TIMED_OUT && ++tries < 3);
    return result == 0 && commits == 1 ? 0 : 1;
}

/* proves: C3, C6 */
TEST(test_contract_s6_a_deadline_that_cut_nothing_short_is_no_time_out)
{
    run_virtual(retry, NULL);
}

/* ---- S7: nothing goes on behind one's back */

static int parent_of_a_sleeper(void *arg)
{
    spawn_alone(sleep_ms, arg);
    return coir_sleep(COIR_SEC(1));
}

static int write_later(void *arg)
{
    coir_scope shield;
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    int slept = coir_sleep(COIR_MS(10));
    memset(arg, 1, 8);
    return coir_scope_end(&shield, slept);
}

static int lends(void *arg)
{
    char buffer[8] = {0};
    coir_fiber writer;
    (void)arg;
    CHECK_EQ(coir_spawn(&writer, write_later, buffer, NULL), 0);
    CHECK_EQ(coir_join(writer, NULL, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(coir_finish(writer, COIR_CANCELLED, NULL), 0);
    CHECK_EQ(buffer[7], 1);
    return COIR_CANCELLED;
}

static int behind(void *arg)
{
    (void)arg;
    coir_fiber fiber = run_spawn(parent_of_a_sleeper, &ms[MS_100]);
    coir_yield();
    CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(fiber), COIR_CANCELLED);
    CHECK_EQ(now_ms(), 0);

    fiber = run_spawn(parent_of_a_sleeper, &ms[MS_100]);
    CHECK_EQ(coir_race(&fiber, 1, NULL, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    CHECK_EQ(now_ms(), 1);

    fiber = run_spawn(lends, NULL);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(fiber), COIR_CANCELLED);
    CHECK_EQ(now_ms(), 11);
    return 0;
}

/* proves: C4, C7, C14 */
TEST(test_contract_s7_a_cancel_and_a_lost_race_reach_the_children_and_a_finish_is_firm)
{
    run_virtual(behind, NULL);
    CHECK_STR(run_log, "COIR_CANCELLED COIR_CANCELLED");
}
