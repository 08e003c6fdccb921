/* The echo server over coir: a fiber for each connection, in straight lines. */
#include "server.h"

#include <coir.h>
#include <coir_io.h>

static int echo(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buffer[SERVER_BUFFER];
    ssize_t got = coir_read(fd, buffer, sizeof buffer, COIR_NEVER);
    while (got > 0 && coir_write_all(fd, buffer, (size_t)got, NULL, COIR_NEVER) == 0)
        got = coir_read(fd, buffer, sizeof buffer, COIR_NEVER);
    coir_close(fd);
    return 0;
}

static int serve(void *arg)
{
    int listener = *(int *)arg;
    for (;;) {
        int fd = coir_accept(listener, NULL, NULL, COIR_NEVER);
        server_must(fd >= 0, "accept");
        server_nodelay(fd);
        server_must(coir_spawn(NULL, echo, (void *)(intptr_t)fd, NULL) == 0, "spawn");
    }
}

int main(void)
{
    int listener = server_listen();
    return coir_run(serve, &listener, NULL, NULL) < 0;
}
