/* A kernel that refuses: {each system call that the library makes} x {five errors} x {worlds}, by a
 * filter, over a program that does a little of everything. It works by another way, or the call
 * that asked returns why not. It does not hang or spin, and nothing is reported that is not so. */
#include "inside.h"
#include "run.h"

#include <coir_io.h>
#include <coir_net.h>
#include <coir_post.h>
#include <pthread.h>

/* What is refused must be a call of the library's. */
#if defined(COIR_KQUEUE) || defined(COIR_CTX_UCONTEXT) || !defined(__GLIBC__)
enum { IS_BESIDE_OTHERS = true };
#else
enum { IS_BESIDE_OTHERS = false };
#endif

#ifdef __linux__

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define CALL(name) {#name, SYS_##name}

static const struct {
    const char *name;
    int number;
} CALLS[] = {
#ifdef SYS_epoll_wait
    CALL(epoll_wait),
    CALL(poll),
#endif
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_pwait),
#ifdef SYS_epoll_pwait2
    CALL(epoll_pwait2),
#endif
    CALL(timerfd_create),
    CALL(timerfd_settime),
    CALL(eventfd2),
    CALL(ppoll),
    CALL(pipe2),
    CALL(socket),
    CALL(socketpair),
    CALL(bind),
    CALL(listen),
    CALL(accept4),
    CALL(connect),
    CALL(read),
    CALL(readv),
    CALL(writev),
    CALL(recvfrom),
    CALL(sendto),
    CALL(recvmsg),
    CALL(sendmsg),
    CALL(shutdown),
    CALL(getsockopt),
    CALL(setsockopt),
    CALL(getsockname),
    CALL(getpeername),
    CALL(fcntl),
    CALL(close),
    CALL(ioctl),
    CALL(mmap),
    CALL(mprotect),
    CALL(madvise),
    CALL(sigaltstack),
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(prlimit64),
};

static const int ERRORS[] = {EPERM, ENOSYS, EACCES, ENOMEM, EMFILE};

enum {
    CALLS_COUNT = sizeof CALLS / sizeof *CALLS,
    ERRORS_COUNT = sizeof ERRORS / sizeof *ERRORS,
};

static void refuse(int number, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(TEST_EXIT_SKIPPED);
}

/* ---- the program ---- */

enum { PATIENCE_MS = 500 };

static int error; /* which is refused with; a wait says -EACCES for EPERM, which is epoll's word for
                    * what cannot be polled */
static int told;  /* how many calls said so */
static const char *wrong;

static void is_wrong(int64_t result, const char *what)
{
    if (!wrong)
        fprintf(stderr, "%s: %s\n", what, coir_error_name((int)result));
    wrong = what;
}

/* Whether to go on: a call has not failed. What failed before may leave another one waiting in
 * vain, and a loop that may not wait cancels all. */
static bool goes_on(int64_t result, const char *what)
{
    if (result >= 0)
        return true;
    bool follows = result == COIR_CANCELLED || (result == COIR_TIMED_OUT && told > 0);
    bool is_forbidden = result == -EACCES && error == EPERM;
    if (result != -error && result != -ENOMEM && !is_forbidden && !follows)
        is_wrong(result, what);
    told += !follows;
    return false;
}

#define GOES_ON(expression) goes_on(expression, #expression)

static coir_time soon(void)
{
    return coir_after(COIR_MS(PATIENCE_MS));
}

/* A call that has to wait in vain, unless one failed that would have taken what is there. */
static void waits(int64_t result, const char *what)
{
    if (result >= 0 && told == 0)
        is_wrong(result, what);
    if (result < 0 && result != COIR_TIMED_OUT)
        goes_on(result, what);
}

static int write_later(void *arg)
{
    const int *fd = arg;
    coir_sleep(COIR_MS(5));
    return GOES_ON(coir_write(*fd, "later", 5, soon())) ? 0 : 1;
}

