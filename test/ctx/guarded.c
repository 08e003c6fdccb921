/* The part of the register gate about guarded pages (AArch64 branch target identification): there,
 * an indirect branch must land on an instruction made for it.
 *
 * The code of the port and the functions below that stand for the code around it are linked into
 * one section, `ctx_text`. It is copied into fresh pages, and those are guarded, so no other code
 * has to bear it.
 *
 * Invariant: what is in the section refers to nothing outside it except through struct guarded. */
#include "../../src/ctx/ctx.h"
#include "gate.h"

#ifndef GATE_GUARDED
#error "this file is for AArch64 Linux, with the branch protection compiled in"
#endif

#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define GUARDED __attribute__((section("ctx_text"), noinline))

enum { prot_bti = 0x10, hwcap2_bti = 1 << 17, guarded_stack_bytes = 16384 };

extern char __start_ctx_text[], __stop_ctx_text[];

struct guarded;
typedef void guarded_function(void *arg);
typedef void *guarded_maker(void *top, guarded_function *entry, void *arg);
typedef void guarded_switch(void **from, void *to);
typedef void guarded_dispatcher(struct guarded *g);

struct guarded {
    guarded_switch *do_switch;
    void *main, *fiber;
    int entered;
};

GUARDED static void guarded_entry(void *arg)
{
    struct guarded *g = arg;
    for (;;) {
        g->entered++;
        g->do_switch(&g->fiber, g->main);
    }
}

GUARDED static void guarded_dispatch(struct guarded *g)
{
    for (int i = 0; i < 3; i++)
        g->do_switch(&g->main, g->fiber);
}

/* Breaks the rule: branches to an instruction that is no landing pad. */
GUARDED static void guarded_violation(void)
{
    __asm__ volatile("adr x9, 1f\n\tbr x9\n1:\tnop" : : : "x9");
}

static void *guarded_copy(void)
{
    size_t size = (size_t)(__stop_ctx_text - __start_ctx_text);
    char *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return NULL;
    memcpy(copy, __start_ctx_text, size);
    __builtin___clear_cache(copy, copy + size);
    return mprotect(copy, size, PROT_READ | PROT_EXEC | prot_bti) ? NULL : copy;
}

/* Where in the copy the code at `address` of the section is. */
static uintptr_t copied(char *copy, uintptr_t address)
{
    return (uintptr_t)copy + (address - (uintptr_t)__start_ctx_text);
}

static void on_illegal(int number)
{
    _exit(number);
}

/* How a child ended that ran it: an illegal instruction is reported as an exit status. */
static int status_of(void (*violation)(void))
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGILL, on_illegal);
        violation();
        _exit(0);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child ? status : 0;
}

void test_guarded_pages(void)
{
    if (!(getauxval(AT_HWCAP2) & hwcap2_bti)) {
        gate_skip("guarded_pages", "this CPU has no branch target identification");
        return;
    }
    gate_begin("guarded_pages_are_guarded");
    char *copy = guarded_copy();
    if (!copy) {
        gate_fail("cannot map them");
        return;
    }
    int status = status_of((void (*)(void))copied(copy, (uintptr_t)guarded_violation));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != SIGILL)
        gate_fail("a branch to no landing pad ended with status %#x", (unsigned)status);
    gate_end();

    gate_begin("switch_runs_in_guarded_pages");
    static _Alignas(16) char stack[guarded_stack_bytes];
    guarded_maker *make = (guarded_maker *)copied(copy, (uintptr_t)cr_ctx_make);
    guarded_dispatcher *dispatch =
        (guarded_dispatcher *)copied(copy, (uintptr_t)guarded_dispatch);
    guarded_function *entry = (guarded_function *)copied(copy, (uintptr_t)guarded_entry);
    struct guarded g = {
        .do_switch = (guarded_switch *)copied(copy, (uintptr_t)cr_ctx_switch),
    };
    g.fiber = make(stack + guarded_stack_bytes, entry, &g);
    dispatch(&g);
    if (g.entered != 3)
        gate_fail("%d switches arrived, not 3", g.entered);
    gate_end();
}
