/* What the examples share in which coir lives in another loop: fibers in pairs, over a connection
 * each, of which one sleeps and asks, and the other echoes; on one clock and then on the other. */
#include <coir_io.h>

#include <stdio.h>

enum { CROWD = 1000, CROWD_ROUNDS = 10 };

static int crowd_ends[CROWD], crowd_spawned, crowd_echoes, crowd_early, crowd_runs;

static int crowd_ask(void *arg)
{
    int end = *(int *)arg;
    char byte = 'x';
    for (int i = 0; i < CROWD_ROUNDS; i++) {
        coir_time until = coir_after(COIR_MS(5));
        coir_sleep(COIR_MS(5));
        crowd_early += coir_left(until) > 0;
        coir_write(end, &byte, 1, COIR_NEVER);
        crowd_echoes += coir_read(end, &byte, 1, COIR_NEVER) == 1;
    }
    return coir_close(end);
}

static int crowd_echo(void *arg)
{
    int end = *(int *)arg;
    char byte;
    while (coir_read(end, &byte, 1, COIR_NEVER) == 1)
        coir_write(end, &byte, 1, COIR_NEVER);
    return coir_close(end);
}

/* Spawns `more` of them, an even number. Returns how many it were altogether. */
static int crowd_spawn(int more)
{
    for (; more > 0 && crowd_spawned < CROWD; more -= 2, crowd_spawned += 2) {
        int *ends = &crowd_ends[crowd_spawned];
        if (coir_socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0) {
            coir_spawn(NULL, crowd_ask, &ends[0], NULL);
            coir_spawn(NULL, crowd_echo, &ends[1], NULL);
        }
    }
    return crowd_spawned;
}

/* A scheduler on the monotonic clock, then one on the virtual clock, then none. */
static coir_sched *crowd_next_sched(void)
{
    static const enum coir_clock CLOCKS[] = {COIR_CLOCK_MONOTONIC, COIR_CLOCK_VIRTUAL};
    coir_sched *sched = NULL;
    crowd_spawned = crowd_echoes = crowd_early = 0;
    if (crowd_runs < 2)
        coir_sched_new(&sched, &(struct coir_sched_opts){.clock = CLOCKS[crowd_runs++]});
    return sched;
}

static void crowd_end(coir_sched *sched)
{
    struct coir_stats stats;
    coir_stats(&stats);
    printf("%s clock: %d of %d fibers have ended, %d echoes, %d sleeps too short\n",
           crowd_runs == 1 ? "monotonic" : "virtual", (int)stats.ended, crowd_spawned, crowd_echoes,
           crowd_early);
    coir_sched_free(sched);
}
