/* A pipeline of three fibers over two pipes, stopped in the middle of its work by a deadline. The
 * stages know nothing of it: their calls return -ECANCELED, and they leave. */
#include <coir_io.h>

#include <stdio.h>
#include <unistd.h>

static int raw[2], doubled[2]; /* pipes */

static int count(void *arg)
{
    (void)arg;
    for (unsigned char n = 1; coir_write(raw[1], &n, 1, COIR_NEVER) == 1; n++)
        if (coir_sleep(COIR_MS(10)) < 0)
            break;
    return puts("the source leaves") < 0;
}

static int twice(void *arg)
{
    unsigned char n;
    (void)arg;
    while (coir_read(raw[0], &n, 1, COIR_NEVER) == 1) {
        n = (unsigned char)(2 * n);
        if (coir_write(doubled[1], &n, 1, COIR_NEVER) != 1)
            break;
    }
    return puts("the middle leaves") < 0;
}

static int print(void *arg)
{
    unsigned char n;
    (void)arg;
    while (coir_read(doubled[0], &n, 1, COIR_NEVER) == 1)
        printf("%d @ %d ms\n", n, (int)(coir_now().ns / 1000000));
    return puts("the sink leaves") < 0;
}

static int pipeline(void *arg)
{
    coir_scope scope;
    struct coir_scope_opts opts = {.until = coir_after(COIR_MS(35))};
    (void)arg;
    if (pipe(raw) < 0 || pipe(doubled) < 0 || coir_scope_open(&scope, &opts) < 0)
        return 1;
    coir_spawn(NULL, count, NULL, NULL);
    coir_spawn(NULL, twice, NULL, NULL);
    coir_spawn(NULL, print, NULL, NULL);
    printf("closed: %s\n", coir_error_name(coir_scope_close(&scope)));
    return 0;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    int result = 1;
    return coir_run(pipeline, NULL, &opts, &result) < 0 || result != 0;
}
