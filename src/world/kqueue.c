/* The world of macOS and the BSDs: one kqueue. A descriptor is registered once for reading, for
 * writing and, where the kernel has a filter for it, for urgent data; each of them an edge
 * (EV_CLEAR). Waits have the kernel's nanoseconds.
 *
 * Each filter tells of its own direction. What holds for both (hang-up, error) comes as EV_EOF of
 * one of them, which does not say how far the end has gone: the reader of a pipe hears the same
 * as a socket whose peer may still read. There, and only there, more is asked, by the function that
 * also answers coir_wait_fd, so that what is reported is what is answered. It is kqueue that says
 * whether a socket has come to an end: each system's poll has an opinion of its own. */
#include "kqueue.h"

#ifdef CR_HAS_KQUEUE

#include "../os/os.h"
#include "posix.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct cr_kqueue {
    struct cr_world world;
    int queue;      /* -1: not opened yet */
    bool no_urgent; /* the kernel has refused to report a socket's urgent data */
};

static struct cr_kqueue *kqueue_of(struct cr_world *world)
{
    return CR_CONTAINER(world, struct cr_kqueue, world);
}

int cr_kqueue_open(int *out)
{
    if (*out >= 0)
        return *out;
    int queue = cr_os_number(kqueue());
    if (queue < 0)
        return -errno;
    if (fcntl(queue, F_SETFD, FD_CLOEXEC) != 0) {
        int result = -errno;
        close(queue);
        return result;
    }
    *out = queue;
    return queue;
}

static int kqueue_open(struct cr_world *world)
{
    return cr_kqueue_open(&kqueue_of(world)->queue);
}

static int kqueue_own(struct cr_world *world, int i)
{
    return i == 0 ? kqueue_of(world)->queue : -1;
}

static bool kqueue_is_socket(int fd)
{
    int type;
    socklen_t size = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

/* Makes one change to every filter of a descriptor, and stores what became of each: 0 or an error
 * code. Receipts keep the kernel from returning events instead, which nobody would see. */
static void kqueue_change(int queue, const struct kevent *base, int errors[FILTERS_MOST])
{
    struct kevent changes[FILTERS_COUNT], receipts[FILTERS_COUNT];
    for (int i = 0; i < FILTERS_COUNT; i++) {
        changes[i] = *base;
        changes[i].filter = (__typeof__(base->filter))FILTERS[i].filter;
        changes[i].fflags |= FILTERS[i].fflags;
    }
    int count = kevent(queue, changes, FILTERS_COUNT, receipts, FILTERS_COUNT, NULL);
    int failed = count < 0 ? errno : EINVAL;
    for (int i = 0; i < FILTERS_MOST; i++)
        errors[i] = i < count ? (int)receipts[i].data : failed;
}

void cr_kqueue_remove(int queue, int fd)
{
    int errors[FILTERS_MOST];
    struct kevent delete = {.ident = (uintptr_t)fd, .flags = EV_DELETE | EV_RECEIPT};
    kqueue_change(queue, &delete, errors);
}

/* A close takes off what the number has registered, so no file is reported later. */
static bool kqueue_detach(struct cr_world *world, int fd, int index)
{
    (void)index;
    cr_kqueue_remove(kqueue_of(world)->queue, fd);
    return true;
}

/* A filter is missing where a descriptor has no such direction, or its file nothing to tell. */
bool cr_kqueue_is_missing(int error)
{
    return error == EINVAL || error == ENODEV || error == EPERM || error == EOPNOTSUPP ||
           error == EBADF;
}

/* What to make of the errors of the two directions. A pipe that has lost its reader is refused as
 * EPIPE: it cannot be polled, and what cannot be polled is always ready, as that pipe is. */
static int kqueue_judge(int read_error, int write_error)
{
    if (read_error == EPIPE || write_error == EPIPE)
        return -EPERM;
    if (read_error && !cr_kqueue_is_missing(read_error))
        return -read_error;
    if (write_error && !cr_kqueue_is_missing(write_error))
        return -write_error;
    return read_error && write_error ? -EPERM : 0;
}

/* Regular files would be accepted, and never tell of their end. A device may be accepted only by
 * whoever does not ask how many bytes it has: one that asks for a byte at least. */
int cr_kqueue_prepare(int fd, struct kevent *base)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        return -errno;
    if (S_ISREG(about.st_mode) || S_ISDIR(about.st_mode))
        return -EPERM;
    bool device = S_ISCHR(about.st_mode);
    base->ident = (uintptr_t)fd;
    base->fflags = device ? NOTE_LOWAT : 0;
    base->data = device ? 1 : 0;
    return 0;
}

