/* One table, generated: every call that waits for a descriptor × owned or foreign × every world of
 * the build × when it becomes possible, against one answer each. The rules are kept by one engine
 * (src/io/call.c), so no call, ownership or world may be an exception.
 *
 * All times are those of a virtual clock, but for the processor time that a call may take while
 * its descriptor is said to be ready and is not. */
#include "call_rows.h"
#include "clock.h"

#include <sys/resource.h>

/* Every kind of operation that may wait has a row, but the second half of a connect. */
TEST(test_call_table_has_every_call_that_waits)
{
    bool has[CR_OP_READY + 1] = {[CR_OP_CONNECTED] = true};
    for (int i = 0; i < ROWS_COUNT; i++)
        has[ROWS[i].kind] = true;
    for (int kind = 0; kind <= CR_OP_READY; kind++)
        CHECK(has[kind]);
}

/* ---- when it becomes possible ---- */

enum { MS = 1000 * 1000, DEADLINE = 100 * MS, PAUSE_MAX = 16 * MS };

struct at {
    const struct place *place;
    uint64_t when;
};

static int happens(void *arg)
{
    const struct at *at = arg;
    CHECK_EQ(coir_sleep((int64_t)(at->when - now_ns())), 0);
    make_possible(at->place);
    return 0;
}

struct situation {
    const char *name;
    int64_t at;    /* when it becomes possible; < 0: before the call */
    int64_t until; /* of the call; 0: tries once; < 0: a deadline that is past */
    bool possible;
};

static const struct situation SITUATIONS[] = {
    {"before the deadline", 50 * MS, DEADLINE, true},
    {"at the deadline", DEADLINE, DEADLINE, true},
    {"after the deadline", DEADLINE + 1, DEADLINE, false},
    {"never", INT64_MAX, DEADLINE, false},
    {"at once, tried once", -1, 0, true},
    {"not at once, tried once", INT64_MAX, 0, false},
    {"at once, past the deadline", -1, -1, true},
    {"not at once, past the deadline", INT64_MAX, -1, false},
};

static void try_situation(const struct row *row, bool owned, const struct situation *s)
{
    struct place place = make_place(row->what);
    coir_fiber actor;
    printf("%s, %s, %s\n", row->name, owned ? "owned" : "foreign", s->name);
    if (owned)
        CHECK_EQ(coir_adopt(place.fd), 0);
    CHECK_EQ(coir_sleep(10), 0);
    uint64_t begun = now_ns();
    struct at at = {&place, begun + (uint64_t)s->at};
    bool acts = s->at >= 0 && s->at != INT64_MAX;
    if (s->at < 0)
        make_possible(&place);
    if (acts) {
        actor = run_spawn(happens, &at);
        coir_yield(); /* its deadline is armed before the call's */
    }
    coir_time until = s->until == 0 ? COIR_TRY : at_ns(begun - 1);
    if (s->until > 0)
        until = at_ns(begun + (uint64_t)s->until);
    int64_t result = row->call(&place, 1, until);
    CHECK_EQ(result, s->possible ? row->expected : COIR_TIMED_OUT);
    CHECK(now_ns() - begun <= (uint64_t)(s->until > 0 ? s->until : 0));
    bool pauses = row->kind == CR_OP_CONNECT || /* and tries again; looks again, where it must */
                  (row->what == AN_END && !cr_io_of(cr_sched_here)->world->edges);
    uint64_t slack = pauses ? PAUSE_MAX : 0;
    if (s->until > 0 && s->possible)
        CHECK(now_ns() - begun >= (uint64_t)s->at &&
              now_ns() - begun <= (uint64_t)s->at + slack);
    if (acts)
        CHECK_EQ(run_join(actor), 0);
    fds_check_nothing_left(place.fd);
    end_place(&place);
}

static int each_situation(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROWS_COUNT; i++)
        for (int owned = 0; owned < 2 && row_is_here(&ROWS[i]); owned++)
            for (size_t s = 0; s < sizeof SITUATIONS / sizeof *SITUATIONS; s++)
                try_situation(&ROWS[i], owned, &SITUATIONS[s]);
    return 0;
}

/* proves: T4, D4, D9, D14 */
TEST(test_call_table_of_deadlines)
{
    in_each_world(each_situation, COIR_CLOCK_VIRTUAL);
}

/* ---- no bytes ---- */

static int each_without_bytes(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROWS_COUNT; i++)
        for (int owned = 0; owned < 2 && ROWS[i].moves_bytes; owned++) {
            struct place place = make_place(ROWS[i].what);
            printf("%s, %s\n", ROWS[i].name, owned ? "owned" : "foreign");
            if (owned)
                CHECK_EQ(coir_adopt(place.fd), 0);
            for (int known = 0; known < 2; known++) {
                uint64_t begun = now_ns();
                CHECK_EQ(ROWS[i].call(&place, 0, COIR_NEVER), 0);
                CHECK_EQ(now_ns(), begun);
                CHECK_EQ(ROWS[i].call(&place, 1, coir_after(10)), COIR_TIMED_OUT);
            }
            end_place(&place);
        }
    return 0;
}

/* proves: D17 */
TEST(test_call_table_of_no_bytes_is_over_at_once)
{
    in_each_world(each_without_bytes, COIR_CLOCK_VIRTUAL);
}

/* ---- pending ---- */

enum { PENDING_MAX = 8 };

static const struct cr_world_ops *real;
static struct cr_world_ops ops;
static struct cr_op *pending[PENDING_MAX];
static int pending_count, started;

