/* The filters of the tests' kqueue for what is no descriptor to wait for: signals, processes and
 * files, each by what Linux has for it: a handler, a pidfd, inotify.
 *
 * Not modelled: a signal counts when it is handled, not when it is sent, so not while blocked; who
 * ignores one is interrupted by it; NOTE_FORK, _EXEC, _TRACK; the status of what is no child;
 * NOTE_REVOKE, _FUNLOCK, _OPEN and such; a file that ftruncate made longer counts as written. */
#define _GNU_SOURCE
#include "knote.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

bool outside_has(int16_t filter)
{
    return filter == EVFILT_SIGNAL || filter == EVFILT_PROC || filter == EVFILT_VNODE;
}

/* ---- signals ---- */

enum { SIGNALS = 65, COUNTERS = 8 };

static struct {
    struct sigaction action;           /* what the program wants */
    volatile sig_atomic_t counters[COUNTERS]; /* the eventfds plus one */
    bool taken;                        /* our handler stands there */
} signals[SIGNALS];

static int (*real_sigaction)(int number, const struct sigaction *new, struct sigaction *old);

__attribute__((constructor(101))) static void find(void)
{
    void *found = dlsym(RTLD_NEXT, "sigaction");
    memcpy(&real_sigaction, &found, sizeof found);
}

static bool is_ignored_by_default(int number)
{
    return number == SIGCHLD || number == SIGURG || number == SIGWINCH || number == SIGCONT;
}

static void pass_on(int number, siginfo_t *info, void *context)
{
    const struct sigaction *action = &signals[number].action;
    if (action->sa_flags & SA_SIGINFO) {
        action->sa_sigaction(number, info, context);
    } else if (action->sa_handler == SIG_DFL && !is_ignored_by_default(number)) {
        real_sigaction(number, action, NULL);
        raise(number);
    } else if (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN) {
        action->sa_handler(number);
    }
}

static void count_signal(int number, siginfo_t *info, void *context)
{
    int error = errno;
    for (int i = 0; i < COUNTERS; i++)
        if (signals[number].counters[i] > 0)
            eventfd_write(signals[number].counters[i] - 1, 1);
    errno = error;
    pass_on(number, info, context);
}

static bool is_counted(int number)
{
    for (int i = 0; i < COUNTERS; i++)
        if (signals[number].counters[i] > 0)
            return true;
    return false;
}

/* A child of a process that ignores SIGCHLD is reaped without that signal. */
static int install(int number)
{
    struct sigaction action = signals[number].action;
    bool ignores = !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_IGN;
    if (is_counted(number) && !(number == SIGCHLD && ignores)) {
        bool has_handler = action.sa_flags & SA_SIGINFO ||
                           (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
        action.sa_flags |= SA_SIGINFO | (has_handler ? 0 : SA_RESTART);
        action.sa_sigaction = count_signal;
    }
    return real_sigaction(number, &action, NULL);
}

int sigaction(int number, const struct sigaction *new, struct sigaction *old)
{
    if (number <= 0 || number >= SIGNALS || !signals[number].taken)
        return real_sigaction(number, new, old);
    struct sigaction before = signals[number].action;
    if (new)
        signals[number].action = *new;
    int result = new ? install(number) : 0;
    if (result != 0)
        signals[number].action = before;
    else if (old)
        *old = before;
    return result;
}

void (*signal(int number, void (*handler)(int)))(int)
{
    struct sigaction new = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
    return sigaction(number, &new, &old) == 0 ? old.sa_handler : SIG_ERR;
}

static int attach_signal(struct knote *note)
{
    int number = (int)note->ident, at = 0;
    if (note->ident >= SIGNALS && kernel->beyond_signals)
        return kernel->beyond_signals;
    note->flags |= EV_CLEAR;
    note->own = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (note->own < 0 || note->ident >= SIGNALS || number == 0)
        return note->own < 0 ? errno : 0;
    while (at < COUNTERS && signals[number].counters[at] > 0)
        at++;
    if (at == COUNTERS)
        return ENOMEM;
    if (!signals[number].taken && real_sigaction(number, NULL, &signals[number].action) != 0)
        return errno;
    signals[number].taken = true;
    signals[number].counters[at] = note->own + 1;
    return install(number) == 0 ? 0 : errno;
}

static void detach_signal(const struct knote *note)
{
    int number = (int)note->ident;
    if (note->ident >= SIGNALS || number == 0 || note->own < 0)
        return;
    for (int i = 0; i < COUNTERS; i++)
        if (signals[number].counters[i] == note->own + 1)
            signals[number].counters[i] = 0;
    if (signals[number].taken && !is_counted(number)) {
        signals[number].taken = false;
        real_sigaction(number, &signals[number].action, NULL);
    }
}

/* "data returns the number of times the signal has occurred since the last call" */
static bool tell_signal(const struct knote *note, struct kevent *event)
{
    eventfd_t times;
    event->data = eventfd_read(note->own, &times) == 0 ? (intptr_t)times : 0;
    return event->data > 0;
}

/* ---- processes ---- */

/* Whether a child has exited and was not waited for; then *status. */
static bool has_exited(pid_t pid, int *status)
{
    siginfo_t about = {.si_pid = 0};
    if (waitid(P_PID, (id_t)pid, &about, WEXITED | WNOHANG | WNOWAIT) != 0 || about.si_pid != pid)
        return false;
    *status = about.si_code == CLD_EXITED ? about.si_status << 8 : about.si_status;
    return true;
}

static int attach_process(struct knote *note)
{
    int status;
    pid_t pid = (pid_t)note->ident;
    bool asks = note->fflags & NOTE_EXIT;
    if (has_exited(pid, &status) && (kernel->zombie || !asks))
        return ESRCH;
    note->flags |= EV_CLEAR;
    note->own = (int)syscall(SYS_pidfd_open, pid, 0);
    if (note->own < 0)
        return errno == EINVAL ? ESRCH : errno;
    note->inert = !asks && kernel->unasked_exit == EXIT_KEPT;
    return 0;
}

static bool tell_process(struct knote *note, struct kevent *event)
{
    int status = 0;
    bool asks = note->fflags & NOTE_EXIT, detailed = note->fflags & NOTE_EXITSTATUS;
    note->over = true;
    event->flags |= EV_EOF | EV_ONESHOT;
    event->fflags = note->fflags & NOTE_EXIT;
    if (detailed && !kernel->exit_has_status)
        event->fflags |= NOTE_EXITSTATUS;
    if (has_exited((pid_t)note->ident, &status) && (kernel->exit_has_status || detailed))
        event->data = status;
    return asks || kernel->unasked_exit == EXIT_TOLD;
}

/* ---- files ---- */

static bool look_at(const struct knote *note, struct stat *about)
{
    return fstatat((int)note->ident, "", about, AT_EMPTY_PATH) == 0;
}

static void remember(struct knote *note, const struct stat *about)
{
    note->seen.size = about->st_size;
    note->seen.links = about->st_nlink;
    note->seen.mode = about->st_mode;
}

static int attach_file(struct knote *note)
{
    char path[40];
    struct stat about;
    if (!look_at(note, &about))
        return EBADF;
    if (!S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode))
        return EINVAL;
    remember(note, &about);
    snprintf(path, sizeof path, "/proc/self/fd/%d", (int)note->ident);
    note->own = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    uint32_t names = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;
    if (note->own >= 0 && inotify_add_watch(note->own, path,
                                            IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | names) >= 0)
        return 0;
    return errno;
}

