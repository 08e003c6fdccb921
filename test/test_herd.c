/* Many fibers that wait for one descriptor: an event wakes one of them, and whoever leaves passes
 * on what is still ready. So none sleeps beside something to read, and a byte costs the same, how
 * many of them there may be. */
#include "fds.h"

#include <coir_io.h>
#include <poll.h>
#include <sys/resource.h>

enum { HERD = 10000, BYTES = 3000 };

static int64_t processor_us(void)
{
    struct rusage usage;
    CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
    return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* ---- what a byte costs ---- */

static struct fds_pair pair;
static int got;

static int reads_on(void *arg)
{
    char byte;
    (void)arg;
    while (coir_read(pair.in, &byte, 1, COIR_NEVER) == 1)
        got++;
    return 0;
}

static int64_t cost_us;

/* Byte by byte, so that each is an event of its own. */
static int byte_by_byte(void *arg)
{
    int readers = *(int *)arg;
    coir_scope scope;
    got = 0;
    coir_scope_open(&scope, COIR_NEVER, 0);
    for (int i = 0; i < readers; i++)
        CHECK_EQ(coir_spawn(NULL, reads_on, NULL,
                            &(struct coir_spawn_opts){.stack_size = 16 * 1024}), 0);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    int64_t before = processor_us();
    for (int i = 0; i < BYTES; i++) {
        fds_put(pair.out, "x");
        while (got == i)
            CHECK_EQ(coir_yield(), 0);
    }
    cost_us = processor_us() - before;
    close(pair.out);
    return coir_scope_end(&scope, 0);
}

static int64_t cost_of(int readers, struct fds_pair channel, bool owned)
{
    int result = -1;
    pair = channel;
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    if (owned)
        CHECK_EQ(coir_adopt(pair.in), 0);
    coir_fiber first;
    CHECK_EQ(coir_spawn(&first, byte_by_byte, &readers, NULL), 0);
    CHECK_EQ(coir_sched_run(sched), 0);
    CHECK_EQ(coir_join(first, &result, COIR_TRY), 0);
    CHECK_EQ(result, 0);
    CHECK_EQ(got, BYTES);
    CHECK_EQ(coir_close(pair.in), 0);
    coir_sched_free(sched);
    return cost_us;
}

/* The best of several, because the machine may be busy. proves: D1 */
TEST(test_regress_a_byte_costs_ten_thousand_readers_a_thousand_times_what_it_costs_one)
{
    for (int owned = 0; owned < 2; owned++) {
        int64_t one = INT64_MAX, many = INT64_MAX;
        for (int i = 0; i < 3 || (i < 10 && many > 3 * one); i++) {
            int64_t us = cost_of(1, fds_unix(SOCK_STREAM), owned);
            one = us < one ? us : one;
            us = cost_of(HERD, fds_unix(SOCK_STREAM), owned);
            many = us < many ? us : many;
        }
        printf("note: a byte costs %lld ns with one reader, %lld ns with %d, %s\n",
               (long long)(one * 1000 / BYTES), (long long)(many * 1000 / BYTES), HERD,
               owned ? "owned" : "foreign");
        CHECK(many <= 3 * one);
    }
}

/* ---- nobody sleeps beside something to read ---- */

enum { FEW = 12 };

static struct reader {
    enum { READS, WAITS, PEEKS, GIVES_UP, WAITS_FOR_BOTH } what;
    int got;
    bool over;
} readers[FEW];

static int reads_its_way(void *arg)
{
    struct reader *r = arg;
    char byte;
    if (r->what == READS)
        r->got = (int)coir_read(pair.in, &byte, 1, COIR_NEVER);
    else if (r->what == WAITS)
        r->got = coir_wait_fd(pair.in, COIR_IN, COIR_NEVER);
    else if (r->what == PEEKS)
        r->got = (int)coir_recv(pair.in, &byte, 1, MSG_PEEK, COIR_NEVER);
    else if (r->what == WAITS_FOR_BOTH)
        r->got = coir_wait_fd(pair.in, COIR_IN | COIR_OUT, COIR_NEVER);
    else
        r->got = (int)coir_read(pair.in, &byte, 1, coir_after(50));
    r->over = true;
    return 0;
}

static uint32_t random_state;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

static void draw_fate(coir_fiber *fiber)
{
    if (draw(5) == 0)
        (void)coir_cancel(*fiber, COIR_CANCELLED);
    else if (draw(5) == 0)
        CHECK_EQ(coir_sleep(60), 0);
    else if (draw(3) == 0)
        coir_yield();
}

/* Random readers, of whom some are cancelled or out of time at the moment of the event, and as many
 * bytes as there are in the end readers that want one: all are served. */
static int random_readers(void *arg)
{
    bool owned = *(bool *)arg;
    pair = fds_unix(SOCK_STREAM);
    fds_fill(pair.in);
    if (owned)
        CHECK_EQ(coir_adopt(pair.in), 0);
    for (int round = 0; round < 300; round++) {
        coir_fiber fibers[FEW];
        int alive = 0;
        for (int i = 0; i < FEW; i++) {
            readers[i] = (struct reader){.what = draw(5)};
            fibers[i] = run_spawn(reads_its_way, &readers[i]);
            draw_fate(&fibers[draw((uint32_t)i + 1)]);
        }
        CHECK_EQ(coir_sleep(1), 0);
        for (int bytes = 1 + (int)draw(FEW); bytes > 0; bytes--)
            fds_put(pair.out, "x");
        draw_fate(&fibers[draw(FEW)]);
        for (int turn = 0; turn < 10; turn++)
            CHECK_EQ(coir_sleep(10), 0);
        struct pollfd ask = {.fd = pair.in, .events = POLLIN};
        bool left = poll(&ask, 1, 0) == 1;
        for (int i = 0; i < FEW; i++)
            alive += !readers[i].over;
        if (left && alive > 0)
            printf("round %d: %d sleep beside bytes\n", round, alive);
        CHECK(!left || alive == 0);
        for (int i = 0; i < FEW; i++) {
            coir_cancel(fibers[i], COIR_CANCELLED);
            coir_join(fibers[i], NULL, COIR_NEVER);
        }
        fds_drain(pair.in);
        fds_check_nothing_left(pair.in);
    }
    close(pair.out);
    return coir_close(pair.in);
}

/* proves: D1, D4 */
TEST(test_herd_leaves_nobody_asleep_beside_something_to_read)
{
    for (int owned = 0; owned < 2; owned++)
        for (uint32_t seed = 1; seed <= 5; seed++) {
            random_state = seed;
            run_virtual(random_readers, &(bool){owned});
        }
}

/* The first waits in the fast path of a read, and leaves a byte. */
static int leaves_a_byte(void *arg)
{
    char byte;
    struct reader *r = arg;
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_read(pair.in, &byte, 1, coir_after(1)), COIR_TIMED_OUT);
    r->got = (int)coir_read(pair.in, &byte, 1, COIR_NEVER);
    r->over = true;
    return 0;
}

