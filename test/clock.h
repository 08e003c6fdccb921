/* Times in tests: numbers of nanoseconds since a virtual clock began. */
#ifndef TEST_CLOCK_H
#define TEST_CLOCK_H

#include <coir.h>

enum { CLOCK_VIRTUAL_BEGINS_NS = 2 };

static inline uint64_t now_ns(void)
{
    return coir_now().ns - CLOCK_VIRTUAL_BEGINS_NS;
}

static inline coir_time at_ns(uint64_t ns)
{
    return COIR_TIME_NS(ns + CLOCK_VIRTUAL_BEGINS_NS);
}

#endif