static int kqueue_attach(struct cr_world *world, int fd, uint64_t token)
{
    struct kevent add = {
        .flags = EV_ADD | EV_CLEAR | EV_RECEIPT,
        .udata = kqueue_from_token(token),
    };
    int errors[FILTERS_MOST], result = kqueue_open(world);
    if (result >= 0)
        result = cr_kqueue_prepare(fd, &add);
    if (result < 0)
        return result;
    kqueue_change(kqueue_of(world)->queue, &add, errors);
    result = kqueue_judge(errors[FILTER_READ], errors[FILTER_WRITE]);
    if (result < 0)
        cr_kqueue_remove(kqueue_of(world)->queue, fd);
    else if (errors[FILTER_URGENT] && kqueue_is_socket(fd))
        kqueue_of(world)->no_urgent = true;
    return result;
}

static bool kqueue_is_gone(int error)
{
    return error == ENOENT || error == EBADF;
}

static bool kqueue_lost(struct cr_world *world, int fd, uint64_t token)
{
    int errors[FILTERS_MOST];
    struct kevent same = {
        .ident = (uintptr_t)fd,
        .flags = EV_ENABLE | EV_RECEIPT,
        .udata = kqueue_from_token(token),
    };
    kqueue_change(kqueue_of(world)->queue, &same, errors);
    return kqueue_is_gone(errors[FILTER_READ]) && kqueue_is_gone(errors[FILTER_WRITE]);
}

/* A short read proves emptiness only where urgent data, which a read stops at, is reported. */
static int kqueue_adopt(struct cr_world *world, int fd)
{
    int kind = cr_posix_adopt(world, fd);
    return kind > 0 && kqueue_of(world)->no_urgent ? kind & ~CR_FD_SHORT_EMPTIES : kind;
}

/* ---- what is asked ---- */

/* What both filters of a descriptor would tell now: how many events, or -1. A queue of its own
 * leaves nothing behind. Errors of changes come first, and keep events back. */
static int kqueue_peek(int fd, struct kevent got[2])
{
    static const struct timespec AT_ONCE;
    struct kevent changes[2];
    int queue = kqueue();
    if (queue < 0)
        return -1;
    for (int i = FILTER_READ; i <= FILTER_WRITE; i++)
        EV_SET(&changes[i], fd, FILTERS[i].filter, EV_ADD, 0, 0, 0);
    int count = kevent(queue, changes, 2, got, 2, &AT_ONCE);
    if (count > 0 && got[0].flags & EV_ERROR)
        count = kevent(queue, NULL, 0, got, 2, &AT_ONCE);
    close(queue);
    return count;
}

/* A socket has hung up when its peer will send no more; an error is ready for both directions. What
 * is not ready has nothing to say. */
int cr_kqueue_ask(int fd, int mask)
{
    int ready = cr_posix_ask(fd, mask == COIR_HUP ? COIR_IN : mask), told = ready;
    struct kevent got[2];
    int count = ready > 0 && kqueue_is_socket(fd) ? kqueue_peek(fd, got) : -1;
    if (ready < 0)
        return ready;
    if (count >= 0)
        told = 0;
    for (int i = 0; i < count; i++) {
        bool reads = (int)got[i].filter == (int)EVFILT_READ;
        told |= reads ? COIR_IN : COIR_OUT;
        if (reads && got[i].flags & EV_EOF)
            told |= COIR_HUP;
        if (got[i].flags & EV_EOF && got[i].fflags)
            told |= COIR_ERR;
    }
    if (mask == COIR_HUP)
        mask |= COIR_ERR;
    return told & mask ? told & (mask | COIR_HUP | COIR_ERR) : 0;
}

