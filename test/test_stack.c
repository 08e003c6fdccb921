/* Stacks: how large, how guarded, how reused, how released. What an overflow does is in
 * test_overflow.c. */
#include "run.h"
#include "inside.h"

#include <sys/mman.h>
#include <sys/resource.h>

#ifndef RLIMIT_AS
#define RLIMIT_AS RLIMIT_DATA /* on OpenBSD, where it counts all memory that has no file */
#endif

enum { KIB = 1024 };

static long resident_kib(void)
{
    long pages = 0, ignored;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (!statm)
        SKIP("the system does not tell its memory");
    CHECK_EQ(fscanf(statm, "%ld %ld", &ignored, &pages), 2);
    fclose(statm);
    return pages * (sysconf(_SC_PAGESIZE) / KIB);
}

/* Uses `size` bytes of its stack, down to the last one. */
__attribute__((noinline)) static int touch(size_t size)
{
    volatile char *low = __builtin_alloca(size);
    for (size_t i = 0; i < size; i += 512)
        low[size - 1 - i] = 1;
    low[0] = 2;
    return low[0];
}

/* All that a user may who was promised so much, less these frames. */
static int touch_all(void *arg)
{
    return touch(*(size_t *)arg - 256);
}

static const size_t SIZES[] = {1, 16 * KIB, 17 * KIB, 64 * KIB, 100 * KIB, 1024 * KIB, 8192 * KIB};

static int sizes(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        coir_fiber fiber;
        size_t usable = SIZES[i] < 16 * KIB ? 16 * KIB : SIZES[i];
        struct coir_spawn_opts opts = {.stack_size = SIZES[i]};
        CHECK_EQ(coir_spawn(&fiber, touch_all, &usable, &opts), 0);
        CHECK_EQ(run_join(fiber), 2);
    }
    size_t usual = 64 * KIB;
    return run_join(run_spawn(touch_all, &usual)) == 2 ? 0 : 1;
}

/* proves: S1 */
TEST(test_a_stack_has_the_size_that_was_asked_for)
{
    if (CR_SAN_ADDRESS)
        SKIP("the sanitizer forbids touching memory below a frame");
    run_virtual(sizes, NULL);
    run_virtual(sizes, NULL);
}

static int canaries(void *arg)
{
    size_t size = 60 * KIB;
    for (int i = 0; i < 100; i++)
        run_spawn(touch_all, &size);
    coir_sleep(1);
    (void)arg;
    return 0;
}

/* proves: S2, S5 */
TEST(test_canary_stacks_work_and_survive_trimming)
{
    if (CR_SAN_ADDRESS)
        SKIP("the sanitizer forbids touching memory below a frame");
    struct coir_sched_opts opts = {.guard = COIR_GUARD_CANARY, .report = run_report_line};
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    for (int i = 0; i < 3; i++) {
        run_spawn(canaries, NULL);
        CHECK_EQ(coir_sched_run(sched), 0);
    }
    coir_sched_free(sched);
}

static int park(void *arg)
{
    (void)arg;
    return coir_park(COIR_NEVER);
}

static void spawn_crowd(coir_fiber *crowd, int count, size_t size)
{
    struct coir_spawn_opts opts = {.stack_size = size};
    for (int i = 0; i < count; i++)
        CHECK_EQ(coir_spawn(&crowd[i], park, NULL, &opts), 0);
    coir_yield();
}

static void end_crowd(coir_fiber *crowd, int count)
{
    for (int i = 0; i < count; i++)
        coir_wake(crowd[i]);
    for (int i = 0; i < count; i++)
        CHECK_EQ(run_join(crowd[i]), 0);
}

enum { CROWD = 2000 };
static coir_fiber crowd[CROWD];

static int reuse(void *arg)
{
    (void)arg;
    struct coir_stats first, later;
    for (int i = 0; i < 10; i++) {
        spawn_crowd(crowd, CROWD, 0);
        end_crowd(crowd, CROWD);
        coir_stats(i == 0 ? &first : &later);
    }
    CHECK_EQ(first.stacks, CROWD + 1);
    CHECK_EQ(later.stacks, first.stacks);
    CHECK_EQ(later.stack_bytes, first.stack_bytes);
    return 0;
}

/* proves: S3 */
TEST(test_stacks_are_reused)
{
    run_virtual(reuse, NULL);
}

static bool kernel_can_read(const char *address)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    bool can = write(ends[1], address, 1) == 1;
    CHECK(can || errno == EFAULT);
    close(ends[0]);
    close(ends[1]);
    return can;
}

