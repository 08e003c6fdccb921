/* Channels, events, locks and selects in a forked child: every call fails with -ECHILD, or does
 * nothing, until the child has a scheduler of its own. */
#include "sync_things.h"

static int wrong;
static coir_mutex held;
static coir_rwlock written;

static void expect(const char *what, long long is, long long should)
{
    if (is == should)
        return;
    fprintf(stderr, "%s: %lld instead of %lld\n", what, is, should);
    wrong++;
}

#define EXPECT_ECHILD(call) expect(#call, call, -ECHILD)

/* ---- calls that return an error ---- */

static void refused_channels(coir_time until)
{
    coir_chan fresh = {{0}};
    int64_t item = 1;
    EXPECT_ECHILD(coir_chan_open(&fresh, 8, 1));
    EXPECT_ECHILD(coir_chan_send(&the_chan, &item, until));
    EXPECT_ECHILD(coir_chan_recv(&the_chan, &item, until));
    EXPECT_ECHILD(coir_chan_put_back(&the_chan, &item));
    EXPECT_ECHILD(coir_chan_close(&the_chan));
    expect("what lies in the channel", (long long)coir_chan_length(&the_chan), 1);
}

static void refused_locks(coir_time until)
{
    coir_mutex mutex = {{0}};
    coir_rwlock lock = {{0}};
    coir_once once = {{0}};
    EXPECT_ECHILD(coir_event_wait(&the_event, until));
    EXPECT_ECHILD(coir_event_take(&the_event, until));
    EXPECT_ECHILD(coir_queue_wait(&the_queue, until));
    EXPECT_ECHILD(coir_mutex_lock(&mutex, until));
    EXPECT_ECHILD(coir_rwlock_read(&lock, until));
    EXPECT_ECHILD(coir_rwlock_write(&lock, until));
    EXPECT_ECHILD(coir_cond_wait(&the_cond, &held, until));
    EXPECT_ECHILD(coir_sem_acquire(&the_sem, until));
    EXPECT_ECHILD(coir_barrier_wait(&the_barrier, 1, until));
    EXPECT_ECHILD(coir_wait_group_wait(&the_group, until));
    EXPECT_ECHILD(coir_once_call(&once, once_answers, NULL, until));
}

static void refused_selects(coir_time until)
{
    int64_t item = 1;
    coir_case cases[] = {coir_case_wait(&the_event), coir_case_recv(&the_chan, &item),
                         coir_case_send(&the_chan, &item)};
    EXPECT_ECHILD(coir_select(cases, 3, 0, until));
    EXPECT_ECHILD(coir_select(cases, 1, COIR_FAIR, until));
    EXPECT_ECHILD(coir_select(cases, 0, 0, until));
}

static void refused(void)
{
    static const coir_time untils[] = {{0}, {1}, {1000000}};
    for (int i = 0; i < 3; i++) {
        refused_channels(untils[i]);
        refused_locks(untils[i]);
        refused_selects(untils[i]);
    }
}

/* ---- calls that return none ---- */

static void never_called(void *item, void *arg)
{
    (void)item, (void)arg;
    expect("calls of a drop", 1, 0);
}

