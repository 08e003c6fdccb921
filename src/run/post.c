/* The mailbox: how other threads and signal handlers reach a scheduler. Nothing is allocated or
 * locked on the way of a post.
 *
 *     box->head    what the loop finds there           what a post does
 *     NULL         nothing, and it is awake            puts its letter there
 *     DOZING       nothing, and it may be waiting      puts its letter there, rings the bell
 *     a letter     that, and what was posted before    puts its letter in front
 *
 * So the bell is rung at most once for each time that the loop dozes off.
 *
 * Boxes stay while the library is there, because a post may look into one at any time, also while
 * the program exits. A box's generation is odd while it is open; a post counts itself among the
 * box's users if it finds its own there. So whoever closes a box makes the generation even and
 * waits for the users to leave: then nobody is about to put a letter there, or to ring a bell that
 * is gone. A scheduler that keeps its box while it is not open is one of its users meanwhile. */
#include "post.h"

#include "../debug/debug.h"
#include "../os/os.h"
#include "../world/bell.h"
#include "run.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* What is in a letter that waits: no number that is found in memory by chance. */
enum { POSTED = 0x706f7374 };

enum { BOXES = 64 * 1024, USERS_PAUSE_NS = 10000, LETTERS_MOST = 256 };

static const uint64_t GENERATION_ONE = UINT64_C(1) << 32;

struct cr_mailbox {
    _Atomic uint64_t state; /* generation, users: 32 bits each */
    _Atomic(coir_letter *) head;
    struct cr_bell bell;
    bool has_bell;
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_POINTER_LOCK_FREE == 2 &&
                   ATOMIC_INT_LOCK_FREE == 2,
               "a signal handler may post");

static struct cr_mailbox post_boxes[BOXES]; /* of which the system gives those that are used */
static _Atomic uint32_t post_boxes_used;    /* those below have been open */

static coir_letter dozing;
static coir_letter *const DOZING = &dozing;

static uint32_t post_generation(uint64_t state)
{
    return (uint32_t)(state >> 32);
}

static struct cr_mailbox *post_find(uint32_t slot)
{
    return slot < BOXES ? &post_boxes[slot] : NULL;
}

static bool post_enter(struct cr_mailbox *box, uint32_t generation)
{
    uint64_t state = atomic_load(&box->state);
    do
        if (!(generation & 1) || post_generation(state) != generation)
            return false;
    while (!atomic_compare_exchange_weak(&box->state, &state, state + 1));
    return true;
}

static void post_leave(struct cr_mailbox *box)
{
    atomic_fetch_sub(&box->state, 1);
}

static void post_push(struct cr_mailbox *box, coir_letter *letter)
{
    coir_letter *head = atomic_load(&box->head);
    do
        letter->next = head == DOZING ? NULL : head;
    while (!atomic_compare_exchange_weak(&box->head, &head, letter));
    if (head == DOZING)
        cr_bell_ring(&box->bell);
}

int coir_post(coir_mailbox mailbox, coir_letter *letter)
{
    if (CR_UNLIKELY(!letter || !letter->fn))
        cr_fatal_mistake("coir_post", CR_CALLER, "the letter or its function is NULL");
    struct cr_mailbox *box = post_find(mailbox.slot);
    if (!box || !post_enter(box, mailbox.generation))
        return -ESRCH;
    int before = __atomic_exchange_n(&letter->posted, POSTED, __ATOMIC_ACQ_REL);
    if (CR_UNLIKELY(before != 0 && before != POSTED))
        cr_fatal_mistake("coir_post", CR_CALLER, "the letter's own part did not begin as 0");
    if (before == 0)
        post_push(box, letter);
    post_leave(box);
    return 0;
}

void cr_post_hand(struct cr_mailbox *box, coir_letter *letter)
{
    atomic_fetch_add(&box->state, 1);
    post_push(box, letter);
    post_leave(box);
}

void cr_post_init(struct cr_post *post)
{
    post->letters_end = &post->letters;
}

bool cr_post_doze(struct cr_post *post)
{
    coir_letter *head = NULL;
    if (!post->box)
        return true;
    return !post->letters &&
           (atomic_compare_exchange_strong(&post->box->head, &head, DOZING) || head == DOZING);
}

