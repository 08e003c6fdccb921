/* Building one's own synchronisation: a queue for one reader, of coir_park and coir_wake. Nothing
 * can run between the look into the queue and the park, so no wake is ever missed. */
#include <coir.h>

#include <stdio.h>

static struct {
    int items[4];
    int first, count;
    coir_fiber reader;
} queue;

static void queue_put(int item)
{
    queue.items[(queue.first + queue.count++) % 4] = item;
    coir_wake(queue.reader);
}

/* The next item, or an error: a cancelled fiber must not park again. */
static int queue_take(void)
{
    while (queue.count == 0) {
        int result = coir_park(COIR_NEVER);
        if (result < 0)
            return result;
    }
    int item = queue.items[queue.first];
    queue.first = (queue.first + 1) % 4;
    queue.count--;
    return item;
}

static int writer(void *arg)
{
    int base = *(int *)arg;
    for (int i = 0; i < 2; i++) {
        queue_put(base + i);
        coir_sleep(COIR_MS(1));
    }
    return 0;
}

static int reader(void *arg)
{
    static int bases[] = {10, 20};
    (void)arg;
    queue.reader = coir_self();
    for (int i = 0; i < 2; i++)
        if (coir_spawn(NULL, writer, &bases[i], NULL) < 0)
            return 1;
    for (int i = 0; i < 4; i++)
        printf("item %d\n", queue_take());
    return 0;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    int result = 1;
    return coir_run(reader, NULL, &opts, &result) < 0 || result != 0;
}
