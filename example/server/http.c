/* An HTTP/1.1 server: keep-alive, pipelining, HEAD; the parser is Debian's libhttp-parser.
 *
 * usage: http [ADDRESS [IDLE_S [GRACE_S]]]
 *
 * A request costs one read and one write: what comes in one read is answered in one write. The
 * answers and the deadline for idle connections are made once a second, not for each request. */
#include "server.h"

#include <coir_buffer.h>
#include <http_parser.h>
#include <string.h>
#include <time.h>

static struct answer {
    const char *status, *body;
    struct {
        char text[256];
        int head, size; /* without and with the body */
    } made[2];          /* the last on its connection, and not */
} found = {"200 OK", "hello, world\n", {{"", 0, 0}}},
  missing = {"404 Not Found", "not found\n", {{"", 0, 0}}},
  wrong = {"400 Bad Request", "bad request\n", {{"", 0, 0}}};

static coir_time idle_until; /* IDLE_S from now, or up to a second more */

/* A connection: what is known of its request, and the answers to be sent. */
struct http {
    http_parser parser;
    bool begun, last;
    char path; /* what it begins with */
    size_t path_length;
    coir_writer out;
};

static void make(struct answer *answer, const char *date)
{
    for (int keep = 0; keep < 2; keep++) {
        char *text = answer->made[keep].text;
        size_t size = sizeof answer->made[keep].text;
        int head = snprintf(text, size,
                            "HTTP/1.1 %s\r\nServer: coir\r\nDate: %s\r\n"
                            "Content-Type: text/plain\r\nContent-Length: %zu\r\n"
                            "Connection: %s\r\n\r\n",
                            answer->status, date, strlen(answer->body),
                            keep ? "keep-alive" : "close");
        answer->made[keep].head = head;
        answer->made[keep].size =
            head + snprintf(text + head, size - (size_t)head, "%s", answer->body);
    }
}

static void make_all(void)
{
    char date[64];
    time_t now = time(NULL);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
    make(&found, date);
    make(&missing, date);
    make(&wrong, date);
    idle_until = coir_after(server.idle_ns + COIR_SEC(1));
}

static int each_second(void *arg)
{
    do
        make_all();
    while (coir_sleep(COIR_SEC(1)) == 0);
    return arg != NULL;
}

static void send_answer(struct http *http, const struct answer *answer)
{
    bool keep = !http->last, head = http->parser.method == HTTP_HEAD;
    coir_writer_write(&http->out, answer->made[keep].text,
                      (size_t)(head ? answer->made[keep].head : answer->made[keep].size),
                      idle_until);
}

static int on_begin(http_parser *parser)
{
    struct http *http = parser->data;
    http->begun = true;
    http->path_length = 0;
    return 0;
}

/* A path may come in pieces, also empty ones. */
static int on_path(http_parser *parser, const char *at, size_t length)
{
    struct http *http = parser->data;
    if (http->path_length == 0 && length > 0)
        http->path = *at;
    http->path_length += length;
    return 0;
}

static int on_complete(http_parser *parser)
{
    struct http *http = parser->data;
    http->begun = false;
    http->last = !http_should_keep_alive(parser) || coir_winding_down();
    send_answer(http, http->path == '/' && http->path_length == 1 ? &found : &missing);
    if (http->last)
        http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings SETTINGS = {
    .on_message_begin = on_begin, .on_url = on_path, .on_message_complete = on_complete};

/* What comes next, of a request or between two. */
static ssize_t http_read(const struct http *http, void *buf, size_t size)
{
    return http->begun ? coir_read(http->out.fd, buf, size, idle_until)
                       : coir_net_await(http->out.fd, buf, size, idle_until);
}

static int serve(int fd, void *arg)
{
    char in[2048], out[2048];
    struct http http = {.parser = {.data = NULL}};
    ssize_t got;
    (void)arg;
    http_parser_init(&http.parser, HTTP_REQUEST);
    http.parser.data = &http;
    coir_writer_init(&http.out, fd, out, sizeof out);
    while (!http.last && (got = http_read(&http, in, sizeof in)) > 0) {
        size_t parsed = http_parser_execute(&http.parser, &SETTINGS, in, (size_t)got);
        if (!http.last && parsed < (size_t)got) {
            http.last = true;
            send_answer(&http, &wrong);
        }
        if (coir_writer_flush(&http.out, idle_until) < 0)
            break;
    }
    return 0;
}

int main(int argc, char **argv)
{
    server.handler = serve;
    server.beside = each_second;
    return server_main(argc, argv, NULL);
}
