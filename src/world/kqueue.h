/* What the two halves of the port to kqueue share: kqueue.c, the world, and kqueue_levels.c, the
 * levels for coir_loop. */
#ifndef CR_KQUEUE_H
#define CR_KQUEUE_H

#include "levels.h"

#if (defined(__APPLE__) || defined(__FreeBSD__) || defined(__DragonFly__) ||                       \
     defined(__NetBSD__) || defined(__OpenBSD__) || defined(COIR_KQUEUE)) &&                       \
    UINTPTR_MAX > 0xffffffff
#define CR_HAS_KQUEUE

#include <sys/types.h>

#include <sys/event.h>
#include <sys/time.h>

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

/* udata is a pointer, and in some versions of NetBSD a number. */
typedef __typeof__(((struct kevent *)0)->udata) kqueue_udata;

CR_INLINE kqueue_udata kqueue_from_token(uint64_t token)
{
    return (kqueue_udata)(uintptr_t)token;
}

CR_INLINE uint64_t kqueue_token(const struct kevent *event)
{
    return (uint64_t)(uintptr_t)event->udata;
}

/* Opens the queue that is kept in *out, if it is not open: it, or an error. */
CR_HIDDEN int cr_kqueue_open(int *out);

/* How many events there are, at most `room` (0: nobody waits for any); or an error. */
CR_HIDDEN int cr_kqueue_collect(int queue, struct kevent got[KQUEUE_BATCH], int room,
                                uint64_t until);

/* Whether a queue may have this descriptor: 0, or an error. What *base gets is for a device. */
CR_HIDDEN int cr_kqueue_prepare(int fd, struct kevent *base);

CR_HIDDEN void cr_kqueue_remove(int queue, int fd);

/* Whether the error of a change means that a filter has nothing to tell of a descriptor. */
CR_HIDDEN bool cr_kqueue_is_missing(int error);

/* Asks what of `mask` a descriptor is ready for, with HUP and ERR; or an error. */
CR_HIDDEN int cr_kqueue_ask(int fd, int mask);

#endif
#endif
