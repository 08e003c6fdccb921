/* Objects of coir_sync.h that are copied while a fiber waits for them, and that are used by another
 * thread meanwhile: each use stops the program. One for which nobody waits may be moved. */
#include "stops.h"
#include "sync_things.h"

#include <pthread.h>

/* ---- every use of an object ---- */

static void use_set(void *event)
{
    coir_event_set(event);
}

static void use_wait(void *event)
{
    coir_event_wait(event, coir_after(10));
}

static void use_take(void *event)
{
    coir_event_take(event, coir_after(10));
}

static void use_queue_wake(void *queue)
{
    coir_queue_wake(queue, 1);
}

static void use_queue_end(void *queue)
{
    coir_queue_end(queue);
}

static void use_queue_wait(void *queue)
{
    coir_queue_wait(queue, coir_after(10));
}

static void use_unlock(void *mutex)
{
    coir_mutex_unlock(mutex);
}

static void use_lock(void *mutex)
{
    (void)!coir_mutex_lock(mutex, coir_after(10));
}

static void use_rw_unlock(void *lock)
{
    coir_rwlock_unlock(lock);
}

static void use_read(void *lock)
{
    (void)!coir_rwlock_read(lock, coir_after(10));
}

static void use_write(void *lock)
{
    (void)!coir_rwlock_write(lock, coir_after(10));
}

static void use_cond_wake(void *cond)
{
    coir_cond_wake(cond, 1);
}

static void use_cond_wait(void *cond)
{
    coir_mutex mutex = {{0}};
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
    coir_cond_wait(cond, &mutex, coir_after(10));
}

static void use_release(void *sem)
{
    coir_sem_release(sem, 1);
}

static void use_acquire(void *sem)
{
    (void)!coir_sem_acquire(sem, coir_after(10));
}

static void use_barrier_last(void *barrier)
{
    coir_barrier_wait(barrier, 2, coir_after(10));
}

static void use_barrier(void *barrier)
{
    coir_barrier_wait(barrier, 3, coir_after(10));
}

static void use_done(void *group)
{
    coir_wait_group_done(group);
}

static void use_group_wait(void *group)
{
    coir_wait_group_wait(group, coir_after(10));
}

static void use_once(void *once)
{
    coir_once_call(once, once_answers, NULL, coir_after(10));
}

struct use {
    const char *name;
    int thing; /* what a fiber waits for */
    void *object;
    size_t size;
    void (*use)(void *object);
    bool waits;     /* it waits; else it wakes */
    bool by_holder; /* by the fiber that holds the lock */
};

#define OBJECT(name) &name, sizeof name

static const struct use USES[] = {
    {"coir_event_set", THING_WAIT, OBJECT(the_event), use_set, false, true},
    {"coir_event_wait", THING_WAIT, OBJECT(the_event), use_wait, true, true},
    {"coir_event_take", THING_TAKE, OBJECT(the_event), use_take, true, true},
    {"coir_queue_wake", THING_QUEUE, OBJECT(the_queue), use_queue_wake, false, true},
    {"coir_queue_end", THING_QUEUE, OBJECT(the_queue), use_queue_end, false, true},
    {"coir_queue_wait", THING_QUEUE, OBJECT(the_queue), use_queue_wait, true, true},
    {"coir_mutex_unlock", THING_LOCK, OBJECT(the_mutex), use_unlock, false, true},
    {"coir_mutex_lock", THING_LOCK, OBJECT(the_mutex), use_lock, true, false},
    {"coir_rwlock_unlock", THING_READ, OBJECT(the_rwlock), use_rw_unlock, false, true},
    {"coir_rwlock_read", THING_READ, OBJECT(the_rwlock), use_read, true, false},
    {"coir_rwlock_write", THING_WRITE, OBJECT(the_rwlock), use_write, true, false},
    {"coir_cond_wake", THING_COND, OBJECT(the_cond), use_cond_wake, false, true},
    {"coir_cond_wait", THING_COND, OBJECT(the_cond), use_cond_wait, true, true},
    {"coir_sem_release", THING_ACQUIRE, OBJECT(the_sem), use_release, false, true},
    {"coir_sem_acquire", THING_ACQUIRE, OBJECT(the_sem), use_acquire, true, true},
    {"coir_barrier_wait", THING_BARRIER, OBJECT(the_barrier), use_barrier, true, true},
    {"coir_barrier_wait, the last", THING_BARRIER, OBJECT(the_barrier), use_barrier_last,
     false, true},
    {"coir_wait_group_done", THING_GROUP, OBJECT(the_group), use_done, false, true},
    {"coir_wait_group_wait", THING_GROUP, OBJECT(the_group), use_group_wait, true, true},
    {"coir_once_call", THING_ONCE, OBJECT(the_once), use_once, true, true},
};

