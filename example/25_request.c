/* A request with a time-out, which its user may also cancel: one select waits for the answer, for
 * the user, and for the deadline. Whatever comes first, the request has ended when it returns. */
#include <coir_select.h>

#include <stdio.h>

static coir_event escape; /* the user has pressed a key */

static int ask(void *arg)
{
    int length_ms = *(int *)arg, result = coir_sleep(COIR_MS(length_ms));
    return result < 0 ? result : 200;
}

static void request(int length_ms, coir_time until)
{
    enum { ANSWER, ESCAPE };
    coir_fiber fiber;
    int answer = 0;
    coir_spawn(&fiber, ask, &length_ms, NULL);
    coir_case cases[] = {
        [ANSWER] = coir_case_join(fiber, &answer),
        [ESCAPE] = coir_case_take(&escape),
    };
    int which = coir_select(cases, 2, 0, until);
    if (which == ANSWER)
        printf("answer %d", answer);
    else if (which == ESCAPE)
        printf("the user has cancelled it");
    else
        printf("%s", coir_error_name(which));
    if (which != ANSWER && coir_finish(fiber, 0, &answer) == 0)
        printf(", and it ended with %s", coir_error_name(answer));
    printf(" @ %d ms\n", (int)(coir_now().ns / 1000000));
}

static int user(void *arg)
{
    int result = coir_sleep(COIR_MS(25));
    (void)arg;
    coir_event_set(&escape);
    return result;
}

static int client(void *arg)
{
    (void)arg;
    request(10, coir_after(COIR_MS(50)));
    coir_spawn(NULL, user, NULL, NULL);
    request(1000, coir_after(COIR_MS(50)));
    request(1000, coir_after(COIR_MS(50)));
    return 0;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    return coir_run(client, NULL, &opts, NULL) < 0;
}
