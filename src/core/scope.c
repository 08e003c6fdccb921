/* Scopes: their beginning, their end, and what comes of the results of their children. The end of
 * a fiber's own scope is that of the fiber. */
#include "scope.h"

#include "../debug/debug.h"

#include <stdio.h>

/* A scope that a fiber opens, in the caller's memory. */
struct opened {
    struct cr_scope scope;
    struct cr_timer timer; /* in use if special.timed */
};

_Static_assert(sizeof(struct opened) <= sizeof(struct coir_scope), "coir.h makes room for it");

static void scope_describe(const struct cr_wait *wait, char *text, size_t size)
{
    const struct cr_scope *scope = wait->fiber->scope;
    const struct cr_list *children = &scope->children;
    size_t count = 0;
    if (cr_list_empty(children) && scope->special.used & CR_USED_DAEMONS)
        children = &scope->daemons;
    for (const struct cr_list *child = children->next; child != children; child = child->next)
        count++;
    snprintf(text, size, "%zu fiber%s in %s to end", count, count == 1 ? "" : "s",
             scope == &wait->fiber->own ? "it" : "its scope");
}

static const struct cr_wait_kind END = {
    .name = "",
    .woken = -EBUSY,
    .firm = true,
    .describe = scope_describe,
};

static void scope_expire(struct cr_timer *timer)
{
    struct opened *opened = CR_CONTAINER(timer, struct opened, timer);
    cr_timer_disarm(timer);
    cr_cancel_scope(&opened->scope, COIR_TIMED_OUT);
}

/* The grace of a scope that winds down is over. */
static void scope_wound_down(struct cr_timer *timer)
{
    cr_timer_disarm(timer);
    cr_cancel_scope(&CR_CONTAINER(timer, struct opened, timer)->scope, 0);
}

/* ---- results ---- */

void cr_scope_fail(struct cr_scope *scope, int result)
{
    if (scope->failure || !scope->owner)
        return;
    scope->failure = result;
    cr_cancel_scope(scope, result);
}

void cr_scope_keep(struct cr_slots *slots, struct cr_scope *parent, uint32_t slot, int result,
                   bool failed)
{
    struct cr_slot *s = &slots->at[slot];
    s->number |= CR_SLOT_ENDED;
    s->scope = parent;
    s->result = result;
    s->failed = failed;
    if (parent->kept == 0) {
        parent->kept = s->next = s->prev = slot;
        return;
    }
    struct cr_slot *first = &slots->at[parent->kept];
    s->next = parent->kept;
    s->prev = first->prev;
    slots->at[first->prev].next = slot;
    first->prev = slot;
}

int cr_scope_take(struct cr_slots *slots, uint32_t slot)
{
    struct cr_slot *s = &slots->at[slot];
    struct cr_scope *keeper = s->scope;
    int result = s->result;
    if (keeper->kept == slot)
        keeper->kept = s->next == slot ? 0 : s->next;
    slots->at[s->prev].next = s->next;
    slots->at[s->next].prev = s->prev;
    cr_slot_release(slots, slot);
    return result;
}

/* What nobody took is the scope's: the first failure counts, and all are dropped. */
static void scope_drop_kept(struct cr_slots *slots, struct cr_scope *scope)
{
    while (scope->kept) {
        bool failed = slots->at[scope->kept].failed;
        int result = cr_scope_take(slots, scope->kept);
        if (failed)
            cr_scope_fail(scope, result);
    }
}

static int scope_outcome(const struct cr_fiber *self, const struct cr_scope *scope, int result)
{
    if (scope->failure)
        return scope->failure;
    if (!scope->special.cut)
        return result;
    if (scope->special.cancel == CR_CANCEL_OWN && scope != &self->own)
        return scope->reason < 0 ? scope->reason : result < 0 ? 0 : result;
    return result < 0 || scope->reason == 0 ? result : COIR_CANCELLED;
}

/* ---- the end of a scope ---- */

static bool scope_has_daemons(const struct cr_scope *scope)
{
    return scope->special.used & CR_USED_DAEMONS && !cr_list_empty(&scope->daemons);
}

