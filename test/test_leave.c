/* Forks, execs and ends of threads while a scheduler lives: the parent is unharmed, the child is
 * refused until it makes a scheduler of its own, nothing is inherited by a program. */
#include "run.h"

#include <coir_io.h>
#include <coir_local.h>
#include <fcntl.h>
#include <pthread.h>

static int ends[2];
static coir_scope left_open; /* by the fiber that forks */

static int wait_for_byte(void *arg)
{
    (void)arg;
    char byte;
    CHECK_EQ(coir_read(ends[0], &byte, 1, COIR_NEVER), 1);
    CHECK_EQ(coir_read(ends[0], &byte, 1, COIR_NEVER), 1);
    return byte;
}

static int park(void *arg)
{
    return coir_park(arg ? COIR_TRY : COIR_NEVER);
}

static int nothing(void *arg)
{
    (void)arg;
    return 9;
}

/* Every call, in a forked child; the number of the first that is not refused. */
static int all_are_refused(void)
{
    static const coir_local KEY = {0};
    const coir_fiber fiber = {1, 1, 1};
    char byte;
    coir_scope scope;
    struct coir_spawn_opts opts = {.scope = &left_open, .inherit = true};
    struct coir_stats stats = {.spawned = 1};
    int call = 0;
#define REFUSED(expression)                                                                        \
    if (call++, (expression) != -ECHILD)                                                           \
    return call
    REFUSED(coir_yield());
    REFUSED(coir_sleep(1));
    REFUSED(coir_park(COIR_NEVER));
    REFUSED(coir_wake(fiber));
    REFUSED(coir_cancel(fiber, COIR_CANCELLED));
    REFUSED(coir_join(fiber, NULL, COIR_NEVER));
    REFUSED(coir_join_all(&fiber, 1, NULL, COIR_NEVER));
    REFUSED(coir_join_any(&fiber, 1, NULL, COIR_NEVER));
    REFUSED(coir_race(&fiber, 1, NULL, COIR_NEVER));
    REFUSED(coir_spawn(NULL, nothing, NULL, NULL));
    REFUSED(coir_spawn(NULL, nothing, NULL, &opts));
    coir_scope_open(&scope, COIR_NEVER, 0);
    coir_scope_leave(&scope);
    REFUSED(coir_scope_cancel(&left_open, COIR_CANCELLED));
    REFUSED(coir_scope_end(&left_open, 0));
    REFUSED(coir_local_set(&KEY, &byte));
    REFUSED(coir_wait_fd(ends[0], COIR_IN, COIR_NEVER));
    REFUSED(coir_read(ends[0], &byte, 1, COIR_NEVER));
    REFUSED(coir_write(ends[1], "x", 1, COIR_NEVER));
    REFUSED(coir_adopt(ends[0]));
    REFUSED(coir_close(ends[0]));
#undef REFUSED
    coir_stats(&stats);
    coir_dump(STDERR_FILENO);
    bool quiet = stats.spawned == 0 && !coir_local_get(&KEY);
    quiet &= coir_now().ns == COIR_TRY.ns && coir_after(5).ns == COIR_TRY.ns;
    return quiet && coir_self().sched == 0 && coir_name()[0] == '\0' ? 0 : 99;
}

