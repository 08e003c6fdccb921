/* A queue of jobs with back-pressure and leases. Who brings a third job waits. A worker has a job
 * for 30 ms; then its work is cancelled, and the job goes back to the head of the queue. */
#include <coir_chan.h>

#include <errno.h>
#include <stdio.h>

struct job {
    int number, tries;
};
static coir_chan queue;

/* Job 2 hangs at its first try. */
static int work(const struct job *job)
{
    COIR_SCOPE(lease, coir_after(COIR_MS(30)), COIR_LIMIT);
    int64_t length = job->tries == 0 && job->number == 2 ? COIR_SEC(1) : COIR_MS(20);
    return coir_scope_end(&lease, coir_sleep(length));
}

static int worker(void *arg)
{
    struct job job;
    int result;
    while ((result = coir_chan_recv(&queue, &job, COIR_NEVER)) == 0) {
        int done = work(&job);
        printf("%2d ms: worker %d, job %d: %s\n", (int)(coir_now().ns / 1000000), *(int *)arg,
               job.number, done == 0 ? "done" : coir_error_name(done));
        job.tries++;
        if (done < 0)
            coir_chan_put_back(&queue, &job);
    }
    return result == -EPIPE ? 0 : result;
}

static int bring(void *arg)
{
    static int names[] = {1, 2};
    COIR_SCOPE(scope, COIR_NEVER, 0);
    (void)arg;
    coir_chan_open(&queue, sizeof(struct job), 2);
    for (int i = 0; i < 2; i++)
        coir_spawn(NULL, worker, &names[i], NULL);
    int result = 0;
    for (int i = 1; i <= 6 && result == 0; i++) {
        result = coir_chan_send(&queue, &(struct job){.number = i}, COIR_NEVER);
        printf("%2d ms: job %d is brought\n", (int)(coir_now().ns / 1000000), i);
    }
    coir_chan_close(&queue);
    result = coir_scope_end(&scope, result);
    coir_chan_free(&queue, NULL, NULL);
    return result;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    return coir_run(bring, NULL, &opts, NULL) < 0;
}
