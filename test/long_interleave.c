/* The same as test_interleave.c, with other programs and more of them. */
#define TEST_SECONDS 600
#include "interleave.h"

/* proves: C1, C4, C5, C8, R1 */
TEST(test_millions_of_schedules_go_as_the_model_says)
{
    uint64_t schedules = getenv("COIR_TEST_SLOW") ? 300000 : CR_SAN_ADDRESS ? 2000000 : 20000000;
    interleave(1u << 30, schedules, getenv("COIR_TEST_SLOW") ? 4000 : 400);
}
