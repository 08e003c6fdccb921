/* The loop, one turn in this order:
 *   1. nothing is ready: return spare stacks to the system, unless timers are due in crowds; audit
 *      waits; find the earliest deadline
 *   2. ask the world what happened, and wait there when nothing is ready
 *   3. all timers that are due, in order; then descriptors, as many as the turn takes in;
 *      then what was posted
 *   4. run fibers until none is ready or the budget is spent
 * The only caller of the world's wait. */
#include "loop.h"

#include "../io/io.h"
#include "../debug/debug.h"
#include "../core/sched.h"

/* A fiber that serves an event mostly spends three or four of the budget: its switch, one read or
 * two, a write. If a turn took in more events than it can serve, ready fibers would grow cold in
 * a long queue. */
enum { BUDGET = 256, EVENT_COST = 4, EVENTS_MOST = BUDGET / EVENT_COST };

enum { CROWD = 16, GATHER_NS = 500 * 1000 };

static const uint64_t LIVELOCK_SWITCHES = 16 * 1000 * 1000;

static uint64_t loop_deadline(struct coir_sched *sched)
{
    struct cr_timer *timer = cr_timer_first(&sched->timers);
    return timer ? timer->deadline_ns : COIR_NEVER;
}

static void loop_fire(struct coir_sched *sched)
{
    struct cr_timer *timer = cr_timer_first(&sched->timers);
    uint64_t now = timer ? sched->world.now(&sched->world) : 0;
    sched->fired = 0;
    while (timer && timer->deadline_ns <= now) {
        sched->fired++;
        timer->fire(timer);
        timer = cr_timer_first(&sched->timers);
    }
}

/* What an event says beside readiness. Returns whether the number is still open. */
static bool loop_note_end(struct coir_sched *sched, struct cr_fd *entry, int fd, int mask)
{
    if (mask & CR_GONE)
        cr_fd_forget(sched, entry, fd);
    else if (mask & (COIR_HUP | CR_URGENT))
        entry->ready &= (uint8_t)~CR_SHORT;
    return !(mask & CR_GONE);
}

/* A woken fiber goes on in the frames around its wait, which may have left the cache: they come
 * while the other events are dealt with. */
CR_INLINE void loop_fetch_frames(const struct cr_fd_wait *wait)
{
    __builtin_prefetch((const char *)wait - 128);
    __builtin_prefetch((const char *)wait - 64);
    __builtin_prefetch((const char *)wait + 64);
    __builtin_prefetch((const char *)wait + 128);
}

/* Remembers what an event says and wakes those who wait for it. A token that was given to the world
 * has an entry. */
CR_INLINE void loop_fd_event(struct coir_sched *sched, uint64_t token, int mask)
{
    unsigned int fd = (uint32_t)token >> 1;
    struct cr_fd *entry = cr_table_at(&sched->fds, fd, sizeof *entry);
    if (CR_UNLIKELY(!entry->attached || entry->generation != token >> 32))
        return;
    if (CR_UNLIKELY(mask & ~(COIR_IN | COIR_OUT)) && !loop_note_end(sched, entry, (int)fd, mask))
        return;
    entry->ready |= (uint8_t)mask;
    int taken = 0;
    struct cr_list *item = entry->waiters.next, *next;
    for (; item != &entry->waiters; item = next) {
        struct cr_fd_wait *wait = CR_CONTAINER(item, struct cr_fd_wait, wait.link);
        next = item->next;
        if (!(wait->mask & mask))
            continue;
        if (CR_UNLIKELY(wait->mask & taken))
            wait->shared = true;
        taken |= wait->mask;
        loop_fetch_frames(wait);
        cr_sched_wake(wait->wait.fiber, mask);
    }
}

static void loop_dispatch(struct coir_sched *sched, const struct cr_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        if (events[i].token & 1)
            loop_fd_event(sched, events[i].token, (int)events[i].value);
        else if (events[i].token == CR_TOKEN_BELL)
            cr_post_hush(sched);
        else
            cr_io_complete(events[i].token, events[i].value);
    }
}

/* Where timers are due in crowds (tens of thousands a second), to wake for the first of them each
 * time would cost more than to serve them all: then a wait lasts half a millisecond, unless
 * a descriptor ends it. Returns until when; 0 where there is no crowd, or it has passed. */
static uint64_t loop_gather(struct coir_sched *sched, uint64_t deadline)
{
    if (sched->fired < CROWD || sched->world.is_virtual)
        return 0;
    uint64_t least = sched->world.now(&sched->world) + GATHER_NS;
    return deadline < least ? least : 0;
}

/* Returns spare stacks to the system, where fibers have ended since that was last done. True: there
 * is more to do. */
static bool loop_trim(struct coir_sched *sched)
{
    uint64_t ended = sched->spawned - sched->live;
    if (ended == sched->trimmed)
        return false;
    bool more = cr_stack_trim(&sched->stacks);
    if (!more)
        sched->trimmed = ended;
    return more;
}

/* Until when the world may wait, 0: not at all. */
static int loop_wait_until(struct coir_sched *sched, bool may_wait, uint64_t *until)
{
    *until = 0;
    if (sched->ready) {
        cr_audit_turn(sched);
        return 0;
    }
    uint64_t deadline = loop_deadline(sched);
    bool forever = deadline == COIR_NEVER;
    if (may_wait && forever && sched->world.waiting == 0)
        return -EDEADLK;
    uint64_t gathered = loop_gather(sched, deadline);
    if (!gathered && loop_trim(sched))
        return 0;
    uint64_t audit = cr_audit_turn(sched);
    if (sched->ready)
        return 0;
    if (may_wait || (sched->world.is_virtual && !forever))
        *until = gathered ? gathered : deadline;
    if (*until > audit)
        *until = audit;
    return 0;
}

