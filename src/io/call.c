/* The way of a call:
 *
 *     begin    counts it, refuses it to a cancelled fiber, finds the descriptor's entry
 *     try      asks the world, unless what is remembered says that it is in vain
 *     wait     after EAGAIN: for an edge, or for a pause where readiness cannot be trusted
 *     end      lets go of what it holds, and passes on what is still ready
 *
 * Try and wait alternate until there is a result. After the deadline it tries once more. Whoever
 * comes back from a wait looks at the entry's token before anything else: another one means
 * that coir_close has taken the number away. */
#include "call.h"

#include "../debug/debug.h"

#include <limits.h>
#include <stdio.h>

enum { PAUSE_MAX_MS = 16, FOOLED_MAX = 2 };

/* ---- kinds of calls and of waits ---- */

/* What a call of each kind waits for, and how it tries. */
static const struct call_trait {
    uint8_t mask;
    bool asks;   /* of a foreign descriptor the kernel is asked first, since a try might block */
    bool always; /* is tried whatever is remembered */
} TRAITS[CR_OP_READY + 1] = {
    [CR_OP_READ] = {COIR_IN, .asks = true},
    [CR_OP_WRITE] = {COIR_OUT, .asks = true},
    [CR_OP_READV] = {COIR_IN, .asks = true},
    [CR_OP_WRITEV] = {COIR_OUT, .asks = true},
    [CR_OP_RECV] = {COIR_IN},
    [CR_OP_SEND] = {COIR_OUT},
    [CR_OP_RECVMSG] = {COIR_IN},
    [CR_OP_SENDMSG] = {COIR_OUT},
    [CR_OP_ACCEPT] = {COIR_IN},
    [CR_OP_CONNECT] = {COIR_OUT, .always = true},
    [CR_OP_CONNECTED] = {COIR_OUT, .always = true},
    [CR_OP_READY] = {0, .always = true}, /* its own mask */
};

static void call_describe(const struct cr_wait *wait, char *text, size_t size)
{
    const struct cr_fd_wait *fd_wait = CR_CONTAINER(wait, struct cr_fd_wait, wait);
    const char *what = fd_wait->mask == COIR_IN ? "readable" : "writable";
    if (fd_wait->mask == (COIR_IN | COIR_OUT))
        what = "readable or writable";
    snprintf(text, size, "%d to be %s", cr_fd_number(fd_wait->entry), what);
}

static void call_describe_op(const struct cr_wait *wait, char *text, size_t size)
{
    const struct cr_call *call = CR_CONTAINER(wait, struct cr_call, wait.wait);
    snprintf(text, size, "%d", call->op.fd);
}

const struct cr_wait_kind cr_call_kind = {
    .name = "descriptor ",
    .woken = -EBUSY,
    .expired = -ETIMEDOUT,
    .outside = true,
    .describe = call_describe,
};

/* coir_wait_fd */
static const struct cr_wait_kind WAIT_FD = {
    .name = "descriptor ",
    .woken = -EINTR,
    .expired = -ETIMEDOUT,
    .outside = true,
    .describe = call_describe,
};

static const struct cr_wait_kind WAIT_FD_BOTH; /* coir_wait_fd, for both directions */

static const struct cr_wait_kind PENDING = {
    .name = "an operation on descriptor ",
    .woken = -EBUSY,
    .expired = -ETIMEDOUT,
    .outside = true,
    .describe = call_describe_op,
};

static const struct cr_wait_kind CANCELLED = {
    .name = "the end of a cancelled operation on descriptor ",
    .woken = -EBUSY,
    .firm = true,
    .outside = true,
    .describe = call_describe_op,
};

/* Of a call that is no cancellation point. */
static const struct cr_wait_kind PENDING_FIRM = {
    .name = "an operation on descriptor ",
    .woken = -EBUSY,
    .firm = true,
    .outside = true,
    .describe = call_describe_op,
};

static const struct cr_wait_kind BACK_OFF = {
    .name = "its next try of descriptor ",
    .woken = -EBUSY,
    .expired = -ETIMEDOUT,
    .describe = call_describe_op,
};

