/* coir: fibers for C. Straight-line, blocking-style code on thousands to millions of fibers in one
 * thread, over the kernel's descriptors and either a real or a virtual clock.
 *
 *     static int hello(void *arg)
 *     {
 *         coir_sleep(COIR_MS(10));
 *         puts(arg);
 *         return 0;
 *     }
 *     int main(void) { return coir_run(hello, "hello", NULL, NULL) ? 1 : 0; }
 *
 * Conventions, valid for every call below unless it says otherwise:
 *  - A result >= 0 is success, < 0 is -ECODE (errno.h). errno is of no use to the caller.
 *  - Time is in nanoseconds. `until` is a deadline, an instant on the scheduler's clock:
 *    coir_after(COIR_MS(10)), COIR_NEVER, or COIR_TRY: try once, do not wait. It limits only the
 *    waiting: a call that can succeed at once does so, even after the deadline; otherwise it
 *    returns -ETIMEDOUT.
 *  - Errors are named by <errno.h>, which this header does not include.
 *  - "Parks" means: may suspend the calling fiber while others run; also where it need not wait it
 *    lets the others run now and then. A call that parks must be made in a fiber, also with
 *    COIR_TRY, and returns -ECANCELED, without waiting, once the fiber has been told to stop
 *    (coir_cancel, coir_scope_…, coir_sched_free), and only then. Every loop around such a call
 *    must end on -ECANCELED.
 *  - A scheduler belongs to the thread that made it, and a fiber never changes its thread. The
 *    calls find their scheduler through the thread; two threads' schedulers do not know of each
 *    other.
 *  - After a fork, each call in the child returns -ECHILD (or does nothing, where it returns no
 *    error) until the child makes a scheduler of its own.
 *  - Mistakes (parking outside a fiber, a call in a thread without a scheduler, a NULL function, a
 *    negative size, another thread's scheduler) print one line to standard error and abort; see
 *    coir_on_fatal.
 *  - Option structs: zero means default, NULL means all defaults.
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
#else
#define COIR_API
#endif

/* Major, minor, patch. Before 1.0 a new minor version may change the binary interface. */
#define COIR_VERSION "0.1.0"

/* ---- time ------------------------------------------------------------------------------------ */

/* An instant on a clock. A type of its own, so that a duration, a size or a plain number in its
 * place does not compile; passed in a register all the same. Photon's Timeout is the same idea. */
typedef struct coir_time {
    uint64_t ns; /* since the clock began; 0 and 1 are COIR_NEVER and COIR_TRY */
} coir_time;

/* The instant that is so many nanoseconds after the clock began. */
#ifdef __cplusplus
#define COIR_TIME_NS(n) (coir_time{n})
#else
#define COIR_TIME_NS(n) ((coir_time){n})
#endif

/* No deadline; what an option has that is not set. */
#define COIR_NEVER COIR_TIME_NS(0)

/* A deadline long past: the call is tried once, without waiting. */
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

/* The instant that is `duration_ns` from now; COIR_NEVER when the clock cannot show it. A negative
 * duration is 0. */
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
    COIR_CLOCK_VIRTUAL    /* starts at 0, jumps to the next deadline when nothing else can happen */
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
    bool keep_signals;       /* do not touch SIGSEGV, SIGBUS (overflow reports) and SIGPIPE */
    void (*report)(const char *line, void *arg); /* takes report lines; default standard error */
    void *report_arg;        /* its second argument */
};

/* Makes a scheduler, runs fn(arg) as its first fiber until all fibers have ended (the end of fn
 * does not stop the others), frees it. What fn returned goes to *result (may be NULL) if all went
 * well. Returns 0; -EDEADLK after a report when fibers were parked that nothing could wake; -ELOOP
 * after a report when fibers only yielded for livelock_limit switches while the virtual clock stood
 * still; -EBUSY when this thread has a scheduler already;
 * -ENOMEM; -ENOSYS for a world that this system lacks; or the error with which the world refused to
 * wait (-ENOMEM, -EINVAL: more descriptors than the system lets poll have). */
