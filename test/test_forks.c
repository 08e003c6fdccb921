/* Forks beside threads that are in the library, and threads that end in it. */
#include "forks.h"

/* Under qemu-user a child's exit walks all memory that the parent has ever mapped, so it takes
 * longer with each fork. proves: L1, L2 */
TEST(test_regress_a_fork_beside_a_thread_that_makes_schedulers_hung_the_child)
{
    forks_run(getenv("COIR_TEST_SLOW") ? 12 : 300);
}

/* ---- a thread that is cancelled while it posts ---- */

static coir_mailbox waiting;
static atomic_bool posted;

static void linger(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

static void *post_while_cancelled(void *arg)
{
    linger(); /* until the scheduler waits, so that the post rings the bell */
    CHECK_EQ(pthread_cancel(pthread_self()), 0);
    CHECK_EQ(coir_post(waiting, arg), 0);
    posted = true;
    pthread_testcancel();
    return NULL;
}

static int wait_for_letter(void *arg)
{
    pthread_t thread;
    void *end;
    int calls = 0;
    coir_letter letter = {.fn = forks_count, .arg = &calls};
    (void)arg;
    CHECK_EQ(coir_mailbox_open(&waiting, 0), 0);
    CHECK_EQ(pthread_create(&thread, NULL, post_while_cancelled, &letter), 0);
    for (int i = 0; calls == 0 && i < 10; i++)
        coir_sleep(COIR_SEC(1));
    CHECK_EQ(calls, 1);
    CHECK_EQ(pthread_join(thread, &end), 0);
    CHECK(posted);
    CHECK(end == PTHREAD_CANCELED);
    return coir_mailbox_close(waiting);
}

/* proves: X1, X4 */
TEST(test_regress_a_thread_that_was_cancelled_in_a_post_did_not_ring)
{
    run_monotonic(wait_for_letter, NULL);
}

/* ---- an exit beside threads that post ---- */

enum { SCHEDULERS = 70 };

static coir_mailbox boxes[SCHEDULERS];
static atomic_int opened;

static int open_and_park(void *arg)
{
    CHECK_EQ(coir_mailbox_open(arg, 0), 0);
    opened++;
    return coir_park(COIR_NEVER);
}

static void *park_in_a_thread(void *arg)
{
    coir_run(open_and_park, arg, NULL, NULL);
    return NULL;
}

static void ignore(void *arg)
{
    (void)arg;
}

static void *post_to_all(void *arg)
{
    static coir_letter letters[SCHEDULERS];
    for (int i = 0; i < SCHEDULERS; i++)
        letters[i].fn = ignore;
    for (int i = 0;; i = (i + 1) % SCHEDULERS) {
        CHECK_EQ(coir_post(boxes[i], &letters[i]), 0);
        if (i == 0)
            ++*(atomic_int *)arg;
    }
    return NULL;
}

/* What a library's destructors take, it takes while threads run; linger is called after those. */
__attribute__((destructor(101))) static void linger_last(void)
{
    if (opened > 0)
        linger();
}

/* proves: X5 */
TEST_EXITS(test_regress_an_exit_freed_mailboxes_to_which_threads_post, 5, "")
{
    static atomic_int rounds;
    pthread_t thread;
    for (int i = 0; i < SCHEDULERS; i++)
        CHECK_EQ(pthread_create(&thread, NULL, park_in_a_thread, &boxes[i]), 0);
    while (opened < SCHEDULERS)
        linger();
    CHECK_EQ(pthread_create(&thread, NULL, post_to_all, &rounds), 0);
    while (rounds < 10)
        linger();
    exit(5);
}
