/* GNU Pth's side of the benchmarks: threads of a library that keeps the signal mask and scans its
 * queues. No crowds: each of its turns looks at every thread that waits. */
#include "../bench.h"

#include <pth.h>

enum { BATCH = 100, STACK = 64 * 1024 };

static long turns;
static pth_attr_t detached, joinable;

static pth_t spawn(pth_attr_t attr, void *(*fn)(void *), void *arg)
{
    pth_t thread = pth_spawn(attr, fn, arg);
    bench_must(thread != NULL, "pth_spawn");
    return thread;
}

static int give_turn(void)
{
    return pth_yield(NULL);
}

static void *yield_flat(void *arg)
{
    for (long i = 0; i < turns; i++)
        pth_yield(NULL);
    return arg;
}

static void *yield_deep(void *arg)
{
    for (long i = 0; i < turns; i++)
        bench_deep_3(give_turn);
    return arg;
}

static int wide(void *(*fn)(void *), long width)
{
    pth_t *all = calloc((size_t)width, sizeof *all);
    turns = bench_count / width;
    for (long i = 0; i < width; i++)
        all[i] = spawn(joinable, fn, NULL);
    bench_started_ns = bench_clock();
    for (long i = 0; i < width; i++)
        pth_join(all[i], NULL);
    free(all);
    return 0;
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

static void *end(void *arg)
{
    return arg;
}

static int run_spawn_end(void *arg)
{
    (void)arg;
    for (long i = 0; i < bench_count; i += BATCH) {
        for (int k = 0; k < BATCH; k++)
            spawn(detached, end, NULL);
        pth_yield(NULL);
    }
    return 0;
}

static int run_spawn_join(void *arg)
{
    (void)arg;
    for (long i = 0; i < bench_count; i++)
        pth_join(spawn(joinable, end, NULL), NULL);
    return 0;
}

static int run_wake_late(void *arg)
{
    (void)arg;
    for (long i = 0; i < bench_count; i++) {
        uint64_t began = bench_clock();
        pth_usleep(BENCH_NAP_NS / 1000);
        bench_nap_note(i, began);
    }
    bench_nap_median();
    return 0;
}

static const struct bench BENCHES[] = {
    {"yield_2", run_yield_2},       {"yield_1000", run_yield_1000},
    {"yield_deep", run_yield_deep}, {"spawn_end", run_spawn_end},
    {"spawn_join", run_spawn_join}, {"wake_late", run_wake_late},
};

static void inside(int (*run)(void *arg))
{
    bench_must(pth_init(), "pth_init");
    detached = pth_attr_new();
    joinable = pth_attr_new();
    pth_attr_set(detached, PTH_ATTR_JOINABLE, 0);
    pth_attr_set(detached, PTH_ATTR_STACK_SIZE, STACK);
    pth_attr_set(joinable, PTH_ATTR_STACK_SIZE, STACK);
    run(NULL);
}

BENCH_MAIN(BENCHES, inside)
