/* Which soft scopes a wind-down cancels: {kinds of scopes around and inside} × {its own fiber,
 * another} × {opened before, later}. On a virtual clock. */
#include "soft.h"

enum kind { PLAIN, SHIELD = COIR_SHIELD, LIMIT = COIR_LIMIT, SOFT = COIR_SOFT };

struct nest {
    enum kind kinds[4]; /* inside of the one that winds down, outermost first */
    int cancelled;      /* which is, -1: none */
};

static const struct nest NESTS[] = {
    {{PLAIN, LIMIT, PLAIN, LIMIT}, -1},  {{PLAIN, PLAIN, PLAIN, SOFT}, 3},
    {{SOFT, SOFT, SOFT, SOFT}, 0},       {{PLAIN, SOFT, PLAIN, SOFT}, 1},
    {{SHIELD, SOFT, PLAIN, SOFT}, -1},   {{SOFT, SHIELD, PLAIN, SOFT}, 0},
    {{LIMIT, SOFT, SHIELD, SOFT}, 1},    {{SHIELD, SHIELD, SOFT, SOFT}, -1},
};

struct nester {
    const struct nest *nest;
    coir_scope *outer; /* it winds down when all are open, or before */
    bool before;
};

static int nests(void *arg)
{
    const struct nester *n = arg;
    coir_scope scopes[4];
    bool was_cancelled = false;
    if (n->before)
        CHECK_EQ(coir_scope_wind_down(n->outer, INT64_MAX), 0);
    for (int i = 0; i < 4; i++)
        coir_scope_open(&scopes[i], COIR_NEVER, n->nest->kinds[i]);
    if (!n->before)
        CHECK_EQ(coir_scope_wind_down(n->outer, INT64_MAX), 0);
    for (int i = 3; i >= 0; i--) {
        was_cancelled = coir_cancelled(NULL);
        bool reached = n->nest->cancelled >= 0 && i >= n->nest->cancelled;
        for (int k = n->nest->cancelled + 1; k <= i && reached; k++)
            reached = n->nest->kinds[k] != SHIELD;
        CHECK_EQ(was_cancelled, reached);
        CHECK_EQ(coir_scope_end(&scopes[i], 0), 0);
    }
    return 0;
}

/* Of the fiber that owns the scope, and of a grandchild. */
static int spawns_the_nester(void *arg)
{
    return run_join(run_spawn(nests, arg));
}

static int nested(void *arg)
{
    for (int i = 0; i < 4 * (int)(sizeof NESTS / sizeof *NESTS); i++) {
        coir_scope outer;
        struct nester n = {&NESTS[i / 4], &outer, i % 2};
        coir_scope_open(&outer, COIR_NEVER, arg ? SHIELD : PLAIN);
        CHECK_EQ(i % 4 < 2 ? nests(&n) : run_join(run_spawn(spawns_the_nester, &n)), 0);
        CHECK_EQ(coir_scope_end(&outer, 0), 0);
    }
    CHECK_EQ(cr_sched_here->winding + cr_sched_here->shields, 0);
    return 0;
}

/* proves: C8, C15 */
TEST(test_wind_down_cancels_the_outermost_soft_scopes_up_to_shields)
{
    int shield = 1;
    run_virtual(nested, NULL);
    run_virtual(nested, &shield);
}

/* The shield is that of a child, with scopes around and inside of it. */
static int shields_a_family(void *arg)
{
    coir_scope around, shield, inner;
    (void)arg;
    coir_scope_open(&around, COIR_NEVER, 0);
    coir_scope_open(&shield, COIR_NEVER, COIR_SHIELD);
    coir_scope_open(&inner, COIR_NEVER, 0);
    coir_fiber idler = run_spawn(soft_sleeper, &(int){0});
    CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    CHECK(inside_fiber(idler) && inside_fiber(idler)->wait);
    CHECK_EQ(coir_scope_cancel(&inner, 0), 0);
    CHECK_EQ(coir_scope_end(&inner, 0), 0);
    CHECK_EQ(coir_scope_end(&shield, 0), 0);
    return coir_scope_end(&around, 0);
}

static int with_a_family(void *arg)
{
    coir_scope scope;
    (void)arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    run_spawn(shields_a_family, NULL);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_scope_wind_down(&scope, COIR_SEC(1)), 0);
    return coir_scope_end(&scope, 0);
}

