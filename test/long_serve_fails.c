/* The same as test_serve_fails.c, a million times. */
#define TEST_SECONDS 600
#include "serve_fails.h"

/* proves: N5, C3 */
TEST(test_a_million_handlers_whose_children_fail_harm_nobody_else)
{
    fails_run(getenv("COIR_TEST_SLOW") ? 20000 : 1000000);
}