static struct cr_io *call_io(const struct cr_call *call)
{
    return cr_io_of(call->self->sched);
}

/* ---- begin ---- */

enum { ASKED = 1 << 16 }; /* in call->asked, beside the answer */

/* Makes an entry for a number that has none, if it is open. */
static CR_COLD int call_enter(struct cr_call *call)
{
    struct cr_io *io = call_io(call);
    int ready = io->world->ops->ready(io->world, call->op.fd, call->mask);
    if (ready < 0)
        return ready;
    call->entry = cr_fd_make(&io->fds, call->op.fd);
    call->asked = ready | ASKED;
    return call->entry ? 0 : -ENOMEM;
}

/* Finds the entry. An owned one may stand for another file by now. */
static int call_find(struct cr_call *call)
{
    struct cr_io *io = call_io(call);
    call->entry = cr_fd_find(&io->fds, call->op.fd);
    if (CR_UNLIKELY(!call->entry || !call->entry->owned)) {
        if (cr_io_is_own(io, call->op.fd))
            return -EBADF;
        int result = call->entry ? 0 : call_enter(call);
        if (result < 0)
            return result;
    } else {
        for (int i = 0; i < CR_FD_DIRECTIONS; i++)
            if (call->mask & 1 << i)
                cr_identity_call(io, call->self, call->entry, i);
    }
    call->token = call->entry->token;
    return 0;
}

/* A due turn of the loop runs here, not between the kernel's answer and the return, when the answer
 * could go stale. The number may be closed meanwhile, and must be known for that to be seen. */
static CR_COLD int call_begin_rarely(struct cr_call *call)
{
    struct cr_fiber *self = call->self;
    if (self->stop)
        return cr_sched_refuse(self);
    int found = call_find(call);
    cr_sched_rest(self);
    if (self->stop)
        return cr_sched_refuse(self);
    if (found < 0)
        return found;
    return call->entry->token == call->token ? call_find(call) : -EBADF;
}

CR_INLINE int call_begin(struct cr_call *call)
{
    if (CR_LIKELY(--call->self->sched->budget >= 0 && !call->self->stop))
        return call_find(call);
    return call_begin_rarely(call);
}

/* ---- try ---- */

/* Waits for a pending operation. Its buffer is the caller's, so the call cannot return before the
 * event, cancelled or not; what the operation did is reported in any case. */
static CR_COLD int64_t call_finish(struct cr_call *call)
{
    struct cr_fiber *self = call->self;
    struct cr_fd *entry = call->entry;
    struct cr_wait *wait = &call->wait.wait;
    int outcome = 0;
    call->done = false;
    if (entry) {
        cr_list_append(&entry->others, &wait->link);
        outcome = cr_sched_park(self, wait, &PENDING, call->until);
        if (!call->done)
            call_io(call)->world->ops->cancel(call_io(call)->world, &call->op);
    }
    if (!call->done) {
        cr_list_init(&wait->link);
        cr_sched_park_now(self, wait, entry ? &CANCELLED : &PENDING_FIRM, COIR_NEVER);
    }
    int64_t result = call->op.result;
    if (result == -EAGAIN && entry && entry->token != call->token)
        return -EBADF;
    return result == -ECANCELED && outcome < 0 ? outcome : result;
}

void cr_call_complete(uint64_t token, int64_t value)
{
    struct cr_call *call = CR_CONTAINER((struct cr_op *)(uintptr_t)token, struct cr_call, op);
    struct cr_fiber *fiber = call->self;
    call->op.result = value;
    call->done = true;
    if (fiber->wait == &call->wait.wait)
        cr_sched_wake(fiber, 0);
}

/* The only way into the world for a call. */
static int64_t call_start(struct cr_call *call)
{
    struct cr_world *world = call_io(call)->world;
    int64_t result = world->ops->start(world, &call->op);
    return CR_LIKELY(result != CR_PENDING) ? result : call_finish(call);
}

static bool call_vector_is_empty(const struct iovec *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (parts[i].iov_len > 0)
            return false;
    return true;
}

/* Nothing to move, or no valid place to move it: over at once, also where nothing can be read or
 * written. A message may be empty, and still is one. */
