/* The loop's turn, for those who run it: coir_sched_run and _step, and the freeing of a scheduler.
 * Nothing else runs on the thread's own stack between two fibers. */
#ifndef CR_LOOP_H
#define CR_LOOP_H

#include "../base/base.h"

struct coir_sched;
struct cr_run;

/* For calls that are made outside of fibers: 0; -ECHILD in a forked child; else it is misuse to
 * call with another thread's scheduler, in a fiber, or in a letter's function. */
CR_HIDDEN int cr_loop_own(struct coir_sched *sched, const char *function, void *caller);

/* One turn: fires what is due, takes in what the world tells, runs at most `budget` switches. With
 * `may_wait` it waits for the first of these when nothing is ready. Returns 0; -EDEADLK (only with
 * may_wait) when nothing is ready and nothing can become so, for the lack of fibers or because all
 * of them are parked; -ELOOP in a livelock; or the world's error. */
CR_HIDDEN int cr_loop_turn(struct cr_run *run, bool may_wait, int budget);

/* Runs until all fibers have ended (0), or an error as coir_run says, reported. */
CR_HIDDEN int cr_loop_run(struct cr_run *run);

#endif
