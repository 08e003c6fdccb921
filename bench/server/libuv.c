/* The echo server over libuv: callbacks, uv_try_write. */
#include "server.h"

#include <uv.h>

static char buffer[SERVER_BUFFER];

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(buffer, sizeof buffer);
}

static void on_close(uv_handle_t *handle)
{
    free(handle);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    uv_buf_t out = uv_buf_init(buf->base, got > 0 ? (unsigned int)got : 0);
    if (got < 0 || (got > 0 && uv_try_write(stream, &out, 1) != got))
        uv_close((uv_handle_t *)stream, on_close);
}

static void on_connection(uv_stream_t *server, int status)
{
    uv_tcp_t *client = malloc(sizeof *client);
    server_must(status == 0 && client, "uv_listen");
    uv_tcp_init(server->loop, client);
    server_must(uv_accept(server, (uv_stream_t *)client) == 0, "uv_accept");
    uv_tcp_nodelay(client, 1);
    uv_read_start((uv_stream_t *)client, on_alloc, on_read);
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t server;
    int listener = server_listen();
    uv_tcp_init(loop, &server);
    server_must(uv_tcp_open(&server, listener) == 0, "uv_tcp_open");
    server_must(uv_listen((uv_stream_t *)&server, SERVER_BACKLOG, on_connection) == 0, "uv_listen");
    return uv_run(loop, UV_RUN_DEFAULT);
}
