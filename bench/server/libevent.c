/* The echo server over libevent: one persistent event for each connection. */
#include "server.h"

#include <event2/event.h>

struct connection {
    struct event *event;
};

static void on_read(evutil_socket_t fd, short what, void *arg)
{
    static char buffer[SERVER_BUFFER];
    struct connection *connection = arg;
    (void)what;
    ssize_t got = read(fd, buffer, sizeof buffer);
    if (got > 0 && write(fd, buffer, (size_t)got) == got)
        return;
    event_free(connection->event);
    free(connection);
    close(fd);
}

static void on_connection(evutil_socket_t listener, short what, void *base)
{
    (void)what;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    server_must(fd >= 0, "accept");
    server_nodelay(fd);
    struct connection *connection = malloc(sizeof *connection);
    connection->event = event_new(base, fd, EV_READ | EV_PERSIST, on_read, connection);
    event_add(connection->event, NULL);
}

int main(void)
{
    int listener = server_listen();
    struct event_base *base = event_base_new();
    event_add(event_new(base, listener, EV_READ | EV_PERSIST, on_connection, base), NULL);
    return event_base_dispatch(base);
}
