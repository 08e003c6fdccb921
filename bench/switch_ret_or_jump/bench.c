/* Times one switch in a ring of contexts, for a port that resumes by `ret` or by a jump: run.sh
 * links it with both. The switch is called
 *
 *      flat     from the loop of the fiber, one place for all
 *      flat2    from the loop of the fiber, odd and even fibers from different places
 *      deep     below three callers that are not inlined, the same for all
 *      share2   below three, of which odd and even fibers have the inner two in common
 *      share1   below three, of which they have the innermost in common
 *      share0   below three, of which they have none in common
 *
 * Prints the nanoseconds of one switch with 2 and with 1000 fibers, in this order. */
#include "../../src/ctx/ctx.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { contexts_max = 1000, stack_stride = 68 * 1024, switches = 1000000 };

static void *context[contexts_max], *home;
static int count, current;
static long left;

CR_INLINE void next(void)
{
    int self = current, other = self + 1 == count ? 0 : self + 1;
    current = other;
    cr_ctx_switch(&context[self], context[other]);
}

/* `x` makes the code of two callers differ, and keeps the call from being the last thing. */
#define CALLER(name, call, x)                        \
    static __attribute__((noinline)) void name(void) \
    {                                                \
        call();                                      \
        __asm__ volatile("" x : : : "memory");       \
    }

CALLER(park, next, "")
CALLER(middle, park, "")
CALLER(outer, middle, "")
CALLER(share2_outer, middle, "nop")
CALLER(share1_middle, park, "nop")
CALLER(share1_outer, share1_middle, "nop\n\tnop")
CALLER(share0_park, next, "nop")
CALLER(share0_middle, share0_park, "nop")
CALLER(share0_outer, share0_middle, "nop")

static void stop_when_done(void)
{
    void *self;
    if (--left < 0)
        cr_ctx_switch(&self, home);
}

#define FIBER(name, call, x)                       \
    static void name(void *arg)                    \
    {                                              \
        (void)arg;                                 \
        for (;;) {                                 \
            stop_when_done();                      \
            call();                                \
            __asm__ volatile("" x : : : "memory"); \
        }                                          \
    }

FIBER(flat, next, "")
FIBER(flat2, next, "nop")
FIBER(deep, outer, "")
FIBER(share2, share2_outer, "")
FIBER(share1, share1_outer, "")
FIBER(share0, share0_outer, "")

static double measure(void (*even)(void *), void (*odd)(void *), char *stacks)
{
    double best = 1e9;
    for (int repeat = 0; repeat < 3; repeat++) {
        current = 0;
        left = switches;
        for (int i = 0; i < count; i++)
            context[i] = cr_ctx_make(stacks + (size_t)(i + 1) * stack_stride - 192 * (i % 16),
                                     i % 2 ? odd : even, NULL);
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        cr_ctx_switch(&home, context[0]);
        clock_gettime(CLOCK_MONOTONIC, &end);
        double ns = (double)(end.tv_sec - begin.tv_sec) * 1e9;
        ns = (ns + (double)(end.tv_nsec - begin.tv_nsec)) / switches;
        best = ns < best ? ns : best;
    }
    return best;
}

int main(void)
{
    char *stacks = mmap(NULL, (size_t)contexts_max * stack_stride, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED)
        return 1;
    void (*const pairs[][2])(void *) = {
        {flat, flat},   {flat, flat2},  {deep, deep},
        {deep, share2}, {deep, share1}, {deep, share0}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        for (count = 2; count <= contexts_max; count += contexts_max - 2)
            printf("%.2f ", measure(pairs[i][0], pairs[i][1], stacks));
    printf("\n");
    return 0;
}