enum { USES_COUNT = sizeof USES / sizeof *USES };

static const struct use *the_use;
static void *the_copy;

static int use_here(void *arg)
{
    the_use->use(arg);
    return 0;
}

static int use_in_second(void *arg)
{
    return run_join(run_spawn(use_here, arg));
}

static void have_one_wait(enum form form, coir_time until)
{
    THINGS[the_use->thing].setup();
    struct waiter *w = thing_waiter(&THINGS[the_use->thing], form, until);
    settle();
    CHECK(!w->ended);
}

/* ---- copied ---- */

static int copy_and_use(void *arg)
{
    have_one_wait(*(enum form *)arg, COIR_NEVER);
    the_copy = malloc(the_use->size);
    memcpy(the_copy, the_use->object, the_use->size);
    return the_use->by_holder ? use_here(the_copy) : use_in_second(the_copy);
}

static void copied(const void *use)
{
    enum form form = ALONE;
    the_use = use;
    run_as(copy_and_use, &form, COIR_CLOCK_VIRTUAL, NULL);
}

static void copied_beside_select(const void *use)
{
    enum form form = IN_TWO;
    the_use = use;
    run_as(copy_and_use, &form, COIR_CLOCK_VIRTUAL, NULL);
}

/* proves: Y6, F2 */
TEST(test_each_use_of_an_object_that_was_copied_while_a_fiber_waits_stops)
{
    for (int i = 0; i < USES_COUNT; i++)
        stops_check(USES[i].name, copied, &USES[i],
                    "the object was copied while a fiber waited for it (in fiber ");
    CHECK_EQ(stops_wrong, 0);
}

/* proves: Y6, F2 */
TEST(test_each_use_of_an_object_that_was_copied_while_a_select_waits_stops)
{
    for (int i = 0; i < USES_COUNT; i++)
        if (THINGS[USES[i].thing].as_case)
            stops_check(USES[i].name, copied_beside_select, &USES[i],
                        "the object was copied while a fiber waited for it (in fiber ");
    CHECK_EQ(stops_wrong, 0);
}

/* The wait is over, and so is the fiber; the copy has not noticed. */
static int copy_wait_and_use(void *arg)
{
    (void)arg;
    have_one_wait(ALONE, coir_after(5));
    the_copy = malloc(the_use->size);
    memcpy(the_copy, the_use->object, the_use->size);
    CHECK_EQ(coir_sleep(100), 0);
    CHECK(waiters[0].ended);
    return the_use->by_holder ? use_here(the_copy) : use_in_second(the_copy);
}

static void copied_long_before(const void *use)
{
    the_use = use;
    run_as(copy_wait_and_use, NULL, COIR_CLOCK_VIRTUAL, NULL);
}

/* proves: Y6, F2 */
TEST(test_each_use_of_an_object_that_was_copied_while_a_fiber_waited_stops_later_too)
{
    for (int i = 0; i < USES_COUNT; i++)
        stops_check(USES[i].name, copied_long_before, &USES[i],
                    "the object was copied while a fiber waited for it (in fiber ");
    CHECK_EQ(stops_wrong, 0);
}

/* ---- used by another thread ---- */

static bool in_second;

static void *use_in_a_thread(void *arg)
{
    run_as(in_second ? use_in_second : use_here, arg, COIR_CLOCK_VIRTUAL, NULL);
    return NULL;
}

