/* Memory or descriptors that are gone for good: what is under way goes on, and what asks for more
 * gets an error, as often as it asks. */
#include "fault.h"

static int sleep_some(void *arg)
{
    return coir_sleep(*(int64_t *)arg);
}

static int spawn_to_the_end(void *arg)
{
    static int64_t length = 1000;
    coir_fiber fiber, early = run_spawn(sleep_some, &length);
    fault.no_memory = !arg;
    fault.no_mappings = arg;
    struct coir_stats before, after;
    int spawned = 0, result;
    while ((result = coir_spawn(&fiber, sleep_some, &length, NULL)) == 0)
        spawned++;
    CHECK_EQ(result, -ENOMEM);
    coir_stats(&before);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(coir_spawn(&fiber, sleep_some, &length, NULL), -ENOMEM);
    coir_stats(&after);
    CHECK_EQ(memcmp(&before, &after, sizeof before), 0);
    CHECK_EQ(after.spawned, spawned + 2);
    CHECK_EQ(run_join(early), 0);
    CHECK_EQ(coir_sleep(1), 0);
    return coir_spawn(&fiber, sleep_some, &length, NULL); /* on the stack of one that has ended */
}

/* proves: F1 */
TEST(test_fault_for_good_of_all_memory_leaves_the_fibers_that_are_there)
{
    fault.blocks = fault.mapped = 0;
    run_virtual(spawn_to_the_end, NULL);
    CHECK_EQ(fault.blocks, 0);
    CHECK_EQ(fault.mapped, 0);
}

/* So many that they are released with their guards, where the system can. */
static int spawn_crowds(void *arg)
{
    enum { CROWD = 4000 };
    static int64_t length = 1000;
    struct coir_spawn_opts opts = {.stack_size = 16 * 1024};
    coir_fiber fiber;
    for (int round = 0; round < 2; round++) {
        int spawned = 0, result = 0;
        for (int i = 0; i < CROWD; i++)
            CHECK_EQ(coir_spawn(&fiber, sleep_some, &length, &opts), 0);
        CHECK_EQ(coir_sleep(2 * length), 0);
        CHECK_EQ(coir_sleep(length), 0);
        bool is_bare = cr_stack_class(&cr_sched_here->stacks, 16 * 1024, false)->bare > 0;
        fault.no_guards = true;
        while (spawned < CROWD && result == 0) {
            result = coir_spawn(&fiber, sleep_some, &length, &opts);
            spawned += result == 0;
        }
        fault.no_guards = false;
        CHECK(is_bare ? result == -ENOMEM && spawned < CROWD / 2 : result == 0);
        CHECK_EQ(coir_sleep(2 * length), 0);
    }
    return arg ? 1 : 0;
}

/* proves: F1, S3, S5 */
TEST(test_fault_for_good_of_all_guards_is_an_error_of_a_spawn_that_has_to_make_one)
{
    run_virtual(spawn_crowds, NULL);
    CHECK_EQ(fault.mapped, 0);
}

static int spawn_twenty(void *arg)
{
    static int64_t length = 1;
    coir_fiber fiber;
    for (int i = 0; i < 20; i++)
        CHECK_EQ(FAULT_TRY(coir_spawn(&fiber, sleep_some, &length, NULL)), 0);
    return arg ? 1 : 0;
}

/* In a process of its own, because what the kernel can do is asked once: how many guards are made
 * by mprotect after the n-th call failed in an earlier run. */
static int guards_after(long n)
{
    int wait_status;
    pid_t child = fork();
    if (child == 0) {
        fault.left = n;
        CHECK_EQ(FAULT_TRY(coir_run(spawn_twenty, NULL, NULL, NULL)), 0);
        memset(&fault, 0, sizeof fault);
        run_virtual(spawn_twenty, NULL);
        _exit((int)fault.calls[FAULT_MPROTECT] + 100);
    }
    CHECK_EQ(waitpid(child, &wait_status, 0), child);
    CHECK(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) >= 100);
    return WEXITSTATUS(wait_status) - 100;
}

/* proves: F1 */
TEST(test_fault_that_passes_does_not_do_away_with_guard_markers_for_good)
{
    if (guards_after(0) > 0)
        SKIP("the kernel has no guard markers");
    for (long n = 1; n <= 40; n++)
        CHECK_EQ(guards_after(n), 0);
}

