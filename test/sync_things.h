/* Everything of coir_chan.h and coir_sync.h that a fiber waits for, in one table: how it is made so
 * that who asks must wait, how one waits for it, by itself and as the case of a select, and how it
 * is given to one that waits. */
#ifndef TEST_SYNC_THINGS_H
#define TEST_SYNC_THINGS_H

#include "sync_locks.h"
#include "sync_shared.h"

static coir_event the_event, other_event;
static coir_queue the_queue;
static coir_chan the_chan;
static coir_broadcast the_broadcast;
static coir_subscriber the_subscriber;
static coir_once the_once;
static coir_fiber the_fiber;

/* ---- events and queues ---- */

static coir_case case_wait(struct waiter *w)
{
    (void)w;
    return coir_case_wait(&the_event);
}

static coir_case case_take(struct waiter *w)
{
    (void)w;
    return coir_case_take(&the_event);
}

static coir_case case_queue(struct waiter *w)
{
    (void)w;
    return coir_case_queue(&the_queue);
}

static int thing_wait(struct waiter *w)
{
    return coir_event_wait(&the_event, w->until);
}

static int thing_take(struct waiter *w)
{
    return coir_event_take(&the_event, w->until);
}

static int thing_queue(struct waiter *w)
{
    return coir_queue_wait(&the_queue, w->until);
}

static void setup_event(void)
{
    the_event = (coir_event){{0}};
}

static void setup_queue(void)
{
    the_queue = (coir_queue){{0}};
}

static int give_wait(void)
{
    coir_event_set(&the_event);
    return GIVEN_UNSEEN;
}

static int give_take(void)
{
    coir_event_set(&the_event);
    return coir_event_is_set(&the_event) ? GIVEN_TO_NONE : GIVEN;
}

static int give_queue(void)
{
    return coir_queue_wake(&the_queue, 1) == 1 ? GIVEN : GIVEN_TO_NONE;
}

/* ---- channels ---- */

static void setup_chan(void)
{
    coir_chan_free(&the_chan, NULL, NULL);
    CHECK_EQ(coir_chan_open(&the_chan, sizeof(int64_t), 0), 0);
}

static int thing_send(struct waiter *w)
{
    return coir_chan_send(&the_chan, &w->item, w->until);
}

static int thing_recv(struct waiter *w)
{
    return coir_chan_recv(&the_chan, &w->item, w->until);
}

static coir_case case_send(struct waiter *w)
{
    return coir_case_send(&the_chan, &w->item);
}

static coir_case case_recv(struct waiter *w)
{
    return coir_case_recv(&the_chan, &w->item);
}

static int give_send(void)
{
    return try_recv(&the_chan) >= 0 ? GIVEN : GIVEN_TO_NONE;
}

static int give_recv(void)
{
    return try_send(&the_chan, 7) == 0 ? GIVEN : GIVEN_TO_NONE;
}

/* ---- broadcasts ---- */

static void setup_broadcast(void)
{
    coir_broadcast_free(&the_broadcast);
    CHECK_EQ(coir_broadcast_open(&the_broadcast, sizeof(int64_t), 1), 0);
    the_subscriber = coir_broadcast_subscribe(&the_broadcast);
}

static int thing_subscriber(struct waiter *w)
{
    return coir_subscriber_recv(&the_subscriber, &w->item, w->until);
}

static coir_case case_subscriber(struct waiter *w)
{
    return coir_case_subscriber(&the_subscriber, &w->item);
}

/* What is sent stays for whoever looks. */
static int give_broadcast(void)
{
    return coir_broadcast_send(&the_broadcast, &(int64_t){7}) == 0 ? GIVEN_UNSEEN : GIVEN_TO_NONE;
}

/* ---- the ends of others ---- */

static int once_fails(void *arg)
{
    coir_event_wait(arg, COIR_NEVER);
    return -EIO;
}

static int once_holder(void *arg)
{
    return coir_once_call(&the_once, once_fails, arg, COIR_NEVER) == -EIO ? 0 : 1;
}

static int once_answers(void *arg)
{
    return arg ? -EAGAIN : 0;
}

static void setup_once(void)
{
    the_once = (coir_once){{0}};
    other_event = (coir_event){{0}};
    run_spawn(once_holder, &other_event);
    settle();
}

static int thing_once(struct waiter *w)
{
    return coir_once_call(&the_once, once_answers, NULL, w->until);
}

/* The holder ends its call and wakes the next one, who does not run yet. */
static int give_once(void)
{
    coir_event_set(&other_event);
    coir_yield();
    int result = coir_once_call(&the_once, once_answers, &the_once, COIR_TRY);
    CHECK(result == -EAGAIN || result == COIR_TIMED_OUT);
    return result == -EAGAIN ? GIVEN_TO_NONE : GIVEN;
}

static int ends_later(void *arg)
{
    coir_event_wait(arg, COIR_NEVER);
    return 9;
}

static void setup_fiber(void)
{
    other_event = (coir_event){{0}};
    the_fiber = run_spawn(ends_later, &other_event);
    settle();
}

static int thing_join(struct waiter *w)
{
    int result = -1, joined = coir_join(the_fiber, &result, w->until);
    CHECK(joined < 0 || result == 9);
    return joined;
}

static coir_case case_join(struct waiter *w)
{
    (void)w;
    return coir_case_join(the_fiber, NULL);
}

/* Whoever waits gets the result, so that somebody else gets it too does not tell. */
static int give_fiber(void)
{
    coir_event_set(&other_event);
    coir_yield();
    return coir_join(the_fiber, NULL, COIR_TRY) == 0 ? GIVEN_UNSEEN : GIVEN;
}

/* ---- the table ---- */

