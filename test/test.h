/* The test harness: one process per test, a time limit, an expected end.
 *
 *     TEST(test_a_sentence_in_words) { CHECK(…); }         returns normally
 *     TEST_DIES(test_…, SIGABRT, "text") { … }             dies of the signal, having printed text
 *     TEST_EXITS(test_…, 3, "text") { … }                  exits with the status, likewise
 *     TEST_FAILS(test_…, "why") { CHECK(…); }              is known to fail; passing is a failure
 *
 * A program includes this file once and gets its main: an argument selects the tests whose names
 * contain it. What a test prints is shown when it fails; the rest of a line "note: …" (not its
 * first) also when it passes.
 *
 * A test may use TEST_SECONDS of processor time, and may take TEST_PATIENCE times as long: so one
 * that computes forever, or hangs, is noticed, and one that runs on a busy machine is not. Define
 * TEST_SECONDS before the include for a limit other than 20. COIR_TEST_SLOW in the environment
 * makes limits ten times longer. A program of tests that usually sleep defines TEST_AT_ONCE, how
 * many of them run at the same time.
 *
 * CHECK and SKIP may stand in any function, also on a small fiber stack: they format into a short
 * buffer and leave by _exit. What a test needs in the file system is called test_path("name"), and
 * is removed behind it, however it ends. */
#ifndef TEST_H
#define TEST_H

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef TEST_SECONDS
#define TEST_SECONDS 20
#endif

#ifndef TEST_AT_ONCE
#define TEST_AT_ONCE 1
#endif

enum { TEST_PATIENCE = 10 };

/* How often to try what a busy machine can make late, and what takes less than a millisecond: a
 * fault makes it late each time. */
enum { TEST_TRIES = 50, TEST_TRIES_SHORT = 2000 };

enum { TEST_DESCRIPTORS = 8192 };

enum { TEST_EXIT_FAILED = 1, TEST_EXIT_SKIPPED = 77, TEST_OUTPUT_MAX = 64 * 1024 };

struct test {
    const char *name;
    void (*body)(void);
    int signal;         /* what it must die of, or 0 */
    int status;         /* what it must exit with */
    const char *output; /* what it must have printed, or NULL */
    const char *fails;  /* why it is known to fail, or NULL */
    int seconds;        /* of processor time, or 0 for TEST_SECONDS */
    int patience;       /* seconds that may pass, or 0 for TEST_PATIENCE times as many */
    struct test *next;
    pid_t child;   /* 0: it does not run; -1: it could not be started */
    FILE *capture; /* what it prints */
    struct timespec began;
    int wait_status;
    bool in_time; /* it ended by itself */
};

static struct test *test_first, **test_last = &test_first;
static char test_dir[64]; /* of the test that runs in this process */

