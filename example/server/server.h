/* What these servers share. Each is run as
 *
 *     NAME [ADDRESS [IDLE_S [GRACE_S]]]
 *
 * and says on standard output where it listens, so that port 0 will do. On SIGTERM or SIGINT it
 * takes no more connections, gives those that are at work a grace, and exits with status 0. */
#ifndef SERVER_H
#define SERVER_H

#include <coir_net.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct server {
    int (*handler)(int fd, void *arg);
    int (*beside)(void *arg); /* a fiber that lives as long as the server, if any */
    const char *address;
    int64_t idle_ns, grace_ns;
};

static struct server server; /* the program's: of a process there is one */

/* The handler of the signals posts a letter, and the loop opens it: coir_cancel may be called by
 * the loop, but not by the handler of a signal. */
static coir_mailbox server_mailbox;
static coir_fiber server_fiber;

static void server_stop(void *arg)
{
    (void)arg;
    coir_cancel(server_fiber);
}

static coir_letter server_letter = {.fn = server_stop};

static void server_signal(int number)
{
    (void)number;
    coir_post(server_mailbox, &server_letter);
}

/* Returns 0 after a signal, else an error. */
static int server_serve(void *arg)
{
    struct coir_serve_opts opts = {.grace_ns = server.grace_ns, .name = "connection"};
    struct sigaction action = {.sa_handler = server_signal};
    char text[COIR_ADDR_TEXT];
    coir_addr addr;
    coir_scope scope;
    int listener = coir_net_listen(server.address, &(struct coir_net_opts){.unlink = true});
    int result = listener < 0 ? listener : coir_net_local(listener, &addr);
    if (result < 0)
        return result;
    server_fiber = coir_self();
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    coir_addr_text(&addr, text, sizeof text);
    printf("listening on %s\n", text);
    fflush(stdout);
    coir_scope_open(&scope, NULL);
    if (server.beside)
        coir_spawn(NULL, server.beside, arg, NULL);
    result = coir_net_serve(listener, server.handler, arg, &opts);
    coir_scope_cancel(&scope);
    coir_scope_close(&scope);
    coir_close(listener);
    return result == -ECANCELED ? 0 : result;
}

static int server_run(void *arg)
{
    int result = coir_mailbox_open(&server_mailbox);
    if (result < 0)
        return result;
    result = server_serve(arg);
    coir_mailbox_close(server_mailbox);
    return result;
}

static inline int server_main(int argc, char **argv, void *arg)
{
    int ended = 0;
    server.address = argc > 1 ? argv[1] : "127.0.0.1:7000";
    server.idle_ns = COIR_SEC(argc > 2 ? atoi(argv[2]) : 60);
    server.grace_ns = COIR_SEC(argc > 3 ? atoi(argv[3]) : 5);
    int result = coir_run(server_run, arg, NULL, &ended);
    if (result < 0 || (result = ended) < 0)
        fprintf(stderr, "%s: %s: %s\n", argv[0], server.address, coir_error_name(result));
    return result < 0;
}

#endif
