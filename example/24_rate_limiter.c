/* A rate limiter, three requests at once and then one each 100 ms: a semaphore that a daemon fills
 * again, up to three. The daemon is cancelled when the requests have ended. */
#include <coir_sync.h>

#include <stdio.h>

enum { BURST = 3 };

static coir_sem permits;

static int fill(void *arg)
{
    (void)arg;
    for (;;) {
        int result = coir_sleep(COIR_MS(100));
        if (result < 0)
            return result;
        if (coir_sem_count(&permits) < BURST)
            coir_sem_release(&permits, 1);
    }
}

static int request(void *arg)
{
    int result = coir_sem_acquire(&permits, coir_after(COIR_MS(250)));
    printf("%3d ms: request %d: %s\n", (int)(coir_now().ns / 1000000), *(int *)arg,
           result == 0 ? "goes" : coir_error_name(result));
    return result == COIR_TIMED_OUT ? 0 : result;
}

static int all(void *arg)
{
    static int numbers[] = {1, 2, 3, 4, 5, 6};
    COIR_SCOPE(scope, COIR_NEVER, 0);
    (void)arg;
    coir_sem_release(&permits, BURST);
    coir_spawn(NULL, fill, NULL, &(struct coir_spawn_opts){.daemon = true});
    for (int i = 0; i < 6; i++)
        coir_spawn(NULL, request, &numbers[i], NULL);
    return coir_scope_end(&scope, 0);
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    return coir_run(all, NULL, &opts, NULL) < 0;
}
