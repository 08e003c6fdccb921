/* The bare switch, below the scheduler: `switch NAME COUNT` switches COUNT times between two
 * contexts of the port that the library is built with, and prints how long one switch took. */
#include "../src/ctx/ctx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void *outside, *contexts[2];
static long left;

/* Both run the same code, as fibers do; so the CPU expects each `ret` where it goes. */
static void bounce(void *arg)
{
    void **self = arg, **other = self == contexts ? contexts + 1 : contexts;
    while (left-- > 0)
        cr_ctx_switch(self, *other);
    cr_ctx_switch(self, outside);
}

static double clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    static _Alignas(16) char stacks[2][64 * 1024 + 4096];
    long count = argc == 3 && strcmp(argv[1], "switch") == 0 ? atol(argv[2]) : 0;
    if (count <= 0) {
        fprintf(stderr, "usage: switch switch COUNT\n");
        return 2;
    }
    for (int i = 0; i < 2; i++)
        contexts[i] = cr_ctx_make(stacks[i] + sizeof stacks[i], bounce, &contexts[i]);
    left = count;
    double started = clock_ns();
    cr_ctx_switch(&outside, contexts[0]);
    printf("ns %.3f\n", (clock_ns() - started) / (double)count);
    return 0;
}
