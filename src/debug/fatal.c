/* The one line before the program is stopped. It is put together without the heap; that of an
 * overflow also without stdio, since a signal handler writes it. */
#include "debug.h"

#include "../core/sched.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FATAL_SIZE = 512, FATAL_PLACE_SIZE = 256 };

static _Atomic(void (*)(const char *line)) fatal_hook;

void coir_on_fatal(void (*hook)(const char *line))
{
    atomic_store(&fatal_hook, hook);
}

/* The hook's own misuse is not for the hook. */
static void fatal_line(const char *line)
{
    static _Thread_local bool is_in_hook;
    void (*hook)(const char *) = is_in_hook ? NULL : atomic_load(&fatal_hook);
    if (hook) {
        is_in_hook = true;
        hook(line);
        is_in_hook = false;
        return;
    }
    char text[FATAL_SIZE + 1];
    size_t size = strnlen(line, FATAL_SIZE);
    memcpy(text, line, size);
    text[size] = '\n';
    cr_report_write(STDERR_FILENO, text, size + 1); /* at once: other threads may write, too */
}

void cr_fatal_mistake(const char *function, void *caller, const char *what)
{
    char line[FATAL_SIZE], place[FATAL_PLACE_SIZE] = "the end of a thread", who[64] = "no fiber";
    if (caller)
        cr_symbol_describe(caller, place, sizeof place);
    if (cr_sched_self)
        cr_report_fiber(cr_sched_self, who, sizeof who);
    snprintf(line, sizeof line, "coir: %s: %s (in %s, called from %s)", function, what, who, place);
    fatal_line(line);
    abort();
}

static char *fatal_put(char *at, const char *end, const char *text)
{
    while (*text && at < end)
        *at++ = *text++;
    return at;
}

static char *fatal_put_number(char *at, const char *end, uint64_t number)
{
    char digits[24], *first = digits + sizeof digits - 1;
    *first = '\0';
    do
        *--first = (char)('0' + number % 10);
    while (number /= 10);
    return fatal_put(at, end, first);
}

void cr_fatal_overflow_line(const struct cr_fiber *fiber)
{
    char line[FATAL_SIZE] = "", *at = line, *end = line + sizeof line - 1;
    char *top = (char *)(uintptr_t)(fiber + 1);
    at = fatal_put(at, end, "coir: stack overflow in fiber ");
    at = fatal_put_number(at, end, cr_fiber_number(fiber));
    if (fiber->name[0]) {
        at = fatal_put(at, end, " '");
        at = fatal_put(at, end, fiber->name);
        at = fatal_put(at, end, "'");
    }
    at = fatal_put(at, end, " (its stack has ");
    at = fatal_put_number(at, end, (uint64_t)(top - cr_stack_low(fiber->class, top)) / 1024);
    at = fatal_put(at, end, " KiB)");
    *at = '\0';
    fatal_line(line);
}

void cr_fatal_overflow(const struct cr_fiber *fiber)
{
    cr_fatal_overflow_line(fiber);
    abort();
}
