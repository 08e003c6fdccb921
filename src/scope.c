/* Scopes: open, close, and the way of a stop through the tree. The way is kept in the scopes
 * themselves, so that neither the depth of the tree nor its width costs stack or memory. */
#include "scope.h"

#include "debug/debug.h"

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
        if (scope->shield && scope != entry)
            first = scope->outer;
    for (struct cr_scope *scope = first; scope != end; scope = scope->outer)
        if (!scope->stop) {
            scope->stop = -ECANCELED;
            scope->next_stopped = *stopped;
            *stopped = scope;
        }
    if (first != fiber->scope)
        return;
    fiber->stop = -ECANCELED;
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
    if (scope->stop)
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
            sched->shields -= scope->shield;
            scope->shield = false;
        }
        fiber->marks &= (uint8_t)~CR_MARK_TOLD;
        cr_scope_stop(fiber);
    }
}

static void scope_expire(struct cr_timer *timer)
{
    struct cr_scope *scope = CR_CONTAINER(timer, struct cr_scope, timer);
    cr_timer_disarm(timer);
    if (scope->stop)
        return;
    scope->expired = true;
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

static CR_COLD int scope_arm(struct coir_sched *sched, struct cr_scope *scope, uint64_t until)
{
    if (sched->live >= sched->timers.room && !cr_timer_grow(&sched->timers))
        return -ENOMEM;
    sched->timers.room--;
    scope->timed = true;
    cr_timer_arm(&sched->timers, &scope->timer, until);
    return 0;
}

static CR_COLD void scope_disarm(struct coir_sched *sched, struct cr_scope *scope)
{
    sched->timers.room++;
    if (scope->timer.place != CR_TIMER_OUT)
        cr_timer_remove(&sched->timers, &scope->timer);
}

static struct cr_scope *scope_of(struct coir_scope *scope)
{
    return (struct cr_scope *)(void *)scope;
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
    scope->stop = self->stop;
    scope->failure = 0;
    scope->shield = scope->timed = scope->expired = false;
    if (opts && opts->until) {
        cr_timer_init(&scope->timer, scope_expire);
        if (opts->until != COIR_NEVER && scope_arm(self->sched, scope, opts->until) < 0)
            return -ENOMEM;
    }
    if (opts && opts->shield) {
        scope->shield = true;
        scope->stop = self->stop = 0;
        self->sched->shields++;
    }
    scope->owner = self;
    self->scope = scope;
    self->marks |= CR_MARK_SCOPED;
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
    struct cr_scope *outer = scope->outer;
    scope->owner = NULL;
    self->scope = outer;
    if (outer != self->home)
        self->stop = outer->stop;
    else
        self->stop = self->marks & CR_MARK_TOLD ? -ECANCELED : 0;
    if (!outer)
        self->marks &= (uint8_t)~CR_MARK_SCOPED;
}

int coir_scope_close(coir_scope *memory)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_scope *scope = scope_of(memory);
    if (CR_UNLIKELY(!self || self->scope != scope || scope == self->home))
        return scope_not_innermost(self, CR_CALLER);
    /* Between the end of the last child and here, others may have spawned into it. */
    while (CR_UNLIKELY(!cr_list_empty(&scope->children))) {
        struct cr_wait wait = {.kind = &CLOSE};
        cr_list_init(&wait.link);
        cr_sched_park_firmly(self, &wait);
    }
    if (scope->timed)
        scope_disarm(self->sched, scope);
    self->sched->shields -= scope->shield;
    scope_pop(self, scope);
    if (CR_LIKELY(!scope->stop))
        return 0;
    return scope->failure ? scope->failure : scope->expired ? -ETIMEDOUT : -ECANCELED;
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
