/* Ask two servers, take the first answer, and give up after a second. The second one is asked when
 * the first has not answered within 50 ms, or has failed. The slower one is cancelled and has ended
 * when the race returns: nothing goes on behind one's back. */
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
    struct coir_racer racers[] = {{fetch, near, 0}, {fetch, far, COIR_MS(50)}};
    int answers[2];
    int winner = coir_race_run(racers, 2, answers, coir_after(COIR_SEC(1)));
    if (winner < 0)
        printf("nobody: %s", coir_error_name(winner));
    else
        printf("%d from %s", answers[winner], winner == 0 ? near->name : far->name);
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
    return coir_run(client, NULL, &opts, NULL) < 0;
}
