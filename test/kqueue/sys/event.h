/* kqueue for the tests, on Linux: what macOS's <sys/event.h> declares of what kqueue.c implements.
 * Names, types and values are those of macOS; what FreeBSD spells differently is not used by coir.
 * kqueue.c says what each does, and what is not modelled. */
#ifndef TEST_KQUEUE_SYS_EVENT_H
#define TEST_KQUEUE_SYS_EVENT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct kevent {
    uintptr_t ident; /* a descriptor, process or signal; of EVFILT_USER and EVFILT_TIMER any */
    int16_t filter;
    uint16_t flags;
    uint32_t fflags;
    intptr_t data;
    void *udata;
};

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_VNODE (-4)
#define EVFILT_PROC (-5)
#define EVFILT_SIGNAL (-6)
#define EVFILT_TIMER (-7)
#define EVFILT_USER (-10)
#define EVFILT_EXCEPT (-15)

/* What to do. */
#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ENABLE 0x0004
#define EV_DISABLE 0x0008

/* How. */
#define EV_ONESHOT 0x0010
#define EV_CLEAR 0x0020
#define EV_RECEIPT 0x0040
#define EV_DISPATCH 0x0080

/* What is returned. */
#define EV_EOF 0x8000
#define EV_ERROR 0x4000

/* EVFILT_READ, EVFILT_WRITE */
#define NOTE_LOWAT 0x00000001

/* EVFILT_EXCEPT */
#define NOTE_OOB 0x00000002

/* EVFILT_VNODE */
#define NOTE_DELETE 0x00000001
#define NOTE_WRITE 0x00000002
#define NOTE_EXTEND 0x00000004
#define NOTE_ATTRIB 0x00000008
#define NOTE_LINK 0x00000010
#define NOTE_RENAME 0x00000020
#define NOTE_TRUNCATE 0x00000080 /* of OpenBSD */

/* EVFILT_PROC */
#define NOTE_EXIT 0x80000000u
#define NOTE_EXITSTATUS 0x04000000u /* of macOS */

/* EVFILT_USER */
#define NOTE_FFNOP 0x00000000u
#define NOTE_FFAND 0x40000000u
#define NOTE_FFOR 0x80000000u
#define NOTE_FFCOPY 0xc0000000u
#define NOTE_FFCTRLMASK 0xc0000000u
#define NOTE_FFLAGSMASK 0x00ffffffu
#define NOTE_TRIGGER 0x01000000u

/* EVFILT_TIMER: the unit of data; none: milliseconds */
#define NOTE_SECONDS 0x00000001
#define NOTE_USECONDS 0x00000002
#define NOTE_NSECONDS 0x00000004

#define EV_SET(event, a, b, c, d, e, f)                                                            \
    (*(event) = (struct kevent){.ident = (uintptr_t)(a),                                           \
                                .filter = (int16_t)(b),                                            \
                                .flags = (uint16_t)(c),                                            \
                                .fflags = (uint32_t)(d),                                           \
                                .data = (e),                                                       \
                                .udata = (void *)(uintptr_t)(f)})

int kqueue(void);
int kevent(int queue, const struct kevent *changes, int changes_count, struct kevent *events,
           int events_most, const struct timespec *timeout);

#endif
