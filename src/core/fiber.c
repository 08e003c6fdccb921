/* Birth and end of a fiber. Its record lies at the top of its stack:
 *
 *     coloured top -> | struct cr_fiber | frames of fn, growing down … | guard |
 *
 * A dying fiber gives its stack back while it still stands on it: nobody can take it before the
 * switch away, because nothing else runs until then. */
#include "../base/text.h"
#include "ends.h"

#include "../debug/debug.h"
#include "local.h"
#include "scope.h"

#include <stdatomic.h>

static char *fiber_top(struct cr_fiber *fiber)
{
    return (char *)(fiber + 1);
}

/* Passes the result to those who wait for it, or has the parent keep it for the first who will. */
CR_INLINE void fiber_leave_result(struct coir_sched *sched, struct cr_fiber *self, int result,
                                  bool failed)
{
    cr_ends_deliver(self, result);
    if (self->dropped)
        cr_slot_release(&sched->slots, self->slot);
    else
        cr_scope_keep(&sched->slots, self->own.outer, self->slot, result, failed);
}

/* Takes the fiber off its parent, which may have waited for it. */
CR_INLINE void fiber_leave_parent(struct cr_fiber *self, struct cr_scope *parent)
{
    struct cr_list *next = self->sibling.next, *prev = self->sibling.prev;
    next->prev = prev;
    prev->next = next;
    if (next == prev && parent->special.ending)
        cr_scope_emptied(parent);
}

/* Where it begins, as if it had been called from its first instruction. */
static void *fiber_function(const struct cr_fiber *self)
{
    return (char *)(uintptr_t)self->fn + 1;
}

static CR_COLD void fiber_escaped(const struct cr_fiber *self)
{
    if (cr_sched_here)
        cr_fatal_mistake("longjmp", fiber_function(self),
                         "a function that coir had called was left by a jump");
    cr_fatal_mistake("fork", fiber_function(self),
                     "a forked child returned from its parent's fiber");
}

/* After code of the program's: whether it has left the fiber as it must be at its end. */
static void fiber_check_end(const struct cr_fiber *self)
{
    if (CR_UNLIKELY(cr_sched_self != self))
        fiber_escaped(self);
    if (CR_UNLIKELY(self->scope != &self->own))
        cr_fatal_mistake("coir_scope_open", fiber_function(self),
                         "the fiber ended with a scope open");
}

int cr_fiber_settle(struct cr_fiber *self, int result)
{
    fiber_check_end(self);
    result = cr_scope_settle(&self->own, result);
    if (self->locals) {
        cr_local_drop(&self->locals);
        fiber_check_end(self);
        result = cr_scope_settle(&self->own, result);
    }
    return result;
}

/* The end of a fiber that has had children, scopes or local values, was cancelled, or has failed.
 * Those who wait for it get its result even if it cancels them: the end came before the cancel. */
static CR_COLD void fiber_end_slowly(struct coir_sched *sched, struct cr_fiber *self, int result)
{
    struct cr_scope *parent = self->own.outer;
    result = cr_fiber_settle(self, result);
    bool cut = result < 0 && cr_scope_excuses(&self->own, result), failed = result < 0 && !cut;
    bool claimed = cr_ends_claimed(self);
    claimed |= !self->dropped && !parent->special.ending;
    fiber_leave_result(sched, self, result, failed);
    fiber_leave_parent(self, parent);
    cr_scope_init(&self->own);
    self->cancelled = 0;
    self->refusals = 0;
    parent->special.cut |= cut && parent->special.cancel;
    if (failed && !claimed)
        cr_scope_fail(parent, result);
}

static void fiber_main(void *arg)
{
    struct cr_fiber *self = arg;
    struct coir_sched *sched = self->sched;
    cr_san_arrive(&self->san);
    sched->progress = true;
    int result = self->fn(self->arg);
    if (CR_UNLIKELY(cr_sched_self != self))
        fiber_escaped(self);
    CR_ASSERT(!self->wait);
    if (CR_UNLIKELY(result < 0 || !cr_scope_is_plain(&self->own))) {
        fiber_end_slowly(sched, self, result);
    } else {
        fiber_leave_result(sched, self, result, false);
        fiber_leave_parent(self, self->own.outer);
    }
    if (CR_UNLIKELY(self->timer.place != CR_TIMER_OUT))
        cr_timer_remove(&sched->timers, &self->timer);
    if (CR_UNLIKELY(self->class->is_canary) && cr_stack_overflowed(self->class, fiber_top(self)))
        cr_fatal_overflow(self);
    sched->live--;
    sched->progress = true;
    cr_stack_give(self->class, fiber_top(self));
    cr_sched_depart(sched, self);
}

