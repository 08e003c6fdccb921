/* The filters of the tests' kqueue: when each fires, and what it tells. The rules are those of
 * kqueue(2); what kernels differ in is in kernel.h.
 *
 * Only functions that the fault tests do not make fail are used, or the answer does without. */
#define _GNU_SOURCE
#include "knote.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <linux/sockios.h>

enum { PIPE_FILES = 0x50495045, TERMINAL_ROOM = 1024 };

bool filter_is_of_fd(int16_t filter)
{
    return filter == EVFILT_READ || filter == EVFILT_WRITE || filter == EVFILT_EXCEPT ||
           filter == EVFILT_VNODE;
}

static mode_t mode_of(int fd)
{
    struct stat about;
    return fstatat(fd, "", &about, AT_EMPTY_PATH) == 0 ? about.st_mode : 0;
}

/* "If a filter is requested that is not supported by this descriptor, no error, and never an event"
 * (FreeBSD, pipes). */
static int attach_pipe(struct knote *note)
{
    int flags = fcntl((int)note->ident, F_GETFL);
    if (flags < 0)
        return errno;
    bool reads = note->filter == EVFILT_READ;
    struct statfs files;
    note->wrong_end = (flags & O_ACCMODE) == (reads ? O_WRONLY : O_RDONLY);
    if (note->wrong_end && kernel->wrong_end)
        return kernel->wrong_end;
    note->inert = note->wrong_end &&
                  !(reads ? kernel->writer_reads_end : kernel->reader_writes_end);
    if (!reads && !note->wrong_end && fstatfs((int)note->ident, &files) == 0 &&
        files.f_type == PIPE_FILES && kernel_poll((int)note->ident, 0) & POLLERR)
        return kernel->gone_reader;
    return 0;
}

/* EVFILT_WRITE "is not supported for vnodes". One that reads is taken to be at its end. */
static int attach_fd(struct knote *note)
{
    mode_t mode = mode_of((int)note->ident);
    if (note->filter == EVFILT_EXCEPT)
        return S_ISSOCK(mode) && note->fflags & NOTE_OOB && kernel->has_except ? 0 : EINVAL;
    if (S_ISREG(mode) || S_ISDIR(mode)) {
        note->inert = true;
        return note->filter == EVFILT_READ ? 0 : EINVAL;
    }
    return S_ISFIFO(mode) ? attach_pipe(note) : 0;
}

int filter_always(void)
{
    return eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* A device without readiness, such as /dev/null: always ready, or refused. */
int filter_replace(struct knote *note)
{
    bool marked = note->fflags & NOTE_LOWAT && note->data == 1;
    if (kernel->null_device && !(kernel->null_device == EINVAL && marked))
        return kernel->null_device;
    note->own = filter_always();
    return note->own >= 0 ? 0 : errno;
}

static int set_timer(struct knote *note)
{
    int64_t unit_ns = note->fflags & NOTE_SECONDS    ? 1000000000
                      : note->fflags & NOTE_USECONDS ? 1000
                      : note->fflags & NOTE_NSECONDS ? 1
                                                     : 1000000;
    if (note->data == 0 && kernel->timer_of_nothing)
        return kernel->timer_of_nothing;
    int64_t length_ns = note->data * unit_ns + (note->data == 0);
    struct itimerspec time = {
        .it_value = {.tv_sec = length_ns / 1000000000, .tv_nsec = length_ns % 1000000000},
    };
    if (!(note->flags & EV_ONESHOT))
        time.it_interval = time.it_value;
    return timerfd_settime(note->own, 0, &time, NULL) == 0 ? 0 : errno;
}

/* Timers set EV_CLEAR by themselves. */
int filter_attach(struct knote *note)
{
    if (outside_has(note->filter))
        return outside_attach(note);
    if (filter_is_of_fd(note->filter))
        return attach_fd(note);
    if (note->filter == EVFILT_USER) {
        bool triggered = note->fflags & NOTE_TRIGGER && kernel->born_triggered;
        note->own = eventfd(triggered, EFD_CLOEXEC | EFD_NONBLOCK);
        note->fflags &= NOTE_FFLAGSMASK;
    } else {
        note->flags |= EV_CLEAR;
        note->own = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    }
    if (note->own < 0)
        return errno;
    return note->filter == EVFILT_TIMER ? set_timer(note) : 0;
}

void filter_detach(struct knote *note)
{
    if (outside_has(note->filter))
        outside_detach(note);
    if (note->own >= 0)
        __close(note->own);
    note->own = -1;
}

static int touch_user(struct knote *note, const struct kevent *change)
{
    uint32_t given = change->fflags & NOTE_FFLAGSMASK;
    switch (change->fflags & NOTE_FFCTRLMASK) {
    case NOTE_FFAND:
        note->fflags &= given;
        break;
    case NOTE_FFOR:
        note->fflags |= given;
        break;
    case NOTE_FFCOPY:
        note->fflags = given;
        break;
    default:
        break;
    }
    note->data = change->data;
    eventfd_t count;
    if (change->flags & EV_CLEAR && kernel->clear_takes_back)
        eventfd_read(note->own, &count);
    else if (change->fflags & NOTE_TRIGGER && eventfd_write(note->own, 1) != 0)
        return errno;
    return 0;
}

int filter_touch(struct knote *note, const struct kevent *change)
{
    if (note->filter == EVFILT_USER)
        return touch_user(note, change);
    if (!(change->flags & EV_ADD) && !(change->flags & EV_ENABLE && kernel->enable_modifies))
        return 0;
    note->fflags = change->fflags;
    note->data = change->data;
    note->udata = change->udata;
    return note->filter == EVFILT_TIMER ? set_timer(note) : 0;
}

int filter_fd(const struct knote *note)
{
    return note->own >= 0 ? note->own : (int)note->ident;
}

uint32_t filter_events(const struct knote *note)
{
    uint32_t edge = note->flags & EV_CLEAR ? EPOLLET : 0;
    if (note->wrong_end)
        return edge; /* which leaves EPOLLHUP and EPOLLERR */
    switch (note->filter) {
    case EVFILT_READ:
        return EPOLLIN | EPOLLRDHUP | edge;
    case EVFILT_WRITE:
        return EPOLLOUT | edge;
    case EVFILT_EXCEPT:
        return EPOLLPRI | edge;
    default:
        return EPOLLIN;
    }
}

static int bytes_of(int fd, unsigned long question)
{
    int bytes = 0;
    return ioctl(fd, question, &bytes) == 0 ? bytes : 0;
}

/* "data contains the size of the listen backlog"; TCP alone tells it. */
static int backlog_of(int fd)
{
    struct tcp_info about;
    socklen_t size = sizeof about;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &about, &size) != 0 || about.tcpi_unacked == 0)
        return 1;
    return (int)about.tcpi_unacked;
}

