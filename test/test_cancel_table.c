/* How each call that blocks ends in each situation: one table, one driver. Times are milliseconds
 * of the virtual clock. What a call waits for happens at 5, its own deadline is at 3, a cancel
 * comes at 2; of two things at one instant, both happen at 5. */
#include "fds.h"

#include "clock.h"
#include "inside.h"

#include <limits.h>

enum situation {
    COMPLETED, OWN_DEADLINE, ONCE, CANCELLED_BEFORE, CANCELLED_DURING, COMPLETED_THEN_CANCELLED,
    CANCELLED_THEN_COMPLETED, SCOPE_DEADLINE, SCOPE_DEADLINE_TOO, FREED, SITUATIONS
};

static const char *const SITUATION[SITUATIONS] = {
    "completed", "own deadline", "until 0", "cancelled before", "cancelled during",
    "completed, then cancelled", "cancelled, then completed", "scope's deadline",
    "scope's deadline at the same instant", "scheduler freed"};

enum call {
    JOIN, JOIN_ALL, JOIN_ANY, RACE, SLEEP, SLEEP_WOKEN, PARK, WAIT_FD, WAIT_FD_WOKEN, WAIT_ADOPTED,
    READ, READ_ADOPTED, WRITE, WRITE_ADOPTED, YIELD, CLOSE, CALLS
};

enum { AT_CANCEL = 2, AT_DEADLINE = 3, AT_END = 5, NEVER = 50, SUCCESS = 7, LENGTH = 1 };
enum { NO = INT_MIN, CUT = COIR_CANCELLED, TIME = COIR_TIMED_OUT };

/* The results, and when they come; NO: there is no such thing. */
static const struct row {
    const char *name;
    struct {
        int result, at_ms;
    } in[SITUATIONS];
} ROWS[CALLS] = {
    [JOIN] = {"coir_join", {{0, 5}, {TIME, 3}, {TIME, 0}, {CUT, 0}, {CUT, 2}, {0, 5},
                            {CUT, 5}, {CUT, 2}, {CUT, 5}, {CUT, 2}}},
    [JOIN_ALL] = {"coir_join_all", {{0, 5}, {TIME, 3}, {TIME, 0}, {CUT, 0}, {CUT, 2}, {0, 5},
                                    {CUT, 5}, {CUT, 2}, {CUT, 5}, {CUT, 2}}},
    [JOIN_ANY] = {"coir_join_any", {{0, 5}, {TIME, 3}, {TIME, 0}, {CUT, 0}, {CUT, 2}, {0, 5},
                                    {CUT, 5}, {CUT, 2}, {CUT, 5}, {CUT, 2}}},
    [RACE] = {"coir_race", {{0, 5}, {TIME, 3}, {TIME, 0}, {CUT, 0}, {CUT, 2}, {0, 5},
                            {CUT, 5}, {CUT, 2}, {CUT, 5}, {CUT, 2}}},
    /* The timers of an instant fire before a fiber runs that could cancel anything. */
    [SLEEP] = {"coir_sleep", {{0, 5}, {0, 3}, {0, 0}, {CUT, 0}, {CUT, 2}, {0, 5},
                              {0, 5}, {CUT, 2}, {CUT, 5}, {CUT, 2}}},
    [SLEEP_WOKEN] = {"coir_sleep, woken", {{-EINTR, 5}, {0, 3}, {0, 0}, {CUT, 0}, {CUT, 2},
                                           {-EINTR, 5}, {CUT, 5}, {CUT, 2}, {CUT, 5},
                                           {CUT, 2}}},
    [PARK] = {"coir_park", {{0, 5}, {TIME, 3}, {TIME, 0}, {CUT, 0}, {CUT, 2}, {0, 5},
                            {CUT, 5}, {CUT, 2}, {CUT, 5}, {CUT, 2}}},
    [WAIT_FD] = {"coir_wait_fd", {{COIR_IN, 5}, {TIME, 3}, {TIME, 0}, {CUT, 0}, {CUT, 2},
                                  {COIR_IN, 5}, {CUT, 5}, {CUT, 2}, {CUT, 5}, {CUT, 2}}},
    [WAIT_FD_WOKEN] = {"coir_wait_fd, woken", {{-EINTR, 5}, {TIME, 3}, {TIME, 0}, {CUT, 0},
                                               {CUT, 2}, {-EINTR, 5}, {CUT, 5}, {CUT, 2},
                                               {CUT, 5}, {CUT, 2}}},
    [WAIT_ADOPTED] = {"coir_wait_fd, adopted", {{COIR_IN, 5}, {TIME, 3}, {TIME, 0}, {CUT, 0},
                                                {CUT, 2}, {COIR_IN, 5}, {CUT, 5}, {CUT, 2},
                                                {CUT, 5}, {CUT, 2}}},
    [READ] = {"coir_read", {{1, 5}, {TIME, 3}, {TIME, 0}, {CUT, 0}, {CUT, 2}, {1, 5},
                            {CUT, 5}, {CUT, 2}, {CUT, 5}, {CUT, 2}}},
    [READ_ADOPTED] = {"coir_read, adopted", {{1, 5}, {TIME, 3}, {TIME, 0}, {CUT, 0}, {CUT, 2},
                                             {1, 5}, {CUT, 5}, {CUT, 2}, {CUT, 5}, {CUT, 2}}},
    [WRITE] = {"coir_write", {{1, 5}, {TIME, 3}, {TIME, 0}, {CUT, 0}, {CUT, 2}, {1, 5},
                              {CUT, 5}, {CUT, 2}, {CUT, 5}, {CUT, 2}}},
    [WRITE_ADOPTED] = {"coir_write, adopted", {{1, 5}, {TIME, 3}, {TIME, 0}, {CUT, 0}, {CUT, 2},
                                               {1, 5}, {CUT, 5}, {CUT, 2}, {CUT, 5},
                                               {CUT, 2}}},
    [YIELD] = {"coir_yield", {{0, 0}, {NO, 0}, {NO, 0}, {CUT, 0}, {CUT, 0}, {NO, 0}, {NO, 0},
                              {NO, 0}, {NO, 0}, {CUT, 0}}},
    /* A cancel that cuts nothing short changes nothing. */
    [CLOSE] = {"coir_scope_end", {{0, 5}, {TIME, 3}, {NO, 0}, {CUT, 0}, {CUT, 2}, {0, 5},
                                  {0, 5}, {CUT, 2}, {CUT, 5}, {CUT, 2}}},
};

