/* Stacks: where fibers live. Nobody else asks the system for memory by the page.
 *
 *   slab   | guard | usable …………………… top page | guard | usable …………………… top page | …
 *                                     ^ what take() returns: the top, shifted by its colour
 *
 * The stride (usable + guard) is an odd number of pages, and the tops are shifted by 192 bytes more
 * from one stack to the next, so that a thousand fibers do not meet in the same cache sets. A class
 * is one size and one kind of guard. Its spare stacks form a LIFO array: the entries below `clean`
 * hold no memory, those above were used since; those below `bare`, which were released in a crowd,
 * have no guard either, and no page tables.
 *
 * Invariant: a stack is either taken or in `spare`, and the array has room for every stack carved,
 * so that releasing cannot fail. */
#ifndef CR_STACK_H
#define CR_STACK_H

#include "../base/base.h"
#include "../base/list.h"
#include "../base/san.h"

enum { CR_STACK_SIZES = 17, CR_STACK_CLASSES = 2 * CR_STACK_SIZES };

struct cr_stack_class {
    char **spare; /* tops */
    size_t spares, clean, bare, capacity;
    size_t usable, stride; /* bytes, whole pages */
    bool is_canary;        /* its guard can be written, and holds a pattern in its highest page */
    size_t carved;
    char *fresh, *fresh_end; /* what the newest slab still holds */
    size_t slab_next;        /* stacks in the next slab */
};

struct cr_slab {
    struct cr_list link;
    char *base;
    size_t size;
    struct cr_stack_class *class;
};

struct cr_stacks {
    struct cr_list slabs;
    size_t bytes;
    struct cr_stack_class classes[CR_STACK_CLASSES];
};

CR_HIDDEN void cr_stack_init(struct cr_stacks *stacks);
CR_HIDDEN void cr_stack_fini(struct cr_stacks *stacks);

/* The class for at least `size` usable bytes, or NULL when no stack is so large. */
CR_HIDDEN struct cr_stack_class *cr_stack_class(struct cr_stacks *stacks, size_t size,
                                                bool canary);

/* Whether there is a spare stack with its guard. */
CR_INLINE bool cr_stack_has_spare(const struct cr_stack_class *class)
{
    return class->spares > class->bare;
}

/* Makes one, where there is none; false when memory or mappings ran out. */
CR_HIDDEN bool cr_stack_carve(struct cr_stacks *stacks, struct cr_stack_class *class);

/* A stack's coloured top, 64-byte aligned; there must be a spare one with its guard. What its last
 * user left there is still there; or all is zero, as cr_stack_was_clean must be asked next. */
CR_INLINE char *cr_stack_take(struct cr_stack_class *class)
{
    return class->spare[--class->spares];
}

CR_INLINE bool cr_stack_was_clean(struct cr_stack_class *class)
{
    if (CR_LIKELY(class->spares >= class->clean))
        return false;
    class->clean = class->spares;
    return true;
}

/* Gives a stack back; its memory stays as it is until the next take or trim. */
CR_INLINE void cr_stack_give(struct cr_stack_class *class, char *top)
{
    class->spare[class->spares++] = top;
}

/* The lowest usable address, and the lowest of its guard. */
CR_HIDDEN char *cr_stack_low(const struct cr_stack_class *class, char *top);
CR_HIDDEN char *cr_stack_guard_low(const struct cr_stack_class *class, char *top);

/* Whether the canary of a class that has one was overwritten. */
CR_HIDDEN bool cr_stack_overflowed(const struct cr_stack_class *class, char *top);

/* Returns spare memory to the system until what is spare is no more than what is taken (64 at
 * least), in a bounded number of system calls. Returns whether there is more to do. */
CR_HIDDEN bool cr_stack_trim(struct cr_stacks *stacks);

/* Below it there is no variable of a function that has not returned, wherever the compiler has
 * inlined the caller. Without optimization, where frames are large, it is the end of the frame of a
 * function that is CR_OUTLINED. */
#if !defined(__OPTIMIZE__) || CR_SAN_THREAD
#define CR_OUTLINED CR_NOINLINE
#define cr_stack_pointer() ((uintptr_t)__builtin_dwarf_cfa())
#else
#define CR_OUTLINED
#endif

#if defined(cr_stack_pointer)
#elif defined(__x86_64__)
CR_INLINE uintptr_t cr_stack_pointer(void)
{
    uintptr_t pointer;
    __asm__ volatile("mov %%rsp, %0" : "=r"(pointer));
    return pointer;
}
#elif defined(__aarch64__)
CR_INLINE uintptr_t cr_stack_pointer(void)
{
    uintptr_t pointer;
    __asm__ volatile("mov %0, sp" : "=r"(pointer));
    return pointer;
}
#else
CR_HIDDEN CR_NOINLINE uintptr_t cr_stack_pointer(void);
#endif

#endif