static bool call_has_no_bytes(const struct cr_call *call)
{
    const struct cr_op *op = &call->op;
    switch (op->kind) {
    case CR_OP_READ:
    case CR_OP_WRITE:
        return op->read.size == 0;
    case CR_OP_READV:
    case CR_OP_WRITEV:
        return !op->vector.parts || op->vector.count <= 0 || op->vector.count > IOV_MAX ||
               call_vector_is_empty(op->vector.parts, (size_t)op->vector.count);
    case CR_OP_RECV:
        return op->recv.size == 0 && op->recv.flags == 0;
    case CR_OP_SEND:
        return op->send.size == 0;
    case CR_OP_RECVMSG:
    case CR_OP_SENDMSG: {
        const struct msghdr *message = op->sendmsg.message;
        return !message || (op->sendmsg.flags == 0 && message->msg_controllen == 0 &&
                            (size_t)message->msg_iovlen <= IOV_MAX &&
                            call_vector_is_empty(message->msg_iov, (size_t)message->msg_iovlen));
    }
    default:
        return false;
    }
}

/* Whether what has no bytes has no message either. */
static bool call_is_stream(const struct cr_call *call)
{
    int type = SOCK_STREAM;
    socklen_t size = sizeof type;
    struct cr_op ask = {
        .kind = CR_OP_GETSOCKOPT,
        .at_once = true,
        .fd = call->op.fd,
        .option_out = {SOL_SOCKET, SO_TYPE, &type, &size},
    };
    struct cr_world *world = call_io(call)->world;
    return world->ops->start(world, &ask) < 0 || type == SOCK_STREAM;
}

/* Whether a try is not in vain: 0; -EAGAIN; or another error. */
static int call_may_try(struct cr_call *call)
{
    const struct call_trait *trait = &TRAITS[call->op.kind];
    const struct cr_fd *entry = call->entry;
    if (entry->owned) {
        bool may = entry->ready & call->mask || call->until == 0 || trait->always ||
                   call->by_pauses;
        return may || call_has_no_bytes(call) ? 0 : -EAGAIN;
    }
    if (!trait->asks || call_has_no_bytes(call))
        return 0;
    struct cr_world *world = call_io(call)->world;
    int ready = call->asked & ~ASKED;
    if (!(call->asked & ASKED))
        ready = world->ops->ready(world, call->op.fd, call->mask);
    call->asked = 0;
    return ready > 0 ? 0 : ready < 0 ? ready : -EAGAIN;
}

/* What a read that got nothing means: 0, the end of file; but a FIFO that no writer has opened yet
 * reads as if at its end: -EAGAIN; or an error. */
static int64_t call_judge_end(struct cr_call *call)
{
    struct cr_world *world = call_io(call)->world;
    if (call->mask != COIR_IN || !call->entry->owned || !(call->entry->kind & CR_FD_FIFO) ||
        call_has_no_bytes(call))
        return 0;
    int ready = world->ops->ready(world, call->op.fd, COIR_IN);
    return ready > 0 ? 0 : ready < 0 ? ready : -EAGAIN;
}

/* A connect that goes on in the kernel is asked about from then on. What was reported of the socket
 * before is over; but a stream that began earlier says 0 when it is connected, and may have
 * reported its end since. */
static int64_t call_note_connect(struct cr_call *call, int64_t result)
{
    struct cr_fd *entry = call->entry;
    bool goes_on = result == -EINPROGRESS || result == -EALREADY;
    if (result == -EINPROGRESS || (result == 0 && !(entry->kind & CR_FD_SHORT_EMPTIES)))
        cr_fd_connect(entry);
    if (goes_on)
        call->op.kind = CR_OP_CONNECTED;
    else if (result == -EAGAIN)
        call->by_pauses = true; /* the peer's queue is full, and readiness does not report it */
    return goes_on ? -EAGAIN : result;
}

/* How many bytes a read asked for; 0 where a short one proves nothing. */
static size_t call_asked_bytes(const struct cr_op *op)
{
    if (op->kind == CR_OP_READ)
        return op->read.size;
    return op->kind == CR_OP_RECV && op->recv.flags == 0 && !op->recv.addr ? op->recv.size : 0;
}

