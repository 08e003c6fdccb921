/* Forks at whatever moment other threads make and free schedulers, open mailboxes and post: the
 * child is free to do the same, and the parent's threads do not notice. */
#ifndef TEST_FORKS_H
#define TEST_FORKS_H

#include "inside.h"
#include "run.h"

#include <coir_post.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static atomic_bool forks_end, forks_close; /* close: nobody posts any more */
static coir_mailbox forks_box; /* of a scheduler that lives all the time */
static atomic_int forks_began;

static int forks_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* ---- a whole life, in a child and beside it ---- */

static void forks_count(void *arg)
{
    ++*(int *)arg;
}

static int forks_post_to_self(void *arg)
{
    int calls = 0;
    coir_mailbox box;
    coir_letter letter = {.fn = forks_count, .arg = &calls};
    (void)arg;
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(coir_post(box, &letter), 0);
    CHECK_EQ(coir_mailbox_close(box), 0);
    CHECK_EQ(coir_post(box, &letter), -ESRCH);
    return calls - 1;
}

static void forks_live(void)
{
    int result = -1;
    CHECK_EQ(coir_run(forks_post_to_self, NULL, NULL, &result), 0);
    CHECK_EQ(result, 0);
}

/* ---- the parent's threads ---- */

static void *forks_make_and_free(void *arg)
{
    forks_began++;
    while (!forks_end)
        forks_live();
    return arg;
}

static int forks_open_and_wait(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_mailbox_open(&forks_box, 0), 0);
    forks_began++;
    while (!forks_close)
        coir_sleep(COIR_MS(1));
    return coir_mailbox_close(forks_box);
}

static void *forks_keep_one(void *arg)
{
    CHECK_EQ(coir_run(forks_open_and_wait, NULL, NULL, NULL), 0);
    return arg;
}

struct forks_posted {
    coir_letter letter;
    atomic_long posts, calls;
};

static void forks_called(void *arg)
{
    struct forks_posted *posted = arg;
    posted->calls++;
}

/* Each post is called before the next one. */
static void *forks_post(void *arg)
{
    struct forks_posted *posted = arg;
    posted->letter = (coir_letter){.fn = forks_called, .arg = posted};
    while (!forks_end) {
        CHECK_EQ(coir_post(forks_box, &posted->letter), 0);
        posted->posts++;
        while (posted->calls < posted->posts)
            sched_yield();
    }
    return NULL;
}

/* ---- the forks ---- */

static void forks_child(void)
{
    struct sigaction pipe;
    coir_letter letter = {.fn = forks_count};
    alarm(TEST_PATIENCE);
    CHECK_EQ(coir_spawn(NULL, forks_nothing, NULL, NULL), -ECHILD);
    CHECK_EQ(coir_post(forks_box, &letter), -ESRCH);
    CHECK_EQ(sigaction(SIGPIPE, NULL, &pipe), 0);
    CHECK(pipe.sa_handler == SIG_DFL);
    forks_live();
    forks_live();
    _exit(0);
}

static int forks_fork(void *arg)
{
    unsigned int moment = 1;
    for (int i = *(int *)arg; i > 0; i--) {
        int status;
        pid_t child = fork();
        if (child == 0)
            forks_child();
        CHECK(child > 0);
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
        moment = moment * 1103515245 + 12345;
        for (volatile unsigned int spin = moment >> 20; spin > 0; spin--)
            continue;
        CHECK_EQ(coir_yield(), 0);
    }
    return 0;
}

static inline void forks_run(int count)
{
    pthread_t threads[4];
    static struct forks_posted posted;
    if (CR_SAN_ADDRESS)
        SKIP("AddressSanitizer does not make its own locks good in a child");
    CHECK_EQ(pthread_create(&threads[0], NULL, forks_keep_one, NULL), 0);
    while (forks_began < 1)
        sched_yield();
    CHECK_EQ(pthread_create(&threads[1], NULL, forks_make_and_free, NULL), 0);
    CHECK_EQ(pthread_create(&threads[2], NULL, forks_make_and_free, NULL), 0);
    while (forks_began < 3)
        sched_yield();
    CHECK_EQ(pthread_create(&threads[3], NULL, forks_post, &posted), 0);
    run_monotonic(forks_fork, &count);
    forks_end = true;
    for (int i = 3; i > 0; i--)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    forks_close = true;
    CHECK_EQ(pthread_join(threads[0], NULL), 0);
    CHECK(posted.posts > 0);
    CHECK_EQ(posted.posts, posted.calls);
}

#endif