static enum call call;
static enum situation when;
static struct fds_pair channel;
static coir_fiber targets[2], subject;
static int result, at_ms;
static bool is_time_to_free;

static int now_ms(void)
{
    return (int)(now_ns() / 1000000);
}

static bool reads(void)
{
    return call == READ || call == READ_ADOPTED;
}

static bool writes(void)
{
    return call == WRITE || call == WRITE_ADOPTED;
}

static bool has_fd(void)
{
    return reads() || writes() || call == WAIT_FD || call == WAIT_FD_WOKEN || call == WAIT_ADOPTED;
}

/* ---- what is waited for, and what cancels */

static int sleep_to(int ms)
{
    return coir_sleep(COIR_MS(ms - now_ms()));
}

static int end_at_5(void *arg)
{
    int slept = sleep_to(AT_END);
    return slept < 0 ? slept : arg ? SUCCESS : 0;
}

static int complete_at_5(void *arg)
{
    (void)arg;
    if (sleep_to(AT_END) < 0)
        return COIR_CANCELLED;
    if (writes())
        fds_drain(channel.in);
    else if (has_fd() && call != WAIT_FD_WOKEN)
        fds_put(channel.out, "x");
    else
        coir_wake(subject);
    if (when == COMPLETED_THEN_CANCELLED) {
        fds_until_woken(subject);
        CHECK_EQ(coir_cancel(subject, COIR_CANCELLED), 0);
    }
    return 0;
}

