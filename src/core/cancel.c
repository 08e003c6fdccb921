/* Cancels and wind-downs: their way through the tree, and the calls that send a cancel (scope.c has
 * the one that winds down). The way is kept in the scopes themselves, so that neither the depth of
 * the tree nor its width costs stack or memory. */
#include "scope.h"

#include "../debug/debug.h"

/* What a cancel brings to each scope that it reaches. */
struct cancel {
    int reason;
    uint8_t mark; /* CR_USED_WOUND, or 0 */
};

/* A soft scope inside of one that winds down is cancelled itself, as if it were alone. */
static void cancel_note(struct cr_scope *scope, enum cr_cancel how, struct cancel cancel,
                        struct cr_scope **cancelled)
{
    if (scope->special.cancel)
        return;
    if (cancel.mark && scope->special.kind == COIR_SOFT)
        how = CR_CANCEL_OWN;
    scope->special.cancel = (uint8_t)how;
    scope->special.used |= cancel.mark;
    scope->reason = cancel.reason;
    scope->next_reached = *cancelled;
    *cancelled = scope;
}

/* Cancels what a fiber does inside `entry`, one of its scopes, up to its outermost shield there.
 * Scopes for which that is news go to the front of `cancelled`. */
static void cancel_inside(struct cr_fiber *fiber, struct cr_scope *entry, struct cancel cancel,
                          struct cr_scope **cancelled)
{
    struct cr_scope *end = entry->outer, *first = fiber->scope;
    for (struct cr_scope *scope = fiber->scope; scope != entry; scope = scope->outer)
        if (cr_scope_is_shield(scope))
            first = scope->outer;
    for (struct cr_scope *scope = first; scope != end; scope = scope->outer)
        cancel_note(scope, scope == entry ? CR_CANCEL_OWN : CR_CANCEL_OUTER, cancel, cancelled);
    if (first != fiber->scope)
        return;
    cr_sched_set_cancelled(fiber, COIR_CANCELLED);
    if (fiber->wait && !fiber->wait->kind->firm)
        cr_sched_give_up(fiber, COIR_CANCELLED);
}

static void cancel_fibers(const struct cr_list *fibers, struct cancel cancel,
                          struct cr_scope **cancelled)
{
    for (struct cr_list *at = fibers->next; at != fibers; at = at->next) {
        struct cr_fiber *fiber = CR_CONTAINER(at, struct cr_fiber, sibling);
        if (!fiber->own.special.cancel)
            cancel_inside(fiber, &fiber->own, cancel, cancelled);
    }
}

static void cancel_all(struct cr_scope *cancelled)
{
    while (cancelled) {
        struct cr_scope *scope = cancelled;
        struct cancel cancel = {scope->reason, scope->special.used & CR_USED_WOUND};
        cancelled = scope->next_reached;
        cancel_fibers(&scope->children, cancel, &cancelled);
        if (scope->special.used & CR_USED_DAEMONS)
            cancel_fibers(&scope->daemons, cancel, &cancelled);
    }
}

void cr_cancel_scope(struct cr_scope *scope, int reason)
{
    struct cr_scope *cancelled = NULL;
    struct cancel cancel = {reason, 0};
    if (scope->special.cancel)
        return;
    if (scope->owner)
        cancel_inside(scope->owner, scope, cancel, &cancelled);
    else
        cancel_note(scope, CR_CANCEL_OWN, cancel, &cancelled);
    cancel_all(cancelled);
}

void cr_cancel_break_shields(struct coir_sched *sched)
{
    for (uint32_t i = 0; i < sched->slots.count; i++) {
        struct cr_fiber *fiber = cr_slot_fiber(&sched->slots.at[i]);
        if (!fiber)
            continue;
        struct cr_scope *cancelled = NULL;
        for (struct cr_scope *scope = fiber->scope; scope; scope = scope->outer) {
            if (!cr_scope_is_shield(scope))
                continue;
            sched->shields--;
            scope->special.kind = 0;
        }
        cancel_inside(fiber, &fiber->own, (struct cancel){COIR_CANCELLED, 0}, &cancelled);
        cancel_all(cancelled);
    }
}

void cr_cancel_daemons(struct cr_scope *scope)
{
    struct cr_scope *cancelled = NULL;
    cancel_fibers(&scope->daemons, (struct cancel){0, 0}, &cancelled);
    cancel_all(cancelled);
}

/* ---- winding down ---- */

/* What a fiber does inside `entry`, one of its scopes, winds down: up to its outermost soft scope,
 * which is cancelled, or shield. */
static void wind_inside(struct cr_fiber *fiber, struct cr_scope *entry, struct cr_scope **reached,
                        struct cr_scope **cancelled)
{
    struct cr_scope *end = entry->outer, *first = fiber->scope, *soft = NULL;
    for (struct cr_scope *scope = fiber->scope; scope != end; scope = scope->outer) {
        bool is_soft = scope->special.kind == COIR_SOFT;
        if (!is_soft && (scope == entry || !cr_scope_is_shield(scope)))
            continue;
        soft = is_soft ? scope : NULL;
        first = scope->outer;
    }
    if (soft)
        cancel_inside(fiber, soft, (struct cancel){0, CR_USED_WOUND}, cancelled);
    for (struct cr_scope *scope = first; scope != end; scope = scope->outer) {
        scope->next_reached = *reached;
        *reached = scope;
    }
}

static void wind_fibers(const struct cr_list *fibers, struct cr_scope **reached,
                        struct cr_scope **cancelled)
{
    for (struct cr_list *at = fibers->next; at != fibers; at = at->next) {
        struct cr_fiber *fiber = CR_CONTAINER(at, struct cr_fiber, sibling);
        wind_inside(fiber, &fiber->own, reached, cancelled);
    }
}

void cr_cancel_soft(struct cr_scope *entry)
{
    struct cr_scope *reached = NULL, *cancelled = NULL;
    wind_inside(entry->owner, entry, &reached, &cancelled);
    while (reached) {
        struct cr_scope *scope = reached;
        reached = scope->next_reached;
        wind_fibers(&scope->children, &reached, &cancelled);
        if (scope->special.used & CR_USED_DAEMONS)
            wind_fibers(&scope->daemons, &reached, &cancelled);
    }
    cancel_all(cancelled);
}

/* ---- the calls ---- */

static void cancel_check_reason(int reason, const char *function, void *caller)
{
    if (CR_UNLIKELY(reason > 0))
        cr_fatal_mistake(function, caller, "the reason is positive");
}

int coir_scope_cancel(coir_scope *scope, int reason)
{
    if (CR_UNLIKELY(!cr_sched_here))
        return cr_sched_none("coir_scope_cancel", CR_CALLER);
    cancel_check_reason(reason, "coir_scope_cancel", CR_CALLER);
    cr_cancel_scope(cr_scope_check(scope, "coir_scope_cancel", CR_CALLER), reason);
    return 0;
}

int coir_cancel(coir_fiber handle, int reason)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_cancel", CR_CALLER);
    cancel_check_reason(reason, "coir_cancel", CR_CALLER);
    struct cr_slot *slot = cr_slot_find(&sched->slots, handle, 0);
    if (!slot)
        return -ESRCH;
    cr_cancel_scope(&slot->fiber->own, reason);
    return 0;
}

bool coir_cancelled(int *reason)
{
    const struct cr_fiber *self = cr_sched_self;
    if (!self || !self->cancelled)
        return false;
    if (reason)
        *reason = self->scope->reason;
    return true;
}
