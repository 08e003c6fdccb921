/* The levels of macOS and the BSDs: a kqueue whose registrations tell as long as what they tell of
 * holds. */
#include "kqueue.h"

#ifdef CR_HAS_KQUEUE

#include "posix.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Some kernels refuse to report of the writing end of a pipe that has no readers, and forget that
 * they were asked to: such a pipe is always ready. */
static bool levels_is_broken(int fd, const struct kevent *changes, const struct kevent *receipts,
                             int count)
{
    const struct kevent *change = &changes[count - 1];
    int error = (int)receipts[count - 1].data, mode = fcntl(fd, F_GETFL);
    bool asks = (int)change->filter == (int)EVFILT_WRITE && !(change->flags & EV_DELETE);
    return asks && (error == EPIPE || error == EBADF || error == ENOENT) && mode >= 0 &&
           (mode & O_ACCMODE) != O_RDONLY;
}

static bool levels_is_fifo(int fd)
{
    struct stat about;
    return fstat(fd, &about) == 0 && S_ISFIFO(about.st_mode);
}

/* The directions whose filters are added for `mask`. Some kernels tell the writer of a full pipe
 * that its reader is gone only by the filter for reading. */
static int levels_filters(int mask, bool is_fifo)
{
    return mask | (is_fifo && mask & COIR_OUT ? COIR_IN : 0);
}

/* The changes that lead from `old` to `new`, in the order of FILTERS. What was there before and
 * still is gets enabled, which finds out whether it is there. */
static int levels_changes(const struct kevent *base, int old, int new, struct kevent changes[2])
{
    int count = 0;
    for (int i = FILTER_READ; i <= FILTER_WRITE; i++) {
        int bit = FILTERS[i].mask, flags = old & bit ? EV_ENABLE : EV_ADD;
        if (!((old | new) & bit))
            continue;
        changes[count] = *base;
        changes[count].filter = (__typeof__(base->filter))FILTERS[i].filter;
        changes[count++].flags = (__typeof__(base->flags))(EV_RECEIPT |
                                                           (new & bit ? flags : EV_DELETE));
    }
    return count;
}

/* What became of the changes, of the directions that are asked for. What was watched is gone when
 * nothing of it could be enabled. A direction that is missing beside one that is not has nothing to
 * tell. */
static int levels_verdict(const struct kevent *changes, const struct kevent *receipts, int count,
                          int old, int mask)
{
    int kept = 0, lost = 0;
    for (int i = 0; i < count; i++) {
        int error = (int)receipts[i].data;
        bool enables = changes[i].flags & EV_ENABLE, gone = error == ENOENT || error == EBADF;
        bool missing = error == EPIPE || cr_kqueue_is_missing(error);
        int direction = (int)changes[i].filter == (int)EVFILT_READ ? COIR_IN : COIR_OUT;
        kept += enables && !error;
        if (!(mask & direction) || changes[i].flags & EV_DELETE)
            continue;
        lost += enables && gone;
        if (error && !(enables ? gone : missing))
            return -error;
        if (error && !old)
            return -EPERM;
    }
    return lost > 0 && kept == 0 ? -ENOENT : 0;
}

static int levels_watch(struct cr_levels *levels, int fd, int index, uint64_t token, int old,
                        int mask)
{
    struct kevent changes[2], receipts[2], base = {.udata = kqueue_from_token(token)};
    (void)index;
    int queue = cr_kqueue_open(&levels->queue);
    if (queue < 0)
        return queue;
    if (mask == 0) {
        cr_kqueue_remove(queue, fd);
        return 0;
    }
    int result = cr_kqueue_prepare(fd, &base);
    if (result < 0)
        return result;
    bool is_fifo = levels_is_fifo(fd);
    int before = levels_filters(old, is_fifo), after = levels_filters(mask, is_fifo);
    int count = levels_changes(&base, before, after, changes);
    int told = kevent(queue, changes, count, receipts, count, NULL);
    if (told != count)
        return told < 0 ? -errno : -EINVAL;
    result = levels_verdict(changes, receipts, count, old, mask);
    if (is_fifo && result == 0 && mask & COIR_OUT && levels_is_broken(fd, changes, receipts, count))
        result = old ? -EPIPE : -EPERM;
    if (result == -ENOENT || result == -EPIPE || (result < 0 && !old)) {
        cr_kqueue_remove(queue, fd);
    } else if (result < 0) {
        count = levels_changes(&base, after, before, changes);
        kevent(queue, changes, count, receipts, count, NULL);
    }
    return result;
}

/* An end comes from one filter, and may concern the other direction too: of a pipe it always does,
 * of a socket the other filter says so. */
static struct cr_level levels_tell(const struct kevent *event)
{
    int fd = (int)event->ident, end = COIR_HUP | COIR_ERR;
    struct cr_level level = {.token = kqueue_token(event), .ended = event->flags & EV_ONESHOT};
    bool reads = (int)event->filter == (int)EVFILT_READ;
    if (event->flags & EV_EOF) {
        int asked = cr_kqueue_ask(fd, COIR_IN | COIR_OUT);
        end &= asked < 0 ? end : asked;
        if (reads && asked > 0 && asked & COIR_OUT && levels_is_fifo(fd))
            level.out = COIR_OUT | end;
    } else {
        end = 0;
    }
    if (reads)
        level.in = COIR_IN | end;
    else
        level.out = COIR_OUT | end;
    return level;
}

static int levels_wait(struct cr_levels *levels, struct cr_level *got, int max, uint64_t until)
{
    struct kevent events[KQUEUE_BATCH];
    int room = max < KQUEUE_BATCH ? max : KQUEUE_BATCH;
    int count = cr_kqueue_collect(levels->queue, events, room, until);
    for (int i = 0; i < count; i++) {
        got[i] = levels_tell(&events[i]);
        for (int j = 0; j < i && got[i].in && got[i].out; j++)
            if (got[j].token == got[i].token)
                got[i].out = 0;
        if (i > 0 && got[i].token == got[i - 1].token && got[i].out && got[i - 1].out)
            got[i].out = 0;
    }
    return count;
}

static void levels_close(struct cr_levels *levels)
{
    if (levels->queue >= 0)
        close(levels->queue);
    free(levels);
}

int cr_kqueue_levels_make(struct cr_levels **levels)
{
    static const struct cr_levels_ops OPS = {
        .make = cr_kqueue_levels_make,
        .watch = levels_watch,
        .wait = levels_wait,
        .ready = cr_posix_ask,
        .close = levels_close,
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

int cr_kqueue_levels_make(struct cr_levels **levels)
{
    (void)levels;
    return -ENOSYS;
}

#endif
