/* One wait for four kinds of things: standard input, a socket, a channel and a ticker. */
#include <coir_io.h>
#include <coir_select.h>

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static coir_chan numbers;
static int ends[2]; /* of a socket */

static int ticker(void *event)
{
    int result;
    while ((result = coir_sleep(COIR_MS(20))) == 0)
        coir_event_set(event);
    return result;
}

static int peer(void *mail)
{
    int result = coir_sleep(COIR_MS(10));
    if (result == 0 && (result = coir_chan_send(&numbers, &(int){42}, COIR_NEVER)) == 0)
        result = coir_sleep(COIR_MS(20));
    return result < 0 ? result : (int)coir_write(ends[1], mail, 4, COIR_NEVER);
}

static int hub(void *mail)
{
    enum { INPUT, SOCKET, NUMBER, TICK, CASES };
    coir_event tick = {{0}}, never = {{0}};
    char text[64];
    int number, which = coir_socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    coir_case cases[CASES] = {[INPUT] = coir_case_fd(STDIN_FILENO, COIR_IN),
                              [SOCKET] = coir_case_fd(ends[0], COIR_IN),
                              [NUMBER] = coir_case_recv(&numbers, &number),
                              [TICK] = coir_case_take(&tick)};
    COIR_SCOPE(scope, COIR_NEVER, 0);
    if (which == 0 && (which = coir_chan_open(&numbers, sizeof number, 0)) == 0 &&
        (which = coir_spawn(NULL, peer, mail, NULL)) == 0)
        which = coir_spawn(NULL, ticker, &tick, &(struct coir_spawn_opts){.daemon = true});
    for (int round = 0; round < 5 && which >= 0; round++) {
        which = coir_select(cases, CASES, 0, COIR_NEVER);
        if (which == INPUT && coir_read(STDIN_FILENO, text, sizeof text, COIR_NEVER) <= 0)
            cases[INPUT] = coir_case_wait(&never), puts("no more input");
        else if (which == SOCKET)
            printf("%d bytes of mail\n", (int)coir_read(ends[0], text, sizeof text, COIR_NEVER));
        else if (which == NUMBER || which == TICK)
            which == TICK ? puts("tick") : printf("the number %d\n", number);
    }
    which = coir_scope_end(&scope, which);
    coir_close(ends[0]), coir_close(ends[1]);
    return which;
}

int main(void)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL};
    return coir_run(hub, (char[]){"mail"}, &opts, NULL) < 0;
}
