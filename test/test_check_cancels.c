/* coir_check_cancels: what it finds, and what it finds nothing in: coir's own parts, cancelled at
 * each of their switches. */
#include "serve.h"

#include <coir_test.h>

#ifdef __GLIBC__
enum { IS_GLIBC = true };
#else
enum { IS_GLIBC = false };
#endif

static struct coir_sched_opts quiet = {.report = run_report_line};

/* ---- what it finds */

static int leaks_when_cancelled_late(void *arg)
{
    int fd = coir_dup(*(int *)arg);
    int result = coir_sleep(COIR_MS(1));
    if (result < 0)
        return result; /* a leak */
    result = coir_sleep(COIR_MS(1));
    coir_close(fd);
    return result;
}

static int cleans_up(void *arg)
{
    int fd = coir_dup(*(int *)arg);
    int result = coir_sleep(COIR_MS(1));
    if (result == 0)
        result = coir_sleep(COIR_MS(1));
    coir_close(fd);
    return result;
}

static void *volatile kept[64];
static int kept_count;

static int keeps_memory(void *arg)
{
    int result = coir_sleep(COIR_MS(1));
    if (result < 0 && kept_count < 64 && arg)
        kept[kept_count++] = malloc(1000);
    return result;
}

static int keeps_memory_at_its_end(void *arg)
{
    int result = coir_sleep(COIR_MS(1));
    (void)arg;
    if (result == 0 && kept_count < 64)
        kept[kept_count++] = malloc(1000);
    return result;
}

static int does_not_end(void *arg)
{
    int result = coir_sleep(COIR_MS(1));
    while (result < 0)
        result = arg ? coir_yield() : 0;
    return 0;
}

/* proves: K1 */
TEST(test_check_cancels_finds_what_is_left_behind_and_where)
{
    int fd = STDERR_FILENO, points = 0;
    CHECK_EQ(coir_check_cancels(leaks_when_cancelled_late, &fd, &quiet, &points), 2);
    CHECK(points >= 3);
    CHECK(strstr(run_report,
                 "coir: cancelled at switch 0 (it is ready): 1 descriptors more are open\n"));
    CHECK(strstr(run_report, "(it waits for its sleep to end)"));
    run_report[0] = '\0';
    CHECK_EQ(coir_check_cancels(cleans_up, &fd, &quiet, &points), 0);
    CHECK(points >= 3);
    CHECK_STR(run_report, "");
    CHECK(coir_check_cancels(does_not_end, &fd, &quiet, NULL) > 0);
    CHECK(strstr(run_report, "it does not end"));
}

/* proves: K1 */
TEST(test_check_cancels_finds_memory_that_is_kept)
{
    if (!IS_GLIBC || CR_SAN_ADDRESS)
        SKIP("this C library does not tell how much memory is in use");
    test_skip_under_valgrind();
    CHECK(coir_check_cancels(keeps_memory, &kept_count, &quiet, NULL) > 0);
    CHECK(strstr(run_report, "bytes more are allocated"));
    CHECK(!strstr(run_report, "not cancelled"));
    run_report[0] = '\0';
    CHECK_EQ(coir_check_cancels(keeps_memory_at_its_end, NULL, &quiet, NULL), 1);
    CHECK(strstr(run_report, "coir: not cancelled: "));
}

/* proves: K1 */
TEST(test_check_cancels_needs_a_thread_without_a_scheduler)
{
    coir_sched *sched;
    int fd = 0, points = 5;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_check_cancels(cleans_up, &fd, NULL, &points), -EBUSY);
    CHECK_EQ(points, 0);
    coir_sched_free(sched);
}

/* ---- coir's own parts */

static int talk_by_lines(int fd, void *arg)
{
    char in_memory[256], out_memory[256], *line;
    coir_reader in;
    coir_writer out;
    (void)arg;
    coir_reader_init(&in, fd, in_memory, sizeof in_memory);
    coir_writer_init(&out, fd, out_memory, sizeof out_memory);
    ssize_t got;
    while ((got = coir_reader_await(&in, COIR_NEVER)) > 0 &&
           (got = coir_reader_line(&in, &line, COIR_NEVER)) > 0) {
        coir_writer_print(&out, COIR_NEVER, "%s, too\n", line);
        if ((got = coir_writer_flush(&out, COIR_NEVER)) < 0)
            break;
    }
    return (int)got;
}