#define EXPECT_UNCHANGED(object, call)                                                             \
    do {                                                                                           \
        char before[sizeof object];                                                                \
        memcpy(before, &object, sizeof object);                                                    \
        call;                                                                                      \
        expect("whether it did anything, " #call, memcmp(before, &object, sizeof object) != 0, 0); \
    } while (0)

static void do_nothing(void)
{
    EXPECT_UNCHANGED(the_event, coir_event_set(&the_event));
    EXPECT_UNCHANGED(other_event, coir_event_reset(&other_event));
    EXPECT_UNCHANGED(the_queue, coir_queue_wake(&the_queue, 1));
    expect("woken in a queue", (long long)coir_queue_wake(&the_queue, 1), 0);
    EXPECT_UNCHANGED(the_queue, coir_queue_end(&the_queue));
    EXPECT_UNCHANGED(held, coir_mutex_unlock(&held));
    EXPECT_UNCHANGED(written, coir_rwlock_unlock(&written));
    expect("woken at a condition", (long long)coir_cond_wake(&the_cond, 1), 0);
    EXPECT_UNCHANGED(the_sem, coir_sem_release(&the_sem, 1));
    EXPECT_UNCHANGED(the_group, coir_wait_group_add(&the_group, 1));
    EXPECT_UNCHANGED(the_group, coir_wait_group_done(&the_group));
    EXPECT_UNCHANGED(the_chan, coir_chan_free(&the_chan, never_called, NULL));
}

/* ---- a scheduler of the child's own ---- */

static int live(void *arg)
{
    (void)arg;
    waiters_used = 0;
    for (int i = 0; i < THINGS_COUNT; i++) {
        if (i == THING_SEND || i == THING_RECV)
            the_chan = (coir_chan){{0}};
        if (i == THING_LOCK)
            the_mutex = (coir_mutex){{0}};
        THINGS[i].setup();
        struct waiter *w = thing_waiter(&THINGS[i], ALONE, COIR_NEVER);
        settle();
        CHECK(!w->ended);
        CHECK(THINGS[i].give() != GIVEN_TO_NONE);
        settle();
        CHECK_EQ(w->result, 0);
        thing_release(&THINGS[i]);
    }
    coir_chan_free(&the_chan, NULL, NULL);
    return 0;
}

/* ---- the fork ---- */

static void in_a_child(void (*fn)(void))
{
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        wrong = 0;
        fn();
        _exit(wrong ? 1 : 0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

static void (*in_child)(void);

/* Fibers wait for everything but what the child looks at closely. */
static int fork_in_a_fiber(void *arg)
{
    (void)arg;
    int64_t item = 5;
    coir_event_set(&other_event);
    CHECK_EQ(coir_chan_open(&the_chan, sizeof item, 1), 0);
    CHECK_EQ(coir_chan_send(&the_chan, &item, COIR_TRY), 0);
    CHECK_EQ(coir_mutex_lock(&held, COIR_TRY), 0);
    CHECK_EQ(coir_rwlock_write(&written, COIR_TRY), 0);
    coir_wait_group_add(&the_group, 2);
    begin("a", thing_wait, NULL, COIR_NEVER);
    begin("b", thing_queue, NULL, COIR_NEVER);
    begin("c", thing_acquire, NULL, COIR_NEVER);
    begin("d", thing_group, NULL, COIR_NEVER);
    in_a_child(in_child);
    CHECK_LOG("");
    coir_event_set(&the_event);
    coir_queue_end(&the_queue);
    coir_sem_release(&the_sem, 1);
    coir_wait_group_done(&the_group);
    coir_wait_group_done(&the_group);
    CHECK_LOG("a b=EPIPE c d");
    CHECK_EQ(coir_chan_close(&the_chan), 0);
    CHECK_EQ(try_recv(&the_chan), 5);
    coir_chan_free(&the_chan, NULL, NULL);
    coir_mutex_unlock(&held);
    coir_rwlock_unlock(&written);
    return 0;
}

/* proves: Y6, F2 */
TEST(test_calls_with_a_result_are_refused_in_a_forked_child)
{
    in_child = refused;
    run_virtual(fork_in_a_fiber, NULL);
}

/* proves: Y6 */
TEST(test_calls_without_a_result_do_nothing_in_a_forked_child)
{
    in_child = do_nothing;
    run_virtual(fork_in_a_fiber, NULL);
}

static void live_in_a_child(void)
{
    the_event = (coir_event){{0}};
    the_rwlock = (coir_rwlock){{0}};
    run_virtual(live, NULL);
}

static int fork_and_live(void *arg)
{
    (void)arg;
    in_a_child(live_in_a_child);
    return live(NULL);
}

static void fork_outside(void)
{
    in_a_child(live_in_a_child);
}

/* proves: Y6, Y5 */
TEST(test_a_forked_child_has_objects_of_its_own_scheduler)
{
    CHECK_EQ(coir_run(fork_and_live, NULL, NULL, NULL), 0);
    fork_outside();
}
