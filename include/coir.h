/* coir: fibers for C. Straight-line, blocking-style code on thousands to millions of fibers in one
 * thread, with either a real or a virtual clock.
 *
 *     static int hello(void *arg)
 *     {
 *         coir_sleep(COIR_MS(10));
 *         puts(arg);
 *         return 0;
 *     }
 *     int main(void) { return coir_run(hello, "hello", NULL, NULL) ? 1 : 0; }
 *
 * Conventions. They hold for every call unless its comment says otherwise.
 *  - Results. A result >= 0 is success. A result < 0 is an error: a code of coir's own (COIR_…), or
 *    -ECODE with a code of <errno.h>, which this header does not include. Do not read errno.
 *  - Time is in nanoseconds. `until` is a deadline, an instant on the scheduler's clock:
 *    coir_after(COIR_MS(10)), COIR_NEVER, or COIR_TRY: try once, do not wait. A deadline limits
 *    only the waiting: a call that can succeed at once does so, even after the deadline; otherwise
 *    it returns COIR_TIMED_OUT.
 *  - Blocking calls are marked "Parks". They may suspend the calling fiber while others run, and
 *    sometimes let others run though they need not wait. Make them only in a fiber, even with
 *    COIR_TRY.
 *  - Cancelling. Once a fiber is cancelled (coir_cancel, a scope, coir_sched_free), its current
 *    blocking call and every later one return COIR_CANCELLED. No call returns COIR_CANCELLED for
 *    any other reason. Every loop around a blocking call must end on it.
 *  - Effects. A call has taken effect and says so, or nothing has happened. It takes effect when
 *    its waiter is woken: a cancel that comes before the fiber runs again changes nothing, and the
 *    next call is cancelled.
 *  - Threads. A scheduler belongs to the thread that made it; its fibers never change threads. A
 *    call uses the calling thread's scheduler. Others reach a scheduler by coir_shared.h and
 *    coir_post.h, signal handlers by the latter.
 *  - Forks. In a forked child every call fails with -ECHILD, or does nothing if it returns no
 *    error, until the child makes a scheduler of its own.
 *  - Misuse (parking outside a fiber, a NULL function, a negative size, another thread's scheduler,
 *    no scheduler in this thread) prints one line to standard error and aborts; see coir_on_fatal.
 *  - Options. NULL: all defaults. A member that is 0 has its default.
 *  - Out-parameters. What a call makes comes first; what else it returns last, or before `until`.
 * doc/semantics.md holds the promises, numbered, each with its tests. */
#ifndef COIR_H
#define COIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define COIR_API __attribute__((visibility("default")))
#define COIR_MUST_CHECK __attribute__((warn_unused_result))
#else
#define COIR_API
#define COIR_MUST_CHECK
#endif

/* Major, minor, patch. Before 1.0 a new minor version may change the binary interface. */
#define COIR_VERSION "0.1.0"

/* ---- results --------------------------------------------------------------------------------- */

/* Codes of coir's own. No errno is that large, so what the kernel says cannot look like one. */
enum {
    COIR_CANCELLED = -10001, /* the calling fiber is cancelled; coir_cancelled tells why */
    COIR_TIMED_OUT = -10002  /* `until` has come */
};

/* ---- time ------------------------------------------------------------------------------------ */

/* An instant on a clock. A type of its own, so that a duration, a size or a plain number in its
 * place does not compile; passed in a register all the same. Photon's Timeout is the same idea. */
typedef struct coir_time {
    uint64_t ns; /* since the clock began; 0 and 1 are COIR_NEVER and COIR_TRY */
} coir_time;

/* The instant that is this many nanoseconds after the clock began. */
#ifdef __cplusplus
#define COIR_TIME_NS(n) (coir_time{n})
#else
#define COIR_TIME_NS(n) ((coir_time){n})
#endif

/* No deadline; what an option has that is not set. */
#define COIR_NEVER COIR_TIME_NS(0)

/* Long past: the call is tried once. */
#define COIR_TRY COIR_TIME_NS(1)

