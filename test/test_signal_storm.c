/* A signal each 100 µs, handled without SA_RESTART, while two hundred connections are opened, used
 * and closed: no call fails, and no byte is lost. */
#include "serve.h"
#include "clock.h"

#include <sys/time.h>

enum { CLIENTS = 200, ROUNDS = 25, SIZE_MOST = 5000 };

static volatile sig_atomic_t signals;
static coir_time ends_at; /* or later, when this many signals have come */
static int signals_least;
static long long messages, connections;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static void storm(int period_us)
{
    struct sigaction action = {.sa_handler = count_signal};
    struct timeval period = {.tv_usec = period_us};
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &(struct itimerval){period, period}, NULL), 0);
}

static int echo(int fd, void *arg)
{
    struct server *server = arg;
    char buf[2048];
    ssize_t got;
    serve_enter(server);
    while ((got = coir_net_await(fd, buf, sizeof buf, coir_after(COIR_SEC(30)))) > 0)
        CHECK_EQ(coir_write_all(fd, buf, (size_t)got, NULL, coir_after(COIR_SEC(30))), 0);
    CHECK_EQ(got, 0);
    server->ended++;
    return 0;
}

static void talk_once(int fd, unsigned which)
{
    char sent[SIZE_MOST], back[SIZE_MOST];
    size_t size = 1 + which * 37 % SIZE_MOST;
    for (size_t i = 0; i < size; i++)
        sent[i] = (char)(which + i * 7);
    CHECK_EQ(coir_write_all(fd, sent, size, NULL, coir_after(COIR_SEC(30))), 0);
    CHECK_EQ(coir_read_all(fd, back, size, NULL, coir_after(COIR_SEC(30))), 1);
    CHECK_EQ(memcmp(sent, back, size), 0);
    messages++;
}

static int talk(void *arg)
{
    const struct server *server = arg;
    unsigned which = (unsigned)connections * 101;
    while (coir_left(ends_at) > 0 || signals < signals_least) {
        int fd = serve_dial(server);
        connections++;
        for (int i = 0; i < ROUNDS; i++)
            talk_once(fd, which++);
        CHECK_EQ(coir_close(fd), 0);
        CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    }
    return 0;
}

static int talk_all(void *arg)
{
    struct server server = {.handler = echo, .opts.grace_ns = COIR_SEC(10)};
    coir_fiber clients[CLIENTS];
    (void)arg;
    serve_begin(&server);
    ends_at = coir_after(COIR_MS(1500));
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = run_spawn(talk, &server);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(run_join(clients[i]), 0);
    serve_end(&server);
    CHECK_EQ(server.begun, connections);
    return 0;
}

/* proves: T6 */
TEST(test_a_storm_of_signals_harms_no_connection)
{
    int before = fds_open();
    bool emulated = getenv("COIR_TEST_SLOW");
    signals_least = emulated ? 10 : 1000;
    storm(emulated ? 2000 : 100);
    run_monotonic(talk_all, NULL);
    storm(0);
    CHECK_EQ(fds_open(), before);
    printf("\nnote: %d signals during %lld messages on %lld connections\n", (int)signals, messages,
           connections);
}
