/* The end of a fiber as a case of a select: the record of its wait is that of a join, which lies
 * in the case. */
#include "../core/ends.h"
#include "select.h"

struct join_case {
    struct cr_join join;
    struct cr_fiber *target; /* while it hangs */
};

_Static_assert(sizeof(struct join_case) <=
                   offsetof(struct cr_case, ends) - offsetof(struct cr_case, waiter),
               "it lies before");

static struct cr_join *join_of(coir_case *it)
{
    return CR_CONTAINER(&cr_case_of(it)->waiter.wait, struct cr_join, wait);
}

static int join_attempt(coir_case *it)
{
    coir_fiber fiber = join_of(it)->target;
    const struct cr_fiber *target = cr_ends_alive(cr_sched_here, fiber);
    if (!target)
        return cr_ends_take_kept(cr_sched_here, fiber, it->item);
    return cr_ends_never(cr_sched_self, target) ? -EDEADLK : COIR_TIMED_OUT;
}

static bool join_ends(struct cr_case *it)
{
    CR_CONTAINER(join_of((coir_case *)(void *)it), struct join_case, join)->target->dropped = true;
    return true;
}

static void join_hang(coir_case *it)
{
    struct cr_join *join = join_of(it);
    struct cr_fiber *target = cr_ends_alive(cr_sched_here, join->target);
    CR_CONTAINER(join, struct join_case, join)->target = target;
    join->takes = false;
    join->claim = CR_CLAIMS_PARKED;
    cr_case_of(it)->ends = join_ends;
    cr_list_append(&target->joiners, &join->wait.link);
}

static void join_leave(coir_case *it)
{
    int *result = it->item;
    cr_select_leave(it);
    if (cr_case_is_chosen(cr_case_of(it)) && result)
        *result = join_of(it)->result;
}

coir_case coir_case_join(coir_fiber fiber, int *result)
{
    static const struct coir_source ENDED = {
        "the end of a fiber", join_attempt, join_hang, join_leave};
    coir_case it = cr_select_case(&ENDED, NULL, result);
    join_of(&it)->target = fiber;
    return it;
}