enum {
    THING_WAIT,
    THING_TAKE,
    THING_QUEUE,
    THING_SEND,
    THING_RECV,
    THING_SUBSCRIBER,
    THING_LOCK,
    THING_READ,
    THING_WRITE,
    THING_COND,
    THING_ACQUIRE,
    THING_BARRIER,
    THING_GROUP,
    THING_ONCE,
    THING_JOIN,
    THING_SHARED_SEND,
    THING_SHARED_RECV,
    THING_SHARED_ACQUIRE,
    THING_SHARED_WAIT,
    THING_SHARED_TAKE,
    THINGS_COUNT
};

static const struct thing THINGS[THINGS_COUNT] = {
    [THING_WAIT] = {"wait for an event", setup_event, thing_wait, case_wait, NULL, give_wait},
    [THING_TAKE] = {"take an event", setup_event, thing_take, case_take, NULL, give_take},
    [THING_QUEUE] = {"wait in a queue", setup_queue, thing_queue, case_queue, NULL, give_queue},
    [THING_SEND] = {"send", setup_chan, thing_send, case_send, NULL, give_send},
    [THING_RECV] = {"receive", setup_chan, thing_recv, case_recv, NULL, give_recv},
    [THING_SUBSCRIBER] = {"receive what all receive", setup_broadcast, thing_subscriber,
                          case_subscriber, NULL, give_broadcast},
    [THING_LOCK] = {"lock", setup_mutex, thing_lock, case_lock, got_mutex, give_mutex},
    [THING_READ] = {"read", setup_rwlock, thing_read, NULL, NULL, give_rwlock},
    [THING_WRITE] = {"write", setup_rwlock, thing_write, NULL, NULL, give_rwlock},
    [THING_COND] = {"wait for a condition", setup_cond, thing_cond, NULL, NULL, give_cond},
    [THING_ACQUIRE] = {"acquire", setup_sem, thing_acquire, case_acquire, NULL, give_sem},
    [THING_BARRIER] = {"wait at a barrier", setup_barrier, thing_barrier, NULL, NULL, give_barrier},
    [THING_GROUP] = {"wait for a group", setup_group, thing_group, NULL, NULL, give_group},
    [THING_ONCE] = {"call once", setup_once, thing_once, NULL, NULL, give_once},
    [THING_JOIN] = {"join a fiber", setup_fiber, thing_join, case_join, NULL, give_fiber},
    [THING_SHARED_SEND] = {"send to a shared channel", setup_shared_send, thing_shared_send,
                           case_shared_send, NULL, give_shared_send},
    [THING_SHARED_RECV] = {"receive from a shared channel", setup_shared_recv, thing_shared_recv,
                           case_shared_recv, NULL, give_shared_recv},
    [THING_SHARED_ACQUIRE] = {"acquire a shared permit", setup_shared_sem, thing_shared_acquire,
                              case_shared_acquire, NULL, give_shared_sem},
    [THING_SHARED_WAIT] = {"wait for a shared event", setup_shared_event, thing_shared_wait,
                           case_shared_wait, NULL, give_shared_event},
    [THING_SHARED_TAKE] = {"take a shared event", setup_shared_event, thing_shared_take,
                           case_shared_take, NULL, give_shared_event},
};

/* How a fiber waits for a thing: by its own call, as one of two cases, or as one of three. */
enum form { ALONE, IN_TWO, IN_THREE, FORMS };

static const char *const FORM_NAMES[FORMS] = {"alone", "as one of two", "as one of three"};

static coir_event never_set;

static int call_in_select(struct waiter *w, const struct thing *thing, size_t count)
{
    coir_queue empty = {{0}};
    coir_case cases[] = {coir_case_wait(&never_set), thing->as_case(w), coir_case_queue(&empty)};
    int which = coir_select(cases, count, 0, w->until);
    if (which < 0)
        return which;
    CHECK_EQ(which, 1);
    if (cases[1].result == 0 && thing->got)
        thing->got();
    return cases[1].result;
}

static int call_thing(struct waiter *w)
{
    const struct thing *thing = w->object;
    enum form form = *(const enum form *)w->other;
    return form == ALONE ? thing->call(w) : call_in_select(w, thing, form == IN_TWO ? 2 : 3);
}

/* Whether a waiter is not given the thing, but sent for, and then takes it if nothing has ended its
 * select before. */
static inline bool is_sent_for(const struct thing *thing, enum form form)
{
    return form != ALONE && thing >= &THINGS[THING_SHARED_SEND];
}

/* The waiter is not let run yet. */
static inline struct waiter *thing_waiter(const struct thing *thing, enum form form,
                                          coir_time until)
{
    static enum form forms[FORMS] = {ALONE, IN_TWO, IN_THREE};
    struct waiter *w = waiter_make("w", call_thing, (void *)(uintptr_t)thing, until);
    w->other = &forms[form];
    waiter_spawn(w);
    return w;
}

static inline void thing_release(const struct thing *thing)
{
    if (thing->setup != setup_mutex && thing->setup != setup_rwlock)
        return;
    if (main_holds)
        (thing->setup == setup_mutex ? got_mutex : got_written)();
    main_holds = false;
}

/* Calls `fn` for each thing in each form. What was begun is printed if it fails. */
static inline void for_each_thing(void (*fn)(const struct thing *thing, enum form form))
{
    for (int i = 0; i < THINGS_COUNT; i++)
        for (int form = ALONE; form < (THINGS[i].as_case ? FORMS : 1); form++) {
            fprintf(stderr, "%s, %s\n", THINGS[i].name, FORM_NAMES[form]);
            waiters_used = 0;
            run_log[0] = '\0';
            fn(&THINGS[i], (enum form)form);
        }
}

#endif
