/* What ends a wait, when two things would at about the same moment: what is given to a waiter it
 * has, though it has not run yet; what has ended its wait before has taken it out. For everything
 * that can be waited for, by its own call and as a case of a select. */
#include "sync_things.h"

static void (*the_trial)(const struct thing *thing, enum form form);

static void make_trial(const struct thing *thing, enum form form)
{
    thing->setup();
    the_trial(thing, form);
    settle();
    thing_release(thing);
}

static int all_things(void *arg)
{
    (void)arg;
    for_each_thing(make_trial);
    coir_chan_free(&the_chan, NULL, NULL);
    return 0;
}

/* Makes the trial with each thing in each form. */
static void try_all(void (*trial)(const struct thing *thing, enum form form))
{
    the_trial = trial;
    run_virtual(all_things, NULL);
}

/* ---- given, then cancelled ---- */

static void give_then_cancel(const struct thing *thing, enum form form)
{
    struct waiter *w = thing_waiter(thing, form, COIR_NEVER);
    settle();
    CHECK(!w->ended);
    CHECK(thing->give() != GIVEN_TO_NONE);
    CHECK(!w->ended);
    cancel(w);
    if (is_sent_for(thing, form)) { /* so nothing was given, and it is there still */
        CHECK_LOG("w=CANCELLED");
        CHECK_EQ(thing->call(&(struct waiter){.until = COIR_TRY}), 0);
        return;
    }
    CHECK_LOG("w");
    CHECK_EQ(w->result, 0);
}

/* proves: Y4, Z3, C3, A4 */
TEST(test_a_cancel_after_the_wake_changes_nothing)
{
    try_all(give_then_cancel);
}

/* ---- cancelled, then given ---- */

static void cancel_then_give(const struct thing *thing, enum form form)
{
    struct waiter *w = thing_waiter(thing, form, COIR_NEVER);
    settle();
    cancel(w);
    CHECK(!w->ended);
    CHECK(thing->give() != GIVEN);
    CHECK_LOG("w=CANCELLED");
}

/* proves: Y4, Z2, Z3, C1 */
TEST(test_nothing_is_given_to_a_waiter_that_was_cancelled_and_has_not_run)
{
    try_all(cancel_then_give);
}

static void cancel_long_before(const struct thing *thing, enum form form)
{
    struct waiter *w = thing_waiter(thing, form, COIR_NEVER);
    settle();
    cancel(w);
    CHECK_LOG("w=CANCELLED");
    CHECK(thing->give() != GIVEN);
}

/* proves: Y4, Z2, W4 */
TEST(test_nothing_is_left_behind_by_a_waiter_that_was_cancelled)
{
    try_all(cancel_long_before);
}

/* ---- out of time, then given ---- */

/* This fiber's timer is armed first, so at the deadline it runs first; but the waiter is out of
 * time before that. */
static void expire_then_give(const struct thing *thing, enum form form)
{
    coir_time until = coir_after(10);
    struct waiter *w = thing_waiter(thing, form, until);
    CHECK_EQ(coir_sleep(10), 0);
    CHECK(!w->ended);
    CHECK_EQ(coir_left(until), 0);
    CHECK(thing->give() != GIVEN);
    CHECK_LOG(is_sent_for(thing, form) ? "w" : "w=TIMED_OUT"); /* it tries once more */
    CHECK_EQ(coir_since(until), 0);
}

/* proves: Y4, Z2, Z3, A4 */
TEST(test_nothing_is_given_to_a_waiter_whose_deadline_has_come_and_that_has_not_run)
{
    try_all(expire_then_give);
}

static void expire_long_before(const struct thing *thing, enum form form)
{
    coir_time until = coir_after(10);
    struct waiter *w = thing_waiter(thing, form, until);
    CHECK_EQ(coir_sleep(20), 0);
    CHECK(w->ended);
    CHECK_EQ(w->result, COIR_TIMED_OUT);
    CHECK_EQ(w->ended_ns + CLOCK_VIRTUAL_BEGINS_NS, until.ns);
    CHECK(thing->give() != GIVEN);
}

/* proves: Y4, Z2, W4 */
TEST(test_a_waiter_is_out_of_time_at_its_deadline_and_leaves_nothing_behind)
{
    try_all(expire_long_before);
}

/* ---- given, then out of time ---- */

/* On the kernel's clock, which goes on while this fiber computes. Whether it was quick enough to
 * give before the deadline. */
static bool give_in_time(const struct thing *thing, enum form form)
{
    coir_time until = coir_after(COIR_MS(3));
    struct waiter *w = thing_waiter(thing, form, until);
    coir_yield();
    if (w->ended || coir_left(until) == 0) {
        thing->give();
        return false;
    }
    if (thing->give() == GIVEN_TO_NONE)
        return false;
    while (coir_left(until) > 0)
        continue;
    settle();
    CHECK(w->ended);
    CHECK_EQ(w->result, 0);
    return true;
}

