/* Twenty thousand fibers, each asleep for its own time, in eighty megabytes and a fraction of a
 * second. A fiber is cheap enough to be the unit of thought. */
#include <coir.h>

#include <errno.h>
#include <stdio.h>

enum { CROWD = 20000 };

static coir_time deadlines[CROWD];
static uint64_t last_ns;
static int in_order = 1;

static int sleep_own_time(void *arg)
{
    const coir_time *until = arg;
    coir_sleep(coir_left(*until));
    if (coir_since(*until) != 0 || until->ns < last_ns)
        in_order = 0;
    last_ns = until->ns;
    return 0;
}

static int spawn_all(void *arg)
{
    struct coir_spawn_opts opts = {.stack_size = 16 * 1024};
    (void)arg;
    for (int i = 0; i < CROWD; i++) {
        deadlines[i] = coir_after(1 + i * 7919 % CROWD);
        if (coir_spawn(NULL, sleep_own_time, &deadlines[i], &opts) < 0)
            return -ENOMEM;
    }
    coir_sleep(CROWD + 1);
    struct coir_stats stats;
    coir_stats(&stats);
    printf("%llu fibers have slept and ended, %s\n", (unsigned long long)stats.ended,
           in_order ? "each at its nanosecond" : "not in order");
    return 0;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    return coir_run(spawn_all, NULL, &opts, NULL) < 0;
}
