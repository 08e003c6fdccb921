/* A select: a group of waiters, one for each case, which lie in the caller's array.
 *
 * Invariant: from the select's first hang to its last leave, a case hangs where its source has put
 * it, or has been taken off. The select is open to an end while `chosen` is NULL and its fiber is
 * about to park in the group, or parked in it. */
#ifndef CR_SELECT_H
#define CR_SELECT_H

#include "../../include/coir_select.h"
#include "waiters.h"

/* What a coir_case is inside. The sources of the floors above keep more behind the waiter. */
struct cr_case {
    const struct coir_source *source;
    void *object;
    void *item;
    int result;
    struct cr_waiter waiter;
    uint64_t more[9];
    /* What the case waits for has come: whether the select ends by it. If not it hangs again. NULL:
     * it does. */
    bool (*ends)(struct cr_case *it);
    size_t turn; /* which case is tried in its place in the order */
};

struct cr_select {
    struct cr_group group;
    struct cr_case *cases;
    size_t count;
    struct cr_case *chosen;
    int result; /* of the wait, once it is over */
    bool hanging;
};

_Static_assert(sizeof(struct cr_case) <= sizeof(coir_case), "opaque");
_Static_assert(offsetof(struct cr_case, result) == offsetof(coir_case, result), "the same");

CR_INLINE struct cr_case *cr_case_of(coir_case *it)
{
    return (struct cr_case *)(void *)it;
}

/* The select of a case that hangs, whether it can still end, and whether it has by this case. */
CR_INLINE struct cr_select *cr_case_select(const struct cr_case *it)
{
    return CR_CONTAINER(it->waiter.wait.group, struct cr_select, group);
}

CR_INLINE bool cr_select_is_open(const struct cr_select *select)
{
    return !select->chosen &&
           (select->hanging || select->group.park.fiber->wait == &select->group.park);
}

CR_INLINE bool cr_case_is_chosen(const struct cr_case *it)
{
    return cr_case_select(it)->chosen == it;
}

/* Makes a case of one of coir's own kinds. */
CR_HIDDEN coir_case cr_select_case(const struct coir_source *source, void *object, void *item);

/* What reports call a thing of the program's own. */
CR_HIDDEN const char *cr_select_own_name(const struct cr_case *it);

/* For a source: hangs a case among the waiters of its thing; and takes it off. */
CR_HIDDEN void cr_select_hang(coir_case *it, struct cr_waiters *waiters);
CR_HIDDEN void cr_select_leave(coir_case *it);

#endif
