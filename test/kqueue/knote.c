/* The table of knotes, found by their idents. No memory is allocated: the tests count that. */
#include "knote.h"

#include <errno.h>
#include <unistd.h>

enum { NOTES_MOST = 1 << 16, CHAINS = 1 << 12 };

static struct knote notes[NOTES_MOST];
static int chains[CHAINS]; /* the first knote plus one */
static int notes_used, notes_free = -1;

struct knote *note_at(uint64_t place)
{
    return &notes[place];
}

static int *chain_of(uintptr_t ident)
{
    return &chains[ident % CHAINS];
}

struct knote *note_find(int queue, uintptr_t ident, int16_t filter)
{
    for (int i = *chain_of(ident) - 1; i >= 0; i = notes[i].next)
        if (notes[i].queue == queue && notes[i].ident == ident && notes[i].filter == filter)
            return &notes[i];
    return NULL;
}

struct knote *note_make(int queue, int epoll, const struct kevent *change)
{
    int at = notes_free >= 0 ? notes_free : notes_used;
    if (at == NOTES_MOST)
        return NULL;
    if (at == notes_free)
        notes_free = notes[at].next;
    else
        notes_used++;
    int *chain = chain_of(change->ident);
    notes[at] = (struct knote){
        .queue = queue,
        .epoll = epoll,
        .ident = change->ident,
        .filter = change->filter,
        .used = true,
        .own = -1,
        .held = -1,
        .next = *chain - 1,
    };
    *chain = at + 1;
    return &notes[at];
}

void note_deregister(struct knote *note)
{
    if (note->registered)
        epoll_ctl(note->epoll, EPOLL_CTL_DEL, filter_fd(note), &(struct epoll_event){0});
    note->registered = false;
    if (note->held >= 0)
        __close(note->held);
    note->held = -1;
}

int note_watch(struct knote *note, int fd, uint32_t events)
{
    struct epoll_event interest = {events, {.u64 = (uint64_t)(note - notes)}};
    return epoll_ctl(note->epoll, EPOLL_CTL_ADD, fd, &interest) == 0 ? 0 : errno;
}

int note_register(struct knote *note)
{
    if (note->filter == EVFILT_WRITE && kernel_has_shut((int)note->ident) && note->own < 0) {
        note_deregister(note);
        note->own = filter_always();
    }
    if (!note->enabled || note->inert) {
        note_deregister(note);
        return 0;
    }
    struct epoll_event interest = {filter_events(note), {.u64 = (uint64_t)(note - notes)}};
    if (note->registered &&
        epoll_ctl(note->epoll, EPOLL_CTL_MOD, filter_fd(note), &interest) == 0)
        return 0;
    note_deregister(note);
    int error = note_watch(note, filter_fd(note), interest.events);
    if (error == EPERM)
        error = filter_replace(note);
    if (error == 0 && note->own >= 0)
        error = note_watch(note, note->own, interest.events);
    note->registered = error == 0 || error == EEXIST;
    if (note->registered && note->pending)
        outside_hold(note);
    return note->registered ? 0 : error;
}

void note_free(struct knote *note)
{
    int at = (int)(note - notes), *link = chain_of(note->ident);
    note_deregister(note);
    filter_detach(note);
    if (*link == at + 1) {
        *link = note->next + 1;
    } else {
        for (link = &notes[*link - 1].next; *link != at; link = &notes[*link].next)
            continue;
        *link = note->next;
    }
    note->used = false;
    note->next = notes_free;
    notes_free = at;
}

static void note_each(int fd, int16_t filter, void (*act)(struct knote *note))
{
    int error = errno;
    kqueue_lock();
    for (int i = *chain_of((uintptr_t)fd) - 1; i >= 0; i = notes[i].next)
        if (notes[i].ident == (uintptr_t)fd && notes[i].filter == filter)
            act(&notes[i]);
    kqueue_unlock();
    errno = error;
}

static void note_fall_silent(struct knote *note)
{
    note->inert = true;
    note_deregister(note);
}

static void note_look(struct knote *note)
{
    note_register(note);
}

void note_deafen(int fd)
{
    note_each(fd, EVFILT_READ, note_fall_silent);
}

void note_look_again(int fd, int16_t filter)
{
    note_each(fd, filter, note_look);
}

void note_forget_fd(int fd)
{
    kernel_forget(fd);
    for (int i = *chain_of((uintptr_t)fd) - 1, next; i >= 0; i = next) {
        next = notes[i].next;
        if (notes[i].ident == (uintptr_t)fd && filter_is_of_fd(notes[i].filter))
            note_free(&notes[i]);
    }
}

void note_forget_queue(int queue)
{
    for (int i = 0; i < notes_used; i++)
        if (notes[i].used && notes[i].queue == queue)
            note_free(&notes[i]);
}

void note_abandon_all(void)
{
    for (int i = 0; i < notes_used; i++) {
        if (notes[i].used)
            filter_detach(&notes[i]);
        notes[i].used = false;
    }
    notes_used = 0;
    notes_free = -1;
    for (int i = 0; i < CHAINS; i++)
        chains[i] = 0;
}
