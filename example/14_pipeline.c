/* A pipeline of three fibers over two pipes, cancelled in the middle of its work by a deadline. The
 * stages know nothing of it: their calls return COIR_CANCELLED, and they leave with that. */
#include <coir_io.h>

#include <stdio.h>

static int raw[2], doubled[2]; /* pipes */

static int count(void *arg)
{
    int result = 0;
    (void)arg;
    for (unsigned char n = 1; result == 0 && coir_write(raw[1], &n, 1, COIR_NEVER) == 1; n++)
        result = coir_sleep(COIR_MS(10));
    puts("the source leaves");
    return result;
}

static int twice(void *arg)
{
    unsigned char n;
    ssize_t moved;
    (void)arg;
    while ((moved = coir_read(raw[0], &n, 1, COIR_NEVER)) == 1) {
        n = (unsigned char)(2 * n);
        if ((moved = coir_write(doubled[1], &n, 1, COIR_NEVER)) < 0)
            break;
    }
    puts("the middle leaves");
    return (int)moved;
}

static int print(void *arg)
{
    unsigned char n;
    ssize_t got;
    (void)arg;
    while ((got = coir_read(doubled[0], &n, 1, COIR_NEVER)) == 1)
        printf("%d @ %d ms\n", n, (int)(coir_now().ns / 1000000));
    puts("the sink leaves");
    return (int)got;
}

static int pipeline(void *arg)
{
    coir_scope scope;
    (void)arg;
    if (coir_pipe(raw) < 0 || coir_pipe(doubled) < 0)
        return 1;
    coir_scope_open(&scope, coir_after(COIR_MS(35)), 0);
    coir_spawn(NULL, count, NULL, NULL);
    coir_spawn(NULL, twice, NULL, NULL);
    coir_spawn(NULL, print, NULL, NULL);
    printf("ended: %s\n", coir_error_name(coir_scope_end(&scope, 0)));
    for (int i = 0; i < 2; i++) {
        coir_close(raw[i]);
        coir_close(doubled[i]);
    }
    return 0;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    int result = 1;
    return coir_run(pipeline, NULL, &opts, &result) < 0 || result != 0;
}
