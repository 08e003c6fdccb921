/* What all shared things do in the same way: lock, settle, wait and wake.
 *
 * Invariant: whoever serves a record hands its letter over when he has left the lock, and touches
 * the record no more. */
#include "share.h"

#include "../debug/debug.h"
#include "../os/os.h"
#include "../run/leave.h"
#include "../run/run.h"
#include "../sync/select.h"
#include "../world/posix.h"

#include <string.h>

/* How often to look whether a lock has become free before the thread sleeps: it is held for as long
 * as an item is copied, and a thread that sleeps costs two system calls. */
enum { LOOKS = 200 };

struct share_fiber {
    struct cr_share_waiter waiter;
    struct cr_wait wait;
    struct cr_share *share;
    bool gave_up;
};

struct share_thread {
    struct cr_share_waiter waiter;
    pthread_cond_t served;
};

/* ---- the lock ---- */

static void share_lock(struct cr_share *share)
{
    for (int i = 0; i < LOOKS; i++)
        if (pthread_mutex_trylock(&share->lock) == 0)
            return;
    pthread_mutex_lock(&share->lock);
}

bool cr_share_begin(struct cr_share *share, const char *function, void *caller)
{
    if (CR_UNLIKELY(!share->settle))
        cr_fatal_mistake(function, caller, "the object is not open");
    if (CR_UNLIKELY(share->forks != cr_leave_forks))
        return false;
    share_lock(share);
    return true;
}

static void share_unhang(struct cr_share *share, struct cr_share_waiter *waiter)
{
    share->plain[waiter->side] -= !waiter->is_case;
    cr_list_remove(&waiter->link);
}

/* A thread is woken under the lock, because its record is gone as soon as it sees that it was
 * served. */
void cr_share_serve(struct cr_share *share, struct cr_share_waiter *waiter, int result)
{
    waiter->result = result;
    waiter->served = true;
    share_unhang(share, waiter);
    if (waiter->box)
        cr_list_append(&share->served, &waiter->link);
    else
        pthread_cond_signal(&CR_CONTAINER(waiter, struct share_thread, waiter)->served);
}

void cr_share_send_for(struct cr_share *share, struct cr_share_waiter *waiter)
{
    waiter->reserves = true;
    share->reserved[waiter->side]++;
    cr_share_serve(share, waiter, 0);
}

struct cr_share_waiter *cr_share_next(struct cr_share *share, enum cr_share_side side,
                                      uint64_t available)
{
    struct cr_share_waiter *first = NULL;
    while (available > share->reserved[side] && (first = cr_share_first(share, side)) != NULL) {
        if (!first->is_case)
            return first;
        cr_share_send_for(share, first);
    }
    return NULL;
}

/* The list of those to be woken becomes the caller's, since their letters, once handed over, are
 * not. */
static void share_take_served(struct cr_share *share, struct cr_list *served)
{
    cr_list_append(&share->served, served);
    cr_list_remove(&share->served);
    cr_list_init(&share->served);
}

void cr_share_end(struct cr_share *share)
{
    struct cr_list served;
    share->settle(share);
    share_take_served(share, &served);
    pthread_mutex_unlock(&share->lock);
    while (!cr_list_empty(&served)) {
        struct cr_share_waiter *waiter = CR_CONTAINER(served.next, struct cr_share_waiter, link);
        cr_list_remove(&waiter->link);
        cr_post_hand(waiter->box, &waiter->letter);
    }
}

/* ---- hanging ---- */

static void share_hang(struct cr_share *share, struct cr_share_waiter *waiter)
{
    waiter->served = false;
    share->plain[waiter->side] += !waiter->is_case;
    cr_list_append(&share->waiting[waiter->side], &waiter->link);
}

static const struct cr_wait_kind LETTER = {
    .name = "another thread to finish what it has begun",
    .woken = -EBUSY,
    .firm = true,
    .outside = true,
};

/* Its memory is lent until its letter was called. */
static void share_await_letter(struct cr_share_waiter *waiter, struct cr_wait *wait)
{
    while (waiter->letter.fn) {
        cr_list_init(&wait->link);
        cr_sched_park_now(cr_sched_self, wait, &LETTER, COIR_NEVER);
    }
}

/* ---- a fiber, or a thread, waits ---- */

static void share_arrive(void *arg)
{
    struct share_fiber *it = arg;
    it->waiter.letter.fn = NULL;
    if (it->wait.fiber->wait == &it->wait)
        cr_sched_wake(it->wait.fiber, 0);
}

