/* libevent's side of the benchmarks. An operation adds a timer and deletes it, with the precise
 * timers that libevent offers for the asking. */
#include "timers.h"

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
    BENCH_TIMERS,
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
