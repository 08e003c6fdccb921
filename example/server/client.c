/* A client of the echo server: opens connections, sends a message this many times on each, and
 * compares what comes back.
 *
 * usage: client [ADDRESS [CONNECTIONS [ROUNDS]]] */
#include <coir_net.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_S = 10, SIZE_MOST = 1000 };

static const char *address = "127.0.0.1:7000";
static int rounds = 10;
static long long right, wrong;

/* Messages of all lengths, different for each connection and round. */
static size_t make_message(char *message, unsigned which)
{
    size_t size = 1 + which * 37 % SIZE_MOST;
    for (size_t i = 0; i < size; i++)
        message[i] = (char)(which + i * 7);
    return size;
}

static int talk(void *arg)
{
    char sent[SIZE_MOST], got[SIZE_MOST];
    unsigned which = (unsigned)(uintptr_t)arg;
    int fd = coir_net_dial(address, NULL, coir_after(COIR_SEC(PATIENCE_S)));
    for (int i = 0; i < rounds; i++) {
        coir_time until = coir_after(COIR_SEC(PATIENCE_S));
        size_t size = make_message(sent, which + (unsigned)i);
        if (fd >= 0 && coir_write_all(fd, sent, size, NULL, until) == 0 &&
            coir_read_all(fd, got, size, NULL, until) == 1 && !memcmp(sent, got, size))
            right++;
        else
            wrong++;
    }
    return fd < 0 ? fd : coir_close(fd);
}

static int run(void *arg)
{
    int connections = *(int *)arg;
    for (int i = 0; i < connections; i++)
        if (coir_spawn(NULL, talk, (void *)(uintptr_t)i, NULL) < 0)
            wrong += rounds;
    return 0;
}

int main(int argc, char **argv)
{
    int connections = argc > 2 ? atoi(argv[2]) : 10;
    address = argc > 1 ? argv[1] : address;
    rounds = argc > 3 ? atoi(argv[3]) : rounds;
    if (coir_run(run, &connections, NULL, NULL) < 0)
        return 1;
    printf("%d connections, %lld messages came back, %lld did not\n", connections, right, wrong);
    return wrong != 0;
}