static void give_then_expire(const struct thing *thing, enum form form)
{
    bool in_time = give_in_time(thing, form);
    for (int i = 1; !in_time && i < TEST_TRIES; i++) {
        settle();
        waiters_used = 0;
        thing->setup();
        in_time = give_in_time(thing, form);
    }
    if (!in_time)
        SKIP("the machine was never quick enough");
}

/* proves: Y4, C3 */
TEST(test_a_deadline_that_comes_after_the_wake_changes_nothing)
{
    the_trial = give_then_expire;
    run_monotonic(all_things, NULL);
}

/* ---- the next one is served ---- */

static bool is_barrier(const struct thing *thing)
{
    return thing->call == thing_barrier; /* two of them are a group */
}

static void next_after_cancel(const struct thing *thing, enum form form)
{
    if (is_barrier(thing))
        return;
    struct waiter *a = thing_waiter(thing, form, COIR_NEVER);
    struct waiter *b = thing_waiter(thing, form, COIR_NEVER);
    a->name = "a";
    b->name = "b";
    settle();
    cancel(a);
    CHECK(thing->give() != GIVEN_TO_NONE);
    settle();
    CHECK_EQ(a->result, COIR_CANCELLED);
    CHECK_EQ(b->result, 0);
    CHECK(b->ended);
}

/* proves: Y4, M5 */
TEST(test_the_next_is_served_when_the_first_was_cancelled_and_has_not_run)
{
    try_all(next_after_cancel);
}

static void next_after_deadline(const struct thing *thing, enum form form)
{
    if (is_barrier(thing))
        return;
    struct waiter *a = thing_waiter(thing, form, coir_after(10));
    struct waiter *b = thing_waiter(thing, form, COIR_NEVER);
    CHECK_EQ(coir_sleep(10), 0);
    CHECK(!a->ended);
    CHECK(thing->give() != GIVEN_TO_NONE);
    settle();
    CHECK_EQ(a->result, is_sent_for(thing, form) ? 0 : COIR_TIMED_OUT);
    if (is_sent_for(thing, form)) { /* the first has tried once more, and has it */
        CHECK(thing->give() != GIVEN_TO_NONE);
        settle();
    }
    CHECK_EQ(b->result, 0);
    CHECK(b->ended);
}

/* proves: Y4, M5, A4 */
TEST(test_the_next_is_served_when_the_first_is_out_of_time_and_has_not_run)
{
    try_all(next_after_deadline);
}

/* ---- tries, and calls of the cancelled ---- */

static void try_in_vain(const struct thing *thing, enum form form)
{
    uint64_t now = now_ns() + 100;
    CHECK_EQ(coir_sleep(100), 0);
    struct waiter *w = thing_waiter(thing, form, COIR_TRY);
    CHECK_LOG("w=TIMED_OUT");
    thing_waiter(thing, form, coir_now());
    CHECK_LOG("w=TIMED_OUT");
    thing_waiter(thing, form, at_ns(now - 50));
    CHECK_LOG("w=TIMED_OUT");
    w = thing_waiter(thing, form, COIR_NEVER);
    w->cancels = true;
    CHECK_LOG("w=CANCELLED");
    w = thing_waiter(thing, form, COIR_TRY);
    w->cancels = true;
    CHECK_LOG("w=CANCELLED");
    CHECK(thing->give() != GIVEN);
    CHECK_EQ(now_ns(), now);
}

/* proves: Y4, T4, C1, Z2 */
TEST(test_who_tries_in_vain_or_is_cancelled_before_leaves_nothing_behind)
{
    try_all(try_in_vain);
}

/* This fiber, which is about to give, is ready while the waiter tries. */
static void try_before(const struct thing *thing, enum form form)
{
    struct waiter *w = thing_waiter(thing, form, COIR_TRY);
    CHECK_EQ(coir_yield(), 0);
    CHECK(w->ended);
    CHECK(thing->give() != GIVEN);
    CHECK_LOG("w=TIMED_OUT");
}

/* proves: T4, Y4 */
TEST(test_a_try_does_not_wait_for_one_that_is_about_to_give)
{
    try_all(try_before);
}

