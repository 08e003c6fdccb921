/* An HTTP/1.1 server (RFC 9110, RFC 9112): keep-alive, pipelining, HEAD, bodies of any length, that
 * are read and not kept. The parser is llhttp in its strict mode; what that leaves to its user is
 * here: Host, versions, transfer codings, expectations, sizes, deadlines.
 *
 * usage: http [ADDRESS [IDLE_S [GRACE_S]]]
 *
 * A request costs one read and one write: what comes in one read is answered in one write. A head
 * must be whole IDLE_S after its first byte, of a body each piece IDLE_S after the one before. The
 * answers and this deadline are made once a second, not for each request. */
#include "server.h"

#include <coir_buffer.h>
#include <llhttp.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { TARGET_MOST = 8000, FIELDS_MOST = 32000 }; /* bytes: of a target, of all fields together */

/* ---- answers --------------------------------------------------------------------------------- */

enum status {
    HELLO,
    OPTIONS,
    BAD_REQUEST,
    NOT_FOUND,
    NOT_ALLOWED,
    TOO_LATE,
    TARGET_TOO_LONG,
    UNKNOWN_EXPECTATION,
    FIELDS_TOO_LARGE,
    UNKNOWN_CODING,
    UNKNOWN_VERSION,
    STATUSES
};

#define ALLOW "Allow: GET, HEAD, OPTIONS, POST\r\n"

static const struct {
    const char *line, *fields, *body;
} ANSWERS[STATUSES] = {
    [HELLO] = {"200 OK", "", "hello, world\n"},
    [OPTIONS] = {"200 OK", ALLOW, ""},
    [BAD_REQUEST] = {"400 Bad Request", "", "bad request\n"},
    [NOT_FOUND] = {"404 Not Found", "", "not found\n"},
    [NOT_ALLOWED] = {"405 Method Not Allowed", ALLOW, "method not allowed\n"},
    [TOO_LATE] = {"408 Request Timeout", "", "the request came too slowly\n"},
    [TARGET_TOO_LONG] = {"414 URI Too Long", "", "the target is too long\n"},
    [UNKNOWN_EXPECTATION] = {"417 Expectation Failed", "", "unknown expectation\n"},
    [FIELDS_TOO_LARGE] = {"431 Request Header Fields Too Large", "", "the fields are too large\n"},
    [UNKNOWN_CODING] = {"501 Not Implemented", "", "unknown transfer coding\n"},
    [UNKNOWN_VERSION] = {"505 HTTP Version Not Supported", "", "this is HTTP/1.1\n"},
};

static struct made {
    char text[320];
    int head, size;          /* without and with the body */
} made[STATUSES][2];         /* the last on its connection, and not */
static coir_time idle_until; /* IDLE_S from now, or up to a second more */

static void make(enum status status, bool keep, const char *date)
{
    struct made *answer = &made[status][keep];
    const char *body = ANSWERS[status].body;
    answer->head = snprintf(answer->text, sizeof answer->text,
                            "HTTP/1.1 %s\r\nServer: coir\r\nDate: %s\r\n%s"
                            "Content-Type: text/plain\r\nContent-Length: %zu\r\n"
                            "Connection: %s\r\n\r\n",
                            ANSWERS[status].line, date, ANSWERS[status].fields, strlen(body),
                            keep ? "keep-alive" : "close");
    answer->size = answer->head + snprintf(answer->text + answer->head,
                                           sizeof answer->text - (size_t)answer->head, "%s", body);
}

static int each_second(void *arg)
{
    do {
        char date[64];
        time_t now = time(NULL);
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
        for (int status = 0; status < STATUSES; status++)
            for (int keep = 0; keep < 2; keep++)
                make(status, keep, date);
        idle_until = coir_after(server.idle_ns + COIR_SEC(1));
    } while (coir_sleep(COIR_SEC(1)) == 0);
    return arg != NULL;
}

/* ---- a connection, and what the parser tells of its request ---------------------------------- */

/* The beginning of a text that comes in pieces, and its whole length. */
struct text {
    char start[300];
    size_t length;
};

