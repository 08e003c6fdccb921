/* Local values: set, inherited, destroyed. */
#include "serve.h"
#include "clock.h"

#include <coir_local.h>

static void destroy_text(void *value)
{
    run_note(value);
    free(value);
}

static void *copy_text(void *value)
{
    return strdup(value);
}

static void *inherit_nothing(void *value)
{
    (void)value;
    return NULL;
}

static const coir_local COPIED = {.destroy = destroy_text, .inherit = copy_text};
static const coir_local BORROWED = {.destroy = destroy_text};
static const coir_local PRIVATE = {.inherit = inherit_nothing};
static const coir_local PLAIN = {0};

static int set_and_get(void *arg)
{
    int number = 7;
    (void)arg;
    CHECK(!coir_local_get(&PLAIN));
    CHECK_EQ(coir_local_set(&PLAIN, NULL), 0);
    CHECK_EQ(coir_local_set(&PLAIN, &number), 0);
    CHECK_EQ(coir_local_set(&COPIED, strdup("one")), 0);
    CHECK_EQ(coir_local_set(&COPIED, strdup("two")), 0);
    CHECK(coir_local_get(&PLAIN) == &number);
    CHECK_STR(coir_local_get(&COPIED), "two");
    CHECK_EQ(coir_local_set(&PLAIN, NULL), 0);
    CHECK(!coir_local_get(&PLAIN));
    CHECK_EQ(coir_local_set(&BORROWED, strdup("three")), 0);
    return 0;
}

static int fail(void *arg)
{
    return arg ? 0 : -EIO;
}

/* A child that fails, and whose failure is handled. */
static void destroy_by_child(void *value)
{
    coir_fiber child = run_spawn(fail, NULL);
    CHECK_EQ(coir_yield(), 0);
    CHECK_EQ(run_join(child), -EIO);
    run_note(value);
}

static const coir_local BY_CHILD = {.destroy = destroy_by_child};

static int have_one(void *arg)
{
    CHECK_EQ(coir_local_set(&BY_CHILD, arg), 0);
    return 0;
}

static int join_one(void *arg)
{
    CHECK_EQ(run_join(run_spawn(have_one, arg)), 0);
    return 0;
}

/* proves: V1, F5 */
TEST(test_the_destroying_of_a_value_may_handle_the_failure_of_a_child)
{
    static char text[] = "handled";
    run_virtual(join_one, text);
    CHECK_STR(run_log, "handled");
}

/* proves: V1 */
TEST(test_a_local_value_is_destroyed_when_replaced_and_at_the_end)
{
    CHECK(!coir_local_get(&PLAIN));
    run_virtual(set_and_get, NULL);
    CHECK_STR(run_log, "one three two");
}

enum { KEYS = 20 };
static coir_local keys[KEYS];

static void note_order(void *value)
{
    char text[8];
    snprintf(text, sizeof text, "%d", *(int *)value);
    run_note(text);
    if (*(int *)value == KEYS - 1) /* may look, and may set */
        CHECK_EQ(coir_local_set(&COPIED, strdup("late")), 0);
    CHECK(!coir_local_get(&keys[*(int *)value]));
}

static int set_many(void *arg)
{
    static int numbers[KEYS];
    (void)arg;
    for (int i = 0; i < KEYS; i++) {
        numbers[i] = i;
        keys[i].destroy = note_order;
        CHECK_EQ(coir_local_set(&keys[i], &numbers[i]), 0);
    }
    CHECK_EQ(coir_local_set(&keys[3], NULL), 0);
    CHECK_EQ(*(int *)coir_local_get(&keys[4]), 4);
    return 0;
}

/* proves: V1 */
TEST(test_local_values_are_destroyed_the_last_set_first)
{
    run_virtual(set_many, NULL);
    CHECK_STR(run_log, "3 19 late 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 2 1 0");
}

static int heir(void *arg)
{
    CHECK_STR(coir_local_get(&COPIED), "copied");
    CHECK_STR(coir_local_get(&BORROWED), "borrowed");
    CHECK(!coir_local_get(&PRIVATE));
    CHECK(coir_local_get(&PLAIN) == arg);
    CHECK_EQ(coir_local_set(&PLAIN, NULL), 0);
    return 0;
}

static int stranger(void *arg)
{
    (void)arg;
    CHECK(!coir_local_get(&COPIED) && !coir_local_get(&PLAIN));
    return 0;
}

