/* One wait for the first of several things. A select tries its cases in order. If none is ready it
 * hangs all of them where what they wait for will look, and parks; who ends one case ends the
 * select, and the other cases are stale from then on (waiters.h). */
#include "select.h"

#include "../debug/debug.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The rest stays as it is: it is written when the case hangs. */
coir_case coir_case_of(const struct coir_source *source, void *object, void *item)
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
    cr_waiters_hang(waiters, &it->waiter, "coir_select", CR_CALLER);
}

void cr_select_leave(coir_case *it)
{
    cr_group_remove(&cr_case_of(it)->waiter.wait);
}

bool coir_case_end(coir_case *handle, int result)
{
    struct cr_case *it = cr_case_of(handle);
    struct cr_group *group = it->waiter.wait.group;
    struct cr_select *select = CR_CONTAINER(group, struct cr_select, group);
    struct cr_fiber *fiber = group->park.fiber;
    if (!cr_sched_here)
        return cr_sched_none("coir_case_end", CR_CALLER), false;
    if (fiber->sched != cr_sched_here)
        cr_fatal_mistake("coir_case_end", CR_CALLER, "the case hangs in another thread");
    if (select->chosen || !(select->hanging || fiber->wait == &group->park))
        return false;
    select->chosen = it;
    it->result = result;
    if (fiber->wait == &group->park)
        cr_sched_wake(fiber, 0);
    return true;
}

/* ---- the order of the cases ---- */

static void select_rotate(struct cr_case *cases, size_t count, struct coir_sched *sched)
{
    size_t first = (size_t)(sched->fair++ % count);
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

/* The first case that is ready, or COIR_TIMED_OUT. */
static int select_try(struct cr_case *cases, size_t count, int order)
{
    for (size_t i = 0; i < count; i++) {
        size_t which = order == 0 ? i : cases[i].turn;
        struct cr_case *it = &cases[which];
        int result = it->source->attempt((coir_case *)(void *)it);
        if (result != COIR_TIMED_OUT) {
            it->result = result;
            return (int)which;
        }
    }
    return COIR_TIMED_OUT;
}

static bool select_enough(struct cr_group *group, struct cr_wait *member)
{
    struct cr_select *select = CR_CONTAINER(group, struct cr_select, group);
    if (group->park.fiber->wait == &group->park) {
        select->chosen = CR_CONTAINER(member, struct cr_case, waiter.wait);
        select->chosen->result = member->result;
        if (select->chosen->takes)
            *select->chosen->takes = true;
    }
    return true;
}

static void select_describe(const struct cr_wait *wait, char *text, size_t size)
{
    const struct cr_select *select = CR_CONTAINER(wait, struct cr_select, group.park);
    size_t used = 0;
    for (size_t i = 0; i < select->count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", or " : "",
                                 select->cases[i].source->name);
}

static const struct cr_wait_kind SELECT = {
    .name = "",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
    .describe = select_describe,
};

static int select_park(struct cr_select *select, int order, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    cr_group_init(&select->group, self, select_enough);
    select->chosen = NULL;
    select->result = 0;
    select->hanging = true;
    for (size_t i = 0; i < select->count; i++) {
        struct cr_case *it = &select->cases[order == 0 ? i : select->cases[i].turn];
        cr_group_join(&select->group, &it->waiter.wait);
        cr_list_init(&it->waiter.wait.link);
        it->takes = NULL;
        it->source->hang((coir_case *)(void *)it);
    }
    select->hanging = false;
    if (!select->chosen)
        select->result = cr_sched_park_now(self, &select->group.park, &SELECT, until);
    for (size_t i = 0; i < select->count; i++)
        select->cases[i].source->leave((coir_case *)(void *)&select->cases[i]);
    return select->chosen ? (int)(select->chosen - select->cases) : select->result;
}

/* Where no case was ready at once. A case that was chosen may find when it leaves that it is not
 * ready after all. */
static CR_NOINLINE int select_wait(struct cr_case *cases, size_t count, int order, coir_time until)
{
    struct cr_fiber *self = cr_sched_self;
    struct cr_select select;
    select.cases = cases;
    select.count = count;
    for (;;) {
        if (cr_is_try(until))
            return cr_sched_try_once(self);
        int which = select_park(&select, order, until);
        if (which < 0 || select.chosen->result != COIR_TIMED_OUT)
            return which;
        if (self->cancelled)
            return cr_sched_refuse(self);
        which = select_try(cases, count, order);
        if (which >= 0)
            return which;
    }
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
    if (count > INT_MAX || (count == 0 && until.ns == COIR_NEVER.ns))
        return -EINVAL;
    if (order == COIR_FAIR && count > 0)
        select_rotate(cases, count, self->sched);
    if (order == COIR_RANDOM)
        select_shuffle(cases, count, self->sched);
    int which = select_try(cases, count, order);
    if (which < 0)
        return select_wait(cases, count, order, until);
    cr_sched_spend(self);
    return which;
}

int coir_select(coir_case *handles, size_t count, int order, coir_time until)
{
    const struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(!self || order | self->cancelled || count - 1 >= INT_MAX))
        return select_rarely(handles, count, order, until, CR_CALLER);
    struct cr_case *it = cr_case_of(handles);
    for (size_t i = 0; i < count; i++, it++) {
        int result = it->source->attempt((coir_case *)(void *)it);
        if (result != COIR_TIMED_OUT) {
            it->result = result;
            cr_sched_spend(cr_sched_self);
            return (int)i;
        }
    }
    return select_wait(it - count, count, 0, until);
}
