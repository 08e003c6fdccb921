/* A sieve for primes: a chain of fibers, each of which lets through what its prime does not divide.
 * When enough are found, one cancel ends the whole chain. */
#include <coir_chan.h>

#include <stdio.h>

enum { PRIMES = 10 };

static struct link {
    coir_chan in, *out;
    int prime;
} chain[PRIMES + 1];

static int count(void *arg)
{
    int result = 0;
    for (int i = 2; result == 0; i++)
        result = coir_chan_send(arg, &i, COIR_NEVER);
    return result;
}

static int sieve(void *arg)
{
    struct link *link = arg;
    int number, result;
    while ((result = coir_chan_recv(&link->in, &number, COIR_NEVER)) == 0)
        if (number % link->prime != 0 &&
            (result = coir_chan_send(link->out, &number, COIR_NEVER)) < 0)
            break;
    return result;
}

static int primes(void *arg)
{
    COIR_SCOPE(scope, COIR_NEVER, 0);
    (void)arg;
    for (int i = 0; i <= PRIMES; i++)
        coir_chan_open(&chain[i].in, sizeof(int), 0);
    coir_spawn(NULL, count, &chain[0].in, NULL);
    for (int i = 0; i < PRIMES; i++) {
        coir_chan_recv(&chain[i].in, &chain[i].prime, COIR_NEVER);
        printf("%d\n", chain[i].prime);
        chain[i].out = &chain[i + 1].in;
        coir_spawn(NULL, sieve, &chain[i], NULL);
    }
    coir_scope_cancel(&scope, 0);
    int result = coir_scope_end(&scope, 0);
    for (int i = 0; i <= PRIMES; i++)
        coir_chan_free(&chain[i].in, NULL, NULL);
    return result;
}

int main(void)
{
    return coir_run(primes, NULL, NULL, NULL) < 0;
}
