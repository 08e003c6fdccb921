/* State Threads' side of the benchmarks, over epoll.
 *
 * It has no call to yield. Threads that take turns signal the next one's condition and wait for
 * their own; st_usleep(0) would do the same by a timer and a look at the descriptors. */
#include "../bench.h"

#include <st.h>

enum { BATCH = 100, STACK = 64 * 1024, CROWD_STACK = 16 * 1024 };

static long width, turns;
static void (*before_all)(void);
static st_cond_t *gates, shared;
static st_utime_t limit = ST_UTIME_NO_TIMEOUT;

static st_thread_t spawn(void *(*fn)(void *), void *arg, int joinable, int stack)
{
    st_thread_t thread = st_thread_create(fn, arg, joinable, stack);
    bench_must(thread != NULL, "st_thread_create");
    return thread;
}

/* Switches: the one before waits, each in a queue of its own, and is signalled. They run in turn,
 * so a count tells whose turn it is. */

static long turn;

static st_cond_t next_gate(void)
{
    long self = turn, before = self > 0 ? self - 1 : width - 1;
    turn = self + 1 < width ? self + 1 : 0;
    st_cond_signal(gates[before]);
    return gates[self];
}

static int give_turn(void)
{
    return st_cond_wait(next_gate());
}

static void *yield_flat(void *arg)
{
    (void)arg;
    for (long i = 0; i < turns; i++)
        give_turn();
    next_gate();
    return NULL;
}

static void *yield_deep(void *arg)
{
    (void)arg;
    for (long i = 0; i < turns; i++)
        bench_deep_3(give_turn);
    next_gate();
    return NULL;
}

static void *yield_touched(void *arg)
{
    (void)arg;
    bench_use_stack();
    for (long i = 0; i < turns; i++)
        bench_touch_3(give_turn);
    next_gate();
    return NULL;
}

static int around(void *(*fn)(void *), long size, long each)
{
    st_thread_t *all = calloc((size_t)size, sizeof *all);
    width = size;
    turns = each;
    gates = calloc((size_t)size, sizeof *gates);
    for (long i = 0; i < size; i++)
        gates[i] = st_cond_new();
    for (long i = 0; i < size; i++)
        all[i] = spawn(fn, (void *)i, 1, STACK);
    if (before_all)
        before_all();
    bench_started_ns = bench_clock();
    for (long i = 0; i < size; i++)
        st_thread_join(all[i], NULL);
    return 0;
}

static int wide(void *(*fn)(void *), long size)
{
    return around(fn, size, bench_count / size);
}

static int run_yield_2(void *arg)
{
    (void)arg;
    return wide(yield_flat, 2);
}

static int run_yield_1000(void *arg)
{
    (void)arg;
    return wide(yield_flat, 1000);
}

static int run_yield_deep(void *arg)
{
    (void)arg;
    return wide(yield_deep, 1000);
}

static int run_yield_deep_10k(void *arg)
{
    (void)arg;
    return wide(yield_touched, 10000);
}

/* Births and ends. */

static void *end(void *arg)
{
    return arg;
}

static int run_spawn_end(void *arg)
{
    (void)arg;
    for (long i = 0; i < bench_count; i += BATCH) {
        for (int k = 0; k < BATCH; k++)
            spawn(end, NULL, 0, STACK);
        st_usleep(0);
    }
    return 0;
}

static int run_spawn_join(void *arg)
{
    (void)arg;
    for (long i = 0; i < bench_count; i++)
        st_thread_join(spawn(end, NULL, 1, STACK), NULL);
    return 0;
}

/* Park and wake. */

static st_cond_t here;

static int block(void)
{
    return st_cond_wait(here);
}

static void *park_flat(void *arg)
{
    long self = (long)arg;
    for (long i = 0; i < turns; i++) {
        st_cond_signal(gates[1 - self]);
        st_cond_timedwait(gates[self], limit);
    }
    st_cond_signal(gates[1 - self]);
    return NULL;
}

static void *park_deep(void *arg)
{
    long self = (long)arg;
    for (long i = 0; i < turns; i++) {
        st_cond_signal(gates[1 - self]);
        here = gates[self];
        bench_deep_3(block);
    }
    st_cond_signal(gates[1 - self]);
    return NULL;
}

static void *park_touched(void *arg)
{
    long self = (long)arg;
    bench_use_stack();
    for (long i = 0; i < turns; i++) {
        here = gates[self];
        bench_touch_3(block);
        st_cond_signal(gates[(self + 1) % width]);
    }
    return NULL;
}

static int run_park_wake(void *arg)
{
    (void)arg;
    return around(park_flat, 2, bench_count / 2);
}

static int run_park_deadline(void *arg)
{
    (void)arg;
    limit = 3600u * 1000000u;
    return around(park_flat, 2, bench_count / 2);
}

static int run_park_deep(void *arg)
{
    (void)arg;
    return around(park_deep, 2, bench_count / 2);
}

