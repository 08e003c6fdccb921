/* A call: the one record of it, on its caller's stack, from the first try to the result. Every call
 * on a descriptor goes this way (read and write have a fast path in front, fast.c), so each rule
 * is kept in one place, whatever the call, whoever owns the descriptor, and in every world. */
#ifndef CR_CALL_H
#define CR_CALL_H

#include "io.h"

#include <poll.h>

/* Whether poll(2) knows that the other side will send no more. */
#if defined(POLLRDHUP) && POLLRDHUP
enum { CR_CALL_CAN_ASK = true };
#else
enum { CR_CALL_CAN_ASK = false };
#endif

struct cr_call {
    struct cr_op op; /* what the world is asked; its address is a pending operation's token */
    coir_time until;
    bool aside;      /* what it asks for is not what others get, so its EAGAIN proves nothing */
    bool by_pauses;  /* readiness does not report when to try again */
    bool holds;      /* a foreign descriptor's registration */
    bool done;       /* a pending operation is over */
    bool tried;      /* the fast path has just got EAGAIN, so the first try is left out */
    uint8_t mask;    /* the directions it waits for */
    uint8_t woken;   /* those whose event it took: at its end, what is still ready is passed on */
    uint8_t fooled;  /* how often in a row readiness was reported and disproved */
    uint8_t pause_ms; /* the last back-off */
    uint64_t token;  /* the entry's, when the call found it */
    struct cr_fiber *self;
    struct cr_fd *entry;
    struct cr_fd_wait wait;
};

CR_INLINE struct cr_io *cr_call_io(const struct cr_call *call)
{
    return cr_io_of(call->self->sched);
}

/* coir_wait_fd with COIR_HUP alone: it is woken by all that a reader is, and waits on. */
CR_INLINE bool cr_call_wants_hangup(const struct cr_call *call)
{
    return call->op.kind == CR_OP_READY && call->op.mask == COIR_HUP;
}

/* Makes a call as soon as it can be made: its result, or an error. Parks. */
CR_HIDDEN int64_t cr_call_make(struct cr_call *call, const char *function, void *caller);

/* Makes a call that never has to wait for a descriptor. In a fiber, an operation that the world has
 * under way is waited for, whatever happens. */
CR_HIDDEN int64_t cr_call_now(struct cr_op *op, const char *function, void *caller);

/* Finds the entry of a call's descriptor, makes one where there is none: 0, or an error. */
CR_HIDDEN int cr_call_find(struct cr_call *call);

/* ---- try.c ---- */

/* One try: a result, -EAGAIN, or another error. */
CR_HIDDEN int64_t cr_io_try(struct cr_call *call);

/* Starts a call's operation in the world, and waits for it if it is pending. */
CR_HIDDEN int64_t cr_io_start(struct cr_call *call);

/* The end of an operation that a world said was pending. */
CR_HIDDEN void cr_io_complete(uint64_t token, int64_t value);

/* Of a wait of a call: "NUMBER". */
CR_HIDDEN void cr_io_describe(const struct cr_wait *wait, char *text, size_t size);

/* ---- wait.c ---- */

/* Waits for the next try: for what it is ready, 0 after a pause, or an error. */
CR_HIDDEN int cr_io_wait(struct cr_call *call);

/* Waits without being woken by readiness, until `until` or coir_close: COIR_TIMED_OUT, -EBADF or
 * COIR_CANCELLED. */
CR_HIDDEN int cr_io_pause(struct cr_fiber *self, struct cr_fd *entry, struct cr_fd_wait *wait,
                          const struct cr_wait_kind *kind, coir_time until);

/* The kind of a wait for readiness on behalf of a call. */
extern CR_HIDDEN const struct cr_wait_kind cr_io_readiness;

/* Parks in a wait that is linked to a descriptor: what it is ready for, or why not. */
CR_INLINE int cr_call_park(struct cr_fiber *self, struct cr_fd *entry, struct cr_fd_wait *wait,
                           const struct cr_wait_kind *kind, coir_time until)
{
    uint64_t token = entry->token;
    int woken = cr_sched_park_now(self, &wait->wait, kind, until);
    if (CR_UNLIKELY(entry->token != token))
        return woken < 0 ? woken : -EBADF;
    return woken;
}

/* Whether a deadline has ended a wait, and the call is to be tried once more: what came since the
 * loop last ran is known to the kernel alone, and what can be done is done also past the
 * deadline. */
CR_INLINE bool cr_call_is_late(const struct cr_fiber *self, const struct cr_fd *entry,
                               uint64_t token, int woken)
{
    return woken == COIR_TIMED_OUT && entry->token == token && !self->cancelled;
}

#endif