/* Microseconds, as a duration in nanoseconds. */
#define COIR_US(n) ((int64_t)((n) * INT64_C(1000)))
/* Milliseconds. */
#define COIR_MS(n) ((int64_t)((n) * INT64_C(1000000)))
/* Seconds. */
#define COIR_SEC(n) ((int64_t)((n) * INT64_C(1000000000)))

/* What the scheduler's clock shows: time since boot (monotonic), or a time that begins at 2 ns
 * (virtual). Needs a scheduler in this thread, not a fiber. */
COIR_API coir_time coir_now(void);

/* The instant that is `duration_ns` from now; COIR_NEVER for INT64_MAX, or when the clock cannot
 * show it. A negative duration is 0. */
COIR_API coir_time coir_after(int64_t duration_ns);

/* How many nanoseconds ago an instant was; negative when it is still to come. */
COIR_API int64_t coir_since(coir_time instant);

/* How many nanoseconds are left until a deadline, as coir_sleep and the timeouts of other libraries
 * want it: 0 when it has passed, INT64_MAX for COIR_NEVER. */
COIR_API int64_t coir_left(coir_time until);

/* ---- schedulers ------------------------------------------------------------------------------ */

/* A scheduler: the fibers of one thread, and their world. */
typedef struct coir_sched coir_sched;

/* What time is. */
enum coir_clock {
    COIR_CLOCK_MONOTONIC, /* the kernel's; deadlines are met in real time */
    COIR_CLOCK_VIRTUAL    /* starts at 2 ns, jumps to the next deadline when nothing else happens */
};

/* By which means the kernel is asked about descriptors. */
enum coir_world {
    COIR_WORLD_DEFAULT, /* what the environment's COIR_WORLD names (epoll, kqueue, poll), else the
                           first of these that the system has */
    COIR_WORLD_EPOLL,   /* Linux */
    COIR_WORLD_KQUEUE,  /* macOS and the BSDs */
    COIR_WORLD_POLL     /* everywhere; for thousands of descriptors it is slow */
};

/* What an overflow of a fiber's stack meets. */
enum coir_guard {
    COIR_GUARD_PAGE,  /* an overflow faults at once and is reported */
    COIR_GUARD_CANARY /* no guard page, one more page of memory; found when the fiber ends */
};

/* How a scheduler is made. */
struct coir_sched_opts {
    enum coir_clock clock;   /* default the kernel's */
    enum coir_world world;   /* default what fits the system */
    size_t stack_size;       /* of fibers that name none, in bytes; default 64 KiB */
    enum coir_guard guard;   /* of all fibers */
    uint64_t livelock_limit; /* virtual clock: yields while a timer waits; default 16 million */
    uint64_t seed;           /* of what is random: coir_select's COIR_RANDOM */
    bool keep_signals;       /* do not touch SIGSEGV, SIGBUS (overflow reports) and SIGPIPE */
    void (*report)(const char *line, void *arg); /* takes report lines, called as a letter's
                                function (coir_post.h); default standard error */
    void *report_arg;        /* its second argument */
};

/* Makes a scheduler, runs fn(arg) as its first fiber until all fibers have ended (the end of fn
 * does not stop the others), frees it. fn's result as a fiber, its children's failures included,
 * goes to *result if all went well; if `result` is NULL a failure is returned. Returns 0; -EDEADLK
 * after a report when fibers were parked that nothing could wake; -ELOOP after a report when fibers
 * only yielded for livelock_limit switches while the virtual clock stood still; -EBUSY when this
 * thread has a scheduler already; -ENOMEM; -ENOSYS for a world that this system lacks; or the error
 * with which the world refused to wait (-ENOMEM, -EINVAL: more descriptors than the system lets
 * poll have). */
COIR_API int coir_run(int (*fn)(void *arg), void *arg, const struct coir_sched_opts *opts,
                      int *result);

/* The same in pieces. Makes this thread's scheduler; opens no descriptor. SIGPIPE, and SIGSEGV and
 * SIGBUS for overflow reports (this thread unblocks them), get handlers of coir's where the default
 * stands (see keep_signals). Returns 0, -EBUSY, -ENOMEM or -ENOSYS. */
COIR_API int coir_sched_new(coir_sched **sched, const struct coir_sched_opts *opts);

