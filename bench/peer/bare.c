/* The baseline of wake_late: the system call itself, with nothing around it. */
#define _GNU_SOURCE
#include "../bench.h"

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

static int run_wake_late(void *arg)
{
    (void)arg;
    struct timespec nap = {.tv_nsec = BENCH_NAP_NS};
    struct epoll_event event;
    int queue = epoll_create1(EPOLL_CLOEXEC);
    for (long i = 0; i < bench_count; i++) {
        uint64_t began = bench_clock();
        bench_must(syscall(SYS_epoll_pwait2, queue, &event, 1, &nap, NULL, 8) == 0, "epoll_pwait2");
        bench_nap_note(i, began);
    }
    bench_nap_median();
    return 0;
}

static const struct bench BENCHES[] = {{"wake_late", run_wake_late}};

static void inside(int (*run)(void *arg))
{
    run(NULL);
}

BENCH_MAIN(BENCHES, inside)
