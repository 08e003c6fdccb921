/* Slabs, guards, reuse and trimming. Carving a stack costs one system call (its guard), reusing one
 * costs none. A stack whose guard cannot be had is not used. */
#include "stack.h"

#include "../os/os.h"
#include "../base/san.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SIZE_LEAST = 16 * 1024,
    SLAB_STACKS_LEAST = 16,
    GUARD_BYTES = 64 * 1024,
    COLOURS = 11,
    COLOUR_BYTES = 192,
    TRIM_KEEP = 64,
    TRIM_CALLS_MOST = 256
};

static const size_t SLAB_BYTES_MOST = (size_t)1 << 32;

/* Of stacks that are released: from this many on their page tables are worth it. */
static const size_t BARE_BYTES_LEAST = (size_t)1 << 28;

static const uint64_t CANARY = 0xC01DC0FFEEC0FFEEu;

static size_t stack_page(void)
{
    static atomic_size_t page;
    size_t size = atomic_load_explicit(&page, memory_order_relaxed);
    if (size == 0) {
        size = (size_t)sysconf(_SC_PAGESIZE);
        atomic_store_explicit(&page, size, memory_order_relaxed);
    }
    return size;
}

static char *stack_end(char *top)
{
    size_t page = stack_page();
    return top + (page - (uintptr_t)top % page) % page;
}

char *cr_stack_low(const struct cr_stack_class *class, char *top)
{
    return stack_end(top) - class->usable;
}

char *cr_stack_guard_low(const struct cr_stack_class *class, char *top)
{
    return stack_end(top) - class->stride;
}

/* One page more than the size holds the fiber's record and the colour. A guard is as wide as the
 * largest step that glibc makes in one frame (its __MAX_ALLOCA_CUTOFF). */
static void stack_class_init(struct cr_stack_class *class, int i)
{
    size_t page = stack_page(), size = (size_t)SIZE_LEAST << i % CR_STACK_SIZES;
    class->is_canary = i >= CR_STACK_SIZES;
    size_t zone = !class->is_canary && page < GUARD_BYTES ? GUARD_BYTES : page;
    class->usable = (size + page - 1) / page * page + page;
    class->stride = class->usable + zone;
    if (class->stride / page % 2 == 0)
        class->stride += page;
    class->slab_next = SLAB_STACKS_LEAST;
}

void cr_stack_init(struct cr_stacks *stacks)
{
    memset(stacks, 0, sizeof *stacks);
    cr_list_init(&stacks->slabs);
    for (int i = 0; i < CR_STACK_CLASSES; i++)
        stack_class_init(&stacks->classes[i], i);
}

struct cr_stack_class *cr_stack_class(struct cr_stacks *stacks, size_t size, bool canary)
{
    for (int i = 0; i < CR_STACK_SIZES; i++)
        if (size <= (size_t)SIZE_LEAST << i)
            return &stacks->classes[canary ? i + CR_STACK_SIZES : i];
    return NULL;
}

/* LeakSanitizer follows the pointers on stacks, but must not read their guards. */
static void stack_unroot(const struct cr_slab *slab)
{
    size_t stride = slab->class->stride, usable = slab->class->usable;
    const char *end = slab->base + slab->size;
    if (end == slab->class->fresh_end)
        end = slab->class->fresh;
    for (const char *stack = slab->base; stack < end; stack += stride)
        cr_san_unroot(stack + stride - usable, usable);
    cr_san_forget(slab->base, slab->size);
}

void cr_stack_fini(struct cr_stacks *stacks)
{
    for (int i = 0; i < CR_STACK_CLASSES; i++)
        free(stacks->classes[i].spare);
    while (!cr_list_empty(&stacks->slabs)) {
        struct cr_slab *slab = CR_CONTAINER(stacks->slabs.next, struct cr_slab, link);
        cr_list_remove(&slab->link);
        if (CR_SAN_ADDRESS)
            stack_unroot(slab);
        cr_os_unmap(slab->base, slab->size);
        free(slab);
    }
}

/* Where so much address space is not to be had, a smaller slab will do. */
static bool stack_slab_make(struct cr_stacks *stacks, struct cr_stack_class *class)
{
    struct cr_slab *slab = malloc(sizeof *slab);
    if (!slab)
        return false;
    size_t count = class->slab_next;
    while (!(slab->base = cr_os_map(count * class->stride)) && count > 1)
        count /= 2;
    if (!slab->base) {
        free(slab);
        return false;
    }
    slab->size = count * class->stride;
    slab->class = class;
    class->slab_next = 2 * slab->size <= SLAB_BYTES_MOST ? 2 * count : count;
    class->fresh = slab->base;
    class->fresh_end = slab->base + slab->size;
    stacks->bytes += slab->size;
    cr_list_append(&stacks->slabs, &slab->link);
    return true;
}

