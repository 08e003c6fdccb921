/* The bell: one descriptor that other threads and signal handlers make readable. */
#include "test.h"

#include "../src/world/bell.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

static int is_rung(const struct cr_bell *bell)
{
    return poll(&(struct pollfd){.fd = bell->heard, .events = POLLIN}, 1, 0);
}

TEST(test_bell_is_readable_from_the_first_ring_until_the_hush)
{
    struct cr_bell bell;
    CHECK_EQ(cr_bell_open(&bell), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(is_rung(&bell), 0);
        cr_bell_ring(&bell);
        cr_bell_ring(&bell);
        CHECK_EQ(is_rung(&bell), 1);
        cr_bell_hush(&bell);
    }
    CHECK_EQ(is_rung(&bell), 0);
    cr_bell_hush(&bell);
    cr_bell_close(&bell);
    CHECK_EQ(fcntl(bell.heard, F_GETFD), -1);
    CHECK_EQ(fcntl(bell.rung, F_GETFD), -1);
}

TEST(test_bell_that_is_rung_without_end_neither_blocks_nor_says_so)
{
    struct cr_bell bell;
    CHECK_EQ(cr_bell_open(&bell), 0);
    errno = ENOENT;
    for (int i = 0; i < 20000; i++)
        cr_bell_ring(&bell);
    CHECK_EQ(errno, ENOENT);
    cr_bell_hush(&bell);
    CHECK_EQ(is_rung(&bell), 0);
    cr_bell_close(&bell);
}
