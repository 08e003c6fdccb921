/* The reference world: plain poll, on any POSIX system. It keeps one entry for each attached
 * descriptor, with the events that are armed and not reported yet. An entry without any is hidden
 * from poll by negating its number, because a level would be reported again and again. One that is
 * watched for levels is hidden only when its number was found closed.
 *
 * Invariant: an index, once given to a descriptor, is its own until detach; free ones form a chain
 * through their tokens. */
#include "levels.h"

#include "../os/os.h"
#include "posix.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

enum { ENTRIES_MIN = 64 };

struct poll_set {
    struct pollfd *entries;
    uint64_t *tokens;
    size_t count, capacity;
    size_t free;  /* the first free index plus one, 0: none */
    size_t first; /* where the next batch starts, so that a full one starves nobody */
};

struct cr_poll {
    struct cr_world world;
    struct poll_set set;
};

static struct poll_set *poll_set_of(struct cr_world *world)
{
    return &CR_CONTAINER(world, struct cr_poll, world)->set;
}

/* ---- the set ---- */

static bool poll_grow(struct poll_set *set)
{
    size_t capacity = set->capacity ? 2 * set->capacity : ENTRIES_MIN;
    struct pollfd *entries = realloc(set->entries, capacity * sizeof *entries);
    if (!entries)
        return false;
    set->entries = entries;
    uint64_t *tokens = realloc(set->tokens, capacity * sizeof *tokens);
    if (!tokens)
        return false;
    set->tokens = tokens;
    set->capacity = capacity;
    return true;
}

/* The index of a new entry, hidden; or an error. */
static int poll_add(struct poll_set *set, int fd, uint64_t token)
{
    int probe = cr_posix_ask(fd, COIR_IN | COIR_OUT);
    if (probe < 0)
        return probe;
    size_t index = set->free ? set->free - 1 : set->count;
    if (index == set->capacity && !poll_grow(set))
        return -ENOMEM;
    if (index == set->count)
        set->count++;
    else
        set->free = set->tokens[index];
    set->entries[index] = (struct pollfd){.fd = ~fd};
    set->tokens[index] = token;
    return (int)index;
}

static void poll_remove(struct poll_set *set, int index)
{
    set->entries[index] = (struct pollfd){.fd = -1};
    set->tokens[index] = set->free;
    set->free = (size_t)index + 1;
}

/* How many entries have something to report; or an error. */
static int poll_ask(struct poll_set *set, size_t count, uint64_t until)
{
    struct timespec left_buf, *left = cr_posix_left(until, &left_buf);
    int ready = cr_os_poll(count ? set->entries : NULL, count, left);
    return ready >= 0 ? ready : errno == EINTR ? 0 : -errno;
}

static void poll_fini(struct poll_set *set)
{
    free(set->entries);
    free(set->tokens);
}

/* ---- the world ---- */

static int poll_open(struct cr_world *world)
{
    (void)world;
    return -ENOSYS;
}

static int poll_own(struct cr_world *world, int i)
{
    (void)world;
    (void)i;
    return -1;
}

static int poll_attach(struct cr_world *world, int fd, uint64_t token)
{
    return poll_add(poll_set_of(world), fd, token);
}

static bool poll_detach(struct cr_world *world, int fd, int index)
{
    (void)fd;
    poll_remove(poll_set_of(world), index);
    return true;
}

static void poll_arm(struct cr_world *world, int fd, int index, int mask)
{
    struct pollfd *entry = &poll_set_of(world)->entries[index];
    CR_ASSERT(entry->fd == fd || entry->fd == ~fd);
    entry->fd = fd;
    entry->events = (short)(entry->events | cr_posix_poll_mask(mask));
}

/* It has no registrations to lose. */
static bool poll_lost(struct cr_world *world, int fd, uint64_t token)
{
    (void)world;
    (void)fd;
    (void)token;
    return false;
}

static bool poll_is_gone(const struct pollfd *entry)
{
    return entry->revents & POLLNVAL && fcntl(entry->fd, F_GETFD) < 0;
}

/* Disarms what it reports. If a direction stays armed, it goes on asking for the peer's end. */
static void poll_report(struct poll_set *set, size_t index, struct cr_event *event)
{
    struct pollfd *entry = &set->entries[index];
    short told = entry->revents & POLLNVAL ? POLLERR : entry->revents;
    event->token = set->tokens[index];
    event->value = cr_posix_mask(told) | (poll_is_gone(entry) ? CR_GONE : 0);
    entry->events &= (short)~(cr_posix_poll_mask((int)event->value) | (told & POLLPRI));
    if (!(entry->events & (POLLIN | POLLOUT)))
        entry->fd = ~entry->fd;
    else if (!(told & POLLRDHUP))
        entry->events |= POLLRDHUP;
}

