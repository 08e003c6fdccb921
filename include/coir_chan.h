/* coir_chan.h: channels, by which fibers of one thread hand items to each other; broadcasts, whose
 * items go to many; generators. What coir.h says of all calls holds here too.
 *
 *     static int producer(void *arg)
 *     {
 *         coir_chan *chan = arg;
 *         int result = 0;
 *         for (int i = 0; i < 3 && result == 0; i++)
 *             result = coir_chan_send(chan, &i, COIR_NEVER);
 *         coir_chan_close(chan);
 *         return result;
 *     }
 *     static int consumer(void *arg)
 *     {
 *         int item, result;
 *         while ((result = coir_chan_recv(arg, &item, COIR_NEVER)) == 0)
 *             printf("%d\n", item);
 *         return result == -EPIPE ? 0 : result;
 *     }
 *
 * An item is delivered once, or not at all. When a send fails the item is the sender's still, when
 * a receive fails it has taken none: whatever is cancelled, and when. A sender that waits has lent
 * its item's memory to the channel, a receiver its memory for it. What an item points to must live
 * until the receiver is done with it, though its sender be cancelled and end meanwhile.
 *
 * Order. Items are received in the order in which they were sent. Of the fibers that wait who came
 * first is served first. */
#ifndef COIR_CHAN_H
#define COIR_CHAN_H

#include "coir.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- channels -------------------------------------------------------------------------------- */

/* A channel of items of one size. The caller owns the memory, which must stay where it is while the
 * channel is open; its contents are coir's. */
typedef struct coir_chan {
    uint64_t opaque[16]; /* coir's */
} coir_chan;

/* Opens a channel of this thread's fibers, for items of `size` bytes (0: only their arrival
 * counts). `capacity` items lie in it before a sender waits for a receiver; 0: a sender waits
 * until a receiver has its item. Asks for the memory of all of them. Returns 0, or -ENOMEM.
 * Callable anywhere in the scheduler's thread. Never parks. */
COIR_API int coir_chan_open(coir_chan *chan, size_t size, size_t capacity);

/* Frees what a channel has, before its memory is used for anything else: when nobody sends any
 * more, which after a close would be -EPIPE and is misuse then. What still lies in it goes
 * to drop(item, arg), one after the other (NULL: nothing is done with it). A fiber that waits for
 * the channel is misuse; one that is not open (all zeros, or freed) is left alone. Callable
 * anywhere in the scheduler's thread, and after the scheduler was freed. Never parks, if `drop`
 * does not. */
COIR_API void coir_chan_free(coir_chan *chan, void (*drop)(void *item, void *arg), void *arg);

/* Sends a copy of an item: into the memory of the receiver that has waited longest, else into the
 * channel, else waits for either. Returns 0; -EPIPE: the channel is closed; COIR_TIMED_OUT;
 * COIR_CANCELLED. With COIR_TRY callable outside fibers too. Parks. */
COIR_API int coir_chan_send(coir_chan *chan, const void *item, coir_time until);

/* Receives the first item. Returns 0; -EPIPE: the channel is closed, and nothing is left in it;
 * COIR_TIMED_OUT; COIR_CANCELLED. With COIR_TRY callable outside fibers too. Parks. */
COIR_API int coir_chan_recv(coir_chan *chan, void *item, coir_time until);

/* Puts an item back that was received, as the first of the channel: for a fiber that is cancelled
 * with an item in its hand. It goes to the receiver that has waited longest, or into the channel,
 * be it full or closed. Returns 0; -ENOMEM: it is the caller's still. Callable anywhere in the
 * scheduler's thread, and by a cancelled fiber. Never parks. */
COIR_API int coir_chan_put_back(coir_chan *chan, const void *item);

/* Closes a channel: who waits to send, or sends later, gets -EPIPE; what lies in it can still be
 * received. Returns 0; -EPIPE: it was closed. Callable anywhere in the scheduler's thread. Never
 * parks. */
COIR_API int coir_chan_close(coir_chan *chan);

/* How many items lie in it. */
COIR_API size_t coir_chan_length(const coir_chan *chan);

/* How many may lie in it before a sender waits. */
COIR_API size_t coir_chan_capacity(const coir_chan *chan);

/* ---- broadcasts ------------------------------------------------------------------------------ */

