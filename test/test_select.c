/* Selects: exactly one case takes effect, of several the first, and nothing is left of the
 * others. */
#include "sync_things.h"

#include <limits.h>

/* ---- of several that are ready ---- */

static const int READY[] = {THING_TAKE, THING_RECV, THING_LOCK, THING_ACQUIRE, THING_JOIN};

enum { READY_COUNT = sizeof READY / sizeof *READY };

static int seven(void *arg)
{
    (void)arg;
    return 7;
}

static void make_all_ready(void)
{
    the_event = (coir_event){{0}};
    the_sem = (coir_sem){{0}};
    the_mutex = (coir_mutex){{0}};
    coir_event_set(&the_event);
    coir_sem_release(&the_sem, 1);
    coir_chan_free(&the_chan, NULL, NULL);
    CHECK_EQ(coir_chan_open(&the_chan, sizeof(int64_t), 1), 0);
    CHECK_EQ(try_send(&the_chan, 7), 0);
    the_fiber = run_spawn(seven, NULL);
    settle();
}

/* Whether a thing is as make_all_ready has left it. Takes it. */
static bool is_ready(int thing)
{
    if (thing == THING_TAKE)
        return coir_event_take(&the_event, COIR_TRY) == 0;
    if (thing == THING_RECV)
        return try_recv(&the_chan) == 7;
    if (thing == THING_LOCK)
        return coir_mutex_lock(&the_mutex, COIR_TRY) == 0;
    if (thing == THING_ACQUIRE)
        return coir_sem_acquire(&the_sem, COIR_TRY) == 0;
    return coir_join(the_fiber, NULL, COIR_TRY) == 0;
}

/* From each of them on, in a circle, with every deadline. */
static int first_of_ready(void *arg)
{
    const coir_time untils[] = {COIR_NEVER, COIR_TRY, coir_now(), coir_after(COIR_SEC(1))};
    struct waiter w = {.item = -1};
    (void)arg;
    for (int first = 0; first < READY_COUNT; first++)
        for (int until = 0; until < 4; until++) {
            coir_case cases[READY_COUNT];
            make_all_ready();
            for (int i = 0; i < READY_COUNT; i++)
                cases[i] = THINGS[READY[(first + i) % READY_COUNT]].as_case(&w);
            CHECK_EQ(coir_select(cases, READY_COUNT, 0, untils[until]), 0);
            CHECK_EQ(cases[0].result, 0);
            for (int i = 0; i < READY_COUNT; i++)
                CHECK_EQ(is_ready(READY[i]), i != first);
        }
    coir_chan_free(&the_chan, NULL, NULL);
    return now_ns() == 0 ? 0 : 1;
}

/* proves: Z1 */
TEST(test_of_several_ready_cases_the_first_takes_effect_and_no_other)
{
    run_virtual(first_of_ready, NULL);
}

