/* Handlers and signal stacks. A handler is set only where the default stood, and taken back only
 * where it still is ours, so a program's own handlers are never touched. */
#include "trap.h"

#include "../debug/debug.h"
#include "../core/sched.h"
#include "leave.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef _SC_SIGSTKSZ
#define _SC_SIGSTKSZ (-1)
#endif

enum { TRAPS = 3, SIGNAL_STACK_LEAST = 64 * 1024 };

static const int TRAP_SIGNALS[TRAPS] = {SIGPIPE, SIGSEGV, SIGBUS};

static int trap_users; /* under the lock of leave.h */
static _Thread_local void *trap_stack;

static void trap_ignore(int signal)
{
    (void)signal;
}

/* Back to the default: the instruction faults again on return, and the program ends there. One that
 * was sent by a process is sent again. */
static void trap_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    struct cr_fiber *self = cr_sched_self;
    const char *address = info->si_addr;
    signal(number, SIG_DFL);
    if (info->si_code <= 0)
        raise(number);
    if (!self || info->si_code <= 0)
        return;
    char *top = (char *)(self + 1);
    bool below = address < cr_stack_low(self->class, top);
    if (below && address >= cr_stack_guard_low(self->class, top))
        cr_fatal_overflow_line(self);
}

static bool trap_is_ours(const struct sigaction *action)
{
    if (action->sa_flags & SA_SIGINFO)
        return action->sa_sigaction == trap_fault;
    return action->sa_handler == trap_ignore;
}

static void trap_install(int i)
{
    struct sigaction old, ours = {.sa_flags = SA_RESTART};
    if (TRAP_SIGNALS[i] == SIGPIPE) {
        ours.sa_handler = trap_ignore;
    } else {
        ours.sa_sigaction = trap_fault;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    }
    if (sigaction(TRAP_SIGNALS[i], NULL, &old) != 0)
        return;
    bool is_default = !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL;
    if (is_default || trap_is_ours(&old))
        sigaction(TRAP_SIGNALS[i], &ours, NULL);
}

static void trap_remove(int i)
{
    struct sigaction now;
    if (sigaction(TRAP_SIGNALS[i], NULL, &now) == 0 && trap_is_ours(&now))
        signal(TRAP_SIGNALS[i], SIG_DFL);
}

static void trap_remove_all(void)
{
    for (int i = 0; i < TRAPS; i++)
        trap_remove(i);
}

/* Wide registers make a signal's frame large on some CPUs; the C library knows, where it says. */
static size_t trap_stack_size(void)
{
    long frame = sysconf(_SC_SIGSTKSZ);
    return frame > SIGNAL_STACK_LEAST ? (size_t)frame : SIGNAL_STACK_LEAST;
}

static bool trap_stack_set(void)
{
    stack_t now;
    if (sigaltstack(NULL, &now) != 0 || !(now.ss_flags & SS_DISABLE))
        return true;
    size_t size = trap_stack_size();
    trap_stack = malloc(size);
    if (!trap_stack)
        return false;
    return sigaltstack(&(stack_t){.ss_sp = trap_stack, .ss_size = size}, NULL) == 0;
}

static void trap_stack_reset(void)
{
    stack_t now;
    if (!trap_stack)
        return;
    if (sigaltstack(NULL, &now) == 0 && now.ss_sp == trap_stack)
        sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    free(trap_stack);
    trap_stack = NULL;
}

int cr_trap_set(void)
{
    if (!trap_stack_set()) {
        trap_stack_reset();
        return -ENOMEM;
    }
    cr_leave_lock();
    if (trap_users++ == 0)
        for (int i = 0; i < TRAPS; i++)
            trap_install(i);
    cr_leave_unlock();
    return 0;
}

void cr_trap_reset(void)
{
    cr_leave_lock();
    if (--trap_users == 0)
        trap_remove_all();
    cr_leave_unlock();
    trap_stack_reset();
}

void cr_trap_abandon(void)
{
    if (trap_users > 0)
        trap_remove_all();
    trap_users = 0;
}

/* A program that set a handler of its own for a while may have put ours back since. It must not
 * outlive the library; but what ends may be the program, and a scheduler that lives needs it. */
__attribute__((destructor)) static void trap_unload(void)
{
    if (trap_users == 0)
        trap_remove_all();
}
