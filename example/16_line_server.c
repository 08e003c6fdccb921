/* A server of lines that ends well: it is cancelled while a client is being served, takes no new
 * connection, and answers what that one has asked. A client that asks nothing is let go at once, by
 * coir_reader_await. */
#include <coir_buffer.h>
#include <coir_net.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PATIENCE_S = 5 };

static int answer(int fd, void *arg)
{
    char in_memory[1024], out_memory[1100], *line; /* an answer is longer than its line */
    coir_reader in;
    coir_writer out;
    coir_reader_init(&in, fd, in_memory, sizeof in_memory);
    coir_writer_init(&out, fd, out_memory, sizeof out_memory);
    while (coir_reader_await(&in, coir_after(COIR_SEC(PATIENCE_S))) > 0 &&
           coir_reader_line(&in, &line, coir_after(COIR_SEC(PATIENCE_S))) > 0) {
        coir_time until = coir_after(COIR_SEC(PATIENCE_S));
        coir_writer_print(&out, until, "%zu letters in \"%s\"\n", strlen(line), line);
        if (coir_writer_flush(&out, until) < 0)
            break;
    }
    return arg != NULL;
}

static int serve(void *arg)
{
    struct coir_serve_opts opts = {.limit = 1000, .grace_ns = COIR_SEC(10), .name = "answer"};
    int result = coir_net_serve(*(int *)arg, answer, NULL, &opts);
    printf("the server ends: %s\n", coir_error_name(result));
    return result;
}

static int run(void *arg)
{
    static const char LINES[] = "straight-line code\r\n\r\nit ends well\r\n";
    char text[COIR_ADDR_TEXT], memory[1024], *line;
    int listener = coir_net_listen("127.0.0.1:0", NULL);
    coir_addr addr;
    coir_fiber server;
    coir_reader in;
    if (listener < 0 || coir_net_local(listener, &addr) < 0 ||
        coir_addr_text(&addr, text, sizeof text) < 0)
        return -EADDRNOTAVAIL;
    if (coir_spawn(&server, serve, &listener, NULL) < 0) {
        coir_close(listener);
        return -ENOMEM;
    }
    int fd = coir_net_dial(text, NULL, coir_after(COIR_SEC(PATIENCE_S)));
    coir_reader_init(&in, fd, memory, sizeof memory);
    int result = coir_write_all(fd, LINES, strlen(LINES), NULL, COIR_NEVER);
    while (result == 0 && coir_reader_line(&in, &line, COIR_NEVER) > 0) {
        puts(line);
        coir_cancel(server, COIR_CANCELLED);
    }
    coir_close(fd);
    coir_finish(server, COIR_CANCELLED, NULL);
    return coir_close(listener) < 0 || arg;
}

int main(void)
{
    return coir_run(run, NULL, NULL, NULL) < 0;
}
