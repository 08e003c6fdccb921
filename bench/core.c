/* The core's operations, one measurement for each call: `core NAME COUNT` does COUNT operations and
 * prints how long one took, in nanoseconds, and for the memory ones how many bytes one fiber holds.
 * tool/bench runs it, also under callgrind with two counts, whose difference is exact. */
#include <coir.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 100 };

static long count;
static uint64_t started_ns, ended_ns;
static double bytes;

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void must(int result)
{
    if (result < 0) {
        fprintf(stderr, "core: %s\n", coir_error_name(result));
        exit(1);
    }
}

static coir_fiber spawn(int (*fn)(void *), void *arg, size_t stack_size)
{
    coir_fiber fiber;
    must(coir_spawn(&fiber, fn, arg, &(struct coir_spawn_opts){.stack_size = stack_size}));
    return fiber;
}

/* Baselines. */

static int __attribute__((noinline)) call_this(long i)
{
    __asm__ volatile("" ::"r"(i));
    return 0;
}

static int run_call(void *arg)
{
    (void)arg;
    for (long i = 0; i < count; i++)
        call_this(i);
    return 0;
}

static int run_syscall(void *arg)
{
    (void)arg;
    for (long i = 0; i < count; i++)
        getppid();
    return 0;
}

/* Switches: `width` fibers yield in turn; each operation is one yield. */

static long width, turns;

static int yield_flat(void *arg)
{
    (void)arg;
    for (long i = 0; i < turns; i++)
        coir_yield();
    return 0;
}

/* Three callers that are not inlined, as in real programs. */
static int __attribute__((noinline)) deep_1(int (*block)(void))
{
    int result = block();
    __asm__ volatile("" ::: "memory");
    return result + 1;
}

static int __attribute__((noinline)) deep_2(int (*block)(void))
{
    int result = deep_1(block);
    __asm__ volatile("" ::: "memory");
    return result + 1;
}

static int __attribute__((noinline)) deep_3(int (*block)(void))
{
    int result = deep_2(block);
    __asm__ volatile("" ::: "memory");
    return result + 1;
}

static int yield_deep(void *arg)
{
    (void)arg;
    for (long i = 0; i < turns; i++)
        deep_3(coir_yield);
    return 0;
}

static int run_wide(int (*fn)(void *), long fibers)
{
    width = fibers;
    turns = count / width;
    coir_fiber *all = calloc((size_t)width, sizeof *all);
    for (long i = 0; i < width; i++)
        all[i] = spawn(fn, NULL, 0);
    started_ns = clock_ns();
    for (long i = 0; i < width; i++)
        must(coir_join(all[i], NULL, COIR_NEVER));
    free(all);
    return 0;
}

static int run_yield_2(void *arg)
{
    (void)arg;
    return run_wide(yield_flat, 2);
}

static int run_yield_1000(void *arg)
{
    (void)arg;
    return run_wide(yield_flat, 1000);
}

static int run_yield_deep(void *arg)
{
    (void)arg;
    return run_wide(yield_deep, 1000);
}

/* Births and ends. */

static int end(void *arg)
{
    (void)arg;
    return 0;
}

static int run_spawn_end(void *arg)
{
    (void)arg;
    for (long i = 0; i < count; i += BATCH) {
        for (int k = 0; k < BATCH; k++)
            must(coir_spawn(NULL, end, NULL, NULL));
        coir_yield();
    }
    return 0;
}

static int run_spawn_join(void *arg)
{
    (void)arg;
    for (long i = 0; i < count; i++) {
        coir_fiber fiber;
        must(coir_spawn(&fiber, end, NULL, NULL));
        must(coir_join(fiber, NULL, COIR_NEVER));
    }
    return 0;
}

/* Park and wake: two fibers wake each other; one operation is a wake, a park and a switch. */

static coir_fiber partner[2];
static uint64_t park_until = COIR_NEVER;

static int park_flat(void *arg)
{
    coir_fiber other = partner[1 - (long)arg];
    for (long i = 0; i < turns; i++) {
        coir_wake(other);
        coir_park(park_until);
    }
    coir_wake(other);
    return 0;
}

static int block_on_park(void)
{
    return coir_park(COIR_NEVER);
}

static int park_deep(void *arg)
{
    coir_fiber other = partner[1 - (long)arg];
    for (long i = 0; i < turns; i++) {
        coir_wake(other);
        deep_3(block_on_park);
    }
    coir_wake(other);
    return 0;
}

