/* The benchmarks of timers for a peer that is an event loop: where each arms its timer, against how
 * many. The peer's `timers` makes the crowd, and times the arming and cancelling of one more. */
#ifndef BENCH_TIMERS_H
#define BENCH_TIMERS_H

#include "../bench.h"

static int timers(long size, uint64_t (*length_ns)(void));

static uint64_t half_an_hour(void)
{
    return UINT64_C(1800000000000);
}

static uint64_t half_a_day(void)
{
    return 24 * half_an_hour();
}

static uint64_t anywhere(void)
{
    static uint64_t seed = 2;
    return bench_far_ns(&seed);
}

static int run_timer_100k(void *arg)
{
    (void)arg;
    return timers(100000, half_an_hour);
}

static int run_timer_1m(void *arg)
{
    (void)arg;
    return timers(1000000, half_an_hour);
}

static int run_timer_last_1m(void *arg)
{
    (void)arg;
    return timers(1000000, half_a_day);
}

static int run_timer_any_1m(void *arg)
{
    (void)arg;
    return timers(1000000, anywhere);
}

#define BENCH_TIMERS                                                                               \
    {"timer_100k", run_timer_100k}, {"timer_1m", run_timer_1m},                                    \
        {"timer_last_1m", run_timer_last_1m}, {"timer_any_1m", run_timer_any_1m}

#endif
