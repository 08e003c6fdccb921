/* The tests' own kqueue, on Linux: kqueue() and kevent() as the manual pages kqueue(2) of FreeBSD
 * and of macOS document them, so that src/world/kqueue.c runs through the whole suite.
 *
 * A queue is an epoll of epolls, one for each kind of filter, so that the filters of one descriptor
 * are independent: only what concerns its direction activates a knote.
 *
 *     kqueue() -- epoll -+- READ (also of what is no descriptor) -- descriptors
 *                        +- WRITE -- descriptors
 *                        +- EXCEPT -- descriptors
 *
 * Rules, of both pages unless a name stands there:
 *   - (ident, filter) is unique in a queue; EV_ADD again modifies, enables, and runs the filter.
 *   - A filter runs when added or enabled, when something happens, and when the event is retrieved:
 *     what holds no more is not returned. EV_CLEAR: what was returned is returned again only after
 *     something happened. Without: as long as it holds. EV_ONESHOT deletes, EV_DISPATCH disables.
 *   - All changes are made before waiting. An error of one becomes an event with EV_ERROR where
 *     there is room, else kevent fails and stops there. EV_RECEIPT does so for a success. If there
 *     is any such event, others are neither waited for nor returned.
 *   - ENOENT: to change what is not there. EBADF: no kqueue, or a closed number. EINVAL: unknown
 *     filter or bad time; beyond 100000000 seconds too (kernels of macOS). A signal: EINTR.
 *   - close() of a number deletes its events in every queue. The pages say on the last close of the
 *     descriptor; the kernels do it by number, though a dup lives; dup2() over it does, too.
 *   - A queue is not inherited by fork: the child finds its number closed.
 *
 * Not modelled: a file to be read that is not at its end, or grows; the number of a socket's error;
 * the order of events; EVFILT_AIO; dup() of a queue; close by close_range, fclose or dup3. The end
 * of one direction may activate the other's knote too, if its condition holds.
 *
 * The inner epolls of the first queues are open from the start, so that a queue is one descriptor
 * more, as it should be. */
#define _GNU_SOURCE
#include "knote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    QUEUES_MOST = 256,
    QUEUES_OPEN = 2, /* whose inner epolls are open from the start */
    INNERS = 3,
    BATCH = 64,
    SECONDS_MOST = 100000000
};