static int poll_wait_events(struct cr_world *world, struct cr_event *events, int max,
                            uint64_t until, bool *more)
{
    struct poll_set *set = poll_set_of(world);
    size_t count = max > 0 ? set->count : 0;
    int ready = poll_ask(set, count, until), told = 0;
    if (ready < 0)
        return ready;
    for (size_t i = 0; i < count && told < ready && told < max; i++) {
        size_t index = (set->first + i) % count;
        if (set->entries[index].fd >= 0 && set->entries[index].revents) {
            poll_report(set, index, &events[told++]);
            if (told == max)
                set->first = index + 1;
        }
    }
    *more = told == max && max > 0;
    return told;
}

static void poll_close(struct cr_world *world)
{
    poll_fini(poll_set_of(world));
    free(CR_CONTAINER(world, struct cr_poll, world));
}

int cr_poll_make(struct cr_world **world)
{
    static const struct cr_world_ops OPS = {
        .now = cr_posix_now,
        .wait = poll_wait_events,
        .open = poll_open,
        .own = poll_own,
        .attach = poll_attach,
        .detach = poll_detach,
        .arm = poll_arm,
        .lost = poll_lost,
        .ready = cr_posix_ready,
        .adopt = cr_posix_adopt,
        .start = cr_ops_start,
        .cancel = cr_posix_cancel,
        .renew = cr_posix_renew,
        .close = poll_close,
    };
    struct cr_poll *poll = calloc(1, sizeof *poll);
    if (!poll)
        return -ENOMEM;
    poll->world = (struct cr_world){.ops = &OPS, .name = "poll", .plain = true};
    *world = &poll->world;
    return 0;
}

/* ---- levels ---- */

struct poll_levels {
    struct cr_levels levels;
    struct poll_set set;
};

static struct poll_set *poll_levels_set(struct cr_levels *levels)
{
    return &CR_CONTAINER(levels, struct poll_levels, levels)->set;
}

static int poll_watch(struct cr_levels *levels, int fd, int index, uint64_t token, int old,
                      int mask)
{
    struct poll_set *set = poll_levels_set(levels);
    bool gone = old && set->entries[index].fd < 0;
    if (mask == 0 || gone) {
        poll_remove(set, index);
        return gone && mask ? -ENOENT : 0;
    }
    int probe = old ? cr_posix_ask(fd, mask) : poll_add(set, fd, token);
    if (probe < 0)
        return probe;
    if (!old)
        index = probe;
    int in = mask & COIR_IN ? POLLIN | POLLRDHUP : 0, out = mask & COIR_OUT ? POLLOUT : 0;
    set->entries[index] = (struct pollfd){.fd = fd, .events = (short)(in | out)};
    return index;
}

/* A number that poll says is not open may be a device that poll does not know: ready() can tell. */
static int poll_wait_levels(struct cr_levels *levels, struct cr_level *got, int max,
                            uint64_t until)
{
    struct poll_set *set = poll_levels_set(levels);
    size_t count = set->count;
    int ready = poll_ask(set, count, until), told = 0;
    for (size_t i = 0; i < count && ready > 0 && told < max; i++) {
        size_t index = (set->first + i) % count;
        struct pollfd *entry = &set->entries[index];
        if (entry->fd < 0 || !entry->revents)
            continue;
        ready--;
        if (!(entry->revents & POLLNVAL))
            got[told++] = cr_posix_level(set->tokens[index], entry->revents);
        else if (cr_posix_ask(entry->fd, COIR_IN) == -EBADF)
            entry->fd = ~entry->fd;
        else
            got[told++] = cr_posix_level(set->tokens[index], POLLIN | POLLOUT);
        if (told == max)
            set->first = index + 1;
    }
    return ready < 0 ? ready : told;
}

static void poll_close_levels(struct cr_levels *levels)
{
    poll_fini(poll_levels_set(levels));
    free(CR_CONTAINER(levels, struct poll_levels, levels));
}

int cr_poll_make_levels(struct cr_levels **levels)
{
    static const struct cr_levels_ops OPS = {
        .make = cr_poll_make_levels,
        .watch = poll_watch,
        .wait = poll_wait_levels,
        .ready = cr_posix_ask,
        .close = poll_close_levels,
    };
    struct poll_levels *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->levels = (struct cr_levels){.ops = &OPS, .queue = -1};
    *levels = &made->levels;
    return 0;
}
