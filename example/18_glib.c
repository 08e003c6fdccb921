/* A thousand fibers in GLib's main loop, as a source of its own kind: before the loop waits it asks
 * the source for how long, and afterwards whether to dispatch it, which is a step. A timer of
 * GLib's spawns fifty fibers each time that it ticks, which makes coir due at once. */
#include "crowd.h"
#include <glib.h>

enum { EACH_TICK = 50, BUDGET = 100 };
static coir_sched *sched;
static gpointer descriptor;
static gboolean ticking;

static gboolean tick(gpointer arg)
{
    (void)arg;
    ticking = crowd_spawn(EACH_TICK) < CROWD;
    return ticking;
}

static gboolean prepare(GSource *source, gint *left_ms)
{
    (void)source;
    int64_t left = coir_left(coir_sched_deadline(sched));
    *left_ms = left > 0 ? (gint)MIN((left - 1) / 1000000 + 1, G_MAXINT) : 0;
    return left == 0;
}

static gboolean check(GSource *source)
{
    gint left_ms;
    return g_source_query_unix_fd(source, descriptor) || prepare(source, &left_ms);
}

static gboolean dispatch(GSource *source, GSourceFunc unused, gpointer loop)
{
    (void)source, (void)unused;
    int state = coir_sched_step(sched, BUDGET);
    if (state < 0 || (state == COIR_STEP_DONE && !ticking))
        g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

int main(void)
{
    static GSourceFuncs funcs = {.prepare = prepare, .check = check, .dispatch = dispatch};
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    while ((sched = crowd_next_sched())) {
        GSource *source = g_source_new(&funcs, sizeof *source);
        g_source_set_callback(source, NULL, loop, NULL);
        descriptor = g_source_add_unix_fd(source, coir_sched_fd(sched), G_IO_IN);
        g_source_attach(source, NULL);
        ticking = g_timeout_add(1, tick, NULL) > 0;
        g_main_loop_run(loop);
        g_source_destroy(source);
        g_source_unref(source);
        crowd_end(sched);
    }
    g_main_loop_unref(loop);
    return 0;
}
