/* Stands in for coir_run in an example that is built as a test: runs the example's fiber again and
 * again, cancelled at each of its switches, and fails when a run leaves something behind. */
#include <coir_test.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int check_run(int (*fn)(void *arg), void *arg, const struct coir_sched_opts *opts, int *result);

int check_run(int (*fn)(void *arg), void *arg, const struct coir_sched_opts *opts, int *result)
{
    int out = dup(STDOUT_FILENO);
    if (out < 0 || !freopen("/dev/null", "w", stdout))
        abort();
    int points = 0, dirty = coir_check_cancels(fn, arg, opts, &points);
    int failed = dirty != 0 || points == 0;
    dprintf(out, "%s " CHECK_NAME ": cancelled at %d switches, %d left something behind\n",
        failed ? "FAIL" : "ok", points, dirty);
    dprintf(out, "%d passed, %d failed, 0 skipped\n", !failed, failed);
    if (failed)
        exit(1);
    if (result)
        *result = 0;
    return 0;
}
