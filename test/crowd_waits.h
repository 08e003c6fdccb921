/* Crowds of fibers that wait for one thing: they are woken in order, and none of them costs more
 * because of the others. The program that includes this defines CROWD_MOST. */
#ifndef TEST_CROWD_WAITS_H
#define TEST_CROWD_WAITS_H

#define TEST_SECONDS 120
#include "inside.h"
#include "run.h"

#include <coir_chan.h>
#include <coir_select.h>
#include <coir_sync.h>
#include <coir_test.h>

enum { FEWER = 20000, FEWEST = 3000, MANY = 20000, THINGS = 20 };

static coir_chan chan, answers;
static coir_event events[THINGS];
static coir_sem sems[THINGS];
static coir_queue queues[THINGS];
static coir_mutex mutexes[THINGS];
static int64_t next; /* of those that were woken */
static int64_t out_of_order;

/* A waiting fiber of this size of stack has 4.5 KB of memory. */
static int crowd_size(void)
{
    double free_bytes = 0;
#ifdef _SC_AVPHYS_PAGES
    free_bytes = (double)sysconf(_SC_AVPHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
#endif
    if (CR_SAN_ADDRESS || CR_SAN_THREAD || getenv("COIR_TEST_SLOW") ||
        getenv("COIR_TEST_VALGRIND"))
        return FEWEST;
#ifdef NDEBUG
    return free_bytes > 8e9 ? CROWD_MOST : FEWER;
#else
    return free_bytes > 1e9 ? FEWER : FEWEST;
#endif
}

/* ---- in order ---- */

static void woken(int64_t number)
{
    out_of_order += number != next;
    next++;
}

/* Each fiber waits for one thing after the other: spawning them is what takes long. */
static int wait_for_all(void *arg)
{
    int64_t number = (int64_t)(intptr_t)arg, item = -1;
    CHECK_EQ(coir_chan_recv(&chan, &item, COIR_NEVER), 0);
    CHECK_EQ(item, number);
    woken(number);
    CHECK_EQ(coir_chan_send(&answers, &number, COIR_NEVER), 0);
    woken(number);
    CHECK_EQ(coir_event_take(&events[0], COIR_NEVER), 0);
    woken(number);
    CHECK_EQ(coir_event_wait(&events[1], COIR_NEVER), 0);
    woken(number);
    CHECK_EQ(coir_sem_acquire(&sems[0], COIR_NEVER), 0);
    woken(number);
    CHECK_EQ(coir_queue_wait(&queues[0], COIR_NEVER), 0);
    woken(number);
    return 0;
}

static void serve_receivers(int count)
{
    for (int64_t i = 0; i < count; i++)
        CHECK_EQ(coir_chan_send(&chan, &i, COIR_TRY), 0);
}

static void serve_senders(int count)
{
    for (int64_t i = 0, item = -1; i < count; i++) {
        CHECK_EQ(coir_chan_recv(&answers, &item, COIR_TRY), 0);
        CHECK_EQ(item, i);
    }
}

static void serve_takers(int count)
{
    for (int i = 0; i < count; i++)
        coir_event_set(&events[0]);
}

static void open_gate(int count)
{
    (void)count;
    coir_event_set(&events[1]);
}

static void serve_permits(int count)
{
    coir_sem_release(&sems[0], (uint64_t)count / 2);
    for (int i = count / 2; i < count; i++)
        coir_sem_release(&sems[0], 1);
}

static void serve_queue(int count)
{
    CHECK_EQ(coir_queue_wake(&queues[0], 5), 5);
    CHECK_EQ(coir_queue_wake(&queues[0], SIZE_MAX), count - 5);
}

static void spawn_crowd(int (*fn)(void *), int count)
{
    struct coir_spawn_opts opts = {.stack_size = 16 * 1024, .detached = true};
    for (int i = 0; i < count; i++)
        CHECK_EQ(coir_spawn(NULL, fn, (void *)(intptr_t)i, &opts), 0);
    CHECK_EQ(coir_sleep(0), 0); /* all of them wait */
}

static int in_order(void *arg)
{
    static void (*const SERVES[])(int count) = {serve_receivers, serve_senders, serve_takers,
                                                open_gate, serve_permits, serve_queue};
    int count = *(int *)arg;
    CHECK_EQ(coir_chan_open(&chan, sizeof(int64_t), 0), 0);
    CHECK_EQ(coir_chan_open(&answers, sizeof(int64_t), 0), 0);
    spawn_crowd(wait_for_all, count);
    for (size_t i = 0; i < sizeof SERVES / sizeof *SERVES; i++) {
        next = 0;
        SERVES[i](count);
        CHECK_EQ(coir_sleep(0), 0);
        CHECK_EQ(next, count);
        CHECK_EQ(out_of_order, 0);
    }
    coir_chan_free(&chan, NULL, NULL);
    coir_chan_free(&answers, NULL, NULL);
    return 0;
}

/* proves: Q1, Y2, Y3, M5 */
TEST(test_a_crowd_of_waiters_is_woken_in_order)
{
    int count = crowd_size();
    fprintf(stderr, "\nnote: %d waiters\n", count);
    run_virtual(in_order, &count);
}

/* ---- at the same cost ---- */

/* The same number of fibers waits in each trial, so that caches and pages cost the same: a thousand
 * for each of some things, or all of them for one. */

static int wait_event(int at)
{
    return coir_event_wait(&events[at], COIR_NEVER);
}

static int wait_take(int at)
{
    return coir_event_take(&events[at], COIR_NEVER);
}

static int wait_queue(int at)
{
    return coir_queue_wait(&queues[at], COIR_NEVER);
}

static int wait_sem(int at)
{
    return coir_sem_acquire(&sems[at], COIR_NEVER);
}

static int wait_mutex(int at)
{
    int result = coir_mutex_lock(&mutexes[at], COIR_NEVER);
    coir_mutex_unlock(&mutexes[at]);
    return result;
}

/* Its other case hangs where all others of its thing hang too, and is stale afterwards. */
static int wait_select(int at)
{
    coir_case cases[] = {coir_case_take(&events[at]), coir_case_acquire(&sems[at])};
    int which = coir_select(cases, 2, 0, COIR_NEVER);
    return which < 0 ? which : cases[which].result;
}

static int wait_cancelled(int at)
{
    return coir_event_wait(&events[at], COIR_NEVER) == COIR_CANCELLED ? 0 : -EIO;
}

static void wake_event(int at)
{
    coir_event_set(&events[at]);
}

static void wake_queue(int at)
{
    CHECK_EQ(coir_queue_wake(&queues[at], 1), 1);
}

static void wake_sem(int at)
{
    coir_sem_release(&sems[at], 1);
}

static void wake_mutex(int at)
{
    (void)at; /* each unlocks for the next */
}

static coir_fiber handles[MANY];
static int last;

/* The last first, which a search would find last. */
static void wake_by_cancel(int at)
{
    (void)at;
    CHECK_EQ(coir_cancel(handles[last--], 0), 0);
}

struct trial {
    const char *name;
    int (*wait)(int at);
    void (*wake)(int at); /* one; called as often as fibers wait for the thing */
};

static const struct trial TRIALS[] = {
    {"take", wait_take, wake_event},        {"gate", wait_event, wake_event},
    {"queue", wait_queue, wake_queue},      {"permit", wait_sem, wake_sem},
    {"mutex", wait_mutex, wake_mutex},      {"select", wait_select, wake_event},
    {"select, 2", wait_select, wake_sem},   {"cancel", wait_cancelled, wake_by_cancel},
};

static const struct trial *trial;
static int gone;

static int wait_in_trial(void *arg)
{
    int result = trial->wait((int)(intptr_t)arg);
    gone++;
    return result;
}

static double cpu_seconds(void)
{
    struct timespec now;
    CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Processor time of a trial, the lives of its fibers included: some clocks are coarse. */
static double measure(int count, int things)
{
    struct coir_spawn_opts opts = {.stack_size = 16 * 1024};
    memset(events, 0, sizeof events);
    memset(sems, 0, sizeof sems);
    last = count - 1;
    gone = 0;
    double began = cpu_seconds();
    for (int i = 0; i < things; i++)
        CHECK_EQ(coir_mutex_lock(&mutexes[i], COIR_TRY), 0);
    for (int i = 0; i < count; i++)
        CHECK_EQ(coir_spawn(&handles[i], wait_in_trial, (void *)(intptr_t)(i % things), &opts), 0);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(gone, 0);
    for (int i = 0; i < things; i++)
        coir_mutex_unlock(&mutexes[i]);
    for (int i = 0; i < count; i++)
        trial->wake(i % things);
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    CHECK_EQ(gone, count);
    for (int i = 0; i < count; i++)
        CHECK_EQ(coir_join(handles[i], NULL, COIR_TRY), 0);
    return cpu_seconds() - began;
}

/* The best of several tries. The clock of some systems moves by 10 ms. */
static void compare(const char *name, double (*measure_one)(int count, int things), int count)
{
    double few = 1e9, all = 1e9;
    for (int tries = 0; tries < 3 || (all >= 3 * few && tries < 20); tries++) {
        double one = measure_one(count, THINGS), other = measure_one(count, 1);
        few = one < few ? one : few;
        all = other < all ? other : all;
        few = few < 0.01 ? 0.01 : few;
    }
    fprintf(stderr, "%s: %.0f ns each of %d, %.0f ns each of %d\n", name, few / count * 1e9,
            count / THINGS, all / count * 1e9, count);
    CHECK(all < 3 * few);
}

static int same_cost(void *arg)
{
    for (size_t i = 0; i < sizeof TRIALS / sizeof *TRIALS; i++) {
        trial = &TRIALS[i];
        compare(trial->name, measure, *(int *)arg);
    }
    return 0;
}

/* proves: Q1, Y2, W5 */
TEST(test_a_waiter_costs_as_much_among_twenty_thousand_as_among_a_thousand)
{
    int count = crowd_size() < MANY ? crowd_size() : MANY;
    test_skip_under_valgrind();
    run_virtual(same_cost, &count);
}

/* ---- a barrier ---- */

static coir_barrier barrier;
static int parties;

static int wait_at_barrier(void *arg)
{
    int result = coir_barrier_wait(&barrier, (size_t)parties, COIR_NEVER);
    next++;
    return arg && result < 0 ? result : 0;
}

static double measure_barrier(int count, int groups)
{
    double began = cpu_seconds();
    parties = count / groups;
    next = 0;
    spawn_crowd(wait_at_barrier, count);
    CHECK_EQ(coir_sleep(0), 0);
    CHECK_EQ(next, count);
    return cpu_seconds() - began;
}

static int barrier_cost(void *arg)
{
    compare("barrier", measure_barrier, *(int *)arg);
    return 0;
}

/* proves: M6 */
TEST(test_a_party_costs_as_much_at_a_barrier_for_many_as_at_one_for_few)
{
    int count = crowd_size() < MANY ? crowd_size() : MANY;
    test_skip_under_valgrind();
    run_virtual(barrier_cost, &count);
}

#endif
