/* Posts at random moments against a counter: a signal handler that interrupts any instruction of
 * the loop, and threads, post letters of their own; each letter's call takes what was counted
 * before. In the end nothing is missing, however the scheduler was driven. */
#include "fds.h"
#include "clock.h"

#include <coir_io.h>
#include <coir_post.h>
#include <coir_loop.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/time.h>

enum { POSTERS = 2, WORDS = 5, SIGNALS = 2000, SECONDS_MOST = 6 };

static coir_mailbox box;
static atomic_bool over;

/* What a poster counts before it posts, and a call takes. */
static struct word {
    coir_letter letter;
    atomic_long counted;
    long taken, calls;
} words[POSTERS + 1][WORDS];

static void take(void *arg)
{
    struct word *word = arg;
    word->taken += atomic_exchange(&word->counted, 0);
    word->calls++;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

static void post_word(struct word *word)
{
    atomic_fetch_add(&word->counted, 1);
    if (coir_post(box, &word->letter) != 0)
        abort();
}

static long signals;
static uint32_t signal_random = 7;

/* The next one comes at a random microsecond. */
static void on_alarm(int number)
{
    int error = errno;
    (void)number;
    post_word(&words[0][signals % WORDS]);
    struct itimerval next = {.it_value = {0, 1 + next_random(&signal_random) % 150}};
    if (++signals < SIGNALS)
        setitimer(ITIMER_REAL, &next, NULL);
    errno = error;
}

static long posts[POSTERS + 1];

static void *post_at_random(void *arg)
{
    int number = (int)(intptr_t)arg;
    uint32_t random = (uint32_t)number;
    sigset_t alarms;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarms, NULL);
    while (!atomic_load(&over)) {
        post_word(&words[number][next_random(&random) % WORDS]);
        posts[number]++;
        if (next_random(&random) % 4 == 0)
            poll(NULL, 0, (int)(next_random(&random) % 2));
    }
    return NULL;
}

/* Keeps the loop between waiting and being busy. */
static int come_and_go(void *arg)
{
    uint32_t random = 99;
    (void)arg;
    coir_time until = coir_after(COIR_SEC(SECONDS_MOST));
    while (signals < SIGNALS && coir_left(until) > 0)
        for (uint32_t i = next_random(&random) % 8; i < 8; i++)
            CHECK_EQ(i == 7 ? coir_sleep(COIR_US(next_random(&random) % 400)) : coir_yield(), 0);
    atomic_store(&over, true);
    return 0;
}

static void drive_by_steps(coir_sched *sched)
{
    while (!atomic_load(&over))
        coir_sched_step(sched, 0);
}

/* Waits as long as it may, so a post that rings no bell is seen only with the next deadline. */
static void drive_by_foreign_loop(coir_sched *sched)
{
    struct pollfd ask = {.fd = coir_sched_fd(sched), .events = POLLIN};
    while (!atomic_load(&over)) {
        int64_t left = coir_left(coir_sched_deadline(sched));
        poll(&ask, 1, left == INT64_MAX ? 1000 : left > 0 ? (int)(left / 1000000 + 1) : 0);
        coir_sched_step(sched, 3);
    }
}

static void close_box(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_mailbox_close(box), 0);
}

static void lose_none(void (*drive)(coir_sched *sched))
{
    coir_sched *sched;
    pthread_t threads[POSTERS + 1];
    coir_letter last = {.fn = close_box};
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    if (drive == drive_by_foreign_loop && coir_sched_fd(sched) == -ENOSYS)
        SKIP("this world has no descriptor to watch");
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    for (int i = 0; i <= POSTERS; i++)
        for (int j = 0; j < WORDS; j++)
            words[i][j].letter = (coir_letter){.fn = take, .arg = &words[i][j]};
    CHECK_EQ(coir_spawn(NULL, come_and_go, NULL, NULL), 0);
    signal(SIGALRM, on_alarm);
    for (int i = 1; i <= POSTERS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, post_at_random, (void *)(intptr_t)i), 0);
    on_alarm(SIGALRM);
    drive(sched);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0, 0}}, NULL);
    for (int i = 1; i <= POSTERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(coir_post(box, &last), 0);
    CHECK_EQ(coir_sched_run(sched), 0);
    posts[0] = signals;
    for (int i = 0; i <= POSTERS; i++) {
        long taken = 0;
        for (int j = 0; j < WORDS; j++) {
            CHECK_EQ(words[i][j].counted, 0);
            taken += words[i][j].taken;
        }
        CHECK_EQ(taken, posts[i]);
    }
    CHECK(posts[1] > 10);
    CHECK(signals > 10 || CR_SAN_THREAD); /* which hands them on only in calls that wait */
    coir_sched_free(sched);
}

/* proves: X1, X3, X4 */
TEST(test_posts_at_random_moments_are_all_called)
{
    lose_none(drive_by_steps);
}

/* proves: X1, X3, X4, E9 */
TEST(test_posts_at_random_moments_reach_a_foreign_loop)
{
    lose_none(drive_by_foreign_loop);
}

/* ---- nothing but posts ends the waits: one that is lost hangs ---- */

/* On a busy machine each has to wait for the processor, so there are fewer. */
enum { ASKED_LEAST = 500, ASKED_MOST = 20000, ASKING_MS = 1500 };

static long asked, answered;

static void answer(void *arg)
{
    struct word *word = arg;
    take(word);
    answered++;
}

static void *ask_and_wait(void *arg)
{
    uint32_t random = 5;
    struct word *word = arg;
    coir_time until = coir_loop_after(COIR_MS(ASKING_MS));
    for (int i = 0; i < ASKED_MOST; i++) {
        if (i >= ASKED_LEAST && coir_loop_now().ns > until.ns)
            break;
        asked++;
        post_word(word);
        uint32_t spins = next_random(&random) % 300;
        if (i % 3)
            while (atomic_load(&word->counted) != 0)
                continue;
        for (volatile uint32_t j = 0; j < spins; j++)
            continue;
    }
    while (atomic_load(&word->counted) != 0)
        poll(NULL, 0, 1);
    static coir_letter last = {.fn = close_box};
    CHECK_EQ(coir_post(box, &last), 0);
    return NULL;
}

/* proves: X1, X4 */
TEST(test_post_as_the_loop_dozes_off_ends_the_wait)
{
    coir_sched *sched;
    pthread_t thread;
    struct word *word = &words[0][0];
    word->letter = (coir_letter){.fn = answer, .arg = word};
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(pthread_create(&thread, NULL, ask_and_wait, word), 0);
    CHECK_EQ(coir_sched_run(sched), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(word->taken, asked);
    coir_sched_free(sched);
}