static void use(int in, int out)
{
    char text[5];
    waits(coir_wait_fd(in, COIR_IN, coir_after(COIR_MS(1))), "coir_wait_fd of what is not ready");
    waits(coir_read(in, text, 5, coir_after(COIR_MS(1))), "coir_read of what is empty");
    coir_fiber writer;
    if (!GOES_ON(coir_spawn(&writer, write_later, &out, NULL)))
        return;
    if (GOES_ON(coir_read(in, text, 5, soon())) && memcmp(text, "later", 5) != 0)
        is_wrong(0, "the bytes");
    int failed;
    GOES_ON(coir_join(writer, &failed, soon()));
    struct iovec part = {text, sizeof text};
    if (GOES_ON(coir_writev(out, &part, 1, soon())))
        GOES_ON(coir_readv(in, &part, 1, soon()));
}

static void use_pipes(void)
{
    int own[2], foreign[2];
    if (GOES_ON(coir_pipe(own))) {
        use(own[0], own[1]);
        GOES_ON(coir_close(own[0]));
        GOES_ON(coir_close(own[1]));
    }
    if (pipe(foreign) == 0) {
        use(foreign[0], foreign[1]);
        if (GOES_ON(coir_adopt(foreign[0])))
            use(foreign[0], foreign[1]);
        close(foreign[0]);
        close(foreign[1]);
    }
}

static void use_pair(void)
{
    int pair[2];
    struct iovec part;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    char byte = 'x';
    part = (struct iovec){&byte, 1};
    if (!GOES_ON(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, pair)))
        return;
    use(pair[0], pair[1]);
    if (GOES_ON(coir_sendmsg(pair[1], &message, 0, soon())))
        GOES_ON(coir_recvmsg(pair[0], &message, 0, soon()));
    GOES_ON(coir_shutdown(pair[1], SHUT_WR));
    GOES_ON(coir_close(pair[0]));
    GOES_ON(coir_close(pair[1]));
}

static int greet(int fd, void *arg)
{
    (void)arg;
    return GOES_ON(coir_write(fd, "hello", 5, soon())) ? 0 : 1;
}

static int serve(void *arg)
{
    return GOES_ON(coir_net_serve(*(int *)arg, greet, NULL, NULL)) ? 0 : 1;
}

static void use_network(void)
{
    coir_addr addr;
    coir_fiber server;
    char text[COIR_ADDR_TEXT], hello[5];
    int listener = coir_net_listen("127.0.0.1:0", NULL), fd;
    if (!GOES_ON(listener))
        return;
    waits(coir_accept(listener, NULL, NULL, coir_after(COIR_MS(1))), "coir_accept in vain");
    if (GOES_ON(coir_net_local(listener, &addr)) &&
        coir_addr_text(&addr, text, sizeof text) > 0 &&
        GOES_ON(coir_spawn(&server, serve, &listener, NULL))) {
        fd = coir_net_dial(text, NULL, soon());
        if (GOES_ON(fd))
            GOES_ON(coir_read(fd, hello, 5, soon()));
        if (fd >= 0)
            GOES_ON(coir_close(fd));
        coir_finish(server, 0, NULL);
    }
    coir_close(listener);
}

static coir_mailbox box;
static coir_letter letter;

static void *post(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    coir_post(box, &letter);
    return arg;
}

static void wake(void *arg)
{
    coir_wake(*(coir_fiber *)arg);
}

static void use_threads(void)
{
    pthread_t thread;
    coir_fiber self = coir_self();
    letter = (coir_letter){.fn = wake, .arg = &self};
    if (!GOES_ON(coir_mailbox_open(&box, 0)))
        return;
    if (pthread_create(&thread, NULL, post, NULL) == 0) {
        GOES_ON(coir_park(soon()));
        pthread_join(thread, NULL);
    }
    coir_mailbox_close(box);
}

static int use_all(void *arg)
{
    (void)arg;
    use_pipes();
    use_pair();
    use_network();
    use_threads();
    GOES_ON(coir_sleep(COIR_MS(12))); /* far enough for an alarm of the world's */
    return 0;
}

static void ignore_line(const char *line, void *arg)
{
    (void)line;
    (void)arg;
}

enum { WORKS = 40, TELLS, IS_WRONG };

