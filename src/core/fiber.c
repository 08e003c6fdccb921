/* Birth and end of a fiber. Its record lies at the top of its stack:
 *
 *     coloured top -> | struct cr_fiber | frames of fn, growing down … | guard |
 *
 * A dying fiber gives its stack back while it still stands on it: nobody can take it before the
 * switch away, because nothing else runs until then. */
#include "ends.h"

#include "../debug/debug.h"
#include "local.h"
#include "scope.h"

#include <stdatomic.h>

static char *fiber_top(struct cr_fiber *fiber)
{
    return (char *)(fiber + 1);
}

/* Passes the result to those who wait for it, or leaves it in the slot for the first who will. */
CR_INLINE void fiber_leave_result(struct coir_sched *sched, struct cr_fiber *self, int result)
{
    cr_ends_deliver(self, result);
    if (self->dropped) {
        cr_slot_release(&sched->slots, self->slot);
    } else {
        sched->slots.at[self->slot].fiber = NULL;
        sched->slots.at[self->slot].result = result;
    }
}

/* Where it begins, as if it had been called from its first instruction. */
static void *fiber_function(const struct cr_fiber *self)
{
    return (char *)(uintptr_t)self->fn + 1;
}

static CR_COLD void fiber_escaped(const struct cr_fiber *self)
{
    cr_fatal_mistake("fork", fiber_function(self),
                     "a forked child returned from its parent's fiber");
}

/* The end of a marked fiber. Those who wait for it get its result even if it stops them: the end
 * came before the stop. */
static CR_COLD void fiber_end_marked(struct coir_sched *sched, struct cr_fiber *self, int result)
{
    if (self->locals)
        cr_local_end(self);
    if (self->scope != self->home)
        cr_fatal_mistake("coir_scope_open", fiber_function(self),
                         "the fiber ended with a scope open");
    fiber_leave_result(sched, self, result);
    if (self->scope)
        cr_scope_leave(self, result);
    self->marks = 0;
    self->stop = 0;
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
    if (CR_UNLIKELY(self->marks))
        fiber_end_marked(sched, self, result);
    else
        fiber_leave_result(sched, self, result);
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
    cr_sched_wake(fiber, fiber->wait->kind->expired);
}

/* The record of a stack's last fiber serves the next one: what is set here has at a fiber's end the
 * value that it had at the beginning. */
static CR_COLD void fiber_init(struct cr_fiber *fiber, struct coir_sched *sched,
                               struct cr_stack_class *class)
{
    fiber->wait = NULL;
    fiber->sched = sched;
    fiber->stop = 0;
    fiber->marks = 0;
    fiber->scope = fiber->home = NULL;
    fiber->locals = NULL;
    fiber->class = class;
    cr_timer_init(&fiber->timer, fiber_expire);
    cr_list_init(&fiber->joiners);
}

/* Whether a fiber can be made without asking for memory. */
CR_INLINE bool fiber_is_reserved(struct coir_sched *sched, const struct cr_stack_class *class)
{
    return sched->slots.free != 0 && sched->live < sched->timers.room && class->spares > 0;
}

static bool fiber_reserve(struct coir_sched *sched, struct cr_stack_class *class)
{
    return (sched->slots.free != 0 || cr_slot_grow(&sched->slots)) &&
           (sched->live < sched->timers.room || cr_timer_grow(&sched->timers)) &&
           (class->spares > 0 || cr_stack_carve(&sched->stacks, class));
}

/* Puts a fiber at the tail of the ready queue. What it needs is reserved. */
CR_INLINE struct cr_fiber *fiber_make(struct coir_sched *sched, struct cr_stack_class *class,
                                      coir_fiber *handle, int (*fn)(void *arg), void *arg)
{
    char *top = cr_stack_take(class);
    struct cr_fiber *fiber = (struct cr_fiber *)(void *)top - 1;
    fiber->fn = fn;
    fiber->arg = arg;
    atomic_signal_fence(memory_order_seq_cst); /* a page that is read first faults twice */
    if (CR_UNLIKELY(!fiber->sched))
        fiber_init(fiber, sched, class);
    coir_fiber self = cr_slot_take(&sched->slots, fiber);
    if (handle)
        *handle = self;
    fiber->slot = self.slot;
    fiber->dropped = !handle;
    fiber->key = sched->spawned++;
    fiber->name[0] = '\0';
    if (CR_SAN_ADDRESS) {
        char *low = cr_stack_low(class, top);
        cr_san_init(&fiber->san, low, (size_t)((char *)fiber - low));
    }
    sched->live++;
    cr_sched_ready(sched, fiber);
    fiber->context = cr_ctx_make(fiber, fiber_main, fiber);
    return fiber;
}

