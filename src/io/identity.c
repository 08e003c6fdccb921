/* The audit of waits. When a descriptor is closed by a plain close, the kernel forgets its
 * registration and tells nobody: a fiber that waits for it would hang. So, a second after code has
 * run that could have done so, the kernel is asked about each descriptor that is waited for; a wait
 * for one whose registration is gone ends with -EBADF. Where nothing runs, nothing is asked.
 *
 * There is none on a virtual clock, which reads no other one.
 *
 * An audit is done in parts, with the world's events served in between, and takes no more than a
 * hundredth of the time: with tens of thousands of waits they come less often. */
#include "identity.h"

#include "io.h"

enum { PART_ASKS = 512, PART_NUMBERS = 16384, INTERVAL_FACTOR = 100 };

static const uint64_t INTERVAL_MIN_NS = 1000 * 1000 * 1000;

bool cr_identity_check(struct cr_io *io, struct cr_fd *entry)
{
    struct cr_world *world = io->world;
    if (!entry->attached || !world->ops->lost(world, cr_fd_number(entry), entry->token))
        return true;
    cr_fd_forget(io, entry);
    return false;
}

static bool audit_concerns(const struct cr_fd *entry)
{
    return entry->attached && !(cr_list_empty(&entry->waiters[CR_FD_IN]) &&
                                cr_list_empty(&entry->waiters[CR_FD_OUT]));
}

static bool audit_part(struct cr_io *io)
{
    size_t end = cr_table_end(&io->fds.table), number = io->identity.next;
    size_t last = end - number > PART_NUMBERS ? number + PART_NUMBERS : end;
    for (int asks = 0; number < last && asks < PART_ASKS; number++) {
        struct cr_fd *entry = cr_fd_find(&io->fds, (int)number);
        if (!entry || !audit_concerns(entry))
            continue;
        asks++;
        cr_identity_check(io, entry);
    }
    io->identity.next = number;
    return number >= end;
}

static void audit_begin(struct cr_identity *audit)
{
    audit->needed = false;
    audit->sweeping = true;
    audit->next = 0;
    audit->spent_ns = 0;
}

/* The time between audits: 100 times the last one's duration, at least 1 s. */
static uint64_t audit_interval_ns(const struct cr_identity *audit)
{
    uint64_t interval = INTERVAL_FACTOR * audit->spent_ns;
    return interval > INTERVAL_MIN_NS ? interval : INTERVAL_MIN_NS;
}

/* Code that ran between two parts may have closed a number that was passed: another audit
 * follows. */
static void audit_end(struct cr_identity *audit, uint64_t now)
{
    audit->sweeping = false;
    audit->due_ns = audit->needed ? now + audit_interval_ns(audit) : 0;
}

uint64_t cr_identity_turn(struct cr_io *io)
{
    struct cr_identity *audit = &io->identity;
    struct coir_sched *sched = &io->core;
    if (io->world->is_virtual || sched->outside == 0 || !(audit->needed || audit->sweeping))
        return CR_NEVER;
    uint64_t now = sched->now(sched);
    if (!audit->sweeping && audit->due_ns == 0)
        audit->due_ns = now + audit_interval_ns(audit);
    if (!audit->sweeping && now < audit->due_ns)
        return audit->due_ns;
    if (!audit->sweeping)
        audit_begin(audit);
    bool is_over = audit_part(io);
    audit->spent_ns += sched->now(sched) - now;
    if (is_over)
        audit_end(audit, now);
    if (!is_over || sched->ready)
        return 0;
    return audit->needed ? audit->due_ns : CR_NEVER;
}
