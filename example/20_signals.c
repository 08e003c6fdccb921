/* Signals: a handler may do next to nothing, but it may post a letter, whose function is called by
 * the loop a moment later, like any other code of the scheduler's thread. */
#include <coir_post.h>

#include <signal.h>
#include <stdio.h>

static coir_mailbox mailbox;
static coir_fiber server;
static int reloads;

static void reload(void *arg)
{
    (void)arg;
    printf("reload %d\n", ++reloads);
    if (reloads == 3)
        raise(SIGTERM);
}

/* Whatever the server does then, it winds down or cleans up as after any other cancel. */
static void stop(void *arg)
{
    (void)arg;
    coir_cancel(server, 0);
}

static coir_letter letters[] = {{.fn = reload}, {.fn = stop}};

static void handle(int signal)
{
    coir_post(mailbox, &letters[signal == SIGTERM]);
}

static int serve(void *arg)
{
    (void)arg;
    int result = coir_mailbox_open(&mailbox, COIR_WEAK);
    if (result < 0)
        return result;
    server = coir_self();
    reloads = 0;
    sigaction(SIGHUP, &(struct sigaction){.sa_handler = handle}, NULL);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = handle}, NULL);
    while ((result = coir_sleep(COIR_MS(10))) == 0)
        raise(SIGHUP); /* as `kill -HUP` would, from another terminal */
    puts("stopped");
    signal(SIGHUP, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    coir_mailbox_close(mailbox);
    return result == COIR_CANCELLED ? 0 : result;
}

int main(void)
{
    return coir_run(serve, NULL, NULL, NULL) < 0;
}
