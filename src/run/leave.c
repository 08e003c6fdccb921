/* Forks and the ends of threads.
 *
 * A forked child runs on a copy of everything, on the stack of the fiber that forked, but shares
 * the kernel's side of the world with its parent. So it drops its parent's scheduler without a call
 * to the kernel but the closing of its own descriptors: from then on its calls are refused. The
 * copied memory stays, because the child may be standing on it. */
#include "leave.h"

#include "../debug/debug.h"
#include "run.h"
#include "trap.h"

#include <pthread.h>
#include <stdatomic.h>

static pthread_mutex_t leave_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t leave_key;
static bool leave_has_key;
static atomic_bool leave_ready;

unsigned int cr_leave_forks;

void cr_leave_lock(void)
{
    pthread_mutex_lock(&leave_lock);
}

void cr_leave_unlock(void)
{
    pthread_mutex_unlock(&leave_lock);
}

/* In a forked child, whose lock it is: the parent took it before the fork, lest another thread had
 * it. */
static void leave_in_child(void)
{
    cr_trap_abandon();
    cr_leave_unlock();
    cr_leave_forks++;
    cr_post_abandon();
    struct coir_sched *sched = cr_sched_here;
    if (!sched)
        return;
    struct cr_world *world = cr_io_of(sched)->world;
    world->ops->close(world);
    cr_sched_here = NULL;
    cr_sched_self = NULL;
    cr_sched_forked = true;
    pthread_setspecific(leave_key, NULL);
}

static void leave_thread(void *sched)
{
    if (cr_sched_here != sched)
        return;
    if (cr_sched_self || cr_sched_here->interrupted)
        cr_fatal_mistake("pthread_exit", NULL, "a thread ended in a fiber");
    if (cr_sched_here->freeing)
        cr_fatal_mistake("pthread_exit", NULL, "a thread ended while it freed its scheduler");
    cr_run_free(sched);
}

/* Once; but a failure, for lack of memory, is not the last word. */
static bool leave_init(void)
{
    if (atomic_load_explicit(&leave_ready, memory_order_acquire))
        return true;
    cr_leave_lock();
    if (!leave_has_key)
        leave_has_key = pthread_key_create(&leave_key, leave_thread) == 0;
    if (leave_has_key && !leave_ready)
        leave_ready = pthread_atfork(cr_leave_lock, cr_leave_unlock, leave_in_child) == 0;
    bool ready = leave_ready;
    cr_leave_unlock();
    return ready;
}

/* A thread that ends after the library was unloaded must not look for it. */
__attribute__((destructor)) static void leave_unload(void)
{
    if (leave_has_key)
        pthread_key_delete(leave_key);
}

int cr_leave_count(void)
{
    return leave_init() ? 0 : -ENOMEM;
}

int cr_leave_watch(struct coir_sched *sched)
{
    if (!leave_init())
        return -ENOMEM;
    return pthread_setspecific(leave_key, sched) == 0 ? 0 : -ENOMEM;
}
