/* Semaphores, barriers, wait groups, and what is done once. */
#include "waits.h"

/* ---- semaphores ---- */

static coir_sem sem;

static int call_acquire(struct waiter *w)
{
    return coir_sem_acquire(w->object, w->until);
}

static int permits(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_sem_count(&sem), 0);
    CHECK_EQ(coir_sem_acquire(&sem, COIR_TRY), COIR_TIMED_OUT);
    coir_sem_release(&sem, 2);
    coir_sem_release(&sem, 0);
    coir_sem_release(&sem, 1);
    for (int i = 3; i > 0; i--) {
        CHECK_EQ(coir_sem_count(&sem), i);
        CHECK_EQ(coir_sem_acquire(&sem, i > 1 ? COIR_NEVER : coir_now()), 0);
    }
    CHECK_EQ(coir_sem_acquire(&sem, coir_after(10)), COIR_TIMED_OUT);
    CHECK_EQ(now_ns(), 10);
    begin("a", call_acquire, &sem, COIR_NEVER);
    begin("b", call_acquire, &sem, COIR_NEVER);
    begin("c", call_acquire, &sem, COIR_NEVER);
    coir_sem_release(&sem, 1);
    CHECK_EQ(coir_sem_count(&sem), 0);
    CHECK_EQ(coir_sem_acquire(&sem, COIR_TRY), COIR_TIMED_OUT); /* it is a's */
    CHECK_LOG("a");
    coir_sem_release(&sem, 5);
    CHECK_EQ(coir_sem_count(&sem), 3);
    CHECK_LOG("b c");
    return 0;
}

/* proves: M5 */
TEST(test_permits_go_to_those_that_have_waited_longest_and_the_rest_are_kept)
{
    run_virtual(permits, NULL);
}

static unsigned state = 1;

static unsigned draw(unsigned most)
{
    state = state * 1103515245 + 12345;
    return (state >> 16) % most;
}

static uint64_t acquired, released;

static int acquire_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        unsigned how = draw(4);
        coir_time until = how == 0 ? COIR_TRY : how == 1 ? COIR_NEVER : coir_after(draw(10));
        int result = coir_sem_acquire(&sem, until);
        acquired += result == 0;
        if (result == COIR_CANCELLED)
            return 0;
        if (result == 0 && draw(2) == 0 && coir_sleep(draw(3)) == 0) {
            coir_sem_release(&sem, 1);
            released++;
        }
    }
    return 0;
}

static int crowd(void *arg)
{
    coir_fiber fibers[20];
    (void)arg;
    for (int i = 0; i < 20; i++)
        fibers[i] = run_spawn(acquire_some, NULL);
    for (int i = 0; i < 400; i++) {
        unsigned count = draw(4);
        coir_sem_release(&sem, count);
        released += count;
        coir_cancel(fibers[draw(20)], 0);
        if (draw(3) == 0)
            CHECK_EQ(coir_sleep(draw(4)), 0);
        CHECK(coir_sem_count(&sem) <= released - acquired); /* some were given, and not counted */
    }
    for (int i = 0; i < 20; i++)
        coir_cancel(fibers[i], 0);
    settle();
    CHECK_EQ(coir_sem_count(&sem), released - acquired);
    return 0;
}

/* proves: M5, Y4 */
TEST(test_no_permit_of_a_crowd_is_lost_and_none_is_taken_twice)
{
    for (int i = 0; i < 20; i++) {
        sem = (coir_sem){{0}};
        acquired = released = 0;
        run_virtual(crowd, NULL);
    }
}

/* ---- barriers ---- */

static coir_barrier barrier;

static int call_barrier(struct waiter *w)
{
    return coir_barrier_wait(&barrier, *(size_t *)w->object, w->until);
}

