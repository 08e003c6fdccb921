/* A pool of three workers: jobs come by one channel, results go by another. When no job is left
 * the channel of jobs is closed, the workers leave, and the channel of results is closed. */
#include <coir_chan.h>

#include <errno.h>
#include <stdio.h>

struct result { int job, square, worker; };
static coir_chan jobs, results;

static int worker(void *arg)
{
    int job, error;
    while ((error = coir_chan_recv(&jobs, &job, COIR_NEVER)) == 0) {
        struct result result = {job, job * job, *(int *)arg};
        if ((error = coir_sleep(COIR_MS(10 * job))) < 0 ||
            (error = coir_chan_send(&results, &result, COIR_NEVER)) < 0)
            return error;
    }
    return error == -EPIPE ? 0 : error;
}

static int pool(void *arg)
{
    static int names[] = {1, 2, 3};
    COIR_SCOPE(scope, COIR_NEVER, 0);
    (void)arg;
    for (int i = 0; i < 3; i++)
        coir_spawn(NULL, worker, &names[i], NULL);
    for (int job = 1; job <= 6; job++)
        coir_chan_send(&jobs, &job, COIR_NEVER);
    coir_chan_close(&jobs);
    int error = coir_scope_end(&scope, 0);
    coir_chan_close(&results);
    return error;
}

static int collect(void *arg)
{
    struct result result;
    int error;
    (void)arg;
    if (coir_chan_open(&jobs, sizeof(int), 0) < 0 || coir_chan_open(&results, sizeof result, 0) < 0)
        return -ENOMEM;
    COIR_SCOPE(scope, COIR_NEVER, 0);
    coir_spawn(NULL, pool, NULL, NULL);
    while ((error = coir_chan_recv(&results, &result, COIR_NEVER)) == 0)
        printf("%d ms: %d * %d = %d, by worker %d\n", (int)(coir_now().ns / 1000000), result.job,
               result.job, result.square, result.worker);
    error = coir_scope_end(&scope, error == -EPIPE ? 0 : error);
    coir_chan_free(&jobs, NULL, NULL);
    coir_chan_free(&results, NULL, NULL);
    return error;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    return coir_run(collect, NULL, &opts, NULL) < 0;
}
