/* The shared library in a program that is not linked to it but loads it, runs fibers and unloads
 * it, as hosts do with plugins: nothing of it stays. */
#include "coir_io.h"
#include "test.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

enum { SIGNALS = 3 };

static const int OURS[SIGNALS] = {SIGPIPE, SIGSEGV, SIGBUS};

static struct {
    void *handle;
    __typeof__(coir_run) *run;
    __typeof__(coir_spawn) *spawn;
    __typeof__(coir_join) *join;
    __typeof__(coir_sleep) *sleep;
    __typeof__(coir_read) *read;
} library;

static uintptr_t address_of(const char *name)
{
    void *address = dlsym(library.handle, name);
    CHECK(address);
    return (uintptr_t)address;
}

static void load(void)
{
    library.handle = dlopen(COIR_LIBRARY, RTLD_NOW);
    if (!library.handle)
        test_stop(__FILE__, __LINE__, dlerror());
    library.run = (__typeof__(coir_run) *)address_of("coir_run");
    library.spawn = (__typeof__(coir_spawn) *)address_of("coir_spawn");
    library.join = (__typeof__(coir_join) *)address_of("coir_join");
    library.sleep = (__typeof__(coir_sleep) *)address_of("coir_sleep");
    library.read = (__typeof__(coir_read) *)address_of("coir_read");
}

static void unload(void)
{
    CHECK_EQ(dlclose(library.handle), 0);
}

/* Some C libraries unload nothing. */
static bool is_loaded(void)
{
    void *handle = dlopen(COIR_LIBRARY, RTLD_NOW | RTLD_NOLOAD);
    return handle && dlclose(handle) == 0;
}

/* ---- what a program may leave behind ---- */

struct traces {
    void (*handlers[SIGNALS])(int);
    void *signal_stack;
    pthread_key_t next_key;
    int open_fds;
};

static struct traces look(void)
{
    struct traces traces = {0};
    struct sigaction action;
    stack_t stack;
    for (int i = 0; i < SIGNALS; i++) {
        CHECK_EQ(sigaction(OURS[i], NULL, &action), 0);
        traces.handlers[i] = action.sa_handler;
    }
    CHECK_EQ(sigaltstack(NULL, &stack), 0);
    traces.signal_stack = stack.ss_flags & SS_DISABLE ? NULL : stack.ss_sp;
    CHECK_EQ(pthread_key_create(&traces.next_key, NULL), 0);
    CHECK_EQ(pthread_key_delete(traces.next_key), 0);
    for (int fd = 0; fd < 100; fd++)
        traces.open_fds += fcntl(fd, F_GETFD) >= 0;
    return traces;
}

static void check_gone(struct traces before)
{
    struct traces now = look();
    for (int i = 0; i < SIGNALS; i++)
        CHECK(now.handlers[i] == before.handlers[i]);
    CHECK(now.signal_stack == before.signal_stack);
    CHECK(now.next_key == before.next_key || is_loaded());
    CHECK_EQ(now.open_fds, before.open_fds);
}

static struct traces during;
static int ends[2];

static int read_a_byte(void *arg)
{
    (void)arg;
    CHECK_EQ(library.read(ends[0], &(char){0}, 1, COIR_NEVER), 1);
    during = look();
    return 0;
}