static int bequeath(void *arg)
{
    (void)arg;
    int number = 7;
    coir_fiber fiber;
    CHECK_EQ(coir_spawn(&fiber, stranger, NULL, &(struct coir_spawn_opts){.inherit = true}), 0);
    run_join(fiber);
    CHECK_EQ(coir_local_set(&COPIED, strdup("copied")), 0);
    CHECK_EQ(coir_local_set(&BORROWED, strdup("borrowed")), 0);
    CHECK_EQ(coir_local_set(&PRIVATE, &number), 0);
    CHECK_EQ(coir_local_set(&PLAIN, &number), 0);
    run_join(run_spawn(stranger, NULL));
    CHECK_EQ(coir_spawn(&fiber, heir, &number, &(struct coir_spawn_opts){.inherit = true}), 0);
    run_join(fiber);
    CHECK_STR(run_log, "copied");
    CHECK(coir_local_get(&PLAIN) == &number);
    run_join(run_spawn(stranger, NULL));
    return 0;
}

static int end_at_once(void *arg)
{
    return arg ? 1 : 0;
}

static int lend_to_strangers(void *arg)
{
    coir_scope scope;
    struct coir_spawn_opts own = {.inherit = true, .scope = arg};
    struct coir_spawn_opts detached = {.inherit = true, .detached = true};
    CHECK_EQ(coir_local_set(&COPIED, strdup("copied")), 0);
    CHECK_EQ(coir_spawn(NULL, end_at_once, NULL, &own), 0); /* a copy may go anywhere */
    static const coir_local LENT = {0};
    CHECK_EQ(coir_local_set(&LENT, &scope), 0);
    CHECK_EQ(coir_spawn(NULL, end_at_once, NULL, &own), -EINVAL);
    CHECK_EQ(coir_spawn(NULL, end_at_once, NULL, &detached), -EINVAL);
    coir_scope_open(&scope, COIR_NEVER, 0);
    own.scope = NULL;
    CHECK_EQ(coir_spawn(NULL, end_at_once, NULL, &own), 0);
    return coir_scope_end(&scope, 0);
}

static int lend(void *arg)
{
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    CHECK_EQ(coir_spawn(NULL, lend_to_strangers, &scope, NULL), 0);
    return coir_scope_end(&scope, 0);
}

/* What was lent is passed on to whoever ends before its owner, wherever. */
static int sees_what_is_lent(void *arg)
{
    CHECK(coir_local_get(&PLAIN) == arg);
    return 0;
}

static int lends_again(void *arg)
{
    struct coir_spawn_opts around = {.inherit = true, .scope = arg};
    struct coir_spawn_opts detached = {.inherit = true, .detached = true};
    CHECK_EQ(coir_spawn(NULL, sees_what_is_lent, arg, &around), 0);
    CHECK_EQ(coir_spawn(NULL, sees_what_is_lent, arg, &detached), -EINVAL);
    CHECK_EQ(coir_local_set(&PLAIN, &around), 0); /* its own, from now on */
    CHECK_EQ(coir_spawn(NULL, sees_what_is_lent, &around, &around), -EINVAL);
    around.scope = NULL;
    return coir_spawn(NULL, sees_what_is_lent, &around, &around);
}

static int lend_twice(void *arg)
{
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    CHECK_EQ(coir_local_set(&PLAIN, &scope), 0);
    CHECK_EQ(coir_spawn(NULL, lends_again, &scope, &(struct coir_spawn_opts){.inherit = true}), 0);
    return coir_scope_end(&scope, 0);
}

/* proves: V2 */
TEST(test_local_values_that_were_lent_are_lent_again_to_who_does_not_outlive_their_owner)
{
    run_virtual(lend_twice, NULL);
}

/* proves: V2 */
TEST(test_contract_s15_a_value_is_lent_only_to_who_does_not_outlive_it)
{
    run_virtual(lend, NULL);
}

/* proves: V2 */
TEST(test_local_values_are_inherited_on_request)
{
    run_virtual(bequeath, NULL);
    CHECK_STR(run_log, "copied borrowed copied");
}

static int set_and_fail(void *arg)
{
    CHECK_EQ(coir_local_set(&COPIED, strdup("child")), 0);
    CHECK_EQ(coir_sleep(COIR_MS(10)), COIR_CANCELLED);
    run_note(arg);
    return COIR_CANCELLED;
}

static int set_and_stop(void *arg)
{
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    coir_fiber fiber = run_spawn(set_and_fail, "stopped");
    CHECK_EQ(coir_yield(), 0);
    CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(fiber), COIR_CANCELLED);
    run_note("joined");
    return coir_scope_end(&scope, 0);
}

