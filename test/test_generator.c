/* Generators: fibers whose items are received, ended by whoever has enough, or by the end of their
 * scope. */
#include "run.h"

#include <coir_chan.h>

static coir_generator the_generator;

static int counts_to(coir_chan *out, void *arg)
{
    int result = 0, last = *(int *)arg;
    for (int i = 1; i <= last && result == 0; i++)
        result = coir_chan_send(out, &i, COIR_NEVER);
    run_note(result == 0 ? "whole" : coir_error_name(result));
    return result == 0 ? last : result;
}

static int all_items(void *arg)
{
    int item = 0;
    CHECK_EQ(coir_generator_open(&the_generator, sizeof item, counts_to, arg), 0);
    for (int i = 1; i <= *(int *)arg; i++) {
        CHECK_EQ(coir_generator_next(&the_generator, &item, COIR_NEVER), 0);
        CHECK_EQ(item, i);
    }
    CHECK_EQ(coir_generator_next(&the_generator, &item, COIR_NEVER), -EPIPE);
    CHECK_EQ(coir_generator_next(&the_generator, &item, COIR_TRY), -EPIPE);
    CHECK_EQ(coir_generator_close(&the_generator), *(int *)arg);
    return 0;
}

/* proves: Q8 */
TEST(test_generator_gives_its_items_and_then_its_result)
{
    for (int last = 0; last < 4; last++)
        run_virtual(all_items, &last);
}

static int closed_early(void *arg)
{
    int last = 1000, item = 0;
    (void)arg;
    CHECK_EQ(coir_generator_open(&the_generator, sizeof item, counts_to, &last), 0);
    CHECK_EQ(coir_generator_next(&the_generator, &item, coir_after(COIR_MS(1))), 0);
    CHECK_EQ(coir_generator_close(&the_generator), 0);
    CHECK_STR(run_log, "COIR_CANCELLED");
    CHECK_EQ(coir_generator_open(&the_generator, sizeof item, counts_to, &last), 0);
    CHECK_EQ(coir_generator_next(&the_generator, &item, COIR_NEVER), 0);
    return 0; /* its end is that of the scope */
}

/* proves: Q8 */
TEST(test_generator_that_is_left_early_is_cancelled)
{
    run_virtual(closed_early, NULL);
    CHECK_STR(run_log, "COIR_CANCELLED COIR_CANCELLED");
}

static int fails_third(coir_chan *out, void *arg)
{
    int result = 0;
    for (int i = 1; i <= 2 && result == 0; i++)
        result = coir_chan_send(out, &i, COIR_NEVER);
    return result == 0 ? *(int *)arg : result;
}

static int failure_is_seen_at_close(void *arg)
{
    int error = -EIO, item = 0;
    (void)arg;
    CHECK_EQ(coir_generator_open(&the_generator, sizeof item, fails_third, &error), 0);
    while (coir_generator_next(&the_generator, &item, COIR_NEVER) == 0)
        continue;
    CHECK_EQ(item, 2);
    CHECK_EQ(coir_generator_close(&the_generator), -EIO);
    return 0;
}

/* proves: Q8 */
TEST(test_generator_that_fails_says_so_when_it_is_closed)
{
    run_virtual(failure_is_seen_at_close, NULL);
}

static int sends_itself(void *arg)
{
    return coir_chan_send(arg, &(int){7}, COIR_NEVER);
}

static int lets_others_send(coir_chan *out, void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_spawn(NULL, sends_itself, out, NULL), 0);
    return 0;
}

static int children_send(void *arg)
{
    int item = 0;
    CHECK_EQ(coir_generator_open(&the_generator, sizeof item, lets_others_send, arg), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_generator_next(&the_generator, &item, COIR_NEVER), 0);
    CHECK_EQ(item, 7);
    CHECK_EQ(coir_generator_next(&the_generator, &item, COIR_NEVER), -EPIPE);
    CHECK_EQ(coir_generator_close(&the_generator), 0);
    CHECK_EQ(coir_generator_close(&the_generator), -ESRCH);
    return 0;
}

/* proves: Q8 */
TEST(test_regress_generator_closed_its_channel_before_its_children_had_ended)
{
    run_virtual(children_send, NULL);
}

static int closes_itself(coir_chan *out, void *arg)
{
    (void)arg;
    CHECK_EQ(coir_generator_close(&the_generator), -EDEADLK);
    return coir_chan_send(out, &(int){8}, COIR_NEVER);
}

static int closed_from_within(void *arg)
{
    int item = 0;
    CHECK_EQ(coir_generator_open(&the_generator, sizeof item, closes_itself, arg), 0);
    CHECK_EQ(coir_generator_next(&the_generator, &item, COIR_NEVER), 0);
    CHECK_EQ(item, 8);
    return coir_generator_close(&the_generator);
}

/* proves: Q8 */
TEST(test_regress_generator_that_closed_itself_lost_its_channel)
{
    run_virtual(closed_from_within, NULL);
}

static int opens_without_function(void *arg)
{
    return coir_generator_open(&the_generator, sizeof(int), NULL, arg);
}

TEST_DIES(test_generator_without_function_is_a_mistake, SIGABRT,
          "coir_generator_open: the function is NULL")
{
    run_virtual(opens_without_function, NULL);
}
