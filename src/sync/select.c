/* One wait for the first of several things. A select tries its cases in order. If none is ready it
 * hangs all of them where what they wait for will look, and parks; who ends one case ends the
 * select, and the other cases are stale from then on (waiters.h). Until then each keeps its place,
 * whatever the others find out. */
#include "select.h"

#include "../base/text.h"
#include "../debug/debug.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The rest stays as it is: it is written when the case hangs. */
coir_case cr_select_case(const struct coir_source *source, void *object, void *item)
{
    struct {
        const struct coir_source *source;
        void *object, *item;
    } head = {source, object, item};
    coir_case it;
    memcpy(&it, &head, sizeof head);
    return it;
}

/* ---- for sources ---- */

void cr_select_hang(coir_case *handle, struct cr_waiters *waiters)
{
    struct cr_case *it = cr_case_of(handle);
    it->waiter.item = it->item;
    cr_waiters_hang(waiters, &it->waiter, "coir_select", NULL);
}

void cr_select_leave(coir_case *it)
{
    cr_group_remove(&cr_case_of(it)->waiter.wait);
}

bool coir_case_end(coir_case *handle, int result)
{
    struct cr_case *it = cr_case_of(handle);
    if (!cr_sched_here)
        return cr_sched_none("coir_case_end", CR_CALLER), false;
    if (!it->waiter.wait.group)
        cr_fatal_mistake("coir_case_end", CR_CALLER, "the case does not hang");
    struct cr_select *select = cr_case_select(it);
    struct cr_fiber *fiber = select->group.park.fiber;
    if (fiber->sched != cr_sched_here)
        cr_fatal_mistake("coir_case_end", CR_CALLER, "the case hangs in another thread");
    if (!cr_select_is_open(select))
        return false;
    select->chosen = it;
    it->result = result;
    if (fiber->wait)
        cr_sched_wake(fiber, 0);
    return true;
}

/* ---- the order of the cases ---- */

/* By the multiples of the golden ratio, less their whole parts: of any run of them, and of every
 * second, third … one, each part of the range gets its share (H. Weyl, 1916). So selects that take
 * turns do not starve a case, which they would if each began one case after the one before. */
static void select_rotate(struct cr_case *cases, size_t count, struct coir_sched *sched)
{
    sched->fair += UINT64_C(0x9e3779b97f4a7c15);
    size_t first = (size_t)((sched->fair >> 32) * count >> 32);
    for (size_t i = 0; i < count; i++)
        cases[i].turn = (first + i) % count;
}

/* By Fisher and Yates, in the form of R. Durstenfeld (Algorithm 235, CACM 7, 1964). */
static void select_shuffle(struct cr_case *cases, size_t count, struct coir_sched *sched)
{
    for (size_t i = 0; i < count; i++) {
        size_t j = (size_t)(cr_sched_random(sched) % (i + 1));
        cases[i].turn = cases[j].turn;
        cases[j].turn = i;
    }
}

/* ---- trying and waiting ---- */

/* A case has taken effect, or failed. In a child that the program's own source has forked there is
 * no scheduler. */
CR_INLINE int select_end(struct cr_case *it, int result, size_t which)
{
    struct coir_sched *sched = cr_sched_here;
    it->result = result;
    if (CR_UNLIKELY(!sched))
        return -ECHILD;
    if (CR_UNLIKELY(--sched->budget < 0))
        cr_sched_rest(cr_sched_self);
    return (int)which;
}

/* The first case that is ready, or COIR_TIMED_OUT. */
static int select_try(struct cr_case *cases, size_t count, int order)
{
    for (size_t i = 0; i < count; i++) {
        size_t which = order == 0 ? i : cases[i].turn;
        struct cr_case *it = &cases[which];
        int result = it->source->attempt((coir_case *)(void *)it);
        if (result != COIR_TIMED_OUT)
            return select_end(it, result, which);
    }
    return COIR_TIMED_OUT;
}

static bool select_enough(struct cr_group *group, struct cr_wait *member)
{
    struct cr_select *select = CR_CONTAINER(group, struct cr_select, group);
    struct cr_case *it = CR_CONTAINER(member, struct cr_case, waiter.wait);
    if (!cr_select_is_open(select))
        return false;
    if (it->ends && !it->ends(it))
        return false;
    select->chosen = it;
    it->result = member->result;
    return true;
}