COIR_API int coir_run(int (*fn)(void *arg), void *arg, const struct coir_sched_opts *opts,
                      int *result);

/* The same in pieces. Makes this thread's scheduler; opens no descriptor. SIGPIPE, and SIGSEGV and
 * SIGBUS for overflow reports, get handlers of coir's where the default stood (see keep_signals).
 * Returns 0, -EBUSY, -ENOMEM or -ENOSYS. */
COIR_API int coir_sched_new(coir_sched **sched, const struct coir_sched_opts *opts);

/* Runs until all fibers have ended (0), or an error as coir_run says; the fibers are then still
 * there, and run may be called again. */
COIR_API int coir_sched_run(coir_sched *sched);

/* What coir_sched_step says is left to do. */
enum {
    COIR_STEP_DONE,   /* nothing: all fibers have ended */
    COIR_STEP_READY,  /* something, now */
    COIR_STEP_WAITING /* something, later */
};

/* One turn without waiting: serves what is due, and as many ready descriptors as a quarter of
 * `budget` (<= 0: 256), then runs at most that many fibers. Returns COIR_STEP_DONE: all fibers have
 * ended, and no mailbox is open; COIR_STEP_READY: call again at once;
 * COIR_STEP_WAITING: nothing to do before coir_sched_deadline, readiness of a descriptor, or a
 * coir_wake of the caller's; or -ELOOP. A virtual clock is moved by steps: it never waits for a
 * deadline. */
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
 * be told by level or by edge, if steps are made until COIR_STEP_WAITING. The descriptor is the
 * scheduler's, and is to be left alone before coir_sched_free. Returns it; -ENOSYS in the poll
 * world, which has none; -EMFILE, -ENFILE, -ENOMEM. */
COIR_API int coir_sched_fd(coir_sched *sched);

/* Frees the scheduler. Fibers still alive are told to stop: their blocking calls return -ECANCELED
 * and they run to their end; one that makes no progress to it is reported and abandoned. Frees all
 * stacks and closes coir's own descriptors. Not callable in a fiber. NULL is ignored. */
COIR_API void coir_sched_free(coir_sched *sched);

/* ---- fibers ---------------------------------------------------------------------------------- */

/* A handle is a value: copy it freely, use it as late as you like. Once its fiber is gone it is
 * answered with -ESRCH. {0, 0} is never a fiber. */
typedef struct coir_fiber {
    uint32_t slot;       /* which place in the scheduler's table */
    uint32_t generation; /* which of the fibers that had it */
} coir_fiber;

struct coir_scope;

/* How a fiber is made. */
struct coir_spawn_opts {
    const char *name;  /* for reports; the first 23 bytes are copied, control characters as '?' */
    size_t stack_size; /* usable; below 16 KiB: 16 KiB; above 1 GiB: -ENOMEM */
    struct coir_scope *scope; /* whose child it is, open; default the caller's innermost */
    bool detached;     /* the scheduler's child, not a scope's; its result is dropped when it ends,
                          though a handle was taken */
    bool inherit;      /* starts with the caller's local values, see coir_local_set */
};

/* Makes a fiber that will run fn(arg), at the tail of the ready queue. It is a child of the scope
 * that the caller has open or was itself spawned in, if there is one. With a handle, its result is
 * kept until the first join after its end; without one (NULL), or detached, nothing is. Callable
 * anywhere in the scheduler's thread. Returns 0, -ENOMEM (memory, address space or mappings ran
 * out; nothing happened), -ECANCELED (nothing happened) when the caller, or the scope that is
 * named, has been told to stop; of a detached fiber only while the scheduler is being freed. Never
 * parks. */
COIR_API int coir_spawn(coir_fiber *handle, int (*fn)(void *arg), void *arg,
                        const struct coir_spawn_opts *opts);