static int all_refused(void *arg)
{
    int64_t item = 1;
    int calls = 0;
    coir_case cases[] = {coir_case_take(&the_event), coir_case_acquire(&the_sem)};
    (void)arg;
    CHECK_EQ(coir_cancel(coir_self(), 0), 0);
    for (int i = 0; i < 2; i++) {
        coir_time until = i ? COIR_TRY : COIR_NEVER;
        CHECK_EQ(coir_event_wait(&the_event, until), COIR_CANCELLED);
        CHECK_EQ(coir_event_take(&the_event, until), COIR_CANCELLED);
        CHECK_EQ(coir_queue_wait(&the_queue, until), COIR_CANCELLED);
        CHECK_EQ(coir_chan_send(&the_chan, &item, until), COIR_CANCELLED);
        CHECK_EQ(coir_chan_recv(&the_chan, &item, until), COIR_CANCELLED);
        CHECK_EQ(coir_mutex_lock(&the_mutex, until), COIR_CANCELLED);
        CHECK_EQ(coir_rwlock_read(&the_rwlock, until), COIR_CANCELLED);
        CHECK_EQ(coir_rwlock_write(&the_rwlock, until), COIR_CANCELLED);
        CHECK_EQ(coir_sem_acquire(&the_sem, until), COIR_CANCELLED);
        CHECK_EQ(coir_barrier_wait(&the_barrier, 1, until), COIR_CANCELLED);
        CHECK_EQ(coir_wait_group_wait(&the_group, until), COIR_CANCELLED);
        CHECK_EQ(coir_once_call(&the_once, once_answers, &calls, until), COIR_CANCELLED);
        CHECK_EQ(coir_select(cases, 2, i ? COIR_FAIR : 0, until), COIR_CANCELLED);
    }
    return 0;
}

static int all_is_there(void *arg)
{
    (void)arg;
    coir_event_set(&the_event);
    coir_queue_end(&the_queue);
    coir_sem_release(&the_sem, 1);
    CHECK_EQ(coir_chan_open(&the_chan, sizeof(int64_t), 2), 0);
    CHECK_EQ(try_send(&the_chan, 7), 0);
    CHECK_EQ(run_join(run_spawn(all_refused, NULL)), 0);
    CHECK(coir_event_is_set(&the_event));
    CHECK_EQ(coir_sem_count(&the_sem), 1);
    CHECK_EQ(coir_chan_length(&the_chan), 1);
    CHECK_EQ(coir_mutex_lock(&the_mutex, COIR_TRY), 0);
    CHECK_EQ(coir_rwlock_write(&the_rwlock, COIR_TRY), 0);
    CHECK_EQ(coir_once_call(&the_once, once_answers, NULL, COIR_TRY), 0);
    coir_mutex_unlock(&the_mutex);
    coir_rwlock_unlock(&the_rwlock);
    coir_chan_free(&the_chan, NULL, NULL);
    return 0;
}

/* proves: C1, Y4 */
TEST(test_a_cancelled_fiber_gets_nothing_though_all_is_there)
{
    run_virtual(all_is_there, NULL);
}

/* ---- in scopes ---- */

static int scope_kind;

static int call_in_scope(struct waiter *w)
{
    coir_scope scope;
    coir_scope_open(&scope, scope_kind ? COIR_NEVER : coir_after(10), scope_kind);
    int result = call_thing(w);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    return result;
}

static void expire_by_scope(const struct thing *thing, enum form form)
{
    scope_kind = 0;
    struct waiter *w = thing_waiter(thing, form, COIR_NEVER);
    w->call = call_in_scope;
    CHECK_EQ(coir_sleep(20), 0);
    CHECK_LOG("w=CANCELLED");
    CHECK(thing->give() != GIVEN);
}

/* proves: C7, Y4 */
TEST(test_the_deadline_of_a_scope_cancels_a_wait)
{
    try_all(expire_by_scope);
}

static void cancel_behind_shield(const struct thing *thing, enum form form)
{
    scope_kind = COIR_SHIELD;
    struct waiter *w = thing_waiter(thing, form, COIR_NEVER);
    w->call = call_in_scope;
    settle();
    cancel(w);
    CHECK_LOG("");
    CHECK(thing->give() != GIVEN_TO_NONE);
    CHECK_LOG("w");
}

/* proves: C8, Y4 */
TEST(test_a_wait_under_a_shield_goes_on_when_its_fiber_is_cancelled)
{
    try_all(cancel_behind_shield);
}

/* ---- the end of the scheduler ---- */

static const struct thing *freed_thing;
static enum form freed_form;

static int wait_until_freed(void *arg)
{
    (void)arg;
    freed_thing->setup();
    thing_waiter(freed_thing, freed_form, COIR_NEVER);
    CHECK_EQ(coir_park(COIR_NEVER), COIR_CANCELLED);
    thing_release(freed_thing);
    return 0;
}

static void while_freed(const struct thing *thing, enum form form)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    coir_sched *sched;
    freed_thing = thing;
    freed_form = form;
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    run_spawn(wait_until_freed, NULL);
    for (int i = 0; i < 20; i++)
        CHECK(coir_sched_step(sched, 0) >= 0);
    CHECK_STR(run_log, "");
    coir_sched_free(sched);
    CHECK_STR(run_log, "w=CANCELLED");
    coir_chan_free(&the_chan, NULL, NULL);
}

/* proves: E5 */
TEST(test_every_wait_is_cancelled_when_the_scheduler_is_freed)
{
    for_each_thing(while_freed);
}
