/* The wait of a call for its next try: for an edge, in one direction or both; or for a pause, where
 * readiness cannot be trusted to report when a try may succeed. */
#include "call.h"

#include <stdio.h>

/* How many reports in a row may prove false before a call backs off. With edges more, because the
 * call's own tries can cause them. */
enum { PAUSE_MAX_MS = 16, FOOLED_MAX = 2, FOOLED_MAX_BY_EDGES = 32 };

static void wait_describe(const struct cr_wait *wait, char *text, size_t size)
{
    const struct cr_fd_wait *fd_wait = CR_CONTAINER(wait, struct cr_fd_wait, wait);
    const char *what = fd_wait->mask & COIR_HUP  ? "hung up"
                       : fd_wait->mask & COIR_IN ? "readable"
                                                 : "writable";
    snprintf(text, size, "%d to be %s", cr_fd_number(fd_wait->entry), what);
}

const struct cr_wait_kind cr_io_readiness = {
    .name = "descriptor ",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
    .outside = true,
    .describe = wait_describe,
};

/* coir_wait_fd */
static const struct cr_wait_kind WAIT_FD = {
    .name = "descriptor ",
    .woken = -EINTR,
    .expired = COIR_TIMED_OUT,
    .outside = true,
    .describe = wait_describe,
};

static const struct cr_wait_kind BACK_OFF = {
    .name = "its next try of descriptor ",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
    .describe = cr_io_describe,
};

static const struct cr_wait_kind WAIT_FD_BACK_OFF = {
    .name = "its next look at descriptor ",
    .woken = -EINTR,
    .expired = COIR_TIMED_OUT,
    .describe = cr_io_describe,
};

int cr_io_pause(struct cr_fiber *self, struct cr_fd *entry, struct cr_fd_wait *wait,
                  const struct cr_wait_kind *kind, coir_time until)
{
    uint64_t token = entry->token;
    if (self->cancelled)
        return cr_sched_refuse(self);
    wait->entry = entry;
    wait->mask = 0;
    cr_list_append(&entry->others, &wait->wait.link);
    int woken = cr_sched_park_now(self, &wait->wait, kind, until);
    return entry->token != token && woken == COIR_TIMED_OUT ? -EBADF : woken;
}

