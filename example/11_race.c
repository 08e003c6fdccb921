/* Ask two servers, take the first answer, and give up after a second. The slower one is cancelled
 * and has ended when coir_race returns: nothing goes on behind one's back. */
#include <coir.h>

#include <stdio.h>

struct server {
    const char *name;
    int delay_ms, answer;
};

static int fetch(void *arg)
{
    const struct server *server = arg;
    int slept = coir_sleep(COIR_MS(server->delay_ms)); /* stands for the network */
    printf("  %s: %s\n", server->name, slept < 0 ? coir_error_name(slept) : "answered");
    return slept < 0 ? slept : server->answer;
}

static void ask(struct server *near, struct server *far)
{
    coir_fiber fetchers[2];
    int answer = 0;
    if (coir_spawn(&fetchers[0], fetch, near, NULL) < 0 ||
        coir_spawn(&fetchers[1], fetch, far, NULL) < 0)
        return;
    int winner = coir_race(fetchers, 2, &answer, coir_after(COIR_SEC(1)));
    if (winner < 0)
        printf("nobody: %s", coir_error_name(winner));
    else
        printf("%d from %s", answer, winner == 0 ? near->name : far->name);
    printf(" @ %d ms\n", (int)(coir_now().ns / 1000000));
}

static int client(void *arg)
{
    (void)arg;
    struct server near = {"near", 20, 42}, far = {"far", 300, 43}, dead = {"dead", 5000, 0};
    ask(&near, &far);
    ask(&dead, &far);
    ask(&dead, &dead);
    return 0;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    int result = 1;
    return coir_run(client, NULL, &opts, &result) < 0 || result != 0;
}
