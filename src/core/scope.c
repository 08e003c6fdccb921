/* Scopes: open, close, and the way of a stop through the tree. The way is kept in the scopes
 * themselves, so that neither the depth of the tree nor its width costs stack or memory. */
#include "scope.h"

#include "../debug/debug.h"

#include <stdio.h>

_Static_assert(sizeof(struct cr_scope) <= sizeof(struct coir_scope), "coir.h makes room for it");

static void scope_describe(const struct cr_wait *wait, char *text, size_t size)
{
    const struct cr_list *children = &wait->fiber->scope->children;
    size_t count = 0;
    for (const struct cr_list *child = children->next; child != children; child = child->next)
        count++;
    snprintf(text, size, "%zu fibers in its scope", count);
}

static const struct cr_wait_kind CLOSE = {
    .name = "the ends of ",
    .woken = -EBUSY,
    .firm = true,
    .describe = scope_describe,
};

/* Stops what a fiber does inside `entry`, one of its own scopes, or all of it (NULL), up to its
 * outermost shield there. Scopes for which that is news go to the front of `stopped`. */
static void scope_stop_inside(struct cr_fiber *fiber, struct cr_scope *entry,
                              struct cr_scope **stopped)
{
    struct cr_scope *end = entry ? entry->outer : fiber->home, *first = fiber->scope;
    for (struct cr_scope *scope = fiber->scope; scope != end; scope = scope->outer)
        if (scope->special.shield && scope != entry)
            first = scope->outer;
    for (struct cr_scope *scope = first; scope != end; scope = scope->outer)
        if (!scope->special.stop) {
            scope->special.stop = -ECANCELED;
            scope->next_stopped = *stopped;
            *stopped = scope;
        }
    if (first != fiber->scope)
        return;
    cr_sched_set_stop(fiber, -ECANCELED);
    if (fiber->wait && !fiber->wait->kind->firm)
        cr_sched_wake(fiber, -ECANCELED);
}

static void scope_tell(struct cr_fiber *fiber, struct cr_scope **stopped)
{
    if (fiber->marks & CR_MARK_TOLD)
        return;
    fiber->marks |= CR_MARK_TOLD;
    scope_stop_inside(fiber, NULL, stopped);
}

static void scope_tell_children(struct cr_scope *stopped)
{
    while (stopped) {
        struct cr_list *children = &stopped->children;
        stopped = stopped->next_stopped;
        for (struct cr_list *child = children->next; child != children; child = child->next)
            scope_tell(CR_CONTAINER(child, struct cr_fiber, sibling), &stopped);
    }
}

void cr_scope_stop(struct cr_fiber *fiber)
{
    struct cr_scope *stopped = NULL;
    scope_tell(fiber, &stopped);
    scope_tell_children(stopped);
}

static void scope_stop(struct cr_scope *scope)
{
    struct cr_scope *stopped = NULL;
    if (scope->special.stop)
        return;
    scope_stop_inside(scope->owner, scope, &stopped);
    scope_tell_children(stopped);
}

void cr_scope_break_shields(struct coir_sched *sched)
{
    for (uint32_t i = 0; i < sched->slots.count; i++) {
        struct cr_fiber *fiber = sched->slots.at[i].fiber;
        if (!fiber)
            continue;
        for (struct cr_scope *scope = fiber->scope; scope != fiber->home; scope = scope->outer) {
            sched->shields -= scope->special.shield;
            scope->special.shield = false;
        }
        fiber->marks &= (uint8_t)~CR_MARK_TOLD;
        cr_scope_stop(fiber);
    }
}

static void scope_expire(struct cr_timer *timer)
{
    struct cr_scope *scope = CR_CONTAINER(timer, struct cr_scope, timer);
    cr_timer_disarm(timer);
    if (scope->special.stop)
        return;
    scope->special.expired = true;
    scope_stop(scope);
}

void cr_scope_enter(struct cr_scope *scope, struct cr_fiber *fiber)
{
    fiber->scope = fiber->home = scope;
    fiber->marks |= CR_MARK_SCOPED;
    cr_list_append(&scope->children, &fiber->sibling);
}

void cr_scope_leave(struct cr_fiber *fiber, int result)
{
    struct cr_scope *scope = fiber->home;
    bool excused = fiber->marks & CR_MARK_TOLD && result == -ECANCELED;
    bool failed = result < 0 && !excused && !(fiber->marks & CR_MARK_RACED);
    cr_list_remove(&fiber->sibling);
    fiber->scope = fiber->home = NULL;
    if (failed && !scope->failure) {
        scope->failure = result;
        scope_stop(scope);
    }
    struct cr_wait *wait = scope->owner->wait;
    if (cr_list_empty(&scope->children) && wait && wait->kind == &CLOSE &&
        scope->owner->scope == scope)
        cr_sched_wake(scope->owner, 0);
}

static struct cr_scope *scope_of(struct coir_scope *scope)
{
    return (struct cr_scope *)(void *)scope;
}

CR_INLINE void scope_push(struct cr_fiber *self, struct cr_scope *scope)
{
    scope->owner = self;
    self->scope = scope;
    self->marks |= CR_MARK_SCOPED;
}

CR_INLINE int scope_open_shield(struct cr_fiber *self, struct cr_scope *scope, bool shield)
{
    if (shield) {
        scope->special.shield = true;
        scope->special.stop = 0;
        cr_sched_set_stop(self, 0);
        self->sched->shields++;
    }
    scope_push(self, scope);
    return 0;
}

