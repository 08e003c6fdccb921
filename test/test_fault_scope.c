/* Memory and mappings that fail under scopes with deadlines, local values and races. */
#define TEST_SECONDS 60
#include "fault.h"

#include <coir_local.h>

enum { COUNT = 100 }; /* more than the first timers, slots and watches */

static int destroyed;

static void count_destroyed(void *value)
{
    destroyed += *(int *)value;
}

static const coir_local ONE = {.destroy = count_destroyed};
static int one = 1;

static coir_fiber spawn(int (*fn)(void *), void *arg, bool inherit)
{
    coir_fiber fiber;
    struct coir_spawn_opts opts = {.stack_size = 16 * 1024, .inherit = inherit};
    CHECK_EQ(FAULT_TRY(coir_spawn(&fiber, fn, arg, &opts)), 0);
    return fiber;
}

static int sleep_and_set(void *arg)
{
    int *number = arg;
    CHECK_EQ(FAULT_TRY(coir_local_set(&ONE, &one)), 0);
    int slept = coir_sleep(COIR_MS(1 + *number));
    return slept < 0 ? slept : *number;
}

static int nest(void *arg)
{
    static coir_scope scopes[COUNT];
    int number = 0;
    (void)arg;
    for (int i = 0; i < COUNT; i++) {
        enum fault_point before = fault.failed;
        coir_scope_open(&scopes[i], coir_after(COIR_MS(1000 - i)), i == 7 ? COIR_SHIELD : 0);
        fault.told += fault.failed != before; /* it does without that memory */
        if (i % 10 == 0)
            spawn(sleep_and_set, &number, i % 20 == 0);
    }
    int result = coir_sleep(COIR_MS(950));
    CHECK_EQ(result, COIR_CANCELLED);
    for (int i = COUNT - 1; i >= 0; i--, result = 0)
        CHECK_EQ(coir_scope_end(&scopes[i], result), i == COUNT - 1 ? COIR_TIMED_OUT : 0);
    return 0;
}

/* Each deadline comes, also one that memory was short for; of each third as a grace. */
static int expire(void *arg)
{
    static coir_scope scopes[COUNT];
    (void)arg;
    for (int i = 0; i < COUNT; i++) {
        enum fault_point before = fault.failed;
        bool winds = i % 3 == 0;
        coir_scope_open(&scopes[i], i % 6 == 0 ? COIR_NEVER : coir_after(COIR_MS(1000 - i)), 0);
        if (winds)
            CHECK_EQ(coir_scope_wind_down(&scopes[i], COIR_MS(1000 - i) - 1), 0);
        fault.told += fault.failed != before;
    }
    coir_time began = coir_now();
    for (int i = COUNT - 1; i >= 0; i--) {
        int result = coir_sleep(COIR_SEC(2));
        CHECK_EQ(result, COIR_CANCELLED);
        CHECK_EQ(coir_since(began), COIR_MS(1000 - i) - (i % 3 == 0));
        CHECK_EQ(coir_scope_end(&scopes[i], result), i % 3 == 0 ? 0 : COIR_TIMED_OUT);
    }
    return 0;
}

static int race(void *arg)
{
    static int numbers[COUNT];
    static coir_fiber fibers[COUNT];
    int results[COUNT], result = -1;
    (void)arg;
    CHECK_EQ(FAULT_TRY(coir_local_set(&ONE, &one)), 0);
    for (int i = 0; i < COUNT; i++) {
        numbers[i] = i;
        fibers[i] = spawn(sleep_and_set, &numbers[i], false);
    }
    CHECK_EQ(FAULT_TRY(coir_join_any(fibers, COUNT, &result, COIR_NEVER)), 0);
    CHECK_EQ(FAULT_TRY(coir_join_all(fibers + 1, 20, results, COIR_NEVER)), 0);
    CHECK_EQ(results[19], 20);
    CHECK_EQ(FAULT_TRY(coir_race(fibers + 21, COUNT - 21, results, COIR_NEVER)), 0);
    CHECK_EQ(results[0], 21);
    return 0;
}

static int started;

static int start(void *arg)
{
    started++;
    return *(int *)arg;
}

static int race_functions(void *arg)
{
    static struct coir_racer racers[COUNT];
    int results[COUNT], result;
    (void)arg;
    for (int i = 0; i < COUNT; i++)
        racers[i] = (struct coir_racer){start, &one, 0};
    do {
        enum fault_point before = fault.failed;
        started = 0;
        result = coir_race_run(racers, COUNT, results, COIR_NEVER);
        fault.told += fault.failed != before && result == -ENOMEM;
        CHECK(result == 0 || (result == -ENOMEM && started == 0));
    } while (result < 0);
    CHECK_EQ(results[0], 1);
    return 0;
}

static int copies;

static void *make_copy(void *value)
{
    copies++;
    return value;
}

static void destroy_copy(void *value)
{
    (void)value;
    copies--;
}

static const coir_local COPY = {.inherit = make_copy, .destroy = destroy_copy};

static int bequeath(void *arg)
{
    int zero = 0;
    (void)arg;
    CHECK_EQ(FAULT_TRY(coir_local_set(&COPY, &one)), 0);
    copies++;
    for (int i = 0; i < COUNT; i++)
        spawn(sleep_and_set, &zero, true);
    CHECK_EQ(copies, COUNT + 1); /* a spawn that failed has left none */
    return coir_sleep(COIR_MS(2));
}

static int run(int (*fn)(void *))
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    int result = -1;
    destroyed = 0;
    CHECK_EQ(FAULT_TRY(coir_run(fn, NULL, &opts, &result)), 0);
    return result;
}

static int nests(void)
{
    CHECK_EQ(run(nest), 0);
    CHECK_EQ(destroyed, COUNT / 10);
    return 0;
}

static int expires(void)
{
    CHECK_EQ(run(expire), 0);
    return 0;
}

static int races(void)
{
    CHECK_EQ(run(race), 0);
    CHECK_EQ(destroyed, 1 + COUNT);
    return 0;
}

static int races_of_functions(void)
{
    CHECK_EQ(run(race_functions), 0);
    return 0;
}

static int bequests(void)
{
    copies = 0;
    CHECK_EQ(run(bequeath), 0);
    CHECK_EQ(copies, 0);
    return 0;
}

/* proves: F1, V2 */
TEST(test_fault_in_bequests)
{
    fault_each("bequests", bequests);
}

/* proves: C11, F1 */
TEST(test_fault_in_scopes_with_deadlines)
{
    fault_each("nests", nests);
}

/* proves: C11, C15, F1 */
TEST(test_fault_in_scopes_of_which_each_deadline_comes)
{
    fault_each("expires", expires);
}

/* proves: F1, R4 */
TEST(test_fault_in_races)
{
    fault_each("races", races);
}

/* proves: F1, R2 */
TEST(test_regress_race_of_functions_without_memory_for_its_wait_runs_them_all)
{
    fault_each("races of functions", races_of_functions);
}
