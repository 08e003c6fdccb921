/* Reports, line by line: who is alive and what each fiber waits for. A wait record knows what it
 * is linked into, so nothing is kept for reports while nobody asks. */
#include "debug.h"

#include "../core/sched.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { REPORT_SIZE = 160, LINES_MOST = 1000 };

struct report {
    void (*line)(const char *line, void *arg);
    void *arg;
};

static void report_to_fd(const char *line, void *arg)
{
    const int *fd = arg;
    char text[REPORT_SIZE + 1];
    int size = snprintf(text, sizeof text, "%s\n", line);
    for (int sent = 0; sent < size;) {
        ssize_t written = write(*fd, text + sent, (size_t)(size - sent));
        if (written < 0 && errno != EINTR)
            return;
        sent += written > 0 ? (int)written : 0;
    }
}

static struct report report_of(struct coir_sched *sched)
{
    static int standard_error = STDERR_FILENO;
    if (sched->opts.report)
        return (struct report){sched->opts.report, sched->opts.report_arg};
    return (struct report){report_to_fd, &standard_error};
}

void cr_report_fiber(const struct cr_fiber *fiber, char *text, size_t size)
{
    unsigned long long number = cr_fiber_number(fiber);
    if (fiber->name[0])
        snprintf(text, size, "fiber %llu '%s'", number, fiber->name);
    else
        snprintf(text, size, "fiber %llu", number);
}

void cr_report_state(const struct cr_fiber *fiber, char *text, size_t size)
{
    char what[64] = "";
    const struct cr_wait *wait = fiber->wait;
    if (wait && wait->kind->describe)
        wait->kind->describe(wait, what, sizeof what);
    if (wait)
        snprintf(text, size, "waits for %s%s", wait->kind->name, what);
    else
        snprintf(text, size, "is %s", fiber == cr_sched_self ? "running" : "ready");
}

static void report_line(struct report report, const struct cr_fiber *fiber)
{
    char line[REPORT_SIZE], who[56], state[96];
    cr_report_fiber(fiber, who, sizeof who);
    cr_report_state(fiber, state, sizeof state);
    snprintf(line, sizeof line, "  %s %s", who, state);
    report.line(line, report.arg);
}

static void report_fibers(struct coir_sched *sched, struct report report, uint64_t most)
{
    uint64_t told = 0;
    for (uint32_t i = 0; i < sched->slots.count && told < most; i++) {
        const struct cr_fiber *fiber = cr_slot_fiber(&sched->slots.at[i]);
        if (fiber) {
            report_line(report, fiber);
            told++;
        }
    }
    if (told < sched->live) {
        char line[REPORT_SIZE];
        snprintf(line, sizeof line, "  and %llu more", (unsigned long long)(sched->live - told));
        report.line(line, report.arg);
    }
}

static void report_headed(struct coir_sched *sched, const char *heading)
{
    struct report report = report_of(sched);
    report.line(heading, report.arg);
    report_fibers(sched, report, LINES_MOST);
}

void cr_report_deadlock(struct coir_sched *sched)
{
    char line[REPORT_SIZE];
    snprintf(line, sizeof line, "coir: deadlock: %llu fibers are parked and nothing can wake them",
             (unsigned long long)sched->live);
    report_headed(sched, line);
}

void cr_report_livelock(struct coir_sched *sched, uint64_t limit)
{
    char line[REPORT_SIZE];
    snprintf(line, sizeof line,
             "coir: livelock: %llu switches without progress: fibers only yield, so the virtual "
             "clock cannot reach the next deadline",
             (unsigned long long)limit);
    report_headed(sched, line);
}

void cr_report_abandoned(struct coir_sched *sched)
{
    report_headed(sched, "coir: abandoned: these fibers were cancelled but did not end");
}

void cr_report_to(struct coir_sched *sched, int fd, const char *last)
{
    report_fibers(sched, (struct report){report_to_fd, &fd}, UINT64_MAX);
    if (last)
        report_to_fd(last, &fd);
}
