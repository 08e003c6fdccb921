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
} coir_mailbox;

/* A call to be made in the scheduler's thread. The caller owns the memory: begin with
 * `coir_letter letter = {.fn = f, .arg = a};`, so that the rest is 0, and let it stay where it is
 * from the post to the call. A fiber whose own stack holds it waits for the call under a shield
 * (coir_scope_open), or a stop would end its wait too early. */
typedef struct coir_letter {
    void (*fn)(void *arg);    /* is called by the loop, outside fibers; it may do all but park */
    void *arg;                /* its argument */
    struct coir_letter *next; /* coir's */
    int posted;               /* coir's */
} coir_letter;

/* Opens the scheduler's mailbox, or gives the one that is open again. While it is open, the
 * scheduler waits for posts: coir_run and coir_sched_run do not end, though all fibers have.
 * Returns 0, -EMFILE, -ENFILE, -ENOMEM, -ENOSPC. Callable anywhere in the scheduler's thread. Never
 * parks. */
COIR_API int coir_mailbox_open(coir_mailbox *mailbox);

/* Closes it, when called as often as coir_mailbox_open: then calls what was posted, and later posts
 * are -ESRCH. It waits for posts that other threads are in the middle of. coir_sched_free closes
 * it after the fibers have ended. Returns 0, or -ESRCH for one that is closed. Callable anywhere in
 * the scheduler's thread. Never parks. */
COIR_API int coir_mailbox_close(coir_mailbox mailbox);

/* Posts a letter: the loop's next turn calls letter->fn(letter->arg), after what was posted before.
 * A letter that is posted again before it is called is called once, after the later post. When the
 * call begins the letter is its owner's again. Callable in any thread, and in signal handlers; it
 * allocates nothing, takes no lock, and makes one system call where the scheduler waits, else none.
 * Returns 0, and the call will be made; -ESRCH when the mailbox is closed, and it will not. A
 * letter without function, or whose rest did not begin as 0, is a mistake. */
COIR_API int coir_post(coir_mailbox mailbox, coir_letter *letter);

#ifdef __cplusplus
}
#endif
#endif
