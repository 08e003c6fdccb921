/* The end of a fiber as a case of a select: the record of its wait is that of a join, which lies
 * in the case. */
#include "../core/ends.h"
#include "select.h"

#include <string.h>

/* Behind the record of its wait, a case keeps the handle. */
enum { MORE_HANDLE = 2 };

_Static_assert(sizeof(struct cr_join) <=
                   offsetof(struct cr_case, more[MORE_HANDLE]) - offsetof(struct cr_case, waiter),
               "the record of the wait lies before");

static struct cr_join *join_of(struct cr_case *it)
{
    return CR_CONTAINER(&it->waiter.wait, struct cr_join, wait);
}

static coir_fiber join_handle(const struct cr_case *it)
{
    coir_fiber handle;
    memcpy(&handle, &it->more[MORE_HANDLE], sizeof handle);
    return handle;
}

static int join_attempt(coir_case *handle)
{
    struct cr_case *it = cr_case_of(handle);
    coir_fiber fiber = join_handle(it);
    const struct cr_fiber *target = cr_ends_alive(cr_sched_here, fiber);
    if (!target)
        return cr_ends_take_kept(cr_sched_here, fiber, it->item);
    return cr_ends_never(cr_sched_self, target) ? -EDEADLK : COIR_TIMED_OUT;
}

static void join_hang(coir_case *handle)
{
    struct cr_case *it = cr_case_of(handle);
    struct cr_join *join = join_of(it);
    join->target = join_handle(it);
    join->takes = join->ended = false;
    struct cr_fiber *target = cr_ends_alive(cr_sched_here, join->target);
    it->takes = &target->dropped;
    cr_list_append(&target->joiners, &join->wait.link);
}

static void join_leave(coir_case *handle)
{
    struct cr_case *it = cr_case_of(handle);
    struct cr_join *join = join_of(it);
    cr_select_leave(handle);
    if (cr_case_is_chosen(it) && it->item)
        memcpy(it->item, &join->result, sizeof join->result);
}

coir_case coir_case_join(coir_fiber fiber, int *result)
{
    static const struct coir_source ENDED = {
        "the end of a fiber", join_attempt, join_hang, join_leave};
    coir_case it = coir_case_of(&ENDED, NULL, result);
    memcpy(&cr_case_of(&it)->more[MORE_HANDLE], &fiber, sizeof fiber);
    return it;
}