static int run_park(int (*fn)(void *))
{
    turns = count / 2;
    for (long i = 0; i < 2; i++)
        partner[i] = spawn(fn, (void *)i, 0);
    started_ns = clock_ns();
    for (int i = 0; i < 2; i++)
        must(coir_join(partner[i], NULL, COIR_NEVER));
    return 0;
}

static int run_park_wake(void *arg)
{
    (void)arg;
    return run_park(park_flat);
}

static int run_park_deadline(void *arg)
{
    (void)arg;
    park_until = coir_after(COIR_SEC(3600));
    return run_park(park_flat);
}

static int run_park_deep(void *arg)
{
    (void)arg;
    return run_park(park_deep);
}

/* Timers and parked fibers, in crowds. */

static int park_once(void *arg)
{
    return coir_park((uint64_t)(uintptr_t)arg);
}

static size_t memory_bytes(void)
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

/* Parks a crowd until spread-out far deadlines, or for ever. */
static coir_fiber *crowd_make(long size, bool timers)
{
    coir_fiber *crowd = calloc((size_t)size, sizeof *crowd);
    uint64_t now = coir_now(), seed = 1;
    for (long i = 0; i < size; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t until = timers ? now + COIR_SEC(3600) + (seed >> 20) : COIR_NEVER;
        crowd[i] = spawn(park_once, (void *)(uintptr_t)until, 16 * 1024);
    }
    coir_yield();
    return crowd;
}

static void crowd_end(coir_fiber *crowd, long size)
{
    for (long i = 0; i < size; i++)
        coir_wake(crowd[i]);
    for (long i = 0; i < size; i++)
        must(coir_join(crowd[i], NULL, COIR_NEVER));
    free(crowd);
}

/* One operation arms a timer and cancels it: a park with a deadline that a wake ends. */
static int run_timer(long size)
{
    coir_fiber *crowd = crowd_make(size, true);
    park_until = coir_after(COIR_SEC(1800));
    run_park(park_flat);
    ended_ns = clock_ns();
    crowd_end(crowd, size);
    return 0;
}

static int run_timer_100k(void *arg)
{
    (void)arg;
    return run_timer(100000);
}

static int run_timer_1m(void *arg)
{
    (void)arg;
    return run_timer(1000000);
}

/* One operation is the life of a parked fiber: spawned, parked, woken, joined. */
static int run_parked(long size)
{
    size_t before = memory_bytes();
    started_ns = clock_ns();
    coir_fiber *crowd = crowd_make(size, false);
    bytes = (double)(memory_bytes() - before) / (double)size - sizeof *crowd;
    crowd_end(crowd, size);
    count = size;
    return 0;
}

static int run_parked_100k(void *arg)
{
    (void)arg;
    return run_parked(100000);
}

static int run_parked_1m(void *arg)
{
    (void)arg;
    return run_parked(1000000);
}

static const struct {
    const char *name;
    int (*run)(void *arg);
} BENCHES[] = {
    {"call", run_call},
    {"syscall", run_syscall},
    {"yield_2", run_yield_2},
    {"yield_1000", run_yield_1000},
    {"yield_deep", run_yield_deep},
    {"spawn_end", run_spawn_end},
    {"spawn_join", run_spawn_join},
    {"park_wake", run_park_wake},
    {"park_deadline", run_park_deadline},
    {"park_deep", run_park_deep},
    {"timer_100k", run_timer_100k},
    {"timer_1m", run_timer_1m},
    {"parked_100k", run_parked_100k},
    {"parked_1m", run_parked_1m},
};

int main(int argc, char **argv)
{
    count = argc == 3 ? atol(argv[2]) : 0;
    for (size_t i = 0; count > 0 && i < sizeof BENCHES / sizeof *BENCHES; i++) {
        if (strcmp(argv[1], BENCHES[i].name) != 0)
            continue;
        started_ns = clock_ns();
        must(coir_run(BENCHES[i].run, NULL, NULL, NULL));
        if (!ended_ns)
            ended_ns = clock_ns();
        printf("ns %.3f\n", (double)(ended_ns - started_ns) / (double)count);
        if (bytes > 0)
            printf("bytes %.0f\n", bytes);
        return 0;
    }
    fprintf(stderr, "usage: core NAME COUNT\nnames:");
    for (size_t i = 0; i < sizeof BENCHES / sizeof *BENCHES; i++)
        fprintf(stderr, " %s", BENCHES[i].name);
    fprintf(stderr, "\n");
    return 2;
}
