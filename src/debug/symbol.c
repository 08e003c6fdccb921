/* Where an address is, in words. The dynamic linker knows exported symbols; for the rest addr2line
 * is asked, where it is installed. Only a program about to be stopped comes here. */
#include "debug.h"

#include "../os/os.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 512, ANSWER_SECONDS_MOST = 3, FDS_MOST = 64 * 1024 };

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

/* It gets no descriptor of the program's. */
static void symbol_close_all(posix_spawn_file_actions_t *actions)
{
    struct rlimit limit;
    bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < FDS_MOST;
    int most = known ? (int)limit.rlim_cur : FDS_MOST;
    for (int fd = STDERR_FILENO + 1; fd < most; fd++)
        if (cr_os_is_inherited(fd))
            posix_spawn_file_actions_addclose(actions, fd);
}

/* Whether a program has been started whose answer will come out of a pipe. */
static bool symbol_start(char **argv, int output)
{
    static const char *const PLACES[] = {"/usr/bin/addr2line", "/usr/local/bin/addr2line"};
    char *environment[] = {NULL};
    pid_t child;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    symbol_close_all(&actions);
    bool started = false;
    for (int i = 0; i < 2 && !started; i++)
        started = posix_spawn(&child, PLACES[i], &actions, NULL, argv, environment) == 0;
    posix_spawn_file_actions_destroy(&actions);
    return started;
}

/* Its environment is empty, so that nothing but the address decides what it does. Nobody waits for
 * its end, since its number might be another process's by then: this program ends too. */
static bool symbol_ask(char *path, uintptr_t offset, char *answer, size_t size)
{
    char address[32];
    char tool[] = "addr2line", names[] = "-fs", object[] = "-e";
    char *argv[] = {tool, names, object, path, address, NULL};
    int ends[2];
    snprintf(address, sizeof address, "0x%lx", (unsigned long)offset);
    if (pipe(ends) != 0)
        return false;
    if (cr_os_number_both(ends) != 0)
        return false;
    bool started = symbol_start(argv, ends[1]);
    close(ends[1]);
    answer[0] = '\0';
    if (started)
        symbol_collect(ends[0], answer, size);
    close(ends[0]);
    return answer[0] && answer[0] != '?';
}

/* addr2line answers with the function on one line and file:line on the next. The address is one
 * past a call, so the call itself is asked for. */
void cr_symbol_describe(const void *address, char *text, size_t size)
{
    uintptr_t offset;
    char path[PATH_SIZE], answer[PATH_SIZE];
    Dl_info info;
    bool may_ask = !cr_os_is_privileged();
    if (may_ask && cr_os_locate((uintptr_t)address - 1, path, sizeof path, &offset) &&
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
