/* The heap of deadlines by itself, against a plain model: which timer is first after any sequence
 * of arming, arming again earlier or later, disarming, firing and removing. */
#include "test.h"

#include "../src/base/timer.h"

enum { TIMERS = 60, STEPS = 200000, TIMES = 50 };

static struct cr_timers heap;
static struct cr_timer timers[TIMERS];

static struct {
    uint64_t deadline_ns, order;
} model[TIMERS];

static uint64_t order;
static uint32_t state;

static uint32_t pick(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

static struct cr_timer *model_first(void)
{
    int first = -1;
    for (int i = 0; i < TIMERS; i++) {
        if (model[i].deadline_ns == UINT64_MAX)
            continue;
        bool earlier = first >= 0 && model[i].deadline_ns < model[first].deadline_ns;
        bool equal = first >= 0 && model[i].deadline_ns == model[first].deadline_ns;
        if (first < 0 || earlier || (equal && model[i].order < model[first].order))
            first = i;
    }
    return first < 0 ? NULL : &timers[first];
}

static void check_heap(void)
{
    for (size_t i = 0; i < heap.count; i++) {
        CHECK_EQ(heap.heap[i].timer->place, i);
        CHECK(heap.heap[i].deadline_ns <= heap.heap[i].timer->deadline_ns);
        if (i > 0)
            CHECK(heap.heap[(i - 1) / 4].deadline_ns <= heap.heap[i].deadline_ns);
    }
}

static void step(void)
{
    uint32_t i = pick(TIMERS), what = pick(8);
    struct cr_timer *first;
    if (what < 4) {
        model[i].deadline_ns = pick(TIMES);
        model[i].order = ++order;
        cr_timer_arm(&heap, &timers[i], model[i].deadline_ns);
    } else if (what < 6) {
        model[i].deadline_ns = UINT64_MAX;
        cr_timer_disarm(&timers[i]);
    } else if (what == 6) {
        if (timers[i].place != CR_TIMER_OUT)
            cr_timer_remove(&heap, &timers[i]);
        cr_timer_disarm(&timers[i]);
        model[i].deadline_ns = UINT64_MAX;
    } else if ((first = cr_timer_first(&heap))) {
        CHECK_EQ(first->deadline_ns, model_first()->deadline_ns);
        cr_timer_disarm(first);
        model[first - timers].deadline_ns = UINT64_MAX;
    }
}

/* proves: O4, W4 */
TEST(test_timer_heap_agrees_with_a_plain_model)
{
    for (uint32_t seed = 1; seed <= 3; seed++) {
        state = seed;
        for (int i = 0; i < TIMERS; i++) {
            while (heap.capacity < TIMERS)
                CHECK(cr_timer_grow(&heap));
            cr_timer_init(&timers[i], NULL);
            model[i].deadline_ns = UINT64_MAX;
        }
        for (int i = 0; i < STEPS; i++) {
            step();
            if (pick(4) == 0)
                CHECK(cr_timer_first(&heap) == model_first());
            if (i % 64 == 0)
                check_heap();
        }
        for (int i = 0; i < TIMERS; i++)
            if (timers[i].place != CR_TIMER_OUT)
                cr_timer_remove(&heap, &timers[i]);
        CHECK_EQ(heap.count, 0);
    }
    cr_timer_fini(&heap);
}
