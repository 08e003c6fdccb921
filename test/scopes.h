/* What tests of scopes do: sleep for this many milliseconds of the virtual clock, and note how it
 * went. */
#ifndef TEST_SCOPES_H
#define TEST_SCOPES_H

#include "run.h"
#include "clock.h"
#include "inside.h"

static inline int number(void *arg)
{
    return *(int *)arg;
}

static inline int sleep_ms(void *arg)
{
    int result = coir_sleep(COIR_MS(*(int *)arg));
    run_note(result == 0 ? "slept" : coir_error_name(result));
    return result;
}

__attribute__((unused)) static int ms[] = {0, 1, 2, 3, 10, 20, 30, 100};
enum { MS_0, MS_1, MS_2, MS_3, MS_10, MS_20, MS_30, MS_100 };

static inline uint64_t now_ms(void)
{
    return now_ns() / 1000000;
}

static inline void open_for(coir_scope *scope, int64_t length_ns)
{
    coir_scope_open(scope, coir_after(length_ns), 0);
}

static inline void spawn_alone(int (*fn)(void *), void *arg)
{
    CHECK_EQ(coir_spawn(NULL, fn, arg, NULL), 0);
}

static inline int own_scope(void *arg)
{
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    spawn_alone(sleep_ms, arg);
    return coir_scope_end(&scope, 0);
}

static inline int fail_after(void *arg)
{
    CHECK_EQ(coir_sleep(COIR_MS(*(int *)arg)), 0);
    return -EPROTO - *(int *)arg;
}

#endif
