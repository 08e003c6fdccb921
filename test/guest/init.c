/* The only process of a booted guest that is not a test: runs what /plan names, two at a time,
 * tells the results on the console as the programs themselves do, and turns the machine off.
 *
 * A line of /plan is `PROGRAM` or `PROGRAM EXPECTED`: the file that holds, byte for byte, what the
 * program must print. The last line on the console is `guest: end` if every line was run. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS = 2, PATH = 128 };

struct job {
    pid_t child; /* 0: a free place */
    char program[PATH];
    char expected[PATH]; /* or "" */
    char output[PATH];
};

static void stop(const char *what)
{
    printf("FAIL guest: %s: %s\n", what, strerror(errno));
    reboot(RB_POWER_OFF);
}

static void provide(const char *type, const char *place)
{
    mkdir(place, 0755);
    if (mount(type, place, type, 0, NULL) != 0)
        stop(place);
}

static void raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0)
        stop("loopback");
    close(fd);
}

static void raise_descriptors(void)
{
    struct rlimit limit = {1 << 20, 1 << 20};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        stop("RLIMIT_NOFILE");
}

static void start(struct job *job)
{
    snprintf(job->output, sizeof job->output, "/tmp/%s.printed", strrchr(job->program, '/') + 1);
    job->child = fork();
    if (job->child == 0) {
        int fd = open(job->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0 && dup2(fd, STDERR_FILENO) >= 0)
            execl(job->program, job->program, (char *)NULL);
        _exit(127);
    }
}

static bool is_same(const char *path, const char *other)
{
    FILE *a = fopen(path, "r"), *b = fopen(other, "r");
    int x = 0, y = 0;
    while (a && b && x == y && x != EOF) {
        x = fgetc(a);
        y = fgetc(b);
    }
    bool same = a && b && x == y;
    if (a)
        fclose(a);
    if (b)
        fclose(b);
    return same;
}

static void show(const char *path)
{
    static char text[4096];
    FILE *file = fopen(path, "r");
    size_t length;
    while (file && (length = fread(text, 1, sizeof text, file)) > 0)
        fwrite(text, 1, length, stdout);
    if (file)
        fclose(file);
}

/* A test tells its totals itself, unless it died. */
static void tell(const struct job *job, int status)
{
    bool example = job->expected[0] != '\0';
    bool same = example && status == 0 && is_same(job->output, job->expected);
    if (same) {
        printf("ok %s, byte for byte\n1 passed, 0 failed, 0 skipped\n", job->program);
        return;
    }
    show(job->output);
    if (example || status > 1)
        printf("FAIL %s: exit status %d\n0 passed, 1 failed, 0 skipped\n", job->program, status);
}

/* Waits for the end of one job, and frees its place. An init is also the parent of every orphan. */
static void finish_one(struct job jobs[JOBS])
{
    int status;
    pid_t ended = wait(&status);
    for (int i = 0; i < JOBS; i++)
        if (jobs[i].child == ended) {
            tell(&jobs[i], WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
            jobs[i].child = 0;
        }
}

static struct job *free_place(struct job jobs[JOBS])
{
    for (;;) {
        for (int i = 0; i < JOBS; i++)
            if (jobs[i].child == 0)
                return &jobs[i];
        finish_one(jobs);
    }
}

static bool is_busy(const struct job jobs[JOBS])
{
    for (int i = 0; i < JOBS; i++)
        if (jobs[i].child != 0)
            return true;
    return false;
}

static void run_plan(FILE *plan)
{
    static struct job jobs[JOBS];
    static char line[2 * PATH];
    while (fgets(line, sizeof line, plan)) {
        struct job *job = free_place(jobs);
        job->expected[0] = '\0';
        if (sscanf(line, "%127s %127s", job->program, job->expected) >= 1)
            start(job);
    }
    while (is_busy(jobs))
        finish_one(jobs);
}

int main(void)
{
    provide("devtmpfs", "/dev");
    provide("proc", "/proc");
    provide("sysfs", "/sys");
    provide("devpts", "/dev/pts");
    provide("tmpfs", "/tmp");
    raise_loopback();
    raise_descriptors();

    struct utsname system;
    uname(&system);
    setvbuf(stdout, NULL, _IONBF, 0);
    printf("guest: Linux %s %s, pages of %ld bytes\n", system.release, system.machine,
           sysconf(_SC_PAGESIZE));

    FILE *plan = fopen("/plan", "r");
    if (!plan)
        stop("/plan");
    run_plan(plan);
    printf("guest: end\n");
    reboot(RB_POWER_OFF);
}