static int wait_in_or_time_out(void *arg)
{
    char byte;
    CHECK_EQ(coir_wait_fd(*(int *)arg, COIR_IN, coir_after(1000)), COIR_TIMED_OUT);
    CHECK_EQ(coir_read(*(int *)arg, &byte, 1, coir_after(1000)), COIR_TIMED_OUT);
    CHECK_EQ(coir_read(*(int *)arg, &byte, 1, COIR_NEVER), 1);
    return 0;
}

static int park_without_memory(void *arg)
{
    struct fds_pair pipes[2] = {fds_pipe(0), fds_pipe(0)};
    CHECK_EQ(coir_adopt(pipes[1].in), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_wait_fd(pipes[i].in, COIR_IN, coir_after(1)), COIR_TIMED_OUT);
    coir_fiber fibers[2] = {run_spawn(wait_in_or_time_out, &pipes[0].in),
                            run_spawn(wait_in_or_time_out, &pipes[1].in)};
    fault.no_memory = true;
    CHECK_EQ(coir_sleep(10), 0);
    CHECK_EQ(coir_park(coir_after(10)), COIR_TIMED_OUT);
    CHECK_EQ(coir_join(fibers[0], NULL, coir_after(10)), COIR_TIMED_OUT);
    CHECK_EQ(coir_sleep(5000), 0);
    fds_put(pipes[0].out, "x");
    fds_put(pipes[1].out, "x");
    CHECK_EQ(run_join(fibers[0]), 0);
    CHECK_EQ(run_join(fibers[1]), 0);
    fault.no_memory = false;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(coir_close(pipes[i].in), 0);
        close(pipes[i].out);
    }
    return arg ? 1 : 0;
}

/* proves: F1 */
TEST(test_fault_for_good_of_all_mappings_leaves_the_fibers_that_are_there)
{
    int mappings = 1;
    fault.blocks = fault.mapped = 0;
    run_virtual(spawn_to_the_end, &mappings);
    CHECK_EQ(fault.blocks, 0);
    CHECK_EQ(fault.mapped, 0);
}

/* proves: W5 */
TEST(test_fault_for_good_of_all_memory_does_not_keep_fibers_from_parking)
{
    run_virtual(park_without_memory, NULL);
}

static int park_on_many_without_memory(void *arg)
{
    enum { COUNT = 200 };
    static struct fds_waiter waiters[COUNT];
    struct fds_pair pipes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        pipes[i] = fds_pipe(0);
        CHECK_EQ(coir_adopt(pipes[i].in), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        waiters[i] = (struct fds_waiter){.fd = pipes[i].in, .mask = COIR_IN};
        waiters[i].until = coir_after(COIR_SEC(1));
        waiters[i].fiber = run_spawn(fds_wait, &waiters[i]);
    }
    fault.no_memory = true;
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(run_join(waiters[i].fiber), COIR_TIMED_OUT);
    fault.no_memory = false;
    for (int i = 0; i < COUNT; i++)
        fds_close(pipes[i]);
    return arg ? 1 : 0;
}

/* proves: W5 */
TEST(test_fault_for_good_of_all_memory_does_not_keep_fibers_from_waiting_for_adopted_ones)
{
    run_virtual(park_on_many_without_memory, NULL);
}

/* The first wait that parks may need a descriptor of coir's own. */
static int wait_without_descriptors(void *arg)
{
    struct fds_pair pipe = fds_pipe(0);
    struct rlimit limit, full;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = dup(pipe.in);
    close(next);
    full = (struct rlimit){(rlim_t)next, limit.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &full), 0);
    int expected = strcmp(test_world_name(), "poll") == 0 ? COIR_TIMED_OUT : -EMFILE;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_wait_fd(pipe.in, COIR_IN, coir_after(10)), expected);
        if (expected == -EMFILE)
            CHECK_EQ(coir_adopt(pipe.in), -EMFILE);
        CHECK_EQ(cr_sched_here->outside, 0);
    }
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(coir_adopt(pipe.in), 0);
    CHECK_EQ(coir_wait_fd(pipe.in, COIR_IN, coir_after(10)), COIR_TIMED_OUT);
    CHECK_EQ(coir_close(pipe.in), 0);
    close(pipe.out);
    return arg ? 1 : 0;
}

/* proves: F1, D10 */
TEST(test_fault_for_good_of_all_descriptors_is_an_error_of_the_wait)
{
    int before = fds_open();
    run_virtual(wait_without_descriptors, NULL);
    CHECK_EQ(fds_open(), before);
}
