/* Stopping a program before each instruction of some functions, for cfi.c. A CPU with a trap flag
 * uses it; elsewhere, with instructions of one length, a breakpoint is planted on each.
 *
 * The handler is on a stack of its own, and first overwrites what lies below the stack pointer and
 * the red zone, as any signal may: no call frame rule can rely on it.
 *
 * Invariant: between step_begin and step_end, step_reached is called with the address of each
 * instruction under test before it is executed, at least the first time after each step_again. */
#ifndef CR_TEST_STEP_H
#define CR_TEST_STEP_H

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

/* Defined by the user of this file. */
static void step_reached(uintptr_t ip, uintptr_t sp);
static uintptr_t function_of(uintptr_t return_address);

static void step_overwrite_below(uintptr_t sp)
{
    memset((void *)(sp - 512), 0x5a, 512);
}

static void step_catch(void (*handler)(int number, siginfo_t *info, void *context))
{
    static char alternate[64 * 1024];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGTRAP, &action, NULL);
}

#if defined(__x86_64__) && defined(__linux__)

enum { step_red_zone = 128, step_trap_flag = 0x100 };

static const int dwarf_numbers[] = {3, 6, 12, 13, 14, 15};

/* An int3 sets the trap flag and takes it back. */
static void step_on_trap(int number, siginfo_t *info, void *context)
{
    (void)number;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    if (info->si_code != TRAP_TRACE) {
        registers[REG_EFL] ^= step_trap_flag;
        return;
    }
    step_overwrite_below((uintptr_t)registers[REG_RSP] - step_red_zone);
    step_reached((uintptr_t)registers[REG_RIP], (uintptr_t)registers[REG_RSP]);
}

static void step_begin(const uintptr_t *functions, int count)
{
    (void)functions, (void)count;
    step_catch(step_on_trap);
    __asm__ volatile("int3" : : : "memory");
}

static void step_again(void)
{
}

static void step_end(void)
{
    __asm__ volatile("int3" : : : "memory");
}

#elif defined(__aarch64__) && defined(__linux__)

enum { step_max = 256, step_breakpoint = (int)0xd4200000 };

static const int dwarf_numbers[] = {19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
                                    72, 73, 74, 75, 76, 77, 78, 79, 29};

static uint32_t *step_at[step_max];
static uint32_t step_original[step_max];
static int step_count;

static void step_write(uint32_t *at, uint32_t instruction)
{
    *(volatile uint32_t *)at = instruction;
    __builtin___clear_cache((char *)at, (char *)(at + 1));
}

static void step_on_trap(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
    int i = 0;
    while (i < step_count && (uintptr_t)step_at[i] != machine->pc)
        i++;
    if (i == step_count)
        _exit(2);
    step_overwrite_below(machine->sp);
    step_reached(machine->pc, machine->sp);
    step_write(step_at[i], step_original[i]);
}

static void step_again(void)
{
    for (int i = 0; i < step_count; i++)
        step_write(step_at[i], (uint32_t)step_breakpoint);
}

static void step_begin(const uintptr_t *functions, int count)
{
    long page = sysconf(_SC_PAGESIZE);
    for (int i = 0; i < count; i++) {
        uintptr_t at = functions[i];
        for (; function_of(at + 4) == functions[i] && step_count < step_max; at += 4) {
            step_at[step_count] = (uint32_t *)at;
            step_original[step_count++] = *(uint32_t *)at;
        }
        uintptr_t begin = functions[i] & ~(uintptr_t)(page - 1);
        if (mprotect((void *)begin, at - begin, PROT_READ | PROT_WRITE | PROT_EXEC))
            _exit(2);
    }
    step_catch(step_on_trap);
    step_again();
}

static void step_end(void)
{
    for (int i = 0; i < step_count; i++)
        step_write(step_at[i], step_original[i]);
}

#else
#error "no way to stop at each instruction is known for this system"
#endif

#endif
