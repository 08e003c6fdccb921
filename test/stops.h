/* What stops the program: tried in a child of its own, one row of a table after the other. */
#ifndef TEST_STOPS_H
#define TEST_STOPS_H

#include "run.h"

enum { STOPS_AS_EXPECTED = 40, STOPS_OTHERWISE, STOPS_NOT };

static const char *stops_text;
static int stops_wrong; /* rows that went wrong */

static inline void stops_line(const char *line)
{
    fprintf(stderr, "  %s\n", line);
    _exit(strstr(line, stops_text) ? STOPS_AS_EXPECTED : STOPS_OTHERWISE);
}

/* Counts it as wrong if fn(arg) does not stop the program with a line that has the text. */
static inline void stops_check(const char *what, void (*fn)(const void *arg), const void *arg,
                               const char *text)
{
    int status;
    fflush(stderr);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        test_limit_cpu(getenv("COIR_TEST_SLOW") ? 30 : 3);
        alarm((unsigned)TEST_SECONDS); /* for when it hangs */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        stops_text = text;
        coir_on_fatal(stops_line);
        fn(arg);
        _exit(STOPS_NOT);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == STOPS_AS_EXPECTED)
        return;
    stops_wrong++;
    if (WIFSIGNALED(status))
        fprintf(stderr, "%s: died of signal %d instead of a line with \"%s\"\n", what,
                WTERMSIG(status), text);
    else
        fprintf(stderr, "%s: %s a line with \"%s\"\n", what,
                WEXITSTATUS(status) == STOPS_NOT ? "did not stop by" : "stopped without", text);
}

#endif
