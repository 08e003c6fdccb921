/* A pipeline of three fibers over two channels, cancelled in the middle of its work by a deadline.
 * The stages know nothing of it: their calls return COIR_CANCELLED, and they leave with that. An
 * item in the hand of a stage goes back to where it came from, so none is lost. */
#include <coir_chan.h>

#include <stdio.h>

static coir_chan raw, doubled;

static int count(void *arg)
{
    int result = 0;
    (void)arg;
    for (int n = 1; result == 0; n++)
        if ((result = coir_chan_send(&raw, &n, COIR_NEVER)) == 0)
            result = coir_sleep(COIR_MS(10));
    return result;
}

static int twice(void *arg)
{
    int n, result;
    (void)arg;
    while ((result = coir_chan_recv(&raw, &n, COIR_NEVER)) == 0)
        if ((result = coir_chan_send(&doubled, &(int){2 * n}, COIR_NEVER)) < 0)
            return coir_chan_put_back(&raw, &n) < 0 ? 1 : result;
    return result;
}

static int print(void *arg)
{
    int n, result;
    (void)arg;
    while ((result = coir_chan_recv(&doubled, &n, COIR_NEVER)) == 0 &&
           (result = coir_sleep(COIR_MS(15))) == 0)
        printf("%d @ %d ms\n", n, (int)(coir_now().ns / 1000000));
    return result;
}

static void left(void *item, void *arg)
{
    (void)arg;
    printf("%d is left\n", *(int *)item);
}

static int pipeline(void *arg)
{
    COIR_SCOPE(scope, coir_after(COIR_MS(35)), 0);
    (void)arg;
    if (coir_chan_open(&raw, sizeof(int), 1) < 0 || coir_chan_open(&doubled, sizeof(int), 0) < 0)
        return 1;
    coir_spawn(NULL, count, NULL, NULL), coir_spawn(NULL, twice, NULL, NULL);
    coir_spawn(NULL, print, NULL, NULL);
    printf("ended: %s\n", coir_error_name(coir_scope_end(&scope, 0)));
    coir_chan_free(&raw, left, NULL);
    coir_chan_free(&doubled, left, NULL);
    return 0;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    int result = 1;
    return coir_run(pipeline, NULL, &opts, &result) < 0 || result != 0;
}
