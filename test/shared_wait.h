/* One shared thing of each kind, and a fiber that waits for an item. */
#ifndef TEST_SHARED_WAIT_H
#define TEST_SHARED_WAIT_H

#include "shared.h"

static coir_shared_chan the_chan;
static coir_shared_sem the_sem;
static coir_shared_event the_event;

static inline void open_all(void)
{
    open_chan(&the_chan, 1);
    CHECK_EQ(coir_shared_sem_open(&the_sem, 0), 0);
    CHECK_EQ(coir_shared_event_open(&the_event), 0);
}

/* Nobody waits, or these would stop the program. */
static inline void free_all(void)
{
    coir_shared_chan_free(&the_chan, NULL, NULL);
    coir_shared_sem_free(&the_sem);
    coir_shared_event_free(&the_event);
}

struct taker {
    int64_t until; /* in the future; 0: never */
    int64_t got;
};

static inline coir_time taker_until(const struct taker *taker)
{
    return taker->until ? coir_after(taker->until) : COIR_NEVER;
}

static inline int take_in(void *arg)
{
    struct taker *taker = arg;
    taker->got = shared_recv(&the_chan, taker_until(taker));
    return 0;
}

/* A fiber that waits with a deadline is served before it, and then the deadline comes in the same
 * turn as the letter, and before it: it has the item. On a slow machine the deadline may come
 * before the hand-over: then with twice the time. */
static inline int served_in_time(int (*fn)(void *arg), int64_t item)
{
    for (int64_t length = COIR_MS(1);; length *= 2) {
        struct taker taker = {.until = length, .got = -1};
        coir_fiber fiber = run_spawn(fn, &taker);
        coir_time least = coir_after(length);
        CHECK_EQ(coir_idle(COIR_NEVER), 0);
        CHECK_EQ(shared_send(&the_chan, item, COIR_TRY), 0);
        bool in_time = coir_left(least) > 0;
        party_pause(length + COIR_MS(1));
        int result = run_join(fiber);
        if (in_time) {
            CHECK_EQ(result, 0);
            CHECK_EQ(taker.got, item);
            return 0;
        }
        shared_recv(&the_chan, COIR_TRY);
    }
}

static coir_event local;

static inline int select_two(void *arg)
{
    int64_t *got = arg;
    coir_case cases[] = {coir_case_wait(&local), coir_case_shared_recv(&the_chan, got)};
    int which = coir_select(cases, 2, 0, COIR_NEVER);
    CHECK(which < 0 || cases[which].result == 0);
    return which;
}

#endif