static int fast_beside_slow(void *arg)
{
    coir_fiber fibers[2];
    pair = fds_unix(SOCK_STREAM);
    CHECK_EQ(coir_adopt(pair.in), 0);
    for (int i = 0; i < 2; i++) {
        readers[i] = (struct reader){.what = READS};
        fibers[i] = run_spawn(i ? reads_its_way : leaves_a_byte, &readers[i]);
        CHECK_EQ(coir_sleep(10), 0);
    }
    fds_put(pair.out, "xy");
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(coir_join(fibers[i], NULL, coir_after(COIR_SEC(1))), 0);
        CHECK_EQ(readers[i].got, 1);
    }
    close(pair.out);
    CHECK_EQ(coir_close(pair.in), 0);
    return arg ? 1 : 0;
}

/* proves: D1 */
TEST(test_herd_is_passed_on_by_a_read_that_took_the_fast_path)
{
    run_virtual(fast_beside_slow, NULL);
}

#ifdef MSG_ERRQUEUE
/* Asks for what is not there, beside data that it does not want. */
static int wants_errors(void *arg)
{
    char byte;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct reader *r = arg;
    r->got = (int)coir_recvmsg(pair.in, &message, MSG_ERRQUEUE, coir_after(COIR_MS(5)));
    return 0;
}