/* Asks the world, and corrects what is remembered by its answer. */
static int64_t call_ask(struct cr_call *call)
{
    struct cr_fd *entry = call->entry;
    call->op.foreign = !entry->owned;
    call->op.is_socket = entry->owned && entry->kind & CR_FD_SOCKET;
    int64_t result = call_start(call);
    if (entry->token != call->token)
        return result;
    if (call->op.kind == CR_OP_CONNECT)
        result = call_note_connect(call, result);
    if (result == 0)
        result = call_judge_end(call);
    if (result > 0 && (size_t)result < call_asked_bytes(&call->op))
        cr_fd_note_short(call_io(call), entry);
    return result;
}

static int64_t call_try(struct cr_call *call)
{
    int64_t result = call_may_try(call);
    if (result == 0)
        result = call_ask(call);
    if (result != -EAGAIN)
        return result;
    if (!call->aside && call->entry->token == call->token)
        cr_fd_unready(call_io(call), call->entry, call->mask);
    return call_has_no_bytes(call) && call_is_stream(call) ? 0 : -EAGAIN;
}

/* ---- wait ---- */

int cr_call_pause(struct cr_fiber *self, struct cr_fd *entry, struct cr_fd_wait *wait,
                  const struct cr_wait_kind *kind, uint64_t until)
{
    uint64_t token = entry->token;
    if (self->stop)
        return cr_sched_refuse(self);
    wait->entry = entry;
    wait->mask = 0;
    cr_list_append(&entry->others, &wait->wait.link);
    int woken = cr_sched_park_now(self, &wait->wait, kind, until);
    return entry->token != token && woken == -ETIMEDOUT ? -EBADF : woken;
}

