/* What every file may use: attributes and checks. It comes first in each, directly or through the
 * file's own header, because it asks the system's headers for all they have.
 *
 * CR_ASSERT states an invariant of ours: checked where NDEBUG is not defined, free elsewhere. What
 * a user can get wrong is checked always, and stops through cr_fatal_mistake (debug/debug.h). */
#ifndef CR_BASE_H
#define CR_BASE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CR_HIDDEN __attribute__((visibility("hidden")))
#define CR_COLD __attribute__((cold, noinline))
#define CR_NOINLINE __attribute__((noinline))
#define CR_INLINE static inline __attribute__((always_inline))
#define CR_LIKELY(x) __builtin_expect(!!(x), 1)
#define CR_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define CR_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define CR_ASSERT(x) assert(x)

/* Inside, a deadline in nanoseconds that does not come; outside, COIR_NEVER. */
#define CR_NEVER UINT64_MAX

#endif
