/* A bridge to what blocks: a few threads make the calls, fibers wait for them. A fiber that is
 * cancelled, or whose deadline has come, goes on at once; a call that blocks cannot be interrupted,
 * so its thread goes on as well, and its result is thrown away. */
#include <coir_post.h>
#include <coir_shared.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS = 3 };

/* On the heap, because the fiber may be gone before the thread is done. */
struct job {
    coir_letter letter;
    coir_event done;
    bool is_waited_for; /* the scheduler's thread alone looks at these two */
    int (*fn)(int number);
    int number, result;
};

static coir_mailbox mailbox;
static coir_shared_chan jobs; /* of pointers */

/* In a thread of the pool, which blocks where a fiber would park. */
static void *work(void *arg)
{
    for (struct job *job; coir_shared_chan_recv(&jobs, &job, COIR_NEVER) == 0;) {
        job->result = job->fn(job->number);
        coir_post(mailbox, &job->letter);
    }
    return arg;
}

/* In the scheduler's thread, between two fibers. */
static void finish(void *arg)
{
    struct job *job = arg;
    if (job->is_waited_for)
        coir_event_set(&job->done);
    else
        free(job);
}

/* fn(number), called by a thread of the pool. Returns its result, or COIR_TIMED_OUT,
 * COIR_CANCELLED, -ENOMEM. */
static int call(int (*fn)(int number), int number, coir_time until)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return -ENOMEM;
    *job = (struct job){.letter = {.fn = finish, .arg = job}, .is_waited_for = true, .fn = fn,
                        .number = number};
    int result = coir_shared_chan_send(&jobs, &job, until);
    if (result < 0) {
        free(job);
        return result;
    }
    result = coir_event_wait(&job->done, until);
    job->is_waited_for = false;
    if (coir_event_is_set(&job->done)) {
        result = job->result;
        free(job);
    }
    return result;
}

/* Stands for getaddrinfo, a disk, a database's client. */
static int square_slowly(int number)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    return number * number;
}

static int square(void *arg)
{
    return call(square_slowly, *(int *)arg, COIR_NEVER);
}

static int parent(void *arg)
{
    static int numbers[] = {2, 3, 4};
    coir_fiber fibers[3] = {{0, 0, 0}};
    int answers[3] = {0}, ticks = 0;
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    for (int i = 0; i < 3; i++)
        coir_spawn(&fibers[i], square, &numbers[i], NULL);
    while (coir_join_all(fibers, 3, answers, coir_after(COIR_MS(1))) == COIR_TIMED_OUT)
        ticks++;
    printf("%d %d %d\n", answers[0], answers[1], answers[2]);
    puts(ticks > 0 ? "others went on meanwhile" : "others had to wait");
    puts(coir_error_name(call(square_slowly, 5, coir_after(COIR_MS(1)))));
    return coir_scope_end(&scope, 0);
}

/* The mailbox is open as long as threads may post, and there are threads as long as fibers may
 * call. */
static int with_threads(void *arg)
{
    pthread_t threads[THREADS];
    int count = 0, result = coir_mailbox_open(&mailbox, 0);
    if (result < 0)
        return result;
    while (count < THREADS && pthread_create(&threads[count], NULL, work, NULL) == 0)
        count++;
    result = count > 0 ? parent(arg) : -EAGAIN;
    coir_shared_chan_close(&jobs);
    while (count > 0)
        pthread_join(threads[--count], NULL);
    coir_mailbox_close(mailbox);
    return result;
}

int main(void)
{
    int result = 1;
    if (coir_shared_chan_open(&jobs, sizeof(struct job *), 16) < 0)
        return 1;
    int error = coir_run(with_threads, NULL, NULL, &result);
    coir_shared_chan_free(&jobs, NULL, NULL);
    return error < 0 || result != 0;
}
