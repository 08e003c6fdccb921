/* The locks among the things of sync_things.h, and what counts: how each is made so that who asks
 * must wait, how one waits for it, and how it is given. */
#ifndef TEST_SYNC_LOCKS_H
#define TEST_SYNC_LOCKS_H

#include "waits.h"

#include <coir_select.h>

enum { GIVEN_TO_NONE, GIVEN, GIVEN_UNSEEN }; /* what a give can tell */

struct thing {
    const char *name;
    void (*setup)(void);                    /* nothing can be had */
    int (*call)(struct waiter *w);          /* and lets go of what it has got */
    coir_case (*as_case)(struct waiter *w); /* NULL: it is no case of a select */
    void (*got)(void);                      /* lets go of what the case has got; or NULL */
    int (*give)(void);                      /* gives it once */
};

static coir_mutex the_mutex;
static coir_rwlock the_rwlock;
static coir_cond the_cond;
static coir_sem the_sem;
static coir_barrier the_barrier;
static coir_wait_group the_group;
static bool main_holds; /* what the fiber that gives has locked */

/* ---- locks ---- */

static void setup_mutex(void)
{
    main_holds = main_holds || coir_mutex_lock(&the_mutex, COIR_TRY) == 0;
    CHECK(main_holds);
}

static void got_mutex(void)
{
    coir_mutex_unlock(&the_mutex);
}

static int thing_lock(struct waiter *w)
{
    int result = coir_mutex_lock(&the_mutex, w->until);
    if (result == 0)
        got_mutex();
    return result;
}

static coir_case case_lock(struct waiter *w)
{
    (void)w;
    return coir_case_lock(&the_mutex);
}

static int give_mutex(void)
{
    coir_mutex_unlock(&the_mutex);
    main_holds = coir_mutex_lock(&the_mutex, COIR_TRY) == 0;
    return main_holds ? GIVEN_TO_NONE : GIVEN;
}

static void setup_rwlock(void)
{
    main_holds = main_holds || coir_rwlock_write(&the_rwlock, COIR_TRY) == 0;
    CHECK(main_holds);
}

static void got_written(void)
{
    coir_rwlock_unlock(&the_rwlock);
}

static int thing_read(struct waiter *w)
{
    int result = coir_rwlock_read(&the_rwlock, w->until);
    if (result == 0)
        got_written();
    return result;
}

static int thing_write(struct waiter *w)
{
    int result = coir_rwlock_write(&the_rwlock, w->until);
    if (result == 0)
        got_written();
    return result;
}

static int give_rwlock(void)
{
    coir_rwlock_unlock(&the_rwlock);
    main_holds = coir_rwlock_write(&the_rwlock, COIR_TRY) == 0;
    return main_holds ? GIVEN_TO_NONE : GIVEN;
}

static void setup_cond(void)
{
    the_cond = (coir_cond){{0}};
}

static int thing_cond(struct waiter *w)
{
    int result = coir_mutex_lock(&the_mutex, COIR_TRY);
    if (result < 0)
        return result;
    result = coir_cond_wait(&the_cond, &the_mutex, w->until);
    coir_mutex_unlock(&the_mutex); /* would stop the program if it did not hold it */
    return result;
}

static int give_cond(void)
{
    return coir_cond_wake(&the_cond, 1) == 1 ? GIVEN : GIVEN_TO_NONE;
}

/* ---- what counts ---- */

static void setup_sem(void)
{
    the_sem = (coir_sem){{0}};
}

static int thing_acquire(struct waiter *w)
{
    return coir_sem_acquire(&the_sem, w->until);
}

static coir_case case_acquire(struct waiter *w)
{
    (void)w;
    return coir_case_acquire(&the_sem);
}

static int give_sem(void)
{
    coir_sem_release(&the_sem, 1);
    return coir_sem_count(&the_sem) == 0 ? GIVEN : GIVEN_TO_NONE;
}

static void setup_barrier(void)
{
    the_barrier = (coir_barrier){{0}};
}

static int thing_barrier(struct waiter *w)
{
    return coir_barrier_wait(&the_barrier, 2, w->until);
}

static int give_barrier(void)
{
    return coir_barrier_wait(&the_barrier, 2, COIR_TRY) == 1 ? GIVEN : GIVEN_TO_NONE;
}

static void setup_group(void)
{
    the_group = (coir_wait_group){{0}};
    coir_wait_group_add(&the_group, 1);
}

static int thing_group(struct waiter *w)
{
    return coir_wait_group_wait(&the_group, w->until);
}

static int give_group(void)
{
    coir_wait_group_done(&the_group);
    return GIVEN_UNSEEN;
}

#endif
