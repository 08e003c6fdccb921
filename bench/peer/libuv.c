/* libuv's side of the benchmarks. An operation starts a timer and stops it. Its times are whole
 * milliseconds, so it has no 200 µs to be late for. */
#include "timers.h"

#include <uv.h>

static uv_loop_t *loop;

static void ignore(uv_timer_t *timer)
{
    (void)timer;
}

static int timers(long size, uint64_t (*length_ns)(void))
{
    uv_timer_t *crowd = calloc((size_t)size, sizeof *crowd), one;
    uint64_t seed = 1;
    for (long i = 0; i < size; i++) {
        uv_timer_init(loop, &crowd[i]);
        uv_timer_start(&crowd[i], ignore, bench_far_ns(&seed) / 1000000, 0);
    }
    uv_timer_init(loop, &one);
    bench_started_ns = bench_clock();
    for (long i = 0; i < bench_count; i++) {
        uv_timer_start(&one, ignore, length_ns() / 1000000, 0);
        uv_timer_stop(&one);
    }
    bench_ended_ns = bench_clock();
    return 0;
}

static const struct bench BENCHES[] = {
    BENCH_TIMERS,
};

static void inside(int (*run)(void *arg))
{
    loop = uv_default_loop();
    bench_must(loop != NULL, "uv_default_loop");
    run(NULL);
}

BENCH_MAIN(BENCHES, inside)