/* Waits for a fiber to end; what it returned goes to *result (may be NULL). Any number may wait;
 * all of them get the result. Returns 0, -ETIMEDOUT, -ECANCELED, -EDEADLK for oneself, -ESRCH for a
 * fiber that is gone. Parks; a fiber that has ended can be joined outside fibers too. */
COIR_API int coir_join(coir_fiber handle, int *result, coir_time until);

/* Waits until all of `count` fibers have ended; what they returned goes to results[0 … count - 1]
 * (may be NULL). Returns 0, or an error as coir_join: then no result was taken, but for those that
 * another fiber joined meanwhile. -ENOMEM: more than 16, and memory ran out. Parks. */
COIR_API int coir_join_all(const coir_fiber *handles, size_t count, int *results, coir_time until);

/* Waits until one of `count` fibers has ended, and joins that one: returns its index (of several
 * the lowest), its result in *result (may be NULL). The others go on. Returns an error as
 * coir_join, -ENOMEM as coir_join_all, -EINVAL for a count of 0 or above INT_MAX. Parks. */
COIR_API int coir_join_any(const coir_fiber *handles, size_t count, int *result, coir_time until);

/* Waits until one of `count` fibers has ended with success (a result >= 0), cancels the others, and
 * waits until they have ended too, however long that takes. Returns the winner's index, its result
 * in *result (may be NULL); of several the lowest. When all failed, returns the error of the last
 * to fail, also in *result; a fiber that is gone already has failed with -ESRCH. -ETIMEDOUT and
 * -ECANCELED after all were cancelled and have ended; -EDEADLK when the caller is one of them,
 * -ENOMEM, -EINVAL as coir_join_any: then nothing happened. All results are taken. While the race
 * is on, a failure of one of them is not a failure of its scope. Parks. */
COIR_API int coir_race(const coir_fiber *handles, size_t count, int *result, coir_time until);

/* Tells a fiber to stop, and all that it has spawned in scopes: its current blocking call (but
 * coir_scope_close) ends with -ECANCELED, and so does each later one. One that has not begun
 * begins, and finds out at its first blocking call. What is under a shield is not told until the
 * shield ends. Returns 0, also when it was told before; -ESRCH for one that has ended. A fiber may
 * cancel itself. Callable anywhere in the thread. Never parks. */
COIR_API int coir_cancel(coir_fiber handle);

/* The running fiber; {0, 0} outside fibers. */
COIR_API coir_fiber coir_self(void);

/* The running fiber's name, "" when it has none or outside fibers; valid while the fiber lives. */
COIR_API const char *coir_name(void);

/* Goes to the tail of the ready queue. Returns 0 or, when told to stop, -ECANCELED (others ran). */
COIR_API int coir_yield(void);

/* Parks for a duration, 0: until all that is ready has run. Returns 0, -EINVAL for a negative
 * duration, -EINTR when woken early, -ECANCELED. */
COIR_API int coir_sleep(int64_t duration_ns);

/* Parks until coir_wake; for building one's own synchronisation. Returns 0, -ETIMEDOUT,
 * -ECANCELED. */
COIR_API int coir_park(coir_time until);

/* Ends the coir_park (0), coir_sleep or coir_wait_fd (-EINTR) that a fiber is parked in; it goes to
 * the tail of the ready queue. Returns 1 when it did; 0 when the fiber was not parked (a wake is
 * not remembered); -EBUSY when it is parked in another call; -ESRCH. Never parks. */
COIR_API int coir_wake(coir_fiber handle);

/* ---- from other threads ---------------------------------------------------------------------- */

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

/* ---- scopes ---------------------------------------------------------------------------------- */