static void park_all(void)
{
    st_usleep(0);
    st_cond_signal(gates[0]);
}

static int run_park_deep_10k(void *arg)
{
    (void)arg;
    before_all = park_all;
    return around(park_touched, 10000, bench_count / 10000);
}

/* Crowds. */

static void *park_once(void *arg)
{
    st_cond_timedwait(shared, (st_utime_t)(uintptr_t)arg);
    return NULL;
}

static st_thread_t *crowd_make(long size, int timers)
{
    st_thread_t *crowd = calloc((size_t)size, sizeof *crowd);
    uint64_t seed = 1;
    shared = st_cond_new();
    for (long i = 0; i < size; i++) {
        st_utime_t until = timers ? bench_far_ns(&seed) / 1000 : ST_UTIME_NO_TIMEOUT;
        crowd[i] = spawn(park_once, (void *)(uintptr_t)until, 1, CROWD_STACK);
    }
    st_usleep(0);
    return crowd;
}

static int timers(long size, st_utime_t length_us)
{
    crowd_make(size, 1);
    limit = length_us;
    around(park_flat, 2, bench_count / 2);
    bench_ended_ns = bench_clock();
    return 0;
}

/* It has no channel: a place for one item, and who finds it full, or empty, waits for the other's
 * signal. */

static struct {
    st_cond_t filled, emptied;
    uint64_t item;
    int is_full;
} place;

static void *sends(void *arg)
{
    for (uint64_t i = 0; i < (uint64_t)bench_count; i++) {
        while (place.is_full)
            st_cond_wait(place.emptied);
        place.item = i;
        place.is_full = 1;
        st_cond_signal(place.filled);
    }
    return arg;
}

static int run_chan(void *arg)
{
    uint64_t item = 0;
    (void)arg;
    place.filled = st_cond_new();
    place.emptied = st_cond_new();
    spawn(sends, NULL, 0, 0);
    bench_started_ns = bench_clock();
    for (long i = 0; i < bench_count; i++) {
        while (!place.is_full)
            st_cond_wait(place.filled);
        item = place.item;
        place.is_full = 0;
        st_cond_signal(place.emptied);
    }
    bench_ended_ns = bench_clock();
    bench_must(item == (uint64_t)bench_count - 1, "the last item is the last");
    return 0;
}

static int run_timer_100k(void *arg)
{
    (void)arg;
    return timers(100000, 1800u * 1000000u);
}

static int run_timer_1m(void *arg)
{
    (void)arg;
    return timers(1000000, 1800u * 1000000u);
}

static int run_parked(long size)
{
    size_t before = bench_memory();
    bench_started_ns = bench_clock();
    st_thread_t *crowd = crowd_make(size, 0);
    bench_bytes = (double)(bench_memory() - before) / (double)size - sizeof *crowd;
    st_cond_broadcast(shared);
    for (long i = 0; i < size; i++)
        st_thread_join(crowd[i], NULL);
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

static long asleep;

static void *sleep_once(void *arg)
{
    st_usleep((st_utime_t)(uintptr_t)arg);
    if (--asleep == 0)
        st_cond_signal(shared);
    return NULL;
}

static int run_sleepers_100k(void *arg)
{
    (void)arg;
    uint64_t seed = 1;
    shared = st_cond_new();
    asleep = bench_count;
    for (long i = 0; i < bench_count; i++) {
        spawn(sleep_once, (void *)(uintptr_t)(bench_nap_ns(&seed) / 1000), 0, CROWD_STACK);
        if (i % BATCH == 0)
            st_usleep(0);
    }
    if (asleep > 0)
        st_cond_wait(shared);
    return 0;
}

static int run_wake_late(void *arg)
{
    (void)arg;
    for (long i = 0; i < bench_count; i++) {
        uint64_t began = bench_clock();
        st_usleep(BENCH_NAP_NS / 1000);
        bench_nap_note(i, began);
    }
    bench_nap_median();
    return 0;
}

static const struct bench BENCHES[] = {
    {"yield_2", run_yield_2},
    {"yield_1000", run_yield_1000},
    {"yield_deep", run_yield_deep},
    {"yield_deep_10k", run_yield_deep_10k},
    {"spawn_end", run_spawn_end},
    {"spawn_join", run_spawn_join},
    {"park_wake", run_park_wake},
    {"park_deadline", run_park_deadline},
    {"park_deep", run_park_deep},
    {"park_deep_10k", run_park_deep_10k},
    {"chan", run_chan},
    {"timer_100k", run_timer_100k},
    {"timer_1m", run_timer_1m},
    {"parked_100k", run_parked_100k},
    {"parked_1m", run_parked_1m},
    {"sleepers_100k", run_sleepers_100k},
    {"wake_late", run_wake_late},
};

static void inside(int (*run)(void *arg))
{
    st_set_eventsys(ST_EVENTSYS_ALT);
    bench_must(st_init() == 0, "st_init");
    run(NULL);
}

BENCH_MAIN(BENCHES, inside)
