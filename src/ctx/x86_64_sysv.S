/* x86-64, System V ABI: Linux, the BSDs, macOS.
 *
 * A context points at this area, which ends where the stack stood before the call:
 *
 *      +0   MXCSR, 4 bytes        +24  r13        +48  rbp
 *      +4   x87 control word, 2   +32  r12        +56  return address
 *      +8   r15                   +40  rbx        +64
 *      +16  r14
 *
 * The two control words belong to the context, as the ABI asks. Storing them is cheap and loading
 * is not, so they are loaded only when they differ. Of MXCSR only the control bits count, 6 to 15:
 * the status bits below them belong to whoever computes. Each word is compared by a load as wide
 * as its store, because only such a load takes the value from the store buffer.
 *
 * The area has the same shape before and after the stack pointer moves from one context to the
 * other, so one set of call frame rules describes both. A register that has been popped keeps its
 * rule: its slot is in the red zone now and still holds the value.
 *
 * The resume is a `ret`: the return predictor stays in step with the callers of both contexts.
 * There is no support for shadow stacks, hence no property note that would promise it. */
#include "asm.h"

#ifdef __x86_64__

.macro ctx_landing
#ifdef __CET__
    endbr64
#endif
.endm

/* void cr_ctx_switch(void **from [rdi], void *to [rsi]) */
cr_function CR_SYMBOL(cr_ctx_switch)
    ctx_landing
    pushq   %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    pushq   %rbx
    .cfi_def_cfa_offset 24
    .cfi_offset %rbx, -24
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
    subq    $8, %rsp
    .cfi_def_cfa_offset 64
    stmxcsr (%rsp)
    fnstcw  4(%rsp)
    movq    %rsp, (%rdi)

    movl    (%rsp), %eax
    xorl    (%rsi), %eax
    testl   $0xffc0, %eax
    jne     3f
1:  movzwl  4(%rsp), %ecx
    cmpw    4(%rsi), %cx
    jne     4f

2:  leaq    8(%rsi), %rsp
    .cfi_remember_state
    .cfi_def_cfa_offset 56
    popq    %r15
    .cfi_def_cfa_offset 48
    popq    %r14
    .cfi_def_cfa_offset 40
    popq    %r13
    .cfi_def_cfa_offset 32
    popq    %r12
    .cfi_def_cfa_offset 24
    popq    %rbx
    .cfi_def_cfa_offset 16
    popq    %rbp
    .cfi_def_cfa_offset 8
    ret

    .cfi_restore_state
3:  ldmxcsr (%rsi)
    jmp     1b
4:  fldcw   4(%rsi)
    jmp     2b
cr_end CR_SYMBOL(cr_ctx_switch)

/* Where a made context starts: r12 holds the argument, r13 the function, rbp is 0. Backtraces end
 * here. The nop is for unwinders, which look up a return address less one. */
cr_local CR_SYMBOL(ctx_begin)
    .cfi_undefined %rip
    nop
    movq    %r12, %rdi
    call    *%r13
    ud2
cr_end CR_SYMBOL(ctx_begin)

/* void *cr_ctx_make(void *top [rdi], void (*entry)(void *) [rsi], void *arg [rdx])
 * The area ends at `top`, so ctx_begin calls with the stack aligned to 16. The registers that carry
 * nothing start with what the stack held. */
cr_function CR_SYMBOL(cr_ctx_make)
    ctx_landing
    leaq    1 + CR_SYMBOL(ctx_begin)(%rip), %rcx
    leaq    -64(%rdi), %rax
    stmxcsr (%rax)
    fnstcw  4(%rax)
    movq    %rsi, 24(%rax)
    movq    %rdx, 32(%rax)
    movq    $0, 48(%rax)
    movq    %rcx, 56(%rax)
    ret
cr_end CR_SYMBOL(cr_ctx_make)

#endif