/* A scope is a stretch of a fiber's code that no fiber spawned in it outlives.
 *
 *     coir_scope scope;
 *     coir_scope_open(&scope, &(struct coir_scope_opts){.until = coir_after(COIR_SEC(5))});
 *     coir_spawn(NULL, fetch, a, NULL);
 *     coir_spawn(NULL, fetch, b, NULL);
 *     int result = coir_scope_close(&scope);   // both have ended; 0: both succeeded
 *
 * The caller owns the memory, which must stay where it is while the scope is open; its contents
 * are coir's. Scopes of one fiber nest: the innermost is closed first. A fiber that ends with a
 * scope open is a mistake.
 *
 * A scope is stopped by coir_scope_cancel, by its deadline, by the first child that fails (returns
 * a negative result), or from outside: with its fiber, or the scope around it. Then its children,
 * and what its own fiber does until it closes the scope, are told to stop, with all that they have
 * spawned. A child that was told, and returns -ECANCELED, has not failed. */
typedef struct coir_scope {
    uint64_t opaque[14]; /* coir's */
} coir_scope;

/* How a scope is opened. */
struct coir_scope_opts {
    coir_time until; /* its deadline; it takes effect when the loop next runs */
    bool shield; /* what stops the code around it does not stop it: for clean-up that must block.
                    The deadline is then the grace. A shield without one can hold up for ever
                       whoever waits for its fiber; coir_sched_free breaks it only when nothing
                       else can run */
};

/* Opens a scope in the running fiber. A fiber that was told to stop can do so too. Returns 0;
 * -ENOMEM, only with a deadline. Never parks. */
COIR_API int coir_scope_open(coir_scope *scope, const struct coir_scope_opts *opts);

/* Waits until all children have ended, and closes the innermost scope of the running fiber. The
 * wait is not cut short by a stop: the children are told of it. Returns the result of the first
 * child that failed; else -ETIMEDOUT when the scope's deadline stopped it, -ECANCELED when anything
 * else did, 0 when nothing did. Parks while a child lives. */
COIR_API int coir_scope_close(coir_scope *scope);

/* Stops a scope. Callable anywhere in the thread, as long as the scope is open. Returns 0, also
 * when it was stopped before. Never parks. */
COIR_API int coir_scope_cancel(coir_scope *scope);

/* ---- local values ---------------------------------------------------------------------------- */

/* The key of a value that each fiber has for itself; its address is what counts:
 *
 *     static const coir_local REQUEST = {.destroy = free};
 *
 * The members may be NULL. `destroy` is called with the value when its fiber ends (in the fiber,
 * after its function returned and before others see its result, the last set first), and by
 * coir_local_set with the value that it replaces. `inherit` makes, for a fiber spawned with
 * opts.inherit, that fiber's own value of its spawner's, in the spawner, and may not park; without
 * it the new fiber has the same pointer, and does not destroy it. */
typedef struct coir_local {
    void (*destroy)(void *value);  /* gives the value back */
    void *(*inherit)(void *value); /* returns another fiber's value; NULL: that has none */
} coir_local;

/* Sets the running fiber's value of a key; NULL takes it away. Returns 0, -ENOMEM. */
COIR_API int coir_local_set(const coir_local *key, void *value);

/* The running fiber's value of a key; NULL when it has none, and outside fibers. */
COIR_API void *coir_local_get(const coir_local *key);

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
 * what it waits for; and one that says so when its mailbox is open. */
COIR_API void coir_dump(int fd);

/* The name of an error value, as "ETIMEDOUT" for -ETIMEDOUT or ETIMEDOUT; "0" for 0; "E?" for one
 * it does not know. */
COIR_API const char *coir_error_name(int error);

/* Sets what takes the line (without newline) of a mistake or a stack overflow before the program
 * ends (by SIGABRT; of an overflow into a guard page by SIGSEGV); NULL: standard error.
 * Process-wide. The hook may not call coir; for an overflow it runs on a signal stack. To name the
 * place of a mistake in a program built with -g, coir runs addr2line where it is installed, but not
 * in a set-id program. */
COIR_API void coir_on_fatal(void (*hook)(const char *line));

#ifdef __cplusplus
}
#endif
#endif
