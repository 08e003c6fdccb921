/* A pool of two connections: a channel that holds those that nobody uses. Who wants one waits at
 * most 25 ms; one who is cancelled returns what it has, because putting back never parks. */
#include <coir_chan.h>

#include <stdio.h>

static coir_chan idle; /* of descriptors */

static int request(void *arg)
{
    int number = *(int *)arg, fd;
    int result = coir_chan_recv(&idle, &fd, coir_after(COIR_MS(25)));
    if (result == 0) {
        printf("%d has connection %d\n", number, fd);
        result = coir_sleep(COIR_MS(20)); /* what it asks over the connection */
        coir_chan_put_back(&idle, &fd);
    }
    printf("%d: %s\n", number, coir_error_name(result));
    return result;
}

static void hang_up(void *item, void *arg)
{
    (void)arg;
    printf("connection %d is closed\n", *(int *)item);
}

static int client(void *arg)
{
    static int numbers[] = {1, 2, 3, 4, 5};
    coir_fiber fibers[5] = {{0, 0, 0}};
    (void)arg;
    coir_chan_open(&idle, sizeof(int), 2);
    for (int fd = 7; fd <= 8; fd++)
        coir_chan_send(&idle, &fd, COIR_NEVER);
    COIR_SCOPE(scope, COIR_NEVER, 0);
    for (int i = 0; i < 5; i++)
        coir_spawn(&fibers[i], request, &numbers[i], NULL);
    coir_sleep(COIR_MS(5));
    coir_cancel(fibers[1], 0);
    int result = coir_scope_end(&scope, coir_join_all(fibers, 5, NULL, COIR_NEVER));
    coir_chan_free(&idle, hang_up, NULL);
    return result;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    return coir_run(client, NULL, &opts, NULL) < 0;
}