#define TEST_DEFINE(id, ...)                                                                       \
    static void id(void);                                                                          \
    static struct test id##_record = {.name = #id, .body = id, __VA_ARGS__};                       \
    __attribute__((constructor)) static void id##_register(void)                                   \
    {                                                                                              \
        test_add(&id##_record);                                                                    \
    }                                                                                              \
    static void id(void)

#define TEST(id) TEST_DEFINE(id, .status = 0)
#define TEST_DIES(id, sig, text) TEST_DEFINE(id, .signal = (sig), .output = (text))
#define TEST_EXITS(id, code, text) TEST_DEFINE(id, .status = (code), .output = (text))
#define TEST_FAILS(id, why) TEST_DEFINE(id, .fails = (why))

#define CHECK(cond) ((cond) ? (void)0 : test_stop(__FILE__, __LINE__, "CHECK(" #cond ")"))
#define CHECK_EQ(a, b)                                                                             \
    test_check_eq(__FILE__, __LINE__, #a, (long long)(a), #b, (long long)(b))
#define CHECK_STR(a, b) test_check_str(__FILE__, __LINE__, #a, (a), #b, (b))
#define SKIP(reason) test_skip(reason)

static inline void test_add(struct test *t)
{
    t->next = NULL;
    *test_last = t;
    test_last = &t->next;
}

/* fputs, because fprintf to an unbuffered stream takes 10 KiB of stack, and because a fault test
 * may have made write fail. */
__attribute__((noreturn)) static inline void test_stop(const char *file, int line, const char *what)
{
    char text[512];
    snprintf(text, sizeof text, "%s:%d: %s does not hold\n", file, line, what);
    fputs(text, stderr);
    _exit(TEST_EXIT_FAILED);
}

static inline void test_check_eq(const char *file, int line, const char *a_text, long long a,
                                 const char *b_text, long long b)
{
    char what[400];
    if (a == b)
        return;
    snprintf(what, sizeof what, "CHECK_EQ(%s, %s): %lld == %lld", a_text, b_text, a, b);
    test_stop(file, line, what);
}

static inline void test_check_str(const char *file, int line, const char *a_text, const char *a,
                                  const char *b_text, const char *b)
{
    char what[400];
    if (a && b && strcmp(a, b) == 0)
        return;
    snprintf(what, sizeof what, "CHECK_STR(%s, %s): \"%s\" == \"%s\"", a_text, b_text,
             a ? a : "(null)", b ? b : "(null)");
    test_stop(file, line, what);
}

/* The reason is the last line of the output, where the parent finds it. */
__attribute__((noreturn)) static inline void test_skip(const char *reason)
{
    char text[512];
    snprintf(text, sizeof text, "\nskip: %s", reason);
    fputs(text, stderr);
    _exit(TEST_EXIT_SKIPPED);
}

/* A path of the test's own; valid for two calls more, and short enough for a socket. */
static inline const char *test_path(const char *name)
{
    static char paths[3][100];
    static int turn;
    turn = (turn + 1) % 3;
    mkdir(test_dir, 0700);
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", test_dir, name);
    return paths[turn];
}

/* Sets test_dir to that of a process, and removes what is there. */
static inline void test_clean(pid_t pid)
{
    char path[sizeof test_dir + sizeof((struct dirent *)0)->d_name];
    snprintf(test_dir, sizeof test_dir, "/tmp/coir-test-%d", (int)pid);
    DIR *dir = opendir(test_dir);
    if (!dir)
        return;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        snprintf(path, sizeof path, "%s/%s", test_dir, entry->d_name);
        unlink(path);
    }
    closedir(dir);
    rmdir(test_dir);
}

#ifdef COIR_KQUEUE
#define TEST_WORLD "kqueue"
#else
#define TEST_WORLD "epoll"
#endif

/* The world the test program shall use: ./check repeats the suite in each. */
static inline const char *test_world_name(void)
{
    const char *name = getenv("COIR_WORLD");
    return name && *name ? name : TEST_WORLD;
}

/* Valgrind has memory, mappings and limits of its own, so what measures them cannot run there. */
static inline void test_skip_under_valgrind(void)
{
    if (getenv("COIR_TEST_VALGRIND"))
        SKIP("valgrind has memory and limits of its own");
}

/* More bytes than any buffer has, for a call that moves few of them; but emulators and valgrind
 * look at the whole of a buffer. */
static inline size_t test_far_too_many(void)
{
    return getenv("COIR_TEST_SLOW") || getenv("COIR_TEST_VALGRIND") ? 1 : 0x7fffffff;
}

static inline int test_limit_seconds(const struct test *t)
{
    int seconds = t->seconds ? t->seconds : TEST_SECONDS;
    return getenv("COIR_TEST_SLOW") ? 10 * seconds : seconds;
}

static inline int test_patience_seconds(const struct test *t)
{
    return t->patience ? t->patience : TEST_PATIENCE * test_limit_seconds(t);
}

/* In processor time, of this process and of each that it forks: then the kernel sends SIGXCPU. */
static inline void test_limit_cpu(int seconds)
{
    struct rlimit limit = {(rlim_t)seconds, (rlim_t)seconds + 5};
    setrlimit(RLIMIT_CPU, &limit);
}

__attribute__((noreturn)) static inline void test_child(const struct test *t)
{
    for (struct test *other = test_first; other; other = other->next)
        if (other != t && other->capture)
            close(fileno(other->capture));
    setpgid(0, 0);
    test_clean(getpid()); /* of a process that had this number, and whose parent was killed */
    test_limit_cpu(test_limit_seconds(t));
    alarm((unsigned)test_patience_seconds(t) + 2); /* for when the parent was killed */
    if (t->signal)
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    dup2(fileno(t->capture), STDOUT_FILENO);
    dup2(fileno(t->capture), STDERR_FILENO);
    fclose(t->capture);
    t->body();
    exit(0);
}

/* Looks whether a running test has ended; kills it at its limit, its descendants in any case. */
static inline void test_look(struct test *t)
{
    struct timespec now;
    pid_t ended = waitpid(t->child, &t->wait_status, WNOHANG);
    clock_gettime(CLOCK_MONOTONIC, &now);
    t->in_time = ended == t->child;
    if (!t->in_time && now.tv_sec - t->began.tv_sec <= test_patience_seconds(t))
        return;
    kill(-t->child, SIGKILL);
    if (!t->in_time)
        waitpid(t->child, &t->wait_status, 0);
    test_clean(t->child);
    t->child = 0;
}

/* Waits for one of those that run, and looks after the others. */
static inline void test_wait(const struct test *t)
{
    struct timespec pause = {.tv_nsec = 100 * 1000};
    while (t->child > 0) {
        for (struct test *other = test_first; other; other = other->next)
            if (other->child > 0)
                test_look(other);
        if (t->child > 0)
            nanosleep(&pause, NULL);
        if (pause.tv_nsec < 5 * 1000 * 1000)
            pause.tv_nsec *= 2;
    }
}

/* How the test ended, if not as it should; "" when it did. */
static inline void test_judge(const struct test *t, const char *output, char *verdict,
                              size_t size)
{
    int sig = WIFSIGNALED(t->wait_status) ? WTERMSIG(t->wait_status) : 0;
    int status = WIFEXITED(t->wait_status) ? WEXITSTATUS(t->wait_status) : -1;

    *verdict = '\0';
    if (!t->in_time)
        snprintf(verdict, size, "not done after %d s", test_patience_seconds(t));
    else if (sig == SIGXCPU)
        snprintf(verdict, size, "not done after %d s of processor time", test_limit_seconds(t));
    else if (sig != t->signal && sig)
        snprintf(verdict, size, "died of signal %d, %s", sig, strsignal(sig));
    else if (sig != t->signal)
        snprintf(verdict, size, "exit status %d instead of signal %d", status, t->signal);
    else if (!sig && status != t->status)
        snprintf(verdict, size, "exit status %d", status);
    else if (t->output && !strstr(output, t->output))
        snprintf(verdict, size, "did not print \"%s\"", t->output);
}

static inline void test_print_indented(const char *output)
{
    for (const char *line = output; *line;) {
        int length = (int)strcspn(line, "\n");
        printf("    %.*s\n", length, line);
        line += length + (line[length] == '\n');
    }
}

static inline void test_begin(struct test *t)
{
    t->capture = tmpfile();
    fflush(stdout);
    clock_gettime(CLOCK_MONOTONIC, &t->began);
    t->child = t->capture ? fork() : -1;
    if (t->child == 0)
        test_child(t);
}

/* Waits for a test and prints its line. Returns its place in the totals. */
enum { TEST_PASSED, TEST_FAILED, TEST_SKIPPED };
static inline int test_end(struct test *t)
{
    static char output[TEST_OUTPUT_MAX];
    char verdict[200];
    if (t->child < 0) {
        if (t->capture)
            fclose(t->capture);
        t->capture = NULL;
        printf("FAIL %s: the harness could not start it\n", t->name);
        return TEST_FAILED;
    }
    test_wait(t);
    rewind(t->capture);
    output[fread(output, 1, sizeof output - 1, t->capture)] = '\0';
    fclose(t->capture);
    t->capture = NULL;

    const char *reason = strstr(output, "\nskip: ");
    bool skipped = t->in_time && WIFEXITED(t->wait_status) && reason &&
                   WEXITSTATUS(t->wait_status) == TEST_EXIT_SKIPPED;
    test_judge(t, output, verdict, sizeof verdict);
    if (skipped) {
        printf("skip %s: %s\n", t->name, reason + strlen("\nskip: "));
        return TEST_SKIPPED;
    }
    if (t->fails && *verdict) {
        printf("ok %s (known to fail: %s)\n", t->name, t->fails);
        return TEST_PASSED;
    }
    if (t->fails)
        snprintf(verdict, sizeof verdict, "passed, though known to fail: %s", t->fails);
    if (*verdict) {
        printf("FAIL %s: %s\n", t->name, verdict);
        test_print_indented(output);
        return TEST_FAILED;
    }
    const char *note = strstr(output, "\nnote: ");
    if (note)
        printf("ok %s: %.*s\n", t->name, (int)strcspn(note + 7, "\n"), note + 7);
    else
        printf("ok %s\n", t->name);
    return TEST_PASSED;
}

static inline struct test *test_next(struct test *t, const char *filter)
{
    while (t && !strstr(t->name, filter))
        t = t->next;
    return t;
}

static inline int test_run_all(const char *filter)
{
    int totals[3] = {0}, running = 0;
    struct test *begin = test_next(test_first, filter), *end = begin;
    while (end) {
        for (; begin && running < TEST_AT_ONCE; running++) {
            test_begin(begin);
            begin = test_next(begin->next, filter);
        }
        totals[test_end(end)]++;
        end = test_next(end->next, filter);
        running--;
    }
    printf("%d passed, %d failed, %d skipped\n", totals[TEST_PASSED], totals[TEST_FAILED],
           totals[TEST_SKIPPED]);
    fflush(stdout);
    return totals[TEST_FAILED] ? 1 : 0;
}

/* What a test has room for: on macOS a process may open 256, and more if it asks. */
static inline void test_allow_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= TEST_DESCRIPTORS)
        return;
    limit.rlim_cur = limit.rlim_max < TEST_DESCRIPTORS ? limit.rlim_max : TEST_DESCRIPTORS;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    test_allow_descriptors();
    setvbuf(stdout, NULL, _IOLBF, 0); /* here, because it comes too late after the first output */
    return test_run_all(argc > 1 ? argv[1] : "");
}

#endif
