/* What the echo servers in C have in common, coir's and the peers': a listening socket on a free
 * port of the loopback, which is printed, and SIGTERM as their end. Each sends back what comes, on
 * any number of connections, in one thread. */
#ifndef SERVER_H
#define SERVER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVER_BUFFER = 1024, SERVER_BACKLOG = 4096 };

static inline void server_must(int holds, const char *what)
{
    if (holds)
        return;
    perror(what);
    exit(1);
}

static inline void server_end(int number)
{
    (void)number;
    _exit(0);
}

/* Blocking; as many descriptors as the system lets one have. */
static inline int server_listen(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    struct rlimit limit;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server_must(fd >= 0, "socket");
    server_must(bind(fd, (struct sockaddr *)&address, size) == 0, "bind");
    server_must(listen(fd, SERVER_BACKLOG) == 0, "listen");
    server_must(getsockname(fd, (struct sockaddr *)&address, &size) == 0, "getsockname");
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGTERM, server_end);
    signal(SIGPIPE, SIG_IGN);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static inline void server_nodelay(int fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

#endif
