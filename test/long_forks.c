/* The same as test_forks.c, ten thousand times. */
#define TEST_SECONDS 600
#include "forks.h"

/* proves: L1, L2 */
TEST(test_ten_thousand_forks_beside_threads_harm_nobody)
{
    forks_run(getenv("COIR_TEST_SLOW") ? 500 : 10000);
}
