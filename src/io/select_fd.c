/* Readiness of a descriptor as a case of a select: coir_wait_fd, cut into its one try, its hanging
 * among the waiters of the descriptor, and its leaving them.
 *
 * Invariant: an event that a case was woken with is passed on to the next waiter when its select
 * leaves. An event that the kernel disproves wakes nobody: the case stays, the first in line. */
#include "../sync/select.h"
#include "call.h"

/* What a case keeps behind the record of its wait. */
struct fd_case {
    struct cr_fd_wait wait;
    uint64_t token; /* the entry's, while it hangs */
    int fd;
    int direction;
    bool hangs, holds;
};

_Static_assert(sizeof(struct fd_case) <=
                   offsetof(struct cr_case, ends) - offsetof(struct cr_case, waiter),
               "it lies before");

static struct fd_case *fd_case_of(coir_case *it)
{
    return CR_CONTAINER(&cr_case_of(it)->waiter.wait, struct fd_case, wait.wait);
}

static int fd_attempt(coir_case *it)
{
    const struct fd_case *of = fd_case_of(it);
    struct cr_call call = {
        .op = {.kind = CR_OP_READY, .fd = of->fd, .mask = of->direction},
        .until = COIR_TRY,
        .mask = (uint8_t)of->direction,
        .self = cr_sched_self,
    };
    if (of->direction != COIR_IN && of->direction != COIR_OUT)
        return -EINVAL;
    int64_t result = cr_call_find(&call);
    if (result >= 0)
        result = cr_io_try(&call);
    return result == -EAGAIN ? COIR_TIMED_OUT : (int)result;
}

/* An event that was another waiter's before proves nothing, nor does one beside a hang-up that may
 * be over: the kernel is asked. */
static bool fd_ends(struct cr_case *it)
{
    struct fd_case *of = CR_CONTAINER(&it->waiter.wait, struct fd_case, wait.wait);
    struct cr_io *io = cr_io_of(cr_sched_here);
    struct cr_fd *entry = cr_fd_find(&io->fds, of->fd);
    int *woken = &of->wait.wait.result;
    if (*woken < 0 || entry->token != of->token)
        return true;
    int known = of->direction | COIR_HUP | COIR_ERR;
    if (of->wait.again || entry->ready & ~*woken & COIR_HUP)
        *woken = io->world->ops->ready(io->world, of->fd, of->direction);
    if (*woken != 0) {
        *woken = *woken < 0 ? *woken : *woken & known;
        return true;
    }
    cr_list_append(entry->waiters[cr_fd_direction(of->direction)].next, &of->wait.wait.link);
    if (entry->ready & of->direction & COIR_IN)
        entry->ready |= CR_DOUBT; /* a read may find something all the same */
    cr_fd_unready(io, entry, of->direction);
    return false;
}

/* The try has made an entry. */
static void fd_hang(coir_case *it)
{
    struct fd_case *of = fd_case_of(it);
    struct cr_io *io = cr_io_of(cr_sched_here);
    struct cr_fd *entry = cr_fd_find(&io->fds, of->fd);
    of->hangs = of->holds = false;
    int attached = entry->owned ? cr_fd_attach(io, entry) : cr_fd_hold(io, entry);
    if (attached < 0) {
        coir_case_end(it, attached);
        return;
    }
    of->holds = !entry->owned;
    of->hangs = true;
    of->token = entry->token;
    of->wait.again = false;
    cr_case_of(it)->ends = fd_ends;
    cr_fd_hang_armed(io, entry, &of->wait, of->direction);
    cr_sched_here->outside++;
}

/* What came since the loop last ran is known to the kernel alone, so a deadline has it asked. */
static void fd_try_late(coir_case *it, struct cr_select *select)
{
    if (select->chosen || select->result != COIR_TIMED_OUT || cr_sched_self->cancelled)
        return;
    int result = fd_attempt(it);
    if (result != COIR_TIMED_OUT) {
        it->result = result;
        select->chosen = cr_case_of(it);
    }
}

static void fd_leave(coir_case *it)
{
    struct fd_case *of = fd_case_of(it);
    struct cr_io *io = cr_io_of(cr_sched_here);
    if (!of->hangs)
        return;
    struct cr_fd *entry = cr_fd_find(&io->fds, of->fd);
    int woken = of->wait.wait.result;
    bool is_same = entry->token == of->token;
    cr_select_leave(it);
    cr_sched_here->outside--;
    if (cr_case_is_chosen(cr_case_of(it)) && !is_same && woken >= 0)
        it->result = -EBADF;
    if (!is_same)
        return;
    if (woken > 0)
        cr_fd_pass_on(entry, woken & of->direction);
    if (of->holds)
        cr_fd_release(io, entry);
    fd_try_late(it, cr_case_select(cr_case_of(it)));
}

coir_case coir_case_fd(int fd, int direction)
{
    static const struct coir_source READY = {
        "a descriptor to be ready", fd_attempt, fd_hang, fd_leave};
    coir_case it = cr_select_case(&READY, NULL, NULL);
    fd_case_of(&it)->fd = fd;
    fd_case_of(&it)->direction = direction;
    return it;
}
