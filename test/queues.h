/* Queues of kqueue(2), for the tests of what it promises by itself: on Linux they are the tests'
 * own, elsewhere the kernel's. */
#ifndef TEST_QUEUES_H
#define TEST_QUEUES_H

#include "fds.h"

#if defined(__linux__) && !defined(COIR_KQUEUE)
#define QUEUES_SKIP "this build has no kqueue: cmake --preset kqueue"
#else

#include <sys/event.h>

/* Kernels differ in whether they show EV_ADD and the like. */
enum { FLAGS_SHOWN = EV_EOF | EV_ERROR | EV_CLEAR | EV_ONESHOT | EV_DISPATCH };

static struct kevent events[8];
static char mark; /* udata */

static inline int queue_make(void)
{
    int queue = kqueue();
    CHECK(queue >= 0);
    return queue;
}

/* What there is now, or within this many milliseconds. */
static inline int look(int queue, long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    memset(events, 0, sizeof events);
    return kevent(queue, NULL, 0, events, 8, &time);
}

enum { NOW = 0, SOON = 5000 };

static inline int change(int queue, uintptr_t ident, int filter, int flags, unsigned int fflags,
                         int data)
{
    struct kevent one;
    EV_SET(&one, ident, filter, flags, fflags, data, (void *)&mark);
    return kevent(queue, &one, 1, NULL, 0, NULL) == 0 ? 0 : -errno;
}

/* ---- what events are about ---- */

static struct fds_pair pair;
static pid_t child;
static int file;

/* A child that exits with 3 when end_child is called. */
static inline uintptr_t make_child(void)
{
    pair = fds_pipe(0);
    child = fork();
    if (child == 0) {
        char byte;
        close(pair.out);
        _exit(read(pair.in, &byte, 1) == 0 ? 3 : 4);
    }
    close(pair.in);
    return (uintptr_t)child;
}

static inline void end_child(void)
{
    close(pair.out);
    pair.out = -1;
}

static inline uintptr_t make_file(void)
{
    file = open(test_path("file"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(file >= 0);
    return (uintptr_t)file;
}

#endif
#endif
