/* Addresses as text and back. Nothing here knows of fibers or sockets; of the system it asks only
 * the number of an interface that is given by name, so a text that has none means the same
 * anywhere. What is read is one canonical spelling, or an error: a server that listens elsewhere
 * than its configuration says is worse than one that does not begin. */
#include "../base/base.h"

#include "../../include/coir_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#ifdef __linux__
enum { ADDR_ABSTRACT = true };
#else
enum { ADDR_ABSTRACT = false };
#endif

enum { ADDR_PORT_DIGITS = 5, ADDR_PATH_OFFSET = offsetof(struct sockaddr_un, sun_path) };

/* The default of each family stands before the other one. */
static const struct addr_scheme {
    const char *prefix;
    bool path;
    int type;
} SCHEMES[] = {
    {"tcp:", false, SOCK_STREAM},
    {"udp:", false, SOCK_DGRAM},
    {"unix:", true, SOCK_STREAM},
    {"unixgram:", true, SOCK_DGRAM},
};

enum { SCHEMES_COUNT = sizeof SCHEMES / sizeof *SCHEMES };

/* A decimal number in its one spelling; -EINVAL for anything else. */
static int64_t addr_number(const char *text, size_t digits_most)
{
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > digits_most || text[length] || (text[0] == '0' && length > 1))
        return -EINVAL;
    int64_t value = 0;
    for (size_t i = 0; i < length; i++)
        value = 10 * value + (text[i] - '0');
    return value;
}

static int addr_parse_port(const char *text, in_port_t *port)
{
    int64_t value = addr_number(text, ADDR_PORT_DIGITS);
    if (value < 0 || value > UINT16_MAX)
        return -EINVAL;
    *port = htons((uint16_t)value);
    return 0;
}

static int addr_parse_zone(const char *text, struct sockaddr_in6 *in6)
{
    int64_t number = addr_number(text, 10);
    if (number > 0 && number <= UINT32_MAX) {
        in6->sin6_scope_id = (uint32_t)number;
        return 0;
    }
    if (text[strspn(text, "0123456789")] == '\0')
        return -EINVAL;
    errno = 0;
    in6->sin6_scope_id = if_nametoindex(text);
    return in6->sin6_scope_id ? 0 : errno ? -errno : -ENODEV;
}

/* What stands in brackets. */
static int addr_parse_v6(char *host, const char *port, coir_addr *addr)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&addr->storage;
    char *zone = strchr(host, '%');
    if (zone)
        *zone++ = '\0';
    in6->sin6_family = AF_INET6;
    addr->size = sizeof *in6;
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1 ||
        addr_parse_port(port, &in6->sin6_port) < 0)
        return -EINVAL;
    return zone ? addr_parse_zone(zone, in6) : 0;
}

static int addr_parse_v4(const char *host, const char *port, coir_addr *addr)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&addr->storage;
    in->sin_family = AF_INET;
    addr->size = sizeof *in;
    return inet_pton(AF_INET, host, &in->sin_addr) == 1 ? addr_parse_port(port, &in->sin_port)
                                                        : -EINVAL;
}

static int addr_parse_host(const char *text, coir_addr *addr)
{
    char host[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE], any[] = "::";
    bool brackets = text[0] == '[';
    const char *end = strchr(text, brackets ? ']' : ':');
    text += brackets;
    size_t length = end ? (size_t)(end - text) : sizeof host;
    if (length >= sizeof host || (brackets && end[1] != ':'))
        return -EINVAL;
    memcpy(host, text, length);
    host[length] = '\0';
    if (brackets)
        return addr_parse_v6(host, end + 2, addr);
    return length == 0 ? addr_parse_v6(any, end + 1, addr) : addr_parse_v4(host, end + 1, addr);
}

/* Whether a path would pass for an abstract name but for the "./" in front: in a text, it has one
 * more of them. */
static bool addr_has_at_sign(const char *path, size_t length)
{
    for (; length >= 2 && path[0] == '.' && path[1] == '/'; length -= 2)
        path += 2;
    return length > 0 && path[0] == '@';
}

static int addr_parse_path(const char *text, coir_addr *addr)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&addr->storage;
    bool abstract = text[0] == '@';
    if (!abstract && addr_has_at_sign(text, strlen(text)))
        text += 2;
    size_t length = strlen(text);
    un->sun_family = AF_UNIX;
    if (length <= abstract || (abstract && !ADDR_ABSTRACT))
        return -EINVAL;
    if (length > sizeof un->sun_path)
        return -ENAMETOOLONG;
    memcpy(un->sun_path, text, length);
    if (abstract)
        un->sun_path[0] = '\0';
    bool has_end = !abstract && length < sizeof un->sun_path;
    addr->size = (socklen_t)(ADDR_PATH_OFFSET + length + has_end);
    return 0;
}