static int exit_status_of(pid_t child)
{
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Ends well, so that its end, early or late, stops nobody. */
static int park_out(void *arg)
{
    return coir_park(*(coir_time *)arg) == COIR_TIMED_OUT ? 0 : 1;
}

static int fork_and_look(void *arg)
{
    (void)arg;
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(coir_adopt(ends[0]), 0);
    coir_time until = coir_after(COIR_MS(30));
    coir_scope_open(&left_open, coir_after(COIR_SEC(60)), 0);
    coir_fiber reader = run_spawn(wait_for_byte, NULL), parked = run_spawn(park, NULL);
    coir_fiber timed = run_spawn(park_out, &until);
    coir_yield();
    CHECK_EQ(write(ends[1], "a", 1), 1);
    coir_sleep(1);
    pid_t child = fork();
    if (child == 0) {
        int result = 0;
        int refused = all_are_refused();
        bool own = coir_run(nothing, NULL, NULL, &result) == 0 && result == 9;
        _exit(refused ? refused : own ? 0 : 50);
    }
    CHECK_EQ(exit_status_of(child), 0);
    CHECK_EQ(write(ends[1], "b", 1), 1);
    CHECK_EQ(run_join(reader), 'b');
    CHECK_EQ(run_join(timed), 0);
    CHECK_EQ(coir_scope_cancel(&left_open, COIR_CANCELLED), 0);
    CHECK_EQ(coir_scope_end(&left_open, 0), COIR_CANCELLED);
    CHECK_EQ(coir_join(parked, NULL, COIR_NEVER), -ESRCH);
    return 0;
}

/* proves: L1, L2 */
TEST(test_a_fork_in_a_fiber_leaves_the_parents_waits_alone)
{
    run_monotonic(fork_and_look, NULL);
}

static int return_from_fork(void *arg)
{
    (void)arg;
    pid_t child = fork();
    if (child == 0)
        return 0;
    return exit_status_of(child) == 128 + SIGABRT ? 0 : 1;
}

/* proves: L1 */
TEST(test_a_forked_child_that_returns_from_its_fiber_stops)
{
    run_monotonic(return_from_fork, NULL);
}

/* proves: L1 */
TEST(test_a_child_may_free_its_parents_scheduler_without_effect)
{
    coir_sched *sched;
    struct coir_sched_opts opts = {.report = run_report_line};
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    coir_fiber reader = run_spawn(wait_for_byte, NULL);
    CHECK_EQ(coir_adopt(ends[0]), 0);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    pid_t child = fork();
    if (child == 0) {
        bool refused = coir_sched_run(sched) == -ECHILD && coir_sched_step(sched, 0) == -ECHILD;
        coir_sched_free(sched);
        bool quiet = !*run_report; /* about fibers that did not end */
        _exit(refused && quiet && coir_sched_deadline(sched).ns == COIR_NEVER.ns ? 0 : 1);
    }
    CHECK_EQ(exit_status_of(child), 0);
    CHECK_EQ(write(ends[1], "ab", 2), 2);
    CHECK_EQ(coir_sched_run(sched), 0);
    int result = 0;
    CHECK_EQ(coir_join(reader, &result, COIR_TRY), 0);
    CHECK_EQ(result, 'b');
    coir_sched_free(sched);
}

static int exec_and_count(void *arg)
{
    (void)arg;
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    CHECK_EQ(coir_wait_fd(ends[0], COIR_IN, coir_after(1000)), COIR_TIMED_OUT);
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "for f in /proc/$$/fd/*; do readlink $f; done | "
                                     "grep -c -e eventpoll && exit 1 || exit 0", (char *)NULL);
        _exit(2);
    }
    return exit_status_of(child);
}

/* proves: L3 */
TEST(test_an_execed_program_inherits_no_descriptor_of_coirs)
{
    if (access("/bin/sh", X_OK) != 0)
        SKIP("there is no /bin/sh to exec");
    run_monotonic(exec_and_count, NULL);
}

static int note_end(void *arg)
{
    int *ended = arg;
    CHECK_EQ(coir_park(COIR_NEVER), COIR_CANCELLED);
    ++*ended;
    return 0;
}

static void *leave_a_scheduler(void *arg)
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    run_spawn(note_end, arg);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    return NULL;
}

/* proves: L4 */
TEST(test_a_thread_that_ends_frees_its_scheduler)
{
    pthread_t thread;
    int ended = 0;
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(pthread_create(&thread, NULL, leave_a_scheduler, &ended), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_EQ(ended, i);
    }
}

static int exit_with_three(void *arg)
{
    (void)arg;
    exit(3);
}

/* proves: L4 */
TEST_EXITS(test_a_fiber_may_exit_the_program, 3, "")
{
    run_monotonic(exit_with_three, NULL);
}