void cr_scope_emptied(struct cr_scope *scope)
{
    struct cr_wait *wait = scope->owner->wait;
    if (wait && wait->kind == &END && scope->owner->scope == scope)
        cr_sched_wake(scope->owner, 0);
}

static void scope_wait(struct cr_fiber *self)
{
    struct cr_wait wait;
    cr_list_init(&wait.link);
    cr_sched_park_now(self, &wait, &END, COIR_NEVER);
}

/* Between the end of the last child and its return, others may have spawned into the scope. */
static void scope_wait_for_children(struct cr_fiber *self, struct cr_scope *scope)
{
    scope->special.ending = 1;
    while (!cr_list_empty(&scope->children) || scope_has_daemons(scope)) {
        if (cr_list_empty(&scope->children))
            cr_cancel_daemons(scope);
        scope_wait(self);
    }
    scope->special.ending = 0;
}

int cr_scope_settle(struct cr_scope *scope, int result)
{
    struct cr_fiber *self = scope->owner;
    if (result < 0 && cr_scope_excuses(scope, result))
        scope->special.cut = 1;
    else if (result < 0)
        cr_scope_fail(scope, result);
    scope_drop_kept(&self->sched->slots, scope);
    scope_wait_for_children(self, scope);
    scope_drop_kept(&self->sched->slots, scope);
    return scope_outcome(self, scope, result);
}

/* What the fiber finds outside. */
CR_INLINE void scope_pop(struct cr_fiber *self, struct cr_scope *scope)
{
    scope->owner = NULL;
    scope->outer->special.covered = 0;
    self->scope = scope->outer;
}

static CR_COLD void scope_pop_special(struct cr_fiber *self, struct cr_scope *scope)
{
    if (scope->handle)
        cr_slot_release(&self->sched->slots, scope->handle);
    self->sched->shields -= cr_scope_is_shield(scope);
    self->sched->winding -= (scope->special.used & CR_USED_WINDING) != 0;
    scope_pop(self, scope);
    cr_sched_set_cancelled(self, self->scope->special.cancel ? COIR_CANCELLED : 0);
}

static CR_COLD void scope_remove_deadline(struct cr_timers *timers, struct opened *opened)
{
    timers->room += opened->timer.place != CR_TIMER_STRAY;
    cr_timer_remove(timers, &opened->timer);
}

/* Others may give it a deadline while it waits. */
static CR_COLD int scope_end_slowly(struct cr_fiber *self, struct opened *opened, int result)
{
    result = cr_scope_settle(&opened->scope, result);
    if (opened->scope.special.timed)
        scope_remove_deadline(&self->sched->timers, opened);
    scope_pop_special(self, &opened->scope);
    return result;
}

/* Of a scope that is not plain. */
static CR_NOINLINE int scope_end_special(struct cr_fiber *self, struct cr_scope *scope, int result)
{
    struct opened *opened = CR_CONTAINER(scope, struct opened, scope);
    struct cr_timers *timers = &self->sched->timers;
    bool is_timed = cr_scope_is_only(scope, (struct cr_special){.timed = 1});
    bool is_soft = !is_timed && cr_scope_is_only(scope, (struct cr_special){.kind = COIR_SOFT});
    if (CR_UNLIKELY(is_timed ? !cr_timer_pop(timers, &opened->timer) : !is_soft))
        return scope_end_slowly(self, opened, result);
    timers->room += is_timed;
    scope_pop(self, scope);
    return result;
}

static CR_COLD int scope_not_innermost(struct cr_fiber *self, const char *function, void *caller)
{
    if (!self)
        return cr_sched_no_fiber(function, caller);
    cr_fatal_mistake(function, caller, "not the innermost scope that the fiber has open");
}

static struct cr_scope *scope_of(struct coir_scope *scope)
{
    return (struct cr_scope *)(void *)scope;
}

CR_INLINE int scope_end(coir_scope *memory, int result, const char *function, void *caller)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_scope *scope = scope_of(memory);
    if (CR_UNLIKELY(!self || self->scope != scope))
        return scope_not_innermost(self, function, caller);
    if (CR_UNLIKELY(!cr_scope_is_plain(scope)))
        return scope_end_special(self, scope, result);
    scope_pop(self, scope);
    return result;
}