static CR_COLD int scope_open_slowly(struct cr_fiber *self, struct cr_scope *scope,
                                     const struct coir_scope_opts *opts)
{
    struct cr_timers *timers = &self->sched->timers;
    if (self->sched->live >= timers->room && !cr_timer_grow(timers))
        return -ENOMEM;
    timers->room--;
    cr_timer_init(&scope->timer, scope_expire);
    cr_timer_arm(timers, &scope->timer, opts->until.ns);
    scope->special.timed = true;
    return scope_open_shield(self, scope, opts->shield);
}

static __attribute__((noinline)) int scope_open_with(struct cr_fiber *self, struct cr_scope *scope,
                                                     const struct coir_scope_opts *opts)
{
    struct cr_timers *timers = &self->sched->timers;
    if (opts->until.ns != COIR_NEVER.ns) {
        if (self->sched->live >= timers->room ||
            !cr_timer_push(timers, &scope->timer, opts->until.ns))
            return scope_open_slowly(self, scope, opts);
        timers->room--;
        scope->timer.fire = scope_expire;
        scope->special.timed = true;
    }
    return scope_open_shield(self, scope, opts->shield);
}

int coir_scope_open(coir_scope *memory, const struct coir_scope_opts *opts)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_scope_open", CR_CALLER);
    struct cr_scope *scope = scope_of(memory);
    scope->outer = self->scope;
    scope->owner = NULL;
    cr_list_init(&scope->children);
    scope->special = (struct cr_scope_special){.stop = self->stop};
    scope->failure = 0;
    if (opts)
        return scope_open_with(self, scope, opts);
    scope_push(self, scope);
    return 0;
}

static CR_COLD int scope_not_innermost(struct cr_fiber *self, void *caller)
{
    if (!self)
        return cr_sched_no_fiber("coir_scope_close", caller);
    cr_fatal_mistake("coir_scope_close", caller, "not the innermost scope that the fiber has open");
}

CR_INLINE void scope_pop(struct cr_fiber *self, struct cr_scope *scope)
{
    scope->owner = NULL;
    self->scope = scope->outer;
    if (!scope->outer)
        self->marks &= (uint8_t)~CR_MARK_SCOPED;
}

/* What the fiber finds outside. */
static CR_COLD int scope_close_stopped(struct cr_fiber *self, const struct cr_scope *scope)
{
    struct cr_scope_special special = scope->special;
    if (self->scope != self->home)
        cr_sched_set_stop(self, self->scope->special.stop);
    else
        cr_sched_set_stop(self, self->marks & CR_MARK_TOLD ? -ECANCELED : 0);
    self->sched->shields -= special.shield;
    if (!special.stop)
        return 0;
    return scope->failure ? scope->failure : special.expired ? -ETIMEDOUT : -ECANCELED;
}

CR_INLINE int scope_close_untimed(struct cr_fiber *self, struct cr_scope *scope)
{
    scope_pop(self, scope);
    if (CR_LIKELY(!scope->special.stop && !scope->special.shield))
        return 0;
    return scope_close_stopped(self, scope);
}

static CR_COLD int scope_close_slowly(struct cr_fiber *self, struct cr_scope *scope)
{
    if (scope->timer.place != CR_TIMER_OUT)
        cr_timer_remove(&self->sched->timers, &scope->timer);
    return scope_close_untimed(self, scope);
}

/* Of a scope with a deadline, a shield, or that was stopped. */
static __attribute__((noinline)) int scope_close_special(struct cr_fiber *self,
                                                         struct cr_scope *scope)
{
    struct cr_timers *timers = &self->sched->timers;
    if (scope->special.timed) {
        timers->room++;
        if (!cr_timer_pop(timers, &scope->timer))
            return scope_close_slowly(self, scope);
    }
    return scope_close_untimed(self, scope);
}

/* Outside of a scope that is neither stopped nor a shield nothing is stopped either. */
CR_INLINE int scope_close(struct cr_fiber *self, struct cr_scope *scope)
{
    if (!cr_scope_is_plain(scope))
        return scope_close_special(self, scope);
    scope_pop(self, scope);
    return 0;
}

/* Between the end of the last child and its return, others may have spawned into the scope. */
static __attribute__((noinline)) int scope_join(struct cr_fiber *self, struct cr_scope *scope)
{
    while (!cr_list_empty(&scope->children)) {
        struct cr_wait wait;
        cr_list_init(&wait.link);
        cr_sched_park_now(self, &wait, &CLOSE, COIR_NEVER);
    }
    return scope_close(self, scope);
}

int coir_scope_close(coir_scope *memory)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_scope *scope = scope_of(memory);
    if (CR_UNLIKELY(!self || self->scope != scope || scope == self->home))
        return scope_not_innermost(self, CR_CALLER);
    if (cr_list_empty(&scope->children))
        return scope_close(self, scope);
    return scope_join(self, scope);
}

struct cr_scope *cr_scope_check(struct coir_scope *memory, const char *function, void *caller)
{
    struct cr_scope *scope = scope_of(memory);
    if (!scope || !scope->owner || scope->owner->sched != cr_sched_here)
        cr_fatal_mistake(function, caller, "the scope is not open");
    return scope;
}

int coir_scope_cancel(coir_scope *scope)
{
    if (CR_UNLIKELY(!cr_sched_here))
        return cr_sched_none("coir_scope_cancel", CR_CALLER);
    scope_stop(cr_scope_check(scope, "coir_scope_cancel", CR_CALLER));
    return 0;
}

int coir_cancel(coir_fiber handle)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_cancel", CR_CALLER);
    struct cr_slot *slot = cr_slot_find(&sched->slots, handle);
    if (!slot || !slot->fiber)
        return -ESRCH;
    cr_scope_stop(slot->fiber);
    return 0;
}
