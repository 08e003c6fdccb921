/* The switch over getcontext, makecontext and swapcontext, for a CPU without a port and as the
 * oracle for those that have one. Each switch costs a system call, because the C library saves the
 * signal mask too.
 *
 * A context points at a ucontext_t: that of a context which was left lies in the frame of the
 * cr_ctx_switch that left it, that of a context which was made at the top of its stack.
 *
 * makecontext passes ints, so a pointer travels in two halves. It knows of only ctx_stack_bytes
 * of the stack, since the interface names nothing but the top; C libraries use the sum alone. */
#include "ctx.h"

#ifdef COIR_CTX_UCONTEXT

#include <ucontext.h>

struct ctx_birth {
    ucontext_t context;
    void (*entry)(void *arg);
    void *arg;
};

enum { ctx_stack_bytes = 8192 };

_Static_assert(sizeof(void *) <= 8 && sizeof(unsigned) == 4, "a pointer fits in two halves");

static void ctx_begin(unsigned high, unsigned low)
{
    struct ctx_birth *birth = (struct ctx_birth *)(uintptr_t)((uint64_t)high << 32 | low);
    birth->entry(birth->arg);
    __builtin_trap();
}

CR_HIDDEN void *cr_ctx_make(void *top, void (*entry)(void *arg), void *arg)
{
    uintptr_t at = ((uintptr_t)top - sizeof(struct ctx_birth)) & ~(uintptr_t)63;
    struct ctx_birth *birth = (struct ctx_birth *)at;
    birth->entry = entry;
    birth->arg = arg;
    int result = getcontext(&birth->context);
    CR_ASSERT(result == 0);
    (void)result;
    birth->context.uc_stack.ss_sp = (char *)at - ctx_stack_bytes;
    birth->context.uc_stack.ss_size = ctx_stack_bytes;
    birth->context.uc_link = NULL;
    makecontext(&birth->context, (void (*)(void))ctx_begin, 2, (unsigned)((uint64_t)at >> 32),
                (unsigned)at);
    return &birth->context;
}

CR_HIDDEN void cr_ctx_switch(void **from, void *to)
{
    ucontext_t here;
    *from = &here;
    int result = swapcontext(&here, to);
    CR_ASSERT(result == 0);
    (void)result;
}

#endif