/* Under a virtual clock, fibers that only yield keep a waiting timer from ever being due. Counts
 * the switches since the clock moved or there was progress. */
static bool loop_is_livelock(struct coir_sched *sched, uint64_t switches)
{
    if (!sched->world.is_virtual)
        return false;
    uint64_t now = sched->world.now(&sched->world);
    uint64_t limit = sched->opts.livelock_limit ? sched->opts.livelock_limit : LIVELOCK_SWITCHES;
    if (sched->progress || now != sched->idle_at || loop_deadline(sched) == COIR_NEVER) {
        sched->progress = false;
        sched->idle_at = now;
        sched->idle_switches = 0;
    }
    sched->idle_switches += switches;
    if (sched->idle_switches < limit)
        return false;
    sched->idle_switches = 0;
    cr_report_livelock(sched, limit);
    return true;
}

static struct cr_fiber *loop_pick(struct coir_sched *sched)
{
    if (CR_LIKELY(!sched->pick))
        return cr_sched_pop(sched);
    struct cr_fiber **link = sched->pick(sched), *fiber = *link;
    *link = fiber->next;
    if (!fiber->next)
        sched->ready_end = link;
    return fiber;
}

int cr_loop_turn(struct coir_sched *sched, bool may_wait, int budget)
{
    struct cr_event events[EVENTS_MOST];
    uint64_t until;
    if (budget <= 0)
        budget = BUDGET;
    int most = budget < EVENT_COST ? 1 : budget < BUDGET ? budget / EVENT_COST : EVENTS_MOST;
    int count = loop_wait_until(sched, may_wait, &until);
    if (count < 0)
        return count;
    if (until > 0 && !cr_post_doze(&sched->post))
        until = 0;
    sched->world.is_full = false;
    if (sched->world.waiting > 0 || until > 0 || sched->embedded)
        count = sched->world.wait(&sched->world, events, most, until);
    if (count < 0)
        return count;
    bool progress = sched->progress;
    if (sched->timers.count > 0)
        loop_fire(sched);
    sched->progress = progress;
    loop_dispatch(sched, events, count);
    if (sched->post.box && cr_post_deliver(&sched->post))
        sched->audit.needed = true;
    if (!sched->ready)
        return 0;
    sched->audit.needed = true;
    int left = sched->pick ? 0 : budget - 1;
    sched->budget = left;
    cr_sched_enter(sched, loop_pick(sched));
    return loop_is_livelock(sched, (uint64_t)(left - sched->budget + 1)) ? -ELOOP : 0;
}

/* When the next turn is due, 0: at once. A virtual clock never waits. Where it is later, a post
 * rings the bell from now on. */
static uint64_t loop_next_turn(struct coir_sched *sched)
{
    uint64_t deadline = loop_deadline(sched);
    if (sched->ready || sched->world.is_full)
        return 0;
    if (sched->world.is_virtual && deadline != COIR_NEVER)
        return 0;
    uint64_t audit = cr_audit_turn(sched);
    if (sched->ready)
        return 0;
    if (!cr_post_doze(&sched->post))
        return 0;
    return audit < deadline ? audit : deadline;
}

int cr_loop_own(coir_sched *sched, const char *function, void *caller)
{
    if (cr_sched_forked && !cr_sched_here)
        return -ECHILD;
    if (!sched || sched != cr_sched_here)
        cr_fatal_mistake(function, caller, "not this thread's scheduler");
    if (cr_sched_self)
        cr_fatal_mistake(function, caller, "called in a fiber of the scheduler");
    if (sched->post.calling)
        cr_fatal_mistake(function, caller, "called in a letter's function");
    return 0;
}

int cr_loop_run(struct coir_sched *sched)
{
    int result = 0;
    while (result == 0 && (sched->live > 0 || sched->post.box))
        result = cr_loop_turn(sched, true, 0);
    if (result == -EDEADLK)
        cr_report_deadlock(sched);
    return result;
}

int coir_sched_run(coir_sched *sched)
{
    if (cr_loop_own(sched, "coir_sched_run", CR_CALLER) < 0)
        return -ECHILD;
    sched->audit.needed = true;
    int result = cr_loop_run(sched);
    while (cr_stack_trim(&sched->stacks))
        continue;
    return result;
}

int coir_sched_step(coir_sched *sched, int budget)
{
    if (cr_loop_own(sched, "coir_sched_step", CR_CALLER) < 0)
        return -ECHILD;
    /* Code of the foreign loop's may have run, unless the step has come for an audit. */
    if (!sched->audit.sweeping)
        sched->audit.needed = true;
    int result = cr_loop_turn(sched, false, budget);
    if (result < 0)
        return result;
    if (sched->live == 0 && !sched->post.box)
        return COIR_STEP_DONE;
    return loop_next_turn(sched) > 0 ? COIR_STEP_WAITING : COIR_STEP_READY;
}

int coir_sched_fd(coir_sched *sched)
{
    if (cr_loop_own(sched, "coir_sched_fd", CR_CALLER) < 0)
        return -ECHILD;
    int fd = sched->world.open ? sched->world.open(&sched->world) : -ENOSYS;
    sched->embedded = fd >= 0;
    return fd;
}

uint64_t coir_sched_deadline(coir_sched *sched)
{
    if (cr_loop_own(sched, "coir_sched_deadline", CR_CALLER) < 0)
        return COIR_NEVER;
    return loop_next_turn(sched);
}
