/* One try of a call: whether it may be made, the world's answer, and what the answer says of the
 * descriptor. An operation that the world has under way is waited for here, whoever began it. */
#include "call.h"

#include <limits.h>
#include <stdio.h>

#ifndef MSG_ERRQUEUE
#define MSG_ERRQUEUE 0
#endif

/* With these a call of no bytes still asks for something. */
enum { FLAGS_OF_MORE = MSG_OOB | MSG_ERRQUEUE };

/* ---- an operation under way ---- */

void cr_io_describe(const struct cr_wait *wait, char *text, size_t size)
{
    const struct cr_call *call = CR_CONTAINER(wait, struct cr_call, wait.wait);
    snprintf(text, size, "%d", call->op.fd);
}

static const struct cr_wait_kind PENDING = {
    .name = "an operation on descriptor ",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
    .outside = true,
    .describe = cr_io_describe,
};

static const struct cr_wait_kind CANCELLED = {
    .name = "the end of a cancelled operation on descriptor ",
    .woken = -EBUSY,
    .firm = true,
    .outside = true,
    .describe = cr_io_describe,
};

/* Of a call that is no cancellation point. */
static const struct cr_wait_kind PENDING_FIRM = {
    .name = "an operation on descriptor ",
    .woken = -EBUSY,
    .firm = true,
    .outside = true,
    .describe = cr_io_describe,
};

/* Waits for a pending operation. Its buffer is the caller's, so the call cannot return before the
 * event, cancelled or not; what the operation did is reported in any case. */
static CR_COLD int64_t try_finish(struct cr_call *call)
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
            cr_call_io(call)->world->ops->cancel(cr_call_io(call)->world, &call->op);
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

_Static_assert(_Alignof(struct cr_op) >= CR_TOKEN_KINDS, "a token's lowest bits are its kind");

void cr_io_complete(uint64_t token, int64_t value)
{
    struct cr_call *call = CR_CONTAINER((struct cr_op *)(uintptr_t)token, struct cr_call, op);
    struct cr_fiber *fiber = call->self;
    call->op.result = value;
    call->done = true;
    if (fiber->wait == &call->wait.wait)
        cr_sched_wake(fiber, 0);
}

int64_t cr_io_start(struct cr_call *call)
{
    struct cr_world *world = cr_call_io(call)->world;
    int64_t result = world->ops->start(world, &call->op);
    return CR_LIKELY(result != CR_PENDING) ? result : try_finish(call);
}

/* ---- a try ---- */

static bool try_vector_is_empty(const struct iovec *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (parts[i].iov_len > 0)
            return false;
    return true;
}

/* Nothing to move, or no valid place to move it: over at once, also where nothing can be read or
 * written. A message may be empty, and still is one. */
static bool try_has_no_bytes(const struct cr_call *call)
{
    const struct cr_op *op = &call->op;
    switch (op->kind) {
    case CR_OP_READ:
    case CR_OP_WRITE:
        return op->read.size == 0;
    case CR_OP_READV:
    case CR_OP_WRITEV:
        return !op->vector.parts || op->vector.count <= 0 || op->vector.count > IOV_MAX ||
               try_vector_is_empty(op->vector.parts, (size_t)op->vector.count);
    case CR_OP_RECV:
        return op->recv.size == 0 && !(op->recv.flags & FLAGS_OF_MORE);
    case CR_OP_SEND:
        return op->send.size == 0 && !(op->send.flags & FLAGS_OF_MORE);
    case CR_OP_RECVMSG:
    case CR_OP_SENDMSG: {
        const struct msghdr *message = op->sendmsg.message;
        return !message || (!(op->sendmsg.flags & FLAGS_OF_MORE) && message->msg_controllen == 0 &&
                            (size_t)message->msg_iovlen <= IOV_MAX &&
                            try_vector_is_empty(message->msg_iov, (size_t)message->msg_iovlen));
    }
    default:
        return false;
    }
}

/* Whether what has no bytes has no message either. */
static bool try_is_stream(const struct cr_call *call)
{
    int type = SOCK_STREAM;
    socklen_t size = sizeof type;
    struct cr_op ask = {
        .kind = CR_OP_GETSOCKOPT,
        .at_once = true,
        .fd = call->op.fd,
        .option_out = {SOL_SOCKET, SO_TYPE, &type, &size},
    };
    struct cr_world *world = cr_call_io(call)->world;
    int64_t result = world->ops->start(world, &ask);
    CR_ASSERT(result != CR_PENDING);
    return result < 0 || type == SOCK_STREAM;
}

/* Whether a try would be in vain, by what is remembered. Only a plain read's may be: a write is
 * always tried, because a smaller one than the last may fit. */
static bool try_is_in_vain(const struct cr_call *call)
{
    const struct cr_fd *entry = call->entry;
    if (call->mask != COIR_IN || call->op.kind == CR_OP_READY || call->aside)
        return false;
    return entry->owned && !(entry->ready & CR_READABLE) && !cr_is_try(call->until) &&
           call->pause_ms == 0 && !try_has_no_bytes(call);
}