static void run_cell(int call, int with, enum coir_world world)
{
    struct coir_sched_opts opts = {.world = world, .report = ignore_line};
    struct rlimit cpu = {3, 4};
    setrlimit(RLIMIT_CPU, &cpu);
    alarm(20);
    error = ERRORS[with];
    coir_on_fatal(NULL);
    refuse(CALLS[call].number, error);
    GOES_ON(coir_run(use_all, NULL, &opts, NULL));
    _exit(wrong ? IS_WRONG : told > 0 ? TELLS : WORKS);
}

static pid_t begin_cell(int call, int with, enum coir_world world)
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        run_cell(call, with, world);
    return child;
}

static int end_cell(pid_t child)
{
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_EXIT_SKIPPED)
        SKIP("the system has no filters of system calls");
    if (WIFEXITED(status) && WEXITSTATUS(status) == WORKS)
        return '.';
    if (WIFEXITED(status) && WEXITSTATUS(status) == TELLS)
        return 'e';
    if (WIFEXITED(status) && WEXITSTATUS(status) == IS_WRONG)
        return 'W';
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? 'H' : 'C';
}

static int try_calls(enum coir_world world)
{
    int bad = 0;
    printf("%-16s EPERM ENOSYS EACCES ENOMEM EMFILE (., works; e, told; W, wrong; H, hangs; C, "
           "crashes or spins)\n", world == COIR_WORLD_POLL ? "poll" : "the first world");
    for (int call = 0; call < CALLS_COUNT; call++) {
        pid_t children[ERRORS_COUNT];
        for (int with = 0; with < ERRORS_COUNT; with++)
            children[with] = begin_cell(call, with, world);
        printf("%-16s", CALLS[call].name);
        for (int with = 0; with < ERRORS_COUNT; with++) {
            int result = end_cell(children[with]);
            bad += result != '.' && result != 'e';
            printf("   %c   ", result);
        }
        printf("\n");
    }
    return bad;
}

#else

static int try_calls(enum coir_world world)
{
    (void)world;
    SKIP("filters of system calls are Linux's");
}

#endif

/* proves: F7 */
TEST(test_a_system_call_that_is_refused_is_done_without_or_told)
{
    test_skip_under_valgrind();
    if (CR_SAN_ADDRESS || CR_SAN_THREAD || IS_BESIDE_OTHERS)
        SKIP("a sanitizer, ucontext, the tests' kqueue and musl have system calls of their own");
    CHECK_EQ(try_calls(COIR_WORLD_DEFAULT), 0);
    CHECK_EQ(try_calls(COIR_WORLD_POLL), 0);
}

/* ---- an error of the world's wait ---- */

enum { WAITERS = 40 };

static int came_to_their_end;

static int wait_on_pipe(void *arg)
{
    int *ends = arg;
    char byte;
    CHECK_EQ(coir_read(ends[0], &byte, 1, COIR_NEVER), COIR_CANCELLED);
    came_to_their_end += coir_close(ends[0]) == 0 && coir_close(ends[1]) == 0;
    return 0;
}

/* From then on poll(2) refuses more than 32 descriptors. */
static int lower_the_limit(void *arg)
{
    static int ends[WAITERS][2];
    (void)arg;
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQ(coir_pipe(ends[i]), 0);
        run_spawn(wait_on_pipe, ends[i]);
    }
    coir_sleep(COIR_MS(1));
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &(struct rlimit){32, 32}), 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(coir_yield(), 0); /* what is ready runs all the same */
    came_to_their_end++;
    return 0;
}

/* proves: F7, E5, E6 */
TEST(test_regress_an_error_of_the_world_starved_fibers_that_were_ready)
{
    test_skip_under_valgrind();
    struct coir_sched_opts opts = {.world = COIR_WORLD_POLL, .report = run_report_line};
    int result = coir_run(lower_the_limit, NULL, &opts, NULL);
    if (result == 0)
        SKIP("the system lets poll have more descriptors than the process");
    CHECK_EQ(result, -EINVAL);
    CHECK_STR(run_report, "");
    CHECK_EQ(came_to_their_end, WAITERS + 1);
}
