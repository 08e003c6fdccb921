/* The least that an echo server can be: level-triggered epoll, one call of it for each batch, one
 * read and one write for each request. It gives up on a connection whose peer does not read. */
#include "server.h"

#include <sys/epoll.h>

enum { BATCH = 128 };

int main(void)
{
    int listener = server_listen(), queue = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[BATCH];
    static char buffer[SERVER_BUFFER];
    epoll_ctl(queue, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(queue, events, BATCH, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                server_must(event.data.fd >= 0, "accept");
                server_nodelay(event.data.fd);
                epoll_ctl(queue, EPOLL_CTL_ADD, event.data.fd, &event);
                continue;
            }
            ssize_t got = read(fd, buffer, sizeof buffer);
            if (got <= 0 || write(fd, buffer, (size_t)got) != got)
                close(fd);
        }
    }
}
