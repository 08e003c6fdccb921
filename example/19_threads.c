/* Work that blocks, done by threads: a fiber hands it over and parks; the thread, when it is done,
 * posts a letter, and that wakes the fiber. All other fibers go on meanwhile. */
#include <coir_post.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

static coir_mailbox mailbox;

struct job {
    coir_letter letter;
    coir_fiber fiber;
    bool done;
    int number, answer;
};

/* In a thread of its own, where coir_post is all that may be called of coir. */
static void *job_run(void *arg)
{
    struct job *job = arg;
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* stands for getaddrinfo, a disk */
    job->answer = job->number * job->number;
    coir_post(mailbox, &job->letter);
    return NULL;
}

/* In the scheduler's thread, between two fibers. */
static void job_end(void *arg)
{
    struct job *job = arg;
    job->done = true;
    coir_wake(job->fiber);
}

/* The job lies on the fiber's stack, so a cancel must not end this wait. */
static int job_wait(struct job *job)
{
    coir_scope shield;
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    while (!job->done)
        coir_park(COIR_NEVER);
    return coir_scope_end(&shield, 0);
}

static int square(void *arg)
{
    struct job job = {.fiber = coir_self(), .number = *(int *)arg};
    pthread_t thread;
    job.letter = (coir_letter){.fn = job_end, .arg = &job};
    if (pthread_create(&thread, NULL, job_run, &job) != 0)
        return -EAGAIN;
    job_wait(&job);
    pthread_join(thread, NULL);
    return job.answer;
}

static int parent(void *arg)
{
    static int numbers[] = {2, 3, 4};
    coir_fiber fibers[3] = {{0, 0, 0}};
    int answers[3] = {0}, ticks = 0;
    coir_scope scope;
    (void)arg;
    if (coir_mailbox_open(&mailbox, 0) < 0)
        return 1;
    coir_scope_open(&scope, COIR_NEVER, 0);
    for (int i = 0; i < 3; i++)
        coir_spawn(&fibers[i], square, &numbers[i], NULL);
    while (coir_join_all(fibers, 3, answers, coir_after(COIR_MS(1))) == COIR_TIMED_OUT)
        ticks++;
    printf("%d %d %d\n", answers[0], answers[1], answers[2]);
    puts(ticks > 0 ? "others went on meanwhile" : "others had to wait");
    int result = coir_scope_end(&scope, 0);
    coir_mailbox_close(mailbox); /* no letter comes any more; and the run would wait for some */
    return result;
}

int main(void)
{
    int result = 1;
    return coir_run(parent, NULL, NULL, &result) < 0 || result != 0;
}
