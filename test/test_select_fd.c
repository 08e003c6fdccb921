/* Descriptors as cases of a select, in every world, owned and foreign. */
#include "fds.h"

#include <coir_io.h>
#include <coir_select.h>

static struct fds_pair pair;
static coir_event event;
static coir_chan chan;

static int with_each_ownership(int (*fn)(void *arg))
{
    for (int own = 0; own <= 1; own++) {
        int result = -1;
        event = (coir_event){{0}};
        pair = fds_unix(SOCK_STREAM);
        CHECK_EQ(run_as(fn, own ? &pair : NULL, COIR_CLOCK_MONOTONIC, &result), 0);
        CHECK_EQ(result, 0);
        close(pair.in);
        close(pair.out);
    }
    return 0;
}

static void own(void *arg)
{
    if (arg)
        CHECK_EQ(coir_adopt(pair.in), 0);
}

/* ---- readiness ---- */

static int ready_at_once(void *arg)
{
    char byte;
    own(arg);
    coir_case cases[] = {coir_case_wait(&event), coir_case_fd(pair.in, COIR_IN),
                         coir_case_fd(pair.in, COIR_OUT)};
    CHECK_EQ(coir_select(cases, 2, 0, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_select(cases, 3, 0, COIR_NEVER), 2);
    CHECK_EQ(cases[2].result, COIR_OUT);
    fds_put(pair.out, "x");
    CHECK_EQ(coir_select(cases, 3, 0, COIR_NEVER), 1);
    CHECK_EQ(cases[1].result, COIR_IN);
    CHECK_EQ(coir_read(pair.in, &byte, 1, COIR_TRY), 1);
    CHECK_EQ(coir_select(cases, 2, 0, COIR_TRY), COIR_TIMED_OUT);
    coir_event_set(&event);
    CHECK_EQ(coir_select(cases, 2, 0, COIR_NEVER), 0);
    return 0;
}

/* proves: Z9 */
TEST(test_a_descriptor_that_is_ready_is_a_case_that_is_ready)
{
    with_each_ownership(ready_at_once);
}

static int puts_late(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_sleep(COIR_MS(2)), 0);
    fds_put(pair.out, "x");
    return 0;
}

static int sets_late(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_sleep(COIR_MS(2)), 0);
    coir_event_set(&event);
    return 0;
}

static int waits(void *arg)
{
    char text[4];
    own(arg);
    coir_case cases[] = {coir_case_take(&event), coir_case_fd(pair.in, COIR_IN)};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_spawn(NULL, puts_late, NULL, NULL), 0);
        CHECK_EQ(coir_select(cases, 2, 0, COIR_NEVER), 1);
        CHECK_EQ(cases[1].result, COIR_IN);
        CHECK_EQ(coir_read(pair.in, text, sizeof text, COIR_TRY), 1);
        CHECK_EQ(coir_spawn(NULL, sets_late, NULL, NULL), 0);
        CHECK_EQ(coir_select(cases, 2, 0, COIR_NEVER), 0);
        CHECK_EQ(coir_select(cases, 2, 0, coir_after(COIR_MS(2))), COIR_TIMED_OUT);
    }
    return 0;
}

/* proves: Z9, Z2 */
TEST(test_a_select_waits_for_a_descriptor_and_an_event_in_turn)
{
    with_each_ownership(waits);
}

/* ---- what must not be lost ---- */

static int reads_one(void *arg)
{
    char byte;
    (void)arg;
    CHECK_EQ(coir_read(pair.in, &byte, 1, coir_after(COIR_SEC(5))), 1);
    return 0;
}

static int event_and_descriptor_at_once(void *arg)
{
    (void)arg;
    coir_case cases[] = {coir_case_wait(&event), coir_case_fd(pair.in, COIR_IN)};
    CHECK_EQ(coir_select(cases, 2, 0, COIR_NEVER), 0);
    return 0;
}

/* The select hangs first, and ends by the event; the byte that wakes it, too, is the reader's. */
static int stale(void *arg)
{
    coir_fiber select, reader;
    own(arg);
    CHECK_EQ(coir_spawn(&select, event_and_descriptor_at_once, NULL, NULL), 0);
    CHECK_EQ(coir_yield(), 0);
    CHECK_EQ(coir_spawn(&reader, reads_one, NULL, NULL), 0);
    CHECK_EQ(coir_yield(), 0);
    fds_put(pair.out, "x");
    coir_event_set(&event);
    CHECK_EQ(coir_join(reader, NULL, COIR_NEVER), 0);
    CHECK_EQ(coir_join(select, NULL, COIR_NEVER), 0);
    return 0;
}

/* proves: Z9, D1 */
TEST(test_an_event_that_finds_a_select_over_goes_to_the_next_reader)
{
    with_each_ownership(stale);
}

static int readable(void *arg)
{
    coir_case cases[] = {coir_case_wait(&event), coir_case_fd(pair.in, COIR_IN)};
    (void)arg;
    return coir_select(cases, 2, 0, coir_after(COIR_SEC(5)));
}

/* One event, of which each must learn. */
static int several(void *arg)
{
    enum { FIBERS = 20 };
    coir_fiber fibers[FIBERS];
    int results[FIBERS];
    own(arg);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(coir_spawn(&fibers[i], readable, NULL, NULL), 0);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    fds_put(pair.out, "x");
    CHECK_EQ(coir_join_all(fibers, FIBERS, results, COIR_NEVER), 0);
    for (int i = 0; i < FIBERS; i++)
        CHECK_EQ(results[i], 1);
    return 0;
}

