/* Reports and dumps reach whoever reads them, whole, and do no harm to who shows them. */
#include "fds.h"

#include <coir_local.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>

enum { MANY = 3000, PIPE_BYTES = 64 * 1024 };

static int ends[2];

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int wait_for_ever(void *arg)
{
    (void)arg;
    return coir_park(COIR_NEVER);
}

static int sleep_long(void *arg)
{
    (void)arg;
    int result = coir_sleep(COIR_SEC(1000));
    return result == COIR_CANCELLED ? 0 : result;
}

static long count_lines(const char *text, ssize_t size)
{
    long lines = 0;
    for (ssize_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    return lines;
}

/* ---- a dump that finds no room ---- */

static int read_lines(void *arg)
{
    long *lines = arg;
    char text[1000];
    ssize_t got;
    while ((got = coir_read(ends[0], text, sizeof text, COIR_NEVER)) > 0)
        *lines += count_lines(text, got);
    return (int)got;
}

static int dump_to_a_fiber(void *arg)
{
    bool foreign = arg;
    long lines = 0;
    CHECK_EQ(foreign ? pipe(ends) : coir_pipe(ends), 0);
    coir_fiber reader = run_spawn(read_lines, &lines);
    COIR_SCOPE(scope, COIR_NEVER, 0);
    for (int i = 0; i < MANY; i++)
        run_spawn(sleep_long, NULL);
    coir_sleep(1);
    CHECK_EQ(coir_dump(ends[1]), 0);
    coir_close(ends[1]);
    CHECK_EQ(run_join(reader), 0);
    coir_close(ends[0]);
    CHECK_EQ(lines, MANY + 2);
    CHECK_EQ(coir_scope_cancel(&scope, 0), 0);
    return coir_scope_end(&scope, 0);
}

/* proves: F6 */
TEST(test_regress_a_dump_into_a_full_pipe_lost_its_end)
{
    run_virtual(dump_to_a_fiber, NULL);
}

/* proves: F6 */
TEST(test_a_dump_into_a_blocking_pipe_that_a_fiber_reads_ends)
{
    run_virtual(dump_to_a_fiber, ends);
}

static void *read_slowly(void *arg)
{
    long *lines = arg;
    char text[4000];
    ssize_t got;
    while ((got = read(ends[0], text, sizeof text)) > 0) {
        *lines += count_lines(text, got);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return NULL;
}

static void make_pipe_without_blocking(void)
{
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
#ifdef F_SETPIPE_SZ
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES) > 0); /* as a pipe of many pages it holds all */
#endif
}

static int park_many(void *arg)
{
    for (int i = 0; i < MANY; i++)
        run_spawn(sleep_long, NULL);
    return coir_park(arg ? COIR_NEVER : coir_after(1));
}

/* proves: F6 */
TEST(test_a_dump_outside_fibers_waits_for_a_slow_reader)
{
    coir_sched *sched;
    pthread_t thread;
    long lines = 0;
    make_pipe_without_blocking();
    CHECK_EQ(pthread_create(&thread, NULL, read_slowly, &lines), 0);
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_spawn(NULL, park_many, ends, NULL), 0);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_READY);
    CHECK_EQ(coir_dump(ends[1]), 0);
    close(ends[1]);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(lines, MANY + 1);
    coir_sched_free(sched);
}

/* proves: F6 */
TEST(test_a_dump_that_nobody_reads_says_so)
{
    coir_sched *sched;
    make_pipe_without_blocking();
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_spawn(NULL, park_many, ends, NULL), 0);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_READY);
    CHECK_EQ(coir_dump(ends[1]), -EAGAIN);
    CHECK_EQ(coir_dump(-1), -EBADF);
    close(ends[0]);
    CHECK_EQ(coir_dump(ends[1]), -EPIPE);
    coir_sched_free(sched);
}

