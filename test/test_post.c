/* Posts: calls into a scheduler's thread from other threads, from signal handlers, and from
 * itself. */
#include "fds.h"

#include <coir_test.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/time.h>

enum { THREADS = 4, LETTERS = 20000 };

static coir_mailbox box;
static char order[16];

static void note_letter(void *arg)
{
    strcat(order, arg);
}

static void close_box(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_mailbox_close(box), 0);
}

/* proves: X1 */
TEST(test_posts_are_called_by_the_loop_in_their_order)
{
    coir_sched *sched;
    static char a[] = "a", b[] = "b", c[] = "c";
    coir_letter letters[] = {{.fn = note_letter, .arg = a},
                             {.fn = note_letter, .arg = b},
                             {.fn = note_letter, .arg = c},
                             {.fn = close_box}};
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(coir_post(box, &letters[i]), 0);
    CHECK_STR(order, "");
    CHECK_EQ(coir_sched_run(sched), 0);
    CHECK_STR(order, "abc");
    CHECK_EQ(coir_post(box, &letters[0]), -ESRCH);
    CHECK_EQ(coir_mailbox_close(box), -ESRCH);
    coir_sched_free(sched);
}

/* A fiber that waits for a thread, as a library for such work would do it. */
struct job {
    coir_letter done;
    coir_fiber fiber;
    int result;
    bool is_done;
};

static void job_done(void *arg)
{
    struct job *job = arg;
    job->is_done = true;
    coir_wake(job->fiber);
}

static void *job_thread(void *arg)
{
    struct job *job = arg;
    nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
    job->result = 42;
    CHECK_EQ(coir_post(box, &job->done), 0);
    return NULL;
}

static int job_fiber(void *arg)
{
    (void)arg;
    pthread_t thread;
    struct job job = {.done = {.fn = job_done, .arg = &job}, .fiber = coir_self()};
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(pthread_create(&thread, NULL, job_thread, &job), 0);
    while (!job.is_done)
        CHECK_EQ(coir_park(COIR_NEVER), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(coir_mailbox_close(box), 0);
    return job.result;
}

/* proves: X1, X2 */
TEST(test_post_of_another_thread_ends_the_wait_of_a_scheduler_that_has_nothing_else_to_do)
{
    int result = 0;
    CHECK_EQ(coir_run(job_fiber, NULL, NULL, &result), 0);
    CHECK_EQ(result, 42);
}

/* proves: X2 */
TEST(test_post_reaches_a_fiber_on_a_virtual_clock)
{
    int result = 0;
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    CHECK_EQ(coir_run(job_fiber, NULL, &opts, &result), 0);
    CHECK_EQ(result, 42);
}

static int calls;

static void count_call(void *arg)
{
    (void)arg;
    calls++;
}

static void post_again(void *arg)
{
    if (++calls < 5)
        CHECK_EQ(coir_post(box, arg), 0);
    else
        close_box(NULL);
}

/* proves: X3 */
TEST(test_post_of_a_letter_that_waits_is_one_call)
{
    coir_sched *sched;
    coir_letter letter = {.fn = count_call}, last = {.fn = close_box};
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(coir_post(box, &letter), 0);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    CHECK_EQ(calls, 1);
    CHECK_EQ(coir_post(box, &letter), 0);
    CHECK_EQ(coir_post(box, &last), 0);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_DONE);
    CHECK_EQ(calls, 2);
    coir_sched_free(sched);
}

/* proves: X3 */
TEST(test_post_of_a_letter_in_its_own_call_is_another_call)
{
    coir_sched *sched;
    coir_letter letter = {.fn = post_again, .arg = &letter};
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(coir_post(box, &letter), 0);
    CHECK_EQ(coir_sched_run(sched), 0);
    CHECK_EQ(calls, 5);
    coir_sched_free(sched);
}

/* Each thread counts in its own cells what it has posted; a call counts what it has seen. */
static struct cell {
    coir_letter letter;
    long posted, seen, calls;
} cells[THREADS][8];

static atomic_int threads_left;
static coir_letter last_letter = {.fn = close_box};

static void cell_call(void *arg)
{
    struct cell *cell = arg;
    long posted = __atomic_load_n(&cell->posted, __ATOMIC_RELAXED);
    CHECK(posted >= cell->seen);
    cell->seen = posted;
    cell->calls++;
}