static int cancel_it(void *arg)
{
    (void)arg;
    for (int i = 0; when == COMPLETED_THEN_CANCELLED && i < 3; i++)
        coir_yield(); /* what completes it arms its timer first */
    if (call != YIELD)
        sleep_to(when == CANCELLED_DURING ? AT_CANCEL : AT_END);
    coir_cancel(subject, COIR_CANCELLED);
    return 0;
}

static int tell_time(void *arg)
{
    (void)arg;
    sleep_to(AT_CANCEL);
    is_time_to_free = true;
    return 0;
}

/* ---- the call */

static int close_a_scope(coir_time until)
{
    coir_scope scope;
    coir_scope_open(&scope, until, 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_spawn(NULL, end_at_5, &result, NULL), 0);
    if (when == CANCELLED_BEFORE)
        CHECK_EQ(coir_cancel(coir_self(), COIR_CANCELLED), 0);
    return coir_scope_end(&scope, 0);
}

/* The winner's result, or where there is none nobody's. */
static int race_both(int *value, coir_time until)
{
    int values[2];
    int winner = coir_race(targets, 2, values, until);
    if (winner >= 0)
        *value = values[winner];
    return winner;
}

static int make_the_call(coir_time until)
{
    static char byte;
    int value = -1, values[2], outcome;
    switch (call) {
    case JOIN: outcome = coir_join(targets[0], &value, until); break;
    case JOIN_ALL: outcome = coir_join_all(targets, 2, values, until); break;
    case JOIN_ANY: outcome = coir_join_any(targets, 2, &value, until); break;
    case RACE: outcome = race_both(&value, until); break;
    case SLEEP:
    case SLEEP_WOKEN: return coir_sleep(cr_is_try(until) ? 0 : coir_left(until));
    case PARK: return coir_park(until);
    case WAIT_FD:
    case WAIT_ADOPTED:
    case WAIT_FD_WOKEN: return coir_wait_fd(channel.in, COIR_IN, until);
    case READ:
    case READ_ADOPTED: return (int)coir_read(channel.in, &byte, LENGTH, until);
    case WRITE:
    case WRITE_ADOPTED: return (int)coir_write(channel.out, &byte, LENGTH, until);
    case YIELD: return coir_yield();
    default: return close_a_scope(until);
    }
    if (call == JOIN_ALL && outcome == 0)
        value = values[0] == values[1] ? values[0] : -1;
    CHECK_EQ(value, outcome == 0 ? SUCCESS : -1);
    return outcome;
}

/* The results that the call has taken are gone; others are not. */
static void check_taken(int outcome)
{
    bool both = call == RACE || (call == JOIN_ALL && outcome == 0);
    bool first = both || ((call == JOIN || call == JOIN_ANY) && outcome == 0);
    if (call > RACE)
        return;
    CHECK_EQ(inside_is_gone(targets[0]), first);
    CHECK_EQ(inside_is_gone(targets[1]), both);
}

/* Right after the call, while others still live: nothing of it is on any ring. */
static void check_call_left_nothing(void)
{
    struct cr_fiber *self = cr_sched_self;
    CHECK(!self->wait && self->timer.deadline_ns == UINT64_MAX);
    CHECK_EQ(self->sched->outside, 0);
    for (int i = 0; i < 2; i++)
        CHECK(!inside_fiber(targets[i]) || cr_list_empty(&inside_fiber(targets[i])->joiners));
    for (int i = 0; has_fd() && i < 2; i++) {
        struct cr_fd *entry = inside_fd(i ? channel.in : channel.out);
        CHECK(!entry || !inside_fd_is_waited_for(entry));
        CHECK(!entry || entry->attached <= entry->owned);
    }
}

static int make_it(void *arg)
{
    coir_scope scope;
    bool scoped = when == SCOPE_DEADLINE || when == SCOPE_DEADLINE_TOO;
    int64_t limit = COIR_MS(when == SCOPE_DEADLINE ? AT_CANCEL : AT_END);
    int64_t left = COIR_MS(when == OWN_DEADLINE ? AT_DEADLINE : call == SLEEP ? AT_END : NEVER);
    coir_time until = when == ONCE ? COIR_TRY : coir_after(left);
    (void)arg;
    if (scoped)
        coir_scope_open(&scope, coir_after(limit), 0);
    if (when == CANCELLED_BEFORE && call != CLOSE)
        CHECK_EQ(coir_cancel(coir_self(), COIR_CANCELLED), 0);
    result = make_the_call(until);
    at_ms = now_ms();
    check_call_left_nothing();
    check_taken(result);
    if (scoped)
        CHECK_EQ(coir_scope_end(&scope, result), result < 0 ? COIR_TIMED_OUT : result);
    return 0;
}

