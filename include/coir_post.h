/* coir_post.h: how other threads, and signal handlers, reach a scheduler. What coir.h says of all
 * calls holds here too. */
#ifndef COIR_POST_H
#define COIR_POST_H

#include "coir.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where other threads, and signal handlers, reach a scheduler. A value, as a fiber's handle is. */
typedef struct coir_mailbox {
    uint32_t slot;       /* coir's */
    uint32_t generation; /* coir's */
    uint32_t kind;       /* coir's */
} coir_mailbox;

enum {
    COIR_WEAK = 1 /* it keeps no run from its end, and no fiber that waits from being a deadlock */
};

/* A call to be made in the scheduler's thread. The caller owns the memory: begin with
 * `coir_letter letter = {.fn = f, .arg = a};`, so that the rest is 0, and let it stay where it is
 * from the post to the call. If the letter is on a fiber's stack, that fiber must wait for the call
 * under a shield, and the mailbox must not be weak: a cancel or the end of the run could otherwise
 * end the wait, and the stack frame, before the call. */
typedef struct coir_letter {
    void (*fn)(void *arg);    /* called by the loop, outside any fiber; must not park, call
                                 coir_sched_run, _step, _deadline, _fd or _free, nor be left by a
                                 jump or an exception */
    void *arg;                /* its argument */
    struct coir_letter *next; /* coir's */
    int posted;               /* coir's */
} coir_letter;

/* Opens the scheduler's mailbox; if it is open, returns the same one. Each open needs its own
 * close. `kind` is 0 or COIR_WEAK. While one is open that is not weak, the scheduler waits for
 * posts: coir_run and coir_sched_run do not end, though all fibers have. (A virtual clock goes
 * on to the next deadline, whatever threads are about to post.) Returns 0, -EMFILE, -ENFILE,
 * -ENOMEM, -ENOSPC; -EINVAL for another kind. Callable anywhere in the scheduler's thread. Never
 * parks. */
COIR_API int coir_mailbox_open(coir_mailbox *mailbox, int kind);

/* Undoes one coir_mailbox_open. The last one closes: later posts return -ESRCH, posts in progress
 * are waited for, and every letter already posted is called. coir_sched_free closes it after the
 * fibers have ended. Returns 0, or -ESRCH for one that is closed. Callable anywhere in the
 * scheduler's thread. Never parks. */
COIR_API int coir_mailbox_close(coir_mailbox mailbox);

/* Posts a letter: the loop's next turn calls letter->fn(letter->arg), after what was posted before
 * (256 calls a turn at most). A letter that is posted again before it is called is called once,
 * after the later post. When `fn` starts, the owner may already reuse or free the letter.
 * Callable in any thread, and in signal handlers; it allocates nothing, takes no lock, and makes
 * one system call where the scheduler waits, else none. Returns 0, and the call will be made;
 * -ESRCH when the mailbox is closed, and it will not. A letter without function, or whose other
 * members were not 0, is misuse. */
COIR_API int coir_post(coir_mailbox mailbox, coir_letter *letter);

#ifdef __cplusplus
}
#endif
#endif
