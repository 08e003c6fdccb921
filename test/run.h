/* What many tests do: run one function as the first fiber of a scheduler, on either clock, and
 * check that the run ended as it should. */
#ifndef TEST_RUN_H
#define TEST_RUN_H

#include "test.h"

#include <coir.h>
#include <errno.h>
#include <fcntl.h>

/* macOS has none. */
#ifdef __APPLE__
static inline int pipe2(int fds[2], int flags)
{
    int result = pipe(fds);
    for (int i = 0; result == 0 && i < 2; i++) {
        result = fcntl(fds[i], F_SETFL, flags & O_NONBLOCK);
        if (result == 0 && flags & O_CLOEXEC)
            result = fcntl(fds[i], F_SETFD, FD_CLOEXEC);
    }
    return result;
}
#endif

/* Lines of reports, one after the other. */
static char run_report[8192];

static inline void run_report_line(const char *line, void *arg)
{
    (void)arg;
    size_t used = strlen(run_report);
    snprintf(run_report + used, sizeof run_report - used, "%s\n", line);
}

static inline int run_as(int (*fn)(void *), void *arg, enum coir_clock clock, int *result)
{
    struct coir_sched_opts opts = {.clock = clock, .report = run_report_line};
    return coir_run(fn, arg, &opts, result);
}

/* Runs to the end on a virtual clock; fn returns 0. */
static inline void run_virtual(int (*fn)(void *), void *arg)
{
    int result = -1;
    CHECK_EQ(run_as(fn, arg, COIR_CLOCK_VIRTUAL, &result), 0);
    CHECK_EQ(result, 0);
    CHECK_STR(run_report, "");
}

static inline void run_monotonic(int (*fn)(void *), void *arg)
{
    int result = -1;
    CHECK_EQ(run_as(fn, arg, COIR_CLOCK_MONOTONIC, &result), 0);
    CHECK_EQ(result, 0);
    CHECK_STR(run_report, "");
}

/* Takes an argument that may be constant, as a text is. */
static inline coir_fiber run_spawn(int (*fn)(void *), const void *arg)
{
    coir_fiber fiber;
    CHECK_EQ(coir_spawn(&fiber, fn, (void *)(uintptr_t)arg, NULL), 0);
    return fiber;
}

static inline coir_fiber run_spawn_named(int (*fn)(void *), void *arg, const char *name)
{
    coir_fiber fiber;
    CHECK_EQ(coir_spawn(&fiber, fn, arg, &(struct coir_spawn_opts){.name = name}), 0);
    return fiber;
}

static inline int run_join(coir_fiber fiber)
{
    int result = -1;
    CHECK_EQ(coir_join(fiber, &result, COIR_NEVER), 0);
    return result;
}

/* A log of small numbers, compared as text. */
static char run_log[4096];

static inline void run_note(const char *what)
{
    size_t used = strlen(run_log);
    snprintf(run_log + used, sizeof run_log - used, "%s%s", used ? " " : "", what);
}

/* How many mappings this process has. */
static inline int run_mappings(void)
{
    int count = 0, c;
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps)
        SKIP("the system does not tell its mappings");
    while ((c = fgetc(maps)) != EOF)
        count += c == '\n';
    fclose(maps);
    return count;
}

#endif
