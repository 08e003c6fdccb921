/* Handlers and signal stacks. A handler is set only where the default stood, and taken back only
 * where it still is ours, so a program's own handlers are never touched. */
#include "trap.h"

#include "../debug/debug.h"
#include "../core/sched.h"
#include "../os/os.h"
#include "leave.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef _SC_SIGSTKSZ
#define _SC_SIGSTKSZ (-1)
#endif

#ifndef _SC_MINSIGSTKSZ
#define _SC_MINSIGSTKSZ (-1)
#endif

/* How Linux names the signal that it makes of one for which there was no room. */
#ifndef SI_KERNEL
#define SI_KERNEL INT_MAX
#endif

enum { TRAPS = 3, SIGNAL_STACK_LEAST = 64 * 1024, FRAME_LEAST = 4096, BELOW_GUARD = 64 * 1024 };

static const int TRAP_SIGNALS[TRAPS] = {SIGPIPE, SIGSEGV, SIGBUS};

static int trap_users; /* under the lock of leave.h */
static _Thread_local void *trap_stack;
static _Thread_local sigset_t trap_unblocked; /* what the thread had blocked */

static void trap_ignore(int signal)
{
    (void)signal;
}

/* Wide registers make a signal's frame large on some CPUs; the C library knows, where it says. */
static size_t trap_stack_size(void)
{
    long size = sysconf(_SC_SIGSTKSZ);
    return size > SIGNAL_STACK_LEAST ? (size_t)size : SIGNAL_STACK_LEAST;
}

/* The room that a signal's frame takes at most. */
static size_t trap_frame_size(void)
{
    long size = sysconf(_SC_MINSIGSTKSZ);
    return size > FRAME_LEAST ? (size_t)size : FRAME_LEAST;
}

static bool trap_is_between(const char *address, const char *low, const char *end)
{
    return address >= low && address < end;
}

/* Whether a fault came of too small a stack: at an address in its guard, by code that stood there,
 * or (without an address) because a signal found no room for its frame. */
static bool trap_is_overflow(const struct cr_fiber *self, const siginfo_t *info,
                             const void *context)
{
    char *top = (char *)(uintptr_t)(self + 1), *low = cr_stack_low(self->class, top);
    const char *guard = cr_stack_guard_low(self->class, top) - BELOW_GUARD;
    const char *pointer = cr_os_stack_pointer(context), *address = info->si_addr;
    if (info->si_code == SI_KERNEL && !address)
        return trap_is_between(pointer, guard, low + trap_frame_size());
    return trap_is_between(pointer, guard, low) ||
           trap_is_between(address, cr_stack_guard_low(self->class, top), low);
}

/* Back to the default: the instruction faults again on return, and the program ends there. One that
 * was sent, or that stands for a signal without room, is sent again. */
static void trap_fault(int number, siginfo_t *info, void *context)
{
    struct cr_fiber *self = cr_sched_self;
    bool is_sent = info->si_code <= 0;
    signal(number, SIG_DFL);
    if (is_sent || info->si_code == SI_KERNEL)
        raise(number);
    if (self && !is_sent && trap_is_overflow(self, info, context))
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

/* What an instruction of a thread causes while it is blocked ends the program without a word. */
static void trap_unblock(void)
{
    sigset_t faults, before;
    sigemptyset(&faults);
    sigaddset(&faults, SIGSEGV);
    sigaddset(&faults, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &faults, &before);
    sigemptyset(&trap_unblocked);
    if (sigismember(&before, SIGSEGV))
        sigaddset(&trap_unblocked, SIGSEGV);
    if (sigismember(&before, SIGBUS))
        sigaddset(&trap_unblocked, SIGBUS);
}

int cr_trap_set(void)
{
    if (!trap_stack_set()) {
        trap_stack_reset();
        return -ENOMEM;
    }
    cr_leave_lock();
    trap_users++;
    for (int i = 0; i < TRAPS; i++)
        trap_install(i);
    cr_leave_unlock();
    trap_unblock();
    return 0;
}

void cr_trap_reset(void)
{
    cr_leave_lock();
    if (--trap_users == 0)
        trap_remove_all();
    cr_leave_unlock();
    trap_stack_reset();
    pthread_sigmask(SIG_BLOCK, &trap_unblocked, NULL);
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
