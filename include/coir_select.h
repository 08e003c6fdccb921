/* coir_select.h: one wait for the first of several things: channels, events, locks, descriptors,
 * the ends of fibers, and things of the program's own. What coir.h says of all calls holds here
 * too.
 *
 *     enum { QUIT, JOB };
 *     static int next_job(coir_event *quit, coir_chan *jobs, int *job)
 *     {
 *         coir_case cases[] = {
 *             [QUIT] = coir_case_wait(quit),
 *             [JOB] = coir_case_recv(jobs, job),
 *         };
 *         int which = coir_select(cases, 2, 0, COIR_NEVER);
 *         return which == JOB ? cases[JOB].result : which == QUIT ? -EPIPE : which;
 *     }
 *
 * Exactly one case takes effect, or none: the others are as if they had not been tried. A deadline
 * and a cancel are no cases. */
#ifndef COIR_SELECT_H
#define COIR_SELECT_H

#include "coir.h"
#include "coir_chan.h"
#include "coir_sync.h"

#ifdef __cplusplus
extern "C" {
#endif

struct coir_source;

/* One thing that a select waits for. Make it by a function below. It can be used again, for one
 * select at a time. */
typedef struct coir_case {
    const struct coir_source *source; /* coir's */
    void *object;                     /* the thing */
    void *item;                       /* what goes with it, or NULL */
    int result;          /* of the case that coir_select has returned: as its own call returns */
    uint64_t opaque[18]; /* coir's */
} coir_case;

/* In which order a select tries its cases, if several are ready. */
enum {
    COIR_FAIR = 1,  /* each begins elsewhere: whoever selects in turn, no case starves */
    COIR_RANDOM = 2 /* each order is as likely as another; from the scheduler's seed */
};

/* Waits until one of `count` cases is ready, and does what its own call does. Of several that are
 * ready it is the first in the array, or as `order` says (0 or one of the above). Cases may name
 * the same thing. The array is coir's until the call returns; then nothing waits any more. Returns
 * the index of the case that has ended: its `result` is >= 0, and it has taken effect, or an error
 * (-EPIPE of a channel that is closed). What a case names must stay until then, whatever ends the
 * select. COIR_TIMED_OUT, COIR_CANCELLED: none has. -EINVAL: no case
 * and no deadline, or a count above INT_MAX. Parks. */
COIR_API int coir_select(coir_case *cases, size_t count, int order, coir_time until);

/* As coir_chan_send; the item is copied when the case takes effect. */
COIR_API coir_case coir_case_send(coir_chan *chan, const void *item);

/* As coir_chan_recv. */
COIR_API coir_case coir_case_recv(coir_chan *chan, void *item);

/* As coir_subscriber_recv: its result is the number that was missed. */
COIR_API coir_case coir_case_subscriber(coir_subscriber *subscriber, void *item);

/* As coir_event_wait. */
COIR_API coir_case coir_case_wait(coir_event *event);

/* As coir_event_take. */
COIR_API coir_case coir_case_take(coir_event *event);

/* As coir_queue_wait, so only a wake makes it ready. */
COIR_API coir_case coir_case_queue(coir_queue *queue);

/* As coir_mutex_lock. */
COIR_API coir_case coir_case_lock(coir_mutex *mutex);

/* As coir_sem_acquire. */
COIR_API coir_case coir_case_acquire(coir_sem *sem);

/* As coir_join; the result goes to *result, which may be NULL. */
COIR_API coir_case coir_case_join(coir_fiber fiber, int *result);

/* As coir_wait_fd for one direction, COIR_IN or COIR_OUT; nothing is read or written. */
COIR_API coir_case coir_case_fd(int fd, int direction);

/* ---- things of the program's own ------------------------------------------------------------- */

/* What a select does with a thing that coir does not know. It tries each case, and, if that has
 * called such a function and no case was ready, each once more; then it has all of them hang, and
 * has each leave when it is over, also after coir_case_end. The functions are called as a letter's
 * function is (coir_post.h), outside of fibers; `hang` may call nothing of coir's but
 * coir_case_end. */
struct coir_source {
    const char *name; /* for reports: "waits for NAME" */
    int (*attempt)(coir_case *it); /* returns 0: it has taken effect; COIR_TIMED_OUT: it must be
                                      waited for; another error, and the select ends with it */
    void (*hang)(coir_case *it);   /* has its thing remember the case */
    void (*leave)(coir_case *it);  /* has its thing forget it */
};

/* A case of a thing of the program's own. A source whose functions are not all there is misuse. */
COIR_API coir_case coir_case_of(const struct coir_source *source, void *object, void *item);

/* Ends the select in which a case hangs, by that case and its result. Returns whether it did: if
 * not, another case, a deadline or a cancel was first, and nothing may be given to this one.
 * Callable anywhere in the thread, from `hang` to `leave`. Never parks. */
COIR_API bool coir_case_end(coir_case *it, int result);

#ifdef __cplusplus
}
#endif
#endif