static int refused_when_cancelled(void *arg)
{
    struct waiter w = {.item = -1};
    (void)arg;
    coir_case cases[READY_COUNT];
    make_all_ready();
    for (int i = 0; i < READY_COUNT; i++)
        cases[i] = THINGS[READY[i]].as_case(&w);
    CHECK_EQ(coir_cancel(coir_self(), 0), 0);
    CHECK_EQ(coir_select(cases, READY_COUNT, 0, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(coir_select(cases, READY_COUNT, COIR_FAIR, COIR_TRY), COIR_CANCELLED);
    CHECK_EQ(coir_select(NULL, 0, 0, COIR_NEVER), COIR_CANCELLED);
    CHECK(coir_event_is_set(&the_event));
    CHECK_EQ(coir_chan_length(&the_chan), 1);
    CHECK_EQ(coir_sem_count(&the_sem), 1);
    coir_chan_free(&the_chan, NULL, NULL);
    return 0;
}

/* proves: Z1, C1 */
TEST(test_a_select_of_a_cancelled_fiber_takes_nothing_though_all_is_ready)
{
    run_virtual(refused_when_cancelled, NULL);
}

/* ---- of several that become ready before the select runs ---- */

static int pair_first, pair_second; /* things */
static int pair_winner;             /* the one of them that ends the select */

static int call_pair(struct waiter *w)
{
    coir_case cases[] = {THINGS[pair_first].as_case(w), THINGS[pair_second].as_case(w)};
    bool backwards = w->object;
    if (backwards) {
        coir_case swap = cases[0];
        cases[0] = cases[1];
        cases[1] = swap;
    }
    int which = coir_select(cases, 2, 0, COIR_NEVER);
    bool is_first = pair_winner == pair_first; /* what came first, not what stands first */
    CHECK_EQ(which, backwards == is_first);
    CHECK_EQ(cases[which].result, 0);
    if (THINGS[pair_winner].got)
        THINGS[pair_winner].got();
    return 0;
}

/* Things of one object are not asked for together here. */
static bool share(int a, int b)
{
    bool one_channel = (a == THING_SHARED_SEND && b == THING_SHARED_RECV) ||
                       (a == THING_SHARED_RECV && b == THING_SHARED_SEND);
    return THINGS[a].setup == THINGS[b].setup || (a == THING_ONCE && b == THING_JOIN) ||
           one_channel;
}

static void for_each_pair(void (*fn)(struct waiter *w))
{
    for (pair_first = 0; pair_first < THINGS_COUNT; pair_first++)
        for (pair_second = 0; pair_second < THINGS_COUNT; pair_second++) {
            const struct thing *a = &THINGS[pair_first], *b = &THINGS[pair_second];
            if (!a->as_case || !b->as_case || share(pair_first, pair_second))
                continue;
            fprintf(stderr, "%s, then %s\n", a->name, b->name);
            for (int backwards = 0; backwards < 2; backwards++) {
                waiters_used = 0;
                pair_winner = pair_first;
                a->setup();
                b->setup();
                struct waiter *w = begin("w", call_pair, backwards ? &the_event : NULL, COIR_NEVER);
                CHECK(!w->ended);
                fn(w);
                settle();
                CHECK(w->ended);
                thing_release(a);
                thing_release(b);
            }
        }
    coir_chan_free(&the_chan, NULL, NULL);
}

static void both_before_it_runs(struct waiter *w)
{
    const struct thing *first = &THINGS[pair_first], *second = &THINGS[pair_second];
    CHECK(first->give() != GIVEN_TO_NONE);
    CHECK(!w->ended);
    if (is_sent_for(first, IN_TWO) && !is_sent_for(second, IN_TWO)) { /* what comes is given */
        pair_winner = pair_second;
        CHECK(second->give() != GIVEN_TO_NONE);
    } else {
        CHECK(second->give() != GIVEN);
    }
}

static int all_both_before(void *arg)
{
    (void)arg;
    for_each_pair(both_before_it_runs);
    return 0;
}

/* proves: Z1, Z3, A4 */
TEST(test_what_ends_a_select_first_counts_though_more_comes_before_it_runs)
{
    run_virtual(all_both_before, NULL);
}

static void second_afterwards(struct waiter *w)
{
    CHECK(THINGS[pair_first].give() != GIVEN_TO_NONE);
    settle();
    CHECK(w->ended);
    CHECK(THINGS[pair_second].give() != GIVEN);
}

static int all_second_afterwards(void *arg)
{
    (void)arg;
    for_each_pair(second_afterwards);
    return 0;
}

/* proves: Z2 */
TEST(test_nothing_waits_for_the_other_case_when_a_select_has_returned)
{
    run_virtual(all_second_afterwards, NULL);
}

/* ---- errors of a case are its result ---- */

static int errors(void *arg)
{
    int64_t item = 5;
    (void)arg;
    the_chan = (coir_chan){{0}};
    CHECK_EQ(coir_chan_open(&the_chan, sizeof item, 1), 0);
    CHECK_EQ(try_send(&the_chan, 4), 0);
    CHECK_EQ(coir_chan_close(&the_chan), 0);
    coir_case cases[] = {coir_case_wait(&the_event), coir_case_recv(&the_chan, &item),
                         coir_case_send(&the_chan, &item)};
    CHECK_EQ(coir_select(cases, 3, 0, COIR_NEVER), 1);
    CHECK_EQ(cases[1].result, 0); /* the rest first */
    CHECK_EQ(item, 4);
    CHECK_EQ(coir_select(cases, 3, 0, COIR_TRY), 1);
    CHECK_EQ(cases[1].result, -EPIPE);
    CHECK_EQ(coir_select(cases + 2, 1, 0, COIR_NEVER), 0);
    CHECK_EQ(cases[2].result, -EPIPE);
    coir_queue_end(&the_queue);
    cases[1] = coir_case_queue(&the_queue);
    CHECK_EQ(coir_select(cases, 3, 0, COIR_NEVER), 1);
    CHECK_EQ(cases[1].result, -EPIPE);
    CHECK_EQ(coir_mutex_lock(&the_mutex, COIR_TRY), 0);
    cases[1] = coir_case_lock(&the_mutex);
    CHECK_EQ(coir_select(cases, 3, 0, COIR_NEVER), 1);
    CHECK_EQ(cases[1].result, -EDEADLK);
    coir_mutex_unlock(&the_mutex);
    coir_chan_free(&the_chan, NULL, NULL);
    return now_ns() == 0 ? 0 : 1;
}

/* proves: Z1 */
TEST(test_an_error_of_a_case_is_ready_and_its_result)
{
    run_virtual(errors, NULL);
}

/* Waits for both ends of a channel and a queue, and returns how the select ended. */
static int call_both_ends(struct waiter *w)
{
    int64_t mine = w->item, theirs = -1;
    coir_case cases[] = {coir_case_queue(&the_queue), coir_case_send(w->object, &mine),
                         coir_case_recv(w->object, &theirs), coir_case_recv(w->object, &theirs)};
    int which = coir_select(cases, 4, 0, w->until);
    w->item = theirs;
    w->shows = false;
    return which < 0 ? which : cases[which].result < 0 ? cases[which].result : which;
}

static int close_while_selecting(void *arg)
{
    (void)arg;
    setup_chan();
    begin("a", call_both_ends, &the_chan, COIR_NEVER);
    CHECK_EQ(coir_chan_close(&the_chan), 0);
    CHECK_LOG("a=EPIPE");
    begin("b", call_both_ends, &the_chan, COIR_NEVER);
    CHECK_LOG("b=EPIPE");
    setup_queue();
    setup_chan();
    begin("c", call_both_ends, &the_chan, COIR_NEVER);
    coir_queue_end(&the_queue);
    CHECK_EQ(coir_chan_close(&the_chan), 0);
    CHECK_LOG("c=EPIPE");
    coir_chan_free(&the_chan, NULL, NULL);
    return 0;
}

/* proves: Z1, Z4, Q2 */
TEST(test_a_close_ends_a_select_of_both_ends_once)
{
    run_virtual(close_while_selecting, NULL);
}

/* ---- the same thing twice, and both ends ---- */

static int not_its_own_peer(void *arg)
{
    (void)arg;
    setup_chan();
    begin("a", call_both_ends, &the_chan, COIR_TRY);
    begin("b", call_both_ends, &the_chan, coir_after(10));
    CHECK_EQ(coir_sleep(20), 0);
    CHECK_LOG("a=TIMED_OUT b=TIMED_OUT");
    struct waiter *c = begin("c", call_both_ends, &the_chan, COIR_NEVER);
    CHECK_LOG("");
    CHECK_EQ(try_send(&the_chan, 3), 0);
    CHECK_LOG("c=2");
    CHECK_EQ(c->item, 3);
    CHECK_EQ(try_send(&the_chan, 4), COIR_TIMED_OUT);
    c = begin("c", call_both_ends, &the_chan, COIR_NEVER);
    c->item = 9;
    CHECK_EQ(try_recv(&the_chan), 0);
    CHECK_EQ(try_recv(&the_chan), COIR_TIMED_OUT);
    CHECK_LOG("c=1");
    struct waiter *d = begin("d", call_both_ends, &the_chan, COIR_NEVER);
    struct waiter *e = begin("e", call_both_ends, &the_chan, COIR_NEVER); /* sends to d */
    CHECK_LOG("e=1 d=2");
    CHECK_EQ(d->item, 0);
    CHECK_EQ(e->item, -1);
    CHECK_EQ(try_recv(&the_chan), COIR_TIMED_OUT);
    coir_chan_free(&the_chan, NULL, NULL);
    return 0;
}

/* proves: Z4 */
TEST(test_a_select_of_both_ends_finds_any_peer_but_itself)
{
    run_virtual(not_its_own_peer, NULL);
}

static int call_twice(struct waiter *w)
{
    coir_case cases[] = {coir_case_take(&the_event), coir_case_take(&the_event),
                         coir_case_acquire(&the_sem), coir_case_acquire(&the_sem),
                         coir_case_wait(&the_event)};
    int which = coir_select(cases, 5, 0, w->until);
    return which;
}

static int same_thing_twice(void *arg)
{
    (void)arg;
    begin("a", call_twice, NULL, COIR_NEVER);
    begin("b", call_twice, NULL, COIR_NEVER);
    coir_event_set(&the_event);
    CHECK(!coir_event_is_set(&the_event));
    CHECK_LOG("a");
    coir_sem_release(&the_sem, 2);
    CHECK_EQ(coir_sem_count(&the_sem), 1);
    CHECK_LOG("b=2");
    begin("c", call_twice, NULL, COIR_NEVER);
    CHECK_EQ(coir_sem_count(&the_sem), 0);
    coir_event_set(&the_event);
    coir_sem_release(&the_sem, 2);
    begin("d", call_twice, NULL, COIR_NEVER);
    CHECK(!coir_event_is_set(&the_event));
    CHECK_EQ(coir_sem_count(&the_sem), 2);
    CHECK_LOG("c=2 d");
    CHECK_EQ(coir_mutex_lock(&the_mutex, COIR_TRY), 0);
    coir_mutex_unlock(&the_mutex);
    coir_case locks[] = {coir_case_lock(&the_mutex), coir_case_lock(&the_mutex)};
    CHECK_EQ(coir_select(locks, 2, 0, COIR_NEVER), 0);
    coir_mutex_unlock(&the_mutex); /* it is locked once */
    CHECK_EQ(coir_mutex_lock(&the_mutex, COIR_TRY), 0);
    coir_mutex_unlock(&the_mutex);
    return 0;
}

/* proves: Z4 */
TEST(test_a_thing_that_is_named_twice_is_taken_once)
{
    run_virtual(same_thing_twice, NULL);
}

/* ---- no case, and too many ---- */

static int no_case(void *arg)
{
    (void)arg;
    coir_case it = coir_case_wait(&the_event);
    CHECK_EQ(coir_select(NULL, 0, 0, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_select(&it, 0, COIR_FAIR, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_select(NULL, 0, COIR_RANDOM, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_select(NULL, 0, 0, COIR_TRY), COIR_TIMED_OUT);
    for (int order = 0; order <= COIR_RANDOM; order++) {
        CHECK_EQ(coir_select(NULL, 0, order, coir_after(10)), COIR_TIMED_OUT);
        CHECK_EQ(now_ns(), 10 + 10 * order);
    }
    CHECK_EQ(coir_select(&it, (size_t)INT_MAX + 1, 0, COIR_TRY), -EINVAL);
    CHECK_EQ(coir_select(&it, SIZE_MAX, COIR_RANDOM, COIR_NEVER), -EINVAL);
    CHECK_EQ(coir_select(&it, SIZE_MAX, COIR_FAIR, coir_after(10)), -EINVAL);
    return now_ns() == 30 ? 0 : 1;
}

/* proves: Z6 */
TEST(test_no_case_and_no_deadline_is_invalid_and_with_a_deadline_a_sleep)
{
    run_virtual(no_case, NULL);
}

/* ---- many cases, used again ---- */

static int many(void *arg)
{
    enum { MANY = 1000 };
    static coir_event events[MANY];
    static coir_case cases[MANY], kept[MANY];
    (void)arg;
    for (int i = 0; i < MANY; i++)
        kept[i] = coir_case_take(&events[i]);
    memcpy(cases, kept, sizeof cases);
    for (int i = 0; i < 3000; i++) {
        int which = i * 7 % MANY;
        if (i % 3 == 0)
            memcpy(cases, kept, sizeof cases); /* as good as used ones */
        CHECK_EQ(coir_select(cases, MANY, i % 3, i % 2 ? COIR_TRY : coir_now()), COIR_TIMED_OUT);
        coir_event_set(&events[which]);
        CHECK_EQ(coir_select(cases, MANY, i % 3, COIR_NEVER), which);
        CHECK_EQ(cases[which].result, 0);
        CHECK(!coir_event_is_set(&events[which]));
    }
    return 0;
}

/* proves: Z1, Z2 */
TEST(test_cases_are_used_again_by_one_select_after_the_other)
{
    run_virtual(many, NULL);
}
