/* Forks and the ends of threads.
 *
 * A forked child runs on a copy of everything, on the stack of the fiber that forked, but shares
 * the kernel's side of the world with its parent. So it drops its parent's scheduler without a call
 * to the kernel but the closing of its own descriptors: from then on its calls are refused. The
 * copied memory stays, because the child may be standing on it. */
#include "leave.h"

#include "debug/debug.h"
#include "sched.h"

#include <pthread.h>

static pthread_once_t leave_once = PTHREAD_ONCE_INIT;
static pthread_key_t leave_key;
static int leave_failed;
static void (*leave_end)(struct coir_sched *sched);

static void leave_in_child(void)
{
    struct coir_sched *sched = cr_sched_here;
    if (!sched)
        return;
    sched->world.fini(&sched->world);
    cr_sched_here = NULL;
    cr_sched_self = NULL;
    cr_sched_forked = true;
    pthread_setspecific(leave_key, NULL);
}

static void leave_thread(void *sched)
{
    if (cr_sched_here != sched)
        return;
    if (cr_sched_self)
        cr_fatal_mistake("pthread_exit", NULL, "a thread ended in a fiber");
    leave_end(sched);
}

static void leave_init(void)
{
    leave_failed = pthread_key_create(&leave_key, leave_thread);
    if (!leave_failed)
        leave_failed = pthread_atfork(NULL, NULL, leave_in_child);
}

/* A thread that ends after the library was unloaded must not look for it. */
__attribute__((destructor)) static void leave_unload(void)
{
    if (leave_end && !leave_failed)
        pthread_key_delete(leave_key);
}

int cr_leave_watch(struct coir_sched *sched, void (*end)(struct coir_sched *sched))
{
    if (pthread_once(&leave_once, leave_init) != 0 || leave_failed)
        return -ENOMEM;
    leave_end = end;
    return -pthread_setspecific(leave_key, sched);
}
