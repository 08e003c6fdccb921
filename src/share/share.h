/* What is shared between threads: one lock, and those who wait. Who waits is a fiber, a case of a
 * fiber's select, or a thread without scheduler; each has a record on its own stack, which hangs in
 * one of the thing's two rings.
 *
 * Whoever changes the thing settles it under the lock: he serves those who can be served, in the
 * order in which they came, and takes their records off. They are woken after that, a fiber by a
 * letter to its scheduler, and its record stays until the letter was called. So whose deadline or
 * cancel comes first either still hangs, and takes his record off, or has been served.
 *
 * A case of a select is not served, because another case may be over already: it is only taken off
 * and sent for, to try for itself. What it was sent for is reserved from those behind it.
 *
 * Invariant: when the lock is free, nobody hangs who could be served, but by what is reserved. */
#ifndef CR_SHARE_H
#define CR_SHARE_H

#include "../core/sched.h"

#include "../../include/coir_post.h"
#include "../../include/coir_shared.h"

#include <pthread.h>

struct cr_mailbox;
struct cr_share;

/* Which ring. */
enum cr_share_side { CR_SHARE_TAKES, CR_SHARE_GIVES };

struct cr_share {
    pthread_mutex_t lock;
    /* Serves who can be served. NULL: the thing is not open. */
    void (*settle)(struct cr_share *share);
    struct cr_list waiting[2];
    size_t plain[2];       /* how many of them are no cases */
    size_t reserved[2];    /* for cases that were sent for and have not tried yet */
    size_t cases;          /* of selects that have not left it */
    struct cr_list served; /* fibers that are to be woken when the lock is free */
    unsigned int forks; /* cr_leave_forks, when it was opened */
};

/* One thing to do that may have to wait, by a call or as a case of a select. */
struct cr_share_verb {
    const char *function; /* for the line about misuse */
    enum cr_share_side side;
    /* Under the lock: 0, it is done; COIR_TIMED_OUT, it must wait; another error. */
    int (*attempt)(struct cr_share *share, void *item);
    struct cr_wait_kind kind;
    struct coir_source source;
};

/* What all verbs have in common; `what` is what one waits for, for reports. */
#define CR_SHARE_WAITS_FOR(what)                                                                   \
    .kind = {.name = (what),                                                                       \
             .woken = -EBUSY,                                                                      \
             .expired = COIR_TIMED_OUT,                                                            \
             .outside = true,                                                                      \
             .given_up = cr_share_give_up},                                                        \
    .source = {(what), cr_share_case_attempt, cr_share_case_hang, cr_share_case_leave}

struct cr_share_waiter {
    struct cr_list link; /* in its ring, among those who were served, or on its own */
    void *item;
    struct cr_mailbox *box; /* of its scheduler; NULL: it is a thread */
    coir_letter letter;     /* whose function is NULL once it was called */
    int result;
    uint8_t side;
    bool served;  /* taken off by somebody else; its letter was called, or will be */
    bool is_case; /* which is not served, only sent for */
    bool reserves;
};

/* For opening and freeing: 0, or -ENOMEM; and whether there is something to free. */
CR_HIDDEN int cr_share_init(struct cr_share *share, void (*settle)(struct cr_share *share));
CR_HIDDEN bool cr_share_fini(struct cr_share *share, const char *function, void *caller);

/* Does it, or waits until somebody has done it. Parks. */
CR_HIDDEN int cr_share_do(struct cr_share *share, const struct cr_share_verb *verb, void *item,
                          coir_time until, void *caller);

/* Begins a change: false in a forked child. Ends it, and wakes who can be served. */
CR_HIDDEN bool cr_share_begin(struct cr_share *share, const char *function, void *caller);
CR_HIDDEN void cr_share_end(struct cr_share *share);

/* Under the lock: the first who waits, or NULL. */
CR_INLINE struct cr_share_waiter *cr_share_first(struct cr_share *share, enum cr_share_side side)
{
    struct cr_list *ring = &share->waiting[side];
    return cr_list_empty(ring) ? NULL : CR_CONTAINER(ring->next, struct cr_share_waiter, link);
}

/* Under the lock: the first who can be served, where there is something for as many as that; cases
 * before him are sent for, and it is reserved for them. NULL: nobody can be. */
CR_HIDDEN struct cr_share_waiter *cr_share_next(struct cr_share *share, enum cr_share_side side,
                                                uint64_t available);

/* Under the lock: takes one who waits off, with the result of its call. */
CR_HIDDEN void cr_share_serve(struct cr_share *share, struct cr_share_waiter *waiter, int result);

/* The same for a case, for which something is reserved. */
CR_HIDDEN void cr_share_send_for(struct cr_share *share, struct cr_share_waiter *waiter);

/* The functions of a verb. */
CR_HIDDEN void cr_share_give_up(struct cr_wait *wait);
CR_HIDDEN int cr_share_case_attempt(coir_case *it);
CR_HIDDEN void cr_share_case_hang(coir_case *it);
CR_HIDDEN void cr_share_case_leave(coir_case *it);

#endif