static int guarded_crowd(void *arg)
{
    int before = *(int *)arg;
    spawn_crowd(crowd, CROWD, 16 * KIB);
    struct cr_fiber *fiber = inside_fiber(crowd[7]);
    char *low = cr_stack_low(fiber->class, (char *)(fiber + 1));
    CHECK(kernel_can_read(low));
    CHECK(!kernel_can_read(low - 1));
    CHECK(!kernel_can_read(cr_stack_guard_low(fiber->class, (char *)(fiber + 1))));
    if (run_mappings() - before >= CROWD)
        run_note("mprotect");
    else
        CHECK(CR_SAN_ADDRESS || run_mappings() - before < 40);
    end_crowd(crowd, CROWD);
    return 0;
}

/* proves: S2 */
TEST(test_every_stack_has_a_guard_that_the_kernel_sees)
{
    int before = run_mappings();
    run_virtual(guarded_crowd, &before);
    CHECK(run_log[0] == '\0' || strcmp(run_log, "mprotect") == 0);
}

static int touch_much(void *arg)
{
    volatile char frame[40 * KIB];
    for (size_t i = 0; i < sizeof frame; i += 512)
        frame[i] = 1;
    (void)arg;
    return frame[0] + coir_park(COIR_NEVER) - 1;
}

static int give_back(void *arg)
{
    (void)arg;
    long before = resident_kib();
    for (int i = 0; i < CROWD; i++)
        crowd[i] = run_spawn(touch_much, NULL);
    coir_yield();
    long during = resident_kib();
    CHECK(during - before > CROWD * 40);
    end_crowd(crowd, CROWD);
    coir_sleep(1);
    long after = resident_kib();
    CHECK(after - before < CROWD * (sysconf(_SC_PAGESIZE) / KIB));
    return 0;
}

/* proves: S5 */
TEST(test_idle_loops_give_spare_stacks_back)
{
    test_skip_under_valgrind();
    if (CR_SAN_ADDRESS)
        SKIP("the sanitizer keeps memory of its own for each stack");
    run_virtual(give_back, NULL);
}

static int touch_and_sleep(void *arg)
{
    touch(40 * KIB);
    return coir_sleep(COIR_US((intptr_t)arg));
}

/* While timers are due in crowds nothing is released, but it is when the last has been. */
static int give_back_after_a_crowd(void *arg)
{
    (void)arg;
    long before = resident_kib();
    for (intptr_t i = 0; i < CROWD; i++)
        crowd[i] = run_spawn(touch_and_sleep, (void *)(i / 64 * 200));
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(coir_join(crowd[i], NULL, COIR_NEVER), 0);
    long most = CROWD * (sysconf(_SC_PAGESIZE) / KIB);
    for (int i = 0; i < 100 && resident_kib() - before >= most; i++)
        coir_sleep(COIR_MS(20));
    CHECK(resident_kib() - before < most);
    return 0;
}

/* proves: S5 */
TEST(test_idle_loops_give_spare_stacks_back_after_a_crowd_of_timers)
{
    test_skip_under_valgrind();
    if (CR_SAN_ADDRESS)
        SKIP("the sanitizer keeps memory of its own for each stack");
    int result = -1;
    CHECK_EQ(coir_run(give_back_after_a_crowd, NULL, NULL, &result), 0);
    CHECK_EQ(result, 0);
}

static int give_back_guarded(void *arg)
{
    (void)arg;
    static char *lows[CROWD];
    spawn_crowd(crowd, CROWD, 16 * KIB);
    for (int i = 0; i < CROWD; i++) {
        struct cr_fiber *fiber = inside_fiber(crowd[i]);
        lows[i] = cr_stack_low(fiber->class, (char *)(fiber + 1));
    }
    end_crowd(crowd, CROWD);
    coir_sleep(1);
    for (int i = 0; i < CROWD; i++) {
        CHECK(kernel_can_read(lows[i]));
        CHECK(!kernel_can_read(lows[i] - 1));
    }
    return 0;
}

/* proves: S2 */
TEST(test_stacks_that_were_given_back_keep_their_guards)
{
    run_virtual(give_back_guarded, NULL);
}

static int kernel_guards(const coir_fiber *fibers, int count)
{
    int guards = 0;
    for (int i = 0; i < count; i++) {
        struct cr_fiber *fiber = inside_fiber(fibers[i]);
        guards += !kernel_can_read(cr_stack_low(fiber->class, (char *)(fiber + 1)) - 1);
    }
    return guards;
}

