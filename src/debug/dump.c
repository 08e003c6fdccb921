/* What a program can ask of a running scheduler: a line for each fiber, and numbers. Unlike the
 * reports of the core (report.c) these know of the mailbox and, in a fiber, can wait for room. */
#include "debug.h"

#include "../../include/coir_io.h"
#include "../run/run.h"

#include <string.h>

static int dump_write(int fd, const char *text, size_t size)
{
    if (!cr_sched_self || cr_sched_self->cancelled)
        return cr_report_write(fd, text, size);
    return coir_write_all(fd, text, size, NULL, COIR_NEVER);
}

int coir_dump(int fd)
{
    struct coir_sched *sched = cr_sched_here;
    if (!sched)
        return cr_sched_none("coir_dump", CR_CALLER);
    struct cr_report report = {.fd = fd, .write = dump_write};
    bool is_open = cr_run_of(sched)->post.opens > 0;
    return cr_report_to(sched, &report, is_open ? "  a mailbox is open" : NULL);
}

void coir_stats(struct coir_stats *stats)
{
    struct coir_sched *sched = cr_sched_here;
    memset(stats, 0, sizeof *stats);
    if (!sched) {
        cr_sched_none("coir_stats", CR_CALLER);
        return;
    }
    stats->spawned = sched->spawned;
    stats->ended = sched->spawned - sched->live;
    for (struct cr_fiber *fiber = sched->ready; fiber; fiber = fiber->next)
        stats->ready++;
    for (uint32_t i = 0; i < sched->slots.count; i++) {
        const struct cr_fiber *fiber = cr_slot_fiber(&sched->slots.at[i]);
        stats->parked += fiber && fiber->wait;
        stats->parked_fd += fiber && fiber->wait && fiber->wait->kind->outside;
    }
    for (int i = 0; i < CR_STACK_CLASSES; i++)
        stats->stacks += sched->stacks.classes[i].carved;
    stats->stack_bytes = sched->stacks.bytes;
}
