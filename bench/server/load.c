/* The client of the echo servers: on each connection 64 bytes go out as soon as the last ones have
 * come back, until REQUESTS have.
 *
 *     load PORT CONNECTIONS REQUESTS
 *
 * It prints "ready" when all are connected and have been answered once. For each line that it reads
 * it runs, and prints "ns X", the time of one request. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, BATCH = 256 };

static char request[SIZE];

static void must(int holds, const char *what)
{
    if (holds)
        return;
    perror(what);
    exit(1);
}

static int connected(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    must(fd >= 0, "socket");
    must(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static void ask(int fd)
{
    must(send(fd, request, SIZE, MSG_NOSIGNAL) == SIZE, "send");
}

static void take(int fd)
{
    char answer[SIZE];
    size_t got = 0;
    while (got < SIZE) {
        ssize_t result = recv(fd, answer + got, SIZE - got, 0);
        must(result > 0, "recv");
        got += (size_t)result;
    }
    must(memcmp(answer, request, SIZE) == 0, "the answer");
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Asks on all connections, and again on each that has answered, until all requests are done. */
static void run(int queue, const int *fds, int count, long requests)
{
    long sent = 0, taken = 0;
    double began = seconds();
    for (; sent < count && sent < requests; sent++)
        ask(fds[sent]);
    while (taken < requests) {
        struct epoll_event events[BATCH];
        int ready = epoll_wait(queue, events, BATCH, -1);
        must(ready >= 0 || errno == EINTR, "epoll_wait");
        for (int i = 0; i < ready; i++) {
            take(events[i].data.fd);
            taken++;
            if (sent++ < requests)
                ask(events[i].data.fd);
        }
    }
    printf("ns %.1f\n", (seconds() - began) * 1e9 / (double)requests);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    must(argc == 4, "load PORT CONNECTIONS REQUESTS");
    int port = atoi(argv[1]), count = atoi(argv[2]), queue = epoll_create1(0), character;
    int *fds = calloc((size_t)count, sizeof *fds);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    memset(request, 'x', SIZE);
    for (int i = 0; i < count; i++) {
        fds[i] = connected(port);
        ask(fds[i]);
        take(fds[i]);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};
        must(epoll_ctl(queue, EPOLL_CTL_ADD, fds[i], &event) == 0, "epoll_ctl");
    }
    printf("ready\n");
    fflush(stdout);
    while ((character = getchar()) != EOF)
        if (character == '\n')
            run(queue, fds, count, atol(argv[3]));
    return 0;
}