static int dump_when_cancelled(void *arg)
{
    char text[200] = "";
    struct fds_pair pipe = fds_pipe(O_NONBLOCK);
    CHECK_EQ(coir_cancel(coir_self(), 0), 0);
    CHECK_EQ(coir_dump(pipe.out), 0);
    CHECK(read(pipe.in, text, sizeof text - 1) > 0);
    CHECK_STR(text, "  fiber 0 is running\n");
    CHECK_EQ(close(pipe.in), 0);
    CHECK_EQ(close(pipe.out), 0);
    return arg ? 1 : 0;
}

/* proves: F6 */
TEST(test_a_cancelled_fiber_may_dump)
{
    run_virtual(dump_when_cancelled, NULL);
}

static int deadlock(void *arg)
{
    for (int i = 0; i < 900; i++)
        CHECK_EQ(coir_spawn(NULL, wait_for_ever, NULL,
                            &(struct coir_spawn_opts){.name = "who waits for nothing"}), 0);
    return coir_park(arg ? COIR_TRY : COIR_NEVER);
}

/* proves: F6, E2 */
TEST(test_a_report_to_a_standard_error_that_does_not_block_is_whole)
{
    pthread_t thread;
    long lines = 0;
    int before = dup(STDERR_FILENO);
    make_pipe_without_blocking();
    CHECK_EQ(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    CHECK_EQ(close(ends[1]), 0);
    CHECK_EQ(pthread_create(&thread, NULL, read_slowly, &lines), 0);
    int result = coir_run(deadlock, NULL, NULL, NULL);
    CHECK_EQ(dup2(before, STDERR_FILENO), STDERR_FILENO);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(result, -EDEADLK);
    CHECK_EQ(lines, 902);
}

/* ---- a fiber that does not end ---- */

static int calls_left;

static int is_deaf(void *arg)
{
    (void)arg;
    while (calls_left-- > 0)
        coir_sleep(COIR_SEC(1));
    return 0;
}

static int end_over_a_deaf_fiber(void *arg)
{
    (void)arg;
    coir_scope scope;
    coir_scope_open(&scope, coir_after(COIR_MS(1)), 0);
    CHECK_EQ(coir_spawn(NULL, is_deaf, NULL, &(struct coir_spawn_opts){.name = "deaf"}), 0);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    return 0;
}

/* proves: E10 */
TEST(test_regress_a_fiber_that_did_not_end_though_cancelled_was_not_told)
{
    static const char LINE[] = "coir: fiber 1 'deaf' is cancelled, but does not end: 10000 of its "
                               "calls have returned COIR_CANCELLED\n";
    calls_left = 25001;
    CHECK_EQ(run_as(end_over_a_deaf_fiber, NULL, COIR_CLOCK_VIRTUAL, NULL), 0);
    CHECK_STR(run_report, LINE);
    run_report[0] = '\0';
    calls_left = 10000;
    run_virtual(end_over_a_deaf_fiber, NULL);
}

static int is_refused_in_a_scope(void *arg)
{
    COIR_SCOPE(scope, COIR_NEVER, 0);
    CHECK_EQ(coir_scope_cancel(&scope, 0), 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(coir_sleep(1), COIR_CANCELLED);
    return arg ? 1 : 0;
}

static int many_are_refused(void *arg)
{
    for (int i = 0; i < 300; i++)
        CHECK_EQ(run_join(run_spawn(is_refused_in_a_scope, arg)), 0);
    return 0;
}

/* proves: E10 */
TEST(test_the_refusals_of_one_fiber_are_not_those_of_the_next)
{
    run_virtual(many_are_refused, NULL);
}

/* ---- names ---- */

static const struct {
    const char *given, *kept;
} NAMES[] = {
    {"", ""},
    {"plain name", "plain name"},
    {"one\ntwo\r\t\x01\x1b[31m", "one?two????[31m"},
    {"\x7f", "?"},
    {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x99", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x99"},
    {"\xc2\x9b" "31m\x9b" "1m", "??31m?1m"},       /* controls of the upper half */
    {"\xe0\x82\x9b" "x\xf0\x80\x82\x9b", "???x????"}, /* the same, written too long */
    {"\xc2\xa0\xff\xc3", "\xc2\xa0??"},
    {"1234567890123456789012345", "12345678901234567890123"},
    {"123456789012345678901\xe2\x82\xac", "123456789012345678901"}, /* not cut in the middle */
    {"1234567890123456789012\xff\xff", "1234567890123456789012?"},
};

static int see_name(void *arg)
{
    CHECK_STR(coir_name(), arg);
    return 0;
}

static int see_names(void *arg)
{
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        CHECK_EQ(coir_spawn(NULL, see_name, (void *)(uintptr_t)NAMES[i].kept,
                            &(struct coir_spawn_opts){.name = NAMES[i].given}), 0);
    return arg ? 1 : 0;
}

/* proves: F6 */
TEST(test_a_name_is_text_that_a_terminal_may_show)
{
    run_virtual(see_names, NULL);
}

/* Each takes the place of the one before. */
static int see_names_in_turn(void *arg)
{
    static const char *const NAMES_IN_TURN[] = {"a long name", "ab", NULL, "abc", ""};
    for (size_t i = 0; i < sizeof NAMES_IN_TURN / sizeof *NAMES_IN_TURN; i++) {
        struct coir_spawn_opts opts = {.name = NAMES_IN_TURN[i]};
        coir_fiber fiber;
        CHECK_EQ(coir_spawn(&fiber, see_name, (void *)(uintptr_t)(opts.name ? opts.name : ""),
                            opts.name ? &opts : NULL), 0);
        CHECK_EQ(run_join(fiber), 0);
    }
    return arg ? 1 : 0;
}

/* proves: F6 */
TEST(test_a_name_is_that_of_no_earlier_fiber)
{
    run_virtual(see_names_in_turn, NULL);
}

/* ---- misuse ---- */

static void misuse_it(const char *line)
{
    fprintf(stderr, "hook: %.20s\n", line);
    coir_yield();
}

/* proves: F5 */
TEST_DIES(test_misuse_in_the_hook_of_misuse_is_one_more_line, SIGABRT,
          "hook: coir: coir_sleep: ca\ncoir: coir_yield: called outside a fiber")
{
    coir_on_fatal(misuse_it);
    coir_sleep(1);
}

/* proves: F5 */
TEST_DIES(test_misuse_is_told_where_children_are_nobodys, SIGABRT, "called outside a fiber")
{
    signal(SIGCHLD, SIG_IGN);
    coir_sleep(1);
}

/* ---- inherit, left by a jump ---- */

static jmp_buf before_spawn;
static int made, destroyed;

static void *jump_or_copy(void *value)
{
    if (++made % 3 == 0)
        longjmp(before_spawn, 1);
    return strdup(value);
}

static void count_and_free(void *value)
{
    destroyed++;
    free(value);
}

static const coir_local JUMPY[2] = {
    {.inherit = jump_or_copy, .destroy = count_and_free},
    {.inherit = jump_or_copy, .destroy = count_and_free},
};

static int spawn_and_jump(void *arg)
{
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_local_set(&JUMPY[i], strdup("value")), 0);
    for (volatile int i = 0; i < 6; i++)
        if (setjmp(before_spawn) == 0)
            CHECK_EQ(coir_spawn(NULL, nothing, NULL,
                                &(struct coir_spawn_opts){.inherit = true}), 0);
    return arg ? 1 : 0;
}

/* proves: F5, V1 */
TEST(test_what_a_jump_out_of_inherit_leaves_is_destroyed)
{
    run_virtual(spawn_and_jump, NULL);
    CHECK_EQ(made, 9);
    CHECK_EQ(destroyed, 2 + made - 3);
}