/* Before the next try where readiness does not report when it is due: 0, or an error. */
static int call_back_off(struct cr_call *call)
{
    int pause_ms = call->pause_ms ? 2 * call->pause_ms : 1;
    call->pause_ms = (uint8_t)(pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
    uint64_t next = coir_after(COIR_MS(call->pause_ms));
    bool is_last = next >= call->until;
    int woken = cr_call_pause(call->self, call->entry, &call->wait, &BACK_OFF,
                              is_last ? call->until : next);
    return woken == -ETIMEDOUT && !is_last ? 0 : woken;
}

struct call_pair {
    struct cr_group group;
    struct cr_fd_wait waits[CR_FD_DIRECTIONS];
};

static void call_describe_pair(const struct cr_wait *wait, char *text, size_t size)
{
    const struct call_pair *pair = CR_CONTAINER(wait, struct call_pair, group.park);
    snprintf(text, size, "%d to be readable or writable", cr_fd_number(pair->waits[0].entry));
}

static const struct cr_wait_kind WAIT_FD_BOTH = {
    .name = "descriptor ",
    .woken = -EINTR,
    .expired = -ETIMEDOUT,
    .outside = true,
    .describe = call_describe_pair,
};

static bool call_any(struct cr_group *group, struct cr_wait *member)
{
    (void)group;
    (void)member;
    return true;
}

/* Waits in both directions at once. */
static CR_NOINLINE int call_park_both(struct cr_call *call)
{
    struct call_pair pair;
    struct cr_io *io = call_io(call);
    uint64_t token = call->entry->token;
    cr_group_init(&pair.group, call->self, call_any);
    for (int i = 0; i < CR_FD_DIRECTIONS; i++) {
        cr_group_join(&pair.group, &pair.waits[i].wait);
        cr_fd_hang_armed(io, call->entry, &pair.waits[i], 1 << i);
    }
    int woken = cr_sched_park_now(call->self, &pair.group.park, &WAIT_FD_BOTH, call->until);
    call->wait.again = true;
    for (int i = 0; i < CR_FD_DIRECTIONS; i++) {
        cr_group_remove(&pair.waits[i].wait);
        int result = pair.waits[i].wait.result;
        woken = woken < 0 ? woken : result < 0 ? result : woken | result;
        call->wait.again &= result == 0 || pair.waits[i].again;
    }
    return call->entry->token != token && woken >= 0 ? -EBADF : woken;
}

static int call_park(struct cr_call *call)
{
    const struct cr_wait_kind *kind = call->op.kind == CR_OP_READY ? &WAIT_FD : &cr_call_kind;
    if (call->mask == (COIR_IN | COIR_OUT))
        return call_park_both(call);
    cr_fd_hang_armed(call_io(call), call->entry, &call->wait, call->mask);
    return cr_call_park(call->self, call->entry, &call->wait, kind, call->until);
}

/* What cannot be polled is always ready: lets others run, so that a fiber that reads files does not
 * starve them. */
static int call_rest(struct cr_call *call)
{
    call->wait.again = false;
    cr_sched_rest(call->self);
    if (call->entry->token != call->token)
        return -EBADF;
    call->entry->ready |= call->mask;
    return call->mask;
}

/* Registers the descriptor, for this call if it is foreign. */
static int call_attach(struct cr_call *call)
{
    struct cr_io *io = call_io(call);
    if (call->entry->owned)
        return cr_fd_attach(io, call->entry);
    if (call->holds)
        return 0;
    int attached = cr_fd_hold(io, call->entry);
    call->holds = attached == 0;
    call->token = call->entry->token;
    return attached;
}

/* Waits for readiness: for what, 0 after a pause, or an error. Readiness that was disproved again
 * and again is not asked for without a pause; an edge is new each time. */
static int call_wait(struct cr_call *call)
{
    if (call->self->stop)
        return cr_sched_refuse(call->self);
    bool fooled = call->fooled >= FOOLED_MAX;
    if (call->by_pauses || (fooled && !call_io(call)->world->edges))
        return call_back_off(call);
    int attached = call_attach(call);
    if (attached == -EPERM)
        return fooled ? call_back_off(call) : call_rest(call);
    if (attached < 0)
        return attached;
    return call_park(call);
}

/* ---- all of it ---- */

static void call_end(struct cr_call *call)
{
    struct cr_fd *entry = call->entry;
    if (entry->token != call->token)
        return;
    entry->asides -= call->aside;
    cr_fd_pass_on(entry, call->mask);
    if (call->holds)
        cr_fd_release(call_io(call), entry);
}

/* Once more past the deadline, if it is still the same file. */
static CR_COLD int call_last_try(struct cr_call *call)
{
    call->until = 0;
    return cr_identity_check(call_io(call), call->entry) ? 0 : -EBADF;
}

static int64_t call_run(struct cr_call *call)
{
    int woken = 0;
    call->entry->asides += call->aside;
    for (;;) {
        int64_t result = call_try(call);
        if (CR_LIKELY(result != -EAGAIN))
            return result;
        if (call->until == 0)
            return -ETIMEDOUT;
        call->fooled = (uint8_t)(call->fooled + (woken > 0 && !call->wait.again));
        woken = call_wait(call);
        if (cr_call_is_late(call->self, call->entry, call->token, woken))
            woken = call_last_try(call);
        if (woken < 0)
            return woken;
        if (woken > 0 && call->op.kind == CR_OP_READY && !call->wait.again)
            return (woken | (call->entry->ready & COIR_HUP)) & (call->mask | COIR_HUP | COIR_ERR);
    }
}

int64_t cr_call_make(struct cr_call *call, const char *function, void *caller)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber(function, caller);
    call->self = self;
    call->mask = TRAITS[call->op.kind].mask;
    if (call->op.kind == CR_OP_READY)
        call->mask = (uint8_t)call->op.mask;
    int64_t result = call_begin(call);
    if (CR_UNLIKELY(result < 0))
        return result;
    result = call_run(call);
    call_end(call);
    if (result > 0)
        self->sched->progress = true;
    return result;
}

int64_t cr_call_now(struct cr_op *op, const char *function, void *caller)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none(function, caller);
    struct cr_io *io = cr_io_of(sched);
    if (CR_UNLIKELY(cr_io_is_own(io, op->fd)))
        return -EBADF;
    op->at_once = !cr_sched_self;
    if (op->at_once)
        return io->world->ops->start(io->world, op);
    struct cr_call call = {.op = *op, .self = cr_sched_self};
    return call_start(&call);
}
