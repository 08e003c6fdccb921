/* What an event loop watches: a table of descriptors, each with the directions and words that the
 * user has added, over a world that watches levels.
 *
 * An entry exists for every number that was ever added. The world keeps a token, which has the
 * number and a generation that changes with each registration; the user's words stay here.
 *
 * Invariants: `mask` is what the user has added and not deleted, and `lost` what of that was for a
 * file that is known to be gone; no direction is in both. The world watches the mask iff `where` is
 * WORLD; the number is in the list of what is steady iff STEADY; NOWHERE, the mask is empty. */
#ifndef CR_INTEREST_H
#define CR_INTEREST_H

#include "../base/table.h"
#include "../world/levels.h"

enum cr_interest_where { CR_INTEREST_NOWHERE, CR_INTEREST_WORLD, CR_INTEREST_STEADY };

struct cr_interest {
    void *in_user, *out_user;
    uint32_t generation;
    int index;      /* in the world, or in the list of what is steady */
    uint8_t mask;   /* COIR_IN, COIR_OUT */
    uint8_t lost;   /* the same */
    uint8_t where;  /* enum cr_interest_where */
    bool out_first; /* whose turn it is when there is room for one direction only */
};

struct cr_interests {
    struct cr_levels *levels;
    int bell;              /* a descriptor that is watched for itself; -1: none */
    struct cr_table table; /* of struct cr_interest */
    int *steady; /* numbers of what cannot be polled, and so is always ready */
    size_t steady_count, steady_capacity;
    size_t steady_next; /* whose turn it is */
};

/* The levels are the set's from now on. */
CR_HIDDEN void cr_interest_init(struct cr_interests *set, struct cr_levels *levels);
CR_HIDDEN void cr_interest_fini(struct cr_interests *set);

/* The entry of a number >= 0; NULL where there is none. */
CR_INLINE struct cr_interest *cr_interest_find(const struct cr_interests *set, int fd)
{
    return cr_table_find(&set->table, (size_t)fd, sizeof(struct cr_interest));
}

/* Begins or ends to watch a direction, as coir_loop.h says. */
CR_HIDDEN int cr_interest_add(struct cr_interests *set, int fd, int direction, void *user);
CR_HIDDEN int cr_interest_del(struct cr_interests *set, int fd, int direction);

/* Watches again what the kernel may report no more. */
CR_HIDDEN void cr_interest_again(struct cr_interests *set, struct cr_interest *entry, int fd);

/* Begins to watch the bell. 0, or an error. */
CR_HIDDEN int cr_interest_hear(struct cr_interests *set, int bell);

/* Moves all that is watched, and is still there, to a new world, without the ghosts of the old one.
 * 0, or an error: then all is as before. */
CR_HIDDEN int cr_interest_renew(struct cr_interests *set);

/* The levels of what is steady, of all or, in turns, of as many as there is room for; or an
 * error. */
CR_HIDDEN int cr_interest_steady(struct cr_interests *set, struct cr_level *levels, int most);

CR_INLINE uint64_t cr_interest_token(const struct cr_interest *entry, int fd)
{
    return cr_token_of_fd(entry->generation, fd);
}

#endif
