/* coir_shared.h: what fibers of several threads, and threads without fibers, use together:
 * channels, semaphores, events. What coir.h says of all calls holds here too.
 *
 *     static coir_shared_chan jobs;   // opened before the thread began, freed after it has ended
 *     static void *worker(void *arg)  // a thread without fibers
 *     {
 *         int job;
 *         while (coir_shared_chan_recv(&jobs, &job, COIR_NEVER) == 0)
 *             printf("%d\n", job * job);
 *         return arg;
 *     }
 *     static int giver(void *arg)     // a fiber
 *     {
 *         int result = 0;
 *         (void)arg;
 *         for (int job = 1; job <= 3 && result == 0; job++)
 *             result = coir_shared_chan_send(&jobs, &job, COIR_NEVER);
 *         coir_shared_chan_close(&jobs);
 *         return result;
 *     }
 *
 * Who may call. Any thread may make any of these calls, in a fiber or where it has no scheduler; a
 * thread that has one makes those that park in a fiber (with COIR_TRY anywhere). A fiber parks, and
 * its thread runs others. A thread without scheduler blocks, to the end of the call though it be
 * cancelled; its deadlines are made by coir_loop_after. No call may be made in a signal handler:
 * post a letter there (coir_post.h). In a forked child every call on what the parent opened is
 * -ECHILD.
 *
 * Cost. Each call takes a lock for as long as an item is copied; the caller's thread waits for it.
 * To wake a fiber of another thread takes a system call where that thread waits in the kernel, else
 * none. Where one thread is enough coir_chan.h and coir_sync.h cost a tenth.
 *
 * A fiber that waits here may be woken from outside: so this is no deadlock, and the run waits. The
 * first wait in a scheduler asks for a descriptor: any call that parks may return -EMFILE, -ENFILE,
 * -ENOMEM, -ENOSPC.
 *
 * Memory. The caller owns it, its contents are coir's. An object is opened before others know it,
 * stays where it is, and is freed when nobody uses it any more: every call on it has returned, a
 * select's too. */
#ifndef COIR_SHARED_H
#define COIR_SHARED_H

#include "coir_select.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- channels -------------------------------------------------------------------------------- */

/* A channel as in coir_chan.h: an item is delivered once, or not at all; items are received in the
 * order in which they were sent; of those that wait who came first is served first. */
typedef struct coir_shared_chan {
    uint64_t opaque[40]; /* coir's */
} coir_shared_chan;

/* As coir_chan_open. Callable in any thread. Never parks. */
COIR_API int coir_shared_chan_open(coir_shared_chan *chan, size_t size, size_t capacity);

/* As coir_chan_free. Somebody who waits for the channel is misuse. Never parks. */
COIR_API void coir_shared_chan_free(coir_shared_chan *chan, void (*drop)(void *item, void *arg),
                                    void *arg);

/* As coir_chan_send. Parks. */
COIR_API int coir_shared_chan_send(coir_shared_chan *chan, const void *item, coir_time until);

/* As coir_chan_recv. Parks. */
COIR_API int coir_shared_chan_recv(coir_shared_chan *chan, void *item, coir_time until);

/* As coir_chan_put_back. Never parks. */
COIR_API int coir_shared_chan_put_back(coir_shared_chan *chan, const void *item);

/* As coir_chan_close. Never parks. */
COIR_API int coir_shared_chan_close(coir_shared_chan *chan);

/* How many items lie in it, a moment ago. */
COIR_API size_t coir_shared_chan_length(coir_shared_chan *chan);

/* How many may lie in it before a sender waits. */
COIR_API size_t coir_shared_chan_capacity(const coir_shared_chan *chan);

/* ---- semaphores ------------------------------------------------------------------------------ */

/* A semaphore: permits. */
typedef struct coir_shared_sem {
    uint64_t opaque[24]; /* coir's */
} coir_shared_sem;

/* Opens a semaphore with a number of permits. Returns 0, or -ENOMEM. Callable in any thread. Never
 * parks. */
COIR_API int coir_shared_sem_open(coir_shared_sem *sem, uint64_t count);

/* Frees what a semaphore has. Somebody who waits for it is misuse; one that is not open is left
 * alone. Never parks. */
COIR_API void coir_shared_sem_free(coir_shared_sem *sem);

/* As coir_sem_acquire. Parks. */
COIR_API COIR_MUST_CHECK int coir_shared_sem_acquire(coir_shared_sem *sem, coir_time until);

/* As coir_sem_release. Never parks. */
COIR_API void coir_shared_sem_release(coir_shared_sem *sem, uint64_t count);

/* How many permits there are, a moment ago. */
COIR_API uint64_t coir_shared_sem_count(coir_shared_sem *sem);

/* ---- events ---------------------------------------------------------------------------------- */

/* An event: set or not, and remembers it. */
typedef struct coir_shared_event {
    uint64_t opaque[24]; /* coir's */
} coir_shared_event;

/* Opens an event that is not set. Returns 0, or -ENOMEM. Callable in any thread. Never parks. */
COIR_API int coir_shared_event_open(coir_shared_event *event);

/* As coir_shared_sem_free. Never parks. */
COIR_API void coir_shared_event_free(coir_shared_event *event);

/* As coir_event_set. Never parks. */
COIR_API void coir_shared_event_set(coir_shared_event *event);

/* As coir_event_reset. Never parks. */
COIR_API void coir_shared_event_reset(coir_shared_event *event);

/* Whether it is set, a moment ago. */
COIR_API bool coir_shared_event_is_set(coir_shared_event *event);

/* As coir_event_wait. Parks. */
COIR_API int coir_shared_event_wait(coir_shared_event *event, coir_time until);

/* As coir_event_take. Parks. */
COIR_API int coir_shared_event_take(coir_shared_event *event, coir_time until);

/* ---- as cases of a select -------------------------------------------------------------------- */

/* A select cannot take something from another thread in the same instant in which a case of its own
 * thread becomes ready. So a case of these takes nothing while it hangs: when its thing is ready it
 * tries, and may find that others were faster, and wait on. Two selects would never find each other
 * in a channel without capacity: a select that sends to one is misuse. Nor does one try (COIR_TRY)
 * to send to such a channel find a select. */

/* As coir_shared_chan_send, to a channel whose capacity is not 0. */
COIR_API coir_case coir_case_shared_send(coir_shared_chan *chan, const void *item);

/* As coir_shared_chan_recv. */
COIR_API coir_case coir_case_shared_recv(coir_shared_chan *chan, void *item);

/* As coir_shared_sem_acquire. */
COIR_API coir_case coir_case_shared_acquire(coir_shared_sem *sem);

/* As coir_shared_event_wait. */
COIR_API coir_case coir_case_shared_wait(coir_shared_event *event);

/* As coir_shared_event_take. */
COIR_API coir_case coir_case_shared_take(coir_shared_event *event);

#ifdef __cplusplus
}
#endif
#endif
