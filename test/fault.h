/* Failures made to order. A test_fault_*.c is linked so that malloc, epoll_ctl, read and the others
 * of `fault_points` (CMakeLists.txt) go through the functions here. While armed, the n-th of these
 * calls fails; fault_each runs a scenario for n = 1, 2, 3 … until nothing fails, each time in a
 * process of its own, and checks after each that
 *   - every call of the scenario succeeded, or said a documented error and succeeded when repeated;
 *   - no block, no mapping and no descriptor is left over;
 *   - the scenario runs again without a fault.
 *
 * A scenario repeats its calls by FAULT_TRY. What it does itself goes to __real_…, or stands while
 * `fault.paused`, so that only the library's calls fail. Include this before any other header. */
#ifndef TEST_FAULT_H
#define TEST_FAULT_H

#include "fds.h"

#include <poll.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

enum fault_point {
    FAULT_NONE,
    FAULT_MALLOC,
    FAULT_CALLOC,
    FAULT_REALLOC,
    FAULT_MMAP,
    FAULT_MPROTECT,
    FAULT_MADVISE,
    FAULT_EPOLL_CREATE1,
    FAULT_EPOLL_CTL,
    FAULT_TIMERFD,
    FAULT_SYSCALL,
    FAULT_PPOLL,
    FAULT_POLL,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SEND,
    FAULT_CLOSE,
    FAULT_FCNTL,
    FAULT_FSTAT,
    FAULT_IOCTL,
    FAULT_EVENTFD,
    FAULT_GETSOCKOPT,
    FAULT_SIGALTSTACK,
    FAULT_SIGACTION,
    FAULT_ATFORK,
    FAULT_POINTS
};

enum { FAULT_VARIANTS = 2 };

/* The kqueue world asks poll what an end of file means, and tells one without it too; the tests'
 * own kqueue asks fcntl and fstat about its numbers, and tries what epoll_ctl refused again. */
#ifdef COIR_KQUEUE
enum { FAULT_ABSORBED_BY_KQUEUE = true };
#else
enum { FAULT_ABSORBED_BY_KQUEUE = false };
#endif

/* What each fails with, in either variant; 0: it does not fail there. Never failing: free and
 * munmap (they are counted), an epoll_ctl that deletes, because no caller could do anything about
 * it, and one that asks whether something is registered. A close that fails has closed. */
static const struct {
    const char *name;
    int codes[FAULT_VARIANTS];
    bool absorbed; /* there is another way, or nothing to be done: no call has to fail */
} FAULTS[FAULT_POINTS] = {
    [FAULT_NONE] = {"nothing", {0, 0}, false},
    [FAULT_MALLOC] = {"malloc", {ENOMEM, 0}, false},
    [FAULT_CALLOC] = {"calloc", {ENOMEM, 0}, false},
    [FAULT_REALLOC] = {"realloc", {ENOMEM, 0}, false},
    [FAULT_MMAP] = {"mmap", {ENOMEM, 0}, true},
    [FAULT_MPROTECT] = {"mprotect", {ENOMEM, 0}, false},
    [FAULT_MADVISE] = {"madvise", {ENOMEM, EINVAL}, true},
    [FAULT_EPOLL_CREATE1] = {"epoll_create1", {EMFILE, ENFILE}, FAULT_ABSORBED_BY_KQUEUE},
    [FAULT_EPOLL_CTL] = {"epoll_ctl", {ENOSPC, ENOMEM}, FAULT_ABSORBED_BY_KQUEUE},
    [FAULT_TIMERFD] = {"timerfd", {EMFILE, ENOMEM}, true},
    [FAULT_SYSCALL] = {"epoll_pwait2", {EINTR, ENOSYS}, true},
    [FAULT_PPOLL] = {"ppoll", {EINTR, 0}, false},
    [FAULT_POLL] = {"poll", {ENOMEM, EINTR}, FAULT_ABSORBED_BY_KQUEUE},
    [FAULT_READ] = {"read", {EIO, EINTR}, false},
    [FAULT_WRITE] = {"write", {EIO, EINTR}, false},
    [FAULT_SEND] = {"send", {ENOMEM, EINTR}, false},
    [FAULT_CLOSE] = {"close", {EIO, EINTR}, true},
    [FAULT_FCNTL] = {"fcntl", {ENOMEM, 0}, FAULT_ABSORBED_BY_KQUEUE},
    [FAULT_FSTAT] = {"fstat", {ENOMEM, 0}, FAULT_ABSORBED_BY_KQUEUE},
    [FAULT_IOCTL] = {"ioctl", {ENOTTY, 0}, true},
    [FAULT_EVENTFD] = {"eventfd", {EMFILE, ENFILE}, false},
    [FAULT_GETSOCKOPT] = {"getsockopt", {ENOMEM, 0}, true},
    [FAULT_SIGALTSTACK] = {"sigaltstack", {ENOMEM, 0}, true},
    [FAULT_SIGACTION] = {"sigaction", {EINVAL, 0}, true},
    [FAULT_ATFORK] = {"pthread_atfork", {ENOMEM, 0}, false},
};

