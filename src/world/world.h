/* The world: the one table through which time, readiness and every call on a descriptor go. A
 * scheduler holds one by value, so a world that changes another one (the virtual clock, the faults
 * of a test) copies it and replaces entries.
 *
 * A call never blocks. It returns a result >= 0; -EAGAIN: wait for readiness and call again;
 * another -ECODE; or CR_PENDING: an operation is under way, and its result comes as an event with
 * the call's token. A pending operation owns its buffer until that event, also after `cancel`.
 *
 * wait() opens what it needs, and so does attach(); before the first of them no descriptor is open.
 *
 * Readiness is edge-triggered: after attach, and after each later change, an event tells all that
 * the descriptor is ready for; an edge may be told again. A world that can only ask for levels
 * (poll) tells what was armed, once. So whoever waits arms first, and remembers what it is told.
 *
 * Who asks for levels (poller.c) uses watch() and levels() in place of attach(), arm() and wait();
 * one world serves one or the other. */
#ifndef CR_WORLD_H
#define CR_WORLD_H

#include "../base/base.h"

#include "../../include/coir.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define CR_PENDING INT64_MIN

/* A token with its lowest bit set is a descriptor's: generation, number, 1. CR_TOKEN_BELL is the
 * mailbox's. Else it is the address of a struct cr_op (io.c). */
struct cr_event {
    uint64_t token;
    int64_t value; /* readiness: COIR_IN …, CR_URGENT, CR_GONE; or an operation's result */
};

enum { CR_TOKEN_BELL = 2 };

/* Beside COIR_IN …: a stream has urgent data, so a read may stop short; the number is not open any
 * more (where the world can tell). CR_SHORT is fd.c's. */
enum { CR_URGENT = 16, CR_SHORT = 32, CR_GONE = 64 };

/* A level: what a watched descriptor is ready for, each direction with the HUP and ERR that concern
 * it; 0: not ready. */
struct cr_level {
    uint64_t token;
    int in, out;
};

/* What adopt() finds out about a descriptor. */
enum cr_fd_kind {
    CR_FD_SOCKET = 1,
    CR_FD_SHORT_EMPTIES = 2 /* a short read proves that nothing is left, until the next edge */
};

/* A call on a descriptor beside read and write. Each kind has the arguments of the POSIX call of
 * its name, which mostly are named alike. */
enum cr_call_kind {
    CR_CALL_SOCKET,
    CR_CALL_SOCKETPAIR,
    CR_CALL_PIPE,
    CR_CALL_DUP,
    CR_CALL_BIND,
    CR_CALL_LISTEN,
    CR_CALL_SHUTDOWN,
    CR_CALL_GETSOCKOPT,
    CR_CALL_SETSOCKOPT,
    CR_CALL_GETSOCKNAME,
    CR_CALL_GETPEERNAME,
    CR_CALL_ACCEPT,
    CR_CALL_CONNECT,
    CR_CALL_RECV,
    CR_CALL_SEND,
    CR_CALL_RECVFROM,
    CR_CALL_SENDTO,
    CR_CALL_RECVMSG,
    CR_CALL_SENDMSG,
    CR_CALL_READV,
    CR_CALL_WRITEV,
    CR_CALL_UNLINK, /* removes the file of a Unix socket's address; -ENOTSOCK if it is none */
    CR_CALL_KINDS
};

struct cr_call {
    enum cr_call_kind kind;
    int fd;
    union {
        int flags, domain, backlog, how, level, count;
    };
    union {
        int type, name;
    };
    int protocol;
    socklen_t in_size;      /* of the address or option that is handed in */
    socklen_t *size_out;    /* of the one that is handed out */
    struct sockaddr *addr;
    void *buf;
    size_t size;
    struct msghdr *message;
    const struct iovec *parts;
    int *fds; /* two, handed out */
};

struct cr_world {
    const char *name;
    bool is_virtual;
    size_t waiting; /* fibers parked for a descriptor or an operation, a mailbox that is open */
    bool is_full; /* the last wait() had no room for more events, of which there may be some */

    uint64_t (*now)(struct cr_world *world);
    /* Fills events as they are; waits for the first, until `until` at the latest (0: not at all).
     * Returns how many, or an error that makes waiting impossible. A signal ends it early: 0. */
    int (*wait)(struct cr_world *world, struct cr_event *events, int most, uint64_t until);

