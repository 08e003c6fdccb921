/* The harness must notice what goes wrong: each test here runs the harness on a test that is bad in
 * one way, in a process of its own, and reads what it reports. */
#define TEST_AT_ONCE 3
#define TEST_SECONDS 30
#include "test.h"

static char report[8192];

/* Runs the harness on the given tests alone; its report is left in `report`. Returns its status. */
static int harness_run_all(struct test *bad, int count)
{
    FILE *out = tmpfile();
    CHECK(out);
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(fileno(out), STDOUT_FILENO);
        test_first = NULL;
        test_last = &test_first;
        for (int i = 0; i < count; i++)
            test_add(&bad[i]);
        exit(test_run_all(""));
    }
    int wait_status;
    CHECK_EQ(waitpid(child, &wait_status, 0), child);
    rewind(out);
    report[fread(report, 1, sizeof report - 1, out)] = '\0';
    fclose(out);
    CHECK(WIFEXITED(wait_status));
    return WEXITSTATUS(wait_status);
}

static int harness_run(struct test bad)
{
    return harness_run_all(&bad, 1);
}

static void check_reported(int status, const char *line, const char *totals)
{
    fputs(report, stdout);
    CHECK(strstr(report, line));
    CHECK(strstr(report, totals));
    CHECK_EQ(status, strstr(totals, " 0 failed") ? 0 : 1);
}

static void body_empty(void)
{
}

static void body_note(void)
{
    printf("so far\nnote: seven of them\nand more\n");
}

static void body_check(void)
{
    printf("before the check\n");
    CHECK(1 + 1 == 3);
}

static void body_check_eq(void)
{
    CHECK_EQ(2 + 2, 5);
}

static void body_check_str(void)
{
    const char *got = "yes";
    CHECK_STR(got, "no");
}

static void body_hang(void)
{
    for (;;)
        pause();
}

static void body_compute(void)
{
    for (volatile unsigned turns = 0;; turns++)
        continue;
}

/* A test's own child that computes forever is noticed by its test. */
static void body_child_computes(void)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        body_compute();
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

/* More than the limit passes, of which little is its own. */
static void body_wait(void)
{
    nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
}

static void body_abort(void)
{
    fputs("the last words\n", stderr);
    abort();
}

static void body_kill(void)
{
    raise(SIGKILL);
}

static void body_exit_3(void)
{
    exit(3);
}

static void body_skip(void)
{
    printf("some output first\n");
    SKIP("no such thing here");
}

/* A descendant that outlives its test must not outlive the harness's look at it. */
static void body_orphan(void)
{
    pid_t orphan = fork();
    if (orphan == 0)
        for (;;)
            pause();
    printf("orphan %ld\n", (long)orphan);
    CHECK(false);
}

TEST(test_harness_passes_an_empty_test)
{
    int status = harness_run((struct test){.name = "empty", .body = body_empty});
    check_reported(status, "ok empty\n", "1 passed, 0 failed, 0 skipped\n");
}

TEST(test_harness_hides_what_a_passing_test_prints)
{
    int status =
        harness_run((struct test){.name = "exit", .body = body_exit_3, .status = 3});
    check_reported(status, "ok exit\n", "1 passed, 0 failed, 0 skipped\n");
    CHECK_STR(report, "ok exit\n1 passed, 0 failed, 0 skipped\n");
}

TEST(test_harness_shows_the_note_of_a_passing_test)
{
    int status = harness_run((struct test){.name = "note", .body = body_note});
    check_reported(status, "ok note: seven of them\n", "1 passed, 0 failed, 0 skipped\n");
}

TEST(test_harness_notices_a_failing_check_and_shows_the_output)
{
    int status = harness_run((struct test){.name = "bad", .body = body_check});
    check_reported(status, "FAIL bad: exit status 1\n", "0 passed, 1 failed, 0 skipped\n");
    CHECK(strstr(report, "    before the check\n"));
    CHECK(strstr(report, "CHECK(1 + 1 == 3) does not hold\n"));
}

TEST(test_harness_prints_both_values_of_check_eq)
{
    int status = harness_run((struct test){.name = "bad", .body = body_check_eq});
    check_reported(status, "CHECK_EQ(2 + 2, 5): 4 == 5 does not hold", "0 passed, 1 failed");
}

TEST(test_harness_prints_both_strings_of_check_str)
{
    int status = harness_run((struct test){.name = "bad", .body = body_check_str});
    check_reported(status, "\"yes\" == \"no\" does not hold", "0 passed, 1 failed");
}

TEST(test_harness_notices_a_crash)
{
    int status = harness_run((struct test){.name = "bad", .body = body_kill});
    check_reported(status, "FAIL bad: died of signal 9", "0 passed, 1 failed");
}

TEST(test_harness_notices_a_test_that_hangs)
{
    int status = harness_run((struct test){.name = "bad", .body = body_hang, .patience = 1});
    check_reported(status, "FAIL bad: not done after 1 s\n", "0 passed, 1 failed");
}