struct queue {
    int fd; /* -1: not in use */
    int inners[INNERS];
    int turn; /* which inner epoll is asked first */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct queue queues[QUEUES_MOST];

void kqueue_lock(void)
{
    pthread_mutex_lock(&lock);
}

void kqueue_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* ---- queues ---- */

static int queue_find(int fd)
{
    for (int i = 0; i < QUEUES_MOST; i++)
        if (queues[i].fd == fd)
            return i;
    return -1;
}

static void inners_close(struct queue *queue)
{
    for (int i = 0; i < INNERS; i++)
        if (queue->inners[i] >= 0)
            __close(queue->inners[i]);
}

static int inners_open(struct queue *queue)
{
    int result = 0;
    for (int i = 0; i < INNERS; i++)
        queue->inners[i] = -1;
    for (int i = 0; i < INNERS && result == 0; i++) {
        queue->inners[i] = epoll_create(1);
        if (queue->inners[i] < 0 || ioctl(queue->inners[i], FIOCLEX) != 0)
            result = errno;
    }
    if (result != 0)
        inners_close(queue);
    return result;
}

/* The inner epolls into the outer one. */
static int queue_join(struct queue *queue, int fd)
{
    struct epoll_event interest = {.events = EPOLLIN};
    for (int i = 0; i < INNERS; i++)
        if (epoll_ctl(fd, EPOLL_CTL_ADD, queue->inners[i], &interest) != 0)
            return errno;
    return 0;
}

static int queue_open(void)
{
    int at = queue_find(-1), fd = at >= 0 ? epoll_create1(0) : -1;
    if (fd < 0)
        return at >= 0 ? errno : ENOMEM;
    struct queue *queue = &queues[at];
    int result = at < QUEUES_OPEN ? 0 : inners_open(queue);
    if (result == 0) {
        result = queue_join(queue, fd);
        if (result != 0 && at >= QUEUES_OPEN)
            inners_close(queue);
    }
    if (result == 0)
        queue->fd = fd;
    else
        __close(fd);
    return result == 0 ? -fd : result;
}

int kqueue(void)
{
    pthread_mutex_lock(&lock);
    int result = queue_open();
    pthread_mutex_unlock(&lock);
    if (result <= 0)
        return -result;
    errno = result;
    return -1;
}

/* A number is about to be another file, or none. */
static void forget(int fd)
{
    int at = fd >= 0 ? queue_find(fd) : -1;
    if (fd >= 0)
        note_forget_fd(fd);
    if (at < 0)
        return;
    note_forget_queue(at);
    queues[at].fd = -1;
    if (at >= QUEUES_OPEN)
        inners_close(&queues[at]);
}

static void forget_locked(int fd)
{
    int before = errno;
    pthread_mutex_lock(&lock);
    forget(fd);
    pthread_mutex_unlock(&lock);
    errno = before;
}

int close(int fd)
{
    forget_locked(fd);
    return __close(fd);
}

int dup2(int old, int new)
{
    int flags = fcntl(old, F_GETFD);
    if (flags < 0 || old == new)
        return flags < 0 ? -1 : new;
    forget_locked(new);
    return dup3(old, new, 0);
}

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void parent_after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

/* The inner epolls are the parent's, so the child gets new ones at the same numbers. */
static void child_after_fork(void)
{
    note_abandon_all();
    for (int i = 0; i < QUEUES_MOST; i++) {
        if (i < QUEUES_OPEN || queues[i].fd >= 0)
            inners_close(&queues[i]);
        if (queues[i].fd >= 0)
            __close(queues[i].fd);
        queues[i].fd = -1;
    }
    for (int i = 0; i < QUEUES_OPEN; i++)
        inners_open(&queues[i]);
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void begin(void)
{
    for (int i = 0; i < QUEUES_MOST; i++)
        queues[i].fd = -1;
    for (int i = 0; i < QUEUES_OPEN; i++)
        inners_open(&queues[i]);
    pthread_atfork(before_fork, parent_after_fork, child_after_fork);
}

/* ---- changes ---- */

static int inner_of(int queue, int16_t filter)
{
    return queues[queue].inners[filter == EVFILT_WRITE ? 1 : filter == EVFILT_EXCEPT ? 2 : 0];
}

static bool is_known(int16_t filter)
{
    return filter_is_of_fd(filter) || filter == EVFILT_USER || filter == EVFILT_TIMER ||
           outside_has(filter);
}

static bool is_closed(int fd)
{
    return fcntl(fd, F_GETFD) < 0 && errno == EBADF;
}

/* EV_ADD over what is there changes its parameters, and neither how it tells nor whether. */
static void note_enable(struct knote *note, const struct kevent *change)
{
    if (change->flags & EV_DISABLE)
        note->enabled = false;
    else if (change->flags & EV_ENABLE)
        note->enabled = true;
}

/* Whether a change makes the filter look whether its condition holds. */
static bool note_looks(const struct kevent *change, bool was_enabled)
{
    bool enables = change->flags & EV_ENABLE && (!was_enabled || kernel->enable_fires);
    return change->flags & (EV_ADD | EV_DISABLE) || change->filter == EVFILT_USER || enables;
}

static int note_begin(struct knote *note, const struct kevent *change)
{
    note->flags = change->flags & (EV_CLEAR | EV_ONESHOT | EV_DISPATCH);
    note->enabled = !(change->flags & EV_DISABLE);
    note->udata = change->udata;
    note->fflags = change->fflags;
    note->data = change->data;
    return filter_attach(note);
}

static int change_one(int queue, const struct kevent *change)
{
    if (!is_known(change->filter))
        return EINVAL;
    if (filter_is_of_fd(change->filter) && is_closed((int)change->ident))
        return EBADF;
    struct knote *old = note_find(queue, change->ident, change->filter);
    if (!old && !(change->flags & EV_ADD))
        return ENOENT;
    if (change->flags & EV_DELETE) {
        if (old)
            note_free(old);
        return 0;
    }
    struct knote *note = old ? old : note_make(queue, inner_of(queue, change->filter), change);
    if (!note)
        return ENOMEM;
    bool was_enabled = note->enabled;
    if (old)
        note_enable(note, change);
    int error = old ? filter_touch(note, change) : note_begin(note, change);
    if (error == 0 && (!old || note_looks(change, was_enabled)))
        error = note_register(note);
    if (error != 0 && !old)
        note_free(note);
    return error;
}

/* How many of them became events, or -1. Both lists may be the same array. */
static int change_all(int queue, const struct kevent *changes, int count, struct kevent *events,
                      int most)
{
    int told = 0;
    for (int i = 0; i < count; i++) {
        struct kevent change = changes[i];
        int error = change_one(queue, &change);
        if (error == 0 && !(change.flags & EV_RECEIPT))
            continue;
        if (told < most) {
            change.flags |= EV_ERROR;
            change.data = error;
            events[told++] = change;
        } else if (error != 0) {
            errno = error;
            return -1;
        }
    }
    return told;
}

/* ---- waiting ---- */

static unsigned collects;

static bool deliver(struct knote *note, uint32_t told, struct kevent *event)
{
    if (note->held >= 0 && note->collect == collects)
        return false;
    note->collect = collects;
    *event = (struct kevent){
        .ident = note->ident,
        .filter = note->filter,
        .flags = note->flags,
        .udata = note->udata,
    };
    bool tells = filter_tell(note, told, event);
    if (note->over || (tells && note->flags & EV_ONESHOT)) {
        note_free(note);
    } else if (tells && note->flags & EV_DISPATCH &&
               (kernel->clear_dispatches || !(note->flags & EV_CLEAR))) {
        note->enabled = false;
        note_deregister(note);
    }
    return tells;
}

/* What there is now. The inner epolls take turns at being first, so that none starves. */
static int collect(struct queue *queue, struct kevent *events, int most)
{
    int count = 0;
    collects++;
    for (int i = 0; i < INNERS && count < most; i++) {
        struct epoll_event got[BATCH];
        int room = most - count < BATCH ? most - count : BATCH;
        int ready = epoll_wait(queue->inners[(queue->turn + i) % INNERS], got, room, 0);
        for (int e = 0; e < ready; e++)
            count += deliver(note_at(got[e].data.u64), got[e].events, &events[count]);
    }
    queue->turn = (queue->turn + 1) % INNERS;
    return count;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool is_good(const struct timespec *timeout)
{
    int64_t most = kernel->seconds_most ? kernel->seconds_most : INT64_MAX;
    return !timeout || (timeout->tv_sec >= 0 && timeout->tv_sec <= most &&
                        timeout->tv_nsec >= 0 && timeout->tv_nsec < 1000000000);
}

/* A level that is no event (of a socket that is not connected) keeps the epoll ready: hence the
 * pause. */
static int wait_for_events(int fd, struct kevent *events, int most, const struct timespec *timeout)
{
    static const struct timespec PAUSE = {.tv_nsec = 200000};
    if (timeout && timeout->tv_sec > SECONDS_MOST)
        timeout = NULL;
    int64_t until = timeout ? now_ns() + timeout->tv_sec * 1000000000 + timeout->tv_nsec : 0;
    for (bool again = false;; again = true) {
        pthread_mutex_lock(&lock);
        int queue = queue_find(fd), count = queue < 0 ? 0 : collect(&queues[queue], events, most);
        pthread_mutex_unlock(&lock);
        int64_t left = timeout ? until - now_ns() : 0;
        if (count > 0 || (timeout && left <= 0))
            return count;
        if (again)
            nanosleep(&PAUSE, NULL);
        struct timespec length = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
        struct pollfd ask = {.fd = fd, .events = POLLIN};
        if (ppoll(&ask, 1, timeout ? &length : NULL, NULL) < 0)
            return -1;
    }
}

int kevent(int fd, const struct kevent *changes, int changes_count, struct kevent *events,
           int events_most, const struct timespec *timeout)
{
    if (!is_good(timeout) || events_most < 0 || changes_count < 0) {
        errno = EINVAL;
        return -1;
    }
    pthread_mutex_lock(&lock);
    int queue = fd >= 0 ? queue_find(fd) : -1, told = -1;
    errno = EBADF;
    if (queue >= 0)
        told = change_all(queue, changes, changes_count, events, events_most);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    if (told != 0 || events_most == 0)
        return told;
    return wait_for_events(fd, events, events_most, timeout);
}
