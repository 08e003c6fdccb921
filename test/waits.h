/* What tests of channels, events and locks do: spawn fibers that make one blocking call each, and
 * compare in which order these calls return, and with what.
 *
 *     begin("a", call_take, &event, COIR_NEVER);     the fiber "a" waits, or has returned
 *     coir_event_set(&event);
 *     CHECK_LOG("a");                                 it has returned 0
 *
 * In the log stand the names of the fibers whose calls have returned: `a` for 0, `a=1` for a result
 * above 0, `a=EPIPE`, `a=TIMED_OUT` for errors, `a:7` for one that has received the item 7. */
#ifndef TEST_WAITS_H
#define TEST_WAITS_H

#include "run.h"
#include "clock.h"

#include <coir_chan.h>
#include <coir_sync.h>
#include <coir_test.h>

/* One call of one fiber. */
struct waiter {
    const char *name;
    int (*call)(struct waiter *w);
    void *object;
    void *other; /* what the call needs besides */
    coir_time until;
    int64_t item; /* to send, or received */
    bool shows;   /* that an item was received */
    bool cancels; /* itself, before the call */
    bool ended;
    int result;
    uint64_t ended_ns;
    coir_fiber fiber;
};

enum { WAITERS = 64 };

static struct waiter waiters[WAITERS];
static int waiters_used;

/* ---- the log ---- */

static inline void log_waiter(const struct waiter *w)
{
    char text[80];
    const char *error = coir_error_name(w->result);
    if (w->result < 0)
        snprintf(text, sizeof text, "%s=%s", w->name,
                 strncmp(error, "COIR_", 5) == 0 ? error + 5 : error);
    else if (w->result > 0)
        snprintf(text, sizeof text, "%s=%d", w->name, w->result);
    else if (w->shows)
        snprintf(text, sizeof text, "%s:%lld", w->name, (long long)w->item);
    else
        snprintf(text, sizeof text, "%s", w->name);
    run_note(text);
}

/* Lets all others run until they wait. */
static inline void settle(void)
{
    CHECK_EQ(coir_idle(COIR_NEVER), 0);
}

/* What has returned since the last look, after all others have run. */
#define CHECK_LOG(text)                                                                            \
    do {                                                                                           \
        settle();                                                                                  \
        CHECK_STR(run_log, text);                                                                  \
        run_log[0] = '\0';                                                                         \
    } while (0)

/* ---- fibers ---- */

static inline int waiter_run(void *arg)
{
    struct waiter *w = arg;
    if (w->cancels)
        CHECK_EQ(coir_cancel(coir_self(), 0), 0);
    w->result = w->call(w);
    w->ended = true;
    w->ended_ns = now_ns();
    log_waiter(w);
    return 0;
}

static inline struct waiter *waiter_make(const char *name, int (*call)(struct waiter *w),
                                         void *object, coir_time until)
{
    CHECK(waiters_used < WAITERS);
    struct waiter *w = &waiters[waiters_used++];
    *w = (struct waiter){.name = name, .call = call, .object = object, .until = until};
    return w;
}

static inline void waiter_spawn(struct waiter *w)
{
    w->fiber = run_spawn_named(waiter_run, w, w->name);
}

/* Spawns a fiber that makes the call, and lets it run until it waits or has ended. */
static inline struct waiter *begin(const char *name, int (*call)(struct waiter *w), void *object,
                                   coir_time until)
{
    struct waiter *w = waiter_make(name, call, object, until);
    waiter_spawn(w);
    settle();
    return w;
}

static inline struct waiter *begin_with(const char *name, int (*call)(struct waiter *w),
                                        void *object, void *other, coir_time until)
{
    struct waiter *w = waiter_make(name, call, object, until);
    w->other = other;
    waiter_spawn(w);
    settle();
    return w;
}

/* One that cancels itself before it makes the call. */
static inline struct waiter *begin_cancelled(const char *name, int (*call)(struct waiter *w),
                                             void *object, void *other, coir_time until)
{
    struct waiter *w = waiter_make(name, call, object, until);
    w->other = other;
    w->cancels = true;
    waiter_spawn(w);
    settle();
    return w;
}

static inline void cancel(const struct waiter *w)
{
    CHECK_EQ(coir_cancel(w->fiber, 0), 0);
}

/* ---- channels of items of 8 bytes ---- */

static inline int call_send(struct waiter *w)
{
    return coir_chan_send(w->object, &w->item, w->until);
}

static inline int call_recv(struct waiter *w)
{
    w->item = -1;
    int result = coir_chan_recv(w->object, &w->item, w->until);
    w->shows = result == 0;
    return result;
}

static inline struct waiter *begin_send(const char *name, coir_chan *chan, int64_t item,
                                        coir_time until)
{
    struct waiter *w = waiter_make(name, call_send, chan, until);
    w->item = item;
    waiter_spawn(w);
    settle();
    return w;
}

static inline struct waiter *begin_recv(const char *name, coir_chan *chan, coir_time until)
{
    return begin(name, call_recv, chan, until);
}

/* One try; the item, or an error. */
static inline int64_t try_recv(coir_chan *chan)
{
    int64_t item = -1;
    int result = coir_chan_recv(chan, &item, COIR_TRY);
    return result < 0 ? result : item;
}

static inline int try_send(coir_chan *chan, int64_t item)
{
    return coir_chan_send(chan, &item, COIR_TRY);
}

/* ---- events and wait queues ---- */

static inline int call_wait(struct waiter *w)
{
    return coir_event_wait(w->object, w->until);
}

static inline int call_take(struct waiter *w)
{
    return coir_event_take(w->object, w->until);
}

static inline int call_queue(struct waiter *w)
{
    return coir_queue_wait(w->object, w->until);
}

#endif