int coir_scope_end(coir_scope *scope, int result)
{
    return scope_end(scope, result, "coir_scope_end", CR_CALLER);
}

void coir_scope_leave(coir_scope *memory)
{
    struct cr_scope *scope = scope_of(memory);
    if (!scope || !scope->owner)
        return;
    cr_cancel_scope(scope, COIR_CANCELLED);
    scope_end(memory, 0, "coir_scope_leave", CR_CALLER);
}

/* ---- the beginning ---- */

/* Itself, or what is around it up to a shield. */
static bool scope_winds_down(const struct cr_scope *scope)
{
    for (; scope; scope = scope->outer) {
        if (scope->special.used & CR_USED_WINDING)
            return true;
        if (cr_scope_is_shield(scope))
            return false;
    }
    return false;
}

void cr_scope_check_left(const struct cr_fiber *self, uintptr_t pointer, const char *function,
                         void *caller)
{
    uintptr_t scope = (uintptr_t)self->scope;
    uintptr_t low = (uintptr_t)cr_stack_low(self->class, (char *)(uintptr_t)(self + 1));
    if (scope >= low && scope < pointer)
        cr_fatal_mistake(function, caller, "a function has returned without ending its scope");
}

static CR_COLD void scope_arm_slowly(struct cr_timers *timers, struct cr_timer *timer,
                                     coir_time until, bool has_room)
{
    cr_timer_init(timer, scope_expire);
    if (has_room || cr_timer_grow(timers)) {
        timers->room--;
        cr_timer_arm(timers, timer, until.ns);
    } else {
        cr_timer_arm_stray(timers, timer, until.ns);
    }
}

CR_INLINE void scope_push(struct cr_fiber *self, struct cr_scope *scope)
{
    scope->outer = self->scope;
    scope->owner = self;
    self->scope->special.covered = 1;
    self->scope = scope;
}

/* With a deadline. */
static CR_NOINLINE void scope_open_timed(struct cr_fiber *self, struct opened *opened,
                                         coir_time until)
{
    struct cr_timers *timers = &self->sched->timers;
    bool has_room = self->sched->live < timers->room;
    opened->scope.special.timed = 1;
    scope_push(self, &opened->scope);
    if (CR_UNLIKELY(!has_room || !cr_timer_push(timers, &opened->timer, until.ns))) {
        scope_arm_slowly(timers, &opened->timer, until, has_room);
        return;
    }
    timers->room--;
    opened->timer.fire = scope_expire;
}

/* What is to be looked at, and what the fiber finds inside. */
static CR_COLD void scope_prepare(struct cr_fiber *self, struct cr_scope *scope, int kind,
                                  uintptr_t pointer, void *caller)
{
    if (kind != 0 && kind != COIR_SHIELD && kind != COIR_LIMIT && kind != COIR_SOFT)
        cr_fatal_mistake("coir_scope_open", caller, "there is no such kind of scope");
    cr_scope_check_left(self, pointer, "coir_scope_open", caller);
    if (self->cancelled && kind != COIR_SHIELD) {
        uint8_t wound = self->scope->special.used & CR_USED_WOUND;
        scope->special.cancel = wound && kind == COIR_SOFT ? CR_CANCEL_OWN : CR_CANCEL_OUTER;
        scope->special.used = wound;
        scope->reason = self->scope->reason;
    }
    scope->special.limit = kind == COIR_LIMIT;
    if (kind == COIR_SHIELD) {
        self->sched->shields++;
        cr_sched_set_cancelled(self, 0);
    }
}

/* Of a kind, in a cancelled fiber, or where a scope may have been left open. */
static CR_NOINLINE void scope_open_special(struct cr_fiber *self, struct opened *opened,
                                           coir_time until, int kind, uintptr_t pointer,
                                           void *caller)
{
    struct cr_scope *scope = &opened->scope;
    bool is_soft = kind == COIR_SOFT;
    if (CR_UNLIKELY(!is_soft || self->cancelled || (uintptr_t)self->scope < pointer))
        scope_prepare(self, scope, kind, pointer, caller);
    scope->special.kind = (uint8_t)kind;
    if (until.ns != COIR_NEVER.ns)
        scope_open_timed(self, opened, until);
    else
        scope_push(self, scope);
    if (CR_UNLIKELY(is_soft && self->sched->winding > 0 && scope_winds_down(scope)))
        cr_cancel_soft(scope);
}

