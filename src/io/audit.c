/* The audit. When a descriptor is closed by a plain close, the kernel forgets its registration and
 * tells nobody: a fiber that waits for it would hang. So, a second after code has run that could
 * have done so, the kernel is asked about each descriptor that is waited for; a wait for one whose
 * registration is gone ends with -EBADF. Where nothing runs, nothing is asked.
 *
 * There is none on a virtual clock, which reads no other one.
 *
 * An audit is done in parts, with the world's events served in between, and takes no more than a
 * hundredth of the time: with tens of thousands of waits they come less often. */
#include "audit.h"

#include "../core/sched.h"

enum { PART_ASKS = 512, PART_NUMBERS = 16384, REST_FACTOR = 100 };

static const uint64_t REST_LEAST_NS = 1000 * 1000 * 1000;

static bool audit_part(struct coir_sched *sched)
{
    struct cr_world *world = &sched->world;
    size_t end = cr_table_end(&sched->fds), number = sched->audit.next;
    size_t last = end - number > PART_NUMBERS ? number + PART_NUMBERS : end;
    for (int asks = 0; number < last && asks < PART_ASKS; number++) {
        int fd = (int)number;
        struct cr_fd *entry = cr_fd_find(&sched->fds, fd);
        if (!entry || !entry->attached || cr_list_empty(&entry->waiters))
            continue;
        asks++;
        if (world->lost(world, fd, cr_fd_token(entry, fd)))
            cr_fd_forget(sched, entry, fd);
    }
    sched->audit.next = number;
    return number >= end;
}

static void audit_begin(struct cr_audit *audit)
{
    audit->needed = false;
    audit->sweeping = true;
    audit->next = 0;
    audit->spent_ns = 0;
}

/* The last one, which may have taken long, says how long the rest is. */
static uint64_t audit_rest_ns(const struct cr_audit *audit)
{
    uint64_t rest = REST_FACTOR * audit->spent_ns;
    return rest > REST_LEAST_NS ? rest : REST_LEAST_NS;
}

/* What ran between its parts needs another one. */
static void audit_end(struct cr_audit *audit, uint64_t now)
{
    audit->sweeping = false;
    audit->due_ns = audit->needed ? now + audit_rest_ns(audit) : 0;
}

uint64_t cr_audit_turn(struct coir_sched *sched)
{
    struct cr_audit *audit = &sched->audit;
    if (sched->world.is_virtual || sched->world.waiting == 0 ||
        !(audit->needed || audit->sweeping))
        return UINT64_MAX;
    uint64_t now = sched->world.now(&sched->world);
    if (!audit->sweeping && audit->due_ns == 0)
        audit->due_ns = now + audit_rest_ns(audit);
    if (!audit->sweeping && now < audit->due_ns)
        return audit->due_ns;
    if (!audit->sweeping)
        audit_begin(audit);
    bool is_over = audit_part(sched);
    audit->spent_ns += sched->world.now(&sched->world) - now;
    if (is_over)
        audit_end(audit, now);
    if (!is_over || sched->ready)
        return 0;
    return audit->needed ? audit->due_ns : UINT64_MAX;
}