struct http {
    llhttp_t parser;
    coir_reader in;
    coir_writer out;
    enum { BETWEEN, HEAD, BODY } at;
    enum status answer;
    bool bodiless, last, refused; /* the answer: to a HEAD; the last one; as a callback says */
    struct text target, field, value;
    size_t fields_size;
    int hosts, codings;
    bool expects, expects_more; /* 100-continue, anything else */
};

static void text_clear(struct text *text)
{
    text->start[text->length = 0] = '\0';
}

static void text_add(struct text *text, const char *at, size_t length)
{
    if (text->length < sizeof text->start) {
        size_t room = sizeof text->start - 1 - text->length;
        size_t kept = length < room ? length : room;
        memcpy(text->start + text->length, at, kept);
        text->start[text->length + kept] = '\0';
    }
    text->length += length;
}

/* Ends the connection after this answer. */
static int refuse(struct http *http, enum status answer)
{
    http->answer = answer;
    http->refused = true;
    return HPE_USER;
}

static int on_begin(llhttp_t *parser)
{
    struct http *http = parser->data;
    http->at = HEAD;
    http->answer = HELLO;
    http->bodiless = http->expects = http->expects_more = false;
    http->fields_size = 0;
    http->hosts = http->codings = 0;
    text_clear(&http->target);
    return 0;
}

static int on_target(llhttp_t *parser, const char *at, size_t length)
{
    struct http *http = parser->data;
    http->bodiless = parser->method == HTTP_HEAD;
    text_add(&http->target, at, length);
    return http->target.length <= TARGET_MOST ? 0 : refuse(http, TARGET_TOO_LONG);
}

static int on_text(struct http *http, struct text *text, const char *at, size_t length)
{
    text_add(text, at, length);
    http->fields_size += length;
    return http->fields_size <= FIELDS_MOST ? 0 : refuse(http, FIELDS_TOO_LARGE);
}

static int on_field(llhttp_t *parser, const char *at, size_t length)
{
    struct http *http = parser->data;
    return on_text(http, &http->field, at, length);
}

static int on_value(llhttp_t *parser, const char *at, size_t length)
{
    struct http *http = parser->data;
    return on_text(http, &http->value, at, length);
}

/* Letters, digits, and what else a host and a port may have (RFC 3986, 3.2.2). */
static bool is_host(const struct text *text)
{
    return strspn(text->start, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "-._~%!$&'()*+,;=:[]") == text->length;
}

static void text_trim(struct text *text)
{
    while (text->length > 0 && text->length < sizeof text->start &&
           strchr(" \t", text->start[text->length - 1]))
        text->start[--text->length] = '\0';
}

/* A field is whole. Those of a trailer mean nothing here. */
static int on_value_complete(llhttp_t *parser)
{
    struct http *http = parser->data;
    text_trim(&http->value);
    const char *field = http->field.start, *value = http->value.start;
    int result = 0;
    if (http->field.length == 0) {
        result = refuse(http, BAD_REQUEST);
    } else if (http->at == HEAD && strcasecmp(field, "Host") == 0) {
        if (++http->hosts > 1 || !is_host(&http->value))
            result = refuse(http, BAD_REQUEST);
    } else if (http->at == HEAD && strcasecmp(field, "Transfer-Encoding") == 0) {
        if (++http->codings > 1 || strcasecmp(value, "chunked") != 0)
            result = refuse(http, UNKNOWN_CODING);
    } else if (http->at == HEAD && strcasecmp(field, "Expect") == 0) {
        if (strcasecmp(value, "100-continue") == 0)
            http->expects = true;
        else
            http->expects_more = true;
    }
    text_clear(&http->field);
    text_clear(&http->value);
    return result;
}

/* A target is a path, a whole URL, or "*" (RFC 9112, 3.2). */
static enum status route(const struct http *http)
{
    const char *path = http->target.start, *host = strstr(path, "://");
    if (http->parser.method == HTTP_OPTIONS)
        return OPTIONS;
    if (http->parser.method != HTTP_GET && http->parser.method != HTTP_HEAD &&
        http->parser.method != HTTP_POST)
        return NOT_ALLOWED;
    if (*path == '*')
        return BAD_REQUEST;
    if (*path != '/' && http->target.length >= sizeof http->target.start)
        return NOT_FOUND; /* its host is that long */
    if (*path != '/' && host)
        path = host + 3 + strcspn(host + 3, "/?");
    size_t length = strcspn(path, "?");
    return length == 0 || (length == 1 && *path == '/') ? HELLO : NOT_FOUND;
}