static bool stack_spare_reserve(struct cr_stack_class *class)
{
    if (class->carved < class->capacity)
        return true;
    size_t capacity = class->capacity ? 2 * class->capacity : SLAB_STACKS_LEAST;
    char **spare = realloc(class->spare, capacity * sizeof *spare);
    if (!spare)
        return false;
    class->spare = spare;
    class->capacity = capacity;
    return true;
}

/* The page below a stack. */
static uint64_t *stack_canary(char *low)
{
    return (uint64_t *)(void *)(low - stack_page());
}

static void stack_set_canary(char *low)
{
    uint64_t *canary = stack_canary(low);
    for (size_t i = 0; i < stack_page() / sizeof *canary; i++)
        canary[i] = CANARY;
}

static bool stack_guard_again(struct cr_stack_class *class)
{
    char *top = class->spare[class->spares - 1];
    CR_ASSERT(class->bare == class->spares);
    if (!cr_os_guard(cr_stack_guard_low(class, top), class->stride - class->usable))
        return false;
    class->bare = class->spares - 1;
    return true;
}

bool cr_stack_carve(struct cr_stacks *stacks, struct cr_stack_class *class)
{
    if (class->spares > 0)
        return stack_guard_again(class);
    if (!stack_spare_reserve(class) ||
        (class->fresh == class->fresh_end && !stack_slab_make(stacks, class)))
        return false;
    size_t guard = class->stride - class->usable;
    char *low = class->fresh + guard;
    if (!class->is_canary && !cr_os_guard(class->fresh, guard))
        return false;
    if (class->is_canary)
        stack_set_canary(low);
    class->fresh += class->stride;
    cr_san_root(low, class->usable);
    CR_SAN_STACK(low, low + class->usable);
    cr_stack_give(class, low + class->usable - class->carved++ % COLOURS * COLOUR_BYTES);
    class->clean = class->spares;
    return true;
}

bool cr_stack_overflowed(const struct cr_stack_class *class, char *top)
{
    const uint64_t *canary = stack_canary(cr_stack_low(class, top));
    for (size_t i = 0; i < stack_page() / sizeof *canary; i++)
        if (canary[i] != CANARY)
            return true;
    return false;
}

/* Releases the memory of the spare stacks from `first` on that lie side by side, upwards or
 * downwards, with one call where the system can: fibers that ended in turn left them so. Returns
 * the next one to release. */
static size_t stack_release_run(struct cr_stack_class *class, size_t first, size_t last)
{
    ptrdiff_t step = (ptrdiff_t)class->stride;
    size_t next = first + 1;
    if (next < last && class->spare[next] < class->spare[first])
        step = -step;
    while (cr_os_clears_across_guards && !class->is_canary && next < last &&
           stack_end(class->spare[next]) == stack_end(class->spare[next - 1]) + step)
        next++;
    char *lowest = class->spare[step > 0 ? first : next - 1];
    char *highest = class->spare[step > 0 ? next - 1 : first];
    char *guard = cr_stack_guard_low(class, lowest), *low = cr_stack_low(class, lowest);
    char *end = stack_end(highest);
    bool crowd = !class->is_canary && last * class->stride >= BARE_BYTES_LEAST;
    if (crowd && class->bare == first && cr_os_clear_guarded(guard, (size_t)(end - guard)))
        class->bare = next;
    else
        cr_os_clear(low, (size_t)(end - low));
    return next;
}

bool cr_stack_trim(struct cr_stacks *stacks)
{
    int calls = 0;
    for (int i = 0; i < CR_STACK_CLASSES; i++) {
        struct cr_stack_class *class = &stacks->classes[i];
        size_t taken = class->carved - class->spares, keep = taken > TRIM_KEEP ? taken : TRIM_KEEP;
        size_t last = class->spares > keep ? class->spares - keep : 0;
        CR_ASSERT(class->bare <= class->clean && class->clean <= class->spares);
        while (class->clean < last) {
            if (calls++ == TRIM_CALLS_MOST)
                return true;
            class->clean = stack_release_run(class, class->clean, last);
        }
    }
    return false;
}

#if !defined(cr_stack_pointer) && !defined(__x86_64__) && !defined(__aarch64__)
uintptr_t cr_stack_pointer(void)
{
    return (uintptr_t)__builtin_frame_address(0);
}
#endif
