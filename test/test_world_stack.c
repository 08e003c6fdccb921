/* Worlds in front of worlds: each owns its state and changes what it wants, in any order; and what
 * keeps a run alive, or a virtual clock still, is counted in one place by the kind of the wait. */
#include "fds.h"

#include "../src/world/below.h"
#include "clock.h"

#include <coir_io.h>
#include <coir_post.h>
#include <pthread.h>
#include <stdlib.h>

/* ---- stacked ---- */

/* Counts what goes through it, and every `often`-th read says that it was not ready. */
struct meter {
    struct cr_above above;
    struct cr_world_ops ops;
    int started, waits, often;
};

static int64_t meter_start(struct cr_world *world, struct cr_op *op)
{
    struct meter *meter = CR_CONTAINER(world, struct meter, above.world);
    meter->started++;
    bool refuses = meter->often && op->kind == CR_OP_READ && meter->started % meter->often == 0;
    return refuses ? -EAGAIN : cr_below_ops.start(world, op);
}

static int meter_wait(struct cr_world *world, struct cr_event *events, int max, uint64_t until,
                      bool *more)
{
    CR_CONTAINER(world, struct meter, above.world)->waits++;
    return cr_below_ops.wait(world, events, max, until, more);
}

static struct meter *meter_put(struct cr_world **world, int often)
{
    struct meter *meter = malloc(sizeof *meter);
    CHECK(meter);
    *meter = (struct meter){.ops = cr_below_ops, .often = often};
    meter->ops.start = meter_start;
    meter->ops.wait = meter_wait;
    cr_below_put(world, &meter->above, &meter->ops);
    meter->above.world.plain = false;
    return meter;
}

static int talk(void *arg)
{
    int ends[2];
    char byte = 'x';
    (void)arg;
    CHECK_EQ(coir_pipe(ends), 0);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(coir_sleep(COIR_MS(10)), 0);
        CHECK_EQ(coir_write(ends[1], &byte, 1, COIR_NEVER), 1);
        CHECK_EQ(coir_read(ends[0], &byte, 1, coir_after(COIR_SEC(1))), 1);
    }
    CHECK_EQ(coir_read(ends[0], &byte, 1, coir_after(COIR_MS(5))), COIR_TIMED_OUT);
    return coir_close(ends[0]) | coir_close(ends[1]);
}

/* proves: T1 */
TEST(test_worlds_are_stacked_above_and_below_a_virtual_clock)
{
    for (int order = 0; order < 2; order++) {
        struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
        coir_sched *sched;
        CHECK_EQ(coir_sched_new(&sched, &opts), 0);
        struct cr_world **top = &inside_io()->world, **place = top;
        if (order) /* between the clock and the kernel */
            place = &CR_CONTAINER(*top, struct cr_above, world)->below;
        const char *name = (*top)->name;
        struct meter *outer = meter_put(place, 0), *inner = meter_put(place, 3);
        CHECK_STR((*top)->name, name);
        CHECK((*top)->is_virtual && (*top)->edges == (strcmp(name, "poll") != 0));
        inside_io()->fds.allows_fast = false;
        CHECK_EQ(coir_spawn(NULL, talk, NULL, NULL), 0);
        CHECK_EQ(coir_sched_run(sched), 0);
        CHECK_EQ(now_ns(), COIR_MS(205));
        CHECK(outer->started > 40 && outer->started < inner->started);
        CHECK(inner->waits > 0 && inner->waits == outer->waits);
        coir_sched_free(sched);
    }
}

/* ---- what holds a clock ---- */

/* A fiber whose work another thread does, as blocking work that is handed over will. */
static struct work {
    coir_mailbox box;
    coir_letter letter;
    struct cr_wait wait;
    bool done;
} work;

static const struct cr_wait_kind WORK = {
    .name = "work in another thread",
    .woken = -EBUSY,
    .expired = COIR_TIMED_OUT,
    .outside = true,
    .holds_clock = true,
};

static void work_over(void *arg)
{
    (void)arg;
    work.done = true;
    cr_sched_end(&work.wait, 7);
}

static void *work_main(void *arg)
{
    (void)arg;
    usleep(20000);
    CHECK_EQ(coir_post(work.box, &work.letter), 0);
    return NULL;
}

static int sleeps_meanwhile(void *arg)
{
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK(work.done); /* else the clock would have jumped */
    return arg ? 1 : 0;
}

