/* The echo server over State Threads: a thread for each connection, over epoll. */
#include "server.h"

#include <st.h>

static void *echo(void *arg)
{
    st_netfd_t fd = arg;
    char buffer[SERVER_BUFFER];
    ssize_t got = st_read(fd, buffer, sizeof buffer, ST_UTIME_NO_TIMEOUT);
    while (got > 0 && st_write(fd, buffer, (size_t)got, ST_UTIME_NO_TIMEOUT) == got)
        got = st_read(fd, buffer, sizeof buffer, ST_UTIME_NO_TIMEOUT);
    st_netfd_close(fd);
    return NULL;
}

int main(void)
{
    int listener = server_listen();
    server_must(st_set_eventsys(ST_EVENTSYS_ALT) == 0, "st_set_eventsys");
    server_must(st_init() == 0, "st_init");
    st_netfd_t socket = st_netfd_open_socket(listener);
    for (;;) {
        st_netfd_t fd = st_accept(socket, NULL, NULL, ST_UTIME_NO_TIMEOUT);
        server_must(fd != NULL, "st_accept");
        server_nodelay(st_netfd_fileno(fd));
        server_must(st_thread_create(echo, fd, 0, 32768) != NULL, "st_thread_create");
    }
}