/* Runs until all fibers have ended (0), or an error as coir_run says; the fibers are then still
 * there, and run may be called again. */
COIR_API int coir_sched_run(coir_sched *sched);

/* What coir_sched_step says is left to do. */
enum {
    COIR_STEP_DONE,   /* nothing: all fibers have ended, and no mailbox is open but weak ones */
    COIR_STEP_READY,  /* something, now */
    COIR_STEP_WAITING /* something, later */
};

/* One turn without waiting: serves what is due, and as many ready descriptors as a quarter of
 * `budget` (<= 0: 256), then runs at most that many fibers. Returns COIR_STEP_DONE;
 * COIR_STEP_READY: call again at once; COIR_STEP_WAITING: nothing to do before coir_sched_deadline,
 * readiness of a descriptor, or a coir_wake of the caller's; or -ELOOP. A virtual clock is moved by
 * steps: it never waits for a deadline. */
COIR_API int coir_sched_step(coir_sched *sched, int budget);

/* When the next step is due at the latest: COIR_TRY: at once, because something was made ready or
 * posted since the last one; otherwise the earliest deadline of a fiber or of an audit of
 * descriptors; COIR_NEVER: only the descriptor of coir_sched_fd can make a step necessary. (So
 * coir_left tells how long a foreign loop may wait.) The answer holds until this thread calls coir
 * again; ask before every wait. */
COIR_API coir_time coir_sched_deadline(coir_sched *sched);

/* A descriptor for a foreign loop to watch for reading: it is readable while a descriptor that
 * fibers wait for is ready, or something was posted. So the foreign loop calls coir_sched_step when
 * it is readable, and when coir_sched_deadline comes, which it asks for before each wait: after
 * calls of its own that make fibers ready (coir_spawn, coir_wake, …) that is at once. Readiness may
 * be reported by level or by edge, if steps are made until COIR_STEP_WAITING. The descriptor is the
 * scheduler's, and is to be left alone before coir_sched_free. Returns it; -ENOSYS in the poll
 * world, which has none; -EMFILE, -ENFILE, -ENOMEM. */
COIR_API int coir_sched_fd(coir_sched *sched);

/* Frees the scheduler. Fibers still alive are cancelled and run to their ends; one that makes no
 * progress to it is reported and abandoned. A shield is waited for, as long as a deadline or
 * somebody outside can still end what waits under it. Frees all stacks and closes coir's own
 * descriptors. Not callable in a fiber. NULL is ignored. */
COIR_API void coir_sched_free(coir_sched *sched);

/* ---- fibers ---------------------------------------------------------------------------------- */

/* A handle names one fiber, forever: a value that can be copied, and never dangles. Once the fiber
 * has ended and its result is taken or dropped, calls return -ESRCH, as they do for a handle of
 * another scheduler and for {0}. */
typedef struct coir_fiber {
    uint64_t number; /* which fiber of its scheduler: they count up in the order of spawning */
    uint32_t slot;   /* where it is found */
    uint32_t sched;  /* which scheduler of the process */
} coir_fiber;

struct coir_scope;

/* How a fiber is made. */
struct coir_spawn_opts {
    const char *name;  /* for reports; up to 23 bytes are copied, what is no UTF-8 text as '?' */
    size_t stack_size; /* usable; below 16 KiB: 16 KiB; above 1 GiB: -ENOMEM */
    struct coir_scope *scope; /* its parent, an open scope; default: the caller's innermost */
    bool daemon;   /* cancelled, with reason 0, when nothing else of its parent is left */
    bool detached; /* the scheduler's child, whatever `scope`; its result is dropped at its end */
    bool inherit;  /* starts with the caller's local values, see coir_local.h */
};

