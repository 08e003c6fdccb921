/* coir's operations, one measurement for each call; bench.h has the command line. tool/bench runs
 * it, also under callgrind with two counts, whose difference is exact. */
#include <coir.h>

#include "bench.h"

#include <unistd.h>

enum { BATCH = 100, CROWD_STACK = 16 * 1024 };

static void must(int result)
{
    if (result < 0)
        bench_must(0, coir_error_name(result));
}

static coir_fiber spawn(int (*fn)(void *), void *arg, size_t stack_size)
{
    coir_fiber fiber;
    must(coir_spawn(&fiber, fn, arg, &(struct coir_spawn_opts){.stack_size = stack_size}));
    return fiber;
}

/* Baselines. */

static int __attribute__((noinline)) call_this(long i)
{
    __asm__ volatile("" ::"r"(i));
    return 0;
}

static int run_call(void *arg)
{
    (void)arg;
    for (long i = 0; i < bench_count; i++)
        call_this(i);
    return 0;
}

static int run_syscall(void *arg)
{
    (void)arg;
    for (long i = 0; i < bench_count; i++)
        getppid();
    return 0;
}

/* Switches: `width` fibers yield in turn; each operation is one yield. */

static long width, turns;

static int yield_flat(void *arg)
{
    (void)arg;
    for (long i = 0; i < turns; i++)
        coir_yield();
    return 0;
}

static int yield_deep(void *arg)
{
    (void)arg;
    for (long i = 0; i < turns; i++)
        bench_deep_3(coir_yield);
    return 0;
}

static int yield_touched(void *arg)
{
    (void)arg;
    bench_use_stack();
    for (long i = 0; i < turns; i++)
        bench_touch_3(coir_yield);
    return 0;
}

static int run_wide(int (*fn)(void *), long fibers)
{
    width = fibers;
    turns = bench_count / width;
    coir_fiber *all = calloc((size_t)width, sizeof *all);
    for (long i = 0; i < width; i++)
        all[i] = spawn(fn, NULL, 0);
    bench_started_ns = bench_clock();
    for (long i = 0; i < width; i++)
        must(coir_join(all[i], NULL, COIR_NEVER));
    free(all);
    return 0;
}

static int run_yield_2(void *arg)
{
    (void)arg;
    return run_wide(yield_flat, 2);
}

static int run_yield_1000(void *arg)
{
    (void)arg;
    return run_wide(yield_flat, 1000);
}

static int run_yield_deep(void *arg)
{
    (void)arg;
    return run_wide(yield_deep, 1000);
}

static int run_yield_deep_10k(void *arg)
{
    (void)arg;
    return run_wide(yield_touched, 10000);
}

/* Births and ends. */

static int end(void *arg)
{
    (void)arg;
    return 0;
}

static int run_spawn_end(void *arg)
{
    (void)arg;
    for (long i = 0; i < bench_count; i += BATCH) {
        for (int k = 0; k < BATCH; k++)
            must(coir_spawn(NULL, end, NULL, NULL));
        coir_yield();
    }
    return 0;
}

static int run_spawn_join(void *arg)
{
    (void)arg;
    for (long i = 0; i < bench_count; i++) {
        coir_fiber fiber;
        must(coir_spawn(&fiber, end, NULL, NULL));
        must(coir_join(fiber, NULL, COIR_NEVER));
    }
    return 0;
}

/* Scopes: opened and closed with nothing in them, with a deadline, with one child. */

static int scopes(coir_time until, int (*child)(void *arg))
{
    for (long i = 0; i < bench_count; i++) {
        coir_scope scope;
        coir_scope_open(&scope, until, 0);
        if (child)
            must(coir_spawn(NULL, child, NULL, NULL));
        must(coir_scope_end(&scope, 0));
    }
    return 0;
}

static int run_scope_empty(void *arg)
{
    (void)arg;
    return scopes(COIR_NEVER, NULL);
}