/* Puts what is in the box behind what was taken out before, the oldest first. */
static void post_take(struct cr_post *post, struct cr_mailbox *box)
{
    coir_letter *letter = atomic_exchange(&box->head, NULL), *oldest = NULL;
    if (!letter || letter == DOZING)
        return;
    coir_letter **end = &letter->next;
    while (letter) {
        coir_letter *older = letter->next;
        letter->next = oldest;
        oldest = letter;
        letter = older;
    }
    *post->letters_end = oldest;
    post->letters_end = end;
}

/* A letter is its owner's again before its call, which may post it again. */
static bool post_call(struct cr_run *run)
{
    struct cr_post *post = &run->post;
    coir_letter *letter = post->letters;
    post->letters = letter->next;
    if (!post->letters)
        post->letters_end = &post->letters;
    void (*fn)(void *arg) = letter->fn;
    void *arg = letter->arg;
    __atomic_exchange_n(&letter->posted, 0, __ATOMIC_ACQ_REL);
    return cr_sched_call(&run->io.core, "a letter's function", fn, arg);
}

/* 0, or -ECHILD in a child that one of them has forked. */
static int post_call_most(struct cr_run *run, size_t most)
{
    for (; run->post.letters && most > 0; most--)
        if (!post_call(run))
            return -ECHILD;
    return 0;
}

bool cr_post_deliver(struct cr_run *run)
{
    post_take(&run->post, run->post.box);
    bool any = run->post.letters;
    post_call_most(run, LETTERS_MOST);
    return any;
}

void cr_post_hush(struct cr_run *run)
{
    struct cr_post *post = &run->post;
    if (!post->box)
        return;
    cr_bell_hush(&post->box->bell);
    cr_world_arm(run->io.world, post->box->bell.heard, post->index, COIR_IN);
}

static void post_count_used(uint32_t used)
{
    uint32_t before = atomic_load(&post_boxes_used);
    while (before < used && !atomic_compare_exchange_weak(&post_boxes_used, &before, used))
        continue;
}

/* A free box, whose one user is the caller. A generation is never used again. */
static struct cr_mailbox *post_claim(uint32_t *slot)
{
    for (*slot = 0; *slot < BOXES; ++*slot) {
        struct cr_mailbox *box = &post_boxes[*slot];
        uint64_t state = atomic_load(&box->state);
        bool is_free = !(state & (GENERATION_ONE | UINT32_MAX)) &&
                       post_generation(state) < UINT32_MAX - 1;
        if (is_free && atomic_compare_exchange_strong(&box->state, &state, state + 1)) {
            post_count_used(*slot + 1);
            return box;
        }
    }
    return NULL;
}

/* The bell's descriptors are nobody's but coir's. */
static bool post_mark_own(struct cr_io *io, const struct cr_bell *bell, bool own)
{
    struct cr_fd *heard = cr_fd_make(&io->fds, bell->heard);
    struct cr_fd *rung = heard ? cr_fd_make(&io->fds, bell->rung) : NULL;
    if (!rung)
        return false;
    cr_fd_forget(io, heard);
    cr_fd_forget(io, rung);
    heard->is_own = rung->is_own = own;
    return true;
}

static int post_attach(struct cr_run *run, const struct cr_bell *bell)
{
    struct cr_world *world = run->io.world;
    if (!post_mark_own(&run->io, bell, true))
        return -ENOMEM;
    int index = world->ops->attach(world, bell->heard, CR_TOKEN_BELL);
    if (index < 0) {
        post_mark_own(&run->io, bell, false);
        return index;
    }
    cr_fd_forget_own(&run->io);
    run->post.index = index;
    return 0;
}

bool cr_post_attach_again(struct cr_run *run)
{
    struct cr_mailbox *box = run->post.box;
    struct cr_world *world = run->io.world;
    return !box || world->ops->attach(world, box->bell.heard, CR_TOKEN_BELL) >= 0;
}

static void post_detach(struct cr_run *run, const struct cr_bell *bell)
{
    struct cr_world *world = run->io.world;
    world->ops->detach(world, bell->heard, run->post.index);
    post_mark_own(&run->io, bell, false);
}

