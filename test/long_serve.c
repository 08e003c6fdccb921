/* Ten thousand connections at once, from a process of their own, to a server that may have 64
 * descriptors: all are served, and while nothing can be accepted the server is at rest. */
#define TEST_SECONDS 120
#include "serve.h"
#include "clock.h"

enum { CLIENTS = 10000, ROOM = 64 };

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void limit_descriptors(rlim_t most)
{
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = most;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Connects all of them; a queue that is full makes a connect wait. Then reads a byte of each. */
static void be_clients(const char *text)
{
    int *fds = calloc(CLIENTS, sizeof *fds), served = 0;
    coir_addr addr;
    CHECK_EQ(coir_addr_parse(&addr, text), 0);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (fds[i] < 0 || connect(fds[i], (struct sockaddr *)&addr.storage, addr.size) != 0)
            _exit(1);
    }
    for (int i = 0; i < CLIENTS; i++) {
        char byte;
        served += read(fds[i], &byte, 1) == 1;
        close(fds[i]);
    }
    _exit(served == CLIENTS ? 0 : 2);
}

/* Holds its connection as long as the server has work. */
static int hold(int fd, void *arg)
{
    struct server *server = arg;
    serve_enter(server);
    while (server->work_ns)
        coir_sleep(COIR_MS(5));
    coir_write(fd, "x", 1, COIR_NEVER);
    server->ended++;
    return 0;
}

static int storm(void *arg)
{
    struct server *server = arg;
    int status;
    server->fiber = run_spawn(serve_run, server);
    while (server->most < ROOM / 2)
        CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    CHECK_EQ(coir_sleep(COIR_MS(500)), 0);
    serve_count();
    double cpu = cpu_seconds();
    uint64_t from = now_ns();
    CHECK_EQ(coir_sleep(COIR_SEC(2)), 0);
    double seconds = (double)(now_ns() - from) / 1e9;
    cpu = (cpu_seconds() - cpu) / seconds;
    int stuck = serve_calls.accepts;
    server->work_ns = 0;
    pid_t ended;
    while ((ended = waitpid(-1, &status, WNOHANG)) == 0)
        CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
    CHECK_EQ(server->begun, CLIENTS);
    printf("\nnote: %d connections through %d descriptors in %.1f s, %d accepts; stuck for 2 s: "
           "%d accepts, CPU %.2f %%\n",
           CLIENTS, ROOM, (double)(now_ns() - from) / 1e9, serve_calls.accepts, stuck,
           100 * cpu);
    CHECK(cpu < 0.1);
    CHECK(stuck < 20 * seconds);
    serve_end(server);
    return 0;
}

static int listen_only(void *arg)
{
    struct server *server = arg;
    struct coir_net_opts opts = {.backlog = 2 * CLIENTS};
    coir_addr addr;
    server->listener = serve_must(coir_net_listen("127.0.0.1:0", &opts));
    CHECK_EQ(coir_net_local(server->listener, &addr), 0);
    CHECK(coir_addr_text(&addr, server->text, sizeof server->text) > 0);
    return 0;
}

/* proves: N6 */
TEST(test_ten_thousand_connections_are_served_with_few_descriptors)
{
    struct server server = {.handler = hold, .work_ns = 1};
    struct rlimit limit;
    int before = fds_open();
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < CLIENTS + 100)
        SKIP("so many descriptors are not to be had");
    run_monotonic(listen_only, &server);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        limit_descriptors(CLIENTS + 100);
        be_clients(server.text);
    }
    limit_descriptors(ROOM);
    run_monotonic(storm, &server);
    CHECK_EQ(fds_open(), before);
}
