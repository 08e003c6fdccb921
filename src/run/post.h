/* What other threads and signal handlers have posted to a scheduler, for its loop, which delivers
 * it once a turn. */
#ifndef CR_POST_H
#define CR_POST_H

#include "../base/base.h"

#include "../../include/coir_post.h"

struct cr_run;

/* A scheduler's side of its mailbox. */
struct cr_post {
    struct cr_mailbox *box; /* NULL: it has none */
    uint32_t slot, generation;
    uint32_t opens, strong; /* opens that were not closed yet; those that are not weak */
    bool kept;            /* though it be not open, see cr_post_keep */
    int index;            /* of the bell, in the world */
    coir_letter *letters; /* taken out of the box and not called yet, the oldest first */
    coir_letter **letters_end;
};

CR_HIDDEN void cr_post_init(struct cr_post *post);

/* Before the loop waits: true when no letter waits for its call; from then on a post rings the
 * bell. */
CR_HIDDEN bool cr_post_doze(struct cr_post *post);

/* Calls letters that have come, as many as a turn takes in; whether any had. One of them may have
 * forked. */
CR_HIDDEN bool cr_post_deliver(struct cr_run *run);

/* Registers the bell again, if there is one: whether that went well. */
CR_HIDDEN CR_COLD bool cr_post_attach_again(struct cr_run *run);

/* The world has reported that the bell was rung. */
CR_HIDDEN void cr_post_hush(struct cr_run *run);

/* From now on the scheduler has a box until it is freed, open or not, for letters that its own
 * fibers wait for: 0, -EMFILE, -ENFILE, -ENOMEM, -ENOSPC. */
CR_HIDDEN int cr_post_keep(struct cr_run *run);

/* Puts a letter into a box that is kept, and will be at least until the letter's call. In any
 * thread. */
CR_HIDDEN void cr_post_hand(struct cr_mailbox *box, coir_letter *letter);

/* Closes the box, if there is one, and calls what is in it: 0, or -ECHILD in a child that a letter
 * has forked. */
CR_HIDDEN int cr_post_fini(struct cr_run *run);

/* In a forked child: all boxes are the parent's, of whatever thread. */
CR_HIDDEN void cr_post_abandon(void);

#endif