static int asides(void *arg)
{
    bool owned = *(bool *)arg;
    coir_fiber first, second;
    char byte;
    pair = fds_tcp();
    if (owned)
        CHECK_EQ(coir_adopt(pair.in), 0);
    /* One that is there first is woken by the event, and does not keep it from others. */
    readers[0] = (struct reader){0};
    readers[1] = (struct reader){.what = READS};
    first = run_spawn(wants_errors, &readers[0]);
    CHECK_EQ(coir_sleep(10), 0);
    second = run_spawn(reads_its_way, &readers[1]);
    CHECK_EQ(coir_sleep(10), 0);
    fds_put(pair.out, "x");
    CHECK_EQ(coir_join(second, NULL, coir_after(COIR_MS(1))), 0);
    CHECK_EQ(readers[1].got, 1);
    CHECK_EQ(run_join(first), 0);
    CHECK_EQ(readers[0].got, COIR_TIMED_OUT);
    /* What a reader leaves is passed on past it. */
    coir_fiber fibers[3];
    for (int i = 0; i < 3; i++) {
        readers[i] = (struct reader){.what = READS};
        fibers[i] = run_spawn(i == 1 ? wants_errors : reads_its_way, &readers[i]);
        CHECK_EQ(coir_sleep(10), 0);
    }
    fds_put(pair.out, "xy");
    for (int i = 0; i < 3; i += 2)
        CHECK_EQ(coir_join(fibers[i], NULL, coir_after(COIR_MS(1))), 0);
    CHECK_EQ(run_join(fibers[1]), 0);
    /* Its EAGAIN says nothing of what is there. */
    fds_put(pair.out, "x");
    CHECK_EQ(coir_wait_fd(pair.in, COIR_IN, COIR_NEVER), COIR_IN);
    first = run_spawn(wants_errors, &readers[0]);
    CHECK_EQ(coir_sleep(10), 0);
    CHECK_EQ(coir_read(pair.in, &byte, 1, coir_after(COIR_MS(1))), 1);
    CHECK_EQ(run_join(first), 0);
    fds_check_nothing_left(pair.in);
    close(pair.out);
    return coir_close(pair.in);
}

/* proves: D1 */
TEST(test_herd_is_not_held_up_by_one_that_asks_for_something_else)
{
    for (int owned = 0; owned < 2; owned++)
        run_virtual(asides, &(bool){owned});
}
#endif

static int adopt_while_others_wait(void *arg)
{
    coir_fiber fibers[3];
    pair = fds_unix(SOCK_STREAM);
    for (int i = 0; i < 3; i++) {
        readers[i] = (struct reader){.what = READS};
        fibers[i] = run_spawn(reads_its_way, &readers[i]);
        fds_until_parked(fibers[i]);
    }
    CHECK_EQ(coir_adopt(pair.in), 0);
    for (int i = 0; i < 3; i++)
        fds_put(pair.out, "x");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_join(fibers[i], NULL, coir_after(COIR_SEC(1))), 0);
        CHECK_EQ(readers[i].got, 1);
    }
    close(pair.out);
    CHECK_EQ(coir_close(pair.in), 0);
    return arg ? 1 : 0;
}

/* proves: D1, D6 */
TEST(test_herd_of_foreign_readers_is_served_after_an_adoption)
{
    run_virtual(adopt_while_others_wait, NULL);
}

/* ---- an event that comes between a wake and its run ---- */

static int gives_up_on_both(void *arg)
{
    coir_time until = *(coir_time *)arg;
    readers[0].got = coir_wait_fd(pair.in, COIR_IN | COIR_OUT, until);
    return 0;
}

