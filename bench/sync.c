/* What fibers have for each other, one measurement for each call; bench.h has the command line. */
#include <coir_select.h>

#include "bench.h"

enum { BUFFERED = 16, PRIMES_MOST = 100000 };

static void must(int result)
{
    if (result < 0)
        bench_must(0, coir_error_name(result));
}

static coir_chan chan;
static coir_time until;

static int sends(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < (uint64_t)bench_count; i++)
        must(coir_chan_send(&chan, &i, until));
    return 0;
}

/* One operation is an item that goes from one fiber to another, unbuffered. */
static int run_messages(coir_time deadline)
{
    uint64_t item;
    until = deadline;
    must(coir_chan_open(&chan, sizeof item, 0));
    must(coir_spawn(NULL, sends, NULL, NULL));
    bench_started_ns = bench_clock();
    for (long i = 0; i < bench_count; i++)
        must(coir_chan_recv(&chan, &item, until));
    bench_ended_ns = bench_clock();
    bench_must(item == (uint64_t)bench_count - 1, "the last item is the last");
    coir_chan_free(&chan, NULL, NULL);
    return 0;
}

static int run_chan(void *arg)
{
    (void)arg;
    return run_messages(COIR_NEVER);
}

static int run_chan_deadline(void *arg)
{
    (void)arg;
    return run_messages(coir_after(COIR_SEC(3600)));
}

/* A send and a receive, of which none waits. */
static int run_chan_buffered(void *arg)
{
    uint64_t item = 0;
    (void)arg;
    must(coir_chan_open(&chan, sizeof item, BUFFERED));
    for (long i = 0; i < bench_count; i++) {
        must(coir_chan_send(&chan, &item, COIR_NEVER));
        must(coir_chan_recv(&chan, &item, COIR_NEVER));
    }
    coir_chan_free(&chan, NULL, NULL);
    return 0;
}

static int run_event(void *arg)
{
    static coir_event event;
    (void)arg;
    for (long i = 0; i < bench_count; i++) {
        coir_event_set(&event);
        must(coir_event_take(&event, COIR_NEVER));
    }
    return 0;
}

static int run_mutex(void *arg)
{
    static coir_mutex mutex;
    (void)arg;
    for (long i = 0; i < bench_count; i++) {
        must(coir_mutex_lock(&mutex, COIR_NEVER));
        coir_mutex_unlock(&mutex);
    }
    return 0;
}

/* Two cases, of which the second is ready: an item, which is then sent again. */
static int run_select_2(void *arg)
{
    static coir_event event;
    uint64_t item = 0;
    (void)arg;
    must(coir_chan_open(&chan, sizeof item, 1));
    must(coir_chan_send(&chan, &item, COIR_NEVER));
    for (long i = 0; i < bench_count; i++) {
        coir_case cases[] = {coir_case_wait(&event), coir_case_recv(&chan, &item)};
        must(coir_select(cases, 2, 0, COIR_NEVER));
        must(coir_chan_send(&chan, &item, COIR_NEVER));
    }
    coir_chan_free(&chan, NULL, NULL);
    return 0;
}

/* The sieve of fibers: each lets through what its prime does not divide. One operation is a
 * prime. */
struct sieve {
    coir_chan in, *out;
    uint64_t prime;
};

static int counts(void *arg)
{
    int result = 0;
    for (uint64_t i = 2; result == 0; i++)
        result = coir_chan_send(arg, &i, COIR_NEVER);
    return result;
}

static int sieves(void *arg)
{
    struct sieve *sieve = arg;
    uint64_t number;
    int result;
    while ((result = coir_chan_recv(&sieve->in, &number, COIR_NEVER)) == 0)
        if (number % sieve->prime != 0 &&
            (result = coir_chan_send(sieve->out, &number, COIR_NEVER)) < 0)
            break;
    return result;
}

static int run_sieve(void *arg)
{
    static struct sieve all[PRIMES_MOST + 1];
    coir_scope scope;
    (void)arg;
    bench_must(bench_count <= PRIMES_MOST, "a count that is not too large");
    coir_scope_open(&scope, COIR_NEVER, 0);
    must(coir_chan_open(&all[0].in, sizeof(uint64_t), 0));
    must(coir_spawn(NULL, counts, &all[0].in, NULL));
    for (long i = 0; i < bench_count; i++) {
        must(coir_chan_recv(&all[i].in, &all[i].prime, COIR_NEVER));
        must(coir_chan_open(&all[i + 1].in, sizeof(uint64_t), 0));
        all[i].out = &all[i + 1].in;
        must(coir_spawn(NULL, sieves, &all[i], NULL));
    }
    must(coir_scope_cancel(&scope, 0));
    must(coir_scope_end(&scope, 0));
    for (long i = 0; i <= bench_count; i++)
        coir_chan_free(&all[i].in, NULL, NULL);
    return 0;
}

static const struct bench BENCHES[] = {
    {"chan", run_chan},
    {"chan_deadline", run_chan_deadline},
    {"chan_buffered", run_chan_buffered},
    {"event", run_event},
    {"mutex", run_mutex},
    {"select_2", run_select_2},
    {"sieve", run_sieve},
};

static void inside(int (*run)(void *arg))
{
    int result = 0;
    int error = coir_run(run, NULL, NULL, &result);
    bench_must(error == 0 && result == 0, "coir_run");
}

BENCH_MAIN(BENCHES, inside)