static bool listens(int fd)
{
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value;
}

static int room_of(int fd, mode_t mode)
{
    int room = 0;
    socklen_t size = sizeof room;
    if (S_ISFIFO(mode))
        return fcntl(fd, F_GETPIPE_SZ) - bytes_of(fd, FIONREAD);
    if (S_ISSOCK(mode) && getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &size) == 0)
        return room - bytes_of(fd, SIOCOUTQ);
    return TERMINAL_ROOM;
}

/* "If the read direction of the socket has shutdown, EV_EOF, and the socket error (if any) in
 * fflags"; the writing direction the same, whoever has shut it. A socket that was never connected
 * has neither end: Linux tells a hang-up of it, without that of the reading direction, which is not
 * an event here unless an error is pending. Asking Linux for the error would take it away, so it is
 * always ECONNRESET. */
static bool tell_socket(const struct knote *note, struct kevent *event, uint32_t told)
{
    int fd = (int)note->ident;
    bool reads = note->filter == EVFILT_READ, has_shut = !reads && kernel_has_shut(fd);
    uint32_t ends = reads ? EPOLLRDHUP : EPOLLHUP;
    if (!reads && kernel_is_unconnected(fd))
        return false;
    if (told & (ends | EPOLLERR) || has_shut) {
        event->flags |= EV_EOF;
        event->fflags = told & EPOLLERR ? ECONNRESET : 0;
    }
    return has_shut || told & (ends | EPOLLERR | (reads ? EPOLLIN : EPOLLOUT));
}

/* Pipes, terminals and the rest. */
static bool tell_other(const struct knote *note, struct kevent *event, uint32_t told)
{
    bool ends = told & (EPOLLHUP | EPOLLERR);
    bool full = note->filter == EVFILT_WRITE && !(told & EPOLLOUT);
    if (ends)
        event->flags |= EV_EOF;
    if (ends && full && !note->wrong_end && !kernel->tells_full_pipe)
        return false;
    return ends || (!note->wrong_end && told & (EPOLLIN | EPOLLOUT));
}

static bool is_below_mark(const struct knote *note, mode_t mode, const struct kevent *event)
{
    if (!(note->fflags & NOTE_LOWAT) || (S_ISFIFO(mode) && !kernel->pipe_mark))
        return false;
    return event->data < note->data;
}

static bool tell_fd(struct knote *note, uint32_t told, struct kevent *event)
{
    int fd = (int)note->ident;
    mode_t mode = mode_of(fd);
    event->fflags = 0;
    if (!(S_ISSOCK(mode) ? tell_socket(note, event, told) : tell_other(note, event, told)))
        return false;
    if (note->own >= 0)
        event->data = note->data;
    else if (note->filter == EVFILT_WRITE)
        event->data = room_of(fd, mode);
    else if (S_ISSOCK(mode) && listens(fd))
        event->data = backlog_of(fd);
    else
        event->data = bytes_of(fd, FIONREAD);
    note->over = event->flags & EV_EOF && note->filter == EVFILT_WRITE && S_ISFIFO(mode) &&
                 kernel->end_deletes;
    event->flags |= note->over ? EV_ONESHOT : 0;
    return !is_below_mark(note, mode, event) || event->flags & EV_EOF;
}

static bool tell_user(struct knote *note, struct kevent *event)
{
    eventfd_t count;
    event->fflags = note->fflags;
    event->data = note->data;
    if (note->flags & EV_CLEAR)
        eventfd_read(note->own, &count);
    return true;
}

/* "data contains the number of times the timeout has expired since the last call." */
static bool tell_timer(const struct knote *note, struct kevent *event)
{
    uint64_t times;
    if (read(note->own, &times, sizeof times) != sizeof times)
        return false;
    event->data = (intptr_t)times;
    return true;
}

bool filter_tell(struct knote *note, uint32_t told, struct kevent *event)
{
    switch (note->filter) {
    case EVFILT_USER:
        return tell_user(note, event);
    case EVFILT_TIMER:
        return tell_timer(note, event);
    case EVFILT_EXCEPT:
        event->fflags = NOTE_OOB;
        return told & EPOLLPRI;
    case EVFILT_SIGNAL:
    case EVFILT_PROC:
    case EVFILT_VNODE:
        return outside_tell(note, event);
    default:
        return tell_fd(note, told, event);
    }
}
