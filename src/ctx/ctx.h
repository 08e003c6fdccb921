/* A context is a suspended flow of control, held as one stack pointer: everything the ABI asks a
 * callee to preserve lies on the stack from there up, in the order the port's file draws.
 *
 * Invariant: a context is entered exactly once for each time it was made or left. Which fiber runs,
 * and what the sanitizers know of it, is the scheduler's business (sched.c). */
#ifndef CR_CTX_H
#define CR_CTX_H

#if !defined(COIR_CTX_UCONTEXT) && !defined(__x86_64__) && !defined(__aarch64__)
#error "coir: no context switch for this CPU; build with COIR_CTX=ucontext or see doc/porting.md"
#endif

#include "../base/base.h"

/* Prepares a context on the stack that ends below `top` (16-byte aligned). The first switch to it
 * calls entry(arg) there, with the floating-point control words of whoever made it; entry never
 * returns. Returns the context. */
CR_HIDDEN void *cr_ctx_make(void *top, void (*entry)(void *arg), void *arg);

/* Leaves the running context in *from and resumes `to`; returns when something switches back. */
CR_HIDDEN void cr_ctx_switch(void **from, void *to);

#endif
