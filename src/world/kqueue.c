/* The world of macOS and the BSDs: one kqueue. A descriptor is registered once for reading, for
 * writing and, where the kernel has a filter for it, for urgent data; each of them an edge
 * (EV_CLEAR). Waits have the kernel's nanoseconds.
 *
 * Each filter tells of its own direction. What holds for both (hang-up, error) comes as EV_EOF of
 * one of them, which does not say how far the end has gone: the reader of a pipe hears the same
 * as a socket whose peer may still read. There, and only there, poll is asked too, which also keeps
 * what is reported the same as what coir_wait_fd is answered when it asks. */
#include "levels.h"

#if (defined(__APPLE__) || defined(__FreeBSD__) || defined(__DragonFly__) ||                       \
     defined(__NetBSD__) || defined(__OpenBSD__) || defined(COIR_KQUEUE)) &&                       \
    UINTPTR_MAX > 0xffffffff

#include "../os/os.h"
#include "posix.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/event.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Some kernels refuse a longer wait, as EINVAL: about three years. */
enum { KQUEUE_BATCH = 128, WAIT_SECONDS_MAX = 100000000 };

enum { FILTER_READ, FILTER_WRITE, FILTER_URGENT, FILTERS_MOST };

static const struct kqueue_filter {
    int filter;
    unsigned int fflags;
    int mask; /* what it tells */
} FILTERS[] = {
    [FILTER_READ] = {(int)EVFILT_READ, 0, COIR_IN},
    [FILTER_WRITE] = {(int)EVFILT_WRITE, 0, COIR_OUT},
#ifdef NOTE_OOB
    [FILTER_URGENT] = {(int)EVFILT_EXCEPT, NOTE_OOB, CR_URGENT},
#endif
};

enum { FILTERS_COUNT = sizeof FILTERS / sizeof *FILTERS };

struct cr_kqueue {
    struct cr_world world;
    int queue;      /* -1: not opened yet */
    bool no_urgent; /* the kernel has refused to report a socket's urgent data */
};

static struct cr_kqueue *kqueue_of(struct cr_world *world)
{
    return CR_CONTAINER(world, struct cr_kqueue, world);
}

/* udata is a pointer, and in some versions of NetBSD a number. */
typedef __typeof__(((struct kevent *)0)->udata) kqueue_udata;

static kqueue_udata kqueue_from_token(uint64_t token)
{
    return (kqueue_udata)(uintptr_t)token;
}

static uint64_t kqueue_token(const struct kevent *event)
{
    return (uint64_t)(uintptr_t)event->udata;
}

static int kqueue_open_queue(int *out)
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
    return kqueue_open_queue(&kqueue_of(world)->queue);
}

static int kqueue_own(struct cr_world *world, int i)
{
    return i == 0 ? kqueue_of(world)->queue : -1;
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

static void kqueue_remove(int queue, int fd)
{
    int errors[FILTERS_MOST];
    struct kevent delete = {.ident = (uintptr_t)fd, .flags = EV_DELETE | EV_RECEIPT};
    kqueue_change(queue, &delete, errors);
}

/* A close takes off what the number has registered, so no file is reported later. */
static bool kqueue_detach(struct cr_world *world, int fd, int index)
{
    (void)index;
    kqueue_remove(kqueue_of(world)->queue, fd);
    return true;
}

/* A filter is missing where a descriptor has no such direction, or its file nothing to tell. */
static bool kqueue_is_missing(int error)
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
    if (read_error && !kqueue_is_missing(read_error))
        return -read_error;
    if (write_error && !kqueue_is_missing(write_error))
        return -write_error;
    return read_error && write_error ? -EPERM : 0;
}

/* Regular files would be accepted, and never tell of their end. A device may be accepted only by
 * whoever does not ask how many bytes it has: one that asks for a byte at least. */
