/* A TCP echo server and its clients in one thread, in blocking style. */
#include <coir_io.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

enum { CLIENTS = 50, MESSAGES = 20 };
static struct sockaddr_in address = {.sin_family = AF_INET};
static int listener, echoed;

static int serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char byte;
    while (coir_read(fd, &byte, 1, coir_after(COIR_SEC(5))) == 1 &&
           coir_write(fd, &byte, 1, coir_after(COIR_SEC(5))) == 1)
        continue;
    return coir_close(fd);
}

static int accept_all(void *arg)
{
    int fd;
    while ((fd = coir_accept(listener, NULL, NULL, COIR_NEVER)) >= 0)
        if (coir_spawn(NULL, serve, (void *)(intptr_t)fd, NULL) < 0)
            coir_close(fd);
    return arg ? 1 : fd;
}

static int call(void *arg)
{
    int fd = coir_socket(AF_INET, SOCK_STREAM, 0);
    char byte = 'x';
    if (coir_connect(fd, (struct sockaddr *)&address, sizeof address, COIR_NEVER) == 0)
        for (int i = 0; i < MESSAGES && coir_write(fd, &byte, 1, COIR_NEVER) == 1; i++)
            echoed += coir_read(fd, &byte, 1, COIR_NEVER) == 1;
    return coir_close(fd) < 0 || arg;
}

static int run(void *arg)
{
    socklen_t size = sizeof address;
    coir_scope scope;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = 0;
    listener = coir_socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || coir_bind(listener, (struct sockaddr *)&address, size) < 0 ||
        coir_listen(listener, CLIENTS) < 0 ||
        coir_getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        return -EADDRNOTAVAIL;
    coir_scope_open(&scope, COIR_NEVER, 0);
    int result = coir_spawn(NULL, accept_all, arg, &(struct coir_spawn_opts){.daemon = true});
    for (int i = 0; result == 0 && i < CLIENTS; i++)
        result = coir_spawn(NULL, call, NULL, NULL);
    result = coir_scope_end(&scope, result); /* the daemon is not needed when the calls are over */
    printf("%d messages echoed\n", echoed);
    coir_close(listener);
    return result;
}

int main(void)
{
    return coir_run(run, NULL, NULL, NULL) < 0;
}
