/* Posts under GenMC, which runs every execution that C11 allows: the real src/run/post.c, a bell
 * that is a word, and a world that does nothing. SCENARIO is one of the functions below; run.sh
 * says what must hold in all of them. A datum that two threads touch without an order between them
 * is found by GenMC itself: letters, what they point to, and the bell are plain. */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#ifndef PTHREAD_CANCEL_DISABLE
enum { PTHREAD_CANCEL_DISABLE };
static int pthread_setcancelstate(int state, int *before)
{
    if (before)
        *before = state;
    return 0;
}
#endif

/* The bell is ../../src/world/bell.h's, but too large to be copied by one instruction: GenMC wants
 * each word read as it was written. */
#define CR_BELL_H
#include "../../src/base/base.h"
struct cr_bell {
    int64_t heard, rung;
};
int cr_bell_open(struct cr_bell *bell);
void cr_bell_ring(const struct cr_bell *bell);
void cr_bell_hush(const struct cr_bell *bell);
void cr_bell_close(const struct cr_bell *bell);

#include "post.c"

/* ---- What post.c calls ---- */

_Thread_local struct coir_sched *cr_sched_here;

/* Descriptors are 0, 1 …: one for each bell. A ring orders nothing, which asks for more than the
 * kernel does. */
enum { BELLS = 4 };
static bool bell_is_open[BELLS];
static _Atomic bool bell_rings[BELLS];
static _Atomic int bell_count;

int cr_bell_open(struct cr_bell *bell)
{
    bell->heard = bell->rung = atomic_fetch_add_explicit(&bell_count, 1, memory_order_relaxed);
    bell_is_open[bell->heard] = true;
    return 0;
}

void cr_bell_ring(const struct cr_bell *bell)
{
    assert(bell_is_open[bell->rung]);
    atomic_store_explicit(&bell_rings[bell->rung], true, memory_order_relaxed);
}

void cr_bell_hush(const struct cr_bell *bell)
{
    atomic_store_explicit(&bell_rings[bell->heard], false, memory_order_relaxed);
}

void cr_bell_close(const struct cr_bell *bell)
{
    bell_is_open[bell->heard] = false;
}

bool cr_sched_call(struct coir_sched *sched, const char *what, void (*fn)(void *arg), void *arg)
{
    (void)sched, (void)what;
    fn(arg);
    return true;
}

int cr_os_poll(struct pollfd *asks, size_t count, const struct timespec *left)
{
    (void)asks, (void)left;
    return (int)count;
}

void cr_fatal_mistake(const char *function, void *caller, const char *what)
{
    (void)function, (void)caller, (void)what;
    assert(false);
    for (;;)
        continue;
}

int cr_sched_none(const char *function, void *caller)
{
    cr_fatal_mistake(function, caller, "");
}

struct cr_fd *cr_fd_make(struct cr_fds *fds, int fd)
{
    static struct cr_fd entries[BELLS];
    (void)fds;
    return &entries[fd];
}

void cr_fd_forget(struct cr_io *io, struct cr_fd *entry)
{
    (void)io, (void)entry;
}

void cr_fd_forget_own(struct cr_io *io)
{
    (void)io;
}

static int world_attach(struct cr_world *world, int fd, uint64_t token)
{
    (void)world, (void)token;
    return fd;
}

static bool world_detach(struct cr_world *world, int fd, int index)
{
    (void)world, (void)fd, (void)index;
    return true;
}

static const struct cr_world_ops WORLD_OPS = {.attach = world_attach, .detach = world_detach};
static struct cr_world world = {.ops = &WORLD_OPS, .edges = true};

/* ---- The two sides ---- */

static struct cr_run runs[2];

static void box_open(struct cr_run *run, coir_mailbox *box)
{
    run->io.world = &world;
    cr_post_init(&run->post);
    cr_sched_here = &run->io.core;
    assert(coir_mailbox_open(box, 0) == 0);
}

/* By its members, for the same reason as the bell. */
static void box_close(const coir_mailbox *box)
{
    coir_mailbox copy = {.slot = box->slot, .generation = box->generation, .kind = box->kind};
    assert(coir_mailbox_close(copy) == 0);
}

static bool box_rings(struct cr_run *run)
{
    return atomic_load_explicit(&bell_rings[run->post.box->bell.heard], memory_order_relaxed);
}

static void box_deliver_and_doze(struct cr_run *run)
{
    do
        cr_post_deliver(run);
    while (!cr_post_doze(&run->post));
}

