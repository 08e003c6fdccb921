/* coir_loop.h: the event loop alone, for programs that have one of their own: it says which
 * descriptors are ready, and calls nobody. It needs no fibers and no scheduler; it may stand beside
 * one in the same thread.
 *
 *     coir_loop *loop;
 *     struct coir_loop_event events[64];
 *     coir_loop_open(&loop, COIR_WORLD_DEFAULT);
 *     coir_loop_add_read(loop, fd, connection);
 *     for (;;) {
 *         int count = coir_loop_wait(loop, events, 64, coir_loop_after(COIR_SEC(1)));
 *         for (int i = 0; i < count; i++)
 *             serve(events[i].user, events[i].flags);
 *     }
 *
 * What coir.h says of results, times and forks holds here too, but:
 *  - A loop belongs to the thread that waits. Only coir_loop_wake may be called elsewhere. Any
 *    number of loops are independent of each other.
 *  - `until` is a deadline on the monotonic clock, coir_loop_now; COIR_TRY: do not wait.
 *  - Nothing parks: in a fiber, a wait holds up all fibers of the thread.
 *  - In a forked child, -ECHILD is the answer for a loop of the parent's; only coir_loop_close may
 *    be called on it, and releases the child's copy.
 *  - A loop, place or array that is NULL is -EINVAL.
 *
 * Readiness is level-triggered: every wait reports a direction until it is not ready or is deleted.
 * Reading and writing are independent, each with a user pointer. A registration belongs to an open
 * file: delete it before the descriptor is closed. After a close without that, deleting is
 * harmless, and so is adding the number again for another file. */
#ifndef COIR_LOOP_H
#define COIR_LOOP_H

#include "coir_io.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An event loop. */
typedef struct coir_loop coir_loop;

enum {
    COIR_LOOP_WAKE = 32 /* beside COIR_IN …: coir_loop_wake was called */
};

/* One direction of a descriptor that is ready, or a wake. */
struct coir_loop_event {
    int fd;       /* -1: a wake */
    int flags;    /* COIR_IN, COIR_OUT or COIR_LOOP_WAKE; with COIR_HUP and COIR_ERR where they
                     hold */
    void *user;   /* as it was added */
    size_t bytes; /* of COIR_IN: how many can be read, as far as the system says (FIONREAD); else
                     0. A listening socket has 0 */
};

/* ---- life ------------------------------------------------------------------------------------ */

/* Opens a loop over a world: what the kernel is asked by. Its descriptors are closed on exec.
 * Returns 0, -ENOMEM, -EMFILE, -ENFILE, or -ENOSYS for a world that this system lacks. */
COIR_API int coir_loop_open(coir_loop **loop, enum coir_world world);

/* Closes it and releases all that it has; the descriptors that were added stay open. NULL is
 * ignored. */
COIR_API void coir_loop_close(coir_loop *loop);

/* ---- interest -------------------------------------------------------------------------------- */

/* Registers a descriptor for reading. Adding it again replaces the user pointer. End of file,
 * hang-up and error count as ready, flagged COIR_HUP and COIR_ERR, and are reported until
 * deleted. What cannot be polled (a regular file, a directory, /dev/null) is always ready.
 * Returns 0; -EBADF for a number that is not open; -ENOMEM, -ENOSPC; -EMFILE or -ENFILE at a
 * loop's first; or what the system says. After an error nothing has changed. */
COIR_API int coir_loop_add_read(coir_loop *loop, int fd, void *user);
/* Registers a descriptor for writing; see coir_loop_add_read. A connect that has ended is reported,
 * with COIR_ERR when it failed. */
COIR_API int coir_loop_add_write(coir_loop *loop, int fd, void *user);

/* Ends what coir_loop_add_read began; no event tells of it afterwards. Returns 0; -ENOENT when it
 * was not added; -EBADF for a negative number. */
COIR_API int coir_loop_del_read(coir_loop *loop, int fd);
/* See coir_loop_del_read. */
COIR_API int coir_loop_del_write(coir_loop *loop, int fd);

/* ---- wakes ----------------------------------------------------------------------------------- */

/* Has the loop report wakes, also one that came before. Adding it again replaces the user pointer.
 * Returns as coir_loop_add_read. */
COIR_API int coir_loop_add_wake(coir_loop *loop, void *user);

/* Ends the loop's wait, or the next one if it is in none, with an event flagged COIR_LOOP_WAKE.
 * Wakes that come before that event are one. Returns 0. Callable in any thread and in signal
 * handlers, while the loop is open. */
COIR_API int coir_loop_wake(coir_loop *loop);

/* ---- waiting --------------------------------------------------------------------------------- */

/* Waits until something is ready, and fills in at most `most` events in no particular order: one
 * for each direction of each descriptor, one for all wakes. Ready descriptors beyond `most`, or
 * beyond what one wait collects, are reported by the next waits. Returns how many; 0: `until`
 * has come. A signal handler that runs meanwhile neither ends the wait nor prolongs it. Errors:
 * -EINVAL for no room; or that with which the system refused, such as -ENOMEM; the next wait
 * tries again. */
COIR_API int coir_loop_wait(coir_loop *loop, struct coir_loop_event *events, int most,
                            coir_time until);

/* What the monotonic clock shows. Needs no loop. */
COIR_API coir_time coir_loop_now(void);

/* The instant that is `duration_ns` from now, as coir_after. Needs no loop. */
COIR_API coir_time coir_loop_after(int64_t duration_ns);

#ifdef __cplusplus
}
#endif
#endif
