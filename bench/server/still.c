/* The clock of the server whose instructions are counted: it stands still. Otherwise what coir does
 * once a second (an audit) would count as the requests' own, the more of it the slower they come.
 * It shows an hour more than the kernel's, so that no timer of the kernel's ends a wait before it
 * says so, however long the run takes. Linked with --wrap=clock_gettime. */
#include <time.h>

enum { AHEAD_S = 3600 };

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    static struct timespec first;
    if (first.tv_sec == 0) {
        __real_clock_gettime(clock, &first);
        first.tv_sec += AHEAD_S;
    }
    *now = first;
    return 0;
}
