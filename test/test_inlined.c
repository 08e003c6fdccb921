/* coir inlined into its program, into functions that have several scopes, as a compiler that sees
 * the whole program may do: there a scope has any address in the frame of whoever opens the
 * next. */
#include "../src/coir.c"

#include "run.h"

static int ends(void *arg)
{
    (void)arg;
    return coir_yield();
}

/* A compiler may put variables in any order, so what it does is tried in several. */
#define OPENS(name, before, between, after)                                                        \
    __attribute__((flatten, noinline)) static int name(void *arg)                                  \
    {                                                                                              \
        before;                                                                                    \
        coir_scope first;                                                                          \
        between;                                                                                   \
        coir_scope second;                                                                         \
        after;                                                                                     \
        coir_scope_open(&first, COIR_NEVER, 0);                                                    \
        CHECK_EQ(coir_spawn(NULL, ends, arg, NULL), 0);                                            \
        coir_scope_open(&second, COIR_NEVER, COIR_SHIELD);                                         \
        CHECK_EQ(coir_spawn(NULL, ends, arg, NULL), 0);                                            \
        CHECK_EQ(coir_scope_end(&second, 0), 0);                                                   \
        coir_scope_open(&second, COIR_NEVER, 0);                                                   \
        CHECK_EQ(coir_scope_end(&second, 0), 0);                                                   \
        return coir_scope_end(&first, 0);                                                          \
    }

#define NOTHING (void)arg
#define BYTES(name, size)                                                                          \
    char name[size];                                                                               \
    snprintf(name, sizeof name, "%p", arg)

OPENS(opens_two, NOTHING, NOTHING, NOTHING)
OPENS(opens_two_after_bytes, BYTES(a, 200), NOTHING, NOTHING)
OPENS(opens_two_around_bytes, NOTHING, BYTES(a, 200), NOTHING)
OPENS(opens_two_before_bytes, NOTHING, NOTHING, BYTES(a, 200))
OPENS(opens_two_among_bytes, BYTES(a, 24), BYTES(b, 24), BYTES(c, 4000))

/* proves: C10 */
TEST(test_regress_scope_in_the_frame_that_a_call_was_inlined_into_is_said_to_be_left)
{
    run_virtual(opens_two, NULL);
    run_virtual(opens_two_after_bytes, NULL);
    run_virtual(opens_two_around_bytes, NULL);
    run_virtual(opens_two_before_bytes, NULL);
    run_virtual(opens_two_among_bytes, NULL);
}
