/* Every order in which a few fibers can run: small programs, in the library and in a plain model of
 * what is promised. */
#define TEST_SECONDS 60
#include "interleave.h"

/* A million and a half where the library is what users get. */
static uint64_t schedules(void)
{
    if (getenv("COIR_TEST_VALGRIND"))
        return 1000;
    if (getenv("COIR_TEST_SLOW"))
        return 30000;
#ifdef NDEBUG
    return 1500000;
#else
    return CR_SAN_ADDRESS ? 100000 : 300000;
#endif
}

/* proves: O1, O2, O4, O7, W1, W2, W3, W4, E3, E4, E5, E6, R1, R2, R3, R4 */
/* proves: C1, C2, C3, C4, C5, C6, C7, C8, C9, C12, C13, C14, C15 */
TEST(test_every_schedule_of_small_programs_goes_as_the_model_says)
{
    interleave(1, schedules(), getenv("COIR_TEST_SLOW") ? 400 : 40);
}
