/* What these servers share. Each is run as
 *
 *     NAME [ADDRESS [IDLE_S [GRACE_S]]]
 *
 * and says on standard output where it listens, so that port 0 will do. On SIGTERM or SIGINT it
 * takes no more connections, gives those that are at work a grace, and exits with status 0. */
#ifndef SERVER_H
#define SERVER_H

#include <coir_net.h>
#include <coir_post.h>

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

/* The handler of the signals posts a letter, and the loop opens it, because of coir's calls only
 * coir_post may be made in a handler. Closing the listener ends coir_net_serve, and whoever
 * connects from now on is refused rather than left waiting. */
static coir_mailbox server_mailbox;
static int server_listener;

/* Once: after it, the number may be another file's. */
static void server_stop(void *arg)
{
    (void)arg;
    if (server_listener >= 0)
        coir_close(server_listener);
    server_listener = -1;
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
    char text[COIR_ADDR_TEXT] = "";
    coir_addr addr;
    coir_scope scope;
    server_listener = coir_net_listen(server.address, &(struct coir_net_opts){.unlink = true});
    if (server_listener < 0)
        return server_listener;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (coir_net_local(server_listener, &addr) == 0)
        coir_addr_text(&addr, text, sizeof text);
    printf("listening on %s\n", text);
    fflush(stdout);
    coir_scope_open(&scope, COIR_NEVER, 0);
    struct coir_spawn_opts daemon = {.daemon = true};
    int result = server.beside ? coir_spawn(NULL, server.beside, arg, &daemon) : 0;
    if (result == 0)
        result = coir_net_serve(server_listener, server.handler, arg, &opts);
    result = coir_scope_end(&scope, result);
    server_stop(arg);
    return result;
}

static int server_run(void *arg)
{
    int result = coir_mailbox_open(&server_mailbox, 0);
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