/* A world of completions: whatever may wait is under way first. */
static int64_t start_later(struct cr_world *world, struct cr_op *op)
{
    if (op->at_once || op->kind == CR_OP_CLOSE)
        return real->start(world, op);
    CHECK(pending_count < PENDING_MAX);
    pending[pending_count++] = op;
    started++;
    return CR_PENDING;
}

static int deliver(struct cr_world *world, struct cr_event *events, int max, uint64_t until,
                   bool *more)
{
    if (pending_count == 0)
        return real->wait(world, events, max, until, more);
    struct cr_op *op = pending[--pending_count];
    *events = (struct cr_event){(uintptr_t)op, real->start(world, op)};
    return 1;
}

static int each_pending(void *arg)
{
    real = inside_replace_ops(&ops);
    ops.start = start_later;
    ops.wait = deliver;
    started = 0;
    each_situation(arg);
    CHECK(started > 8 * ROWS_COUNT);
    return 0;
}

/* proves: D13 */
TEST(test_call_table_in_a_world_where_all_is_pending)
{
    in_each_world(each_pending, COIR_CLOCK_VIRTUAL);
}

/* The calls that never wait for a descriptor, in the same world. */
static int each_without_wait(void *arg)
{
    int pair[2], pipe_ends[2], value = 0;
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t size = sizeof value, name_size = sizeof name;
    (void)arg;
    real = inside_replace_ops(&ops);
    ops.start = start_later;
    ops.wait = deliver;
    started = 0;
    int fd = coir_socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd > 2);
    CHECK_EQ(coir_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), 0);
    CHECK_EQ(coir_getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, &size), 0);
    CHECK(value != 0);
    CHECK_EQ(coir_bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    CHECK_EQ(coir_listen(fd, 1), 0);
    CHECK_EQ(coir_getsockname(fd, (struct sockaddr *)&name, &name_size), 0);
    CHECK(name.sin_port != 0);
    CHECK_EQ(coir_getpeername(fd, (struct sockaddr *)&name, &name_size), -ENOTCONN);
    CHECK_EQ(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_EQ(coir_pipe(pipe_ends), 0);
    int copy = coir_dup(pair[0]);
    CHECK(copy > 2);
    CHECK_EQ(coir_shutdown(pair[0], SHUT_RDWR), 0);
    CHECK_EQ(started, 11);
    int all[] = {fd, copy, pair[0], pair[1], pipe_ends[0], pipe_ends[1]};
    for (int i = 0; i < 6; i++)
        CHECK_EQ(coir_close(all[i]), 0);
    CHECK_EQ(cr_sched_here->outside, 0);
    return 0;
}

/* proves: D13 */
TEST(test_call_table_of_calls_that_do_not_wait_but_for_a_pending_operation)
{
    in_each_world(each_without_wait, COIR_CLOCK_VIRTUAL);
}

/* ---- ready, and not ---- */

/* A call tries so often in its second, and costs so much processor time: ten times that where a
 * machine is emulated. A busy machine may charge more; a spin costs all of the second each time. */
enum { SPIN_CALLS = 80, SPIN_MS = 5, SPIN_TRIES = 5 };

struct deceived {
    const struct row *row;
    bool owned;
    struct place place;
    int64_t result;
};

static int64_t never_now(struct cr_world *world, struct cr_op *op)
{
    if (op->kind > CR_OP_CONNECT)
        return real->start(world, op);
    started++;
    return -EAGAIN;
}

static int deceived_main(void *arg)
{
    struct deceived *d = arg;
    return (int)(d->result = d->row->call(&d->place, 1, coir_after(COIR_SEC(1))));
}

static int64_t processor_ms(void)
{
    struct rusage usage;
    CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

/* All at the same time, each on a descriptor that is ready, for a second. */
static int each_deceived(void *arg)
{
    static struct deceived all[2 * ROWS_COUNT];
    coir_fiber fibers[2 * ROWS_COUNT];
    int count = 0;
    (void)arg;
    for (int i = 0; i < 2 * ROWS_COUNT; i++) {
        const struct row *row = &ROWS[i / 2];
        if (row->kind == CR_OP_READY)
            continue; /* what is reported is what it asks */
        all[count] = (struct deceived){.row = row, .owned = i % 2, .place = make_place(row->what)};
        make_possible(&all[count].place);
        if (all[count].owned)
            CHECK_EQ(coir_adopt(all[count].place.fd), 0);
        count++;
    }
    real = inside_replace_ops(&ops);
    ops.start = never_now;
    int64_t spent = INT64_MAX, limit = SPIN_MS * count * (getenv("COIR_TEST_SLOW") ? 10 : 1);
    for (int tries = 0; tries < SPIN_TRIES && spent >= limit; tries++) {
        spent = processor_ms();
        started = 0;
        for (int i = 0; i < count; i++)
            fibers[i] = run_spawn(deceived_main, &all[i]);
        for (int i = 0; i < count; i++)
            CHECK_EQ(run_join(fibers[i]), COIR_TIMED_OUT);
        spent = processor_ms() - spent;
        printf("%d tries and %d ms for %d calls\n", started, (int)spent, count);
        CHECK(started <= SPIN_CALLS * count);
    }
    CHECK(spent < limit);
    inside_restore_ops(real);
    for (int i = 0; i < count; i++)
        end_place(&all[i].place);
    return 0;
}

/* proves: T7, D12 */
TEST(test_call_table_of_readiness_that_is_disproved_costs_no_processor_time)
{
    in_each_world(each_deceived, COIR_CLOCK_MONOTONIC);
}
