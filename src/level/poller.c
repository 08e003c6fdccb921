/* The calls of coir_loop.h: events out of levels, wakes by a bell, time. It knows nothing of
 * fibers.
 *
 * Levels are reported again by each wait, so none is kept from one to the next. What there is no
 * room for is left to the kernel, which returns ready descriptors in turns. The two directions
 * of one take turns here, and so do what is steady and what is not. */
#include "../../include/coir_loop.h"

#include "../run/leave.h"
#include "interest.h"
#include "../base/timer.h"
#include "../world/bell.h"
#include "../world/posix.h"

#include <stdlib.h>

enum { LEVELS_MOST = 128 };

struct coir_loop {
    struct cr_interests set;
    struct cr_bell bell;
    void *wake_user;
    unsigned int forks; /* when it was opened */
    bool has_ghosts;    /* the world reported what no entry watches */
    bool steady_first;  /* who fills the next events first */
};

static int poller_check(const coir_loop *loop)
{
    if (!loop)
        return -EINVAL;
    return loop->forks == cr_leave_forks ? 0 : -ECHILD;
}

/* ---- interest and wakes ---- */

/* The loop's own descriptors are nobody else's. */
static bool poller_is_own(const coir_loop *loop, int fd)
{
    return fd >= 0 && (fd == loop->set.levels->queue || fd == loop->bell.heard ||
                       fd == loop->bell.rung);
}

static int poller_add(coir_loop *loop, int fd, int direction, void *user)
{
    int result = poller_check(loop);
    if (result == 0 && poller_is_own(loop, fd))
        return -EBADF;
    return result < 0 ? result : cr_interest_add(&loop->set, fd, direction, user);
}

static int poller_del(coir_loop *loop, int fd, int direction)
{
    int result = poller_check(loop);
    if (result == 0 && poller_is_own(loop, fd))
        return -EBADF;
    return result < 0 ? result : cr_interest_del(&loop->set, fd, direction);
}

int coir_loop_add_read(coir_loop *loop, int fd, void *user)
{
    return poller_add(loop, fd, COIR_IN, user);
}

int coir_loop_add_write(coir_loop *loop, int fd, void *user)
{
    return poller_add(loop, fd, COIR_OUT, user);
}

int coir_loop_del_read(coir_loop *loop, int fd)
{
    return poller_del(loop, fd, COIR_IN);
}

int coir_loop_del_write(coir_loop *loop, int fd)
{
    return poller_del(loop, fd, COIR_OUT);
}

int coir_loop_add_wake(coir_loop *loop, void *user)
{
    int result = poller_check(loop);
    if (result == 0)
        result = cr_interest_hear(&loop->set, loop->bell.heard);
    if (result == 0)
        loop->wake_user = user;
    return result;
}

int coir_loop_wake(coir_loop *loop)
{
    int result = poller_check(loop);
    if (result == 0)
        cr_bell_ring(&loop->bell);
    return result;
}

/* ---- waiting ---- */

static struct coir_loop_event poller_wake_event(const coir_loop *loop)
{
    cr_bell_hush(&loop->bell);
    return (struct coir_loop_event){.fd = -1, .flags = COIR_LOOP_WAKE, .user = loop->wake_user};
}

/* Takes one direction out of a level. */
static struct coir_loop_event poller_event(const struct cr_interest *entry, struct cr_level *level)
{
    struct coir_loop_event event = {.fd = cr_token_fd(level->token)};
    if (level->in && !(level->out && entry->out_first)) {
        event.flags = level->in;
        event.user = entry->in_user;
        event.bytes = cr_posix_readable_bytes(event.fd);
        level->in = 0;
    } else {
        event.flags = level->out;
        event.user = entry->out_user;
        level->out = 0;
    }
    return event;
}

/* The entry of a level, which then has only what the user watches; NULL when that is nothing. */
static struct cr_interest *poller_meet(coir_loop *loop, struct cr_level *level)
{
    int fd = cr_token_fd(level->token);
    struct cr_interest *entry = cr_interest_find(&loop->set, fd);
    bool is_ghost = !entry || entry->where == CR_INTEREST_NOWHERE ||
                    cr_interest_token(entry, fd) != level->token;
    if (is_ghost) {
        loop->has_ghosts = true;
        return NULL;
    }
    if (level->ended)
        cr_interest_again(&loop->set, entry, fd);
    level->in = entry->mask & COIR_IN ? level->in : 0;
    level->out = entry->mask & COIR_OUT ? level->out : 0;
    return level->in || level->out ? entry : NULL;
}

