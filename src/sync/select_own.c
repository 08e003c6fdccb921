/* Things of the program's own as cases of a select. Their functions are called as a letter's is,
 * outside of fibers: so one that parks is misuse, and one that forks leaves the child without
 * scheduler. */
#include "../debug/debug.h"
#include "select.h"

struct own_case {
    struct cr_waiter waiter;
    const struct coir_source *source; /* the program's */
};

_Static_assert(sizeof(struct own_case) <=
                   offsetof(struct cr_case, ends) - offsetof(struct cr_case, waiter),
               "it lies before");

struct own_call {
    coir_case *it;
    int result;
};

static struct own_case *own_of(coir_case *it)
{
    return CR_CONTAINER(&cr_case_of(it)->waiter, struct own_case, waiter);
}

static void own_call_attempt(void *arg)
{
    struct own_call *call = arg;
    call->result = own_of(call->it)->source->attempt(call->it);
}

static void own_call_hang(void *arg)
{
    own_of(arg)->source->hang(arg);
}

static void own_call_leave(void *arg)
{
    own_of(arg)->source->leave(arg);
}

static int own_attempt(coir_case *it)
{
    struct coir_sched *sched = cr_sched_here;
    struct own_call call = {.it = it};
    cr_case_of(it)->waiter.wait.group = NULL;
    if (!cr_sched_call(sched, "the attempt of a source", own_call_attempt, &call))
        return -ECHILD;
    sched->called_source = true;
    return call.result;
}

static void own_hang(coir_case *it)
{
    cr_sched_call(cr_sched_here, "the hang of a source", own_call_hang, it);
}

static void own_leave(coir_case *it)
{
    cr_sched_call(cr_sched_here, "the leave of a source", own_call_leave, it);
    cr_case_of(it)->waiter.wait.group = NULL;
}

const char *cr_select_own_name(const struct cr_case *it)
{
    const char *name = CR_CONTAINER(&it->waiter, struct own_case, waiter)->source->name;
    return name ? name : "a thing of the program's";
}

coir_case coir_case_of(const struct coir_source *source, void *object, void *item)
{
    static const struct coir_source OWN = {NULL, own_attempt, own_hang, own_leave};
    if (!source || !source->attempt || !source->hang || !source->leave)
        cr_fatal_mistake("coir_case_of", CR_CALLER, "the source, or a function of it, is NULL");
    coir_case it = cr_select_case(&OWN, object, item);
    own_of(&it)->source = source;
    return it;
}