/* What a read that got nothing means: 0, the end of file; but a FIFO that no writer has opened yet
 * reads as if at its end: -EAGAIN; or an error. */
static int64_t try_judge_end(struct cr_call *call)
{
    struct cr_world *world = cr_call_io(call)->world;
    if (call->mask != COIR_IN || !call->entry->owned || !(call->entry->kind & CR_FD_FIFO) ||
        try_has_no_bytes(call))
        return 0;
    int ready = world->ops->ready(world, call->op.fd, COIR_IN);
    return ready > 0 ? 0 : ready < 0 ? ready : -EAGAIN;
}

/* A connect that goes on in the kernel is asked about from then on. What was reported of the socket
 * before is over; but a stream that began earlier says 0 when it is connected, and may have
 * reported its end since. */
static int64_t try_note_connect(struct cr_call *call, int64_t result)
{
    struct cr_fd *entry = call->entry;
    bool goes_on = result == -EINPROGRESS || result == -EALREADY;
    if (result == -EINPROGRESS || (result == 0 && !(entry->kind & CR_FD_SHORT_EMPTIES)))
        cr_fd_connect(entry);
    if (goes_on)
        call->op.kind = CR_OP_CONNECTED;
    call->by_pauses = result == -EAGAIN; /* the peer's queue is full, which no readiness reports */
    return goes_on ? -EAGAIN : result;
}

/* How many bytes a read asked for; 0 where a short one proves nothing. */
static size_t try_asked_bytes(const struct cr_op *op)
{
    if (op->kind == CR_OP_READ)
        return op->read.size;
    return op->kind == CR_OP_RECV && op->recv.flags == 0 && !op->recv.addr ? op->recv.size : 0;
}

/* Asks the world, and corrects what is remembered by its answer. */
static int64_t try_ask(struct cr_call *call)
{
    struct cr_fd *entry = call->entry;
    call->op.foreign = !entry->owned;
    call->op.is_socket = entry->owned && entry->kind & CR_FD_SOCKET;
    int64_t result = cr_io_start(call);
    if (entry->token != call->token)
        return result;
    if (call->op.kind == CR_OP_CONNECT)
        result = try_note_connect(call, result);
    if (result == 0)
        result = try_judge_end(call);
    if (result > 0 && (size_t)result < try_asked_bytes(&call->op))
        cr_fd_note_short(cr_call_io(call), entry);
    return result;
}

static bool try_is_by_name(const struct cr_op *op)
{
    return (op->kind == CR_OP_SEND && op->send.addr) ||
           (op->kind == CR_OP_SENDMSG && op->sendmsg.message && op->sendmsg.message->msg_name);
}

/* What an EAGAIN proves. Of a send by name nothing, if the socket is writable: the queue of the
 * named one is full. Of coir_wait_fd not that a read would find nothing. */
static void try_note_unready(struct cr_call *call)
{
    struct cr_fd *entry = call->entry;
    struct cr_world *world = cr_call_io(call)->world;
    int mask = call->mask;
    if (call->op.kind != CR_OP_READY)
        mask |= mask & COIR_IN ? CR_DOUBT : 0;
    else if (entry->ready & mask & COIR_IN)
        entry->ready |= CR_DOUBT;
    if (try_is_by_name(&call->op))
        call->by_pauses = world->ops->ready(world, call->op.fd, COIR_OUT) > 0;
    if (!call->aside && !call->by_pauses)
        cr_fd_unready(cr_call_io(call), entry, mask);
}

/* Elsewhere than on Linux a Unix datagram whose receiver has no room is refused at once, and no
 * readiness says when there is some. */
static bool try_is_refused(const struct cr_call *call)
{
    struct cr_world *world = cr_call_io(call)->world;
    struct sockaddr_storage name;
    int type = 0;
    socklen_t size = sizeof type, name_size = sizeof name;
    struct cr_op ask_type = {.kind = CR_OP_GETSOCKOPT, .fd = call->op.fd,
                             .option_out = {SOL_SOCKET, SO_TYPE, &type, &size}};
    struct cr_op ask_name = {.kind = CR_OP_GETSOCKNAME, .fd = call->op.fd,
                             .name_out = {(struct sockaddr *)&name, &name_size}};
    return call->mask == COIR_OUT && world->ops->start(world, &ask_type) == 0 &&
           world->ops->start(world, &ask_name) == 0 && type == SOCK_DGRAM &&
           name.ss_family == AF_UNIX;
}

int64_t cr_io_try(struct cr_call *call)
{
    int64_t result = try_is_in_vain(call) ? -EAGAIN : try_ask(call);
    if (result == -ENOBUFS && call->entry->token == call->token && try_is_refused(call)) {
        call->by_pauses = true;
        return -EAGAIN;
    }
    if (result != -EAGAIN)
        return result;
    if (call->entry->token == call->token)
        try_note_unready(call);
    return try_has_no_bytes(call) && try_is_stream(call) ? 0 : -EAGAIN;
}
