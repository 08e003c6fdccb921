/* Three fibers take turns: each appends its number to one log, three rounds, and lets the others
 * run in between. (Capstone 1811.) */
#include <coir.h>

#include <stdio.h>

enum { FIBERS = 3, ROUNDS = 3 };

static struct {
    int log[FIBERS * ROUNDS], count;
    int done[FIBERS];
} state;

static int append(void *arg)
{
    int id = *(int *)arg;
    for (int round = 0; round < ROUNDS; round++) {
        state.log[state.count++] = id;
        coir_yield();
    }
    state.done[id] = 1;
    return 0;
}

int main(void)
{
    coir_sched *sched;
    if (coir_sched_new(&sched, NULL) < 0)
        return 1;
    int ids[FIBERS] = {0, 1, 2};
    for (int i = 0; i < FIBERS; i++)
        if (coir_spawn(NULL, append, &ids[i], NULL) < 0)
            return 1;
    if (coir_sched_run(sched) < 0)
        return 1;

    struct coir_stats stats;
    coir_stats(&stats);
    printf("sequence:");
    for (int i = 0; i < state.count; i++)
        printf(" %d", state.log[i]);
    printf("\nspawned: %llu\ndone:", (unsigned long long)stats.spawned);
    for (int i = 0; i < FIBERS; i++)
        printf(" %d", state.done[i]);
    printf("\nall done: %llu\n", (unsigned long long)stats.ended);
    coir_sched_free(sched);
    return 0;
}
