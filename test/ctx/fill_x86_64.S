/* The helpers of the register gate that C cannot be: System V ABI, x86-64. See fill.h.
 *
 * Call frame information is complete, because cfi.c reads the filled registers through it. */
#include "../../src/ctx/asm.h"

/* void fill_switch(void **from [rdi], void *to [rsi],
 *                  const uint64_t *in [rdx], uint64_t *out [rcx]) */
cr_function CR_SYMBOL(fill_switch)
    pushq   %rbx
    .cfi_def_cfa_offset 16
    .cfi_offset %rbx, -16
    pushq   %rbp
    .cfi_def_cfa_offset 24
    .cfi_offset %rbp, -24
    pushq   %r12
    .cfi_def_cfa_offset 32
    .cfi_offset %r12, -32
    pushq   %r13
    .cfi_def_cfa_offset 40
    .cfi_offset %r13, -40
    pushq   %r14
    .cfi_def_cfa_offset 48
    .cfi_offset %r14, -48
    pushq   %r15
    .cfi_def_cfa_offset 56
    .cfi_offset %r15, -56
    pushq   %rcx
    .cfi_def_cfa_offset 64
    movq    (%rdx), %rbx
    movq    8(%rdx), %rbp
    movq    16(%rdx), %r12
    movq    24(%rdx), %r13
    movq    32(%rdx), %r14
    movq    40(%rdx), %r15
    call    CR_SYMBOL(cr_ctx_switch)
    popq    %rcx
    .cfi_def_cfa_offset 56
    movq    %rbx, (%rcx)
    movq    %rbp, 8(%rcx)
    movq    %r12, 16(%rcx)
    movq    %r13, 24(%rcx)
    movq    %r14, 32(%rcx)
    movq    %r15, 40(%rcx)
    popq    %r15
    .cfi_def_cfa_offset 48
    popq    %r14
    .cfi_def_cfa_offset 40
    popq    %r13
    .cfi_def_cfa_offset 32
    popq    %r12
    .cfi_def_cfa_offset 24
    popq    %rbp
    .cfi_def_cfa_offset 16
    popq    %rbx
    .cfi_def_cfa_offset 8
    ret
cr_end CR_SYMBOL(fill_switch)

/* void fill_entry(void *arg [rdi]) */
cr_function CR_SYMBOL(fill_entry)
    movq    %rsp, %rsi
    movq    %rbp, %rdx
    jmp     CR_SYMBOL(gate_entered)
cr_end CR_SYMBOL(fill_entry)
