/* The world: the one door to the kernel. Time, readiness and every operation on a descriptor go
 * through it. A world is a struct of its own that begins with struct cr_world, so it owns its
 * state, and one that changes another (the virtual clock, the faults of a test) keeps a pointer to
 * that one and hands on what it does not change (below.h).
 *
 * start() does not block (but for accept and connect on a descriptor that was not adopted and is in
 * blocking mode; callers adopt it first). It returns a result >= 0; -EAGAIN: wait for readiness and
 * start again; another -ECODE; or CR_PENDING: the operation is under way, and its result comes as
 * an event.
 * A pending operation owns its record and its buffer until that event, also after `cancel`.
 *
 * wait() opens what it needs, and so does attach(); before the first of them no descriptor is open.
 *
 * Readiness is edge-triggered: after attach, and after each later change, an event reports all that
 * the descriptor is ready for; an edge may be reported again. A world that can only ask for levels
 * (poll; `edges` is false) reports what was armed, once. So whoever waits arms first, and remembers
 * what is reported. */
#ifndef CR_WORLD_H
#define CR_WORLD_H

#include "../base/base.h"

#include "../../include/coir_io.h"
#include "op.h"

#include <errno.h>

#define CR_PENDING INT64_MIN

/* The three lowest bits of a token are its kind. */
enum cr_token_kind {
    CR_TOKEN_OP,    /* the address of a struct cr_op */
    CR_TOKEN_FD,    /* a descriptor */
    CR_TOKEN_BELL,  /* the bell of a mailbox, or of an event loop */
    CR_TOKEN_TIMER, /* the world's own timer; the loop ignores it */
    CR_TOKEN_KINDS = 8
};

enum { CR_TOKEN_BITS = 3, CR_TOKEN_GENERATION_SHIFT = 34 };

CR_INLINE enum cr_token_kind cr_token_kind(uint64_t token)
{
    return (enum cr_token_kind)(token % CR_TOKEN_KINDS);
}

/* A descriptor's: 30 bits of its generation, its number, the kind. */
CR_INLINE uint64_t cr_token_of_fd(uint32_t generation, int fd)
{
    return (uint64_t)generation << CR_TOKEN_GENERATION_SHIFT |
           (uint64_t)(uint32_t)fd << CR_TOKEN_BITS | CR_TOKEN_FD;
}

CR_INLINE int cr_token_fd(uint64_t token)
{
    return (int)((token >> CR_TOKEN_BITS) & INT32_MAX);
}

struct cr_event {
    uint64_t token;
    int64_t value; /* readiness: COIR_IN …, CR_URGENT, CR_GONE; or an operation's result */
};

/* Beside COIR_IN …: a stream has urgent data, so a read may stop short; the number is not open any
 * more (where the world can tell). */
enum { CR_URGENT = 16, CR_GONE = 64 };

/* What adopt() finds out about a descriptor. */
enum cr_fd_kind {
    CR_FD_SOCKET = 1,
    CR_FD_SHORT_EMPTIES = 2, /* a short read proves that nothing is left, until the next edge */
    CR_FD_FIFO = 4           /* a read says 0 also while no writer has come yet */
};

/* How registrations are made again: those that are made after BEGIN take the place of all others at
 * KEEP, or are gone again after DROP. */
enum cr_renewal { CR_RENEWAL_BEGIN, CR_RENEWAL_KEEP, CR_RENEWAL_DROP };

struct cr_world {
    const struct cr_world_ops *ops;
    const char *name;
    bool is_virtual;
    bool edges;
    bool plain; /* READ and WRITE are the kernel's read and write, and nothing else */
};

struct cr_world_ops {
    uint64_t (*now)(struct cr_world *world);
    /* Fills in at most `max` events; waits for the first, until `until` at the latest (0: not at
     * all). With a `max` of 0 only time passes. Returns how many, or an error that makes
     * waiting impossible; sets *more if there may be others. A signal ends it early: 0. */
    int (*wait)(struct cr_world *world, struct cr_event *events, int max, uint64_t until,
                bool *more);

    /* The descriptor that is readable while wait() would find an event; -ENOSYS: there is none. */
    int (*open)(struct cr_world *world);
    /* The world's own descriptors, i = 0, 1 …; < 0: there is none, not yet, or no more. */
    int (*own)(struct cr_world *world, int i);
    /* Returns the world's own index of the registration (>= 0), -EPERM for what cannot be polled,
     * or another error. */
    int (*attach)(struct cr_world *world, int fd, uint64_t token);
    /* False: the number is not the file's any more, and the kernel may go on to report that file,
     * which lives on elsewhere. */
    bool (*detach)(struct cr_world *world, int fd, int index);
    void (*arm)(struct cr_world *world, int fd, int index, int mask); /* where it has no edges */
    /* Whether the kernel has dropped a registration, because its file is gone. */
    bool (*lost)(struct cr_world *world, int fd, uint64_t token);

    /* To be rid of registrations whose files live on elsewhere: 0; or BEGIN says why it cannot be
     * done, -ENOSYS where there are none of this kind. */
    int (*renew)(struct cr_world *world, enum cr_renewal step);

    /* Asks the kernel what of `mask` a descriptor is ready for, with HUP and ERR; or an error. */
    int (*ready)(struct cr_world *world, int fd, int mask);
    /* Makes it non-blocking; its kind, or an error. */
    int (*adopt)(struct cr_world *world, int fd);
    /* What is made is non-blocking, closed on exec, and has a number above 2. */
    int64_t (*start)(struct cr_world *world, struct cr_op *op);
    /* Asks a pending operation to end soon; its event still comes. */
    void (*cancel)(struct cr_world *world, struct cr_op *op);

    /* Closes what is its own, also in a forked child, and frees the world. */
    void (*close)(struct cr_world *world);
};

/* Before a wait for an edge. */
CR_INLINE void cr_world_arm(struct cr_world *world, int fd, int index, int mask)
{
    if (CR_UNLIKELY(!world->edges))
        world->ops->arm(world, fd, index, mask);
}

/* Each makes a world that has opened nothing; 0, -ENOMEM, or -ENOSYS where it cannot be. */
CR_HIDDEN int cr_epoll_make(struct cr_world **world);
CR_HIDDEN int cr_kqueue_make(struct cr_world **world);
CR_HIDDEN int cr_poll_make(struct cr_world **world);

/* The one of them that a program asks for. */
CR_HIDDEN int cr_world_make(struct cr_world **world, enum coir_world which);

/* Puts a virtual clock in front of a world: 0, or -ENOMEM and the world is as before. */
CR_HIDDEN int cr_virtual_make(struct cr_world **world);

#endif
