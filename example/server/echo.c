/* An echo server: what comes goes back.
 *
 * usage: echo [ADDRESS [IDLE_S [GRACE_S]]]
 *
 * One who sends and never reads is given up after IDLE_S, and holds up nobody meanwhile: only his
 * own fiber waits. */
#include "server.h"

static int echo(int fd, void *arg)
{
    char buf[2048];
    ssize_t got;
    (void)arg;
    while ((got = coir_net_await(fd, buf, sizeof buf, coir_after(server.idle_ns))) > 0)
        if (coir_write_all(fd, buf, (size_t)got, NULL, coir_after(server.idle_ns)) < 0)
            break;
    return 0;
}

int main(int argc, char **argv)
{
    server.handler = echo;
    return server_main(argc, argv, NULL);
}
