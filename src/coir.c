/* The whole library in one translation unit, floor by floor: a folder is a floor, or stands on one
 * with others, and a file calls and includes what is on its own floor or below. With the switch of
 * the CPU this is all it takes to build coir:
 *
 *     cc -O2 -Iinclude -c src/coir.c src/ctx/<cpu>_<abi>.S
 */

/* 0: what knows nothing of fibers: attributes, rings, timers, handles, tables */
#include "base/base.h"
#include "base/slot.c"
#include "base/table.c"
#include "base/text.c"
#include "base/timer.c"

/* 1: what each system does in its own way; the switch of each CPU is beside it, in ctx/ */
#include "os/linux.c"
#include "os/bsd.c"
#include "os/elf.c"
#include "os/macho.c"
#include "os/number.c"
#include "os/thread.c"

/* 2: the core: fibers, and nothing that they could wait for outside of it */
#include "core/stack.c"
#include "core/sched.c"
#include "core/scope.c"
#include "core/local.c"
#include "core/fiber.c"
#include "core/cancel.c"
#include "core/ends.c"
#include "core/race.c"

/* 3: the world: the one door to the kernel; and what fibers have for each other */
#include "world/posix.c"
#include "world/ops.c"
#include "world/epoll.c"
#include "world/kqueue.c"
#include "world/kqueue_levels.c"
#include "world/poll.c"
#include "world/choose.c"
#include "world/below.c"
#include "world/virtual.c"
#include "world/bell.c"
#include "sync/waiters.c"
#include "sync/select.c"
#include "sync/select_join.c"
#include "sync/select_own.c"
#include "sync/event.c"
#include "sync/items.c"
#include "sync/chan.c"
#include "sync/broadcast.c"
#include "sync/generator.c"
#include "sync/lock.c"
#include "sync/gather.c"

/* 4: fibers that wait for the world: calls on descriptors */
#include "io/fd.c"
#include "io/identity.c"
#include "io/try.c"
#include "io/wait.c"
#include "io/call.c"
#include "io/fast.c"
#include "io/calls.c"
#include "io/select_fd.c"

/* 5: the loop, and a scheduler's life in its thread and process */
#include "run/post.c"
#include "run/loop.c"
#include "run/leave.c"
#include "run/trap.c"
#include "run/run.c"
#include "run/check.c"

/* 6: the event loop of programs without fibers; what fibers share with other threads */
#include "level/interest.c"
#include "level/poller.c"
#include "share/share.c"
#include "share/shared_chan.c"
#include "share/shared_sem.c"

/* 7: sockets by their addresses, servers, buffers */
#include "net/addr.c"
#include "net/net.c"
#include "net/serve.c"
#include "net/buffer.c"

/* Beside all floors: reads everything; called only to report. */
#include "debug/error.c"
#include "debug/fatal.c"
#include "debug/report.c"
#include "debug/dump.c"
#include "debug/symbol.c"