static bool addr_looks_like_path(const char *text)
{
    return text[0] == '/' || text[0] == '@' || strncmp(text, "./", 2) == 0 ||
           strncmp(text, "../", 3) == 0;
}

int coir_addr_parse(coir_addr *addr, const char *text)
{
    if (CR_UNLIKELY(!addr || !text))
        return -EINVAL;
    bool path = addr_looks_like_path(text);
    coir_addr made = {.type = SOCK_STREAM};
    for (int i = 0; i < SCHEMES_COUNT; i++) {
        size_t length = strlen(SCHEMES[i].prefix);
        if (strncmp(text, SCHEMES[i].prefix, length) == 0) {
            made.type = SCHEMES[i].type;
            path = SCHEMES[i].path;
            text += length;
            break;
        }
    }
    int result = path ? addr_parse_path(text, &made) : addr_parse_host(text, &made);
    if (result == 0)
        *addr = made;
    return result;
}

/* The text of what stands before a port. */
static int addr_host_text(const coir_addr *addr, char *host, size_t size, in_port_t *port)
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr->storage;
    const struct sockaddr_in *in = (const struct sockaddr_in *)&addr->storage;
    char text[INET6_ADDRSTRLEN] = "";
    if (addr->storage.ss_family == AF_INET) {
        *port = in->sin_port;
        inet_ntop(AF_INET, &in->sin_addr, host, (socklen_t)size);
        return addr->size >= sizeof *in ? 0 : -EINVAL;
    }
    *port = in6->sin6_port;
    inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
    if (in6->sin6_scope_id)
        snprintf(host, size, "[%s%%%lu]", text, (unsigned long)in6->sin6_scope_id);
    else
        snprintf(host, size, "[%s]", text);
    return addr->size >= sizeof *in6 ? 0 : -EINVAL;
}

/* Returns the length of the path's text, in `path`, which has room for two bytes more than a path
 * has. Of one that fills all the room, Linux counts a NUL beyond it. */
static int addr_path_text(const coir_addr *addr, char *path)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&addr->storage;
    size_t size = addr->size - ADDR_PATH_OFFSET;
    size = size < sizeof un->sun_path ? size : sizeof un->sun_path;
    size_t length = strnlen(un->sun_path, size);
    if (ADDR_ABSTRACT && size > 0 && length == 0) {
        for (size_t i = 0; i < size; i++)
            path[i] = (char)(un->sun_path[i] ? un->sun_path[i] : '@');
        return (int)size;
    }
    size_t before = addr_has_at_sign(un->sun_path, length) ? 2 : 0;
    memcpy(path, "./", before);
    memcpy(path + before, un->sun_path, length);
    return (int)(before + length);
}

int coir_addr_text(const coir_addr *addr, char *text, size_t size)
{
    if (CR_UNLIKELY(!text && size > 0))
        return -EINVAL;
    if (size > COIR_ADDR_TEXT)
        size = COIR_ADDR_TEXT;
    if (size > 0)
        text[0] = '\0';
    if (CR_UNLIKELY(!addr))
        return -EINVAL;
    char body[sizeof(struct sockaddr_un) + 2];
    bool path = addr->storage.ss_family == AF_UNIX, datagram = addr->type == SOCK_DGRAM;
    in_port_t port = 0;
    int length;
    if (path && (addr->size < ADDR_PATH_OFFSET || addr->size > sizeof(struct sockaddr_un) + 1))
        return -EINVAL;
    if (!path && addr->storage.ss_family != AF_INET && addr->storage.ss_family != AF_INET6)
        return -EAFNOSUPPORT;
    if (path) {
        int got = addr_path_text(addr, body);
        length = snprintf(text, size, "%s%.*s", SCHEMES[2 + datagram].prefix, got, body);
    } else {
        int bad = addr_host_text(addr, body, sizeof body, &port);
        if (bad < 0)
            return bad;
        length = snprintf(text, size, "%s%s:%u", datagram ? "udp:" : "", body,
                          (unsigned)ntohs(port));
    }
    if ((size_t)length < size)
        return length;
    if (size > 0)
        text[0] = '\0';
    return -ENAMETOOLONG;
}