/* A name stands in lines, so it has no line ends. */
static void fiber_name(struct cr_fiber *fiber, const char *name)
{
    size_t i = 0;
    for (; i < CR_FIBER_NAME_SIZE - 1 && name[i]; i++)
        fiber->name[i] = (unsigned char)name[i] < ' ' ? '?' : name[i];
    fiber->name[i] = '\0';
}

/* Whose child a new fiber is, and whether that place has been told to stop. */
static int fiber_place(struct coir_sched *sched, const struct coir_spawn_opts *opts, void *caller,
                       struct cr_scope **scope)
{
    struct cr_fiber *self = opts && opts->detached ? NULL : cr_sched_self;
    int stop = self ? self->stop : 0;
    *scope = self ? self->scope : NULL;
    if (opts && opts->scope && !opts->detached) {
        *scope = cr_scope_check(opts->scope, "coir_spawn", caller);
        stop = stop ? stop : (*scope)->special.stop;
    }
    return *scope ? stop : sched->freeing ? -ECANCELED : stop;
}

/* With options, in a scope, or when memory must be asked for first. */
static CR_COLD int fiber_spawn_slowly(struct coir_sched *sched, coir_fiber *handle,
                                      int (*fn)(void *arg), void *arg,
                                      const struct coir_spawn_opts *opts, void *caller)
{
    struct cr_scope *scope;
    struct cr_stack_class *class = sched->class;
    struct cr_locals *locals = NULL;
    int stop = fiber_place(sched, opts, caller, &scope);
    if (stop < 0)
        return stop;
    if (opts && opts->stack_size > 0)
        class = cr_stack_class(&sched->stacks, opts->stack_size, class->is_canary);
    if (opts && opts->inherit && cr_sched_self && !cr_local_inherit(cr_sched_self, &locals))
        return -ENOMEM;
    if (!class || !fiber_reserve(sched, class)) { /* last, since `inherit` may spawn */
        if (locals)
            cr_local_drop(locals);
        return -ENOMEM;
    }
    struct cr_fiber *fiber = fiber_make(sched, class, handle, fn, arg);
    if (locals) {
        fiber->locals = locals;
        fiber->marks |= CR_MARK_LOCALS;
    }
    if (scope)
        cr_scope_enter(scope, fiber);
    if (opts) {
        fiber_name(fiber, opts->name ? opts->name : "");
        fiber->dropped |= opts->detached;
    }
    return 0;
}

int coir_spawn(coir_fiber *handle, int (*fn)(void *arg), void *arg,
               const struct coir_spawn_opts *opts)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_spawn", CR_CALLER);
    if (CR_UNLIKELY(!fn))
        cr_fatal_mistake("coir_spawn", CR_CALLER, "the function is NULL");
    if (CR_UNLIKELY(opts && opts->stack_size > PTRDIFF_MAX))
        cr_fatal_mistake("coir_spawn", CR_CALLER, "the stack size is negative");
    struct cr_fiber *self = cr_sched_self;
    bool placed = self && self->marks & (CR_MARK_SCOPED | CR_MARK_TOLD);
    if (CR_UNLIKELY(opts || placed || sched->freeing || !fiber_is_reserved(sched, sched->class)))
        return fiber_spawn_slowly(sched, handle, fn, arg, opts, CR_CALLER);
    fiber_make(sched, sched->class, handle, fn, arg);
    return 0;
}

coir_fiber coir_self(void)
{
    struct cr_fiber *self = cr_sched_self;
    if (!self)
        return (coir_fiber){0, 0};
    return (coir_fiber){self->slot, self->sched->slots.at[self->slot].generation};
}

const char *coir_name(void)
{
    return cr_sched_self ? cr_sched_self->name : "";
}