static int run_scope_deadline(void *arg)
{
    (void)arg;
    return scopes(coir_after(COIR_SEC(3600)), NULL);
}

static int run_scope_join(void *arg)
{
    (void)arg;
    return scopes(COIR_NEVER, end);
}

/* Park and wake: two fibers wake each other; one operation is a wake, a park and a switch. */

static coir_fiber partner[2];
static coir_time park_until;

static int park_flat(void *arg)
{
    coir_fiber other = partner[1 - (long)arg];
    for (long i = 0; i < turns; i++) {
        coir_wake(other);
        coir_park(park_until);
    }
    coir_wake(other);
    return 0;
}

static int block_on_park(void)
{
    return coir_park(COIR_NEVER);
}

static int park_deep(void *arg)
{
    coir_fiber other = partner[1 - (long)arg];
    for (long i = 0; i < turns; i++) {
        coir_wake(other);
        bench_deep_3(block_on_park);
    }
    coir_wake(other);
    return 0;
}

static int run_park(int (*fn)(void *))
{
    turns = bench_count / 2;
    for (long i = 0; i < 2; i++)
        partner[i] = spawn(fn, (void *)i, 0);
    bench_started_ns = bench_clock();
    for (int i = 0; i < 2; i++)
        must(coir_join(partner[i], NULL, COIR_NEVER));
    return 0;
}

static int run_park_wake(void *arg)
{
    (void)arg;
    return run_park(park_flat);
}

static int run_park_deadline(void *arg)
{
    (void)arg;
    park_until = coir_after(COIR_SEC(3600));
    return run_park(park_flat);
}

static int run_park_deep(void *arg)
{
    (void)arg;
    return run_park(park_deep);
}

/* Ten thousand in a ring: each is woken by the one before it, wakes the next and parks. */

static coir_fiber *ring;

static int park_touched(void *arg)
{
    long self = (long)arg;
    coir_fiber next = ring[(self + 1) % width];
    bench_use_stack();
    for (long i = 0; i < turns; i++) {
        bench_touch_3(block_on_park);
        coir_wake(next);
    }
    return 0;
}

static int run_park_deep_10k(void *arg)
{
    (void)arg;
    width = 10000;
    turns = bench_count / width;
    ring = calloc((size_t)width, sizeof *ring);
    for (long i = 0; i < width; i++)
        ring[i] = spawn(park_touched, (void *)i, 0);
    coir_yield();
    bench_started_ns = bench_clock();
    coir_wake(ring[0]);
    for (long i = 0; i < width; i++)
        must(coir_join(ring[i], NULL, COIR_NEVER));
    free(ring);
    return 0;
}

/* Timers and parked fibers, in crowds. */

static int park_once(void *arg)
{
    return coir_park(COIR_TIME_NS((uintptr_t)arg));
}

/* Parks a crowd until spread-out far deadlines, or forever. */
static coir_fiber *crowd_make(long size, bool timers)
{
    coir_fiber *crowd = calloc((size_t)size, sizeof *crowd);
    uint64_t now = coir_now().ns, seed = 1;
    for (long i = 0; i < size; i++) {
        uint64_t until = timers ? now + bench_far_ns(&seed) : COIR_NEVER.ns;
        crowd[i] = spawn(park_once, (void *)(uintptr_t)until, CROWD_STACK);
    }
    coir_yield();
    return crowd;
}

static void crowd_end(coir_fiber *crowd, long size)
{
    for (long i = 0; i < size; i++)
        coir_wake(crowd[i]);
    for (long i = 0; i < size; i++)
        must(coir_join(crowd[i], NULL, COIR_NEVER));
    free(crowd);
}

/* One operation arms a timer and cancels it: a park with a deadline that a wake ends. */
static int run_timers(long size, int (*fn)(void *arg), int64_t length_ns)
{
    coir_fiber *crowd = crowd_make(size, true);
    park_until = coir_after(length_ns);
    run_park(fn);
    bench_ended_ns = bench_clock();
    crowd_end(crowd, size);
    return 0;
}

