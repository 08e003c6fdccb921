/* AArch64, AAPCS64: Linux, the BSDs, macOS (x18 is the platform's there, and never touched).
 *
 * A context points at this area, which ends where the stack stood before the call:
 *
 *      +0   x29  x30 (return address)     +96   d8   d9
 *      +16  x19  x20                      +112  d10  d11
 *      +32  x21  x22                      +128  d12  d13
 *      +48  x23  x24                      +144  d14  d15
 *      +64  x25  x26                      +160  FPCR  unused
 *      +80  x27  x28                      +176
 *
 * FPCR belongs to the context. Reading it is cheap and writing it is not, so it is written only
 * when it differs.
 *
 * The area has the same shape before and after the stack pointer moves from one context to the
 * other, so one set of call frame rules describes both. There is no red zone: what lies below the
 * stack pointer may change at any time, so no rule outlives the area.
 *
 * With pointer authentication the return address in the area is signed, and the modifier is the end
 * of the area; `paciasp` is a landing pad for branch target identification too. The hints are
 * no-ops on a CPU that knows neither.
 *
 * A resume is a `ret` and an entry a `blr`: where pages are guarded, both may reach C code as any
 * compiler emits it, and a `br` may not. */
#include "asm.h"

#ifdef __aarch64__

.macro ctx_sign
#if defined(__ARM_FEATURE_PAC_DEFAULT)
    hint    #25                         // paciasp
    .cfi_negate_ra_state
#elif defined(__ARM_FEATURE_BTI_DEFAULT)
    hint    #34                         // bti c
#endif
.endm

.macro ctx_authenticate
#ifdef __ARM_FEATURE_PAC_DEFAULT
    hint    #29                         // autiasp
    .cfi_negate_ra_state
#endif
.endm

/* void cr_ctx_switch(void **from [x0], void *to [x1]) */
cr_function CR_SYMBOL(cr_ctx_switch)
    ctx_sign
    stp     x29, x30, [sp, #-176]!
    .cfi_def_cfa_offset 176
    .cfi_offset x29, -176
    .cfi_offset x30, -168
    stp     x19, x20, [sp, #16]
    .cfi_offset x19, -160
    .cfi_offset x20, -152
    stp     x21, x22, [sp, #32]
    .cfi_offset x21, -144
    .cfi_offset x22, -136
    stp     x23, x24, [sp, #48]
    .cfi_offset x23, -128
    .cfi_offset x24, -120
    stp     x25, x26, [sp, #64]
    .cfi_offset x25, -112
    .cfi_offset x26, -104
    stp     x27, x28, [sp, #80]
    .cfi_offset x27, -96
    .cfi_offset x28, -88
    stp     d8, d9, [sp, #96]
    .cfi_offset d8, -80
    .cfi_offset d9, -72
    stp     d10, d11, [sp, #112]
    .cfi_offset d10, -64
    .cfi_offset d11, -56
    stp     d12, d13, [sp, #128]
    .cfi_offset d12, -48
    .cfi_offset d13, -40
    stp     d14, d15, [sp, #144]
    .cfi_offset d14, -32
    .cfi_offset d15, -24
    mrs     x9, fpcr
    str     x9, [sp, #160]
    mov     x11, sp
    str     x11, [x0]

    ldr     x10, [x1, #160]
    mov     sp, x1
    cmp     x9, x10
    b.ne    2f
1:  ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     d8, d9, [sp, #96]
    ldp     d10, d11, [sp, #112]
    ldp     d12, d13, [sp, #128]
    ldp     d14, d15, [sp, #144]
    .cfi_remember_state
    ldp     x29, x30, [sp], #176
    .cfi_def_cfa_offset 0
    .cfi_restore x29
    .cfi_restore x30
    .cfi_restore x19
    .cfi_restore x20
    .cfi_restore x21
    .cfi_restore x22
    .cfi_restore x23
    .cfi_restore x24
    .cfi_restore x25
    .cfi_restore x26
    .cfi_restore x27
    .cfi_restore x28
    .cfi_restore d8
    .cfi_restore d9
    .cfi_restore d10
    .cfi_restore d11
    .cfi_restore d12
    .cfi_restore d13
    .cfi_restore d14
    .cfi_restore d15
    ctx_authenticate
    ret

    .cfi_restore_state
2:  msr     fpcr, x10
    b       1b
cr_end CR_SYMBOL(cr_ctx_switch)

/* Where a made context starts: x19 holds the argument, x20 the function, x29 is 0. Backtraces end
 * here. The nop is for unwinders, which look up a return address less one. */
cr_local CR_SYMBOL(ctx_begin)
    .cfi_undefined x30
    nop
    mov     x0, x19
    blr     x20
    brk     #1
cr_end CR_SYMBOL(ctx_begin)

/* void *cr_ctx_make(void *top [x0], void (*entry)(void *) [x1], void *arg [x2])
 * The area ends at `top`, so ctx_begin runs with the stack aligned to 16. The registers that carry
 * nothing start with what the stack held. */
cr_function CR_SYMBOL(cr_ctx_make)
#ifdef __ARM_FEATURE_BTI_DEFAULT
    hint    #34                         // bti c
#endif
    adr     x17, CR_SYMBOL(ctx_begin) + 4
#ifdef __ARM_FEATURE_PAC_DEFAULT
    mov     x16, x0
    hint    #8                          // pacia1716
#endif
    mrs     x9, fpcr
    sub     x0, x0, #176
    stp     xzr, x17, [x0]
    stp     x2, x1, [x0, #16]
    str     x9, [x0, #160]
    ret
cr_end CR_SYMBOL(cr_ctx_make)

/* What the code above was built to bear: bit 0 is branch target identification, bit 1 pointer
 * authentication. The linker keeps a bit only when all objects have it. */
#if defined(__ELF__) && \
    (defined(__ARM_FEATURE_BTI_DEFAULT) || defined(__ARM_FEATURE_PAC_DEFAULT))
#ifdef __ARM_FEATURE_BTI_DEFAULT
#define CTX_BTI 1
#else
#define CTX_BTI 0
#endif
#ifdef __ARM_FEATURE_PAC_DEFAULT
#define CTX_PAC 2
#else
#define CTX_PAC 0
#endif
    .section .note.gnu.property, "a", %note
    .p2align 3
    .word   4, 16, 5                    // name size, descriptor size, NT_GNU_PROPERTY_TYPE_0
    .asciz  "GNU"
    .word   0xc0000000, 4, CTX_BTI | CTX_PAC, 0
#endif

#endif
