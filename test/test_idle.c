/* An idle program makes no system call between events, after one audit at most. Looked at from
 * outside: whoever returns from a wait and waits again has left the processor once more of its own
 * accord, and the kernel counts that; and whoever makes a call needs some processor time. */
#include "inside.h"
#include "fds.h"
#include "clock.h"

#include <coir_loop.h>
#include <coir_net.h>
#include <coir_post.h>
#include <poll.h>
#include <pthread.h>

enum { SETTLE_MS = 1700, WATCH_MS = 3000, CONNECTIONS = 5 };

/* How often a process has left the processor of its own accord; -1 where nobody says. */
static long waits_of(pid_t pid)
{
    char path[64], line[128];
    long count = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        sscanf(line, "voluntary_ctxt_switches: %ld", &count);
    if (file)
        fclose(file);
    return count;
}

/* The processor time that a process has had, in nanoseconds; 0 where nobody says. */
#ifdef __linux__
static uint64_t cpu_of(pid_t pid)
{
    clockid_t clock;
    struct timespec time = {0};
    if (clock_getcpuclockid(pid, &clock) == 0)
        clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}
#else
static uint64_t cpu_of(pid_t pid)
{
    (void)pid;
    return 0;
}
#endif

static int wait_for_a_byte(int fd, void *arg)
{
    char byte;
    (void)arg;
    return (int)coir_read(fd, &byte, 1, COIR_NEVER);
}

static int read_for_ever(void *arg)
{
    return wait_for_a_byte(*(int *)arg, NULL);
}

static int wait_for_ever(void *arg)
{
    return coir_wait_fd(*(int *)arg, COIR_IN, COIR_NEVER);
}

static int serve_for_ever(void *arg)
{
    return coir_net_serve(*(int *)arg, wait_for_a_byte, NULL, NULL);
}

static int accept_for_ever(void *arg)
{
    return coir_accept(*(int *)arg, NULL, NULL, COIR_NEVER);
}

static coir_mailbox box;
static coir_letter letter;

static void be_called(void *arg)
{
    (void)arg;
}

/* One post ends a wait before the program is idle. */
static void *post_soon(void *arg)
{
    poll(NULL, 0, 100);
    CHECK_EQ(coir_post(box, &letter), 0);
    return arg;
}

/* All that can be waited for without a deadline; returns when all of it is parked. */
static int start_all(void *arg)
{
    static int own[2], foreign[2], listeners[2];
    pthread_t thread;
    coir_addr addr;
    char text[COIR_ADDR_TEXT];
    (void)arg;
    letter.fn = be_called;
    CHECK_EQ(coir_mailbox_open(&box, 0), 0);
    CHECK_EQ(pthread_create(&thread, NULL, post_soon, NULL), 0);
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, own), 0);
    CHECK_EQ(pipe(foreign), 0);
    for (int i = 0; i < 2; i++)
        CHECK((listeners[i] = coir_net_listen("127.0.0.1:0", NULL)) >= 0);
    run_spawn(read_for_ever, &own[0]);
    run_spawn(wait_for_ever, &own[1]);
    run_spawn(wait_for_ever, &foreign[0]);
    run_spawn(accept_for_ever, &listeners[0]);
    run_spawn(serve_for_ever, &listeners[1]);
    CHECK_EQ(coir_net_local(listeners[1], &addr), 0);
    CHECK(coir_addr_text(&addr, text, sizeof text) > 0);
    for (int i = 0; i < CONNECTIONS; i++)
        CHECK(coir_net_dial(text, NULL, COIR_NEVER) >= 0);
    return 0;
}

static void run_all(void)
{
    coir_run(start_all, NULL, NULL, NULL);
}

static void run_all_virtual(void)
{
    coir_run(start_all, NULL, &(struct coir_sched_opts){.clock = COIR_CLOCK_VIRTUAL}, NULL);
}

static void step_all(void)
{
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    CHECK_EQ(coir_spawn(NULL, start_all, NULL, NULL), 0);
    struct pollfd ask = {.fd = coir_sched_fd(sched), .events = POLLIN};
    for (;;) {
        while (coir_sched_step(sched, 0) == COIR_STEP_READY)
            continue;
        int64_t left = coir_left(coir_sched_deadline(sched));
        poll(&ask, 1, left == INT64_MAX ? -1 : left > 0 ? (int)(left / 1000000 + 1) : 0);
    }
}

