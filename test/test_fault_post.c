/* Failures of the system under the life of a mailbox. */
#include "fault.h"

static coir_mailbox box;
static int calls;

static void count_call(void *arg)
{
    (void)arg;
    calls++;
}

static int open_post_close(void)
{
    coir_sched *sched = NULL;
    coir_mailbox again;
    coir_letter letter = {.fn = count_call};
    calls = 0;
    CHECK_EQ(FAULT_TRY(coir_sched_new(&sched, NULL)), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(FAULT_TRY(coir_mailbox_open(&box, 0)), 0);
        CHECK_EQ(FAULT_TRY(coir_mailbox_open(&again, 0)), 0);
        CHECK_EQ(coir_post(box, &letter), 0);
        fault.paused = true; /* a bell is there to be read and written */
        CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
        CHECK_EQ(calls, 2 * i + 1);
        CHECK_EQ(coir_post(box, &letter), 0);
        fault.paused = false;
        CHECK_EQ(coir_mailbox_close(again), 0);
        CHECK_EQ(coir_mailbox_close(box), 0);
        CHECK_EQ(calls, 2 * i + 2);
    }
    CHECK_EQ(FAULT_TRY(coir_sched_step(sched, 0)), COIR_STEP_DONE);
    coir_sched_free(sched);
    return 0;
}

/* proves: F1, X1 */
TEST(test_fault_in_the_life_of_a_mailbox)
{
    fault_each("open_post_close", open_post_close);
}
