/* Two fibers that wait for each other. Instead of hanging, the run returns -EDEADLK after a report
 * that names each fiber and what it waits for; freeing the scheduler then lets them clean up. */
#include <coir.h>

#include <stdio.h>

static coir_fiber philosophers[2];

static int wait_for(void *arg)
{
    int result = coir_join(*(coir_fiber *)arg, NULL, COIR_NEVER);
    printf("%s: %s\n", coir_name(), coir_error_name(result));
    return result;
}

static void print_line(const char *line, void *arg)
{
    (void)arg;
    printf("report: %s\n", line);
}

int main(void)
{
    struct coir_sched_opts opts = {.report = print_line};
    coir_sched *sched;
    if (coir_sched_new(&sched, &opts) < 0)
        return 1;
    coir_spawn(&philosophers[0], wait_for, &philosophers[1],
               &(struct coir_spawn_opts){.name = "Plato"});
    coir_spawn(&philosophers[1], wait_for, &philosophers[0],
               &(struct coir_spawn_opts){.name = "Hegel"});
    printf("run: %s\n", coir_error_name(coir_sched_run(sched)));
    coir_sched_free(sched);
    return 0;
}
