/* The reference world: plain poll, on any POSIX system. It keeps one entry for each attached
 * descriptor, with the events that are armed and not told yet. An entry without any is hidden from
 * poll by negating its number, because a level would be told again and again. One that is watched
 * for levels is hidden only when its number was found closed.
 *
 * Invariant: a place, once given to a descriptor, is its own until detach; free places form a chain
 * through their tokens. */
#include "world.h"

#include "../../include/coir.h"
#include "../os/os.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

enum { ENTRIES_LEAST = 64 };

struct poll_state {
    struct pollfd *entries;
    uint64_t *tokens;
    size_t count, capacity;
    size_t free;  /* the first free place plus one, 0: none */
    size_t first; /* where the next batch starts, so that a full one starves nobody */
};

static struct poll_state *poll_state(struct cr_world *world)
{
    if (!world->state)
        world->state = calloc(1, sizeof(struct poll_state));
    return world->state;
}

static bool poll_grow(struct poll_state *state)
{
    size_t capacity = state->capacity ? 2 * state->capacity : ENTRIES_LEAST;
    struct pollfd *entries = realloc(state->entries, capacity * sizeof *entries);
    if (!entries)
        return false;
    state->entries = entries;
    uint64_t *tokens = realloc(state->tokens, capacity * sizeof *tokens);
    if (!tokens)
        return false;
    state->tokens = tokens;
    state->capacity = capacity;
    return true;
}

static int poll_attach(struct cr_world *world, int fd, uint64_t token)
{
    struct poll_state *state = poll_state(world);
    int probe = world->ready(world, fd, COIR_IN | COIR_OUT);
    if (!state || probe < 0)
        return state ? probe : -ENOMEM;
    size_t place = state->free ? state->free - 1 : state->count;
    if (place == state->capacity && !poll_grow(state))
        return -ENOMEM;
    if (place == state->count)
        state->count++;
    else
        state->free = state->tokens[place];
    state->entries[place] = (struct pollfd){.fd = ~fd};
    state->tokens[place] = token;
    return (int)place;
}

static bool poll_detach(struct cr_world *world, int fd, int place)
{
    (void)fd;
    struct poll_state *state = world->state;
    state->entries[place] = (struct pollfd){.fd = -1};
    state->tokens[place] = state->free;
    state->free = (size_t)place + 1;
    return true;
}

static void poll_arm(struct cr_world *world, int fd, int place, int mask)
{
    struct poll_state *state = world->state;
    struct pollfd *entry = &state->entries[place];
    CR_ASSERT(entry->fd == fd || entry->fd == ~fd);
    entry->fd = fd;
    entry->events = (short)(entry->events | cr_posix_poll_mask(mask));
}

static bool poll_is_gone(const struct pollfd *entry)
{
    return entry->revents & POLLNVAL && fcntl(entry->fd, F_GETFD) < 0;
}

/* What is told is disarmed; a direction that is still armed goes on asking for the peer's end. */
static void poll_tell(struct poll_state *state, size_t place, struct cr_event *event)
{
    struct pollfd *entry = &state->entries[place];
    short told = entry->revents & POLLNVAL ? POLLERR : entry->revents;
    event->token = state->tokens[place];
    event->value = cr_posix_mask(told) | (poll_is_gone(entry) ? CR_GONE : 0);
    entry->events &= (short)~(cr_posix_poll_mask((int)event->value) | (told & POLLPRI));
    if (!(entry->events & (POLLIN | POLLOUT)))
        entry->fd = ~entry->fd;
    else if (!(told & POLLRDHUP))
        entry->events |= POLLRDHUP;
}

/* How many entries have something to tell. */
static int poll_ask(struct cr_world *world, size_t count, uint64_t until)
{
    struct poll_state *state = world->state;
    struct timespec left_buf, *left = cr_posix_left(world, until, &left_buf);
    int ready = cr_os_poll(count ? state->entries : NULL, count, left);
    return ready >= 0 ? ready : errno == EINTR ? 0 : -errno;
}

static int poll_wait_events(struct cr_world *world, struct cr_event *events, int most,
                            uint64_t until)
{
    struct poll_state *state = world->state;
    size_t count = state ? state->count : 0;
    int ready = poll_ask(world, count, until), told = 0;
    if (ready < 0)
        return ready;
    for (size_t i = 0; i < count && told < ready && told < most; i++) {
        size_t place = (state->first + i) % count;
        if (state->entries[place].fd >= 0 && state->entries[place].revents) {
            poll_tell(state, place, &events[told++]);
            if (told == most)
                state->first = place + 1;
        }
    }
    world->is_full = told == most;
    return told;
}

static int poll_watch(struct cr_world *world, int fd, int place, uint64_t token, int old, int mask)
{
    struct poll_state *state = world->state;
    bool gone = old && state->entries[place].fd < 0;
    if (mask == 0 || gone) {
        poll_detach(world, fd, place);
        return gone && mask ? -ENOENT : 0;
    }
    int probe = old ? world->ready(world, fd, mask) : poll_attach(world, fd, token);
    if (probe < 0)
        return probe;
    if (!old)
        place = probe;
    state = world->state;
    int in = mask & COIR_IN ? POLLIN | POLLRDHUP : 0, out = mask & COIR_OUT ? POLLOUT : 0;
    state->entries[place] = (struct pollfd){.fd = fd, .events = (short)(in | out)};
    return place;
}

/* A number that poll says is not open may be a device that poll does not know: ready() can tell. */
static int poll_levels(struct cr_world *world, struct cr_level *levels, int most, uint64_t until)
{
    struct poll_state *state = world->state;
    size_t count = state ? state->count : 0;
    int ready = poll_ask(world, count, until), told = 0;
    for (size_t i = 0; i < count && ready > 0 && told < most; i++) {
        size_t place = (state->first + i) % count;
        struct pollfd *entry = &state->entries[place];
        if (entry->fd < 0 || !entry->revents)
            continue;
        ready--;
        if (!(entry->revents & POLLNVAL))
            levels[told++] = cr_posix_level(state->tokens[place], entry->revents);
        else if (world->ready(world, entry->fd, COIR_IN) == -EBADF)
            entry->fd = ~entry->fd;
        else
            levels[told++] = cr_posix_level(state->tokens[place], POLLIN | POLLOUT);
        if (told == most)
            state->first = place + 1;
    }
    return ready < 0 ? ready : told;
}

static void poll_fini(struct cr_world *world)
{
    struct poll_state *state = world->state;
    if (!state)
        return;
    free(state->entries);
    free(state->tokens);
    free(state);
}

int cr_poll_init(struct cr_world *world)
{
    cr_posix_init(world);
    world->name = "poll";
    world->wait = poll_wait_events;
    world->attach = poll_attach;
    world->detach = poll_detach;
    world->arm = poll_arm;
    world->watch = poll_watch;
    world->levels = poll_levels;
    world->fini = poll_fini;
    return 0;
}
