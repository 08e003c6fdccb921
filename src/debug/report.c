/* Reports, line by line: who is alive and what each fiber waits for. A wait record knows what it
 * is linked into, so nothing is kept for reports while nobody asks. */
#include "debug.h"

#include "../core/sched.h"
#include "../os/os.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SIZE = 160, LINES_MOST = 1000, PATIENCE_SECONDS = 1 };

static bool report_has_room(int fd)
{
    static const struct timespec PATIENCE = {.tv_sec = PATIENCE_SECONDS};
    struct pollfd ask = {.fd = fd, .events = POLLOUT};
    return cr_os_poll(&ask, 1, &PATIENCE) > 0;
}

int cr_report_write(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, text, size);
        int error = written < 0 ? errno : 0;
        if (error == 0) {
            text += written;
            size -= (size_t)written;
        } else if (error == EAGAIN && !report_has_room(fd)) {
            return -EAGAIN;
        } else if (error != EAGAIN && error != EINTR) {
            return -error;
        }
    }
    return 0;
}

/* ---- lines ---- */

static void report_flush(struct cr_report *report)
{
    if (report->result == 0 && report->used > 0)
        report->result = report->write(report->fd, report->text, report->used);
    report->used = 0;
}

struct report_told {
    const struct coir_sched_opts *opts;
    const char *line;
};

static void report_tell(void *arg)
{
    const struct report_told *told = arg;
    told->opts->report(told->line, told->opts->report_arg);
}

static void report_line(struct cr_report *report, const char *line)
{
    if (report->result < 0)
        return;
    if (report->sched) {
        struct report_told told = {&report->sched->opts, line};
        if (!cr_sched_call(report->sched, "the report function", report_tell, &told))
            report->result = -ECHILD;
        return;
    }
    if (report->used + LINE_SIZE > sizeof report->text)
        report_flush(report);
    report->used += (size_t)snprintf(report->text + report->used, LINE_SIZE, "%.*s\n",
                                     LINE_SIZE - 2, line);
}

static struct cr_report report_of(struct coir_sched *sched)
{
    return (struct cr_report){
        .sched = sched->opts.report ? sched : NULL,
        .fd = STDERR_FILENO,
        .write = cr_report_write,
    };
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

static void report_fiber_line(struct cr_report *report, const struct cr_fiber *fiber)
{
    char line[LINE_SIZE], who[56], state[96];
    cr_report_fiber(fiber, who, sizeof who);
    cr_report_state(fiber, state, sizeof state);
    snprintf(line, sizeof line, "  %s %s", who, state);
    report_line(report, line);
}

/* While lines are on their way, fibers may come and go. */
static void report_fibers(struct coir_sched *sched, struct cr_report *report, uint64_t most)
{
    uint64_t told = 0;
    for (uint32_t i = 0; i < sched->slots.count && told < most && report->result == 0; i++) {
        const struct cr_fiber *fiber = cr_slot_fiber(&sched->slots.at[i]);
        if (fiber) {
            report_fiber_line(report, fiber);
            told++;
        }
    }
    if (told == most && told < sched->live) {
        char line[LINE_SIZE];
        snprintf(line, sizeof line, "  and %llu more", (unsigned long long)(sched->live - told));
        report_line(report, line);
    }
}

static void report_headed(struct coir_sched *sched, const char *heading)
{
    struct cr_report report = report_of(sched);
    report_line(&report, heading);
    report_fibers(sched, &report, LINES_MOST);
    report_flush(&report);
}

void cr_report_deadlock(struct coir_sched *sched)
{
    char line[LINE_SIZE];
    snprintf(line, sizeof line, "coir: deadlock: %llu %s parked and nothing can wake %s",
             (unsigned long long)sched->live, sched->live == 1 ? "fiber is" : "fibers are",
             sched->live == 1 ? "it" : "them");
    report_headed(sched, line);
}

void cr_report_livelock(struct coir_sched *sched, uint64_t limit)
{
    char line[LINE_SIZE];
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

void cr_report_deaf(struct cr_fiber *fiber, uint32_t refusals)
{
    char line[LINE_SIZE], who[56];
    struct cr_report report = report_of(fiber->sched);
    cr_report_fiber(fiber, who, sizeof who);
    snprintf(line, sizeof line,
             "coir: %s is cancelled, but does not end: %lu of its calls have returned "
             "COIR_CANCELLED",
             who, (unsigned long)refusals);
    report_line(&report, line);
    report_flush(&report);
}

int cr_report_to(struct coir_sched *sched, struct cr_report *report, const char *last)
{
    report_fibers(sched, report, UINT64_MAX);
    if (last)
        report_line(report, last);
    report_flush(report);
    return report->result;
}
