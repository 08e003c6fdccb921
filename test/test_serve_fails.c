/* Handlers whose children fail, beside connections that go on. */
#include "serve_fails.h"

/* proves: N5, C3 */
TEST(test_regress_a_handlers_child_that_failed_stopped_the_server)
{
    fails_run(getenv("COIR_TEST_SLOW") ? 2000 : 20000);
}
