/* Clean-up that must wait: a journal is flushed under a shield, which keeps the cancel away for
 * a grace of 50 ms. The first disk is fast enough, the second is not. */
#include <coir.h>

#include <stdio.h>

struct journal {
    const char *name;
    int flush_ms;
};

static int flush(const struct journal *journal)
{
    coir_scope shield;
    coir_scope_open(&shield, coir_after(COIR_MS(50)), COIR_SHIELD);
    int result = coir_sleep(COIR_MS(journal->flush_ms)); /* stands for the disk */
    return coir_scope_end(&shield, result);
}

static int keep_journal(void *arg)
{
    const struct journal *journal = arg;
    int result = coir_sleep(COIR_SEC(3600)); /* stands for the work */
    printf("%s: %s @ %d ms\n", journal->name, coir_error_name(result),
           (int)(coir_now().ns / 1000000));
    int flushed = flush(journal);
    printf("%s: flush: %s @ %d ms\n", journal->name, coir_error_name(flushed),
           (int)(coir_now().ns / 1000000));
    return result;
}

static int parent(void *arg)
{
    (void)arg;
    struct journal fast = {"fast", 20}, slow = {"slow", 5000};
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    coir_spawn(NULL, keep_journal, &fast, NULL);
    coir_spawn(NULL, keep_journal, &slow, NULL);
    coir_sleep(COIR_MS(10));
    coir_scope_cancel(&scope, COIR_CANCELLED);
    printf("ended: %s @ ", coir_error_name(coir_scope_end(&scope, 0)));
    printf("%d ms\n", (int)(coir_now().ns / 1000000));
    return 0;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    return coir_run(parent, NULL, &opts, NULL) < 0;
}
