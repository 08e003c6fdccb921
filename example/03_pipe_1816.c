/* A reader waits for an empty pipe; a writer that is spawned after it writes; the kernel's
 * readiness wakes the reader. (Capstone 1816.) */
#include <coir_io.h>

#include <stdio.h>
#include <unistd.h>

static int ends[2];

static int read_three(void *arg)
{
    (void)arg;
    unsigned char bytes[8];
    if (coir_wait_fd(ends[0], COIR_IN, COIR_NEVER) < 0)
        return 1;
    ssize_t count = coir_read(ends[0], bytes, sizeof bytes, COIR_NEVER);
    printf(" read %zd [", count);
    for (ssize_t i = 0; i < count; i++)
        printf("%s%d", i ? " " : "", bytes[i]);
    printf("]");
    return 0;
}

static int write_three(void *arg)
{
    (void)arg;
    ssize_t count = coir_write(ends[1], "abc", 3, COIR_NEVER);
    printf(" wrote");
    return count == 3 ? 0 : 1;
}

int main(void)
{
    coir_sched *sched;
    if (pipe(ends) < 0 || coir_sched_new(&sched, NULL) < 0)
        return 1;
    printf("log:");
    if (coir_spawn(NULL, read_three, NULL, NULL) < 0 ||
        coir_spawn(NULL, write_three, NULL, NULL) < 0 || coir_sched_run(sched) < 0)
        return 1;

    struct coir_stats stats;
    coir_stats(&stats);
    printf("\nn_suspended: %llu\n", (unsigned long long)stats.parked);
    coir_close(ends[0]);
    coir_close(ends[1]);
    coir_sched_free(sched);
    return 0;
}
