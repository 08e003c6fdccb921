/* Living inside somebody else's loop: it gives coir a step, and then attends to its own affairs.
 * With the monotonic clock it would do so until coir_sched_deadline when a step says
 * COIR_STEP_WAITING; a virtual clock never waits. */
#include <coir.h>

#include <stdio.h>

static int tick(void *arg)
{
    for (int i = 1; i <= 3; i++) {
        coir_sleep(COIR_MS(10));
        printf("%s tick %d\n", (const char *)arg, i);
    }
    return 0;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    coir_sched *sched;
    char names[2][8] = {"left", "right"};
    if (coir_sched_new(&sched, &opts) < 0)
        return 1;
    for (int i = 0; i < 2; i++)
        if (coir_spawn(NULL, tick, names[i], NULL) < 0)
            return 1;
    int state;
    while ((state = coir_sched_step(sched, 0)) == COIR_STEP_READY)
        printf("foreign work at %d ms\n", (int)(coir_now().ns / 1000000));
    coir_sched_free(sched);
    return state != COIR_STEP_DONE;
}
