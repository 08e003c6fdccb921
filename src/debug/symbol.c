/* Where an address is, in words. The dynamic linker knows exported symbols; for the rest addr2line
 * is asked, where it is installed. Only a program about to be stopped comes here. */
#include "debug.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 512, ANSWER_SECONDS_MOST = 3 };

extern char **environ;

struct place {
    uintptr_t address;
    uintptr_t base;
    char path[PATH_SIZE];
    bool found;
};

static int symbol_visit(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    struct place *place = arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t low = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type != PT_LOAD || place->address < low ||
            place->address >= low + info->dlpi_phdr[i].p_memsz)
            continue;
        place->base = info->dlpi_addr;
        place->found = true;
        snprintf(place->path, sizeof place->path, "%s", info->dlpi_name ? info->dlpi_name : "");
        return 1;
    }
    return 0;
}

static bool symbol_locate(struct place *place)
{
    dl_iterate_phdr(symbol_visit, place);
    if (place->found && !place->path[0]) {
        ssize_t size = readlink("/proc/self/exe", place->path, sizeof place->path - 1);
        place->path[size > 0 ? size : 0] = '\0';
    }
    return place->found && place->path[0];
}

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

static bool symbol_ask(struct place *place, char *answer, size_t size)
{
    char address[32];
    char tool[] = "addr2line", names[] = "-fs", object[] = "-e";
    char *argv[] = {tool, names, object, place->path, address, NULL};
    int ends[2];
    pid_t child;
    posix_spawn_file_actions_t actions;
    snprintf(address, sizeof address, "0x%lx", (unsigned long)(place->address - place->base));
    if (pipe(ends) != 0)
        return false;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int failed = posix_spawnp(&child, argv[0], &actions, NULL, argv, environ);
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
    struct place place = {.address = (uintptr_t)address - 1};
    char answer[PATH_SIZE];
    Dl_info info;
    bool privileged = getuid() != geteuid() || getgid() != getegid();
    if (!privileged && symbol_locate(&place) && symbol_ask(&place, answer, sizeof answer)) {
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
