/* Ten thousand fibers in real time: pairs of them send 64 bytes back and forth over socket pairs,
 * and the program tells how fast, and in how much memory. Fewer where descriptors are short. */
#include <coir_io.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS_MOST = 5000, ROUNDS = 40, SIZE = 64, SPARE_DESCRIPTORS = 64 };

static long messages;

/* One full message in each direction, or the error that prevented it. */
static ssize_t transfer(int fd, char *message, bool send)
{
    for (ssize_t done = 0; done < SIZE;) {
        ssize_t part = send ? coir_write(fd, message + done, SIZE - (size_t)done, COIR_NEVER)
                            : coir_read(fd, message + done, SIZE - (size_t)done, COIR_NEVER);
        if (part <= 0)
            return part < 0 ? part : -1;
        done += part;
    }
    messages++;
    return SIZE;
}

static int talk(int fd, bool first)
{
    char message[SIZE] = "hello";
    ssize_t result = coir_adopt(fd);
    for (int i = 0; i < ROUNDS && result >= 0; i++) {
        result = transfer(fd, message, first);
        if (result >= 0)
            result = transfer(fd, message, !first);
    }
    coir_close(fd);
    return result < 0;
}

static int caller(void *arg)
{
    return talk(*(int *)arg, true);
}

static int callee(void *arg)
{
    return talk(*(int *)arg, false);
}

static long resident_kib(void)
{
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm && fscanf(statm, "%*d %ld", &pages) != 1)
        pages = 0;
    if (statm)
        fclose(statm);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int pairs_allowed(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < SPARE_DESCRIPTORS)
        return 0;
    rlim_t pairs = (limit.rlim_max - SPARE_DESCRIPTORS) / 2;
    return pairs < PAIRS_MOST ? (int)pairs : PAIRS_MOST;
}

static int ends[PAIRS_MOST][2];
static coir_fiber fibers[PAIRS_MOST][2];

static int run(void *arg)
{
    int pairs = *(int *)arg, failed = 0, result;
    long before_kib = resident_kib();
    for (int i = 0; i < pairs; i++)
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]) < 0 ||
            coir_spawn(&fibers[i][0], caller, &ends[i][0], NULL) < 0 ||
            coir_spawn(&fibers[i][1], callee, &ends[i][1], NULL) < 0)
            return 1;
    coir_time started = coir_now();
    while (messages < (long)pairs * ROUNDS)
        coir_yield();
    long during_kib = resident_kib();
    for (int i = 0; i < pairs; i++)
        for (int k = 0; k < 2; k++)
            failed += coir_join(fibers[i][k], &result, COIR_NEVER) < 0 || result != 0;
    double seconds = (double)coir_since(started) / 1e9;
    printf("%d fibers, %d socket pairs, %ld messages of %d bytes received in %.2f s:\n", 2 * pairs,
           pairs, messages / 2, SIZE, seconds);
    printf("%.0f messages a second, %.1f KiB resident for each fiber\n",
           (double)messages / 2 / seconds, (double)(during_kib - before_kib) / (2.0 * pairs));
    return failed;
}

int main(void)
{
    int pairs = pairs_allowed(), result = 1;
    if (pairs < PAIRS_MOST)
        printf("only %d descriptors are allowed, so there are fewer fibers\n", 2 * pairs);
    int outcome = coir_run(run, &pairs, NULL, &result);
    if (outcome < 0)
        fprintf(stderr, "live: %s\n", coir_error_name(outcome));
    return outcome < 0 || result != 0;
}