static void select_describe(const struct cr_wait *wait, char *text, size_t size)
{
    const struct cr_select *select = CR_CONTAINER(wait, struct cr_select, group.park);
    size_t used = 0;
    for (size_t i = 0; i < select->count && used < size; i++) {
        const struct cr_case *it = &select->cases[i];
        char name[48];
        cr_text_clean(name, sizeof name,
                      it->source->name ? it->source->name : cr_select_own_name(it));
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", or " : "", name);
    }
}

static const struct cr_wait_kind SELECT = {
    .name = "",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
    .describe = select_describe,
};

/* False in a child that one of the sources has forked. */
static bool select_hang(struct cr_select *select, struct cr_fiber *self, int order)
{
    for (size_t i = 0; i < select->count; i++) {
        struct cr_case *it = &select->cases[order == 0 ? i : select->cases[i].turn];
        cr_group_join(&select->group, &it->waiter.wait);
        cr_list_init(&it->waiter.wait.link);
        it->ends = NULL;
        it->source->hang((coir_case *)(void *)it);
        if (CR_UNLIKELY(cr_sched_self != self))
            return false;
    }
    return true;
}

static bool select_leave(struct cr_select *select, struct cr_fiber *self)
{
    for (size_t i = 0; i < select->count; i++) {
        struct cr_case *it = &select->cases[i];
        it->source->leave((coir_case *)(void *)it);
        if (CR_UNLIKELY(cr_sched_self != self))
            return false;
    }
    return true;
}

static int select_park(struct cr_fiber *self, struct cr_case *cases, size_t count, int order,
                       coir_time until)
{
    struct cr_select select = {.cases = cases, .count = count, .hanging = true};
    cr_group_init(&select.group, self, select_enough);
    if (!select_hang(&select, self, order))
        return -ECHILD;
    select.hanging = false;
    if (!select.chosen)
        select.result = cr_sched_park(self, &select.group.park, &SELECT, until);
    if (!select_leave(&select, self))
        return -ECHILD;
    return select.chosen ? (int)(select.chosen - cases) : select.result;
}

/* Where no case was ready at once. What the attempts of the program's own sources have done may
 * have made one ready that was tried before. */
static CR_NOINLINE int select_wait(struct cr_case *cases, size_t count, int order, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(self->sched->called_source)) {
        self->sched->called_source = false;
        int which = self->cancelled ? COIR_TIMED_OUT : select_try(cases, count, order);
        if (which != COIR_TIMED_OUT)
            return which;
    }
    if (self->cancelled)
        return cr_sched_refuse(self);
    return cr_is_try(until) ? cr_sched_try_once(self)
                            : select_park(self, cases, count, order, until);
}

/* The rare ones: misuse, a cancelled fiber, no case, an order. */
static CR_COLD int select_rarely(coir_case *handles, size_t count, int order, coir_time until,
                                 void *caller)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_case *cases = cr_case_of(handles);
    if (!self || self->cancelled)
        return cr_waiters_refuse("coir_select", caller);
    if (order < 0 || order > COIR_RANDOM)
        cr_fatal_mistake("coir_select", caller, "there is no such order");
    if (count > INT_MAX || (count == 0 && until.ns == COIR_NEVER.ns)) {
        cr_sched_spend(self);
        return -EINVAL;
    }
    if (order == COIR_FAIR && count > 0)
        select_rotate(cases, count, self->sched);
    if (order == COIR_RANDOM)
        select_shuffle(cases, count, self->sched);
    int which = select_try(cases, count, order);
    return which == COIR_TIMED_OUT ? select_wait(cases, count, order, until) : which;
}

int coir_select(coir_case *handles, size_t count, int order, coir_time until)
{
    const struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self || order | self->cancelled || count - 1 >= INT_MAX))
        return select_rarely(handles, count, order, until, CR_CALLER);
    struct cr_case *it = cr_case_of(handles);
    for (size_t i = 0; i < count; i++, it++) {
        int result = it->source->attempt((coir_case *)(void *)it);
        if (result != COIR_TIMED_OUT)
            return select_end(it, result, i);
    }
    return select_wait(it - count, count, 0, until);
}