/* Tells one direction of each level, for which there is always room, then the other ones. One that
 * has no room is reported first the next time. */
static int poller_tell(coir_loop *loop, struct cr_level *levels, int got,
                       struct coir_loop_event *events, int most)
{
    struct cr_interest *entries[LEVELS_MOST];
    int count = 0;
    for (int i = 0; i < got; i++) {
        bool wake = levels[i].token == CR_TOKEN_BELL;
        entries[i] = wake ? NULL : poller_meet(loop, &levels[i]);
        if (wake)
            events[count++] = poller_wake_event(loop);
        else if (entries[i])
            events[count++] = poller_event(entries[i], &levels[i]);
    }
    for (int i = 0; i < got; i++) {
        if (!entries[i] || (!levels[i].in && !levels[i].out))
            continue;
        entries[i]->out_first = count == most && levels[i].out;
        if (count < most)
            events[count++] = poller_event(entries[i], &levels[i]);
    }
    return count;
}

/* What the world tells, or what is steady. */
static int poller_ask(coir_loop *loop, bool steady, struct coir_loop_event *events, int most,
                      uint64_t until)
{
    struct cr_level levels[LEVELS_MOST];
    int room = most < LEVELS_MOST ? most : LEVELS_MOST, got;
    if (!steady && loop->has_ghosts) {
        got = cr_interest_renew(&loop->set);
        if (got < 0)
            return got;
        loop->has_ghosts = false;
    }
    got = steady ? cr_interest_steady(&loop->set, levels, room)
                 : loop->set.levels->ops->wait(loop->set.levels, levels, room, until);
    return got < 0 ? got : poller_tell(loop, levels, got, events, most);
}

/* One look at both; an error of the second is reported by a wait in which it is the first. */
static int poller_look(coir_loop *loop, struct coir_loop_event *events, int most, uint64_t until)
{
    if (loop->set.steady_count == 0)
        return poller_ask(loop, false, events, most, until);
    loop->steady_first = !loop->steady_first;
    int count = poller_ask(loop, loop->steady_first, events, most, 0);
    if (count < 0 || count == most)
        return count;
    int more = poller_ask(loop, !loop->steady_first, events + count, most - count, 0);
    return more > 0 ? count + more : count > 0 ? count : more;
}

int coir_loop_wait(coir_loop *loop, struct coir_loop_event *events, int most, coir_time until)
{
    int count = poller_check(loop);
    if (count < 0 || !events || most <= 0)
        return count < 0 ? count : -EINVAL;
    do
        count = poller_look(loop, events, most, cr_is_try(until) ? 0 : cr_deadline_ns(until));
    while (count == 0 && (loop->has_ghosts || cr_posix_now(NULL) < cr_deadline_ns(until)));
    return count;
}

/* ---- time ---- */

coir_time coir_loop_now(void)
{
    return COIR_TIME_NS(cr_posix_now(NULL));
}

coir_time coir_loop_after(int64_t duration_ns)
{
    return cr_deadline(cr_timer_after(cr_posix_now(NULL), duration_ns));
}

/* ---- life ---- */

int coir_loop_open(coir_loop **out, enum coir_world which)
{
    struct cr_levels *levels;
    int result = out ? cr_leave_count() : -EINVAL;
    if (result == 0)
        result = cr_world_make_levels(&levels, which);
    if (result < 0)
        return result;
    coir_loop *loop = calloc(1, sizeof *loop);
    result = loop ? cr_bell_open(&loop->bell) : -ENOMEM;
    if (result < 0) {
        levels->ops->close(levels);
        free(loop);
        return result;
    }
    cr_interest_init(&loop->set, levels);
    loop->forks = cr_leave_forks;
    *out = loop;
    return 0;
}

void coir_loop_close(coir_loop *loop)
{
    if (!loop)
        return;
    struct cr_levels *levels = loop->set.levels;
    if (loop->forks != cr_leave_forks && levels->ops->queue_is_private)
        levels->queue = -1;
    cr_interest_fini(&loop->set);
    cr_bell_close(&loop->bell);
    free(loop);
}
