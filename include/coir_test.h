/* coir_test.h: for tests of programs that use coir. What coir.h says of all calls holds here
 * too. */
#ifndef COIR_TEST_H
#define COIR_TEST_H

#include "coir.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Runs fn(arg) on a virtual clock again and again, each time in a scheduler of its own: to its end,
 * and cancelled before its first run, and at the 1st, 2nd, 3rd … switch of all its fibers, until it
 * ends before it is cancelled. After each run compares how many descriptors are open and, where the
 * C library tells, how much memory is in use, for which it makes each run 14 times; and reports
 * when a cancelled fiber does not end. So a test that passes proves that fn cleans up wherever it
 * is cancelled. fn must end by itself, and do the same each time (beware of static variables); its
 * result does not matter.
 *
 * Each finding is a line for opts->report, with what the fiber waited for. Of `opts` (NULL: all
 * defaults) the clock and the signals are not used. Returns how many runs left something behind,
 * 0: none; *points (may be NULL) is how many runs were cancelled. -EBUSY: the thread has a
 * scheduler; -ENOMEM, -ENOSYS as coir_sched_new. Callable outside schedulers. */
COIR_API COIR_MUST_CHECK int coir_check_cancels(int (*fn)(void *arg), void *arg,
                                                const struct coir_sched_opts *opts, int *points);

/* Parks until no other fiber is ready, nor can be made so by what has happened: all wait. On either
 * clock, and before a virtual one moves. Returns 0, COIR_TIMED_OUT, COIR_CANCELLED. */
COIR_API int coir_idle(coir_time until);

#ifdef __cplusplus
}
#endif
#endif