static int client(void *arg)
{
    char memory[256], *line;
    coir_reader in;
    int fd = coir_net_dial(arg, NULL, COIR_NEVER);
    if (fd < 0)
        return fd;
    ssize_t result = coir_write_all(fd, "hello\nworld\n", 12, NULL, COIR_NEVER);
    coir_reader_init(&in, fd, memory, sizeof memory);
    for (int i = 0; result >= 0 && i < 2; i++)
        result = coir_reader_line(&in, &line, COIR_NEVER);
    coir_close(fd);
    return result < 0 ? (int)result : 0;
}

static int serves(void *arg)
{
    int listener = *(int *)arg;
    struct coir_serve_opts opts = {.grace_ns = COIR_MS(5)};
    return coir_net_serve(listener, talk_by_lines, NULL, &opts);
}

static int server_and_clients(void *arg)
{
    char text[COIR_ADDR_TEXT];
    coir_addr addr;
    coir_scope scope;
    (void)arg;
    int listener = coir_net_listen("127.0.0.1:0", NULL);
    if (listener < 0)
        return listener;
    coir_scope_open(&scope, COIR_NEVER, 0);
    struct coir_spawn_opts daemon = {.daemon = true};
    int result = coir_net_local(listener, &addr);
    if (result == 0)
        result = coir_addr_text(&addr, text, sizeof text) < 0 ? -EINVAL : 0;
    if (result == 0)
        result = coir_spawn(NULL, serves, &listener, &daemon);
    for (int i = 0; result == 0 && i < 3; i++)
        result = coir_spawn(NULL, client, text, NULL);
    result = coir_scope_end(&scope, result);
    coir_close(listener);
    return result;
}

/* proves: K1, N3, N7, N11 */
TEST(test_check_cancels_finds_nothing_in_serving_dialling_reading_and_writing)
{
    int points = 0;
    CHECK_EQ(coir_check_cancels(server_and_clients, NULL, &quiet, &points), 0);
    CHECK_STR(run_report, "");
    CHECK(points > 20);
    printf("\nnote: cancelled at %d switches\n", points);
}

static int sleeps(void *arg)
{
    int slept = coir_sleep(COIR_MS(*(int *)arg));
    return slept < 0 ? slept : *(int *)arg;
}

static int races_and_scopes(void *arg)
{
    static int lengths[] = {1, 2, 3, 4};
    struct coir_racer racers[3];
    coir_fiber fibers[2];
    int results[3];
    coir_scope scope, shield;
    (void)arg;
    for (int i = 0; i < 3; i++)
        racers[i] = (struct coir_racer){sleeps, &lengths[i], COIR_MS(i)};
    int result = coir_race_run(racers, 3, results, COIR_NEVER);
    if (result < 0)
        return result;
    coir_scope_open(&scope, coir_after(COIR_MS(50)), 0);
    for (int i = 0; result >= 0 && i < 2; i++)
        result = coir_spawn(&fibers[i], sleeps, &lengths[i], NULL);
    if (result >= 0)
        result = coir_join_all(fibers, 2, results, COIR_NEVER);
    coir_scope_open(&shield, coir_after(COIR_MS(5)), COIR_SHIELD);
    int slept = coir_sleep(COIR_MS(1));
    slept = coir_scope_end(&shield, slept);
    return coir_scope_end(&scope, result < 0 ? result : slept);
}

/* proves: K1, C1, C8, R1 */
TEST(test_check_cancels_finds_nothing_in_races_joins_scopes_and_shields)
{
    int points = 0;
    CHECK_EQ(coir_check_cancels(races_and_scopes, NULL, &quiet, &points), 0);
    CHECK_STR(run_report, "");
    CHECK(points > 10);
}
