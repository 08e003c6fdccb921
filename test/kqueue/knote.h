/* What the files of the tests' kqueue know of each other. A knote is one registration: (queue,
 * ident, filter). Its place in the table is the data of its registration with an epoll. */
#ifndef TEST_KQUEUE_KNOTE_H
#define TEST_KQUEUE_KNOTE_H

#include "kernel.h"
#include "sys/event.h"

#include <sys/epoll.h>

struct knote {
    int queue; /* in the table of queues */
    int epoll; /* of that queue, for this kind of filter */
    uintptr_t ident;
    int16_t filter;
    uint16_t flags; /* EV_CLEAR, EV_ONESHOT, EV_DISPATCH */
    uint32_t fflags;
    intptr_t data;
    void *udata;
    bool used, enabled;
    bool registered; /* with its epoll */
    bool inert;      /* accepted, but without anything to tell */
    bool wrong_end;  /* of a pipe: only its end is an event */
    bool over;       /* to be deleted, whether it says something or not */
    int own;         /* the descriptor that stands for what is none; else -1 */
    int held;        /* a descriptor that is ready while `pending` holds; or -1 */
    unsigned collect; /* the last one in which it was reported */
    int next;        /* in its chain of the hash table, or of the free ones; -1: none */
    struct {         /* of a file, when it was last looked at */
        int64_t size;
        uint64_t links;
        uint32_t mode;
    } seen;
    uint32_t pending; /* what has happened to it */
};

struct knote *note_find(int queue, uintptr_t ident, int16_t filter);
struct knote *note_at(uint64_t place);

/* NULL when the table is full. note_free deregisters. */
struct knote *note_make(int queue, int epoll, const struct kevent *change);
void note_free(struct knote *note);

/* Registers with its epoll, if it is enabled; again, so that the condition is looked at. 0, or an
 * error code. */
int note_register(struct knote *note);
void note_deregister(struct knote *note);

/* Those of a number that wait for reading hear nothing any more; those of a filter look again. Both
 * take the lock. */
void note_deafen(int fd);
void note_look_again(int fd, int16_t filter);

/* The lock of all of this. */
void kqueue_lock(void);
void kqueue_unlock(void);

/* Frees all of a number, or of a queue. */
void note_forget_fd(int fd);
void note_forget_queue(int queue);

/* Forgets all, and leaves the registrations to the parent, whose they are. */
void note_abandon_all(void);

/* Whether the ident is a descriptor. */
bool filter_is_of_fd(int16_t filter);

/* Begins and ends what a filter needs; 0, or an error code. */
int filter_attach(struct knote *note);
void filter_detach(struct knote *note);

/* A descriptor that is always ready. */
int filter_always(void);

/* For what epoll refuses: 0 and a descriptor of its own, or the kernel's error. */
int filter_replace(struct knote *note);

/* Takes in a change to one that is there: a new time, a trigger. 0, or an error code. */
int filter_touch(struct knote *note, const struct kevent *change);

/* What epoll shall watch, and on which descriptor. */
uint32_t filter_events(const struct knote *note);
int filter_fd(const struct knote *note);

/* Whether the condition holds now; then fills in flags (EV_EOF), fflags and data. */
bool filter_tell(struct knote *note, uint32_t told, struct kevent *event);

/* The same for signals, processes and files; outside_hold
 * keeps ready what holds until it is deleted. */
bool outside_has(int16_t filter);
int outside_attach(struct knote *note);
void outside_detach(struct knote *note);
void outside_hold(struct knote *note);
bool outside_tell(struct knote *note, struct kevent *event);

/* Sets what a knote's epoll says of a descriptor of its own. */
int note_watch(struct knote *note, int fd, uint32_t events);

/* The real close, below the one that kqueue.c defines. */
int __close(int fd);

#endif
