/* Ten million items between two schedulers. */
#define TEST_SECONDS 120
#include "shared_pass.h"

/* proves: A1, A5 */
TEST(test_ten_million_items_between_two_schedulers_keep_their_order)
{
    pass_items(10 * 1000 * 1000, 1024);
}