/* A crowd is released with its page tables, and comes back with its guards. */
static int crowd_comes_back(void *arg)
{
    enum { LARGE = 2 * CROWD };
    static coir_fiber large[LARGE];
    (void)arg;
    for (int round = 0; round < 3; round++) {
        spawn_crowd(large, LARGE, 16 * KIB);
        CHECK_EQ(kernel_guards(large, LARGE), LARGE);
        struct cr_stack_class *class = inside_fiber(large[0])->class;
        CHECK_EQ(class->bare, 0);
        end_crowd(large, LARGE);
        coir_sleep(1);
        CHECK(class->bare == 0 || class->bare == class->clean);
        CHECK(class->bare > CROWD || !kernel_can_read(cr_stack_low(class, class->spare[0]) - 1));
        spawn_crowd(large, CROWD / 2, 16 * KIB);
        CHECK_EQ(kernel_guards(large, CROWD / 2), CROWD / 2);
        end_crowd(large, CROWD / 2);
    }
    return 0;
}

/* proves: S2, S5 */
TEST(test_a_crowd_that_was_released_gets_its_guards_again)
{
    run_virtual(crowd_comes_back, NULL);
}

static int dirty_twice(void *arg)
{
    (void)arg;
    long before = resident_kib(), page_kib = sysconf(_SC_PAGESIZE) / KIB;
    bool canary = cr_sched_self->class->is_canary; /* one page of each stack stays */
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < CROWD; i++)
            crowd[i] = run_spawn(touch_much, NULL);
        coir_yield();
        end_crowd(crowd, CROWD);
        coir_sleep(1);
        CHECK(resident_kib() - before < CROWD * page_kib * (canary ? 2 : 1));
    }
    return 0;
}

/* proves: S5 */
TEST(test_stacks_that_were_given_back_and_used_again_are_given_back_again)
{
    test_skip_under_valgrind();
    if (CR_SAN_ADDRESS)
        SKIP("the sanitizer keeps memory of its own for each stack");
    run_virtual(dirty_twice, NULL);
    struct coir_sched_opts opts = {.guard = COIR_GUARD_CANARY, .clock = COIR_CLOCK_VIRTUAL};
    int result = -1;
    CHECK_EQ(coir_run(dirty_twice, NULL, &opts, &result), 0);
    CHECK_EQ(result, 0);
}

TEST(test_strides_are_odd_numbers_of_pages)
{
    static struct cr_stacks stacks;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    cr_stack_init(&stacks);
    for (int i = 0; i < CR_STACK_CLASSES; i++) {
        CHECK_EQ(stacks.classes[i].stride / page % 2, 1);
        CHECK_EQ(stacks.classes[i].stride % page, 0);
    }
    cr_stack_fini(&stacks);
}

static int spawn_until_full(void *arg)
{
    (void)arg;
    int count = 0, result;
    struct coir_spawn_opts opts = {.stack_size = 1024 * KIB};
    while ((result = coir_spawn(NULL, park, NULL, &opts)) == 0)
        count++;
    CHECK_EQ(result, -ENOMEM);
    CHECK(count > 0);
    coir_yield();
    CHECK_EQ(coir_spawn(NULL, park, NULL, &opts), -ENOMEM);
    return 0;
}

/* proves: F1, S2 */
TEST(test_spawn_says_enomem_when_address_space_runs_out)
{
    test_skip_under_valgrind();
    if (CR_SAN_ADDRESS)
        SKIP("the sanitizer needs unlimited address space");
    struct rlimit limit = {512 * KIB * KIB, 512 * KIB * KIB};
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    CHECK_EQ(run_as(spawn_until_full, NULL, COIR_CLOCK_VIRTUAL, NULL), -EDEADLK);
    CHECK_EQ(run_as(park, NULL, COIR_CLOCK_VIRTUAL, NULL), -EDEADLK);
}

static int too_large(void *arg)
{
    (void)arg;
    struct coir_spawn_opts opts = {.stack_size = PTRDIFF_MAX};
    return coir_spawn(NULL, park, NULL, &opts) == -ENOMEM ? 0 : 1;
}

/* proves: F1 */
TEST(test_a_stack_that_no_memory_holds_is_refused)
{
    run_virtual(too_large, NULL);
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, &(struct coir_sched_opts){.stack_size = PTRDIFF_MAX}), -ENOMEM);
}