static CR_COLD void scope_open_nowhere(struct cr_scope *scope, void *caller)
{
    scope->owner = NULL;
    cr_sched_no_fiber("coir_scope_open", caller);
}

CR_OUTLINED void coir_scope_open(coir_scope *memory, coir_time until, int kind)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_scope *scope = scope_of(memory);
    if (CR_UNLIKELY(!self)) {
        scope_open_nowhere(scope, CR_CALLER);
        return;
    }
    uintptr_t pointer = cr_stack_pointer();
    cr_scope_init(scope);
    if (CR_UNLIKELY(kind | self->cancelled || (uintptr_t)self->scope < pointer))
        scope_open_special(self, (struct opened *)(void *)memory, until, kind, pointer, CR_CALLER);
    else if (until.ns != COIR_NEVER.ns)
        scope_open_timed(self, (struct opened *)(void *)memory, until);
    else
        scope_push(self, scope);
}

/* ---- winding down ---- */

/* Unless the scope has an earlier deadline. */
static void scope_give_grace(struct opened *opened, coir_time until)
{
    struct coir_sched *sched = opened->scope.owner->sched;
    struct cr_timer *timer = &opened->timer;
    if (opened->scope.special.timed && timer->deadline_ns <= until.ns)
        return;
    if (opened->scope.special.timed)
        scope_remove_deadline(&sched->timers, opened);
    opened->scope.special.timed = 1;
    scope_arm_slowly(&sched->timers, timer, until, sched->live < sched->timers.room);
    timer->fire = scope_wound_down;
}

int coir_scope_wind_down(coir_scope *memory, int64_t grace_ns)
{
    if (CR_UNLIKELY(!cr_sched_here))
        return cr_sched_none("coir_scope_wind_down", CR_CALLER);
    struct cr_scope *scope = cr_scope_check(memory, "coir_scope_wind_down", CR_CALLER);
    coir_time until = coir_after(grace_ns);
    cr_sched_here->winding += !(scope->special.used & CR_USED_WINDING);
    scope->special.used |= CR_USED_WINDING;
    if (scope->special.cancel)
        return 0;
    cr_cancel_soft(scope);
    if (until.ns != COIR_NEVER.ns)
        scope_give_grace(CR_CONTAINER(scope, struct opened, scope), until);
    return 0;
}

bool coir_winding_down(void)
{
    const struct cr_fiber *self = cr_sched_self;
    return self && self->sched->winding > 0 && scope_winds_down(self->scope);
}

/* ---- from elsewhere ---- */

struct cr_scope *cr_scope_check(struct coir_scope *memory, const char *function, void *caller)
{
    struct cr_scope *scope = scope_of(memory);
    if (!scope || !scope->owner || scope->owner->sched != cr_sched_here)
        cr_fatal_mistake(function, caller, "the scope is not open");
    return scope;
}

int coir_scope_refer(coir_scope *memory, coir_scope_ref *ref)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_scope_refer", CR_CALLER);
    struct cr_scope *scope = cr_scope_check(memory, "coir_scope_refer", CR_CALLER);
    if (scope->handle == 0) {
        if (sched->slots.free == 0 && !cr_slot_grow(&sched->slots))
            return -ENOMEM;
        scope->handle = sched->slots.free;
        cr_slot_take(&sched->slots, CR_SLOT_SCOPE | sched->referred++)->scope = scope;
        scope->special.used |= CR_USED;
    }
    uint64_t number = sched->slots.at[scope->handle].number & ~CR_SLOT_SCOPE;
    ref->opaque = (coir_fiber){number, scope->handle, sched->slots.sched};
    return 0;
}

coir_scope *coir_scope_find(coir_scope_ref ref)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_scope_find", CR_CALLER), NULL;
    struct cr_slot *slot = cr_slot_find(&sched->slots, ref.opaque, CR_SLOT_SCOPE);
    return slot ? (coir_scope *)(void *)slot->scope : NULL;
}
