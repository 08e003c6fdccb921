/* What ELF and Mach-O spell differently, for the assembly of the ports. It holds assembler macros,
 * so only a .S file may include it.
 *
 * Invariant: a port defines two global symbols, cr_ctx_make and cr_ctx_switch, both hidden; all
 * else it defines is local. Each function stands between cr_function or cr_local and cr_end, which
 * open and close its symbol and its call frame information. The stack is never executable. */
#ifndef CR_ASM_H
#define CR_ASM_H

#ifdef __APPLE__

#define CR_SYMBOL(name) _##name

.macro cr_open name
    .p2align 6
\name:
    .cfi_startproc
.endm

.macro cr_function name
    .globl \name
    .private_extern \name
    cr_open \name
.endm

.macro cr_end name
    .cfi_endproc
.endm

#else

#define CR_SYMBOL(name) name

.macro cr_open name
    .type \name, %function
    .p2align 6
\name:
    .cfi_startproc
.endm

.macro cr_function name
    .globl \name
    .hidden \name
    cr_open \name
.endm

.macro cr_end name
    .cfi_endproc
    .size \name, . - \name
.endm

    .section .note.GNU-stack, "", %progbits

#endif

.macro cr_local name
    cr_open \name
.endm

    .text

#endif