static int kqueue_ready(struct cr_world *world, int fd, int mask)
{
    (void)world;
    return cr_kqueue_ask(fd, mask);
}

/* ---- what is reported ---- */

static int kqueue_mask(struct cr_world *world, const struct kevent *event)
{
    if (event->flags & EV_ERROR)
        return COIR_IN | COIR_OUT | COIR_ERR;
    int mask = 0;
    for (int i = 0; i < FILTERS_COUNT; i++)
        if ((int)event->filter == FILTERS[i].filter)
            mask = FILTERS[i].mask;
    if (!(event->flags & EV_EOF))
        return mask;
    int asked = world->ops->ready(world, (int)event->ident, COIR_IN | COIR_OUT);
    if (asked < 0)
        asked = COIR_IN | COIR_OUT | COIR_HUP | COIR_ERR;
    if (mask & COIR_IN && !(asked & COIR_ERR))
        mask |= COIR_HUP;
    else if (asked == 0)
        mask |= COIR_HUP | COIR_ERR;
    if (event->fflags && !(mask & CR_URGENT))
        mask |= COIR_ERR;
    return mask | asked;
}

/* What both directions of a descriptor have to report mostly comes in neighbours, and is one event
 * then. */
static int kqueue_report(struct cr_world *world, const struct kevent *got, int count,
                         struct cr_event *events)
{
    int told = 0;
    for (int i = 0; i < count; i++) {
        uint64_t token = kqueue_token(&got[i]);
        if (told == 0 || events[told - 1].token != token)
            events[told++] = (struct cr_event){.token = token};
        events[told - 1].value |= kqueue_mask(world, &got[i]);
    }
    return told;
}

int cr_kqueue_collect(int queue, struct kevent got[KQUEUE_BATCH], int room, uint64_t until)
{
    struct timespec left_buf, *left = cr_posix_left(until, &left_buf);
    if (left && left->tv_sec > WAIT_SECONDS_MAX)
        left->tv_sec = WAIT_SECONDS_MAX;
    int count;
    if (queue < 0 || room == 0)
        count = cr_os_poll(NULL, 0, left);
    else
        count = kevent(queue, NULL, 0, got, room, left);
    return count >= 0 ? count : errno == EINTR ? 0 : -errno;
}

static int kqueue_wait(struct cr_world *world, struct cr_event *events, int max, uint64_t until,
                       bool *more)
{
    struct kevent got[KQUEUE_BATCH];
    int room = max < KQUEUE_BATCH ? max : KQUEUE_BATCH;
    int count = cr_kqueue_collect(kqueue_of(world)->queue, got, room, until);
    if (count < 0)
        return count;
    *more = count == room && room > 0;
    return kqueue_report(world, got, count, events);
}

static void kqueue_close(struct cr_world *world)
{
    if (kqueue_of(world)->queue >= 0)
        close(kqueue_of(world)->queue);
    free(kqueue_of(world));
}

int cr_kqueue_make(struct cr_world **world)
{
    static const struct cr_world_ops OPS = {
        .now = cr_posix_now,
        .wait = kqueue_wait,
        .open = kqueue_open,
        .own = kqueue_own,
        .attach = kqueue_attach,
        .detach = kqueue_detach,
        .lost = kqueue_lost,
        .ready = kqueue_ready,
        .adopt = kqueue_adopt,
        .start = cr_ops_start,
        .cancel = cr_posix_cancel,
        .renew = cr_posix_renew,
        .close = kqueue_close,
    };
    struct cr_kqueue *made = malloc(sizeof *made);
    if (!made)
        return -ENOMEM;
    *made = (struct cr_kqueue){
        .world = {.ops = &OPS, .name = "kqueue", .edges = true, .plain = true},
        .queue = -1,
    };
    *world = &made->world;
    return 0;
}

#else

int cr_kqueue_make(struct cr_world **world)
{
    (void)world;
    return -ENOSYS;
}

#endif