/* A loop that dozes, is woken at most once while the posters are about, and waits when they have
 * gone: whatever is still in the box then, its bell must ring. */
static void box_serve(struct cr_run *run, const pthread_t *posters, int count)
{
    box_deliver_and_doze(run);
    if (box_rings(run)) {
        cr_post_hush(run);
        box_deliver_and_doze(run);
    }
    for (int i = 0; i < count; i++)
        pthread_join(posters[i], NULL);
    if (box_rings(run))
        cr_post_deliver(run);
}

/* What a poster has to say, and what came of it. */
struct word {
    coir_letter letter;
    uint32_t slot, generation; /* of the box */
    int said, heard, calls;
    int results[2];
};

static struct word words[2];

static void word_heard(void *arg)
{
    struct word *word = arg;
    word->heard = word->said;
    word->calls++;
}

static struct word *word_make(int i, const coir_mailbox *box)
{
    struct word *word = &words[i];
    word->letter.fn = word_heard;
    word->letter.arg = word;
    word->slot = box->slot;
    word->generation = box->generation;
    return word;
}

static int word_send(struct word *word)
{
    coir_mailbox box = {.slot = word->slot, .generation = word->generation};
    return coir_post(box, &word->letter);
}

static void *word_post(void *arg)
{
    struct word *word = arg;
    word->said = 1;
    word->results[0] = word_send(word);
    return NULL;
}

static pthread_t thread_start(void *(*fn)(void *arg), void *arg)
{
    pthread_t thread;
    pthread_create(&thread, NULL, fn, arg);
    return thread;
}

/* ---- Scenarios ---- */

/* Two threads post a letter each: the loop calls each of them once. */
static inline void two_posters(void)
{
    coir_mailbox box;
    box_open(&runs[0], &box);
    pthread_t posters[2];
    for (int i = 0; i < 2; i++)
        posters[i] = thread_start(word_post, word_make(i, &box));
    box_serve(&runs[0], posters, 2);
    for (int i = 0; i < 2; i++)
        assert(words[i].results[0] == 0 && words[i].calls == 1 && words[i].heard == 1);
}

static _Atomic int again_said;
static int again_heard;

static void again_call(void *arg)
{
    (void)arg;
    again_heard = atomic_load_explicit(&again_said, memory_order_relaxed);
}

static void *again_post(void *arg)
{
    struct word *word = arg;
    for (int i = 0; i < 2; i++) {
        atomic_store_explicit(&again_said, i + 1, memory_order_relaxed);
        word->results[i] = word_send(word);
    }
    return NULL;
}

/* A letter is posted twice: whatever was written before the later post, a call sees. */
static inline void posted_again(void)
{
    coir_mailbox box;
    box_open(&runs[0], &box);
    struct word *word = word_make(0, &box);
    word->letter.fn = again_call;
    pthread_t thread = thread_start(again_post, word);
    box_serve(&runs[0], &thread, 1);
    assert(again_heard == 2);
    assert(word->results[0] == 0 && word->results[1] == 0);
}

/* A box is closed beside a post: 0 means a call, -ESRCH means none, and the bell is not rung once
 * it is closed. */
static inline void closed_beside_a_post(void)
{
    coir_mailbox box;
    box_open(&runs[0], &box);
    pthread_t thread = thread_start(word_post, word_make(0, &box));
    cr_post_doze(&runs[0].post);
    box_close(&box);
    pthread_join(thread, NULL);
    assert(words[0].results[0] == (words[0].calls ? 0 : -ESRCH));
    assert(words[0].calls == words[0].heard);
}

static void *other_scheduler(void *arg)
{
    coir_mailbox box;
    box_open(&runs[1], &box);
    cr_post_doze(&runs[1].post);
    box_close(&box);
    return arg;
}

/* Another thread opens a box as soon as this one is closed: a handle reaches its own or none. */
static inline void opened_again(void)
{
    coir_mailbox box;
    box_open(&runs[0], &box);
    pthread_t poster = thread_start(word_post, word_make(0, &box));
    pthread_t other = thread_start(other_scheduler, NULL);
    box_close(&box);
    int calls = words[0].calls;
    pthread_join(poster, NULL);
    pthread_join(other, NULL);
    assert(words[0].calls == calls);
    assert(words[0].results[0] == (calls ? 0 : -ESRCH));
}

int main(void)
{
    SCENARIO();
    return 0;
}