/* proves: V1 */
TEST(test_local_values_of_a_stopped_fiber_are_destroyed_before_its_join)
{
    run_virtual(set_and_stop, NULL);
    CHECK_STR(run_log, "stopped child joined");
}

/* A callback that itself uses coir, as often as it takes for slots, timers and values to grow. */
static int in_callback;

static int count_it(void *arg)
{
    (void)arg;
    in_callback++;
    return 0;
}

static void *spawn_and_set(void *value)
{
    static int set;
    for (int i = 0; i < 10; i++)
        CHECK_EQ(coir_spawn(NULL, count_it, NULL, NULL), 0);
    for (int i = 0; i < 4 && set < KEYS; i++, set++)
        CHECK_EQ(coir_local_set(&keys[set], &in_callback), 0);
    return value;
}

static const coir_local BUSY = {.inherit = spawn_and_set};

static int inherit_busily(void *arg)
{
    (void)arg;
    int heirs = 0;
    CHECK_EQ(coir_local_set(&BUSY, &heirs), 0);
    for (; heirs < 20; heirs++)
        CHECK_EQ(coir_spawn(NULL, count_it, NULL, &(struct coir_spawn_opts){.inherit = true}), 0);
    CHECK_EQ(coir_sleep(1), 0);
    CHECK_EQ(in_callback, 20 + 20 * 10);
    return 0;
}

/* proves: V2 */
TEST(test_regress_an_inherit_that_spawns_and_sets_takes_nothing_of_the_heir)
{
    run_virtual(inherit_busily, NULL);
}

static void rest_and_note(void *value)
{
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    run_note(value);
}

static const coir_local SLOW = {.destroy = rest_and_note};

static int set_slow(void *arg)
{
    CHECK_EQ(coir_local_set(&SLOW, arg), 0);
    return 3;
}

static int wait_for_slow(void *arg)
{
    char text[] = "destroyed";
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    coir_fiber fiber = run_spawn(set_slow, text);
    CHECK_EQ(run_join(fiber), 3);
    CHECK_EQ(now_ns(), COIR_MS(5));
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    return arg ? 1 : 0;
}

/* proves: V1 */
TEST(test_a_fiber_lives_as_long_as_the_destroying_of_its_values_takes)
{
    run_virtual(wait_for_slow, NULL);
    CHECK_STR(run_log, "destroyed");
}

static void open_a_scope(void *value)
{
    coir_scope_open(value, COIR_NEVER, 0);
}

static const coir_local OPENING = {.destroy = open_a_scope};

static int set_opening(void *arg)
{
    return coir_local_set(&OPENING, arg);
}

/* proves: C10 */
TEST_DIES(test_regress_a_scope_that_the_destroying_of_a_value_leaves_open_stops, SIGABRT,
          "the fiber ended with a scope open")
{
    static coir_scope scope;
    run_virtual(set_opening, &scope);
}

/* ---- handlers ---- */

static int has_values(int fd, void *arg)
{
    struct server *server = arg;
    serve_enter(server);
    CHECK_STR(coir_local_get(&COPIED), "copied");
    CHECK(coir_local_get(&PLAIN) == server);
    server->ended += fd >= 0;
    return 0;
}

static int has_no_values(int fd, void *arg)
{
    struct server *server = arg;
    serve_enter(server);
    CHECK(!coir_local_get(&COPIED) && !coir_local_get(&PLAIN));
    server->ended += fd >= 0;
    return 0;
}

static int serve_with_values(void *arg)
{
    struct server *server = arg;
    CHECK_EQ(coir_local_set(&COPIED, strdup("copied")), 0);
    CHECK_EQ(coir_local_set(&PLAIN, server), 0);
    return serve_run(server);
}

static int serve_two(void *arg)
{
    bool inherit = *(bool *)arg;
    struct server server = {
        .handler = inherit ? has_values : has_no_values, .opts.inherit = inherit};
    serve_listen(&server, "127.0.0.1:0");
    server.fiber = run_spawn(serve_with_values, &server);
    for (int i = 0; i < 2; i++) {
        int fd = serve_dial(&server);
        serve_see_end(fd);
        CHECK_EQ(coir_close(fd), 0);
    }
    serve_end(&server);
    CHECK_EQ(server.ended, 2);
    return 0;
}

/* proves: V2 */
TEST(test_handlers_start_with_the_values_of_whoever_serves_on_request)
{
    for (int inherit = 0; inherit < 2; inherit++)
        run_monotonic(serve_two, &(bool){inherit});
}
