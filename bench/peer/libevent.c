/* libevent's side of the benchmarks. An operation adds a timer and deletes it, with the precise
 * timers that libevent offers for the asking. */
#include "../bench.h"

#include <event2/event.h>
#include <event2/event_struct.h>

static struct event_base *base;

static void ignore(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    (void)arg;
}

static struct timeval interval(uint64_t ns)
{
    return (struct timeval){(time_t)(ns / 1000000000), (suseconds_t)(ns % 1000000000 / 1000)};
}

static void add(struct event *timer, uint64_t ns)
{
    struct timeval length = interval(ns);
    evtimer_add(timer, &length);
}

static int timers(long size, uint64_t (*length_ns)(void))
{
    struct event *crowd = calloc((size_t)size, sizeof *crowd), one;
    uint64_t seed = 1;
    for (long i = 0; i < size; i++) {
        evtimer_assign(&crowd[i], base, ignore, NULL);
        add(&crowd[i], bench_far_ns(&seed));
    }
    evtimer_assign(&one, base, ignore, NULL);
    bench_started_ns = bench_clock();
    for (long i = 0; i < bench_count; i++) {
        add(&one, length_ns());
        evtimer_del(&one);
    }
    bench_ended_ns = bench_clock();
    return 0;
}

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

static int run_wake_late(void *arg)
{
    (void)arg;
    struct event one;
    evtimer_assign(&one, base, ignore, NULL);
    for (long i = 0; i < bench_count; i++) {
        uint64_t began = bench_clock();
        add(&one, BENCH_NAP_NS);
        event_base_loop(base, EVLOOP_ONCE);
        bench_nap_note(i, began);
    }
    bench_nap_median();
    return 0;
}

static const struct bench BENCHES[] = {
    {"timer_100k", run_timer_100k},
    {"timer_1m", run_timer_1m},
    {"timer_last_1m", run_timer_last_1m},
    {"timer_any_1m", run_timer_any_1m},
    {"wake_late", run_wake_late},
};

static void inside(int (*run)(void *arg))
{
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(config);
    bench_must(base != NULL, "event_base_new_with_config");
    run(NULL);
}

BENCH_MAIN(BENCHES, inside)
