/* What tests of shared things do: threads without fibers, and threads that run one fiber. */
#ifndef TEST_SHARED_H
#define TEST_SHARED_H

#include "run.h"

#include <coir_loop.h>
#include <coir_shared.h>
#include <coir_test.h>
#include <pthread.h>
#include <stdatomic.h>

static inline pthread_t thread_start(void *(*fn)(void *), const void *arg)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, fn, (void *)(uintptr_t)arg), 0);
    return thread;
}

static inline void thread_join(pthread_t thread)
{
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* Of both kinds: the same function in a fiber of a scheduler of its own, or in a bare thread. */
struct party {
    int (*fn)(void *arg);
    void *arg;
    bool is_bare;
    pthread_t thread;
};

static inline void *party_run(void *arg)
{
    struct party *party = arg;
    int result = -1;
    if (party->is_bare)
        result = party->fn(party->arg);
    else
        CHECK_EQ(coir_run(party->fn, party->arg, NULL, &result), 0);
    CHECK_EQ(result, 0);
    return NULL;
}

static inline void party_start(struct party *party)
{
    party->thread = thread_start(party_run, party);
}

static inline void party_end(struct party *party)
{
    thread_join(party->thread);
}

/* The deadline of a call that is made in either. */
static inline coir_time party_after(int64_t length_ns)
{
    return coir_loop_after(length_ns);
}

static inline void party_pause(int64_t length_ns)
{
    struct timespec pause = {length_ns / 1000000000, length_ns % 1000000000};
    nanosleep(&pause, NULL);
}

static inline void open_chan(coir_shared_chan *chan, size_t capacity)
{
    CHECK_EQ(coir_shared_chan_open(chan, sizeof(int64_t), capacity), 0);
}

static inline int shared_send(coir_shared_chan *chan, int64_t item, coir_time until)
{
    return coir_shared_chan_send(chan, &item, until);
}

/* The item, or an error. */
static inline int64_t shared_recv(coir_shared_chan *chan, coir_time until)
{
    int64_t item = -1;
    int result = coir_shared_chan_recv(chan, &item, until);
    return result < 0 ? result : item;
}

#endif
