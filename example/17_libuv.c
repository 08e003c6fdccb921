/* A thousand fibers in libuv's loop. It watches coir's descriptor, and before it waits it asks when
 * coir is due; either leads to a step. Its own timer spawns fifty fibers each time that it ticks,
 * which makes coir due at once. */
#include "crowd.h"
#include <uv.h>

enum { EACH_TICK = 50, BUDGET = 100 };
static coir_sched *sched;
static uv_timer_t ticker, due;

static void tick(uv_timer_t *timer)
{
    if (crowd_spawn(EACH_TICK) == CROWD)
        uv_timer_stop(timer);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    uv_close(handle, NULL);
}

static void step(uv_timer_t *timer)
{
    int state = coir_sched_step(sched, BUDGET);
    if (state < 0 || (state == COIR_STEP_DONE && !uv_is_active((uv_handle_t *)&ticker)))
        uv_walk(timer->loop, close_handle, NULL);
}

static void on_ready(uv_poll_t *watch, int status, int events)
{
    (void)watch, (void)status, (void)events;
    step(&due);
}

static void before_wait(uv_prepare_t *prepare)
{
    int64_t left = coir_left(coir_sched_deadline(sched));
    uv_update_time(prepare->loop);
    uv_timer_start(&due, step, left > 0 ? (uint64_t)(left - 1) / 1000000 + 1 : 0, 0);
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    uv_prepare_t prepare;
    uv_poll_t watch;
    while ((sched = crowd_next_sched())) {
        uv_poll_init(loop, &watch, coir_sched_fd(sched));
        uv_poll_start(&watch, UV_READABLE, on_ready);
        uv_prepare_init(loop, &prepare);
        uv_prepare_start(&prepare, before_wait);
        uv_timer_init(loop, &due);
        uv_timer_init(loop, &ticker);
        uv_timer_start(&ticker, tick, 1, 1);
        uv_run(loop, UV_RUN_DEFAULT);
        crowd_end(sched);
    }
    return uv_loop_close(loop);
}
