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

/* The directions that a call waits for. */
static uint8_t call_mask(const struct cr_op *op)
{
    static const uint8_t MASKS[CR_OP_READY] = {
        [CR_OP_READ] = COIR_IN,
        [CR_OP_WRITE] = COIR_OUT,
        [CR_OP_READV] = COIR_IN,
        [CR_OP_WRITEV] = COIR_OUT,
        [CR_OP_RECV] = COIR_IN,
        [CR_OP_SEND] = COIR_OUT,
        [CR_OP_RECVMSG] = COIR_IN,
        [CR_OP_SENDMSG] = COIR_OUT,
        [CR_OP_ACCEPT] = COIR_IN,
        [CR_OP_CONNECT] = COIR_OUT,
        [CR_OP_CONNECTED] = COIR_OUT,
    };
    if (op->kind != CR_OP_READY)
        return MASKS[op->kind];
    return op->mask == COIR_HUP ? COIR_IN : (uint8_t)op->mask;
}

/* ---- begin ---- */

/* Makes an entry for a number that has none, if it is open. */
static CR_COLD int call_enter(struct cr_call *call)
{
    struct cr_io *io = cr_call_io(call);
    int ready = io->world->ops->ready(io->world, call->op.fd, call->mask);
    if (ready < 0)
        return ready;
    call->entry = cr_fd_make(&io->fds, call->op.fd);
    return call->entry ? 0 : -ENOMEM;
}

/* Finds the entry. An owned one may stand for another file by now. */
int cr_call_find(struct cr_call *call)
{
    struct cr_io *io = cr_call_io(call);
    call->entry = cr_fd_find(&io->fds, call->op.fd);
    if (CR_UNLIKELY(!call->entry || !call->entry->owned)) {
        if (cr_io_is_own(io, call->op.fd))
            return -EBADF;
        int result = call->entry ? 0 : call_enter(call);
        if (result < 0)
            return result;
        call->tried = false;
    } else {
        for (int i = 0; i < CR_FD_DIRECTIONS && call->entry->owned; i++)
            if (call->mask & 1 << i)
                call->tried &= cr_identity_call(io, call->self, call->entry, i);
    }
    call->token = call->entry->token;
    return 0;
}

/* A due turn of the loop runs here, not between the kernel's answer and the return, when the answer
 * could go stale. The number may be closed meanwhile, and must be known for that to be seen. */
static CR_COLD int call_begin_rarely(struct cr_call *call)
{
    struct cr_fiber *self = call->self;
    if (self->cancelled)
        return cr_sched_refuse(self);
    int found = cr_call_find(call);
    call->tried = false;
    cr_sched_rest(self);
    if (self->cancelled)
        return cr_sched_refuse(self);
    if (found < 0)
        return found;
    return call->entry->token == call->token ? cr_call_find(call) : -EBADF;
}

CR_INLINE int call_begin(struct cr_call *call)
{
    if (CR_LIKELY(--call->self->sched->budget >= 0 && !call->self->cancelled))
        return cr_call_find(call);
    return call_begin_rarely(call);
}

/* ---- all of it ---- */

static void call_end(struct cr_call *call)
{
    struct cr_fd *entry = call->entry;
    if (entry->token != call->token)
        return;
    entry->asides -= call->aside;
    cr_fd_pass_on(entry, call->woken);
    if (call->holds)
        cr_fd_release(cr_call_io(call), entry);
}

/* Once more past the deadline, if it is still the same file. */
static CR_COLD int call_last_try(struct cr_call *call)
{
    call->until = COIR_TRY;
    return cr_identity_check(cr_call_io(call), call->entry) ? 0 : -EBADF;
}

/* Whether coir_wait_fd may return the event without asking the kernel: not if another fiber passed
 * it on, nor if a hang-up that was reported before may be over (a socket is hung up until it
 * connects or listens). A kernel without POLLRDHUP cannot be asked for the end of one direction. */
static bool call_may_answer(struct cr_call *call, int woken)
{
    if (cr_call_wants_hangup(call))
        return !CR_CALL_CAN_ASK && woken & COIR_HUP;
    return woken & call->mask && !call->wait.again && !(call->entry->ready & ~woken & COIR_HUP);
}

static int64_t call_run(struct cr_call *call)
{
    int woken = 0;
    call->entry->asides += call->aside;
    for (;;) {
        int64_t result = call->tried ? -EAGAIN : cr_io_try(call);
        call->tried = false;
        if (CR_LIKELY(result != -EAGAIN))
            return result;
        if (cr_is_try(call->until))
            return COIR_TIMED_OUT;
        if (woken > 0 && !call->wait.again && call->fooled < UINT8_MAX)
            call->fooled++;
        woken = cr_io_wait(call);
        if (woken > 0)
            call->woken |= (uint8_t)(woken & call->mask);
        if (cr_call_is_late(call->self, call->entry, call->token, woken))
            woken = call_last_try(call);
        if (woken < 0)
            return woken;
        if (call->op.kind == CR_OP_READY && call_may_answer(call, woken))
            return woken & (call->op.mask | COIR_HUP | COIR_ERR);
    }
}

int64_t cr_call_make(struct cr_call *call, const char *function, void *caller)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber(function, caller);
    call->self = self;
    call->mask = call_mask(&call->op);
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
    if (op->at_once) {
        int64_t result = io->world->ops->start(io->world, op);
        CR_ASSERT(result != CR_PENDING);
        return result;
    }
    struct cr_call call = {.op = *op, .self = cr_sched_self};
    return cr_io_start(&call);
}
