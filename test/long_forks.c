/* The same as test_forks.c, ten thousand times. */
#define TEST_SECONDS 600
#include "forks.h"

/* proves: L1, L2 */
TEST(test_ten_thousand_forks_beside_threads_harm_nobody)
{
    if (getenv("COIR_TEST_SLOW"))
        SKIP("an emulator remembers each mapping, and each fork copies that: test_forks makes 30");
    forks_run(10000);
}