/* Unless it was served already. */
void cr_share_give_up(struct cr_wait *wait)
{
    struct share_fiber *it = CR_CONTAINER(wait, struct share_fiber, wait);
    share_lock(it->share);
    it->gave_up = !it->waiter.served;
    if (it->gave_up)
        share_unhang(it->share, &it->waiter);
    cr_share_end(it->share);
}

/* Holds the lock when it is called. */
static CR_NOINLINE int share_park(struct cr_share *share, const struct cr_share_verb *verb,
                                  void *item, coir_time until)
{
    struct cr_run *run = cr_run_of(cr_sched_here);
    struct share_fiber it;
    int result = cr_post_keep(run);
    if (result < 0) {
        cr_share_end(share);
        return result;
    }
    it.share = share;
    it.gave_up = false;
    it.waiter = (struct cr_share_waiter){.item = item,
                                         .box = run->post.box,
                                         .letter = {.fn = share_arrive, .arg = &it},
                                         .side = (uint8_t)verb->side};
    share_hang(share, &it.waiter);
    cr_share_end(share);
    cr_list_init(&it.wait.link);
    result = cr_sched_park_now(cr_sched_self, &it.wait, &verb->kind, until);
    if (it.gave_up)
        return result;
    share_await_letter(&it.waiter, &it.wait);
    return it.waiter.result;
}

/* Holds the lock when it is called. */
static CR_NOINLINE int share_block(struct cr_share *share, const struct cr_share_verb *verb,
                                   void *item, coir_time until)
{
    struct share_thread it = {.waiter = {.item = item, .side = (uint8_t)verb->side}};
    int error = cr_os_cond_init(&it.served), may_cancel;
    if (error != 0) {
        cr_share_end(share);
        return -ENOMEM;
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &may_cancel);
    share_hang(share, &it.waiter);
    cr_share_end(share);
    share_lock(share);
    while (!it.waiter.served && error == 0) {
        struct timespec left;
        error = cr_os_cond_wait(&it.served, &share->lock, until.ns,
                                cr_posix_left(cr_deadline_ns(until), &left));
    }
    if (!it.waiter.served) {
        share_unhang(share, &it.waiter);
        it.waiter.result = COIR_TIMED_OUT;
    }
    cr_share_end(share);
    pthread_cond_destroy(&it.served);
    pthread_setcancelstate(may_cancel, NULL);
    return it.waiter.result;
}

int cr_share_do(struct cr_share *share, const struct cr_share_verb *verb, void *item,
                coir_time until, void *caller)
{
    struct cr_fiber *self = cr_sched_self;
    if (CR_UNLIKELY(self && self->cancelled))
        return cr_sched_refuse(self);
    if (CR_UNLIKELY(!self && cr_sched_here && !cr_is_try(until)))
        return cr_sched_no_fiber(verb->function, caller);
    if (!cr_share_begin(share, verb->function, caller))
        return -ECHILD;
    int result = verb->attempt(share, item);
    if (result == COIR_TIMED_OUT && !cr_is_try(until))
        return self ? share_park(share, verb, item, until) : share_block(share, verb, item, until);
    cr_share_end(share);
    if (!self)
        return result;
    if (result == COIR_TIMED_OUT)
        return cr_sched_try_once(self);
    cr_sched_spend(self);
    return result;
}

/* ---- a case of a select ---- */

/* What a case keeps behind the record of its wait. */
struct share_case {
    struct cr_wait member;
    struct cr_share_waiter waiter;
    bool hangs;
};

_Static_assert(sizeof(struct share_case) <=
                   offsetof(struct cr_case, ends) - offsetof(struct cr_case, waiter),
               "it lies before");

static struct share_case *share_case_of(coir_case *it)
{
    return CR_CONTAINER(&cr_case_of(it)->waiter.wait, struct share_case, member);
}

static const struct cr_share_verb *share_verb_of(const coir_case *it)
{
    return CR_CONTAINER(it->source, struct cr_share_verb, source);
}

static void share_arrive_at_case(void *arg);

static void share_hang_case(struct cr_share *share, coir_case *it)
{
    struct share_case *of = share_case_of(it);
    of->waiter.letter = (coir_letter){.fn = share_arrive_at_case, .arg = it};
    share_hang(share, &of->waiter);
}

/* Before a case tries what it was sent for, or leaves it to others. */
static void share_claim(struct cr_share *share, coir_case *it)
{
    struct cr_share_waiter *waiter = &share_case_of(it)->waiter;
    share->reserved[waiter->side] -= waiter->reserves;
    waiter->reserves = false;
}

