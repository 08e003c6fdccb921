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

/* Of a fiber that goes on calling. */
CR_HIDDEN CR_COLD void cr_report_deaf(struct cr_fiber *fiber, uint32_t refusals);

/* Where lines go: to a scheduler's report function, or a descriptor, where they are put together
 * before they are written. */
struct cr_report {
    struct coir_sched *sched; /* NULL: to the descriptor */
    int fd;
    int result; /* the first error, after which no line goes anywhere */
    int (*write)(int fd, const char *text, size_t size); /* all of it: 0, or an error */
    size_t used;
    char text[1024];
};

/* A line for each fiber, and a last one (NULL: none): 0, or an error. */
CR_HIDDEN int cr_report_to(struct coir_sched *sched, struct cr_report *report, const char *last);

/* Writes all of a text: 0, or an error. Where the descriptor does not block, it waits a second at
 * most for room, then says -EAGAIN. Async-signal-safe, but errno is lost. */
CR_HIDDEN int cr_report_write(int fd, const char *text, size_t size);

/* "main+0x1b at test.c:12", as much of it as can be found out. */
CR_HIDDEN void cr_symbol_describe(const void *address, char *text, size_t size);

#endif
