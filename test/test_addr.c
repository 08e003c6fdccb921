/* Addresses as text and back. */
#include "fds.h"

#include <coir_net.h>
#include <net/if.h>
#include <stddef.h>
#include <sys/un.h>

#ifdef __linux__
enum { ABSTRACT = true };
#else
enum { ABSTRACT = false };
#endif

/* ---- text ---- */

static const struct good {
    const char *text, *canonical;
    int family, type;
} GOOD[] = {
    {"127.0.0.1:80", "127.0.0.1:80", AF_INET, SOCK_STREAM},
    {"tcp:127.0.0.1:80", "127.0.0.1:80", AF_INET, SOCK_STREAM},
    {"udp:127.0.0.1:0", "udp:127.0.0.1:0", AF_INET, SOCK_DGRAM},
    {"0.0.0.0:65535", "0.0.0.0:65535", AF_INET, SOCK_STREAM},
    {"[::1]:80", "[::1]:80", AF_INET6, SOCK_STREAM},
    {"udp:[::1]:53", "udp:[::1]:53", AF_INET6, SOCK_DGRAM},
    {":80", "[::]:80", AF_INET6, SOCK_STREAM},
    {"udp::0", "udp:[::]:0", AF_INET6, SOCK_DGRAM},
    {"[2001:DB8:0:0::01]:1", "[2001:db8::1]:1", AF_INET6, SOCK_STREAM},
    {"[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]:1", AF_INET6, SOCK_STREAM},
    {"[fe80::1%7]:80", "[fe80::1%7]:80", AF_INET6, SOCK_STREAM},
    {"[fe80::1%4294967295]:80", "[fe80::1%4294967295]:80", AF_INET6, SOCK_STREAM},
    {"/run/x", "unix:/run/x", AF_UNIX, SOCK_STREAM},
    {"./x", "unix:./x", AF_UNIX, SOCK_STREAM},
    {"../x", "unix:../x", AF_UNIX, SOCK_STREAM},
    {"unix:x", "unix:x", AF_UNIX, SOCK_STREAM},
    {"unix:tcp:1.2.3.4:80", "unix:tcp:1.2.3.4:80", AF_UNIX, SOCK_STREAM},
    {"unixgram:/run/log", "unixgram:/run/log", AF_UNIX, SOCK_DGRAM},
    {"./@x", "unix:./@x", AF_UNIX, SOCK_STREAM},
    {"././@x", "unix:././@x", AF_UNIX, SOCK_STREAM},
};

static void check_text(const coir_addr *addr, const char *expected)
{
    char text[COIR_ADDR_TEXT];
    int length = coir_addr_text(addr, text, sizeof text);
    CHECK_STR(text, expected);
    CHECK_EQ(length, strlen(expected));
    CHECK_EQ(coir_addr_text(addr, text, (size_t)length), -ENAMETOOLONG);
    CHECK_STR(text, "");
    CHECK_EQ(coir_addr_text(addr, text, (size_t)length + 1), length);
    CHECK_EQ(coir_addr_text(addr, NULL, 0), -ENAMETOOLONG);
}

/* proves: N1 */
TEST(test_addresses_are_read_and_written)
{
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        coir_addr addr;
        printf("%s\n", GOOD[i].text);
        CHECK_EQ(coir_addr_parse(&addr, GOOD[i].text), 0);
        CHECK_EQ(addr.storage.ss_family, GOOD[i].family);
        CHECK_EQ(addr.type, GOOD[i].type);
        check_text(&addr, GOOD[i].canonical);
    }
    coir_addr addr;
    CHECK_EQ(coir_addr_parse(&addr, "[fe80::1%7]:80"), 0);
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&addr.storage;
    CHECK_EQ(in6->sin6_scope_id, 7);
    CHECK_EQ(ntohs(in6->sin6_port), 80);
    CHECK_EQ(addr.size, sizeof *in6);
    CHECK_EQ(coir_addr_parse(&addr, "/run/x"), 0);
    CHECK_EQ(addr.size, offsetof(struct sockaddr_un, sun_path) + sizeof "/run/x");
}

/* proves: N1 */
TEST(test_an_interface_is_found_by_its_name)
{
    char name[IF_NAMESIZE], text[64], expected[64];
    coir_addr addr;
    if (!if_indextoname(1, name))
        SKIP("there is no interface 1");
    snprintf(text, sizeof text, "[fe80::1%%%s]:80", name);
    CHECK_EQ(coir_addr_parse(&addr, text), 0);
    snprintf(expected, sizeof expected, "[fe80::1%%%d]:80", 1);
    check_text(&addr, expected);
    CHECK_EQ(coir_addr_parse(&addr, "[fe80::1%nonesuch]:80"), -ENODEV);
}

