/* Addresses as kernels return them, and connections as they should not come about. */
#include "fds.h"

#include <coir_net.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/un.h>

enum { ROOM = sizeof((struct sockaddr_un *)0)->sun_path };

/* A socket at a path of this length, in a directory of its own. */
static void listen_as(size_t length, int type)
{
    char text[ROOM + 20], told[COIR_ADDR_TEXT];
    struct coir_net_opts opts = {.unlink = true};
    coir_addr addr, parsed;
    const char *scheme = type == SOCK_STREAM ? "unix:" : "unixgram:";
    snprintf(text, sizeof text, "%s%0*d", scheme, (int)length, 7);
    int fd = coir_net_listen(text, &opts);
    CHECK(fd >= 0);
    CHECK_EQ(coir_net_local(fd, &addr), 0);
    CHECK_EQ(coir_addr_text(&addr, told, sizeof told), strlen(text));
    CHECK_STR(told, text);
    CHECK_EQ(coir_addr_parse(&parsed, told), 0);
    CHECK_EQ(parsed.size, addr.size);
    int other = coir_net_dial(told, NULL, COIR_NEVER);
    CHECK(other >= 0);
    CHECK_EQ(coir_net_peer(other, &addr), 0);
    CHECK_EQ(coir_addr_text(&addr, told, sizeof told), strlen(text));
    CHECK_STR(told, text);
    CHECK_EQ(coir_close(other), 0);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(unlink(strchr(text, ':') + 1), 0);
}

static void listen_at_length(size_t length)
{
    listen_as(length, SOCK_STREAM);
    listen_as(length, SOCK_DGRAM);
}

static void (*at_length)(size_t length);

static int at_each_length(void *arg)
{
    char place[] = "/tmp/coir-test-XXXXXX";
    CHECK(mkdtemp(place));
    CHECK_EQ(chdir(place), 0);
    fds_count();
    for (size_t length = 1; length <= ROOM; length++)
        at_length(length);
    CHECK_EQ(rmdir(place), 0);
    return arg ? 1 : 0;
}

/* proves: N1, N2 */
TEST(test_regress_a_path_that_fills_all_the_room_had_no_text)
{
    at_length = listen_at_length;
    run_virtual(at_each_length, NULL);
}

/* The queue of a named socket that is full is tried again, whatever the length of the name. */
static void send_at_length(size_t length)
{
    char text[ROOM + 20];
    coir_addr addr;
    snprintf(text, sizeof text, "unixgram:%0*d", (int)length, 7);
    int full = coir_net_listen(text, &(struct coir_net_opts){.unlink = true});
    int fd = coir_socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(full >= 0 && fd >= 0);
    CHECK_EQ(coir_addr_parse(&addr, text), 0);
    const struct sockaddr *name = (const struct sockaddr *)&addr.storage;
    while (coir_sendto(fd, "x", 1, 0, name, addr.size, COIR_TRY) == 1)
        continue;
    int before = fds_calls.start;
    CHECK_EQ(coir_sendto(fd, "x", 1, 0, name, addr.size, coir_after(COIR_SEC(1))), COIR_TIMED_OUT);
    CHECK(fds_calls.start - before < 250);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(coir_close(full), 0);
    CHECK_EQ(unlink(strchr(text, ':') + 1), 0);
}

/* proves: D14, T7 */
TEST(test_regress_a_send_to_a_short_name_whose_queue_is_full_was_tried_without_a_pause)
{
    at_length = send_at_length;
    run_virtual(at_each_length, NULL);
}

/* ---- a socket that meets itself ---- */

enum { ONLY_PORT = 40000 };

#ifdef __linux__

/* A network of this process's own, in which sockets get one port or the next. */
static void make_network(void)
{
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    if (unshare(CLONE_NEWNET) != 0)
        SKIP("this process may not have a network of its own");
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(fd >= 0);
    CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &loopback), 0);
    CHECK_EQ(close(fd), 0);
    FILE *range = fopen("/proc/sys/net/ipv4/ip_local_port_range", "w");
    if (!range)
        SKIP("the range of ports cannot be changed");
    fprintf(range, "%d %d\n", ONLY_PORT, ONLY_PORT + 1);
    CHECK_EQ(fclose(range), 0);
}

#else

static void make_network(void)
{
    SKIP("the system has no networks of a process's own");
}

#endif

static int dial_dead_port(void *arg)
{
    char text[32];
    const char *const hosts[] = {"127.0.0.1", "0.0.0.0"};
    for (int i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "%s:%d", hosts[i % 2], ONLY_PORT + i / 2 % 2);
        int fd = coir_net_dial(text, NULL, COIR_NEVER);
        CHECK(fd == -ECONNREFUSED || fd == -EADDRNOTAVAIL);
    }
    return arg ? 1 : 0;
}

/* proves: N2 */
TEST(test_regress_dialling_a_dead_port_could_connect_to_itself)
{
    make_network();
    run_monotonic(dial_dead_port, NULL);
}
