/* Switch, yield, park, wake. Fibers switch straight to the next ready fiber; only when none is
 * ready, or the budget of switches is spent, do they switch to the loop, which serves timers and
 * descriptors on the stack of the thread. */
#include "sched.h"

#include "../../include/coir_test.h"
#include "../debug/debug.h"

/* A cancelled fiber that calls so often is reported. */
enum { STACK_SIZE_DEFAULT = 64 * 1024, REFUSALS_DEAF = 10000 };

_Thread_local struct coir_sched *cr_sched_here;
_Thread_local struct cr_fiber *cr_sched_self;
_Thread_local bool cr_sched_forked;

int cr_sched_no_fiber(const char *function, void *caller)
{
    if (!cr_sched_forked)
        cr_fatal_mistake(function, caller, "called outside a fiber");
    return -ECHILD;
}

int cr_sched_none(const char *function, void *caller)
{
    if (!cr_sched_forked)
        cr_fatal_mistake(function, caller, "called in a thread without a scheduler");
    return -ECHILD;
}

/* ---- driving ---- */

int cr_sched_init(struct coir_sched *sched, const struct coir_sched_opts *opts,
                  uint64_t (*now)(struct coir_sched *sched))
{
    if (opts)
        sched->opts = *opts;
    size_t size = sched->opts.stack_size ? sched->opts.stack_size : STACK_SIZE_DEFAULT;
    sched->now = now;
    sched->random = sched->opts.seed;
    sched->ready_end = &sched->ready;
    cr_slot_init(&sched->slots);
    sched->key = CR_KEY_SCHED(sched->slots.sched) + 1;
    cr_scope_init(&sched->root);
    cr_list_init(&sched->idle);
    cr_stack_init(&sched->stacks);
    cr_san_init_thread(&sched->san);
    sched->class = cr_stack_class(&sched->stacks, size, sched->opts.guard == COIR_GUARD_CANARY);
    return sched->class ? 0 : -ENOMEM;
}

void cr_sched_fini(struct coir_sched *sched)
{
    cr_timer_fini(&sched->timers);
    cr_slot_fini(&sched->slots);
    cr_stack_fini(&sched->stacks);
}

uint64_t cr_sched_deadline(struct coir_sched *sched)
{
    struct cr_timer *timer = cr_timer_first(&sched->timers);
    return timer ? timer->deadline_ns : CR_NEVER;
}

uint64_t cr_sched_fire(struct coir_sched *sched)
{
    uint64_t fired = 0;
    struct cr_timer *timer = cr_timer_first(&sched->timers);
    if (!timer)
        return 0;
    bool progress = sched->progress;
    uint64_t now = sched->now(sched);
    for (; timer && timer->deadline_ns <= now; timer = cr_timer_first(&sched->timers)) {
        timer->fire(timer);
        fired++;
    }
    sched->progress = progress;
    return fired;
}

bool cr_sched_call(struct coir_sched *sched, const char *what, void (*fn)(void *arg), void *arg)
{
    struct cr_fiber *self = cr_sched_self, *interrupted = sched->interrupted;
    const char *calling = sched->calling;
    cr_sched_self = NULL;
    sched->calling = what;
    sched->interrupted = self ? self : interrupted;
    fn(arg);
    if (cr_sched_here != sched)
        return false;
    sched->interrupted = interrupted;
    sched->calling = calling;
    cr_sched_self = self;
    return true;
}

static struct cr_fiber *sched_pick(struct coir_sched *sched)
{
    if (CR_LIKELY(!sched->pick))
        return cr_sched_pop(sched);
    struct cr_fiber **link = sched->pick(sched), *fiber = *link;
    *link = fiber->next;
    if (!fiber->next)
        sched->ready_end = link;
    return fiber;
}

#if CR_SAN_THREAD
__thread void *cr_san_left;
#endif

int cr_sched_serve(struct coir_sched *sched, int budget)
{
    int left = sched->pick ? 0 : budget - 1;
    struct cr_fiber *fiber = sched_pick(sched);
    sched->budget = left;
    cr_sched_self = fiber;
    cr_san_leave(&sched->san, &fiber->san);
    cr_ctx_switch(&sched->loop_context, fiber->context);
    cr_san_arrive(&sched->san);
    return left - sched->budget + 1;
}

void cr_sched_to_loop(struct coir_sched *sched, struct cr_fiber *self)
{
    cr_sched_self = NULL;
    cr_san_leave(&self->san, &sched->san);
    cr_ctx_switch(&self->context, sched->loop_context);
    cr_san_arrive(&self->san);
}

/* ---- letting others run ---- */

int cr_sched_rest(struct cr_fiber *self)
{
    cr_sched_ready(self->sched, self);
    cr_sched_to_loop(self->sched, self);
    return 0;
}

static CR_COLD void sched_yield_rarely(struct coir_sched *sched, struct cr_fiber *self)
{
    if (sched->ready || --sched->budget < 0)
        cr_sched_rest(self);
}

