/* The tree of scopes and fibers. A fiber's scopes are a chain: the innermost it has open, outwards
 * to its own, the scope that every fiber is. Around that is its parent, the scope it is a child of:
 *
 *     parent <--- own <--- scope <- fiber->scope
 *      |           |         +-- children, daemons: fibers, with chains of their own
 *      |           +-- children, daemons
 *      +-- children, daemons
 *
 * The root is the scheduler's own scope; no fiber owns it.
 *
 * Invariant: `special` is all zeros in a scope that nothing has happened to, so that its end has
 * nothing to do. */
#ifndef CR_TREE_H
#define CR_TREE_H

#include "../base/base.h"

#include "../../include/coir.h"
#include "../base/list.h"

#include <string.h>

enum cr_used {
    CR_USED = 1,         /* it has had children, keeps results, has a handle, or local values */
    CR_USED_DAEMONS = 2, /* `daemons` is valid */
    CR_USED_WINDING = 4, /* it winds down */
    CR_USED_WOUND = 8,   /* its cancel is that of a soft scope, in which it lies, that winds down */
};

enum cr_cancel { CR_CANCEL_NONE, CR_CANCEL_OWN, CR_CANCEL_OUTER };

struct cr_scope {
    struct cr_scope *outer;
    struct cr_fiber *owner; /* NULL: it is not open, or the root */
    struct cr_list children;
    struct cr_special {
        uint8_t cancel;  /* enum cr_cancel */
        uint8_t limit;   /* it has no children */
        uint8_t covered; /* another is open inside of it */
        uint8_t ending;  /* its code has ended; it waits for its children */
        uint8_t used;    /* enum cr_used, bits */
        uint8_t kind;    /* COIR_SHIELD, …, or 0 */
        uint8_t timed;
        uint8_t cut;     /* a cancel has cut something short */
    } special;
    int reason;  /* of the cancel */
    int failure; /* the first in it */
    uint32_t kept;   /* the first of the ended children whose results nobody has taken, 0: none */
    uint32_t handle; /* its slot, 0: none */
    struct cr_scope *next_reached; /* while a cancel or a wind-down is on its way */
    struct cr_list daemons;
};

/* Whether just that has happened to a scope. */
CR_INLINE bool cr_scope_is_only(const struct cr_scope *scope, struct cr_special expected)
{
    uint64_t special, word;
    _Static_assert(sizeof special == sizeof scope->special, "it is looked at as one word");
    memcpy(&special, &scope->special, sizeof special);
    memcpy(&word, &expected, sizeof word);
    return special == word;
}

CR_INLINE bool cr_scope_is_plain(const struct cr_scope *scope)
{
    return cr_scope_is_only(scope, (struct cr_special){0});
}

CR_INLINE bool cr_scope_is_shield(const struct cr_scope *scope)
{
    return scope->special.kind == COIR_SHIELD;
}

/* Whether what the code in a scope spawns is a child of that scope, which is not cancelled. */
CR_INLINE bool cr_scope_takes_children(const struct cr_scope *scope)
{
    uint32_t refusal;
    memcpy(&refusal, &scope->special, sizeof refusal);
    return refusal == 0;
}

/* Whether nothing but daemons of a scope is left, and they are cancelled. */
CR_INLINE bool cr_scope_waits_for_daemons(const struct cr_scope *scope)
{
    return scope->special.ending && cr_list_empty(&scope->children);
}

/* All that a closed scope has, but `outer` and `owner`. */
CR_INLINE void cr_scope_init(struct cr_scope *scope)
{
    cr_list_init(&scope->children);
    scope->special = (struct cr_special){0};
    scope->reason = scope->failure = 0;
    scope->kept = scope->handle = 0;
}

#endif
