/* A pipeline of three fibers over two channels, cancelled in the middle of its work by a deadline.
 * The stages know nothing of it: their calls return COIR_CANCELLED, and they leave with that. An
 * item in the hand of a stage goes back to where it came from, so none is lost. */
#include <coir_chan.h>

#include <errno.h>
#include <stdio.h>

static coir_chan raw, doubled;

static int count(void *out)
{
    int result = 0;
    for (int n = 1; result == 0; n++)
        if ((result = coir_chan_send(out, &n, COIR_NEVER)) == 0)
            result = coir_sleep(COIR_MS(10));
    return result;
}

static int twice(void *out)
{
    int n, result;
    while ((result = coir_chan_recv(&raw, &n, COIR_NEVER)) == 0)
        if ((result = coir_chan_send(out, &(int){2 * n}, COIR_NEVER)) < 0)
            return coir_chan_put_back(&raw, &n) < 0 ? -ENOMEM : result;
    return result;
}

static int print(void *in)
{
    int n, result;
    while ((result = coir_chan_recv(in, &n, COIR_NEVER)) == 0 &&
           (result = coir_sleep(COIR_MS(15))) == 0)
        printf("%d @ %d ms\n", n, (int)(coir_now().ns / 1000000));
    return result;
}

static void left(void *item, void *arg)
{
    printf("%d is left%s\n", *(int *)item, arg ? " of what was doubled" : "");
}

static int pipeline(void *arg)
{
    COIR_SCOPE(scope, coir_after(COIR_MS(35)), 0);
    int result = coir_chan_open(&raw, sizeof(int), 1);
    if (result == 0 && (result = coir_chan_open(&doubled, sizeof(int), 0)) == 0 &&
        (result = coir_spawn(NULL, count, &raw, NULL)) == 0 &&
        (result = coir_spawn(NULL, twice, &doubled, NULL)) == 0)
        result = coir_spawn(NULL, print, &doubled, NULL);
    printf("ended: %s\n", coir_error_name(coir_scope_end(&scope, result)));
    coir_chan_free(&raw, left, arg), coir_chan_free(&doubled, left, arg);
    return result;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    return coir_run(pipeline, NULL, &opts, NULL) < 0;
}