static int groups(void *arg)
{
    static size_t one = 1, three = 3;
    (void)arg;
    CHECK_EQ(coir_barrier_wait(&barrier, 0, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_barrier_wait(&barrier, 1, COIR_NEVER), 1);
    CHECK_EQ(coir_barrier_wait(&barrier, 1, COIR_TRY), 1);
    CHECK_EQ(coir_barrier_wait(&barrier, 2, COIR_TRY), COIR_TIMED_OUT);
    begin("a", call_barrier, &three, COIR_NEVER);
    begin("b", call_barrier, &three, coir_after(COIR_SEC(1)));
    CHECK_LOG("");
    CHECK_EQ(coir_barrier_wait(&barrier, 3, COIR_TRY), 1); /* they are there already */
    begin("c", call_barrier, &three, COIR_NEVER); /* the next group */
    CHECK_LOG("a b");
    begin("d", call_barrier, &three, COIR_NEVER);
    CHECK_LOG("");
    begin("e", call_barrier, &three, COIR_NEVER);
    CHECK_LOG("e=1 c d");
    begin("f", call_barrier, &one, COIR_NEVER);
    CHECK_LOG("f=1");
    return 0;
}

/* proves: M6 */
TEST(test_a_barrier_lets_a_group_go_and_the_last_is_told)
{
    run_virtual(groups, NULL);
}

static int parties_give_up(void *arg)
{
    static size_t three = 3;
    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct waiter *a = begin("a", call_barrier, &three, COIR_NEVER);
        begin("b", call_barrier, &three, coir_after(10));
        cancel(a);
        CHECK_EQ(coir_barrier_wait(&barrier, 3, COIR_TRY), COIR_TIMED_OUT); /* a does not count */
        CHECK_EQ(coir_sleep(20), 0);
        CHECK_LOG("a=CANCELLED b=TIMED_OUT");
        begin_cancelled("c", call_barrier, &three, NULL, COIR_NEVER);
        CHECK_LOG("c=CANCELLED");
        begin("d", call_barrier, &three, COIR_NEVER);
        begin("e", call_barrier, &three, COIR_NEVER);
        CHECK_LOG("");
        begin("f", call_barrier, &three, COIR_NEVER);
        CHECK_LOG("f=1 d e");
    }
    return 0;
}

/* proves: M6, Y4 */
TEST(test_who_gives_up_at_a_barrier_does_not_count)
{
    run_virtual(parties_give_up, NULL);
}

enum { WALKERS = 7, ROUNDS = 30 };

static int rounds[WALKERS], lasts;

static int walk(void *arg)
{
    int *mine = arg;
    for (; *mine < ROUNDS; ++*mine) {
        if (draw(2))
            coir_sleep(draw(9));
        int result = coir_barrier_wait(&barrier, WALKERS, COIR_NEVER);
        CHECK(result == 0 || result == 1);
        lasts += result;
        for (int i = 0; i < WALKERS; i++)
            CHECK(rounds[i] == *mine || rounds[i] == *mine + 1);
    }
    return 0;
}

static int walk_all(void *arg)
{
    coir_fiber fibers[WALKERS];
    (void)arg;
    for (int i = 0; i < WALKERS; i++)
        fibers[i] = run_spawn(walk, &rounds[i]);
    for (int i = 0; i < WALKERS; i++)
        CHECK_EQ(run_join(fibers[i]), 0);
    return lasts == ROUNDS ? 0 : 1;
}

/* proves: M6 */
TEST(test_nobody_is_a_round_ahead_at_a_barrier_and_each_round_has_one_last)
{
    run_virtual(walk_all, NULL);
}

/* ---- wait groups ---- */

static coir_wait_group group;

static int call_group(struct waiter *w)
{
    return coir_wait_group_wait(w->object, w->until);
}

static int count_down(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_wait_group_wait(&group, COIR_NEVER), 0);
    CHECK_EQ(coir_wait_group_wait(&group, COIR_TRY), 0);
    coir_wait_group_add(&group, 2);
    coir_wait_group_add(&group, 0);
    begin("a", call_group, &group, COIR_NEVER);
    struct waiter *b = begin("b", call_group, &group, COIR_NEVER);
    begin("c", call_group, &group, coir_after(10));
    begin("d", call_group, &group, COIR_TRY);
    begin("e", call_group, &group, COIR_NEVER);
    CHECK_LOG("d=TIMED_OUT");
    coir_wait_group_done(&group);
    coir_wait_group_add(&group, 1);
    coir_wait_group_done(&group);
    CHECK_LOG("");
    cancel(b);
    CHECK_EQ(coir_sleep(20), 0);
    CHECK_LOG("b=CANCELLED c=TIMED_OUT");
    coir_wait_group_done(&group);
    coir_wait_group_add(&group, 1); /* a and e have been let go before */
    begin("f", call_group, &group, COIR_NEVER);
    CHECK_LOG("a e");
    coir_wait_group_done(&group);
    CHECK_LOG("f");
    return 0;
}

/* proves: M7, Y4 */
TEST(test_a_wait_group_lets_all_go_when_nothing_is_under_way)
{
    run_virtual(count_down, NULL);
}

/* ---- once ---- */

static coir_once once;
static int calls;

/* Returns what it is given after it has slept. */
static int slow(void *arg)
{
    calls++;
    coir_sleep(10);
    return *(int *)arg;
}

static int call_once(struct waiter *w)
{
    return coir_once_call(w->object, slow, w->other, w->until);
}