/* proves: N1 */
TEST(test_abstract_names_are_read_and_written)
{
    coir_addr addr;
    if (!ABSTRACT) {
        CHECK_EQ(coir_addr_parse(&addr, "@name"), -EINVAL);
        SKIP("the system has none");
    }
    CHECK_EQ(coir_addr_parse(&addr, "@name"), 0);
    CHECK_EQ(addr.size, offsetof(struct sockaddr_un, sun_path) + 5);
    check_text(&addr, "unix:@name");
    CHECK_EQ(coir_addr_parse(&addr, "unixgram:@a@b"), 0);
    check_text(&addr, "unixgram:@a@b");
    ((struct sockaddr_un *)&addr.storage)->sun_path[2] = '\0';
    check_text(&addr, "unixgram:@a@b");
    CHECK_EQ(coir_addr_parse(&addr, "unix:@"), -EINVAL);
}

static const char *const BAD[] = {
    "", ":", "tcp:", "udp:", "unix:", "unixgram:", "tcp", "80", "localhost:80", "x:80",
    "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:99999", "127.0.0.1:100000",
    "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 1", "127.0.0.1:1 ", " 127.0.0.1:1",
    "127.0.0.1:0x1", "127.0.0.1:080", "127.0.0.1:00", "127.0.0.1:http",
    "1.2.3.4:18446744073709551696", "1.2.3:1", "1.2.3.4.5:1", "1.2.3.256:1", "1.2.3.:1",
    "0x7f.1:1", "::1:80", "fe80::1", "[::1]",
    "[::1]:", "[::1]80", "[::1:80", "::1]:80", "[[::1]]:80", "[]:80", "[::1]:80:90",
    "[127.0.0.1]:80",
    "[::g]:80", "[1:2:3:4:5:6:7]:80", "[1:2:3:4:5:6:7:8:9]:80", "[fe80::1%]:80", "[fe80::1%0]:80",
    "[fe80::1%07]:80", "[fe80::1%4294967296]:80", "[%1]:80", "127.0.0.1%1:80", "TCP:127.0.0.1:80",
    "tcp:udp:127.0.0.1:80", "tcp:/run/x", "http://127.0.0.1:80", "127.0.0.1:80/", "[::1]:80\n",
    "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff:1234]:80",
    "1111111111111111111111111111111111111111111111111111111111111111111111111111111111111.2.3.4:5",
};

/* proves: N1 */
TEST(test_bad_addresses_are_refused_and_change_nothing)
{
    coir_addr before, addr;
    char text[COIR_ADDR_TEXT];
    memset(&before, 0x5a, sizeof before);
    addr = before;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        printf("'%s'\n", BAD[i]);
        CHECK_EQ(coir_addr_parse(&addr, BAD[i]), -EINVAL);
        CHECK(memcmp(&addr, &before, sizeof addr) == 0);
    }
    addr = (coir_addr){.storage.ss_family = AF_UNSPEC, .size = sizeof addr.storage};
    CHECK_EQ(coir_addr_text(&addr, text, sizeof text), -EAFNOSUPPORT);
    CHECK_STR(text, "");
    int families[] = {AF_INET, AF_INET6, AF_UNIX};
    for (int i = 0; i < 3; i++) {
        addr = (coir_addr){.storage.ss_family = (sa_family_t)families[i], .size = 1};
        CHECK_EQ(coir_addr_text(&addr, text, sizeof text), -EINVAL);
        CHECK_STR(text, "");
    }
    addr.size = sizeof(struct sockaddr_un) + 2;
    CHECK_EQ(coir_addr_text(&addr, text, sizeof text), -EINVAL);
}

