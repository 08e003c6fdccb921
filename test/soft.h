/* What tests of soft scopes share: a wait that is for new work, and a fiber that makes it.
 * Include it before any other header. */
#ifndef TEST_SOFT_H
#define TEST_SOFT_H

#include "inside.h"

#include "clock.h"
#include "run.h"

/* 1, or 0 when it winds down, or an error. */
static inline int soft_sleep(int64_t duration_ns)
{
    coir_scope soft;
    coir_scope_open(&soft, COIR_NEVER, COIR_SOFT);
    int result = coir_sleep(duration_ns);
    return coir_scope_end(&soft, result < 0 ? result : 1);
}

/* Its result goes to *arg, too. */
static inline int soft_sleeper(void *arg)
{
    return *(int *)arg = soft_sleep(COIR_SEC(100));
}

#endif