static int use_it(void *arg)
{
    (void)arg;
    coir_fiber reader;
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(library.spawn(&reader, read_a_byte, NULL, NULL), 0);
    CHECK_EQ(library.sleep(COIR_US(1)), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(library.join(reader, NULL, COIR_NEVER), 0);
    CHECK_EQ(close(ends[0]) + close(ends[1]), 0);
    return 5;
}

static void use(void)
{
    int result = 0;
    CHECK_EQ(library.run(use_it, NULL, NULL, &result), 0);
    CHECK_EQ(result, 5);
}

static void load_use_unload(void)
{
    load();
    use();
    unload();
}

/* Its thread-local variables must be of a kind that a library which comes later may have.
 * proves: L5 */
TEST(test_regress_dlopen_refuses_the_library)
{
    load();
    use();
}

/* ---- signals ---- */

/* proves: L5 */
TEST(test_unload_leaves_no_handler_no_signal_stack_no_key_and_no_descriptor)
{
    for (int i = 0; i < SIGNALS; i++)
        signal(OURS[i], SIG_DFL);
    struct traces before = look();
    load_use_unload();
    check_gone(before);
    for (int i = 0; i < SIGNALS; i++)
        CHECK(during.handlers[i] != SIG_DFL);
    CHECK(during.signal_stack);
    CHECK(during.next_key != before.next_key);
    CHECK_EQ(during.open_fds, before.open_fds + 4);
}

/* proves: L5 */
TEST_DIES(test_unload_leaves_sigpipe_to_the_default, SIGPIPE, "")
{
    signal(SIGPIPE, SIG_DFL);
    load_use_unload();
    CHECK_EQ(pipe(ends), 0);
    close(ends[0]);
    CHECK_EQ(write(ends[1], "x", 1), -1);
}

static void end_with_seven(int signal)
{
    (void)signal;
    _exit(7);
}

/* proves: L5 */
TEST_EXITS(test_unload_leaves_a_fault_to_the_handler_that_was_there, 7, "")
{
    static char stack[64 * 1024];
    struct sigaction action = {.sa_handler = end_with_seven, .sa_flags = SA_ONSTACK};
    CHECK_EQ(sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL), 0);
    CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
    struct traces before = look();
    load_use_unload();
    check_gone(before);
    volatile char *closed = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *closed = 1;
}

/* Whoever sets a handler for a while puts back the one that was there before.
 * proves: L5 */
TEST(test_regress_unload_leaves_a_handler_that_was_put_back)
{
    signal(SIGPIPE, SIG_DFL);
    load();
    use();
    signal(SIGPIPE, during.handlers[0]);
    unload();
    if (is_loaded())
        SKIP("this C library unloads nothing");
    CHECK(signal(SIGPIPE, SIG_DFL) == SIG_DFL);
}

/* ---- threads, forks, again and again ---- */

static pthread_barrier_t used, unloaded;

static void *use_and_outlive(void *arg)
{
    struct traces before = look();
    use();
    pthread_barrier_wait(&used);
    pthread_barrier_wait(&unloaded);
    check_gone(before);
    return arg;
}

/* proves: L5 */
TEST(test_unload_is_nothing_to_a_thread_that_used_it_and_ends_later)
{
    pthread_t thread;
    CHECK_EQ(pthread_barrier_init(&used, NULL, 2) + pthread_barrier_init(&unloaded, NULL, 2), 0);
    load();
    CHECK_EQ(pthread_create(&thread, NULL, use_and_outlive, NULL), 0);
    pthread_barrier_wait(&used);
    unload();
    pthread_barrier_wait(&unloaded);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* proves: L5 */
TEST(test_unload_leaves_nothing_that_a_fork_would_call)
{
    int status;
    load_use_unload();
    pid_t child = fork();
    if (child == 0) {
        load_use_unload();
        exit(7);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 7);
}

static void *use_in_a_thread(void *arg)
{
    use();
    return arg;
}

static int pages_mapped(void)
{
    int pages = 0;
    FILE *about = fopen("/proc/self/statm", "r");
    if (!about)
        SKIP("the system does not tell what is mapped");
    CHECK_EQ(fscanf(about, "%d", &pages), 1);
    fclose(about);
    return pages;
}

/* More often than there are keys for the data of threads. What malloc keeps may vary by some pages.
 * proves: L5 */
TEST(test_unload_and_load_again_takes_nothing)
{
    enum { TIMES = 1100, WARM = 100, PAGES = 10 };
    pthread_t thread;
    int pages = 0;
    for (int i = 0; i < TIMES; i++) {
        load();
        use();
        if (i % 10 == 0) {
            CHECK_EQ(pthread_create(&thread, NULL, use_in_a_thread, NULL), 0);
            CHECK_EQ(pthread_join(thread, NULL), 0);
        }
        unload();
        if (i == WARM)
            pages = pages_mapped();
    }
    CHECK(pages_mapped() < pages + PAGES);
}