static int on_headers_complete(llhttp_t *parser)
{
    static const char CONTINUE[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct http *http = parser->data;
    bool old = parser->http_minor == 0;
    http->at = BODY;
    if (parser->http_major != 1)
        return refuse(http, UNKNOWN_VERSION);
    if ((!old && http->hosts == 0) || (old && http->codings > 0))
        return refuse(http, BAD_REQUEST);
    if (!old && http->expects_more)
        return refuse(http, UNKNOWN_EXPECTATION);
    http->answer = route(http);
    parser->upgrade = 0; /* it is not offered here, so the request is one like others */
    if (!old && http->expects && (http->codings > 0 || parser->content_length > 0))
        coir_writer_write(&http->out, CONTINUE, strlen(CONTINUE), idle_until);
    return 0;
}

static int on_complete(llhttp_t *parser)
{
    struct http *http = parser->data;
    http->at = BETWEEN;
    http->last = !llhttp_should_keep_alive(parser) || coir_winding_down();
    return HPE_PAUSED;
}

static const llhttp_settings_t SETTINGS = {
    .on_message_begin = on_begin,
    .on_url = on_target,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_message_complete = on_complete,
};

/* ---- serving --------------------------------------------------------------------------------- */

/* Bytes of a request: as coir_read. What is answered is sent before it waits. */
static ssize_t receive(struct http *http, coir_time head_until)
{
    int sent = coir_writer_flush(&http->out, idle_until);
    if (sent < 0)
        return sent;
    if (http->at == BETWEEN)
        return coir_reader_await(&http->in, idle_until);
    return coir_reader_fill(&http->in, http->at == HEAD ? head_until : idle_until);
}

/* Reads a request until it is whole or wrong: the answer is known. False: there is none. */
static bool next_request(struct http *http)
{
    coir_time head_until = idle_until;
    llhttp_errno_t error;
    do {
        ssize_t got = http->in.length > 0 ? 1 : receive(http, head_until);
        bool late = http->at == HEAD && coir_left(head_until) == 0;
        if (late || (got == COIR_TIMED_OUT && http->at != BETWEEN)) {
            http->answer = TOO_LATE;
            http->last = true;
        }
        if (got <= 0 || late)
            return http->last;
        if (http->at == BETWEEN)
            head_until = idle_until;
        error = llhttp_execute(&http->parser, http->in.data, http->in.length);
        const char *end = error ? llhttp_get_error_pos(&http->parser)
                                : http->in.data + http->in.length;
        coir_reader_take(&http->in, (size_t)(end - http->in.data));
    } while (error == HPE_OK);
    if (error == HPE_PAUSED) {
        llhttp_resume(&http->parser);
    } else {
        http->last = true;
        if (!http->refused)
            http->answer = error == HPE_PAUSED_H2_UPGRADE ? UNKNOWN_VERSION : BAD_REQUEST;
    }
    return true;
}

static void send_answer(struct http *http)
{
    const struct made *answer = &made[http->answer][!http->last];
    coir_writer_write(&http->out, answer->text,
                      (size_t)(http->bodiless ? answer->head : answer->size), idle_until);
}

static int serve(int fd, void *arg)
{
    char in[2048], out[2048];
    struct http http = {.at = BETWEEN};
    (void)arg;
    llhttp_init(&http.parser, HTTP_REQUEST, &SETTINGS);
    http.parser.data = &http;
    http.parser.lenient_flags = LENIENT_VERSION; /* on_headers_complete looks at it */
    coir_reader_init(&http.in, fd, in, sizeof in);
    coir_writer_init(&http.out, fd, out, sizeof out);
    while (!http.last && next_request(&http))
        send_answer(&http);
    if (coir_writer_flush(&http.out, idle_until) == 0 && http.last)
        coir_net_drain(fd, coir_after(COIR_MS(500))); /* so that the answer arrives */
    return 0;
}

int main(int argc, char **argv)
{
    server.handler = serve;
    server.beside = each_second;
    return server_main(argc, argv, NULL);
}
