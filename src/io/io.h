/* What the floor of descriptors keeps for each scheduler, around the core, and its verbs: waiting
 * for a descriptor is cut into link (cr_fd_hang), park, and unlink, so that it can be one wait of
 * several. */
#ifndef CR_IO_H
#define CR_IO_H

#include "../core/sched.h"
#include "fd.h"
#include "identity.h"

struct cr_io {
    struct coir_sched core;
    struct cr_world *world;
    struct cr_fds fds;
    struct cr_identity identity;
    bool has_ghosts;     /* a file that was closed by number may live on, and be reported */
    unsigned int strays; /* events that were no entry's, since then */
    unsigned int renewals; /* of all registrations, after 16 strays, 32, 64 … */
};

enum { CR_STRAYS_MOST = 16, CR_RENEWALS_MOST = 16 };

CR_INLINE struct cr_io *cr_io_of(struct coir_sched *sched)
{
    return CR_CONTAINER(sched, struct cr_io, core);
}

/* Whether a number is that of a descriptor that coir made for itself. */
CR_HIDDEN bool cr_io_is_own(struct cr_io *io, int fd);

/* ---- ownership (fd.c) ---- */

/* Takes possession of an entry's file: a first try of any call may succeed. */
CR_HIDDEN void cr_fd_own(struct cr_fd *entry, int kind);

/* A socket begins to connect: what was reported of it before is over. */
CR_HIDDEN void cr_fd_connect(struct cr_fd *entry);

/* A socket has begun to listen: some systems never tell a registration that was made before of
 * connections, so it is made again. 0, or an error, with which all waits for it end too. */
CR_HIDDEN int cr_fd_listen(struct cr_io *io, int fd);

/* From now on the number stands for another file, or none: ends every wait for it by -EBADF. */
CR_HIDDEN void cr_fd_forget(struct cr_io *io, struct cr_fd *entry);

/* After the world may have opened descriptors of its own, at numbers of files that were closed
 * by a plain close(2). */
CR_HIDDEN void cr_fd_forget_own(struct cr_io *io);

/* Enters a new descriptor as coir's own: returns it, or -ENOMEM and it is closed. */
CR_HIDDEN int cr_fd_enter(struct cr_io *io, int fd, int kind);

/* ---- waiting (fd.c) ---- */

/* Registers a descriptor with the world, if it is not, for a wait: 0, -EPERM when it cannot be
 * polled, or another error. */
CR_HIDDEN int cr_fd_attach(struct cr_io *io, struct cr_fd *entry);

/* Holds a foreign descriptor's registration, as attach; and lets it go. */
CR_HIDDEN int cr_fd_hold(struct cr_io *io, struct cr_fd *entry);
CR_HIDDEN void cr_fd_release(struct cr_io *io, struct cr_fd *entry);

/* Registers all that is registered again: whether all went well. */
CR_HIDDEN CR_COLD bool cr_fd_attach_again(struct cr_io *io);

/* Links a wait into the ring of an attached descriptor that has edges. */
CR_INLINE void cr_fd_hang(struct cr_fd *entry, struct cr_fd_wait *wait, int mask)
{
    wait->entry = entry;
    wait->mask = (uint8_t)mask;
    cr_list_append(&entry->waiters[cr_fd_direction(mask)], &wait->wait.link);
}

/* The same in any world. */
CR_INLINE void cr_fd_hang_armed(struct cr_io *io, struct cr_fd *entry, struct cr_fd_wait *wait,
                                int mask)
{
    cr_world_arm(io->world, cr_fd_number(entry), entry->index, mask);
    cr_fd_hang(entry, wait, mask);
}

/* A woken fiber goes on in the frames around its wait, which may have left the cache: they come
 * while other events are handled. */
CR_INLINE void fd_fetch_frames(const struct cr_fd_wait *wait)
{
    __builtin_prefetch((const char *)wait - 128);
    __builtin_prefetch((const char *)wait - 64);
    __builtin_prefetch((const char *)wait + 64);
    __builtin_prefetch((const char *)wait + 128);
}

CR_INLINE void fd_end(struct cr_list *ring, int mask, bool again)
{
    struct cr_fd_wait *wait = CR_CONTAINER(ring->next, struct cr_fd_wait, wait.link);
    wait->again = again;
    fd_fetch_frames(wait);
    cr_sched_end(&wait->wait, mask);
}

/* Ends all waits for any direction of a mask. */
CR_HIDDEN CR_COLD void cr_fd_wake_all(struct cr_fd *entry, int mask);

/* Passes on what a woken fiber left: wakes the oldest waiter in each direction of `ready`, or all
 * while a call is an aside. */
CR_HIDDEN void cr_fd_wake_next(struct cr_fd *entry, int ready);

/* Wakes the next waiter, if the descriptor is still ready when a fiber leaves its call. */
CR_INLINE void cr_fd_pass_on(struct cr_fd *entry, int mask)
{
    int ready = entry->ready & mask;
    if (ready && !(cr_list_empty(&entry->waiters[CR_FD_IN]) &&
                   cr_list_empty(&entry->waiters[CR_FD_OUT])))
        cr_fd_wake_next(entry, ready);
}

CR_HIDDEN void cr_fd_arm_again(struct cr_io *io, struct cr_fd *entry, int mask);

/* The kernel has said that a direction is not ready. A world without edges reported it to one
 * waiter only. */
CR_INLINE void cr_fd_unready(struct cr_io *io, struct cr_fd *entry, int mask)
{
    entry->ready &= (uint8_t)~mask;
    if (CR_UNLIKELY(!io->world->edges))
        cr_fd_arm_again(io, entry, mask);
}

/* After a read that got less than it asked for. */
CR_INLINE void cr_fd_note_short(struct cr_io *io, struct cr_fd *entry)
{
    if (entry->ready & CR_SHORT)
        cr_fd_unready(io, entry, CR_READABLE);
}

/* What an event says beside readiness. Returns whether the number is still open. */
CR_HIDDEN CR_COLD bool cr_fd_note_end(struct cr_io *io, struct cr_fd *entry, int mask);

/* Remembers what an event says, and wakes a waiter where that is news. A token that was given to
 * the world has an entry. */
CR_INLINE void cr_fd_event(struct cr_io *io, uint64_t token, int mask)
{
    struct cr_fd *entry = cr_fd_at(&io->fds, (unsigned int)cr_token_fd(token));
    if (CR_UNLIKELY(!entry->attached || entry->token != token)) {
        io->strays += io->has_ghosts;
        return;
    }
    if (CR_UNLIKELY(mask & ~(COIR_IN | COIR_OUT)) && !cr_fd_note_end(io, entry, mask))
        return;
    int news = mask & ~entry->ready;
    entry->ready |= (uint8_t)mask;
    if (CR_UNLIKELY(entry->asides)) {
        cr_fd_wake_all(entry, mask);
        return;
    }
    if (news & COIR_IN && !cr_list_empty(&entry->waiters[CR_FD_IN]))
        fd_end(&entry->waiters[CR_FD_IN], mask, false);
    if (news & COIR_OUT && !cr_list_empty(&entry->waiters[CR_FD_OUT]))
        fd_end(&entry->waiters[CR_FD_OUT], mask, false);
}

#endif
