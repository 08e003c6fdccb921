/* Building one's own synchronisation: a mailbox for one reader, of coir_park and coir_wake. Nothing
 * can run between the look into the box and the park, so no wake is ever missed. */
#include <coir.h>

#include <stdio.h>

static struct {
    int letters[4];
    int first, count;
    coir_fiber reader;
} box;

static void box_put(int letter)
{
    box.letters[(box.first + box.count++) % 4] = letter;
    coir_wake(box.reader);
}

/* The next letter, or an error: a fiber that is told to stop must not park again. */
static int box_take(void)
{
    while (box.count == 0) {
        int result = coir_park(COIR_NEVER);
        if (result < 0)
            return result;
    }
    int letter = box.letters[box.first];
    box.first = (box.first + 1) % 4;
    box.count--;
    return letter;
}

static int sender(void *arg)
{
    int base = *(int *)arg;
    for (int i = 0; i < 2; i++) {
        box_put(base + i);
        coir_sleep(COIR_MS(1));
    }
    return 0;
}

static int reader(void *arg)
{
    static int bases[] = {10, 20};
    (void)arg;
    box.reader = coir_self();
    for (int i = 0; i < 2; i++)
        if (coir_spawn(NULL, sender, &bases[i], NULL) < 0)
            return 1;
    for (int i = 0; i < 4; i++)
        printf("letter %d\n", box_take());
    return 0;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    int result = 1;
    return coir_run(reader, NULL, &opts, &result) < 0 || result != 0;
}