/* Makes a fiber that will run fn(arg), at the tail of the ready queue. Every fiber is a scope: the
 * new one is a child of the caller's innermost scope or, if none is open, of the calling fiber, and
 * the parent does not end before it. Outside fibers the parent is the scheduler.
 *
 * Without a handle (NULL) a failure, a result < 0, is the parent's at once. With a handle it
 * belongs to whoever takes the result (coir_join, a race); if nobody has when the parent ends, it
 * is the parent's after all. Results that nobody took are dropped when the parent ends.
 *
 * Returns 0, and only then sets *handle; -ENOMEM: memory, address space or mappings ran out;
 * COIR_CANCELLED: the caller or the scope that is named is cancelled, or the scheduler is being
 * freed. A fiber that was made starts, also when it is cancelled before. Callable anywhere in the
 * scheduler's thread. Never parks. */
COIR_API int coir_spawn(coir_fiber *handle, int (*fn)(void *arg), void *arg,
                        const struct coir_spawn_opts *opts);

/* Waits for a fiber and its children to end, and takes its result, *result (may be NULL). Any
 * number of fibers may wait; all of them get the result. After any error the fiber goes on. Returns
 * 0, COIR_TIMED_OUT, COIR_CANCELLED; -EDEADLK: the caller or one of its ancestors; -ESRCH: it has
 * ended, and its result was taken or dropped. A fiber that has ended can be joined outside fibers
 * and by a cancelled fiber too. Parks. */
COIR_API int coir_join(coir_fiber fiber, int *result, coir_time until);

/* Cancels a fiber, waits until it has ended, even if the caller is cancelled, and takes its result:
 * the end of something to which memory was lent. Returns 0, -EDEADLK, -ESRCH. Parks. */
COIR_API int coir_finish(coir_fiber fiber, int reason, int *result);

/* Waits until all of `count` fibers have ended, and takes their results, results[0 … count - 1]
 * (may be NULL). Returns 0, or an error as coir_join: then it has taken no result. -ENOMEM: more
 * than 16, and memory ran out. Parks. */
COIR_API int coir_join_all(const coir_fiber *fibers, size_t count, int *results, coir_time until);

/* Waits until one of `count` fibers has ended, and takes its result, *result (may be NULL). Returns
 * its index, of several the lowest. The others go on. Errors as coir_join_all; -EINVAL for a count
 * of 0 or above INT_MAX. Parks. */
COIR_API int coir_join_any(const coir_fiber *fibers, size_t count, int *result, coir_time until);

/* Waits until one of `count` fibers has succeeded (a result >= 0), cancels the others, and waits
 * until they have ended too. Takes all results, results[0 … count - 1] (may be NULL): a loser may
 * have made something that must be closed. Returns the winner's index, of several the lowest; when
 * all failed, the error of the first that did during the race, else of the lowest (-ESRCH of a
 * fiber that cannot be found); COIR_TIMED_OUT or COIR_CANCELLED after all were cancelled and
 * have ended; -EDEADLK, -ENOMEM and -EINVAL as coir_join_any. Parks. */
COIR_API int coir_race(const coir_fiber *fibers, size_t count, int *results, coir_time until);

/* What takes part in a race of functions. */
struct coir_racer {
    int (*fn)(void *arg); /* runs in a fiber of its own */
    void *arg;            /* its argument */
    int64_t delay_ns;     /* before it starts, less if all before it fail (INT64_MAX: only then);
                             the first starts at once */
};

/* The same for functions, each run in a fiber of its own: all of them are spawned, or none. Returns
 * as coir_race, -ENOMEM when a fiber could not be made. Parks. */
COIR_API int coir_race_run(const struct coir_racer *racers, size_t count, int *results,
                           coir_time until);

/* Cancels a fiber and all its descendants, up to shields. Its current blocking call and every later
 * one return COIR_CANCELLED; a fiber that has not started still starts. The first reason stays:
 * what coir_cancelled tells, an error < 0, or 0: enough, the fiber is not needed any more; one > 0
 * is misuse. Code under a shield is cancelled when the shield ends. A fiber may cancel itself.
 * Returns 0, even if it was cancelled before; -ESRCH: it has ended. Callable anywhere in the
 * thread. Never parks. */
COIR_API int coir_cancel(coir_fiber fiber, int reason);

/* Whether the running fiber is cancelled where it is, and why: *reason (may be NULL) is that of
 * coir_cancel or coir_scope_cancel, COIR_TIMED_OUT of a scope's deadline, the failure of another
 * child, or COIR_CANCELLED of coir_sched_free. Gives no turn away. False outside fibers. */
