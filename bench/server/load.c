/* The client of the echo servers: on each connection 64 bytes go out as soon as the last ones have
 * come back, until REQUESTS have.
 *
 *     load PORT CONNECTIONS REQUESTS [SERVER]
 *
 * With SERVER, the server's process, it asks in rounds: it stops the server while it asks on all
 * connections, and asks again when all have answered. So each wait of the server brings as many
 * requests as there are connections, whatever else the machine does.
 *
 * It prints "ready" when all are connected and have been answered once. For each line that it reads
 * it runs, and prints "ns X", the time of one request. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
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

/* Waits until a process sleeps (S) or is stopped (T). */
static void await_state(int process, char state)
{
    char path[64], text[512], *at = NULL;
    snprintf(path, sizeof path, "/proc/%d/stat", process);
    do {
        int fd = open(path, O_RDONLY);
        ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        must(got > 0, path);
        close(fd);
        text[got] = '\0';
        at = strrchr(text, ')'); /* the end of its name */
        must(at && at[1] == ' ', "the state of the server");
        if (at[2] != state)
            nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    } while (at[2] != state);
}

/* A server that has nothing to do and sleeps is in its wait. */
static void stop(int server)
{
    await_state(server, 'S');
    must(kill(server, SIGSTOP) == 0, "stop the server");
    await_state(server, 'T');
}

static void go_on(int server)
{
    must(kill(server, SIGCONT) == 0, "continue the server");
}

static void ask_together(const int *fds, int count, int server)
{
    stop(server);
    for (int i = 0; i < count; i++)
        ask(fds[i]);
    go_on(server);
    for (int i = 0; i < count; i++)
        take(fds[i]);
}

static void run_in_rounds(const int *fds, int count, long requests, int server)
{
    double began = seconds();
    for (long taken = 0; taken < requests; taken += count)
        ask_together(fds, count, server);
    printf("ns %.1f\n", (seconds() - began) * 1e9 / (double)requests);
    fflush(stdout);
}

/* All are connected and have been answered once. */
static void begin(int queue, int port, int *fds, int count)
{
    for (int i = 0; i < count; i++) {
        fds[i] = connected(port);
        ask(fds[i]);
        take(fds[i]);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};
        must(epoll_ctl(queue, EPOLL_CTL_ADD, fds[i], &event) == 0, "epoll_ctl");
    }
}

static void begin_in_rounds(int port, int *fds, int count, int server)
{
    stop(server);
    for (int i = 0; i < count; i++)
        fds[i] = connected(port);
    go_on(server);
    ask_together(fds, count, server);
}

int main(int argc, char **argv)
{
    must(argc == 4 || argc == 5, "load PORT CONNECTIONS REQUESTS [SERVER]");
    int port = atoi(argv[1]), count = atoi(argv[2]), queue = epoll_create1(0), character;
    int server = argc == 5 ? atoi(argv[4]) : 0;
    int *fds = calloc((size_t)count, sizeof *fds);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    memset(request, 'x', SIZE);
    if (server)
        begin_in_rounds(port, fds, count, server);
    else
        begin(queue, port, fds, count);
    printf("ready\n");
    fflush(stdout);
    while ((character = getchar()) != EOF)
        if (character == '\n' && server)
            run_in_rounds(fds, count, atol(argv[3]), server);
        else if (character == '\n')
            run(queue, fds, count, atol(argv[3]));
    return 0;
}
