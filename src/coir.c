/* The whole library in one translation unit, in layer order: a file calls files above it and its
 * own group, never those below. With the switch of the CPU at hand this is all it takes to build
 * coir:
 *
 *     cc -O2 -Iinclude -c src/coir.c src/ctx/<cpu>_<abi>.S
 */
#include "base.h"

/* 1: what each system does in its own way */
#include "os/linux.c"
#include "os/bsd.c"
#include "os/elf.c"
#include "os/macho.c"

/* 2: memory and order, which know nothing of fibers */
#include "stack.c"
#include "slot.c"
#include "table.c"
#include "timer.c"

/* 3: the scheduler: switch, park, wake */
#include "sched.c"

/* 4: the world, and who waits for a descriptor of it */
#include "world/posix.c"
#include "world/calls.c"
#include "world/epoll.c"
#include "world/kqueue.c"
#include "world/poll.c"
#include "world/choose.c"
#include "world/virtual.c"
#include "world/bell.c"
#include "fd.c"

/* 5: what fibers have around them: scopes, values of their own */
#include "scope.c"
#include "local.c"

/* 6: birth, end and join of fibers; calls on descriptors */
#include "fiber.c"
#include "race.c"
#include "io.c"
#include "rw.c"
#include "call.c"
#include "post.c"
#include "audit.c"

/* 7: the loop that serves time and the world */
#include "loop.c"

/* 8: a scheduler's life, and what it owes its thread and process */
#include "leave.c"
#include "trap.c"
#include "run.c"

/* 9: the event loop of programs without fibers */
#include "interest.c"
#include "poller.c"

/* 10: what is made of public calls: sockets by their addresses, servers, buffers */
#include "addr.c"
#include "net.c"
#include "serve.c"
#include "buffer.c"

/* 11: reads everything; called only to report */
#include "debug/error.c"
#include "debug/fatal.c"
#include "debug/report.c"
#include "debug/symbol.c"
