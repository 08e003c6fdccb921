/* A scope: three parts of one job, of which the second fails. That cancels the others, and all have
 * ended when the scope ends, with the first failure. */
#include <coir.h>

#include <errno.h>
#include <stdio.h>

static int parse(void *arg)
{
    (void)arg;
    coir_sleep(COIR_MS(5));
    puts("  parse: the input is broken");
    return -EINVAL;
}

static int work(void *arg)
{
    const char *name = arg;
    for (int step = 1; step <= 3; step++) {
        int slept = coir_sleep(COIR_MS(3));
        if (slept < 0) {
            printf("  %s: cancelled before step %d\n", name, step);
            return slept; /* cut short, it has not failed */
        }
    }
    printf("  %s: done\n", name);
    return 0;
}

static int job(void *arg)
{
    static char load[] = "load", render[] = "render", second_part[] = "parse";
    coir_scope scope;
    int (*second)(void *) = arg ? parse : work;
    coir_scope_open(&scope, coir_after(COIR_SEC(1)), 0);
    coir_spawn(NULL, work, load, NULL);
    coir_spawn(NULL, second, second_part, NULL);
    coir_spawn(NULL, work, render, NULL);
    int result = coir_scope_end(&scope, 0);
    printf("job: %s @ %d ms\n", coir_error_name(result), (int)(coir_now().ns / 1000000));
    return 0;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    char broken;
    return coir_run(job, NULL, &opts, NULL) < 0 || coir_run(job, &broken, &opts, NULL) < 0;
}
