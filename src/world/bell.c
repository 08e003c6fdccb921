/* A bell is an eventfd where there is such a thing, else a pipe. It may be rung more often than it
 * has room for: what counts is whether it was rung at all. errno is left as it was, for the code
 * that a signal handler interrupts, and a thread that is cancelled rings before it ends. */
#include "bell.h"

#include "../os/os.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

int cr_bell_open(struct cr_bell *bell)
{
    int ends[2];
    if (cr_os_bell(ends) != 0)
        return -errno;
    bell->heard = ends[0];
    bell->rung = ends[1];
    return 0;
}

void cr_bell_ring(const struct cr_bell *bell)
{
    static const uint64_t ONE = 1;
    int error = errno, may_cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &may_cancel);
    while (write(bell->rung, &ONE, sizeof ONE) < 0 && errno == EINTR)
        continue;
    pthread_setcancelstate(may_cancel, NULL);
    errno = error;
}

void cr_bell_hush(const struct cr_bell *bell)
{
    char rings[64];
    ssize_t result;
    do
        result = read(bell->heard, rings, sizeof rings);
    while (result == (ssize_t)sizeof rings || (result < 0 && errno == EINTR));
}

void cr_bell_close(const struct cr_bell *bell)
{
    int error = errno;
    close(bell->heard);
    if (bell->rung != bell->heard)
        close(bell->rung);
    errno = error;
}
