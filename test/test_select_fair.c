/* The fair order of a select: whoever selects in turn with whom, no case starves. */
#include "waits.h"

#include <coir_select.h>

enum { CASES = 8 };

static coir_event events[CASES];

static void make_cases(coir_case *cases, int count)
{
    for (int i = 0; i < count; i++)
        cases[i] = coir_case_wait(&events[i]);
}

enum { PLACES = 8, ROUNDS = 400 };

/* In one of several places of a program that select in turn, all from the same cases, all of them
 * ready. */
static void select_in_turn(int places, int count)
{
    int wins[CASES] = {0}, last[CASES] = {0};
    coir_case cases[CASES];
    make_cases(cases, count);
    for (int round = 1; round <= ROUNDS; round++) {
        int which = coir_select(cases, (size_t)count, COIR_FAIR, COIR_TRY);
        CHECK(which >= 0 && which < count);
        wins[which]++;
        CHECK(round - last[which] <= 3 * (count + places));
        last[which] = round;
        for (int other = 1; other < places; other++)
            CHECK(coir_select(cases, (size_t)count, COIR_FAIR, COIR_TRY) >= 0);
        CHECK_EQ(coir_select(cases, (size_t)count, 0, COIR_NEVER), 0); /* does not count */
    }
    for (int i = 0; i < count; i++) {
        CHECK(ROUNDS - last[i] <= 3 * (count + places));
        CHECK(wins[i] * count * 10 > ROUNDS * 9 && wins[i] * count * 10 < ROUNDS * 11);
    }
}

static int select_in_turns(void *arg)
{
    (void)arg;
    for (int i = 0; i < CASES; i++)
        coir_event_set(&events[i]);
    for (int places = 1; places <= PLACES; places++)
        for (int count = 1; count <= CASES; count++)
            select_in_turn(places, count);
    return 0;
}

/* proves: Z5 */
TEST(test_regress_fair_selects_that_took_turns_starved_a_case)
{
    run_virtual(select_in_turns, NULL);
}

/* Two of three are ready all the time: neither is passed over twice. */
static int no_starving(void *arg)
{
    coir_case cases[3];
    int wins[3] = {0};
    (void)arg;
    make_cases(cases, 3);
    coir_event_set(&events[0]);
    coir_event_set(&events[2]);
    for (int i = 0; i < 300; i++)
        wins[coir_select(cases, 3, COIR_FAIR, COIR_NEVER)]++;
    CHECK_EQ(wins[1], 0);
    CHECK(wins[0] >= 98 && wins[0] <= 102);
    CHECK_EQ(wins[0] + wins[2], 300); /* also where case 1 is asked first */
    return 0;
}

/* proves: Z5 */
TEST(test_a_fair_select_goes_on_to_the_next_that_is_ready)
{
    run_virtual(no_starving, NULL);
}