static void fiber_expire(struct cr_timer *timer)
{
    struct cr_fiber *fiber = CR_CONTAINER(timer, struct cr_fiber, timer);
    cr_sched_give_up(fiber, fiber->wait->kind->expired);
}

/* The record of a stack's last fiber serves the next one: what is set here has at a fiber's end the
 * value that it had at the beginning. */
static CR_COLD void fiber_init(struct cr_fiber *fiber, struct coir_sched *sched,
                               struct cr_stack_class *class)
{
    fiber->wait = NULL;
    fiber->sched = sched;
    fiber->cancelled = 0;
    fiber->refusals = 0;
    fiber->scope = &fiber->own;
    fiber->own.owner = fiber;
    cr_scope_init(&fiber->own);
    fiber->locals = NULL;
    fiber->class = class;
    cr_timer_init(&fiber->timer, fiber_expire);
    cr_list_init(&fiber->joiners);
}

/* Whether a fiber can be made without asking for memory. */
CR_INLINE bool fiber_is_reserved(struct coir_sched *sched, const struct cr_stack_class *class)
{
    return sched->slots.free != 0 && sched->live < sched->timers.room &&
           cr_stack_has_spare(class);
}

static bool fiber_reserve(struct coir_sched *sched, struct cr_stack_class *class)
{
    return (sched->slots.free != 0 || cr_slot_grow(&sched->slots)) &&
           (sched->live < sched->timers.room || cr_timer_grow(&sched->timers)) &&
           (cr_stack_has_spare(class) || cr_stack_carve(&sched->stacks, class));
}

/* Puts a fiber at the tail of the ready queue. What it needs is reserved. */
CR_INLINE struct cr_fiber *fiber_make(struct coir_sched *sched, struct cr_stack_class *class,
                                      struct cr_scope *parent, struct cr_list *siblings,
                                      coir_fiber *handle, int (*fn)(void *arg), void *arg)
{
    char *top = cr_stack_take(class);
    struct cr_fiber *fiber = (struct cr_fiber *)(void *)top - 1;
    fiber->fn = fn;
    fiber->arg = arg;
    fiber->own.outer = parent;
    parent->special.used |= CR_USED;
    cr_list_append(siblings, &fiber->sibling);
    if (CR_UNLIKELY(cr_stack_was_clean(class)))
        fiber_init(fiber, sched, class);
    uint64_t number = sched->spawned++;
    uint32_t slot = sched->slots.free;
    cr_slot_take(&sched->slots, number)->fiber = fiber;
    fiber->dropped = true;
    atomic_signal_fence(memory_order_release);
    if (handle) {
        fiber->dropped = false;
        handle->number = number;
        atomic_signal_fence(memory_order_release); /* one store of all takes more instructions */
        handle->slot = slot;
        atomic_signal_fence(memory_order_release);
        handle->sched = sched->slots.sched;
    }
    fiber->slot = slot;
    fiber->key = number + sched->key;
    fiber->name[0] = '\0';
    if (CR_SAN_ADDRESS || CR_SAN_THREAD) {
        char *low = cr_stack_low(class, top);
        cr_san_init(&fiber->san, low, (size_t)((char *)fiber - low));
    }
    sched->live++;
    cr_sched_ready(sched, fiber);
    fiber->context = cr_ctx_make(fiber, fiber_main, fiber);
    return fiber;
}

/* Whose child a new fiber is; NULL: the caller, or that scope, is cancelled. */
static struct cr_scope *fiber_parent(struct coir_sched *sched, const struct coir_spawn_opts *opts,
                                     void *caller)
{
    struct cr_fiber *self = opts && opts->detached ? NULL : cr_sched_self;
    struct cr_scope *parent = self ? self->scope : &sched->root;
    if (opts && opts->scope && !opts->detached)
        parent = cr_scope_check(opts->scope, "coir_spawn", caller);
    if (self && self->cancelled)
        return NULL;
    while (parent->special.limit && !parent->special.cancel)
        parent = parent->outer;
    return parent->special.cancel ? NULL : parent;
}

static struct cr_list *fiber_siblings(struct cr_scope *parent, bool daemon)
{
    if (!daemon)
        return &parent->children;
    if (!(parent->special.used & CR_USED_DAEMONS))
        cr_list_init(&parent->daemons);
    parent->special.used |= CR_USED_DAEMONS;
    return &parent->daemons;
}

/* While `inherit` runs, the parent may be cancelled, and a scope that is named may end: NULL
 * then. */
