/* What the benchmark programs share, coir's and the peers', in C and C++: the command line, the
 * clock, the callers that are not inlined, and how memory is counted.
 *
 * `program NAME COUNT` does COUNT operations and prints one figure to a line: `ns X`, the time of
 * one, and `bytes X`, what one parked fiber holds. tool/bench runs it and takes the rest (user and
 * system time) from outside, for every program in the same way. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The number of operations, and what a benchmark may say about itself: when its operations began
 * and ended (else all of it counts), or the figure itself. */
static long bench_count;
static uint64_t bench_started_ns, bench_ended_ns;
static double bench_ns, bench_bytes;

struct bench {
    const char *name;
    int (*run)(void *arg);
};

static inline uint64_t bench_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline void bench_must(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

/* The same numbers in every program: sleeps, and deadlines of crowds. */
static inline uint64_t bench_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 20;
}

/* The deadline of one of a crowd of timers, from now: an hour to six. */
static inline uint64_t bench_far_ns(uint64_t *seed)
{
    return UINT64_C(3600000000000) + bench_random(seed);
}

/* How long one of the sleepers sleeps: less than a second. */
static inline uint64_t bench_nap_ns(uint64_t *seed)
{
    return bench_random(seed) % 1000000000;
}

/* Lateness of waking: BENCH_NAP_NS slept often, the median of what it took beyond that. */
enum { BENCH_NAP_NS = 200000, BENCH_NAPS_MOST = 10000 };

static uint64_t bench_naps[BENCH_NAPS_MOST];

static inline int bench_nap_order(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static inline void bench_nap_note(long i, uint64_t began_ns)
{
    bench_naps[i] = bench_clock() - began_ns;
}

static inline void bench_nap_median(void)
{
    qsort(bench_naps, (size_t)bench_count, sizeof *bench_naps, bench_nap_order);
    bench_ns = (double)bench_naps[bench_count / 2] - BENCH_NAP_NS;
}

/* What the process holds, page tables included. */
static inline size_t bench_memory(void)
{
    char line[256];
    size_t kib = 0, part;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmRSS: %zu", &part) == 1 || sscanf(line, "VmPTE: %zu", &part) == 1)
            kib += part;
    if (status)
        fclose(status);
    return kib * 1024;
}

/* Three callers that are not inlined, as in real programs. */
#define BENCH_OUT_OF_LINE __attribute__((noinline, unused))

#define BENCH_CALLER(name, next)                                                                   \
    static BENCH_OUT_OF_LINE int name(int (*block)(void))                                          \
    {                                                                                              \
        int result = next;                                                                         \
        __asm__ volatile("" ::: "memory");                                                         \
        return result + 1;                                                                         \
    }
BENCH_CALLER(bench_deep_1, block())
BENCH_CALLER(bench_deep_2, bench_deep_1(block))
BENCH_CALLER(bench_deep_3, bench_deep_2(block))

/* The same with frames that are written on the way in and read on the way out, a word in each line
 * of cache. */
enum { BENCH_FRAME = 256, BENCH_LINE = 64, BENCH_USED = 8192 };

#define BENCH_TOUCHER(name, next)                                                                  \
    static BENCH_OUT_OF_LINE int name(int (*block)(void))                                          \
    {                                                                                              \
        volatile int frame[BENCH_FRAME / sizeof(int)];                                             \
        for (size_t i = 0; i < BENCH_FRAME / sizeof(int); i += BENCH_LINE / sizeof(int))           \
            frame[i] = (int)i;                                                                     \
        int result = next;                                                                         \
        for (size_t i = 0; i < BENCH_FRAME / sizeof(int); i += BENCH_LINE / sizeof(int))           \
            result += frame[i];                                                                    \
        return result;                                                                             \
    }
BENCH_TOUCHER(bench_touch_1, block())
BENCH_TOUCHER(bench_touch_2, bench_touch_1(block))
BENCH_TOUCHER(bench_touch_3, bench_touch_2(block))

/* What a fiber has used of its stack before it comes to the part that is measured. */
static BENCH_OUT_OF_LINE void bench_use_stack(void)
{
    volatile char used[BENCH_USED];
    for (size_t i = 0; i < sizeof used; i += BENCH_LINE)
        used[i] = 1;
}

/* Runs the one that the command line names, by `inside`: within the runtime that is measured. */
static inline int bench_main(int argc, char **argv, const struct bench *benches, size_t count,
                             void (*inside)(int (*run)(void *arg)))
{
    bench_count = argc == 3 ? atol(argv[2]) : 0;
    for (size_t i = 0; bench_count > 0 && i < count; i++) {
        if (strcmp(argv[1], benches[i].name) != 0)
            continue;
        bench_started_ns = bench_clock();
        inside(benches[i].run);
        if (!bench_ended_ns)
            bench_ended_ns = bench_clock();
        if (bench_ns == 0)
            bench_ns = (double)(bench_ended_ns - bench_started_ns) / (double)bench_count;
        printf("ns %.3f\n", bench_ns);
        if (bench_bytes > 0)
            printf("bytes %.0f\n", bench_bytes);
        return 0;
    }
    fprintf(stderr, "usage: %s NAME COUNT\nnames:", argv[0]);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, " %s", benches[i].name);
    fprintf(stderr, "\n");
    return 2;
}

#define BENCH_MAIN(benches, inside)                                                                \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return bench_main(argc, argv, benches, sizeof benches / sizeof *benches, inside);          \
    }

#endif