static void *cell_thread(void *arg)
{
    struct cell *mine = arg;
    for (int i = 0; i < LETTERS; i++) {
        struct cell *cell = &mine[i % 8];
        __atomic_store_n(&cell->posted, cell->posted + 1, __ATOMIC_RELAXED);
        CHECK_EQ(coir_post(box, &cell->letter), 0);
        if (i % 100 == 0)
            sched_yield();
        if (i % 1000 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    if (atomic_fetch_sub(&threads_left, 1) == 1)
        CHECK_EQ(coir_post(box, &last_letter), 0);
    return NULL;
}

/* proves: X1, X3 */
TEST(test_posts_of_many_threads_are_all_seen)
{
    coir_sched *sched;
    pthread_t threads[THREADS];
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    threads_left = THREADS;
    for (int i = 0; i < THREADS; i++) {
        for (int j = 0; j < 8; j++)
            cells[i][j].letter = (coir_letter){.fn = cell_call, .arg = &cells[i][j]};
        CHECK_EQ(pthread_create(&threads[i], NULL, cell_thread, cells[i]), 0);
    }
    CHECK_EQ(coir_sched_run(sched), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        for (int j = 0; j < 8; j++)
            CHECK(cells[i][j].seen == LETTERS / 8 && cells[i][j].calls <= LETTERS / 8);
    }
    coir_sched_free(sched);
}

static struct cell ticks;

static void on_tick(int number)
{
    int interrupted = errno;
    (void)number;
    errno = 12345;
    ticks.posted++;
    coir_post(box, &ticks.letter);
    if (errno != 12345)
        abort();
    errno = interrupted;
}

static void tick_call(void *arg)
{
    static bool is_closed; /* the close itself calls what came meanwhile */
    cell_call(arg);
    if (ticks.seen >= 100 && !is_closed) {
        is_closed = true;
        close_box(NULL);
    }
}

/* proves: X1, X4 */
TEST(test_post_of_a_signal_handler_ends_the_wait_and_leaves_errno_alone)
{
    coir_sched *sched;
    ticks.letter = (coir_letter){.fn = tick_call, .arg = &ticks};
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    signal(SIGALRM, on_tick);
    struct itimerval each = {{0, 500}, {0, 500}};
    CHECK_EQ(setitimer(ITIMER_REAL, &each, NULL), 0);
    CHECK_EQ(coir_sched_run(sched), 0);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    CHECK(ticks.seen >= 100);
    coir_sched_free(sched);
}

static int wait_for_letter(void *arg)
{
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, COIR_SHIELD);
    struct job *job = arg;
    job->fiber = coir_self();
    while (!job->is_done)
        coir_park(COIR_NEVER);
    return coir_scope_end(&scope, 0);
}

/* proves: X1, E5 */
TEST(test_post_reaches_a_fiber_that_is_cleaning_up_while_its_scheduler_is_freed)
{
    coir_sched *sched;
    pthread_t thread;
    struct job job = {.done = {.fn = job_done, .arg = &job}};
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(coir_spawn(NULL, wait_for_letter, &job, NULL), 0);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    CHECK_EQ(pthread_create(&thread, NULL, job_thread, &job), 0);
    coir_sched_free(sched);
    CHECK(job.is_done);
    pthread_join(thread, NULL);
}

static void *post_all(void *arg)
{
    coir_letter *letters = arg;
    for (int i = 0; i < 100; i++)
        CHECK_EQ(coir_post(box, &letters[i]), 0);
    return NULL;
}

/* proves: X4 */
TEST(test_posts_ring_once_for_a_scheduler_that_waits_and_never_for_one_that_does_not)
{
    coir_sched *sched;
    pthread_t thread;
    static coir_letter letters[100];
    int bell = dup(0);
    close(bell);
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    for (int i = 0; i < 100; i++)
        letters[i] = (coir_letter){.fn = count_call};
    for (int waits = 0; waits < 2; waits++) {
        CHECK_EQ(pthread_create(&thread, NULL, post_all, letters), 0);
        pthread_join(thread, NULL);
        CHECK_EQ(bell_rings(bell), waits);
        CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
        CHECK_EQ(calls, 100 * (waits + 1));
    }
    CHECK_EQ(bell_rings(bell), 0);
    coir_sched_free(sched);
}

static void run_in_letter(void *arg)
{
    coir_sched_step(arg, 0);
}

/* proves: F2 */
TEST_DIES(test_step_in_a_letter_is_a_mistake, SIGABRT, "coir_sched_step: called in a letter")
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    coir_letter letter = {.fn = run_in_letter, .arg = sched};
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(coir_post(box, &letter), 0);
    coir_sched_step(sched, 0);
}

/* proves: F2 */
TEST_DIES(test_regress_letter_that_does_not_begin_as_0_is_never_called, SIGABRT, "begin as 0")
{
    coir_sched *sched;
    coir_letter letter;
    memset(&letter, 0x5a, sizeof letter);
    letter.fn = count_call;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    coir_post(box, &letter);
}

/* proves: F2 */
TEST_DIES(test_post_of_nothing_is_a_mistake, SIGABRT, "coir_post: the letter")
{
    coir_post(box, NULL);
}

enum { CROWD = 1000, TURN = 256 };

static int crowd_calls;

static void count_crowd(void *arg)
{
    (void)arg;
    crowd_calls++;
}

static int look_at_crowd(void *arg)
{
    for (int turn = 1; crowd_calls < CROWD; turn++) {
        CHECK(crowd_calls <= turn * TURN);
        CHECK_EQ(coir_yield(), 0);
    }
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
    return arg ? 1 : coir_mailbox_close(box);
}

/* proves: O3, X1 */
TEST(test_regress_letters_without_end_starved_the_fibers)
{
    static coir_letter crowd[CROWD];
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = (coir_letter){.fn = count_crowd};
        CHECK_EQ(coir_post(box, &crowd[i]), 0);
    }
    CHECK_EQ(coir_spawn(NULL, look_at_crowd, NULL, NULL), 0);
    CHECK_EQ(coir_sched_run(sched), 0);
    CHECK_EQ(crowd_calls, CROWD);
    coir_sched_free(sched);
}
