/* What reads everything and is called only to report: misuse, overflows, deadlocks, dumps. It
 * changes nothing, and all that the library ever prints comes from here. */
#ifndef CR_DEBUG_H
#define CR_DEBUG_H

#include "../base/base.h"

struct coir_sched;
struct cr_fiber;

/* Misuse: one line with the function, the fiber and the caller, then abort. */
CR_HIDDEN CR_COLD _Noreturn void cr_fatal_mistake(const char *function, void *caller,
                                                  const char *what);

/* A stack overflow: the line alone (async-signal-safe), and with the end of the program. */
CR_HIDDEN void cr_fatal_overflow_line(const struct cr_fiber *fiber);
CR_HIDDEN CR_COLD _Noreturn void cr_fatal_overflow(const struct cr_fiber *fiber);

/* "fiber 3 'reader'" */
CR_HIDDEN void cr_report_fiber(const struct cr_fiber *fiber, char *text, size_t size);

/* "waits for its sleep to end", or what else it does. */
CR_HIDDEN void cr_report_state(const struct cr_fiber *fiber, char *text, size_t size);

/* Each sends its lines to the scheduler's report function. */
CR_HIDDEN void cr_report_deadlock(struct coir_sched *sched);
CR_HIDDEN void cr_report_livelock(struct coir_sched *sched, uint64_t limit);
CR_HIDDEN void cr_report_abandoned(struct coir_sched *sched);

/* A line for each fiber, and a last one (NULL: none), to a descriptor. */
CR_HIDDEN void cr_report_to(struct coir_sched *sched, int fd, const char *last);

/* "main+0x1b at test.c:12", as much of it as can be found out. */
CR_HIDDEN void cr_symbol_describe(const void *address, char *text, size_t size);

#endif