int coir_yield(void)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_yield", CR_CALLER);
    struct coir_sched *sched = self->sched;
    struct cr_fiber *next = sched->ready;
    if (CR_LIKELY(next && --sched->budget >= 0)) {
        cr_sched_ready(sched, self);
        sched->ready = next->next;
        cr_sched_switch(self, next);
    } else {
        sched_yield_rarely(sched, self);
    }
    return self->cancelled;
}

int cr_sched_refuse(struct cr_fiber *self)
{
    self->own.special.used |= CR_USED; /* its end forgets the number */
    if (++self->refusals == REFUSALS_DEAF)
        cr_report_deaf(self, REFUSALS_DEAF);
    if (CR_UNLIKELY(cr_sched_self != self)) /* in a child that the report function has forked */
        return -ECHILD;
    cr_sched_rest(self);
    return self->cancelled;
}

int cr_sched_try_once(struct cr_fiber *self)
{
    cr_sched_spend(self);
    return self->cancelled ? cr_sched_refuse(self) : COIR_TIMED_OUT;
}

/* ---- parking and waking ---- */

void cr_sched_end_member(struct cr_wait *member, int result)
{
    struct cr_group *group = member->group;
    cr_group_remove(member);
    member->result = result;
    if ((!group->enough || group->enough(group, member)) && group->park.fiber->wait == &group->park)
        cr_sched_wake(group->park.fiber, 0);
}

static CR_COLD int sched_park_refused(struct cr_fiber *self, struct cr_wait *wait)
{
    cr_list_remove(&wait->link);
    return cr_sched_refuse(self);
}

CR_INLINE int sched_park(struct cr_fiber *self, struct cr_wait *wait,
                         const struct cr_wait_kind *kind, coir_time until)
{
    if (CR_UNLIKELY(self->cancelled) && !kind->firm)
        return sched_park_refused(self, wait);
    return cr_sched_park_now(self, wait, kind, until);
}

int cr_sched_park(struct cr_fiber *self, struct cr_wait *wait, const struct cr_wait_kind *kind,
                  coir_time until)
{
    return sched_park(self, wait, kind, until);
}

static const struct cr_wait_kind PARK = {.name = "a wake", .woken = 0, .expired = COIR_TIMED_OUT};
static const struct cr_wait_kind IDLE = {
    .name = "all others to wait",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
};
static const struct cr_wait_kind SLEEP = {.name = "its sleep to end", .woken = -EINTR};

int coir_park(coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_park", CR_CALLER);
    if (CR_UNLIKELY(cr_is_try(until)))
        return cr_sched_try_once(self);
    struct cr_wait wait;
    cr_list_init(&wait.link);
    return sched_park(self, &wait, &PARK, until);
}

int coir_idle(coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_idle", CR_CALLER);
    if (cr_is_try(until)) {
        cr_sched_rest(self);
        return self->cancelled ? self->cancelled : self->sched->ready ? COIR_TIMED_OUT : 0;
    }
    struct cr_wait wait;
    cr_list_append(&self->sched->idle, &wait.link);
    return cr_sched_park(self, &wait, &IDLE, until);
}

void cr_sched_wake_idle(struct coir_sched *sched)
{
    while (!cr_list_empty(&sched->idle))
        cr_sched_wake(CR_CONTAINER(sched->idle.next, struct cr_wait, link)->fiber, 0);
}

int coir_sleep(int64_t duration_ns)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self))
        return cr_sched_no_fiber("coir_sleep", CR_CALLER);
    if (duration_ns < 0)
        return -EINVAL;
    struct cr_wait wait;
    cr_list_init(&wait.link);
    return cr_sched_park(self, &wait, &SLEEP, coir_after(duration_ns));
}

int coir_wake(coir_fiber handle)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_wake", CR_CALLER);
    struct cr_slot *slot = cr_slot_find(&sched->slots, handle, 0);
    if (CR_UNLIKELY(!slot))
        return -ESRCH;
    struct cr_fiber *fiber = slot->fiber;
    struct cr_wait *wait = fiber->wait;
    if (!wait)
        return 0;
    if (CR_UNLIKELY(wait->kind->woken == -EBUSY))
        return -EBUSY;
    cr_sched_wake(fiber, wait->kind->woken);
    return 1;
}

/* ---- time ---- */

coir_time coir_now(void)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_now", CR_CALLER), COIR_TRY;
    return COIR_TIME_NS(sched->now(sched));
}

coir_time coir_after(int64_t duration_ns)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_after", CR_CALLER), COIR_TRY;
    return cr_deadline(cr_timer_after(sched->now(sched), duration_ns));
}

int64_t coir_since(coir_time instant)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_since", CR_CALLER), 0;
    uint64_t now = sched->now(sched);
    if (instant.ns <= now && instant.ns != COIR_NEVER.ns)
        return (int64_t)(now - instant.ns);
    return -coir_left(instant);
}

int64_t coir_left(coir_time until)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_left", CR_CALLER), 0;
    if (until.ns == COIR_NEVER.ns)
        return INT64_MAX;
    uint64_t now = sched->now(sched), left = until.ns > now ? until.ns - now : 0;
    return left < INT64_MAX ? (int64_t)left : INT64_MAX;
}