static int fiber_inherit(struct coir_sched *sched, const struct coir_spawn_opts *opts,
                         struct cr_scope **parent, struct cr_locals **locals, void *caller)
{
    coir_scope_ref ref = {{0, 0, 0}};
    bool is_named = opts->scope && !opts->detached;
    int result = is_named ? coir_scope_refer(opts->scope, &ref) : 0;
    if (result == 0)
        result = cr_local_inherit(cr_sched_self, *parent, locals);
    if (result == 0)
        *parent = is_named && !coir_scope_find(ref) ? NULL : fiber_parent(sched, opts, caller);
    return result;
}

/* With options, outside fibers, or when memory must be asked for first. */
static CR_COLD int fiber_spawn_slowly(coir_fiber *handle, int (*fn)(void *arg), void *arg,
                                      const struct coir_spawn_opts *opts, void *caller)
{
    struct coir_sched *sched = cr_sched_here;
    if (!sched)
        return cr_sched_none("coir_spawn", caller);
    if (!fn)
        cr_fatal_mistake("coir_spawn", caller, "the function is NULL");
    if (opts && opts->stack_size > PTRDIFF_MAX)
        cr_fatal_mistake("coir_spawn", caller, "the stack size is negative");

    struct cr_stack_class *class = sched->class;
    struct cr_locals *locals = NULL;
    struct cr_scope *parent = fiber_parent(sched, opts, caller);
    if (!parent)
        return COIR_CANCELLED;
    if (opts && opts->stack_size > 0)
        class = cr_stack_class(&sched->stacks, opts->stack_size, class->is_canary);
    if (opts && opts->inherit && cr_sched_self) {
        int result = fiber_inherit(sched, opts, &parent, &locals, caller);
        if (result < 0)
            return result;
    }
    if (!parent || !class || !fiber_reserve(sched, class)) { /* last, since `inherit` may spawn */
        if (locals)
            cr_local_drop(&locals);
        return parent ? -ENOMEM : COIR_CANCELLED;
    }
    struct cr_list *siblings = fiber_siblings(parent, opts && opts->daemon);
    struct cr_fiber *fiber = fiber_make(sched, class, parent, siblings, handle, fn, arg);
    if (locals) {
        fiber->locals = locals;
        fiber->own.special.used |= CR_USED;
    }
    if (siblings != &parent->children && cr_scope_waits_for_daemons(parent))
        cr_cancel_scope(&fiber->own, 0);
    if (opts) {
        cr_text_clean(fiber->name, sizeof fiber->name, opts->name ? opts->name : "");
        fiber->dropped |= opts->detached;
    }
    return 0;
}

/* Whether a child of a scope can be made at once. */
CR_INLINE bool fiber_may_spawn(const struct cr_fiber *self, const struct cr_scope *parent,
                               int (*fn)(void *arg), const struct coir_spawn_opts *opts)
{
    return fn && !opts && cr_scope_takes_children(parent) &&
           fiber_is_reserved(self->sched, self->sched->class);
}

CR_INLINE int fiber_spawn(struct cr_fiber *self, struct cr_scope *parent, coir_fiber *handle,
                          int (*fn)(void *arg), void *arg)
{
    fiber_make(self->sched, self->sched->class, parent, &parent->children, handle, fn, arg);
    return 0;
}

/* In an innermost scope that the fiber has opened; it may be that of a function which has returned
 * without ending it. */
static CR_NOINLINE int fiber_spawn_in_scope(coir_fiber *handle, int (*fn)(void *arg), void *arg,
                                            const struct coir_spawn_opts *opts,
                                            uintptr_t pointer, void *caller)
{
    struct cr_fiber *self = cr_sched_self;
    if (self && (uintptr_t)self->scope < pointer)
        cr_scope_check_left(self, pointer, "coir_spawn", caller);
    if (CR_LIKELY(self && fiber_may_spawn(self, self->scope, fn, opts)))
        return fiber_spawn(self, self->scope, handle, fn, arg);
    return fiber_spawn_slowly(handle, fn, arg, opts, caller);
}

CR_OUTLINED int coir_spawn(coir_fiber *handle, int (*fn)(void *arg), void *arg,
                           const struct coir_spawn_opts *opts)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_LIKELY(self && fiber_may_spawn(self, &self->own, fn, opts)))
        return fiber_spawn(self, &self->own, handle, fn, arg);
    return fiber_spawn_in_scope(handle, fn, arg, opts, cr_stack_pointer(), CR_CALLER);
}

coir_fiber coir_self(void)
{
    struct cr_fiber *self = cr_sched_self;
    if (!self)
        return (coir_fiber){0, 0, 0};
    return (coir_fiber){cr_fiber_number(self), self->slot, self->sched->slots.sched};
}

const char *coir_name(void)
{
    return cr_sched_self ? cr_sched_self->name : "";
}