COIR_API bool coir_cancelled(int *reason);

/* The running fiber; {0} outside fibers. */
COIR_API coir_fiber coir_self(void);

/* The running fiber's name, "" when it has none or outside fibers; valid while the fiber lives. */
COIR_API const char *coir_name(void);

/* Goes to the tail of the ready queue. Returns 0, or COIR_CANCELLED after others ran. */
COIR_API int coir_yield(void);

/* Parks for a duration, 0: until all that is ready has run. Returns 0, -EINVAL for a negative
 * duration, -EINTR when woken early, COIR_CANCELLED. */
COIR_API int coir_sleep(int64_t duration_ns);

/* ---- scopes ---------------------------------------------------------------------------------- */

/* A scope is a stretch of a fiber's code that no fiber spawned in it outlives.
 *
 *     coir_scope scope;
 *     coir_scope_open(&scope, coir_after(COIR_SEC(5)), 0);
 *     coir_spawn(NULL, fetch, a, NULL);
 *     coir_spawn(NULL, fetch, b, NULL);
 *     int result = read_reply(fd);
 *     return coir_scope_end(&scope, result);   // both have ended; 0: all three succeeded
 *
 * The caller owns the memory, which must stay where it is while the scope is open; its contents
 * are coir's. Scopes of one fiber nest: the innermost is ended first. A fiber that ends with a
 * scope open, and a scope left open by a return, are misuse.
 *
 * A scope is cancelled by coir_scope_cancel, by its deadline, by coir_scope_wind_down, by the first
 * failure in it, or from outside: with its fiber, or the scope around it. Then its children, what
 * they have spawned, and what its own fiber does until it ends the scope, are cancelled. A
 * cancelled fiber whose result is COIR_CANCELLED, or the reason, was cut short and has not
 * failed. */
typedef struct coir_scope {
    uint64_t opaque[16]; /* coir's */
} coir_scope;

/* Kinds of scopes, one for each scope. */
enum {
    COIR_SHIELD = 1, /* a cancel of the code around it does not reach it: for clean-up that blocks.
                        Its deadline is the grace; without one it can delay whoever waits for its
                        fiber forever. coir_sched_free breaks it only when nothing else can run */
    COIR_LIMIT = 2,  /* only a deadline for the fiber's own code: what is spawned inside is the
                        child of the scope around it */
    COIR_SOFT = 4    /* for a wait for new work, the next request or connection: cancelled with
                        reason 0 as soon as a scope around it winds down */
};

/* Opens a scope in the running fiber, cancelled or not. It is cancelled with COIR_TIMED_OUT when
 * the loop next runs after `until`. `kind` is 0 or a kind of scope. Never parks, never fails. */
COIR_API void coir_scope_open(coir_scope *scope, coir_time until, int kind);

/* Waits until all children have ended, and ends the innermost scope of the running fiber. `result`
 * is that of the code in the scope: a result < 0 is a failure as a child's is. A cancel does not
 * end the wait: it cancels the children. Returns what came first:
 *  - a failure, of the code or of a child;
 *  - if a cancel has cut something short: its reason, COIR_CANCELLED if it came from outside;
 *  - `result` (0 for one that was cut short because of reason 0).
 * To know which child it was, spawn with handles and use coir_join_any. Parks while a child
 * lives. */
COIR_API COIR_MUST_CHECK int coir_scope_end(coir_scope *scope, int result);

/* Cancels a scope, which must be open, as coir_cancel does a fiber. Reason 0: its result is that of
 * its code. Returns 0. Callable anywhere in the thread. Never parks. */
COIR_API int coir_scope_cancel(coir_scope *scope, int reason);

/* Lets what is under way in an open scope end, and no wait for new work go on (a spawn is no such
 * wait). Soft scopes in its tree, up to shields, are cancelled at once, as are those that are
 * opened there later. All the rest goes on until the grace is over, and is then cancelled with
 * reason 0: when the loop next runs if the grace is <= 0, never if it is INT64_MAX. A deadline or
 * an earlier call that cancels sooner stays. Returns 0. Callable anywhere in the thread. Never
 * parks.
 *
 *     coir_scope_open(&next, COIR_NEVER, COIR_SOFT);
 *     ssize_t got = coir_read(fd, buf, sizeof buf, COIR_NEVER);
 *     int result = coir_scope_end(&next, got < 0 ? (int)got : 1);   // 0: it winds down */
