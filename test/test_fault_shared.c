/* Failures of the system under waits for shared things. */
#include "fault.h"

#include <coir_shared.h>

static coir_shared_chan the_chan;
static coir_shared_sem the_sem;
static coir_shared_event the_event;

/* From here until the taker runs there is a bell to be written and read. */
static int gives(void *arg)
{
    int64_t item = 3;
    (void)arg;
    fault.paused = true;
    int result = coir_shared_chan_send(&the_chan, &item, COIR_NEVER);
    coir_shared_sem_release(&the_sem, 1);
    coir_shared_event_set(&the_event);
    return result;
}

static int takes(void *arg)
{
    int64_t got = 0;
    coir_case it = coir_case_shared_take(&the_event);
    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(FAULT_TRY(coir_spawn(NULL, gives, NULL, NULL)), 0);
        if (i == 0)
            CHECK_EQ(FAULT_TRY(coir_shared_chan_recv(&the_chan, &got, COIR_NEVER)), 0);
        else if (i == 1)
            CHECK_EQ(FAULT_TRY(coir_shared_sem_acquire(&the_sem, COIR_NEVER)), 0);
        else
            CHECK_EQ(FAULT_TRY(coir_select(&it, 1, 0, COIR_NEVER)), 0);
        fault.paused = false;
        CHECK_EQ(got, 3);
        CHECK(i == 2 || coir_shared_event_take(&the_event, COIR_TRY) == 0);
        CHECK_EQ(coir_shared_sem_acquire(&the_sem, COIR_TRY), i == 1 ? COIR_TIMED_OUT : 0);
        CHECK_EQ(coir_shared_chan_recv(&the_chan, &got, COIR_TRY), i == 0 ? COIR_TIMED_OUT : 0);
    }
    return 0;
}

static int life_of_shared_things(void)
{
    int64_t item = 1;
    int result = -1;
    CHECK_EQ(FAULT_TRY(coir_shared_chan_open(&the_chan, sizeof item, 1)), 0);
    CHECK_EQ(FAULT_TRY(coir_shared_sem_open(&the_sem, 0)), 0);
    CHECK_EQ(FAULT_TRY(coir_shared_event_open(&the_event)), 0);
    CHECK_EQ(FAULT_TRY(coir_run(takes, NULL, NULL, &result)), 0);
    CHECK_EQ(result, 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(FAULT_TRY(coir_shared_chan_put_back(&the_chan, &item)), 0);
    coir_shared_chan_free(&the_chan, NULL, NULL);
    coir_shared_sem_free(&the_sem);
    coir_shared_event_free(&the_event);
    return 0;
}

/* proves: A6, F1 */
TEST(test_fault_in_the_life_of_shared_things)
{
    fault_each("life_of_shared_things", life_of_shared_things);
}
