/* A coordinator spawns three tasks that sleep for different times, and joins them in the order of
 * their launch, whatever order they end in. (Capstone 1817.) */
#include <coir.h>

#include <stdio.h>

enum { TASKS = 3 };

struct task {
    int id;
    int64_t length_ns;
    int result;
};

static struct {
    int id;
    uint64_t at_ns;
} completed[TASKS];
static int completed_count;

static int work(void *arg)
{
    struct task *task = arg;
    if (coir_sleep(task->length_ns) < 0)
        return 0;
    completed[completed_count].id = task->id;
    completed[completed_count++].at_ns = coir_now().ns;
    return task->result;
}

static int coordinate(void *arg)
{
    (void)arg;
    struct task tasks[TASKS] = {{1, COIR_MS(30), 100}, {2, COIR_MS(10), 20}, {3, COIR_MS(20), 3}};
    coir_fiber fibers[TASKS];
    int sum = 0, result;
    completed_count = 0;
    for (int i = 0; i < TASKS; i++)
        if (coir_spawn(&fibers[i], work, &tasks[i], NULL) < 0)
            return 1;
    for (int i = 0; i < TASKS; i++)
        if (coir_join(fibers[i], &result, COIR_NEVER) == 0)
            sum += result;

    struct coir_stats stats;
    coir_stats(&stats);
    printf("completion order (id @ virtual-ms):\n");
    for (int i = 0; i < completed_count; i++)
        printf("  task %d @ %llums\n", completed[i].id,
               (unsigned long long)completed[i].at_ns / 1000000);
    printf("sum: %d\nfinal virtual clock: %llums\n", sum,
           (unsigned long long)coir_now().ns / 1000000);
    printf("tasks: %llu\n", (unsigned long long)stats.spawned);
    return 0;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    return coir_run(coordinate, NULL, &opts, NULL) < 0;
}