TEST(test_harness_notices_a_test_that_computes_for_ever)
{
    unsetenv("COIR_TEST_SLOW");
    struct test bad = {.name = "bad", .body = body_compute, .seconds = 1, .patience = 200};
    int status = harness_run(bad);
    check_reported(status, "FAIL bad: not done after 1 s of processor time\n",
                   "0 passed, 1 failed");
}

TEST(test_harness_notices_a_child_of_a_test_that_computes_for_ever)
{
    unsetenv("COIR_TEST_SLOW");
    struct test bad = {.name = "bad", .body = body_child_computes, .seconds = 1, .patience = 200};
    int status = harness_run(bad);
    check_reported(status, "FAIL bad: exit status 1\n", "0 passed, 1 failed");
}

TEST(test_harness_lets_a_test_wait_for_longer_than_it_may_compute)
{
    unsetenv("COIR_TEST_SLOW");
    struct test waits = {.name = "waits", .body = body_wait, .seconds = 1, .patience = 200};
    int status = harness_run(waits);
    check_reported(status, "ok waits\n", "1 passed, 0 failed");
}

TEST(test_harness_accepts_the_expected_signal_and_text)
{
    int status = harness_run((struct test){
        .name = "dies", .body = body_abort, .signal = SIGABRT, .output = "last words"});
    check_reported(status, "ok dies\n", "1 passed, 0 failed, 0 skipped\n");
}

TEST(test_harness_notices_the_wrong_signal)
{
    int status =
        harness_run((struct test){.name = "bad", .body = body_kill, .signal = SIGABRT});
    check_reported(status, "FAIL bad: died of signal 9", "0 passed, 1 failed");
}

TEST(test_harness_notices_a_missing_signal)
{
    int status =
        harness_run((struct test){.name = "bad", .body = body_empty, .signal = SIGABRT});
    check_reported(status, "FAIL bad: exit status 0 instead of signal 6", "0 passed, 1 failed");
}

TEST(test_harness_notices_missing_text)
{
    int status = harness_run((struct test){
        .name = "bad", .body = body_abort, .signal = SIGABRT, .output = "other words"});
    check_reported(status, "FAIL bad: did not print \"other words\"", "0 passed, 1 failed");
}

TEST(test_harness_notices_the_wrong_exit_status)
{
    int status = harness_run((struct test){.name = "bad", .body = body_exit_3});
    check_reported(status, "FAIL bad: exit status 3\n", "0 passed, 1 failed");
}

TEST(test_harness_notices_that_a_known_failure_passes)
{
    int status = harness_run(
        (struct test){.name = "bad", .body = body_empty, .fails = "the moon is full"});
    check_reported(status, "FAIL bad: passed, though known to fail: the moon is full\n",
                   "0 passed, 1 failed");
}

TEST(test_harness_accepts_a_known_failure)
{
    int status = harness_run(
        (struct test){.name = "known", .body = body_check, .fails = "the moon is full"});
    check_reported(status, "ok known (known to fail: the moon is full)\n", "1 passed, 0 failed");
}

TEST(test_harness_reports_a_skip_with_its_reason)
{
    int status = harness_run((struct test){.name = "skips", .body = body_skip});
    check_reported(status, "skip skips: no such thing here\n", "0 passed, 0 failed, 1 skipped\n");
}

TEST(test_harness_kills_what_a_test_leaves_running)
{
    harness_run((struct test){.name = "bad", .body = body_orphan});
    const char *line = strstr(report, "orphan ");
    CHECK(line);
    pid_t orphan = (pid_t)strtol(line + strlen("orphan "), NULL, 10);
    CHECK(orphan > 0);
    /* Killed, it may wait a moment, or as a zombie of an idle init forever, to be collected. */
    char path[64], state[512] = "gone";
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)orphan);
    for (int tries = 0; tries < 100; tries++) {
        FILE *stat = fopen(path, "r");
        if (!stat)
            return;
        state[fread(state, 1, sizeof state - 1, stat)] = '\0';
        fclose(stat);
        if (strstr(state, ") Z "))
            return;
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    CHECK_STR(state, "gone");
}

static void body_slow(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 200 * 1000 * 1000}, NULL);
}

TEST(test_harness_tells_of_tests_that_run_at_once_in_their_order)
{
    struct test bad[] = {{.name = "first", .body = body_slow},
                         {.name = "second", .body = body_hang, .patience = 1},
                         {.name = "third", .body = body_empty},
                         {.name = "fourth", .body = body_check}};
    check_reported(harness_run_all(bad, 4), "ok first\nFAIL second: not done after 1",
                   "2 passed, 2 failed, 0 skipped");
    CHECK(strstr(strstr(report, "ok third\n"), "FAIL fourth: exit status 1\n"));
}

TEST(test_harness_runs_tests_in_the_order_they_are_written)
{
    CHECK_STR(test_first->name, "test_harness_passes_an_empty_test");
    CHECK_STR(test_first->next->name, "test_harness_hides_what_a_passing_test_prints");
}