static int event_after_a_deadline(void *arg)
{
    bool owned = *(bool *)arg;
    char byte;
    pair = fds_unix(SOCK_STREAM);
    fds_fill(pair.in);
    if (owned)
        CHECK_EQ(coir_adopt(pair.in), 0);
    CHECK_EQ(coir_read(pair.in, &byte, 1, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    CHECK_EQ(coir_write(pair.in, "x", 1, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    coir_time until = coir_after(COIR_MS(30));
    readers[1] = (struct reader){.what = READS};
    coir_fiber first = run_spawn(gives_up_on_both, &until);
    fds_until_parked(first);
    coir_fiber second = run_spawn(reads_its_way, &readers[1]);
    fds_until_parked(second);
    while (coir_since(until) < COIR_MS(1))
        continue;
    fds_put(pair.out, "xy");
    CHECK_EQ(coir_join(second, NULL, coir_after(COIR_SEC(5))), 0);
    CHECK_EQ(readers[1].got, 1);
    CHECK_EQ(run_join(first), 0);
    close(pair.out);
    return coir_close(pair.in);
}

/* proves: D1 */
TEST(test_regress_event_is_lost_with_a_wait_for_both_that_is_out_of_time)
{
    for (int owned = 0; owned < 2; owned++)
        run_monotonic(event_after_a_deadline, &(bool){owned});
}

/* ---- how many an event wakes ---- */

static const struct cr_world_ops *real;
static struct cr_world_ops counting;
static int asked;

static int64_t counts_asks(struct cr_world *world, struct cr_op *op)
{
    asked += op->fd == pair.in && (op->kind == CR_OP_READY || op->kind == CR_OP_RECV);
    return real->start(world, op);
}

static int waits_and_reads(void *arg)
{
    bool by_flags = *(bool *)arg;
    char byte;
    while (by_flags ? coir_recv(pair.in, &byte, 1, MSG_NOSIGNAL, COIR_NEVER) == 1
                    : coir_wait_fd(pair.in, COIR_IN, COIR_NEVER) > 0 &&
                          coir_read(pair.in, &byte, 1, COIR_TRY) != 0)
        got++;
    return 0;
}

static int few_asks(void *arg)
{
    coir_fiber fibers[FEW];
    pair = fds_unix(SOCK_STREAM);
    CHECK_EQ(coir_adopt(pair.in), 0);
    real = inside_replace_ops(&counting);
    counting.start = counts_asks;
    for (int i = 0; i < FEW; i++) {
        fibers[i] = run_spawn(waits_and_reads, arg);
        fds_until_parked(fibers[i]);
    }
    asked = 0;
    fds_put(pair.out, "x");
    CHECK_EQ(coir_sleep(COIR_MS(20)), 0);
    CHECK(asked > 0 && asked <= 5);
    close(pair.out);
    for (int i = 0; i < FEW; i++)
        CHECK_EQ(run_join(fibers[i]), 0);
    inside_restore_ops(real);
    return coir_close(pair.in);
}

/* proves: D1 */
TEST(test_regress_one_byte_wakes_all_who_wait_for_an_adopted_descriptor)
{
    for (int by_flags = 0; by_flags < 2; by_flags++)
        run_monotonic(few_asks, &(bool){by_flags});
}

static int doubt(void *arg)
{
    char bytes[16];
    pair = fds_tcp();
    CHECK_EQ(setsockopt(pair.in, SOL_SOCKET, SO_RCVLOWAT, &(int){8}, sizeof(int)), 0);
    fds_put(pair.out, "abc");
    CHECK_EQ(coir_sleep(COIR_MS(20)), 0);
    CHECK_EQ(coir_adopt(pair.in), 0);
    int ready = coir_wait_fd(pair.in, COIR_IN, coir_after(COIR_MS(5)));
    CHECK(ready == COIR_TIMED_OUT || ready == COIR_IN);
    CHECK_EQ(coir_read(pair.in, bytes, sizeof bytes, coir_after(COIR_SEC(1))), 3);
    CHECK_EQ(coir_read(pair.in, bytes, sizeof bytes, coir_after(COIR_MS(5))), COIR_TIMED_OUT);
    close(pair.out);
    return coir_close(pair.in) + (arg ? 1 : 0);
}

/* proves: D1 */
TEST(test_read_gets_what_is_below_a_low_water_mark_that_a_wait_could_not_see)
{
    run_monotonic(doubt, NULL);
}