/* Its select is open: 0, or an error, ends it; COIR_TIMED_OUT: others were faster. */
static int share_try_for(coir_case *it)
{
    struct cr_share *share = it->object;
    share_lock(share);
    share_claim(share, it);
    int result = share_verb_of(it)->attempt(share, it->item);
    if (result == COIR_TIMED_OUT)
        share_hang_case(share, it);
    cr_share_end(share);
    return result;
}

static void share_arrive_at_case(void *arg)
{
    coir_case *it = arg;
    struct cr_select *select = cr_case_select(cr_case_of(it));
    struct cr_fiber *fiber = select->group.park.fiber;
    share_case_of(it)->waiter.letter.fn = NULL;
    if (cr_select_is_open(select)) {
        int result = share_try_for(it);
        if (result != COIR_TIMED_OUT)
            coir_case_end(it, result);
    } else if (fiber->wait && fiber->wait->kind == &LETTER) {
        cr_sched_wake(fiber, 0);
    }
}

int cr_share_case_attempt(coir_case *it)
{
    const struct cr_share_verb *verb = share_verb_of(it);
    if (!cr_share_begin(it->object, "coir_select", NULL))
        return -ECHILD;
    int result = verb->attempt(it->object, it->item);
    cr_share_end(it->object);
    return result;
}

/* What has come since the attempt is found when the thing is settled. */
void cr_share_case_hang(coir_case *it)
{
    struct cr_share *share = it->object;
    struct share_case *of = share_case_of(it);
    struct cr_run *run = cr_run_of(cr_sched_here);
    int result = cr_post_keep(run);
    of->hangs = result == 0;
    if (result < 0) {
        coir_case_end(it, result);
        return;
    }
    of->waiter = (struct cr_share_waiter){.item = it->item,
                                          .box = run->post.box,
                                          .side = (uint8_t)share_verb_of(it)->side,
                                          .is_case = true};
    share_lock(share);
    share->cases++;
    share_hang_case(share, it);
    cr_share_end(share);
    cr_sched_here->outside++;
}

/* What has come before the deadline is not missed, though the letter comes later. */
static bool share_case_tries(const struct cr_select *select, const struct cr_share_waiter *waiter)
{
    return !select->chosen && waiter->served && select->result == COIR_TIMED_OUT &&
           !cr_sched_self->cancelled;
}

void cr_share_case_leave(coir_case *it)
{
    struct cr_share *share = it->object;
    struct share_case *of = share_case_of(it);
    struct cr_select *select = cr_case_select(cr_case_of(it));
    struct cr_wait wait;
    if (!of->hangs)
        return;
    cr_sched_here->outside--;
    share_lock(share);
    share->cases--;
    share_claim(share, it);
    if (!of->waiter.served)
        share_unhang(share, &of->waiter);
    if (share_case_tries(select, &of->waiter)) {
        it->result = share_verb_of(it)->attempt(share, it->item);
        if (it->result != COIR_TIMED_OUT)
            select->chosen = cr_case_of(it);
    }
    cr_share_end(share);
    if (of->waiter.served)
        share_await_letter(&of->waiter, &wait);
}

/* ---- life ---- */

int cr_share_init(struct cr_share *share, void (*settle)(struct cr_share *share))
{
    int result = cr_leave_count();
    if (result < 0 || pthread_mutex_init(&share->lock, NULL) != 0)
        return -ENOMEM;
    cr_list_init(&share->waiting[CR_SHARE_TAKES]);
    cr_list_init(&share->waiting[CR_SHARE_GIVES]);
    cr_list_init(&share->served);
    memset(share->plain, 0, sizeof share->plain);
    memset(share->reserved, 0, sizeof share->reserved);
    share->cases = 0;
    share->forks = cr_leave_forks;
    share->settle = settle;
    return 0;
}

bool cr_share_fini(struct cr_share *share, const char *function, void *caller)
{
    if (!share->settle || share->forks != cr_leave_forks)
        return false;
    share_lock(share);
    bool is_free = share->cases == 0 && cr_list_empty(&share->waiting[CR_SHARE_TAKES]) &&
                   cr_list_empty(&share->waiting[CR_SHARE_GIVES]);
    pthread_mutex_unlock(&share->lock);
    if (!is_free)
        cr_fatal_mistake(function, caller, "somebody waits for the object");
    pthread_mutex_destroy(&share->lock);
    share->settle = NULL;
    return true;
}
