/* A fiber's record. It lies at the top of the fiber's stack; the first line of cache holds what
 * a switch, a wake and a read need.
 *
 * Invariant: fiber->wait is not NULL iff the fiber is parked; then, and only then, its record may
 * be on a ring and its timer armed. */
#ifndef CR_FIBER_H
#define CR_FIBER_H

#include "../base/list.h"
#include "../base/san.h"
#include "../base/timer.h"
#include "wait.h"

enum { CR_FIBER_NAME_SIZE = 24 };

/* Rare properties of a fiber. With any of them set, its end takes the slow path. */
enum cr_mark {
    CR_MARK_SCOPED = 1, /* it has a scope open, or is the child of one */
    CR_MARK_TOLD = 2,   /* it was cancelled, whatever shields it has open */
    CR_MARK_LOCALS = 4, /* it has local values */
    CR_MARK_RACED = 8,  /* a race answers for its failure */
};

struct cr_fiber {
    _Alignas(64) void *context;
    struct cr_fiber *next; /* in the ready queue */
    struct cr_wait *wait;
    struct coir_sched *sched;
    uint64_t key; /* its number, with CR_KEY_CANCELLED while blocking calls fail by a cancel */
    int stop;     /* what blocking calls fail with: -ECANCELED once it is cancelled, else 0 */
    uint32_t slot;
    struct cr_timer timer;
    struct cr_scope *scope; /* the innermost it has open, else the one it is a child of, or NULL */
    struct cr_locals *locals;
    int (*fn)(void *arg);
    void *arg;
    struct cr_list joiners; /* of struct cr_join (ends.h) */
    struct cr_stack_class *class;
    struct cr_san san;
    struct cr_scope *home;  /* the scope whose child it is; NULL: the scheduler's child */
    struct cr_list sibling; /* in the children of its home */
    bool dropped;           /* nobody will take the result */
    uint8_t marks;          /* enum cr_mark */
    char name[CR_FIBER_NAME_SIZE];
};

#define CR_KEY_CANCELLED (UINT64_C(1) << 63)

/* Counts from 0 in the order of spawning. */
CR_INLINE uint64_t cr_fiber_number(const struct cr_fiber *fiber)
{
    return fiber->key & ~CR_KEY_CANCELLED;
}

_Static_assert(sizeof(void *) != 8 || offsetof(struct cr_fiber, timer.deadline_ns) == 48,
               "the first line of cache");

#endif
