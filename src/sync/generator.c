/* Generators: a channel without capacity, and a fiber that sends to it. Whoever stops receiving
 * leaves the fiber in its send, where a cancel reaches it. */
#include "../../include/coir_chan.h"
#include "../core/sched.h"
#include "../debug/debug.h"

/* What the function spawns may send, too. */
static int generator_run(void *arg)
{
    coir_generator *generator = arg;
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    int result = coir_scope_end(&scope, generator->fn(&generator->items, generator->arg));
    coir_chan_close(&generator->items);
    return result;
}

int coir_generator_open(coir_generator *generator, size_t size,
                        int (*fn)(coir_chan *out, void *arg), void *arg)
{
    static const struct coir_spawn_opts DAEMON = {.name = "generator", .daemon = true};
    if (!fn)
        cr_fatal_mistake("coir_generator_open", CR_CALLER, "the function is NULL");
    generator->fn = fn;
    generator->arg = arg;
    int result = coir_chan_open(&generator->items, size, 0);
    if (result < 0)
        return result;
    result = coir_spawn(&generator->fiber, generator_run, generator, &DAEMON);
    if (result < 0)
        coir_chan_free(&generator->items, NULL, NULL);
    return result;
}

int coir_generator_next(coir_generator *generator, void *item, coir_time until)
{
    return coir_chan_recv(&generator->items, item, until);
}

int coir_generator_close(coir_generator *generator)
{
    int result = 0, error = coir_finish(generator->fiber, 0, &result);
    if (error == -EDEADLK)
        return error;
    coir_chan_free(&generator->items, NULL, NULL);
    return error < 0 ? error : result == COIR_CANCELLED ? 0 : result;
}
