/* The life of a mailbox: opened, closed, closed by the end of its scheduler or of the process, and
 * posted to all the while. */
#include "fds.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { CHURNS = 300 };

static coir_mailbox box;
static int calls;

static void count_call(void *arg)
{
    (void)arg;
    calls++;
}

static atomic_bool churn_over;
static _Atomic uint64_t churn_box;
static struct churner {
    coir_letter letter;
    long posted, called;
} churners[2];

static void churn_call(void *arg)
{
    struct churner *churner = arg;
    churner->called++;
}

static void *churn_thread(void *arg)
{
    struct churner *churner = arg;
    while (!atomic_load(&churn_over)) {
        uint64_t value = atomic_load(&churn_box);
        coir_mailbox to = {(uint32_t)(value >> 32), (uint32_t)value, 0};
        int result = coir_post(to, &churner->letter);
        CHECK(result == 0 || result == -ESRCH);
        churner->posted += result == 0;
    }
    return NULL;
}

/* Posting goes on while mailboxes are closed and schedulers freed: what was answered with 0 is
 * called, the rest is refused, and no bell of a freed scheduler is rung. */
/* proves: X1, X5 */
TEST(test_posts_to_schedulers_that_are_freed_are_called_or_refused)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        churners[i].letter = (coir_letter){.fn = churn_call, .arg = &churners[i]};
        CHECK_EQ(pthread_create(&threads[i], NULL, churn_thread, &churners[i]), 0);
    }
    int open_before = fds_open();
    for (int i = 0; i < CHURNS || churners[0].called < CHURNS || churners[1].called < CHURNS; i++) {
        coir_sched *sched;
        CHECK_EQ(coir_sched_new(&sched, NULL), 0);
        CHECK_EQ(coir_mailbox_open(&box, 0), 0);
        atomic_store(&churn_box, (uint64_t)box.slot << 32 | box.generation);
        for (int turn = 0; turn < i % 7; turn++) {
            sched_yield();
            CHECK(coir_sched_step(sched, 0) >= 0);
        }
        if (i % 2)
            CHECK_EQ(coir_mailbox_close(box), 0);
        coir_sched_free(sched);
    }
    atomic_store(&churn_over, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        CHECK(churners[i].letter.posted == 0 && churners[i].called <= churners[i].posted);
    }
    CHECK_EQ(fds_open(), open_before);
}

static atomic_int kept; /* mailboxes that are open */

static void *keep_thread(void *arg)
{
    coir_sched *sched;
    coir_mailbox *mine = arg;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(mine, 0), 0);
    kept++;
    CHECK_EQ(coir_sched_run(sched), 0);
    coir_sched_free(sched);
    return NULL;
}

static void close_arg(void *arg)
{
    coir_mailbox *mine = arg;
    CHECK_EQ(coir_mailbox_close(*mine), 0);
}

/* proves: X5 */
TEST(test_mailboxes_of_a_hundred_threads_are_all_different)
{
    enum { MANY = 100 };
    static coir_mailbox boxes[MANY];
    static coir_letter letters[MANY];
    pthread_t threads[MANY];
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, keep_thread, &boxes[i]), 0);
    while (kept < MANY)
        sched_yield();
    for (int i = 0; i < MANY; i++) {
        letters[i] = (coir_letter){.fn = close_arg, .arg = &boxes[i]};
        for (int j = 0; j < i; j++)
            CHECK(boxes[i].slot != boxes[j].slot);
    }
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(coir_post(boxes[i], &letters[i]), 0);
    for (int i = 0; i < MANY; i++)
        pthread_join(threads[i], NULL);
}

/* proves: X5 */
TEST(test_mailbox_is_open_until_it_was_closed_as_often_as_opened)
{
    coir_sched *sched;
    coir_mailbox again;
    coir_letter letter = {.fn = count_call};
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(coir_mailbox_open(&again, 0), 0);
    CHECK(again.slot == box.slot && again.generation == box.generation);
    CHECK_EQ(coir_mailbox_close(again), 0);
    CHECK_EQ(coir_post(box, &letter), 0);
    CHECK_EQ(coir_mailbox_close(box), 0);
    CHECK_EQ(calls, 1);
    CHECK_EQ(coir_mailbox_close(box), -ESRCH);
    CHECK_EQ(coir_mailbox_open(&again, 0), 0);
    CHECK(again.slot != box.slot || again.generation != box.generation);
    CHECK_EQ(coir_post(box, &letter), -ESRCH);
    CHECK_EQ(coir_post((coir_mailbox){0, 0, 0}, &letter), -ESRCH);
    CHECK_EQ(coir_post((coir_mailbox){UINT32_MAX, 1, 0}, &letter), -ESRCH);
    coir_sched_free(sched);
    CHECK_EQ(coir_post(again, &letter), -ESRCH);
    CHECK_EQ(calls, 1);
}

/* proves: F1, X5 */
TEST(test_mailbox_that_finds_no_descriptor_is_not_open_and_leaves_nothing)
{
    coir_sched *sched;
    coir_letter letter = {.fn = count_call};
    int first = dup(0), before;
    close(first);
    before = fds_open();
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    int result = -EMFILE;
    for (int room = 0; result < 0; room++) {
        struct rlimit limit;
        CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && room < 64);
        limit.rlim_cur = (rlim_t)(first + room);
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
        result = coir_mailbox_open(&box, 0);
        limit.rlim_cur = limit.rlim_max;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
        CHECK(result == 0 || result == -EMFILE);
        CHECK_EQ(coir_post(box, &letter), result < 0 ? -ESRCH : 0);
    }
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    CHECK_EQ(calls, 1);
    coir_sched_free(sched);
    CHECK_EQ(fds_open(), before);
}

