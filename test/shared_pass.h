/* Many items through a shared channel, from a fiber of one scheduler to a fiber of another: in
 * order, and with few sleeps. */
#ifndef TEST_SHARED_PASS_H
#define TEST_SHARED_PASS_H

#include "shared.h"

#include <sys/resource.h>

static coir_shared_chan pass_chan;
static int64_t pass_count;

static int pass_send(void *arg)
{
    (void)arg;
    for (int64_t i = 0; i < pass_count; i++)
        CHECK_EQ(coir_shared_chan_send(&pass_chan, &i, COIR_NEVER), 0);
    return coir_shared_chan_close(&pass_chan);
}

static int pass_recv(void *arg)
{
    (void)arg;
    for (int64_t i = 0; i < pass_count; i++)
        CHECK_EQ(shared_recv(&pass_chan, COIR_NEVER), i);
    CHECK_EQ(shared_recv(&pass_chan, COIR_NEVER), -EPIPE);
    return 0;
}

/* Prints how often a thread slept. */
static inline void pass_items(int64_t count, size_t capacity)
{
    struct party sender = {.fn = pass_send}, receiver = {.fn = pass_recv};
    struct rusage usage;
    pass_count = count;
    open_chan(&pass_chan, capacity);
    party_start(&sender);
    party_start(&receiver);
    party_end(&sender);
    party_end(&receiver);
    coir_shared_chan_free(&pass_chan, NULL, NULL);
    CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
    printf("\nnote: %lld items, %ld sleeps of a thread\n", (long long)count, usage.ru_nvcsw);
    CHECK(usage.ru_nvcsw < count / 8);
}

#endif
