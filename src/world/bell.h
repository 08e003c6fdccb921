/* A bell: how other threads and signal handlers end a wait in the world. It is a descriptor that is
 * readable from the first ring until it is hushed. All of it may be called in a signal handler. */
#ifndef CR_BELL_H
#define CR_BELL_H

#include "../base/base.h"

struct cr_bell {
    int heard; /* to be waited for; closed on exec, non-blocking */
    int rung;  /* the other end, or the same */
};

/* 0, -EMFILE, -ENFILE, -ENOMEM. */
CR_HIDDEN int cr_bell_open(struct cr_bell *bell);
CR_HIDDEN void cr_bell_ring(const struct cr_bell *bell);
CR_HIDDEN void cr_bell_hush(const struct cr_bell *bell);
CR_HIDDEN void cr_bell_close(const struct cr_bell *bell);

#endif