/* proves: L1, L2 */
TEST(test_fork_leaves_the_mailbox_to_the_parent)
{
    coir_sched *sched;
    coir_letter letter = {.fn = count_call};
    int before = fds_open();
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    pid_t child = fork();
    if (child == 0) {
        coir_mailbox mine;
        bool refused = fds_open() == before &&
                        coir_post(box, &letter) == -ESRCH && coir_mailbox_close(box) == -ECHILD &&
                       coir_mailbox_open(&mine, 0) == -ECHILD;
        _exit(!refused || coir_sched_new(&sched, NULL) != 0 || coir_mailbox_open(&mine, 0) != 0 ||
              coir_post(mine, &letter) != 0 || coir_mailbox_close(mine) != 0 || calls != 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_EQ(calls, 0);
    CHECK_EQ(coir_post(box, &letter), 0);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    CHECK_EQ(calls, 1);
    coir_sched_free(sched);
}

enum { OPENERS = 3, OPENINGS = 3000 };

static void *opener_thread(void *arg)
{
    (void)arg;
    coir_sched *sched;
    coir_mailbox mine;
    struct churner own = {.called = 0};
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    for (int i = 0; i < OPENINGS; i++) {
        coir_letter letter = {.fn = i % 2 ? churn_call : close_arg};
        letter.arg = i % 2 ? (void *)&own : &mine;
        CHECK_EQ(coir_mailbox_open(&mine, 0), 0);
        CHECK_EQ(coir_post(mine, &letter), 0);
        CHECK_EQ(i % 2 ? coir_mailbox_close(mine) : coir_sched_run(sched), 0);
        CHECK_EQ(letter.posted, 0);
    }
    CHECK_EQ(own.called, OPENINGS / 2);
    coir_sched_free(sched);
    return NULL;
}

/* proves: X1, X5 */
TEST(test_regress_mailbox_that_closes_takes_the_bell_of_one_that_opens)
{
    pthread_t threads[OPENERS];
    int before = fds_open();
    for (int i = 0; i < OPENERS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, opener_thread, NULL), 0);
    for (int i = 0; i < OPENERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(fds_open(), before);
}

static void *keep_until_closed(void *arg)
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(arg, 0), 0);
    atomic_store(&churn_over, true);
    CHECK_EQ(coir_sched_run(sched), 0);
    coir_sched_free(sched);
    return NULL;
}

/* proves: X5, L1, L2 */
TEST(test_regress_post_in_a_forked_child_to_another_threads_mailbox_is_lost)
{
    pthread_t thread;
    int status;
    coir_letter letter = {.fn = close_arg, .arg = &box};
    CHECK_EQ(pthread_create(&thread, NULL, keep_until_closed, &box), 0);
    while (!atomic_load(&churn_over))
        sched_yield();
    pid_t child = fork();
    if (child == 0)
        _exit(coir_post(box, &letter) != -ESRCH);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_EQ(coir_post(box, &letter), 0);
    pthread_join(thread, NULL);
}

static void check_self(void *arg)
{
    CHECK(coir_self().sched == 0 && coir_self().slot == 0);
    CHECK_EQ(coir_wake(*(coir_fiber *)arg), 0);
    calls++;
}

static int close_with_a_letter(void *arg)
{
    coir_fiber self = coir_self();
    coir_letter letter = {.fn = check_self, .arg = &self};
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(coir_post(box, &letter), 0);
    CHECK_EQ(coir_mailbox_close(box), 0);
    CHECK_EQ(calls, 1);
    CHECK(coir_self().slot == self.slot && coir_self().number == self.number);
    return arg ? 1 : 0;
}

/* proves: X1, X5 */
TEST(test_letter_that_a_fibers_close_calls_is_called_outside_fibers)
{
    run_virtual(close_with_a_letter, NULL);
}

static void open_again(void *arg)
{
    CHECK_EQ(coir_mailbox_open(arg, 0), 0);
}

/* proves: X5 */
TEST(test_regress_mailbox_that_a_last_letter_opens_outlives_its_scheduler)
{
    coir_sched *sched;
    coir_mailbox again;
    coir_letter letter = {.fn = open_again, .arg = &again}, other = {.fn = count_call};
    int before = fds_open();
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(coir_post(box, &letter), 0);
    coir_sched_free(sched);
    CHECK_EQ(coir_post(again, &other), -ESRCH);
    CHECK_EQ(fds_open(), before);
}

/* proves: X5 */
TEST(test_mailboxes_are_opened_and_closed_more_often_than_there_are_boxes)
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    for (int i = 0; i < 70000; i++) {
        CHECK_EQ(coir_mailbox_open(&box, 0), 0);
        CHECK_EQ(coir_mailbox_close(box), 0);
    }
    coir_sched_free(sched);
}

static int dump_with_mailbox(void *arg)
{
    struct fds_pair pipe = fds_pipe(0);
    (void)arg;
    for (int open = 1; open >= 0; open--) {
        char text[512] = "";
        CHECK_EQ(open ? coir_mailbox_open(&box, 0) : coir_mailbox_close(box), 0);
        coir_dump(pipe.out);
        CHECK(read(pipe.in, text, sizeof text - 1) > 0);
        CHECK_EQ(strstr(text, "  a mailbox is open\n") != NULL, open);
    }
    fds_close(pipe);
    return 0;
}

TEST(test_mailbox_that_is_open_is_told_of_by_a_dump)
{
    run_monotonic(dump_with_mailbox, NULL);
}