/* proves: C8, C15 */
TEST(test_wind_down_does_not_reach_the_children_inside_a_shield)
{
    run_virtual(with_a_family, NULL);
}

static int softly_itself(void *arg)
{
    coir_scope soft;
    int daemon = -1;
    (void)arg;
    coir_scope_open(&soft, COIR_NEVER, COIR_SOFT);
    CHECK_EQ(coir_spawn(NULL, soft_sleeper, &daemon,
                        &(struct coir_spawn_opts){.daemon = true}), 0);
    CHECK_EQ(coir_scope_wind_down(&soft, COIR_SEC(1)), 0);
    CHECK(coir_cancelled(NULL));
    CHECK_EQ(coir_scope_end(&soft, 3), 3);
    coir_scope_open(&soft, COIR_NEVER, 0);
    CHECK_EQ(coir_spawn(NULL, soft_sleeper, &daemon,
                        &(struct coir_spawn_opts){.daemon = true}), 0);
    CHECK_EQ(coir_sleep(0), 0);
    CHECK_EQ(coir_scope_wind_down(&soft, COIR_SEC(1)), 0);
    CHECK_EQ(coir_sleep(0), 0);
    CHECK_EQ(daemon, 0); /* before the end of the scope's code */
    return coir_scope_end(&soft, 0);
}

/* proves: C15 */
TEST(test_wind_down_of_a_soft_scope_is_a_cancel_and_reaches_daemons)
{
    run_virtual(softly_itself, NULL);
}

/* A soft scope may have children and a deadline, as any other. */
static int soft_with_more(void *arg)
{
    coir_scope soft;
    int ended = 0;
    (void)arg;
    coir_scope_open(&soft, coir_after(COIR_MS(5)), COIR_SOFT);
    CHECK_EQ(coir_scope_end(&soft, 1), 1);
    coir_scope_open(&soft, coir_after(COIR_MS(5)), COIR_SOFT);
    run_spawn(soft_sleeper, &ended);
    CHECK_EQ(coir_scope_end(&soft, 1), COIR_TIMED_OUT);
    coir_scope_open(&soft, COIR_NEVER, COIR_SOFT);
    CHECK_EQ(coir_scope_end(&soft, -EIO), -EIO);
    coir_cancel(coir_self(), 0);
    coir_scope_open(&soft, COIR_NEVER, COIR_SOFT);
    CHECK(coir_cancelled(NULL));
    CHECK_EQ(coir_scope_end(&soft, COIR_CANCELLED), COIR_CANCELLED);
    return 0;
}

/* proves: C6, C15 */
TEST(test_a_soft_scope_is_else_as_any_other)
{
    run_virtual(soft_with_more, NULL);
}

/* Soft scopes inside of soft ones, in one fiber, and opened later; and those of its children. */
static int nested_softly(void *arg)
{
    coir_scope scope, outer, inner;
    int child = -1, *before = arg;
    coir_scope_open(&scope, COIR_NEVER, 0);
    if (*before)
        CHECK_EQ(coir_scope_wind_down(&scope, INT64_MAX), 0);
    coir_scope_open(&outer, COIR_NEVER, COIR_SOFT);
    coir_scope_open(&inner, COIR_NEVER, COIR_SOFT);
    if (!*before) {
        run_spawn(soft_sleeper, &child);
        CHECK_EQ(coir_sleep(0), 0);
        CHECK_EQ(coir_scope_wind_down(&scope, INT64_MAX), 0);
    }
    int result = coir_sleep(COIR_SEC(100));
    CHECK_EQ(coir_scope_end(&inner, result), 0);
    CHECK_EQ(soft_sleep(COIR_SEC(100)), 0);
    CHECK_EQ(coir_sleep(1), COIR_CANCELLED);
    CHECK_EQ(coir_scope_end(&outer, COIR_CANCELLED), 0);
    CHECK_EQ(child, *before ? -1 : 0);
    CHECK_EQ(coir_scope_cancel(&scope, 0), 0); /* a harder cancel is none of theirs */
    CHECK_EQ(soft_sleep(COIR_SEC(100)), COIR_CANCELLED);
    return coir_scope_end(&scope, 0);
}

/* proves: C15 */
TEST(test_regress_soft_scope_in_a_soft_scope_is_said_to_be_cancelled_from_outside)
{
    for (int before = 0; before < 2; before++)
        run_virtual(nested_softly, &before);
}
