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
#include "tree.h"
#include "wait.h"

enum { CR_FIBER_NAME_SIZE = 24 };

struct cr_fiber {
    _Alignas(64) void *context;
    struct cr_fiber *next; /* in the ready queue */
    struct cr_wait *wait;
    struct coir_sched *sched;
    uint64_t key; /* its number + 1, its scheduler's CR_KEY_SCHED, and CR_KEY_CANCELLED while
                     blocking calls fail by a cancel; bit 62 is free for others */
    int cancelled; /* what blocking calls fail with: COIR_CANCELLED, or 0 */
    uint32_t slot;
    struct cr_timer timer;
    struct cr_scope *scope; /* the innermost it has open, at least its own */
    struct cr_scope own;
    struct cr_list sibling; /* in the children, or the daemons, of own.outer */
    struct cr_list joiners; /* of struct cr_join (ends.h) */
    int (*fn)(void *arg);
    void *arg;
    struct cr_stack_class *class;
    struct cr_locals *locals;
    struct cr_san san;
    uint32_t refusals; /* calls that failed because it is cancelled */
    bool dropped; /* nobody will take the result */
    char name[CR_FIBER_NAME_SIZE];
};

#define CR_KEY_CANCELLED (UINT64_C(1) << 63)

/* Tells the fibers of 1024 schedulers apart. */
#define CR_KEY_SCHED(sched) ((uint64_t)((sched) & 1023) << 52)
#define CR_KEY_NUMBER ((UINT64_C(1) << 52) - 1)

/* Counts from 0 in the order of spawning. */
CR_INLINE uint64_t cr_fiber_number(const struct cr_fiber *fiber)
{
    return (fiber->key & CR_KEY_NUMBER) - 1;
}

_Static_assert(sizeof(void *) != 8 || offsetof(struct cr_fiber, timer.deadline_ns) == 48,
               "the first line of cache");

#endif