static int seven = 7, five = 5, io_error = -EIO;

static int first_time(void *arg)
{
    (void)arg;
    begin_with("a", call_once, &once, &seven, COIR_NEVER);
    begin_with("b", call_once, &once, &five, COIR_NEVER);
    begin_with("c", call_once, &once, &five, coir_after(5));
    struct waiter *d = begin_with("d", call_once, &once, &five, COIR_NEVER);
    begin_with("e", call_once, &once, &five, COIR_TRY);
    cancel(d);
    CHECK_EQ(coir_sleep(5), 0);
    CHECK_LOG("e=TIMED_OUT d=CANCELLED c=TIMED_OUT");
    CHECK_EQ(coir_sleep(10), 0);
    CHECK_LOG("a=7 b=7");
    CHECK_EQ(coir_once_call(&once, slow, &five, COIR_TRY), 7);
    CHECK_EQ(coir_once_call(&once, slow, &io_error, COIR_NEVER), 7);
    return calls == 1 ? 0 : 1;
}

/* proves: M8 */
TEST(test_what_is_done_once_has_the_result_of_that_call)
{
    run_virtual(first_time, NULL);
}

static int fail_first(void *arg)
{
    (void)arg;
    begin_with("a", call_once, &once, &io_error, COIR_NEVER);
    begin_with("b", call_once, &once, &io_error, COIR_NEVER);
    begin_with("c", call_once, &once, &five, COIR_NEVER);
    begin_with("d", call_once, &once, &seven, COIR_NEVER);
    CHECK_EQ(coir_sleep(15), 0);
    CHECK_LOG("a=EIO");
    begin_with("e", call_once, &once, &seven, COIR_NEVER); /* b calls now */
    CHECK_EQ(coir_sleep(100), 0);
    CHECK_LOG("b=EIO c=5 d=5 e=5");
    CHECK_EQ(calls, 3);
    once = (coir_once){{0}};
    CHECK_EQ(coir_once_call(&once, slow, &io_error, COIR_NEVER), -EIO);
    CHECK_EQ(coir_once_call(&once, slow, &io_error, COIR_TRY), -EIO);
    CHECK_EQ(coir_once_call(&once, slow, &seven, COIR_TRY), 7);
    return 0;
}

/* proves: M8 */
TEST(test_a_call_that_fails_is_made_again_by_the_next_who_waits)
{
    run_virtual(fail_first, NULL);
}

static int next_is_cancelled(void *arg)
{
    (void)arg;
    begin_with("a", call_once, &once, &io_error, COIR_NEVER);
    struct waiter *b = begin_with("b", call_once, &once, &five, COIR_NEVER);
    begin_with("c", call_once, &once, &seven, COIR_NEVER);
    cancel(b);
    CHECK_EQ(coir_sleep(100), 0);
    CHECK_LOG("b=CANCELLED a=EIO c=7");
    return 0;
}

/* proves: M8, Y4 */
TEST(test_a_call_that_fails_is_not_handed_to_one_who_has_given_up)
{
    run_virtual(next_is_cancelled, NULL);
}

static int cancelled_call(void *arg)
{
    (void)arg;
    struct waiter *a = begin_with("a", call_once, &once, &five, COIR_NEVER);
    begin_with("b", call_once, &once, &seven, COIR_NEVER);
    cancel(a);
    CHECK_LOG("a=5 b=5"); /* fn has made the best of it */
    begin_cancelled("c", call_once, &once, &seven, COIR_NEVER);
    CHECK_LOG("c=CANCELLED");
    return 0;
}

/* proves: M8, C1 */
TEST(test_a_cancel_during_the_call_is_for_the_function_to_handle)
{
    run_virtual(cancelled_call, NULL);
}

static int again(void *arg)
{
    CHECK_EQ(coir_once_call(arg, slow, &five, COIR_NEVER), -EDEADLK);
    CHECK_EQ(coir_once_call(arg, slow, &five, COIR_TRY), -EDEADLK);
    coir_once other = {{0}};
    CHECK_EQ(coir_once_call(&other, slow, &five, COIR_NEVER), 5);
    return -EPERM;
}

static int in_itself(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_once_call(&once, again, &once, COIR_NEVER), -EPERM);
    CHECK_EQ(coir_once_call(&once, slow, &seven, COIR_NEVER), 7);
    CHECK_EQ(coir_once_call(&once, again, &once, COIR_NEVER), 7);
    return 0;
}

/* proves: M8 */
TEST(test_a_call_of_it_in_its_own_function_is_a_deadlock)
{
    run_virtual(in_itself, NULL);
}