/* Before the next try where readiness does not report when it is due: 0, or an error. */
static int wait_back_off(struct cr_call *call)
{
    cr_fd_pass_on(call->entry, call->woken);
    call->woken = 0;
    int pause_ms = call->pause_ms ? 2 * call->pause_ms : 1;
    call->pause_ms = (uint8_t)(pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
    coir_time next = coir_after(COIR_MS(call->pause_ms));
    bool is_last = next.ns >= cr_deadline_ns(call->until);
    const struct cr_wait_kind *kind =
        call->op.kind == CR_OP_READY ? &WAIT_FD_BACK_OFF : &BACK_OFF;
    int woken = cr_io_pause(call->self, call->entry, &call->wait, kind,
                            is_last ? call->until : next);
    if (woken != COIR_TIMED_OUT || is_last || coir_left(next) > 0)
        return woken;
    return cr_identity_check(cr_call_io(call), call->entry) ? 0 : -EBADF;
}

struct wait_pair {
    struct cr_group group;
    struct cr_fd_wait waits[CR_FD_DIRECTIONS];
};

static void wait_describe_pair(const struct cr_wait *wait, char *text, size_t size)
{
    const struct wait_pair *pair = CR_CONTAINER(wait, struct wait_pair, group.park);
    snprintf(text, size, "%d to be readable or writable", cr_fd_number(pair->waits[0].entry));
}

static const struct cr_wait_kind WAIT_FD_BOTH = {
    .name = "descriptor ",
    .woken = -EINTR,
    .expired = COIR_TIMED_OUT,
    .outside = true,
    .describe = wait_describe_pair,
};

/* Waits in both directions at once. */
static CR_NOINLINE int wait_park_both(struct cr_call *call)
{
    struct wait_pair pair;
    struct cr_io *io = cr_call_io(call);
    uint64_t token = call->entry->token;
    cr_group_init(&pair.group, call->self, NULL);
    for (int i = 0; i < CR_FD_DIRECTIONS; i++) {
        cr_group_join(&pair.group, &pair.waits[i].wait);
        pair.waits[i].again = false;
        cr_fd_hang_armed(io, call->entry, &pair.waits[i], 1 << i);
    }
    int woken = cr_sched_park_now(call->self, &pair.group.park, &WAIT_FD_BOTH, call->until);
    call->wait.again = true;
    for (int i = 0; i < CR_FD_DIRECTIONS; i++) {
        cr_group_remove(&pair.waits[i].wait);
        int result = pair.waits[i].wait.result;
        call->woken |= (uint8_t)(result > 0 ? result & call->mask : 0);
        woken = woken < 0 ? woken : result < 0 ? result : woken | result;
        call->wait.again &= result == 0 || pair.waits[i].again;
    }
    return call->entry->token != token && woken >= 0 ? -EBADF : woken;
}

static int wait_park(struct cr_call *call)
{
    const struct cr_wait_kind *kind = call->op.kind == CR_OP_READY ? &WAIT_FD : &cr_io_readiness;
    if (call->mask == (COIR_IN | COIR_OUT))
        return wait_park_both(call);
    if (!CR_CALL_CAN_ASK && cr_call_wants_hangup(call) && call->entry->owned &&
        call->entry->ready & COIR_HUP)
        return COIR_HUP;
    bool wants_urgent = call->op.kind == CR_OP_RECV && call->op.recv.flags & MSG_OOB;
    cr_fd_hang_armed(cr_call_io(call), call->entry, &call->wait, call->mask);
    call->wait.mask |= wants_urgent ? CR_URGENT : cr_call_wants_hangup(call) ? COIR_HUP : 0;
    return cr_call_park(call->self, call->entry, &call->wait, kind, call->until);
}

/* What cannot be polled is always ready: lets others run, so that a fiber that reads files does not
 * starve them. */
static int wait_rest(struct cr_call *call)
{
    call->wait.again = false;
    cr_sched_rest(call->self);
    if (call->entry->token != call->token)
        return -EBADF;
    call->entry->ready |= call->mask;
    return call->mask;
}

/* Registers the descriptor, for this call if it is foreign. */
static int wait_attach(struct cr_call *call)
{
    struct cr_io *io = cr_call_io(call);
    if (call->entry->owned)
        return cr_fd_attach(io, call->entry);
    if (call->holds)
        return 0;
    int attached = cr_fd_hold(io, call->entry);
    call->holds = attached == 0;
    if (call->token != call->entry->token) { /* another file's by now, which knows nothing of it */
        call->token = call->entry->token;
        call->entry->asides += call->aside;
    }
    return attached;
}

/* Whether readiness was disproved again and again, and is still reported. */
static bool wait_is_fooled(struct cr_call *call)
{
    const struct cr_world *world = cr_call_io(call)->world;
    if (CR_LIKELY(call->fooled < (world->edges ? FOOLED_MAX_BY_EDGES : FOOLED_MAX)))
        return false;
    int mask = cr_call_wants_hangup(call) ? COIR_HUP : call->mask;
    if (world->ops->ready(cr_call_io(call)->world, call->op.fd, mask) != 0)
        return true;
    call->fooled = call->pause_ms = 0;
    return false;
}

int cr_io_wait(struct cr_call *call)
{
    if (call->self->cancelled)
        return cr_sched_refuse(call->self);
    if (call->by_pauses || wait_is_fooled(call))
        return wait_back_off(call);
    int attached = wait_attach(call);
    if (attached == -EPERM)
        return call->fooled >= FOOLED_MAX || cr_call_wants_hangup(call) ? wait_back_off(call)
                                                                        : wait_rest(call);
    if (attached < 0)
        return attached;
    return wait_park(call);
}
