/* A million parked fibers with 16 KiB stacks: their mappings, their memory, their ends, and that
 * the memory comes back. Needs about 5 GB for a few seconds. */
#define TEST_SECONDS 120

#include "run.h"
#include "inside.h"

#include <sys/sysinfo.h>

enum { CROWD = 1000000, BYTES_MOST = 4608, MAPPINGS_MOST = 100 };

static coir_fiber *crowd;

/* What this process holds, its page tables included. */
static int64_t memory_bytes(void)
{
    char line[256];
    int64_t kib = 0;
    long part;
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status);
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "VmRSS: %ld", &part) == 1 || sscanf(line, "VmPTE: %ld", &part) == 1)
            kib += part;
    fclose(status);
    return kib * 1024;
}

static int park(void *arg)
{
    (void)arg;
    return coir_park(COIR_NEVER);
}

static int park_a_million(void *arg)
{
    struct coir_spawn_opts opts = {.stack_size = 16 * 1024};
    struct coir_stats stats;
    int64_t before = memory_bytes();
    int mapped = run_mappings();
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(coir_spawn(&crowd[i], park, arg, &opts), 0);
    coir_yield();
    coir_stats(&stats);
    CHECK_EQ(stats.parked, CROWD);
    int64_t each = (memory_bytes() - before) / CROWD;
    fprintf(stderr, "mappings: %d, bytes for each fiber: %lld\n", run_mappings() - mapped,
            (long long)each);
    CHECK(run_mappings() - mapped < MAPPINGS_MOST);
    CHECK(each <= BYTES_MOST);
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(coir_wake(crowd[i]), 1);
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(run_join(crowd[i]), 0);
    CHECK_EQ(coir_sleep(1), 0);
    int64_t kept = memory_bytes() - before;
    fprintf(stderr, "bytes kept after the end: %lld\n", (long long)kept);
    CHECK(kept < (int64_t)CROWD * 128);
    return 0;
}

/* proves: S4, S5 */
TEST(test_a_million_parked_fibers_fit_and_go)
{
    struct sysinfo machine;
    CHECK_EQ(sysinfo(&machine), 0);
    if (CR_SAN_ADDRESS || getenv("COIR_TEST_SLOW"))
        SKIP("sanitizers and emulators need several times the memory");
    if (machine.freeram * machine.mem_unit < 6ull << 30)
        SKIP("the machine has less than 6 GB of free memory");
    crowd = malloc(CROWD * sizeof *crowd);
    memset(crowd, 0, CROWD * sizeof *crowd);
    run_virtual(park_a_million, NULL);
    free(crowd);
}
