/* Scopes, seen from the fibers in them, and cancels. tree.h has the tree.
 *
 * A cancel enters the tree at a scope, which may be a fiber's own, and goes inwards, but not into
 * a shield. It is noted in each scope that it reaches, so that a blocking call looks at one word of
 * its own fiber.
 *
 * Invariants: `special.cancel` of a scope is what holds just inside of it, and once set, it stays
 * until the scope's end; fiber->cancelled is that of the fiber's innermost scope. */
#ifndef CR_SCOPE_H
#define CR_SCOPE_H

#include "sched.h"

/* Cancels a scope with all that is inside, up to shields. */
CR_HIDDEN void cr_cancel_scope(struct cr_scope *scope, int reason);

/* Cancels the daemons of a scope, because nothing else of it is left. */
CR_HIDDEN void cr_cancel_daemons(struct cr_scope *scope);

/* Cancels, with reason 0, the soft scopes in the tree of a scope, itself among them, up to
 * shields. */
CR_HIDDEN void cr_cancel_soft(struct cr_scope *scope);

/* Takes every shield away and cancels what was inside. */
CR_HIDDEN void cr_cancel_break_shields(struct coir_sched *sched);

/* The code in a scope of the running fiber has ended with `result`: waits until its children have
 * ended too. Returns the scope's result. */
CR_HIDDEN int cr_scope_settle(struct cr_scope *scope, int result);

/* Whether a result was cut short by the cancel of a scope, and is no failure. */
CR_INLINE bool cr_scope_excuses(const struct cr_scope *scope, int result)
{
    return scope->special.cancel && !scope->failure &&
           (result == COIR_CANCELLED || result == scope->reason);
}

/* A failure in a scope: the first cancels it. */
CR_HIDDEN void cr_scope_fail(struct cr_scope *scope, int result);

/* The last child, or the last daemon, of a scope that is ending has ended. */
CR_HIDDEN void cr_scope_emptied(struct cr_scope *scope);

/* Keeps the result of a child that has ended, in its slot, for the first who takes it. */
CR_HIDDEN void cr_scope_keep(struct cr_slots *slots, struct cr_scope *parent, uint32_t slot,
                             int result, bool failed);

/* Takes a kept result, and releases its slot. */
CR_HIDDEN int cr_scope_take(struct cr_slots *slots, uint32_t slot);

/* The scope that a caller has given; misuse if it is not open in this scheduler. */
CR_HIDDEN struct cr_scope *cr_scope_check(struct coir_scope *scope, const char *function,
                                          void *caller);

/* Stops the program if the fiber's innermost scope lies in the part of its stack that is free
 * again, below `pointer`: its function has returned. `pointer` is the stack pointer of the call
 * that asks, whose frame is smaller than a scope. */
CR_HIDDEN CR_COLD void cr_scope_check_left(const struct cr_fiber *self, uintptr_t pointer,
                                           const char *function, void *caller);

#endif
