/* Is it still the same file? A descriptor may be closed by a plain close(2) or
 * dup2(2), which the kernel reports to nobody; its number may then be another file's. Everything
 * that is done about this is here:
 *
 *   - an owned entry remembers, for each direction, which fiber called on it last (`last`, its
 *     key; for what is no socket, another number of that fiber's). That fiber need not ask again,
 *     nor need one that is the only one to call at all;
 *     another one has the kernel asked whether the registration is still there;
 *   - a foreign entry is asked about by each call that begins to wait for it;
 *   - waits are audited (identity.c).
 *
 * Invariant: whatever makes an entry stand for another file, or changes its kind, resets `last`. */
#ifndef CR_IDENTITY_H
#define CR_IDENTITY_H

#include "../core/fiber.h"
#include "fd.h"

struct cr_io;

struct cr_identity {
    bool needed;       /* code has run that may have closed something, since the last audit */
    bool sweeping;     /* one is under way */
    size_t next;       /* the number that it looks at next */
    uint64_t due_ns;   /* when it begins, while it is needed; 0: not decided yet */
    uint64_t spent_ns; /* on the last one, or so far on this one */
};

#define CR_IDENTITY_NOBODY UINT64_MAX

/* Keeps the fast path from what is no socket. */
#define CR_IDENTITY_SLOW (UINT64_C(1) << 62)

CR_INLINE void cr_identity_reset(struct cr_fd *entry)
{
    entry->last[CR_FD_IN] = entry->last[CR_FD_OUT] = CR_IDENTITY_NOBODY;
}

/* Asks the kernel about an attached descriptor. Returns whether its number is still the same
 * file's, as far as the kernel can tell; else it is forgotten. */
CR_HIDDEN bool cr_identity_check(struct cr_io *io, struct cr_fd *entry);

/* The same for a call on an owned descriptor; the fiber that called last need not ask. */
CR_INLINE bool cr_identity_call(struct cr_io *io, struct cr_fiber *self, struct cr_fd *entry,
                                int direction)
{
    uint64_t key = self->key | (entry->kind & CR_FD_SOCKET ? 0 : CR_IDENTITY_SLOW);
    if (CR_LIKELY(entry->last[direction] == key))
        return true;
    bool is_alone = entry->last[direction] == CR_IDENTITY_NOBODY && entry->last[!direction] == key;
    entry->last[direction] = key;
    return is_alone || cr_identity_check(io, entry);
}

/* Does a part of an audit that is due. Returns when the loop must come back
 * for the next part, 0: at once; CR_NEVER: there is none to come. */
CR_HIDDEN uint64_t cr_identity_turn(struct cr_io *io);

#endif
