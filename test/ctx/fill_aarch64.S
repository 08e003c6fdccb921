/* The helpers of the register gate that C cannot be: AAPCS64. See fill.h.
 *
 * The return address is not signed: nothing here is under test. */
#include "../../src/ctx/asm.h"

/* void fill_switch(void **from [x0], void *to [x1],
 *                  const uint64_t *in [x2], uint64_t *out [x3]) */
cr_function CR_SYMBOL(fill_switch)
    hint    #34                         // bti c
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
    str     x3, [sp, #160]
    ldp     x19, x20, [x2]
    ldp     x21, x22, [x2, #16]
    ldp     x23, x24, [x2, #32]
    ldp     x25, x26, [x2, #48]
    ldp     x27, x28, [x2, #64]
    ldp     d8, d9, [x2, #80]
    ldp     d10, d11, [x2, #96]
    ldp     d12, d13, [x2, #112]
    ldp     d14, d15, [x2, #128]
    ldr     x29, [x2, #144]
    bl      CR_SYMBOL(cr_ctx_switch)
    ldr     x3, [sp, #160]
    stp     x19, x20, [x3]
    stp     x21, x22, [x3, #16]
    stp     x23, x24, [x3, #32]
    stp     x25, x26, [x3, #48]
    stp     x27, x28, [x3, #64]
    stp     d8, d9, [x3, #80]
    stp     d10, d11, [x3, #96]
    stp     d12, d13, [x3, #112]
    stp     d14, d15, [x3, #128]
    str     x29, [x3, #144]
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     d8, d9, [sp, #96]
    ldp     d10, d11, [sp, #112]
    ldp     d12, d13, [sp, #128]
    ldp     d14, d15, [sp, #144]
    ldp     x29, x30, [sp], #176
    .cfi_def_cfa_offset 0
    ret
cr_end CR_SYMBOL(fill_switch)

/* void fill_entry(void *arg [x0]) */
cr_function CR_SYMBOL(fill_entry)
    hint    #34                         // bti c
    mov     x1, sp
    mov     x2, x29
    b       CR_SYMBOL(gate_entered)
cr_end CR_SYMBOL(fill_entry)
