/* How a thread waits for another: a POSIX condition by the monotonic clock, and on macOS, which has
 * no such conditions, by the time that is left. */
#include "os.h"

#include <time.h>

#ifdef __APPLE__

int cr_os_cond_init(pthread_cond_t *cond)
{
    return pthread_cond_init(cond, NULL);
}

int cr_os_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_ns,
                    const struct timespec *left)
{
    (void)until_ns;
    return left ? pthread_cond_timedwait_relative_np(cond, lock, left)
                : pthread_cond_wait(cond, lock);
}

#else

int cr_os_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t how;
    int error = pthread_condattr_init(&how);
    if (error != 0)
        return error;
    pthread_condattr_setclock(&how, CLOCK_MONOTONIC);
    error = pthread_cond_init(cond, &how);
    pthread_condattr_destroy(&how);
    return error;
}

int cr_os_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_ns,
                    const struct timespec *left)
{
    static const uint64_t NS_PER_SECOND = 1000000000;
    struct timespec until = {(time_t)(until_ns / NS_PER_SECOND), (long)(until_ns % NS_PER_SECOND)};
    return left ? pthread_cond_timedwait(cond, lock, &until) : pthread_cond_wait(cond, lock);
}

#endif
