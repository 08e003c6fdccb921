/* A channel with room for two items between two writers and a reader. A writer that finds it full
 * waits; when both have ended the channel is closed, and the reader drains it. */
#include <coir_chan.h>

#include <errno.h>
#include <stdio.h>

static coir_chan queue;

static int writer(void *arg)
{
    int base = *(int *)arg, result = 0;
    for (int i = 0; i < 3 && result == 0; i++) {
        int item = base + i;
        result = coir_chan_send(&queue, &item, COIR_NEVER);
    }
    return result;
}

static int writers(void *arg)
{
    static int bases[] = {10, 20};
    COIR_SCOPE(scope, COIR_NEVER, 0);
    (void)arg;
    for (int i = 0; i < 2; i++)
        coir_spawn(NULL, writer, &bases[i], NULL);
    int result = coir_scope_end(&scope, 0);
    coir_chan_close(&queue);
    return result;
}

static int reader(void *arg)
{
    int item, result;
    (void)arg;
    if (coir_chan_open(&queue, sizeof item, 2) < 0)
        return -ENOMEM;
    COIR_SCOPE(scope, COIR_NEVER, 0);
    coir_spawn(NULL, writers, NULL, NULL);
    while ((result = coir_chan_recv(&queue, &item, COIR_NEVER)) == 0)
        printf("item %d\n", item);
    result = coir_scope_end(&scope, result == -EPIPE ? 0 : result);
    coir_chan_free(&queue, NULL, NULL);
    return result;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    return coir_run(reader, NULL, &opts, NULL) < 0;
}
