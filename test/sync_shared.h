/* The things of sync_things.h that threads share, here among the fibers of one: how each is made so
 * that who asks must wait, how one waits for it, and how it is given. */
#ifndef TEST_SYNC_SHARED_H
#define TEST_SYNC_SHARED_H

#include "waits.h"

#include <coir_shared.h>

static coir_shared_chan the_shared_chan;
static coir_shared_sem the_shared_sem;
static coir_shared_event the_shared_event;

static void setup_shared_recv(void)
{
    coir_shared_chan_free(&the_shared_chan, NULL, NULL);
    CHECK_EQ(coir_shared_chan_open(&the_shared_chan, sizeof(int64_t), 1), 0);
}

static void setup_shared_send(void)
{
    setup_shared_recv();
    CHECK_EQ(coir_shared_chan_send(&the_shared_chan, &(int64_t){1}, COIR_TRY), 0);
}

static void setup_shared_sem(void)
{
    coir_shared_sem_free(&the_shared_sem);
    CHECK_EQ(coir_shared_sem_open(&the_shared_sem, 0), 0);
}

static void setup_shared_event(void)
{
    coir_shared_event_free(&the_shared_event);
    CHECK_EQ(coir_shared_event_open(&the_shared_event), 0);
}

static int thing_shared_send(struct waiter *w)
{
    return coir_shared_chan_send(&the_shared_chan, &w->item, w->until);
}

static int thing_shared_recv(struct waiter *w)
{
    return coir_shared_chan_recv(&the_shared_chan, &w->item, w->until);
}

static int thing_shared_acquire(struct waiter *w)
{
    return coir_shared_sem_acquire(&the_shared_sem, w->until);
}

static int thing_shared_wait(struct waiter *w)
{
    return coir_shared_event_wait(&the_shared_event, w->until);
}

static int thing_shared_take(struct waiter *w)
{
    return coir_shared_event_take(&the_shared_event, w->until);
}

static coir_case case_shared_send(struct waiter *w)
{
    return coir_case_shared_send(&the_shared_chan, &w->item);
}

static coir_case case_shared_recv(struct waiter *w)
{
    return coir_case_shared_recv(&the_shared_chan, &w->item);
}

static coir_case case_shared_acquire(struct waiter *w)
{
    (void)w;
    return coir_case_shared_acquire(&the_shared_sem);
}

static coir_case case_shared_wait(struct waiter *w)
{
    (void)w;
    return coir_case_shared_wait(&the_shared_event);
}

static coir_case case_shared_take(struct waiter *w)
{
    (void)w;
    return coir_case_shared_take(&the_shared_event);
}

/* A case takes its thing when it was sent for, so that it is there still tells nothing. */
static int give_shared_send(void)
{
    int64_t item;
    return coir_shared_chan_recv(&the_shared_chan, &item, COIR_TRY) == 0 ? GIVEN_UNSEEN
                                                                         : GIVEN_TO_NONE;
}

static int give_shared_recv(void)
{
    int result = coir_shared_chan_send(&the_shared_chan, &(int64_t){7}, COIR_TRY);
    return result == 0 ? GIVEN_UNSEEN : GIVEN_TO_NONE;
}

static int give_shared_sem(void)
{
    coir_shared_sem_release(&the_shared_sem, 1);
    return coir_shared_sem_count(&the_shared_sem) == 0 ? GIVEN : GIVEN_UNSEEN;
}

static int give_shared_event(void)
{
    coir_shared_event_set(&the_shared_event);
    return GIVEN_UNSEEN;
}

#endif
