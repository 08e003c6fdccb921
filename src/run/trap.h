/* The signals that coir answers for, where the program left the default: SIGPIPE is ignored by a
 * handler (which an exec'ed program does not inherit), SIGSEGV and SIGBUS on a guard page are
 * reported as the overflow they are. One set for the process, counted by schedulers; a signal stack
 * for each thread. */
#ifndef CR_TRAP_H
#define CR_TRAP_H

#include "../base/base.h"

/* 0, or -ENOMEM. */
CR_HIDDEN int cr_trap_set(void);
CR_HIDDEN void cr_trap_reset(void);

/* In a forked child, under the lock: the schedulers that wanted handlers were the parent's. */
CR_HIDDEN void cr_trap_abandon(void);

#endif