static int wait_and_use_elsewhere(void *arg)
{
    pthread_t thread;
    (void)arg;
    have_one_wait(ALONE, COIR_NEVER);
    CHECK_EQ(pthread_create(&thread, NULL, use_in_a_thread, the_use->object), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return 0;
}

static void used_elsewhere(const void *use)
{
    the_use = use;
    run_as(wait_and_use_elsewhere, NULL, COIR_CLOCK_VIRTUAL, NULL);
}

/* An unlock may find first that the caller does not hold the lock. */
static void check_elsewhere(bool waits)
{
    for (int i = 0; i < USES_COUNT; i++) {
        bool unlocks = strstr(USES[i].name, "_unlock");
        if (USES[i].waits == waits)
            stops_check(USES[i].name, used_elsewhere, &USES[i],
                        unlocks ? USES[i].name : "another thread");
    }
    CHECK_EQ(stops_wrong, 0);
}

/* proves: Y6, F2 */
TEST(test_a_wake_in_another_thread_while_a_fiber_waits_stops)
{
    check_elsewhere(false);
}

/* proves: Y6, F2 */
TEST(test_a_wake_in_another_threads_second_fiber_while_a_fiber_waits_stops)
{
    in_second = true;
    check_elsewhere(false);
}

/* proves: Y6, F2 */
TEST(test_a_wait_in_another_thread_while_a_fiber_waits_stops)
{
    check_elsewhere(true);
}

/* proves: Y6, F2 */
TEST(test_a_wait_in_another_threads_second_fiber_while_a_fiber_waits_stops)
{
    in_second = true;
    check_elsewhere(true);
}

static void *set_in_a_thread(void *arg)
{
    coir_event_set(arg);
    return NULL;
}

static int set_elsewhere(void *arg)
{
    pthread_t thread;
    the_use = arg;
    have_one_wait(ALONE, COIR_NEVER);
    CHECK_EQ(pthread_create(&thread, NULL, set_in_a_thread, &the_event), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return 0;
}

/* proves: Y6, F2 */
TEST_DIES(test_a_set_in_a_thread_without_a_scheduler_while_a_fiber_waits_stops, SIGABRT,
          "coir: coir_event_set: called in a thread without a scheduler (in no fiber, called from ")
{
    run_as(set_elsewhere, (void *)(uintptr_t)&USES[0], COIR_CLOCK_VIRTUAL, NULL);
}

/* ---- moved while nobody waits ---- */

/* Each was waited for once, at its old place. */
static void move_idle(const struct thing *thing, void *object, size_t size)
{
    char *moved = malloc(size);
    fprintf(stderr, "%s\n", thing->name);
    waiters_used = 0;
    thing->setup();
    thing_waiter(thing, ALONE, coir_after(5));
    CHECK_EQ(coir_sleep(100), 0);
    CHECK_EQ(waiters[0].result, COIR_TIMED_OUT);
    memcpy(moved, object, size);
    memset(object, 0xa5, size);
    memcpy(object, moved, size); /* the copy of a copy, where the first one was */
    free(moved);
    thing_waiter(thing, ALONE, COIR_NEVER);
    settle();
    CHECK(thing->give() != GIVEN_TO_NONE);
    settle();
    CHECK_EQ(waiters[1].result, 0);
    thing_release(thing);
}

/* At another place, as the one held by main. */
static int move_to_another_place(void *arg)
{
    static coir_mutex mutex, mutex_2;
    static coir_sem sem, sem_2;
    (void)arg;
    CHECK_EQ(coir_mutex_lock(&mutex, COIR_NEVER), 0);
    CHECK_EQ(coir_sem_acquire(&sem, COIR_TRY), COIR_TIMED_OUT);
    coir_sem_release(&sem, 3);
    mutex_2 = mutex;
    sem_2 = sem;
    memset(&mutex, 0xa5, sizeof mutex);
    memset(&sem, 0xa5, sizeof sem);
    CHECK_EQ(coir_mutex_lock(&mutex_2, COIR_TRY), -EDEADLK);
    coir_mutex_unlock(&mutex_2);
    CHECK_EQ(coir_mutex_lock(&mutex_2, COIR_TRY), 0);
    coir_mutex_unlock(&mutex_2);
    CHECK_EQ(coir_sem_count(&sem_2), 3);
    for (int i = 0; i < USES_COUNT; i++)
        if (i == 0 || USES[i].object != USES[i - 1].object)
            move_idle(&THINGS[USES[i].thing], USES[i].object, USES[i].size);
    return 0;
}

/* proves: Y5 */
TEST(test_an_object_for_which_nobody_waits_may_be_moved)
{
    run_virtual(move_to_another_place, NULL);
}