/* unlink, of one name of `left` more. */
static uint32_t unlinked(uint64_t left)
{
    if (left > 0 && kernel->unlink_counts)
        return NOTE_LINK;
    return NOTE_DELETE | (kernel->unlink_is_link ? NOTE_LINK : 0);
}

static uint32_t of_attributes(const struct knote *note, const struct stat *about)
{
    if (about->st_nlink == note->seen.links || about->st_mode != note->seen.mode)
        return NOTE_ATTRIB;
    return about->st_nlink > note->seen.links ? NOTE_LINK : unlinked(about->st_nlink);
}

static uint32_t of_content(const struct knote *note, const struct stat *about)
{
    if (about->st_size < note->seen.size)
        return NOTE_ATTRIB | (kernel->tells_truncate ? NOTE_TRUNCATE : 0);
    return NOTE_WRITE | (about->st_size > note->seen.size ? NOTE_EXTEND : 0);
}

static uint32_t what_happened(const struct knote *note, uint32_t mask, const struct stat *about)
{
    if (mask & IN_MOVE_SELF)
        return NOTE_RENAME;
    if (mask & IN_ATTRIB)
        return of_attributes(note, about);
    if (mask & IN_MODIFY)
        return of_content(note, about);
    if (mask & (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO))
        return NOTE_WRITE | (mask & IN_ISDIR ? NOTE_LINK : 0);
    return 0;
}

void outside_hold(struct knote *note)
{
    if (note->flags & EV_CLEAR || note->held >= 0)
        return;
    note->held = filter_always();
    note_watch(note, note->held, EPOLLIN);
}

static bool tell_file(struct knote *note, struct kevent *event)
{
    _Alignas(struct inotify_event) char buf[4096];
    struct stat about;
    ssize_t size = read(note->own, buf, sizeof buf);
    if (look_at(note, &about)) {
        for (ssize_t at = 0; at < size;) {
            struct inotify_event one;
            memcpy(&one, buf + at, sizeof one);
            note->pending |= what_happened(note, one.mask, &about) & note->fflags;
            at += (ssize_t)(sizeof one + one.len);
        }
        remember(note, &about);
    }
    event->fflags = note->pending;
    if (note->flags & EV_CLEAR)
        note->pending = 0;
    else if (note->pending)
        outside_hold(note);
    return event->fflags != 0;
}

/* ---- all three ---- */

int outside_attach(struct knote *note)
{
    return note->filter == EVFILT_SIGNAL ? attach_signal(note)
           : note->filter == EVFILT_PROC ? attach_process(note)
                                         : attach_file(note);
}

void outside_detach(struct knote *note)
{
    if (note->filter == EVFILT_SIGNAL)
        detach_signal(note);
}

bool outside_tell(struct knote *note, struct kevent *event)
{
    return note->filter == EVFILT_SIGNAL ? tell_signal(note, event)
           : note->filter == EVFILT_PROC ? tell_process(note, event)
                                         : tell_file(note, event);
}
