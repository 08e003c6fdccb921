/* The core alone: this program is linked without world, io and run (CMakeLists.txt), and drives
 * a scheduler itself, with a clock of its own. What compiles and runs here needs no descriptor, no
 * kernel but for memory, and no loop but the few lines of `drive`. */
#include "../src/core/ends.h"
#include "../src/core/scope.h"

#include "test.h"

#include <coir.h>

static struct coir_sched sched;
static uint64_t clock_ns;

static uint64_t own_clock(struct coir_sched *asks)
{
    CHECK(asks == &sched);
    return clock_ns;
}

/* A whole loop: fire, run, jump. Returns how many fibers are left parked for good. */
static uint64_t drive(void)
{
    while (sched.live > 0) {
        cr_sched_fire(&sched);
        if (sched.ready) {
            cr_sched_serve(&sched, 256);
            continue;
        }
        uint64_t next = cr_sched_deadline(&sched);
        if (next == CR_NEVER)
            break;
        CHECK(next > clock_ns);
        clock_ns = next;
    }
    return sched.live;
}

static void begin(void)
{
    struct coir_sched_opts opts = {.stack_size = 16 * 1024};
    memset(&sched, 0, sizeof sched);
    clock_ns = 1000;
    CHECK_EQ(cr_sched_init(&sched, &opts, own_clock), 0);
    cr_sched_here = &sched;
}

static void end(void)
{
    CHECK_EQ(sched.live, 0);
    CHECK_EQ(sched.outside, 0);
    cr_sched_fini(&sched);
    cr_sched_here = NULL;
}

static int order[16], steps;

static int sleeper(void *arg)
{
    int length = *(int *)arg, result = coir_sleep(length);
    if (result < 0)
        return result;
    order[steps++] = length;
    return length;
}

/* proves: O1, O4, T1 */
TEST(test_core_sleeps_by_a_clock_of_its_drivers_own)
{
    static int lengths[] = {30, 10, 20, 10};
    begin();
    for (int i = 0; i < 4; i++)
        CHECK_EQ(coir_spawn(NULL, sleeper, &lengths[i], NULL), 0);
    CHECK_EQ(drive(), 0);
    CHECK(order[0] == 10 && order[1] == 10 && order[2] == 20 && order[3] == 30);
    CHECK_EQ(clock_ns, 1030);
    end();
}

static int number(void *arg)
{
    coir_yield();
    return *(int *)arg;
}

static int family(void *arg)
{
    static int numbers[] = {1, -5, 3}, lengths[] = {100, 200, 1000};
    coir_fiber fibers[3];
    int results[3];
    coir_scope scope;
    (void)arg;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_spawn(&fibers[i], number, &numbers[i], NULL), 0);
    CHECK_EQ(coir_join_all(fibers, 3, results, COIR_NEVER), 0);
    CHECK(results[0] == 1 && results[1] == -5 && results[2] == 3);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_spawn(&fibers[i], sleeper, &lengths[i], NULL), 0);
    CHECK_EQ(coir_race(fibers, 2, results, COIR_NEVER), 0);
    CHECK_EQ(results[0], 100);
    coir_scope_open(&scope, coir_after(50), 0);
    CHECK_EQ(coir_spawn(NULL, sleeper, &lengths[2], NULL), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), COIR_TIMED_OUT);
    CHECK_EQ(coir_park(coir_after(7)), COIR_TIMED_OUT);
    return 0;
}

/* proves: C5, R1, E3 */
TEST(test_core_has_joins_races_and_scopes)
{
    begin();
    CHECK_EQ(coir_spawn(NULL, family, NULL, NULL), 0);
    CHECK_EQ(drive(), 0);
    end();
}

static int waits_for_ever(void *arg)
{
    int result = coir_park(COIR_NEVER);
    (void)arg;
    return result;
}

/* proves: W1 */
TEST(test_core_tells_its_driver_when_nothing_can_run_any_more)
{
    coir_fiber fiber;
    begin();
    CHECK_EQ(coir_spawn(&fiber, waits_for_ever, NULL, NULL), 0);
    CHECK_EQ(drive(), 1);
    CHECK_EQ(coir_wake(fiber), 1);
    CHECK_EQ(drive(), 0);
    CHECK_EQ(coir_join(fiber, NULL, COIR_TRY), 0);
    end();
}

/* ---- groups ---- */

/* A fiber in two rings of the test's own, which goes on when both of its waits have ended. */
static struct pair {
    struct cr_group group;
    struct cr_wait members[2];
    int left;
} pair;

static struct cr_list rings[2];
static int outcome;

static const struct cr_wait_kind PAIR = {.name = "two", .woken = -EBUSY, .expired = COIR_TIMED_OUT};

static bool both(struct cr_group *group, struct cr_wait *member)
{
    CHECK(group == &pair.group && (member == &pair.members[0] || member == &pair.members[1]));
    return --pair.left == 0;
}

static int waits_for_both(void *arg)
{
    coir_time until = *(coir_time *)arg;
    pair.left = 2;
    cr_group_init(&pair.group, cr_sched_self, both);
    for (int i = 0; i < 2; i++) {
        cr_list_init(&rings[i]);
        cr_group_join(&pair.group, &pair.members[i]);
        cr_list_append(&rings[i], &pair.members[i].link);
    }
    outcome = cr_sched_park(cr_sched_self, &pair.group.park, &PAIR, until);
    for (int i = 0; i < 2; i++)
        cr_group_remove(&pair.members[i]);
    return 0;
}

/* proves: W1, W4 */
TEST(test_core_lets_a_fiber_hang_on_several_rings)
{
    coir_fiber fiber;
    begin();
    CHECK_EQ(coir_spawn(&fiber, waits_for_both, &COIR_NEVER, NULL), 0);
    CHECK_EQ(drive(), 1);
    cr_sched_end(&pair.members[1], 11);
    CHECK(cr_list_empty(&rings[1]) && !cr_list_empty(&rings[0]));
    CHECK_EQ(drive(), 1); /* one is not enough */
    CHECK_EQ(coir_wake(fiber), -EBUSY);
    cr_sched_end(&pair.members[0], 10);
    CHECK_EQ(drive(), 0);
    CHECK_EQ(outcome, 0);
    CHECK(pair.members[0].result == 10 && pair.members[1].result == 11);
    CHECK(cr_list_empty(&rings[0]) && cr_list_empty(&rings[1]));
    CHECK_EQ(coir_join(fiber, NULL, COIR_TRY), 0);
    end();
}

/* proves: W4, C1 */
TEST(test_core_takes_a_fiber_off_all_rings_however_its_wait_ends)
{
    coir_fiber fiber;
    for (int how = 0; how < 2; how++) {
        begin();
        coir_time until = how ? COIR_TIME_NS(1500) : COIR_NEVER;
        CHECK_EQ(coir_spawn(&fiber, waits_for_both, &until, NULL), 0);
        cr_sched_serve(&sched, 256);
        if (!how)
            CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
        CHECK_EQ(drive(), 0);
        CHECK_EQ(outcome, how ? COIR_TIMED_OUT : COIR_CANCELLED);
        CHECK(cr_list_empty(&rings[0]) && cr_list_empty(&rings[1]));
        CHECK_EQ(coir_join(fiber, NULL, COIR_TRY), 0);
        end();
    }
}