static int hands_work_over(void *arg)
{
    pthread_t thread;
    coir_fiber other = run_spawn(sleeps_meanwhile, arg);
    coir_yield();
    work.letter = (coir_letter){.fn = work_over};
    CHECK_EQ(coir_mailbox_open(&work.box, 0), 0);
    CHECK_EQ(pthread_create(&thread, NULL, work_main, NULL), 0);
    cr_list_init(&work.wait.link);
    CHECK_EQ(cr_sched_park(cr_sched_self, &work.wait, &WORK, coir_after(COIR_SEC(1))), 7);
    CHECK_EQ(now_ns(), 0);
    CHECK_EQ(cr_sched_here->holding, 0);
    CHECK_EQ(coir_mailbox_close(work.box), 0);
    CHECK_EQ(run_join(other), 0);
    CHECK_EQ(now_ns(), COIR_MS(1));
    pthread_join(thread, NULL);
    return 0;
}

/* proves: T1 */
TEST(test_virtual_clock_stands_still_while_work_is_in_another_thread)
{
    run_virtual(hands_work_over, NULL);
}

static struct cr_wait due_work;

static int ends_the_work(void *arg)
{
    CHECK_EQ(coir_sleep(0), 0);
    cr_sched_end(&due_work, 3);
    return arg ? 1 : 0;
}

static int work_that_needs_a_fiber(void *arg)
{
    coir_fiber other = run_spawn(ends_the_work, arg);
    cr_list_init(&due_work.link);
    CHECK_EQ(cr_sched_park(cr_sched_self, &due_work, &WORK, coir_after(COIR_SEC(1))), 3);
    return run_join(other);
}

/* proves: T1 */
TEST(test_regress_sleep_of_nothing_hangs_beside_work_in_another_thread)
{
    run_virtual(work_that_needs_a_fiber, NULL);
}

/* ---- what keeps a run alive ---- */

static int letters;

static void count_letter(void *arg)
{
    (void)arg;
    letters++;
}

static int opens_a_weak_box(void *arg)
{
    static coir_letter letter = {.fn = count_letter};
    coir_mailbox box, strong;
    CHECK_EQ(coir_mailbox_open(&box, COIR_WEAK), 0);
    CHECK_EQ(cr_sched_here->outside, 0);
    CHECK_EQ(coir_mailbox_open(&strong, 0), 0); /* as long as one is not weak */
    CHECK_EQ(cr_sched_here->outside, 1);
    CHECK_EQ(coir_mailbox_close(strong), 0);
    CHECK_EQ(cr_sched_here->outside, 0);
    CHECK_EQ(coir_mailbox_open(&strong, 2), -EINVAL);
    CHECK_EQ(coir_post(box, &letter), 0);
    CHECK_EQ(coir_sleep(COIR_MS(2)), 0);
    CHECK_EQ(letters, 1);
    return arg ? 1 : 0;
}

/* proves: X1, X2 */
TEST(test_weak_mailbox_keeps_no_run_alive)
{
    run_monotonic(opens_a_weak_box, NULL); /* which ends, though the box is open */
    letters = 0;
    run_virtual(opens_a_weak_box, NULL);
}

static int parks_beside_a_weak_box(void *arg)
{
    coir_mailbox box;
    (void)arg;
    CHECK_EQ(coir_mailbox_open(&box, COIR_WEAK), 0);
    return coir_park(COIR_NEVER);
}

/* proves: E2 */
TEST(test_weak_mailbox_hides_no_deadlock)
{
    CHECK_EQ(run_as(parks_beside_a_weak_box, NULL, COIR_CLOCK_MONOTONIC, NULL), -EDEADLK);
}

static int counted_kinds(void *arg)
{
    struct fds_pair pair = fds_pipe(0);
    struct fds_waiter waiter = {.fd = pair.in, .mask = COIR_IN};
    fds_start(&waiter, 1);
    CHECK_EQ(cr_sched_here->outside, 1);
    CHECK_EQ(coir_cancel(waiter.fiber, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(waiter.fiber), COIR_CANCELLED);
    CHECK_EQ(cr_sched_here->outside, 0);
    fds_close(pair);
    return arg ? 1 : 0;
}

/* proves: E2 */
TEST(test_waits_that_the_kernel_can_end_are_counted_while_they_last)
{
    run_virtual(counted_kinds, NULL);
}
