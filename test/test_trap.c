/* The signals that coir answers for: only where the default stood, only while a scheduler lives,
 * and signals that processes send are what they were. */
#include "run.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

static void own_handler(int signal)
{
    (void)signal;
}

static struct sigaction disposition(int signal)
{
    struct sigaction action;
    CHECK_EQ(sigaction(signal, NULL, &action), 0);
    return action;
}

static bool is_default(int signal)
{
    struct sigaction action = disposition(signal);
    return !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_DFL;
}

static coir_sched *make(bool keep_signals)
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, &(struct coir_sched_opts){.keep_signals = keep_signals}), 0);
    return sched;
}

/* proves: D8 */
TEST(test_trap_takes_sigpipe_where_the_default_stood_and_gives_it_back)
{
    for (int i = 0; i < 3; i++) {
        CHECK(is_default(SIGPIPE));
        coir_sched *sched = make(false);
        CHECK(!is_default(SIGPIPE));
        CHECK(disposition(SIGPIPE).sa_handler != SIG_IGN);
        raise(SIGPIPE);
        coir_sched_free(sched);
    }
    CHECK(is_default(SIGPIPE));
}

TEST(test_trap_leaves_the_programs_own_handlers_alone)
{
    signal(SIGPIPE, own_handler);
    signal(SIGSEGV, own_handler);
    coir_sched *sched = make(false);
    CHECK(disposition(SIGPIPE).sa_handler == own_handler);
    CHECK(disposition(SIGSEGV).sa_handler == own_handler);
    coir_sched_free(sched);
    CHECK(disposition(SIGPIPE).sa_handler == own_handler);
    CHECK(disposition(SIGSEGV).sa_handler == own_handler);
}

TEST(test_trap_leaves_a_handler_that_came_later)
{
    coir_sched *sched = make(false);
    signal(SIGPIPE, own_handler);
    coir_sched_free(sched);
    CHECK(disposition(SIGPIPE).sa_handler == own_handler);
}

TEST(test_trap_takes_back_what_a_program_restored_too_late)
{
    coir_sched *sched = make(false);
    struct sigaction ours = disposition(SIGPIPE);
    coir_sched_free(sched);
    CHECK_EQ(sigaction(SIGPIPE, &ours, NULL), 0);
    coir_sched_free(make(false));
    CHECK(is_default(SIGPIPE));
}

TEST(test_trap_touches_nothing_when_told_to_keep_signals)
{
    stack_t before, during;
    CHECK_EQ(sigaltstack(NULL, &before), 0);
    coir_sched *sched = make(true);
    CHECK(is_default(SIGPIPE));
    CHECK_EQ(sigaltstack(NULL, &during), 0);
    CHECK(before.ss_sp == during.ss_sp && before.ss_flags == during.ss_flags);
    coir_sched_free(sched);
}

static void *live_and_free(void *arg)
{
    (void)arg;
    coir_sched_free(make(false));
    return NULL;
}

TEST(test_trap_stays_while_another_threads_scheduler_lives)
{
    pthread_t thread;
    coir_sched *sched = make(false);
    CHECK_EQ(pthread_create(&thread, NULL, live_and_free, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(!is_default(SIGPIPE));
    coir_sched_free(sched);
    CHECK(is_default(SIGPIPE));
}

static int exit_with_text_for_nobody(void *arg)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    FILE *out = fdopen(ends[1], "w");
    CHECK(out);
    fputs("x", out);
    close(ends[0]);
    exit(*(int *)arg);
}

/* What the C library still has to write goes out after everything else.
 * proves: D8, L4 */
TEST_EXITS(test_trap_stays_to_the_end_of_a_program_that_exits_in_a_fiber, 3, "")
{
    int status = 3;
    signal(SIGPIPE, SIG_DFL);
    run_monotonic(exit_with_text_for_nobody, &status);
}

TEST(test_trap_uses_the_threads_own_signal_stack_where_there_is_one)
{
    static char stack[128 * 1024];
    stack_t own = {.ss_sp = stack, .ss_size = sizeof stack}, now;
    CHECK_EQ(sigaltstack(&own, NULL), 0);
    coir_sched *sched = make(false);
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    CHECK(now.ss_sp == stack);
    coir_sched_free(sched);
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    CHECK(now.ss_sp == stack);
}

TEST(test_trap_gives_its_signal_stack_back)
{
    stack_t before, now;
    CHECK_EQ(sigaltstack(NULL, &before), 0);
    coir_sched_free(make(false));
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    CHECK_EQ(now.ss_flags & SS_DISABLE, before.ss_flags & SS_DISABLE);
}

TEST_DIES(test_trap_passes_on_a_segv_that_a_process_sent, SIGSEGV, "")
{
    signal(SIGSEGV, SIG_DFL);
    make(false);
    kill(getpid(), SIGSEGV);
    pause();
}

static int crash(void *arg)
{
    volatile int *closed = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *closed = arg != NULL;
    return 0;
}

TEST_DIES(test_trap_passes_on_a_fault_that_is_no_overflow, SIGSEGV, "")
{
    signal(SIGSEGV, SIG_DFL);
    run_virtual(crash, NULL);
}