static int run_timer_100k(void *arg)
{
    (void)arg;
    return run_timers(100000, park_flat, COIR_SEC(1800));
}

static int run_timer_1m(void *arg)
{
    (void)arg;
    return run_timers(1000000, park_flat, COIR_SEC(1800));
}

/* Later than all that are pending, as the time limit of a connection is that just did something. */
static int run_timer_last_1m(void *arg)
{
    (void)arg;
    return run_timers(1000000, park_flat, COIR_SEC(12 * 3600));
}

/* Anywhere among those that are pending, another place each time. */
static int park_anywhere(void *arg)
{
    coir_fiber other = partner[1 - (long)arg];
    uint64_t now = coir_now().ns, seed = (uint64_t)(long)arg + 2;
    for (long i = 0; i < turns; i++) {
        coir_wake(other);
        coir_park(COIR_TIME_NS(now + bench_far_ns(&seed)));
    }
    coir_wake(other);
    return 0;
}

static int run_timer_any_1m(void *arg)
{
    (void)arg;
    return run_timers(1000000, park_anywhere, 0);
}

/* One operation is the life of a parked fiber: spawned, parked, woken, joined. */
static int run_parked(long size)
{
    size_t before = bench_memory();
    bench_started_ns = bench_clock();
    coir_fiber *crowd = crowd_make(size, false);
    bench_bytes = (double)(bench_memory() - before) / (double)size - sizeof *crowd;
    crowd_end(crowd, size);
    bench_count = size;
    return 0;
}

static int run_parked_100k(void *arg)
{
    (void)arg;
    return run_parked(100000);
}

static int run_parked_1m(void *arg)
{
    (void)arg;
    return run_parked(1000000);
}

/* Each sleeps once. */
static int sleep_once(void *arg)
{
    return coir_sleep((int64_t)(uintptr_t)arg);
}

static int run_sleepers_100k(void *arg)
{
    (void)arg;
    struct coir_spawn_opts opts = {.stack_size = CROWD_STACK};
    uint64_t seed = 1;
    for (long i = 0; i < bench_count; i++) {
        must(coir_spawn(NULL, sleep_once, (void *)(uintptr_t)bench_nap_ns(&seed), &opts));
        if (i % BATCH == 0)
            coir_yield();
    }
    return 0;
}

static int run_wake_late(void *arg)
{
    (void)arg;
    for (long i = 0; i < bench_count; i++) {
        uint64_t began = bench_clock();
        must(coir_sleep(BENCH_NAP_NS));
        bench_nap_note(i, began);
    }
    bench_nap_median();
    return 0;
}

static const struct bench BENCHES[] = {
    {"call", run_call},
    {"syscall", run_syscall},
    {"yield_2", run_yield_2},
    {"yield_1000", run_yield_1000},
    {"yield_deep", run_yield_deep},
    {"spawn_end", run_spawn_end},
    {"spawn_join", run_spawn_join},
    {"scope_empty", run_scope_empty},
    {"scope_deadline", run_scope_deadline},
    {"scope_join", run_scope_join},
    {"park_wake", run_park_wake},
    {"park_deadline", run_park_deadline},
    {"park_deep", run_park_deep},
    {"yield_deep_10k", run_yield_deep_10k},
    {"park_deep_10k", run_park_deep_10k},
    {"timer_100k", run_timer_100k},
    {"timer_1m", run_timer_1m},
    {"timer_last_1m", run_timer_last_1m},
    {"timer_any_1m", run_timer_any_1m},
    {"parked_100k", run_parked_100k},
    {"parked_1m", run_parked_1m},
    {"sleepers_100k", run_sleepers_100k},
    {"wake_late", run_wake_late},
};

static void inside(int (*run)(void *arg))
{
    must(coir_run(run, NULL, NULL, NULL));
}

BENCH_MAIN(BENCHES, inside)