/* A broadcast: each item goes to every subscriber. It keeps the last `capacity` items; a subscriber
 * that is slower misses the oldest, and learns how many. So who sends never waits.
 *
 *     coir_subscriber prices = coir_broadcast_subscribe(broadcast);
 *     int price, missed;
 *     while ((missed = coir_subscriber_recv(&prices, &price, COIR_NEVER)) >= 0)
 *         printf("%d, after %d that were missed\n", price, missed); */
typedef struct coir_broadcast {
    uint64_t opaque[10]; /* coir's */
} coir_broadcast;

/* Where a receiver is in a broadcast. It may be copied, and needs no end. */
typedef struct coir_subscriber {
    coir_broadcast *broadcast; /* whose items it receives */
    uint64_t next;             /* coir's */
} coir_subscriber;

/* Opens a broadcast of this thread's fibers, for items of `size` bytes. Returns 0; -EINVAL: the
 * capacity is 0; -ENOMEM. Callable anywhere in the scheduler's thread. Never parks. */
COIR_API int coir_broadcast_open(coir_broadcast *broadcast, size_t size, size_t capacity);

/* Frees what a broadcast has, before its memory is used for anything else. A fiber that waits for
 * it is misuse; one that is not open is left alone. Never parks. */
COIR_API void coir_broadcast_free(coir_broadcast *broadcast);

/* Sends a copy of an item to all subscribers. That lets no other fiber run: who sends more than
 * `capacity` items in a row yields between them, or fast subscribers miss some too. Returns 0;
 * -EPIPE: the broadcast is closed. Callable anywhere in the scheduler's thread. Never parks. */
COIR_API int coir_broadcast_send(coir_broadcast *broadcast, const void *item);

/* Closes a broadcast: what it has can still be received. Returns 0; -EPIPE: it was closed. Callable
 * anywhere in the scheduler's thread. Never parks. */
COIR_API int coir_broadcast_close(coir_broadcast *broadcast);

/* A subscriber that receives what is sent from now on. */
COIR_API coir_subscriber coir_broadcast_subscribe(coir_broadcast *broadcast);

/* Receives the subscriber's next item. Returns how many it has missed before that one, at most
 * INT_MAX, which is 0 for one that is fast enough; -EPIPE: the broadcast is closed, and nothing is
 * left; COIR_TIMED_OUT; COIR_CANCELLED. With COIR_TRY callable outside fibers too. Parks. */
COIR_API int coir_subscriber_recv(coir_subscriber *subscriber, void *item, coir_time until);

/* ---- generators ------------------------------------------------------------------------------ */

/* A generator: a fiber whose items are received one after the other. It is at most one item ahead.
 *
 *     static int squares(coir_chan *out, void *arg)
 *     {
 *         int result = 0;
 *         (void)arg;
 *         for (int i = 0; result == 0; i++)
 *             result = coir_chan_send(out, &(int){i * i}, COIR_NEVER);
 *         return result;
 *     } */
typedef struct coir_generator {
    coir_chan items; /* as a case of a select: coir_case_recv(&generator.items, &item) */
    coir_fiber fiber; /* that sends them */
    int (*fn)(coir_chan *out, void *arg); /* coir's */
    void *arg;                            /* coir's */
} coir_generator;

/* Starts a generator of items of `size` bytes: fn(out, arg), in a fiber that is cancelled when
 * nothing else is left of the caller's scope. Returns 0, -ENOMEM, COIR_CANCELLED, or what else
 * coir_spawn returns. Never parks. */
COIR_API int coir_generator_open(coir_generator *generator, size_t size,
                                 int (*fn)(coir_chan *out, void *arg), void *arg);

/* Receives the next item. Returns 0; -EPIPE: the generator has ended; COIR_TIMED_OUT;
 * COIR_CANCELLED. Parks. */
COIR_API int coir_generator_next(coir_generator *generator, void *item, coir_time until);

/* Cancels a generator, waits for its end, and frees what it has: before its memory is used for
 * anything else, if its scope has not ended. Returns the result of its function, 0 where that is
 * COIR_CANCELLED; -ESRCH: its result was taken, or its scope has ended; -EDEADLK: the caller is
 * within it, and nothing has happened. Parks. */
COIR_API int coir_generator_close(coir_generator *generator);

#ifdef __cplusplus
}
#endif
#endif