/* proves: N1 */
TEST(test_paths_may_be_as_long_as_the_system_lets_them)
{
    enum { ROOM = sizeof((struct sockaddr_un *)0)->sun_path };
    char text[ROOM + 20], back[COIR_ADDR_TEXT];
    const char *const kinds[] = {"unix:/", "unix:@", "unixgram:/"};
    for (int kind = 0; kind < 3; kind++) {
        size_t before = strlen(kinds[kind]) - 1;
        if (kinds[kind][before] == '@' && !ABSTRACT)
            continue;
        for (size_t length = 2; length < ROOM + 3; length++) {
            coir_addr addr;
            snprintf(text, sizeof text, "%s%0*d", kinds[kind], (int)length - 1, 7);
            bool fits = length <= ROOM;
            CHECK_EQ(coir_addr_parse(&addr, text), fits ? 0 : -ENAMETOOLONG);
            if (!fits)
                continue;
            CHECK_EQ(coir_addr_text(&addr, back, sizeof back), strlen(text));
            CHECK_STR(back, text);
        }
    }
    /* A path of the kernel's may fill all of the room, without a NUL, or with one that is counted
     * beyond it. */
    coir_addr full = {.storage.ss_family = AF_UNIX, .size = sizeof(struct sockaddr_un) + 1};
    struct sockaddr_un *un = (struct sockaddr_un *)&full.storage;
    memset(un->sun_path, '@', ROOM);
    full.type = SOCK_DGRAM;
    CHECK_EQ(coir_addr_text(&full, back, sizeof back), strlen("unixgram:./") + ROOM);
    full.size--;
    CHECK_EQ(coir_addr_text(&full, back, sizeof back), strlen("unixgram:./") + ROOM);

    CHECK_EQ(back[strlen("unixgram:./")], 64);
    full.size = offsetof(struct sockaddr_un, sun_path);
    CHECK_EQ(coir_addr_text(&full, back, sizeof back), strlen("unixgram:"));
}

static uint64_t random_state = 88172645463325252;

static unsigned random_below(unsigned most)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 20) % most;
}

/* An address of any family, with zeros where a text often goes wrong. */
static coir_addr random_addr(void)
{
    coir_addr addr = {.type = random_below(2) ? SOCK_STREAM : SOCK_DGRAM};
    struct sockaddr_in *in = (struct sockaddr_in *)&addr.storage;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&addr.storage;
    struct sockaddr_un *un = (struct sockaddr_un *)&addr.storage;
    unsigned family = random_below(3);
    if (family == 0) {
        in->sin_family = AF_INET;
        in->sin_port = (in_port_t)random_below(65536);
        in->sin_addr.s_addr = random_below(UINT32_MAX);
        addr.size = sizeof *in;
    } else if (family == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = (in_port_t)random_below(65536);
        in6->sin6_scope_id = random_below(2) ? random_below(UINT32_MAX) : 0;
        for (int i = 0; i < 16; i++)
            in6->sin6_addr.s6_addr[i] = (uint8_t)(random_below(2) ? random_below(256) : 0);
        addr.size = sizeof *in6;
    } else {
        size_t length = 1 + random_below(100), first = ABSTRACT ? random_below(2) : 0;
        un->sun_family = AF_UNIX;
        for (size_t i = first; i < first + length; i++)
            un->sun_path[i] = (char)(1 + random_below(255));
        addr.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    }
    return addr;
}

/* proves: N1 */
TEST(test_random_addresses_come_back_from_their_text)
{
    for (int i = 0; i < 200000; i++) {
        coir_addr addr = random_addr(), back;
        char text[COIR_ADDR_TEXT], again[COIR_ADDR_TEXT];
        CHECK(coir_addr_text(&addr, text, sizeof text) > 0);
        CHECK_EQ(coir_addr_parse(&back, text), 0);
        CHECK(coir_addr_text(&back, again, sizeof again) > 0);
        CHECK_STR(again, text);
        CHECK_EQ(back.type, addr.type);
        CHECK_EQ(back.storage.ss_family, addr.storage.ss_family);
        bool same = back.size == addr.size && memcmp(&back.storage, &addr.storage, back.size) == 0;
        CHECK(same);
    }
}

/* No text makes it read or write where it should not: AddressSanitizer looks. proves: N1 */
TEST(test_random_text_is_an_address_or_an_error)
{
    static const char LETTERS[] = "0123456789abcdef:::...[]%@/tcpudnixgram-_ \n";
    int good = 0;
    for (int i = 0; i < 300000; i++) {
        size_t length = random_below(30);
        char *text = malloc(length + 1), again[COIR_ADDR_TEXT];
        const char *base = GOOD[random_below(sizeof GOOD / sizeof *GOOD)].text;
        for (size_t at = 0; at < length; at++)
            text[at] = LETTERS[random_below(sizeof LETTERS - 1)];
        text[length] = '\0';
        if (i % 2 && length >= strlen(base)) { /* a good one with an error */
            memcpy(text, base, strlen(base) + 1);
            text[random_below((unsigned)strlen(base))] = LETTERS[random_below(sizeof LETTERS - 1)];
        }
        coir_addr addr;
        int result = coir_addr_parse(&addr, text);
        CHECK(result == 0 || result == -EINVAL || result == -ENODEV);
        good += result == 0;
        CHECK(result < 0 || coir_addr_text(&addr, again, sizeof again) > 0);
        free(text);
    }
    CHECK(good > 1000);
}