static struct {
    long left; /* calls until the one that fails; 0: none will */
    int variant;
    bool paused;      /* the calls are the test's own */
    bool no_markers;  /* MADV_GUARD_INSTALL is unknown */
    bool no_memory;   /* malloc, calloc, realloc and mmap fail, all of them */
    bool no_mappings; /* mmap fails */
    bool no_guards;   /* mprotect and madvise fail */
    bool inside; /* a function of the C library whose memory is its own affair: linked statically,
                  * musl's heap and pthread_atfork come here for theirs */
    enum fault_point failed;
    int told;            /* how often a call of the scenario said so */
    long blocks, mapped; /* not released yet; bytes */
    long calls[FAULT_POINTS];
} fault;

enum { FAULT_CALLS_ALL = 24, FAULT_CALLS_FEW = 40, FAULT_GUARD_INSTALL = 102 };

/* Whether a call is one that will fail for some n: all that ask for memory, of the others each
 * function's first ones and then one in many (a thousand stacks have a thousand guards). */
static inline bool fault_counts(enum fault_point point)
{
    long call = fault.calls[point];
    return point <= FAULT_MMAP || call <= FAULT_CALLS_ALL || call % FAULT_CALLS_FEW == 0;
}

static inline bool fault_here(enum fault_point point)
{
    if (fault.inside)
        return false;
    fault.calls[point] += !fault.paused;
    bool asks = fault.no_memory && point >= FAULT_MALLOC && point <= FAULT_MMAP;
    bool guards = fault.no_guards && (point == FAULT_MPROTECT || point == FAULT_MADVISE);
    if (asks || guards || (fault.no_mappings && point == FAULT_MMAP)) {
        errno = ENOMEM;
        return true;
    }
    int code = FAULTS[point].codes[fault.variant];
    if (fault.paused || fault.left == 0 || code == 0 || !fault_counts(point) || --fault.left > 0)
        return false;
    fault.failed = point;
    errno = code;
    return true;
}

/* ---- the functions that stand before those of the C library ---- */

#define FAULT_DECLARE(type, name, ...)                                                             \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

/* One that does nothing but fail or go on. */
#define FAULT_WRAP(type, name, point, params, args)                                                \
    type __real_##name params;                                                                     \
    type __wrap_##name params;                                                                     \
    type __wrap_##name params                                                                      \
    {                                                                                              \
        return fault_here(point) ? -1 : __real_##name args;                                        \
    }

FAULT_WRAP(int, mprotect, FAULT_MPROTECT, (void *at, size_t size, int how), (at, size, how))
FAULT_WRAP(int, epoll_create1, FAULT_EPOLL_CREATE1, (int flags), (flags))
FAULT_WRAP(int, timerfd_create, FAULT_TIMERFD, (int clock, int flags), (clock, flags))
FAULT_WRAP(int, timerfd_settime, FAULT_TIMERFD,
           (int fd, int flags, const struct itimerspec *new, struct itimerspec *old),
           (fd, flags, new, old))
FAULT_WRAP(int, poll, FAULT_POLL, (struct pollfd * fds, nfds_t count, int ms), (fds, count, ms))
FAULT_WRAP(ssize_t, read, FAULT_READ, (int fd, void *buf, size_t size), (fd, buf, size))
FAULT_WRAP(ssize_t, write, FAULT_WRITE, (int fd, const void *buf, size_t size), (fd, buf, size))
FAULT_WRAP(ssize_t, send, FAULT_SEND, (int fd, const void *buf, size_t size, int flags),
           (fd, buf, size, flags))
FAULT_WRAP(int, fstat, FAULT_FSTAT, (int fd, struct stat *about), (fd, about))
FAULT_WRAP(int, getsockopt, FAULT_GETSOCKOPT,
           (int fd, int level, int name, void *value, socklen_t *size),
           (fd, level, name, value, size))
