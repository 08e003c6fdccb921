/* libev's side of the benchmarks. An operation starts a timer and stops it. wake_late runs over
 * select, because libev's epoll waits for whole milliseconds. */
#include "timers.h"

#include <ev.h>

static struct ev_loop *loop;

static void ignore(struct ev_loop *at, ev_timer *timer, int events)
{
    (void)at;
    (void)timer;
    (void)events;
}

static int timers(long size, uint64_t (*length_ns)(void))
{
    ev_timer *crowd = calloc((size_t)size, sizeof *crowd), one;
    uint64_t seed = 1;
    for (long i = 0; i < size; i++) {
        ev_timer_init(&crowd[i], ignore, (double)bench_far_ns(&seed) / 1e9, 0.);
        ev_timer_start(loop, &crowd[i]);
    }
    ev_init(&one, ignore);
    bench_started_ns = bench_clock();
    for (long i = 0; i < bench_count; i++) {
        ev_timer_set(&one, (double)length_ns() / 1e9, 0.);
        ev_timer_start(loop, &one);
        ev_timer_stop(loop, &one);
    }
    bench_ended_ns = bench_clock();
    return 0;
}

static int run_wake_late(void *arg)
{
    (void)arg;
    ev_timer one;
    ev_init(&one, ignore);
    for (long i = 0; i < bench_count; i++) {
        uint64_t began = bench_clock();
        ev_now_update(loop);
        ev_timer_set(&one, BENCH_NAP_NS / 1e9, 0.);
        ev_timer_start(loop, &one);
        ev_run(loop, EVRUN_ONCE);
        bench_nap_note(i, began);
    }
    bench_nap_median();
    return 0;
}

static const struct bench BENCHES[] = {
    BENCH_TIMERS,
    {"wake_late", run_wake_late},
};

static void inside(int (*run)(void *arg))
{
    loop = ev_loop_new(run == run_wake_late ? EVBACKEND_SELECT : EVBACKEND_EPOLL);
    bench_must(loop != NULL, "ev_loop_new");
    run(NULL);
}

BENCH_MAIN(BENCHES, inside)
