/* The clock of the server whose instructions are counted: it stands still. Otherwise what coir does
 * once a second (an audit) would count as the requests' own, the more of it the slower they come.
 * Linked with --wrap=clock_gettime. */
#include <time.h>

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    static struct timespec first;
    if (first.tv_sec == 0)
        __real_clock_gettime(clock, &first);
    *now = first;
    return 0;
}