FAULT_WRAP(int, ioctl, FAULT_IOCTL, (int fd, unsigned long what, void *arg), (fd, what, arg))
FAULT_WRAP(int, eventfd, FAULT_EVENTFD, (unsigned int count, int flags), (count, flags))
FAULT_WRAP(int, sigaltstack, FAULT_SIGALTSTACK, (const stack_t *new, stack_t *old), (new, old))
FAULT_WRAP(int, sigaction, FAULT_SIGACTION,
           (int number, const struct sigaction *new, struct sigaction *old), (number, new, old))

FAULT_DECLARE(int, madvise, void *at, size_t size, int how)
{
    if (fault.no_markers && how == FAULT_GUARD_INSTALL) {
        errno = EINVAL;
        return -1;
    }
    return fault_here(FAULT_MADVISE) ? -1 : __real_madvise(at, size, how);
}

/* What a function of the C library asks for itself is neither failed nor counted. */
#define FAULT_INSIDE(call)                                                                         \
    __extension__({                                                                                \
        bool fault_outer = fault.inside;                                                           \
        fault.inside = true;                                                                       \
        __auto_type fault_result = (call);                                                         \
        fault.inside = fault_outer;                                                                \
        fault_result;                                                                              \
    })

static inline void fault_count(long *count, long step)
{
    *count += fault.inside ? 0 : step;
}

FAULT_DECLARE(void *, malloc, size_t size)
{
    void *block = fault_here(FAULT_MALLOC) ? NULL : FAULT_INSIDE(__real_malloc(size));
    fault_count(&fault.blocks, block != NULL);
    return block;
}

FAULT_DECLARE(void *, calloc, size_t count, size_t size)
{
    void *block = fault_here(FAULT_CALLOC) ? NULL : FAULT_INSIDE(__real_calloc(count, size));
    fault_count(&fault.blocks, block != NULL);
    return block;
}

FAULT_DECLARE(void *, realloc, void *old, size_t size)
{
    void *block = fault_here(FAULT_REALLOC) ? NULL : FAULT_INSIDE(__real_realloc(old, size));
    fault_count(&fault.blocks, block && !old);
    return block;
}

FAULT_DECLARE(void, free, void *block)
{
    fault_count(&fault.blocks, -(block != NULL));
    (void)FAULT_INSIDE((__real_free(block), 0));
}

FAULT_DECLARE(void *, mmap, void *at, size_t size, int how, int flags, int fd, off_t offset)
{
    if (fault_here(FAULT_MMAP))
        return MAP_FAILED;
    void *base = __real_mmap(at, size, how, flags, fd, offset);
    fault_count(&fault.mapped, base != MAP_FAILED && !(flags & MAP_FIXED) ? (long)size : 0);
    return base;
}

FAULT_DECLARE(int, munmap, void *at, size_t size)
{
    int result = __real_munmap(at, size);
    fault_count(&fault.mapped, result == 0 ? -(long)size : 0);
    return result;
}

FAULT_DECLARE(int, pthread_atfork, void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    if (fault_here(FAULT_ATFORK))
        return ENOMEM;
    return FAULT_INSIDE(__real_pthread_atfork(prepare, parent, child));
}

FAULT_DECLARE(int, epoll_ctl, int queue, int how, int fd, struct epoll_event *event)
{
    bool is_timer = event && event->events == (EPOLLIN | (uint32_t)EPOLLET);
    enum fault_point point = is_timer ? FAULT_TIMERFD : FAULT_EPOLL_CTL;
    if (how != EPOLL_CTL_DEL && event->events && fault_here(point))
        return -1;
    return __real_epoll_ctl(queue, how, fd, event);
}

FAULT_DECLARE(int, close, int fd)
{
    int result = __real_close(fd);
    return result == 0 && fault_here(FAULT_CLOSE) ? -1 : result;
}

/* A signal ends a wait, but no look at what is ready. */
FAULT_DECLARE(int, ppoll, struct pollfd *fds, nfds_t count, const struct timespec *left,
              const sigset_t *set)
{
    bool looks = left && left->tv_sec == 0 && left->tv_nsec == 0;
    return !looks && fault_here(FAULT_PPOLL) ? -1 : __real_ppoll(fds, count, left, set);
}