/* A box of its own, which is not open. */
static int post_make(struct cr_run *run)
{
    struct cr_post *post = &run->post;
    struct cr_bell bell = {-1, -1};
    int result = cr_bell_open(&bell);
    if (result < 0)
        return result;
    result = post_attach(run, &bell);
    struct cr_mailbox *box = result < 0 ? NULL : post_claim(&post->slot);
    if (!box) {
        if (result == 0)
            post_detach(run, &bell);
        cr_bell_close(&bell);
        return result < 0 ? result : -ENOMEM;
    }
    box->bell = bell;
    box->has_bell = true;
    atomic_store(&box->head, NULL);
    post->box = box;
    cr_world_arm(run->io.world, bell.heard, post->index, COIR_IN);
    return 0;
}

static void post_open(struct cr_post *post)
{
    uint64_t state = atomic_fetch_add(&post->box->state, GENERATION_ONE - 1);
    post->generation = post_generation(state) + 1;
}

int cr_post_keep(struct cr_run *run)
{
    int result = run->post.box ? 0 : post_make(run);
    if (result == 0)
        run->post.kept = true;
    return result;
}

/* The first that is not weak, and the end of the last, change whether the scheduler waits. */
static void post_count_strong(struct coir_sched *sched, struct cr_post *post, int change)
{
    sched->outside -= post->strong > 0;
    post->strong += (uint32_t)change;
    sched->outside += post->strong > 0;
}

int coir_mailbox_open(coir_mailbox *mailbox, int kind)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_mailbox_open", CR_CALLER);
    if (CR_UNLIKELY(!mailbox))
        cr_fatal_mistake("coir_mailbox_open", CR_CALLER, "`mailbox` is NULL");
    if (kind != 0 && kind != COIR_WEAK)
        return -EINVAL;
    struct cr_post *post = &cr_run_of(sched)->post;
    int result = post->box ? 0 : post_make(cr_run_of(sched));
    if (result < 0)
        return result;
    if (post->opens++ == 0)
        post_open(post);
    post_count_strong(sched, post, kind == COIR_WEAK ? 0 : 1);
    *mailbox = (coir_mailbox){post->slot, post->generation, (uint32_t)kind};
    return 0;
}

/* What was posted is called in any case, also what was posted a moment ago. The caller is a user
 * itself until the bell is closed, so that no other thread claims the box. */
static int post_close(struct cr_run *run)
{
    static const struct timespec A_MOMENT = {.tv_nsec = USERS_PAUSE_NS};
    struct cr_post *post = &run->post;
    struct cr_mailbox *box = post->box;
    int may_cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &may_cancel);
    if (post->opens > 0)
        atomic_fetch_add(&box->state, GENERATION_ONE + 1);
    while ((uint32_t)atomic_load(&box->state) > 1)
        cr_os_poll(NULL, 0, &A_MOMENT);
    post->opens = 0;
    post_count_strong(&run->io.core, post, -(int)post->strong);
    post_take(post, box);
    if (!post->kept) {
        post->box = NULL;
        box->has_bell = false;
        post_detach(run, &box->bell);
        cr_bell_close(&box->bell);
        post_leave(box);
    }
    pthread_setcancelstate(may_cancel, NULL);
    return post_call_most(run, SIZE_MAX);
}

int coir_mailbox_close(coir_mailbox mailbox)
{
    struct coir_sched *sched = cr_sched_here;
    if (CR_UNLIKELY(!sched))
        return cr_sched_none("coir_mailbox_close", CR_CALLER);
    struct cr_post *post = &cr_run_of(sched)->post;
    if (post->opens == 0 || mailbox.slot != post->slot || mailbox.generation != post->generation)
        return -ESRCH;
    post_count_strong(sched, post, mailbox.kind == COIR_WEAK ? 0 : -1);
    if (post->opens == 1)
        return post_close(cr_run_of(sched));
    post->opens--;
    return 0;
}

int cr_post_fini(struct cr_run *run)
{
    int result = post_call_most(run, SIZE_MAX);
    while (result == 0 && run->post.box) {
        run->post.kept = false;
        result = post_close(run);
    }
    return result;
}

/* A post that another thread was in the middle of stays a user forever: its box is lost. */
void cr_post_abandon(void)
{
    for (uint32_t i = 0; i < post_boxes_used; i++) {
        struct cr_mailbox *box = &post_boxes[i];
        if (!box->has_bell)
            continue;
        bool is_open = post_generation(box->state) & 1;
        atomic_fetch_add(&box->state, is_open ? GENERATION_ONE : UINT64_MAX);
        cr_bell_close(&box->bell);
        box->has_bell = false;
    }
}