/* proves: Z9, D1 */
TEST(test_a_descriptor_that_stays_ready_ends_all_selects)
{
    with_each_ownership(several);
}

/* ---- deadlines, cancels, closes ---- */

static int late(void *arg)
{
    own(arg);
    coir_case cases[] = {coir_case_wait(&event), coir_case_fd(pair.in, COIR_IN)};
    coir_time until = coir_after(COIR_MS(1));
    CHECK_EQ(coir_spawn(NULL, puts_late, NULL, NULL), 0);
    CHECK_EQ(coir_select(cases, 2, 0, until), COIR_TIMED_OUT);
    CHECK_EQ(coir_sleep(COIR_MS(3)), 0);
    CHECK_EQ(coir_select(cases, 2, 0, until), 1);
    return 0;
}

/* proves: Z9, T4 */
TEST(test_a_descriptor_that_is_ready_past_the_deadline_is_a_case_that_is_ready)
{
    with_each_ownership(late);
}

static int cancelled(void *arg)
{
    coir_fiber fiber;
    int result = 0;
    own(arg);
    CHECK_EQ(coir_spawn(&fiber, readable, NULL, NULL), 0);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_cancel(fiber, 0), 0);
    CHECK_EQ(coir_join(fiber, &result, COIR_NEVER), 0);
    CHECK_EQ(result, COIR_CANCELLED);
    fds_put(pair.out, "x");
    return reads_one(NULL);
}

/* proves: Z9, Z3 */
TEST(test_a_cancelled_select_leaves_the_descriptor_alone)
{
    with_each_ownership(cancelled);
}

static int closed(void *arg)
{
    int error = 0;
    (void)arg;
    coir_case cases[] = {coir_case_wait(&event), coir_case_fd(pair.in, COIR_IN)};
    CHECK_EQ(coir_select(cases, 2, 0, COIR_NEVER), 1);
    error = cases[1].result;
    CHECK_EQ(error, -EBADF);
    CHECK_EQ(coir_select(cases, 2, 0, COIR_NEVER), 1);
    CHECK_EQ(cases[1].result, -EBADF);
    return 0;
}

static int closes(void *arg)
{
    coir_fiber fiber;
    own(arg);
    CHECK_EQ(coir_spawn(&fiber, closed, NULL, NULL), 0);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    CHECK_EQ(coir_close(pair.in), 0);
    CHECK_EQ(coir_join(fiber, NULL, COIR_NEVER), 0);
    return 0;
}

/* proves: Z9 */
TEST(test_a_descriptor_that_is_closed_ends_the_select_with_its_case)
{
    with_each_ownership(closes);
}

/* ---- wrong ones ---- */

static int wrong(void *arg)
{
    (void)arg;
    coir_case cases[] = {coir_case_wait(&event), coir_case_fd(-1, COIR_IN)};
    CHECK_EQ(coir_select(cases, 2, 0, COIR_NEVER), 1);
    CHECK_EQ(cases[1].result, -EBADF);
    cases[1] = coir_case_fd(4000, COIR_OUT);
    CHECK_EQ(coir_select(cases, 2, 0, COIR_NEVER), 1);
    CHECK_EQ(cases[1].result, -EBADF);
    static const int DIRECTIONS[] = {0, COIR_HUP, COIR_IN | COIR_OUT, -1, 1 << 8 | COIR_IN};
    for (size_t i = 0; i < sizeof DIRECTIONS / sizeof *DIRECTIONS; i++) {
        cases[1] = coir_case_fd(pair.in, DIRECTIONS[i]);
        CHECK_EQ(coir_select(cases, 2, 0, COIR_NEVER), 1);
        CHECK_EQ(cases[1].result, -EINVAL);
    }
    return 0;
}

/* proves: Z9 */
TEST(test_wrong_descriptors_and_directions_are_errors_of_their_case)
{
    with_each_ownership(wrong);
}

static int reads_file(void *arg)
{
    (void)arg;
    const char *path = test_path("file");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    coir_case cases[] = {coir_case_wait(&event), coir_case_fd(fd, COIR_IN)};
    CHECK_EQ(coir_select(cases, 2, 0, COIR_NEVER), 1);
    CHECK_EQ(cases[1].result, COIR_IN);
    return coir_close(fd);
}

/* proves: Z9 */
TEST(test_a_file_is_always_ready)
{
    run_monotonic(reads_file, NULL);
}

/* ---- what the scheduler knows of it ---- */

static int stuck(void *arg)
{
    uint64_t item = 0;
    (void)arg;
    coir_chan_open(&chan, 8, 0);
    coir_case cases[] = {coir_case_wait(&event), coir_case_send(&chan, &item)};
    int result = coir_select(cases, 2, 0, COIR_NEVER);
    CHECK_EQ(result, COIR_CANCELLED);
    return 0;
}

/* proves: E2 */
TEST(test_a_select_that_nobody_can_end_is_a_deadlock_and_says_what_it_waits_for)
{
    CHECK_EQ(run_as(stuck, NULL, COIR_CLOCK_MONOTONIC, NULL), -EDEADLK);
    CHECK(strstr(run_report, "waits for an event, or a receiver, or room in a channel"));
}