/* The commands that coir gives have one argument of the size of a long, or none. */
FAULT_DECLARE(int, fcntl, int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    long value = command == F_GETFL || command == F_GETFD ? 0 : va_arg(args, long);
    va_end(args);
    return fault_here(FAULT_FCNTL) ? -1 : __real_fcntl(fd, command, value);
}

/* Only for epoll_pwait2, which has six. */
FAULT_DECLARE(long, syscall, long number, ...)
{
    va_list args;
    long six[6];
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        six[i] = va_arg(args, long);
    va_end(args);
    if (fault_here(FAULT_SYSCALL))
        return -1;
    return __real_syscall(number, six[0], six[1], six[2], six[3], six[4], six[5]);
}

/* ---- scenarios ---- */

static inline bool fault_is_documented(int64_t result)
{
    return result == -ENOMEM || result == -EMFILE || result == -ENFILE || result == -ENOSPC ||
           result == -EIO;
}

/* Whether a call has failed because of the fault, and is to be repeated. */
static inline bool fault_told(int64_t result, int64_t *last)
{
    *last = result;
    if (fault.failed == FAULT_NONE || !fault_is_documented(result))
        return false;
    fault.told++;
    return true;
}

#define FAULT_TRY(call)                                                                            \
    __extension__({                                                                                \
        int64_t fault_last;                                                                        \
        fault_told((call), &fault_last) ? (int64_t)(call) : fault_last;                            \
    })

static inline void fault_run(int (*scenario)(void), int descriptors)
{
    CHECK_EQ(scenario(), 0);
    fault.left = 0;
    CHECK(!cr_sched_here);
    CHECK_EQ(fault.blocks, 0);
    CHECK_EQ(fault.mapped, 0);
    CHECK_EQ(fds_open(), descriptors);
}

/* Runs the scenario with its n-th call failing, and then without. Ends the process, with the point
 * that failed. */
__attribute__((noreturn)) static inline void fault_child(int (*scenario)(void), long n, int variant)
{
    int descriptors = fds_open();
    alarm(200); /* for when its parents were killed */
    memset(&fault, 0, sizeof fault);
    fault.left = n;
    fault.variant = variant;
    fault_run(scenario, descriptors);
    enum fault_point failed = fault.failed;
    int code = FAULTS[failed].codes[variant];
    if (code == 0 || code == EINTR) /* a signal is nobody's failure */
        CHECK_EQ(fault.told, 0);
    else
        CHECK(fault.told == 1 || (fault.told == 0 && FAULTS[failed].absorbed));
    memset(&fault, 0, sizeof fault);
    fault_run(scenario, descriptors);
    fflush(stdout);
    _exit(100 + (int)failed);
}

/* The point that failed when the n-th call did; FAULT_NONE when there were fewer calls. */
static inline enum fault_point fault_at(const char *name, int (*scenario)(void), long n,
                                        int variant)
{
    int wait_status;
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        fault_child(scenario, n, variant);
    CHECK_EQ(waitpid(child, &wait_status, 0), child);
    if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) < 100) {
        fprintf(stderr, "%s, call %ld, variant %d: status %x\n", name, n, variant,
                (unsigned)wait_status);
        CHECK(!"the scenario survives the fault");
    }
    return (enum fault_point)(WEXITSTATUS(wait_status) - 100);
}

/* Where lines go that are shown although the test passes. */
static int fault_output = -1;

__attribute__((constructor)) static void fault_keep_output(void)
{
    fault_output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
}

static inline void fault_print(const char *line)
{
    if (write(fault_output, line, strlen(line)) < 0)
        fputs(line, stdout);
}

/* Fails every point of the scenario in turn. */
static inline void fault_each(const char *name, int (*scenario)(void))
{
    long counts[FAULT_POINTS] = {0}, total = 0;
    char line[1000];
    for (int variant = 0; variant < FAULT_VARIANTS; variant++) {
        enum fault_point failed;
        for (long n = 1; (failed = fault_at(name, scenario, n, variant)) != FAULT_NONE; n++) {
            counts[failed]++;
            total++;
        }
    }
    int used = snprintf(line, sizeof line, "points %s: %ld (", name, total);
    for (int i = 1; i < FAULT_POINTS; i++)
        if (counts[i] > 0)
            used += snprintf(line + used, sizeof line - (size_t)used, "%s %ld, ", FAULTS[i].name,
                             counts[i]);
    snprintf(line + used - 2, sizeof line - (size_t)used + 2, ")\n");
    fault_print(line);
    CHECK(total > 0);
}

#endif