static void wait_in_loop(void)
{
    coir_loop *loop;
    struct coir_loop_event events[8];
    struct fds_pair sockets = fds_unix(SOCK_STREAM), empty = fds_pipe(0);
    CHECK_EQ(coir_loop_open(&loop, COIR_WORLD_DEFAULT), 0);
    CHECK_EQ(coir_loop_add_read(loop, sockets.in, NULL), 0);
    CHECK_EQ(coir_loop_add_read(loop, empty.in, NULL), 0);
    CHECK_EQ(coir_loop_add_wake(loop, NULL), 0);
    coir_loop_wait(loop, events, 8, COIR_NEVER);
}

static int sleep_seldom(void *arg)
{
    while (coir_sleep(COIR_MS(100)) == 0)
        continue;
    return arg ? 1 : 0;
}

static void run_sleeper(void)
{
    coir_run(sleep_seldom, NULL, NULL, NULL);
}

/* Each in a process of its own, all at once. The last one shows that the watching sees anything. */
static struct program {
    const char *name;
    void (*body)(void);
    pid_t pid;
    long waits;
    uint64_t cpu_ns;
    bool was_idle;
} programs[] = {
    {.name = "a run", .body = run_all},
    {.name = "a run on a virtual clock", .body = run_all_virtual},
    {.name = "steps in a foreign loop", .body = step_all},
    {.name = "an event loop", .body = wait_in_loop},
    {.name = "a fiber that wakes ten times a second", .body = run_sleeper},
};

enum { PROGRAMS = sizeof programs / sizeof *programs };

static void start(struct program *program)
{
    program->pid = fork();
    if (program->pid == 0) {
        program->body();
        _exit(1);
    }
}

static bool is_idle(const struct program *program)
{
    long waits = waits_of(program->pid) - program->waits;
    uint64_t cpu_ns = cpu_of(program->pid) - program->cpu_ns;
    printf("%s: %ld waits, %llu ns\n", program->name, waits, (unsigned long long)cpu_ns);
    CHECK_EQ(waitpid(program->pid, NULL, WNOHANG), 0);
    return waits == 0 && cpu_ns == 0;
}

/* Watches all for a while. Returns how many have been idle, in this while or an earlier one. */
static int watch(void)
{
    int idle = 0;
    for (int i = 0; i < PROGRAMS; i++) {
        if (!programs[i].pid)
            continue;
        programs[i].waits = waits_of(programs[i].pid);
        programs[i].cpu_ns = cpu_of(programs[i].pid);
    }
    poll(NULL, 0, WATCH_MS);
    for (int i = 0; i < PROGRAMS; i++) {
        if (programs[i].pid)
            programs[i].was_idle |= is_idle(&programs[i]);
        idle += programs[i].was_idle;
    }
    return idle;
}

/* What a program does before it is idle can take long on a busy machine, so it is watched for
 * several whiles. One that calls as often as every three seconds is idle in none of them.
 * proves: T7, D19, E9, P10 */
TEST(test_idle_programs_make_no_system_call_after_an_audit)
{
    bool embeds = strcmp(test_world_name(), "poll") != 0; /* it has no descriptor for that */
    int expected = embeds ? PROGRAMS - 1 : PROGRAMS - 2, idle = 0;
    if (CR_SAN_THREAD)
        SKIP("the sanitizer has a thread of its own, which wakes up");
    if (waits_of(getpid()) < 0)
        SKIP("the system does not tell how often a process waits");
    for (int i = 0; i < PROGRAMS; i++)
        if (embeds || programs[i].body != step_all)
            start(&programs[i]);
    poll(NULL, 0, SETTLE_MS);
    for (int i = 0; i < TEST_TRIES && idle < expected; i++)
        idle = watch();
    for (int i = 0; i < PROGRAMS; i++)
        if (programs[i].pid)
            kill(programs[i].pid, SIGKILL);
    CHECK_EQ(idle, expected);
    CHECK(!programs[PROGRAMS - 1].was_idle);
}
