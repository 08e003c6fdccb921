/* Scopes, seen from the fibers in them, and stops.
 *
 * A fiber's scopes are a chain: the innermost it has open, outwards to its home, the scope it is a
 * child of, which another fiber has open. So scopes and fibers are a tree:
 *
 *     home <--- fiber: told | <--- scope <--- scope <- fiber->scope
 *                                    |          +-- children: fibers, with chains of their own
 *                                    +-- children
 *
 * A stop enters the tree at a fiber or a scope and goes inwards, but not into a shield. It is noted
 * in each place that it reaches, so that a blocking call looks at one word of its own fiber.
 *
 * Invariants: `stop` of a scope is what holds just inside of it; fiber->stop is that of its
 * innermost own scope, or what it was told itself when it has none open; once set, neither goes
 * back to 0. A scope is open while `owner` is not NULL. */
#ifndef CR_SCOPE_H
#define CR_SCOPE_H

#include "sched.h"

#include <string.h>

struct cr_scope {
    struct cr_scope *outer;
    struct cr_fiber *owner;
    struct cr_list children;
    struct cr_timer timer;
    struct cr_scope *next_stopped; /* while a stop is on its way */
    struct cr_scope_special {
        int stop;
        bool shield, timed, expired;
    } special; /* all 0 in a scope that is closed without further ado */
    int failure;
};

CR_INLINE bool cr_scope_is_plain(const struct cr_scope *scope)
{
    uint64_t special;
    _Static_assert(sizeof special == sizeof scope->special, "it is looked at as one word");
    memcpy(&special, &scope->special, sizeof special);
    return special == 0;
}

/* Hangs a new fiber into a scope, and takes one that ends off it. */
CR_HIDDEN void cr_scope_enter(struct cr_scope *scope, struct cr_fiber *fiber);
CR_HIDDEN void cr_scope_leave(struct cr_fiber *fiber, int result);

/* Tells a fiber to stop, and all that it has spawned in scopes, up to shields. */
CR_HIDDEN void cr_scope_stop(struct cr_fiber *fiber);

/* The same for every fiber that a shield has kept from it. */
CR_HIDDEN void cr_scope_break_shields(struct coir_sched *sched);

/* The scope that a caller has given; a mistake if it is not open in this scheduler. */
CR_HIDDEN struct cr_scope *cr_scope_check(struct coir_scope *scope, const char *function,
                                          void *caller);

#endif
