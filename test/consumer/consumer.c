/* Uses coir as its users do: three fibers sleep on a virtual clock and are joined. */
#include <coir.h>
#include <stdio.h>

static int sleeper(void *arg)
{
    int ms = *(const int *)arg;
    if (coir_sleep(COIR_MS(ms)) < 0) {
        return -1;
    }
    printf("slept %d ms\n", ms);
    return ms;
}

static int parent(void *arg)
{
    int ms[] = {30, 10, 20}, sum = 0;
    coir_fiber fibers[3];
    (void)arg;
    for (int i = 0; i < 3; i++) {
        if (coir_spawn(&fibers[i], sleeper, &ms[i], NULL) < 0) {
            return -1;
        }
    }
    for (int i = 0; i < 3; i++) {
        int result = 0;
        coir_join(fibers[i], &result, COIR_NEVER);
        sum += result;
    }
    printf("joined %d at %d ms\n", sum, (int)(coir_now().ns / COIR_MS(1)));
    return sum;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    int result = 0;
    return coir_run(parent, NULL, &opts, &result) == 0 && result == 60 ? 0 : 1;
}