/* ---- the driver */

static void spawn_all(void)
{
    bool cancels = when == CANCELLED_DURING || when == CANCELLED_THEN_COMPLETED ||
                 when == COMPLETED_THEN_CANCELLED;
    bool ends = call <= RACE, wakes = has_fd() || call == PARK || call == SLEEP_WOKEN;
    if (call == READ_ADOPTED || call == WRITE_ADOPTED || call == WAIT_ADOPTED)
        CHECK_EQ(coir_adopt(writes() ? channel.out : channel.in), 0);
    if (cancels && when != COMPLETED_THEN_CANCELLED && call != YIELD)
        run_spawn(cancel_it, NULL);
    for (int i = 0; ends && i < 2; i++)
        targets[i] = run_spawn(end_at_5, &result);
    subject = run_spawn(make_it, NULL);
    if (wakes)
        run_spawn(complete_at_5, NULL);
    if (cancels && (call == YIELD || (when == COMPLETED_THEN_CANCELLED && !wakes)))
        run_spawn(cancel_it, NULL);
    if (when == FREED && call != YIELD)
        run_spawn(tell_time, NULL);
}

static void check_nothing_left(struct coir_sched *sched)
{
    CHECK_EQ(sched->live, 0);
    CHECK(!sched->ready);
    CHECK_EQ(sched->timers.count, 0);
    CHECK_EQ(sched->timers.room, sched->timers.capacity);
    CHECK_EQ(sched->shields, 0);
    CHECK_EQ(sched->outside, 0);
    struct coir_stats stats;
    coir_stats(&stats);
    CHECK(stats.spawned == stats.ended && stats.parked == 0 && stats.parked_fd == 0);
}

static void run_case(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL, .report = run_report_line};
    coir_sched *sched;
    int open = fds_open();
    memset(targets, 0, sizeof targets);
    result = at_ms = -1;
    is_time_to_free = false;
    channel = has_fd() ? fds_pipe(0) : (struct fds_pair){-1, -1};
    if (writes())
        fds_fill(channel.out);
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    spawn_all();
    if (when == FREED) {
        do
            CHECK(coir_sched_step(sched, 1) >= 0);
        while (!is_time_to_free && call != YIELD);
    } else {
        CHECK_EQ(coir_sched_run(sched), 0);
        CHECK(now_ms() <= AT_END);
        check_nothing_left(sched);
    }
    coir_sched_free(sched);
    if (has_fd())
        fds_close(channel);
    CHECK_EQ(fds_open(), open);
    CHECK_STR(run_report, "");
}

/* Says how a case ends that differs, and goes on. */
static int compare_case(void)
{
    const struct row *row = &ROWS[call];
    int wanted = row->in[when].result, wanted_ms = row->in[when].at_ms;
    if (wanted == NO)
        return 0;
    fprintf(stderr, "%s, %s: ", row->name, SITUATION[when]);
    run_case();
    fprintf(stderr, "%d at %d ms", result, at_ms);
    if (result != wanted || at_ms != wanted_ms)
        fprintf(stderr, " instead of %d at %d ms", wanted, wanted_ms);
    fputc('\n', stderr);
    return result != wanted || at_ms != wanted_ms;
}

/* proves: C1, C3, C7, E5, W1, W4, T4 */
TEST(test_each_call_ends_as_the_table_says_and_leaves_nothing)
{
    int wrong = 0, cases = 0;
    for (call = 0; call < CALLS; call++)
        for (when = 0; when < SITUATIONS; when++) {
            wrong += compare_case();
            cases++;
        }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(cases, CALLS * SITUATIONS);
}