    /* The descriptor that is readable while wait() would find an event; NULL: there is none. */
    int (*open)(struct cr_world *world);
    /* Returns the world's own number for the registration (>= 0), -EPERM for what cannot be polled,
     * or another error. */
    int (*attach)(struct cr_world *world, int fd, uint64_t token);
    /* False: the number is not the file's any more, and the kernel may go on to tell of that file,
     * which lives on elsewhere. */
    bool (*detach)(struct cr_world *world, int fd, int place);
    void (*arm)(struct cr_world *world, int fd, int place, int mask); /* NULL: it has all edges */
    /* Whether the kernel has dropped a registration, because its file is gone. */
    bool (*lost)(struct cr_world *world, int fd, uint64_t token);

    /* Watches `mask` (COIR_IN, COIR_OUT, 0: nothing more) of a descriptor of which `old` is watched
     * at `place`. Returns the place (>= 0); -EPERM for what cannot be polled; -ENOENT, and gives
     * the place back, when the kernel has dropped what was watched, because its file is gone; or
     * another error: then what is watched is as before. With 0 it cannot fail. */
    int (*watch)(struct cr_world *world, int fd, int place, uint64_t token, int old, int mask);
    /* As wait, for what is watched. A token may come twice, for one direction each. */
    int (*levels)(struct cr_world *world, struct cr_level *levels, int most, uint64_t until);
    /* How many bytes can be read; 0 where the kernel does not say. */
    size_t (*pending)(struct cr_world *world, int fd);

    /* Asks the kernel what of `mask` a descriptor is ready for, with HUP and ERR; or an error. */
    int (*ready)(struct cr_world *world, int fd, int mask);
    /* Makes it non-blocking; its kind, or an error. */
    int (*adopt)(struct cr_world *world, int fd);
    int64_t (*read)(struct cr_world *world, int fd, void *buf, size_t size, uint64_t token);
    int64_t (*write)(struct cr_world *world, int fd, const void *buf, size_t size, int kind,
                     uint64_t token);
    /* As write, for a descriptor that may be blocking: never waits, so may write less. */
    int64_t (*write_foreign)(struct cr_world *world, int fd, const void *buf, size_t size);
    /* What is made is non-blocking and closed on exec; no kind waits, whatever the flags of the
     * descriptor, but accept and connect on one that was not adopted. */
    int64_t (*call)(struct cr_world *world, const struct cr_call *call, uint64_t token);
    int (*close)(struct cr_world *world, int fd);
    /* Asks a pending operation to end soon; its event still comes. */
    void (*cancel)(struct cr_world *world, uint64_t token);

    void (*fini)(struct cr_world *world);

    int queue; /* epoll, kqueue: its descriptor, -1 before the first attach */
    bool queue_is_private; /* a forked child has no such descriptor */
    void *state;
    uint64_t virtual_now_ns;
    int (*real_wait)(struct cr_world *world, struct cr_event *events, int most, uint64_t until);
};

/* Before a wait for an edge. */
CR_INLINE void cr_world_arm(struct cr_world *world, int fd, int place, int mask)
{
    if (CR_UNLIKELY(world->arm))
        world->arm(world, fd, place, mask);
}

/* Each makes a world that has opened and allocated nothing; 0, or -ENOSYS where it cannot be. */
CR_HIDDEN int cr_epoll_init(struct cr_world *world);
CR_HIDDEN int cr_kqueue_init(struct cr_world *world);
CR_HIDDEN int cr_poll_init(struct cr_world *world);

/* The one of them that a program asks for. */
CR_HIDDEN int cr_world_init(struct cr_world *world, enum coir_world which);

/* Turns a world into the same one with a virtual clock. */
CR_HIDDEN void cr_virtual_init(struct cr_world *world);

/* What the worlds over a POSIX kernel have in common. */
CR_HIDDEN void cr_posix_init(struct cr_world *world);
CR_HIDDEN uint64_t cr_posix_now(struct cr_world *world);
struct timespec;
/* The time left until `until`, NULL for ever. */
CR_HIDDEN struct timespec *cr_posix_left(struct cr_world *world, uint64_t until,
                                         struct timespec *left);
CR_HIDDEN int cr_posix_adopt(struct cr_world *world, int fd);
CR_HIDDEN int64_t cr_posix_read(struct cr_world *world, int fd, void *buf, size_t size,
                                uint64_t token);
CR_HIDDEN int64_t cr_posix_write(struct cr_world *world, int fd, const void *buf, size_t size,
                                 int kind, uint64_t token);
CR_HIDDEN int64_t cr_calls_make(struct cr_world *world, const struct cr_call *call, uint64_t token);
CR_HIDDEN short cr_posix_poll_mask(int mask);
CR_HIDDEN int cr_posix_mask(short poll_mask);
CR_HIDDEN struct cr_level cr_posix_level(uint64_t token, short poll_mask);

#endif
