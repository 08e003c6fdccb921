/* Where an address is, in words. The dynamic linker knows exported symbols; for the rest addr2line
 * is asked, where it is installed. Only a program about to be stopped comes here. */
#include "debug.h"

#include "../os/os.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 512, ANSWER_SECONDS_MOST = 3 };

/* Reads what a child prints, for a bounded time. */
static void symbol_collect(int fd, char *text, size_t size)
{
    size_t filled = 0;
    struct pollfd ask = {.fd = fd, .events = POLLIN};
    time_t started = time(NULL);
    while (filled + 1 < size && time(NULL) - started < ANSWER_SECONDS_MOST &&
           poll(&ask, 1, 1000 * ANSWER_SECONDS_MOST) > 0) {
        ssize_t got = read(fd, text + filled, size - 1 - filled);
        if (got <= 0)
            break;
        filled += (size_t)got;
    }
    text[filled] = '\0';
}

/* Its environment is empty, so that nothing but the address decides what it does. */
static bool symbol_ask(char *path, uintptr_t offset, char *answer, size_t size)
{
    char address[32];
    char tool[] = "addr2line", names[] = "-fs", object[] = "-e";
    char *argv[] = {tool, names, object, path, address, NULL}, *environment[] = {NULL};
    int ends[2];
    pid_t child;
    posix_spawn_file_actions_t actions;
    snprintf(address, sizeof address, "0x%lx", (unsigned long)offset);
    if (pipe(ends) != 0)
        return false;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int failed = posix_spawnp(&child, argv[0], &actions, NULL, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    answer[0] = '\0';
    if (!failed) {
        symbol_collect(ends[0], answer, size);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    close(ends[0]);
    return !failed && answer[0] && answer[0] != '?';
}

/* addr2line answers with the function on one line and file:line on the next. The address is one
 * past a call, so the call itself is asked for. */
void cr_symbol_describe(const void *address, char *text, size_t size)
{
    uintptr_t offset;
    char path[PATH_SIZE], answer[PATH_SIZE];
    Dl_info info;
    bool privileged = getuid() != geteuid() || getgid() != getegid();
    if (!privileged && cr_os_locate((uintptr_t)address - 1, path, sizeof path, &offset) &&
        symbol_ask(path, offset, answer, sizeof answer)) {
        char *line = strchr(answer, '\n'), *end = line ? strchr(line + 1, '\n') : NULL;
        if (line)
            *line++ = '\0';
        if (end)
            *end = '\0';
        bool known = line && line[0] && line[0] != '?';
        snprintf(text, size, "%p, %s%s%s", address, answer, known ? " at " : "", known ? line : "");
    } else if (dladdr(address, &info) && info.dli_sname) {
        snprintf(text, size, "%p, %s+0x%lx", address, info.dli_sname,
                 (unsigned long)((uintptr_t)address - (uintptr_t)info.dli_saddr));
    } else {
        snprintf(text, size, "%p", address);
    }
}
