/* One wait for four kinds of things: standard input, a socket, a channel and a ticker. */
#include <coir_io.h>
#include <coir_select.h>

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static coir_chan numbers;
static coir_event tick;
static int ends[2]; /* of a socket */

static int ticker(void *arg)
{
    (void)arg;
    while (coir_sleep(COIR_MS(20)) == 0)
        coir_event_set(&tick);
    return COIR_CANCELLED;
}

static int peer(void *arg)
{
    (void)arg;
    coir_sleep(COIR_MS(10));
    coir_chan_send(&numbers, &(int){42}, COIR_NEVER);
    coir_sleep(COIR_MS(20));
    return coir_write(ends[1], "mail", 4, COIR_NEVER) == 4 ? 0 : 1;
}

static int hub(void *arg)
{
    enum { INPUT, SOCKET, NUMBER, TICK, CASES };
    char text[64];
    int number, first = INPUT;
    (void)arg;
    coir_chan_open(&numbers, sizeof number, 0);
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    COIR_SCOPE(scope, COIR_NEVER, 0);
    coir_spawn(NULL, peer, NULL, NULL);
    coir_spawn(NULL, ticker, NULL, &(struct coir_spawn_opts){.daemon = true});
    coir_case cases[CASES] = {
        [INPUT] = coir_case_fd(STDIN_FILENO, COIR_IN),
        [SOCKET] = coir_case_fd(ends[0], COIR_IN),
        [NUMBER] = coir_case_recv(&numbers, &number),
        [TICK] = coir_case_take(&tick),
    };
    for (int rounds = 0; rounds < 5; rounds++) {
        int which = coir_select(cases + first, CASES - (size_t)first, 0, COIR_NEVER) + first;
        if (which == INPUT && coir_read(STDIN_FILENO, text, sizeof text, COIR_NEVER) == 0)
            first = SOCKET, puts("no more input");
        else if (which == SOCKET)
            printf("%d bytes of mail\n", (int)coir_read(ends[0], text, sizeof text, COIR_NEVER));
        else if (which == NUMBER)
            printf("the number %d\n", number);
        else if (which == TICK)
            puts("tick");
    }
    int result = coir_scope_end(&scope, 0);
    coir_chan_free(&numbers, NULL, NULL);
    return coir_close(ends[0]) < 0 || coir_close(ends[1]) < 0 ? 1 : result;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    return coir_run(hub, NULL, &opts, NULL) < 0;
}
