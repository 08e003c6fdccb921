/* Wakes of the event loop: from other threads, from signal handlers, before the wait; none is
 * lost. */
#include "loops.h"

#include <stdatomic.h>
#include <sys/time.h>

/* proves: P7 */
TEST(test_loop_wake_before_the_wait_is_told_once)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        CHECK_EQ(coir_loop_wake(loop), 0);
        CHECK_EQ(loops_now(loop), 0); /* nobody asked for it */
        CHECK_EQ(coir_loop_add_wake(loop, WORD(5)), 0);
        CHECK_EQ(loops_soon(loop), 1);
        CHECK_EQ(loops_events[0].fd, -1);
        CHECK_EQ(loops_events[0].flags, COIR_LOOP_WAKE);
        CHECK_EQ(loops_events[0].bytes, 0);
        CHECK(loops_events[0].user == WORD(5));
        CHECK_EQ(loops_now(loop), 0);
        for (int i = 0; i < 1000; i++)
            CHECK_EQ(coir_loop_wake(loop), 0);
        CHECK_EQ(loops_soon(loop), 1);
        CHECK_EQ(loops_now(loop), 0);
    }
}

static void *wake_late(void *loop)
{
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    CHECK_EQ(coir_loop_wake(loop), 0);
    return NULL;
}

/* proves: P7 */
TEST(test_loop_wake_of_another_thread_ends_a_wait_for_ever)
{
    coir_loop *loop;
    while (loops_next(&loop)) {
        pthread_t thread;
        CHECK_EQ(coir_loop_add_wake(loop, NULL), 0);
        CHECK_EQ(pthread_create(&thread, NULL, wake_late, loop), 0);
        CHECK_EQ(coir_loop_wait(loop, loops_events, 1, COIR_NEVER), 1);
        CHECK_EQ(loops_events[0].flags, COIR_LOOP_WAKE);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
}

static coir_loop *to_wake;

static void on_alarm(int number)
{
    int before = errno;
    errno = number;
    coir_loop_wake(to_wake);
    CHECK_EQ(errno, number);
    errno = before;
}

/* proves: P7, P2 */
TEST(test_loop_wake_of_a_signal_handler_ends_a_wait_for_ever)
{
    coir_loop *loop;
    struct sigaction action = {.sa_handler = on_alarm};
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    while (loops_next(&loop)) {
        to_wake = loop;
        CHECK_EQ(coir_loop_add_wake(loop, NULL), 0);
        for (int i = 0; i < 5; i++) {
            struct itimerval once = {{0}, {.tv_usec = 2000}};
            CHECK_EQ(setitimer(ITIMER_REAL, &once, NULL), 0);
            CHECK_EQ(coir_loop_wait(loop, loops_events, 1, COIR_NEVER), 1);
            CHECK_EQ(loops_events[0].flags, COIR_LOOP_WAKE);
        }
    }
}

/* A thread that wakes only after its last wake was answered: a lost one stops both forever. On
 * a busy machine each turn has to wait for the processor, so there are fewer. */
enum { TURNS_LEAST = 1000, TURNS_MOST = 100000, MS_MOST = 400 };

struct ping {
    coir_loop *loop;
    coir_time until;
    atomic_int asked, answered, turns; /* turns: how many there will be, once that is known */
    bool impatient; /* does not wait for the answer */
};

static void *wake_often(void *arg)
{
    struct ping *ping = arg;
    for (int i = 1; i <= atomic_load(&ping->turns); i++) {
        if (i >= TURNS_LEAST && coir_loop_now().ns > ping->until.ns)
            atomic_store(&ping->turns, i);
        atomic_store(&ping->asked, i);
        CHECK_EQ(coir_loop_wake(ping->loop), 0);
        while (!ping->impatient && atomic_load(&ping->answered) < i)
            sched_yield();
    }
    return NULL;
}

static void answer_all(coir_loop *loop, bool impatient)
{
    struct ping ping = {.loop = loop, .until = coir_loop_after(COIR_MS(MS_MOST)),
                        .turns = TURNS_MOST, .impatient = impatient};
    pthread_t thread;
    CHECK_EQ(coir_loop_add_wake(loop, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, wake_often, &ping), 0);
    while (atomic_load(&ping.answered) < atomic_load(&ping.turns)) {
        CHECK_EQ(coir_loop_wait(loop, loops_events, 1, COIR_NEVER), 1);
        atomic_store(&ping.answered, atomic_load(&ping.asked));
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* proves: P7 */
TEST(test_loop_wake_is_never_lost_when_each_is_waited_for)
{
    coir_loop *loop;
    while (loops_next(&loop))
        answer_all(loop, false);
}

/* proves: P7 */
TEST(test_loop_wake_is_never_lost_when_they_come_in_crowds)
{
    coir_loop *loop;
    while (loops_next(&loop))
        answer_all(loop, true);
}
