/* Boost.Context's switch, at its lowest: what boost::context::fiber is built of. Two contexts
 * switch to each other, as in bench/switch.c; both keep the control words of the FPU. */
#include "../bench.h"

#include <boost/context/detail/fcontext.hpp>

using boost::context::detail::fcontext_t;
using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

static fcontext_t outside;
static long left;

/* The first jump into each context brings its partner as data, or is made by it. */
static void bounce(transfer_t from)
{
    fcontext_t other = from.fctx;
    if (from.data) {
        outside = from.fctx;
        other = from.data;
    }
    while (left-- > 0)
        other = jump_fcontext(other, nullptr).fctx;
    jump_fcontext(outside, nullptr);
}

static int run_switch(void *)
{
    static char stacks[2][64 * 1024];
    fcontext_t contexts[2];
    for (int i = 0; i < 2; i++)
        contexts[i] = make_fcontext(stacks[i] + sizeof stacks[i], sizeof stacks[i], bounce);
    left = bench_count;
    jump_fcontext(contexts[0], contexts[1]);
    return 0;
}

static const struct bench BENCHES[] = {{"switch", run_switch}};

static void inside(int (*run)(void *arg))
{
    run(nullptr);
}

BENCH_MAIN(BENCHES, inside)
