/* What the register gate knows of a CPU: which registers a callee preserves, and where the
 * floating-point control words are.
 *
 * Invariant: `in` and `out` of fill_switch hold FILL_COUNT registers in the order of fill_names. */
#ifndef CR_TEST_FILL_H
#define CR_TEST_FILL_H

#include <stdint.h>

/* Loads every callee-saved register from `in`, calls cr_ctx_switch(from, to), and stores what is in
 * those registers afterwards to `out`. */
void fill_switch(void **from, void *to, const uint64_t *in, uint64_t *out);

/* An entry function: passes its argument on to gate_entered, with the stack pointer and the frame
 * pointer it was entered with. */
void fill_entry(void *arg);
void gate_entered(void *arg, uint64_t stack_pointer, uint64_t frame_pointer);

/* The control words. A bit of `mask` is control, the others are status or reserved. Each variant is
 * the usual value with `flip[i]` flipped; flip[0] is 0. */
enum { CONTROL_FLIPS = 11 };

struct control_word {
    const char *name;
    uint64_t usual;
    uint64_t mask;
    uint64_t flip[CONTROL_FLIPS];
};

#if defined(__x86_64__)

enum { FILL_COUNT = 6, CONTROL_COUNT = 2, FILL_STACK_SKEW = 8 };

static const char *const fill_names[FILL_COUNT] = {"rbx", "rbp", "r12", "r13", "r14", "r15"};

static const struct control_word control_words[CONTROL_COUNT] = {
    {.name = "MXCSR",
     .usual = 0x1f80,
     .mask = 0xffc0,
     .flip = {0, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800, 0x1000, 0x2000, 0x4000, 0x8000}},
    {.name = "x87 control word",
     .usual = 0x037f,
     .mask = 0x0f3f,
     .flip = {0, 0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x100, 0x300, 0x400, 0x800}},
};

static inline void control_set(const uint64_t *words)
{
    uint32_t mxcsr = (uint32_t)words[0];
    uint16_t x87 = (uint16_t)words[1];
    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(x87) : "memory");
}

static inline void control_get(uint64_t *words)
{
    uint32_t mxcsr;
    uint16_t x87;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(x87) : : "memory");
    words[0] = mxcsr;
    words[1] = x87;
}

/* Faults unless `p` is aligned to 16. */
static inline void touch_aligned(void *p)
{
    __asm__ volatile("movaps %%xmm0, (%0)" : : "r"(p) : "memory");
}

#elif defined(__aarch64__)

enum { FILL_COUNT = 19, CONTROL_COUNT = 1, FILL_STACK_SKEW = 0 };

static const char *const fill_names[FILL_COUNT] = {
    "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28",
    "d8",  "d9",  "d10", "d11", "d12", "d13", "d14", "d15", "x29"};

static const struct control_word control_words[CONTROL_COUNT] = {
    {.name = "FPCR",
     .usual = 0,
     .mask = 0x07c00000,
     .flip = {0, 1 << 22, 1 << 23, 1 << 24, 1 << 25, 1 << 26, 3 << 22, 3 << 23, 3 << 24, 3 << 25,
              31 << 22}},
};

static inline void control_set(const uint64_t *words)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(words[0]) : "memory");
}

static inline void control_get(uint64_t *words)
{
    __asm__ volatile("mrs %0, fpcr" : "=r"(words[0]) : : "memory");
}

/* Faults unless `p` is aligned to 16: an exclusive load must be. */
static inline void touch_aligned(void *p)
{
    uint64_t low, high;
    __asm__ volatile("ldxp %0, %1, [%2]\n\tclrex" : "=&r"(low), "=&r"(high) : "r"(p) : "memory");
}

#else
#error "the register gate does not know this CPU"
#endif

#endif