static int kqueue_attach(struct cr_world *world, int fd, uint64_t token)
{
    struct stat about;
    int errors[FILTERS_MOST], result = kqueue_open(world);
    if (result < 0)
        return result;
    if (fstat(fd, &about) != 0)
        return -errno;
    if (S_ISREG(about.st_mode) || S_ISDIR(about.st_mode))
        return -EPERM;
    bool device = S_ISCHR(about.st_mode);
    struct kevent add = {
        .ident = (uintptr_t)fd,
        .flags = EV_ADD | EV_CLEAR | EV_RECEIPT,
        .fflags = device ? NOTE_LOWAT : 0,
        .data = device ? 1 : 0,
        .udata = kqueue_from_token(token),
    };
    kqueue_change(kqueue_of(world)->queue, &add, errors);
    result = kqueue_judge(errors[FILTER_READ], errors[FILTER_WRITE]);
    if (result < 0)
        kqueue_remove(kqueue_of(world)->queue, fd);
    else if (errors[FILTER_URGENT] && S_ISSOCK(about.st_mode))
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
        asked = COIR_IN | COIR_OUT | COIR_ERR;
    if (mask & COIR_IN)
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

/* How many events there are, at most `room` (0: nobody waits for any); or an error. */
static int kqueue_collect(int queue, struct kevent got[KQUEUE_BATCH], int room, uint64_t until)
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
    int count = kqueue_collect(kqueue_of(world)->queue, got, room, until);
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
        .ready = cr_posix_ready,
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

/* ---- levels ---- */

/* The changes that lead from `old` to `mask`, in the order of FILTERS. What was watched before and
 * still is gets enabled, which finds out whether it is there. */
static int kqueue_changes(const struct kevent *base, int old, int mask, struct kevent changes[2])
{
    int count = 0;
    for (int i = FILTER_READ; i <= FILTER_WRITE; i++) {
        int bit = FILTERS[i].mask, flags = old & bit ? EV_ENABLE : EV_ADD;
        if (!((old | mask) & bit))
            continue;
        changes[count] = *base;
        changes[count].filter = (__typeof__(base->filter))FILTERS[i].filter;
        changes[count++].flags = (__typeof__(base->flags))(EV_RECEIPT |
                                                           (mask & bit ? flags : EV_DELETE));
    }
    return count;
}

/* What became of the changes. What was watched is gone when nothing of it could be enabled. A
 * direction that is missing beside one that is not has nothing to tell. */
static int kqueue_verdict(const struct kevent *changes, const struct kevent *receipts, int count,
                          int old)
{
    int kept = 0, lost = 0;
    for (int i = 0; i < count; i++) {
        int error = (int)receipts[i].data;
        bool enables = changes[i].flags & EV_ENABLE, gone = error == ENOENT || error == EBADF;
        bool missing = error == EPIPE || kqueue_is_missing(error);
        kept += enables && !error;
        lost += enables && gone;
        if (changes[i].flags & EV_DELETE || !error)
            continue;
        if (!(enables ? gone : missing))
            return -error;
        if (!old)
            return -EPERM;
    }
    return lost > 0 && kept == 0 ? -ENOENT : 0;
}

static int kqueue_watch(struct cr_levels *levels, int fd, int index, uint64_t token, int old,
                        int mask)
{
    (void)index;
    struct stat about;
    int queue = kqueue_open_queue(&levels->queue);
    if (queue < 0)
        return queue;
    if (mask == 0) {
        kqueue_remove(queue, fd);
        return 0;
    }
    if (fstat(fd, &about) != 0)
        return -errno;
    if (S_ISREG(about.st_mode) || S_ISDIR(about.st_mode))
        return -EPERM;
    bool device = S_ISCHR(about.st_mode);
    struct kevent changes[2], receipts[2], base = {
        .ident = (uintptr_t)fd,
        .fflags = device ? NOTE_LOWAT : 0,
        .data = device ? 1 : 0,
        .udata = kqueue_from_token(token),
    };
    int count = kqueue_changes(&base, old, mask, changes);
    int told = kevent(queue, changes, count, receipts, count, NULL);
    if (told != count)
        return told < 0 ? -errno : -EINVAL;
    int result = kqueue_verdict(changes, receipts, count, old);
    if (result == -ENOENT || (result < 0 && !old)) {
        kqueue_remove(queue, fd);
    } else if (result < 0) {
        count = kqueue_changes(&base, mask, old, changes);
        kevent(queue, changes, count, receipts, count, NULL);
    }
    return result;
}

static int kqueue_wait_levels(struct cr_levels *levels, struct cr_level *got, int max,
                              uint64_t until)
{
    struct kevent events[KQUEUE_BATCH];
    int room = max < KQUEUE_BATCH ? max : KQUEUE_BATCH;
    int count = kqueue_collect(levels->queue, events, room, until);
    for (int i = 0; i < count; i++) {
        bool ends = events[i].flags & EV_EOF;
        int beside = (ends ? COIR_HUP : 0) | (ends && events[i].fflags ? COIR_ERR : 0);
        got[i] = (struct cr_level){.token = kqueue_token(&events[i])};
        if ((int)events[i].filter == (int)EVFILT_READ)
            got[i].in = COIR_IN | beside;
        else
            got[i].out = COIR_OUT | beside;
    }
    return count;
}

static void kqueue_close_levels(struct cr_levels *levels)
{
    if (levels->queue >= 0)
        close(levels->queue);
    free(levels);
}

int cr_kqueue_make_levels(struct cr_levels **levels)
{
    static const struct cr_levels_ops OPS = {
        .make = cr_kqueue_make_levels,
        .watch = kqueue_watch,
        .wait = kqueue_wait_levels,
        .ready = cr_posix_ask,
        .close = kqueue_close_levels,
        .queue_is_private = true,
    };
    struct cr_levels *made = malloc(sizeof *made);
    if (!made)
        return -ENOMEM;
    *made = (struct cr_levels){.ops = &OPS, .queue = -1};
    *levels = made;
    return 0;
}

#else

int cr_kqueue_make(struct cr_world **world)
{
    (void)world;
    return -ENOSYS;
}

int cr_kqueue_make_levels(struct cr_levels **levels)
{
    (void)levels;
    return -ENOSYS;
}

#endif
