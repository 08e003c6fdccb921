/* Five fibers sleep on a virtual clock, which costs no time: it jumps from deadline to deadline.
 * Equal deadlines wake in the order in which they were armed. (Capstone 1814.) */
#include <coir.h>

#include <stdio.h>

enum { SLEEPERS = 5 };

struct sleeper {
    int id;
    int64_t length_ns;
};

static struct {
    int id;
    uint64_t at_ns;
} woken[SLEEPERS];
static int woken_count;

static int sleep_and_log(void *arg)
{
    struct sleeper *sleeper = arg;
    if (coir_sleep(sleeper->length_ns) < 0)
        return 1;
    woken[woken_count].id = sleeper->id;
    woken[woken_count++].at_ns = coir_now().ns;
    return 0;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    struct sleeper sleepers[SLEEPERS] = {
        {1, COIR_MS(30)}, {2, COIR_MS(10)}, {3, COIR_MS(20)}, {4, COIR_MS(15)}, {5, COIR_MS(15)}};
    coir_sched *sched;
    if (coir_sched_new(&sched, &opts) < 0)
        return 1;
    for (int i = 0; i < SLEEPERS; i++)
        if (coir_spawn(NULL, sleep_and_log, &sleepers[i], NULL) < 0)
            return 1;
    if (coir_sched_run(sched) < 0)
        return 1;

    struct coir_stats stats;
    coir_stats(&stats);
    printf("wake order (id @ virtual-ms):\n");
    for (int i = 0; i < woken_count; i++)
        printf("  id=%d @ %llums\n", woken[i].id, (unsigned long long)woken[i].at_ns / 1000000);
    printf("final virtual clock: %llums\n", (unsigned long long)coir_now().ns / 1000000);
    printf("spawned: %llu\n", (unsigned long long)stats.spawned);
    coir_sched_free(sched);
    return 0;
}