COIR_API int coir_scope_wind_down(coir_scope *scope, int64_t grace_ns);

/* Whether the code where the running fiber is winds down, so that an answer can say that it is the
 * last. Never parks. False outside fibers. */
COIR_API bool coir_winding_down(void);

/* A handle of a scope, for use from elsewhere: a value that never dangles. */
typedef struct coir_scope_ref {
    coir_fiber opaque; /* coir's */
} coir_scope_ref;

/* Makes a handle of an open scope. Returns 0, or -ENOMEM. Never parks. */
COIR_API int coir_scope_refer(coir_scope *scope, coir_scope_ref *ref);

/* The scope of a handle; NULL once it has ended. It stays open at least until the caller parks,
 * yields or ends, so it can be cancelled and spawned into. */
COIR_API coir_scope *coir_scope_find(coir_scope_ref ref);

/* Opens a scope that also ends when its block is left by return, break or goto. Left so, it is
 * cancelled with COIR_CANCELLED. Use coir_scope_end to have its result. */
#if defined(__GNUC__)
#define COIR_SCOPE(name, until, kind)                                                              \
    coir_scope name __attribute__((cleanup(coir_scope_leave)));                                    \
    coir_scope_open(&(name), until, kind)
#endif

/* Cancels and ends a scope, if it is open still. Parks while a child lives. */
COIR_API void coir_scope_leave(coir_scope *scope);

/* ---- looking inside -------------------------------------------------------------------------- */

/* Numbers of a scheduler. */
struct coir_stats {
    uint64_t spawned;    /* fibers made since the scheduler was */
    uint64_t ended;      /* of them, those that have ended */
    uint64_t ready;      /* waiting for their turn */
    uint64_t parked;     /* in a blocking call */
    uint64_t parked_fd;  /* of them, those that wait for a descriptor */
    uint64_t stacks;     /* stacks made, used or spare */
    uint64_t stack_bytes; /* address space of all stacks, guards included */
};

/* Fills in the numbers of this thread's scheduler. Costs time in proportion to the live fibers. */
COIR_API void coir_stats(struct coir_stats *stats);

/* Writes one line for each live fiber of this thread's scheduler to a descriptor: number, name, and
 * what it waits for; and one that says so when its mailbox is open. Returns 0, or what write(2)
 * says; -EAGAIN: outside fibers, or in a cancelled one, a non-blocking descriptor took nothing for
 * a second. Parks where the descriptor is full; outside fibers it waits. */
COIR_API int coir_dump(int fd);

/* The name of an error: "EPIPE" for -EPIPE or EPIPE, "0" for 0, "E?" for one it does not know. */
COIR_API const char *coir_error_name(int error);

/* Sets what takes the line (without newline) of a misuse or a stack overflow before the program
 * ends (by SIGABRT; of an overflow into a guard page by SIGSEGV); NULL: standard error.
 * Process-wide. The hook may not call coir; for an overflow it runs on a signal stack. To name the
 * place of a misuse, coir runs /usr/bin/addr2line, but not in a set-id program. */
COIR_API void coir_on_fatal(void (*hook)(const char *line));

/* ---- for runtimes (programs have coir_sync.h) ------------------------------------------------ */

/* Parks until coir_wake. Returns 0, COIR_TIMED_OUT, COIR_CANCELLED. */
COIR_API int coir_park(coir_time until);

/* Ends the coir_park (0), coir_sleep or coir_wait_fd (-EINTR) that a fiber is parked in; it goes to
 * the tail of the ready queue. Returns 1 when it did; 0 when the fiber was not parked (a wake is
 * not remembered); -EBUSY when it is parked in another call; -ESRCH. Never parks. */
COIR_API int coir_wake(coir_fiber handle);

#ifdef __cplusplus
}
#endif
#endif
