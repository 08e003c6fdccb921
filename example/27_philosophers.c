/* Five philosophers with a fork between each two. Those who take the fork with the lower number
 * first cannot wait for each other in a circle. Those who all take the left one first do, and
 * coir_run says so. */
#include <coir_sync.h>

#include <stdio.h>

enum { SEATS = 5 };

static coir_mutex forks[SEATS];
static const char *const NAMES[SEATS] = {"Ada", "Barbara", "Edsger", "Grace", "Tony"};
static bool careful;

static int dine(void *arg)
{
    int seat = (int)((coir_mutex *)arg - forks), left = seat, right = (seat + 1) % SEATS;
    if (careful && right < left)
        left = right, right = seat;
    for (int meals = 0; meals < 2; meals++) {
        int result = coir_mutex_lock(&forks[left], COIR_NEVER);
        if (result < 0)
            return result;
        coir_yield();
        if ((result = coir_mutex_lock(&forks[right], COIR_NEVER)) == 0) {
            coir_sleep(COIR_MS(10));
            coir_mutex_unlock(&forks[right]);
        }
        coir_mutex_unlock(&forks[left]);
        if (result < 0)
            return result;
    }
    printf("%s has dined @ %d ms\n", NAMES[seat], (int)(coir_now().ns / 1000000));
    return 0;
}

static int table(void *arg)
{
    (void)arg;
    for (int i = 0; i < SEATS; i++)
        coir_spawn(NULL, dine, &forks[i], &(struct coir_spawn_opts){.name = NAMES[i]});
    return 0;
}

static void say(const char *line, void *arg)
{
    (void)arg;
    puts(line);
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL, .report = say};
    careful = true;
    puts(coir_error_name(coir_run(table, NULL, &opts, NULL)));
    careful = false;
    puts(coir_error_name(coir_run(table, NULL, &opts, NULL)));
    return 0;
}
