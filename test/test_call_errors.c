/* One table, generated: every call that waits for a descriptor × owned or foreign × every world of
 * the build × every errno × when the kernel says it. What the kernel says is returned as it is; the
 * codes of a cancel and a deadline come of nothing else, and are not among its numbers. */
#include "call_rows.h"
#include "clock.h"

enum { ERRNO_MAX = 133, DEADLINE_NS = 1000 };

enum when {
    AT_ONCE,      /* by the first try */
    AFTER_A_WAIT, /* by the first one that is not in vain */
    AT_THE_END,   /* by the one that follows the deadline */
    PENDING,      /* as the end of an operation under way */
    CANCELLED,    /* the same, after the fiber was cancelled */
    LATE,         /* the same, after its deadline */
    WHEN
};

static const char *const NAMES[WHEN] = {
    "at once", "after a wait", "at the deadline", "pending", "pending, cancelled", "pending, late"};

static const struct cr_world_ops *real;
static struct cr_world_ops ops;
static enum cr_op_kind kind;
static enum when when;
static int error;
static struct cr_op *pending;
static bool is_over, is_possible;
static uint64_t begun;

static int64_t start(struct cr_world *world, struct cr_op *op)
{
    if (op->kind != kind && !(kind == CR_OP_CONNECT && op->kind == CR_OP_CONNECTED))
        return real->start(world, op);
    if (when == AT_ONCE || (when == AFTER_A_WAIT && is_possible) ||
        (when == AT_THE_END && now_ns() >= begun + DEADLINE_NS))
        return -error;
    if (when < PENDING)
        return -EAGAIN;
    CHECK(!pending);
    pending = op;
    is_over = when == PENDING;
    return CR_PENDING;
}

static void cancel(struct cr_world *world, struct cr_op *op)
{
    (void)world;
    CHECK(pending == op);
    is_over = true;
}

static int deliver(struct cr_world *world, struct cr_event *events, int max, uint64_t until,
                   bool *more)
{
    if (!pending || !is_over)
        return real->wait(world, events, max, until, more);
    *events = (struct cr_event){(uintptr_t)pending, -error};
    pending = NULL;
    return 1;
}

/* What goes on instead of ending the call. */
static bool goes_on(void)
{
    return error == EAGAIN || error == EWOULDBLOCK ||
           (kind == CR_OP_ACCEPT && error == ECONNABORTED) || /* that one is passed over */
           (kind == CR_OP_CONNECT && (error == EINPROGRESS || error == EALREADY));
}

/* A wait for readiness returns what woke it, and asks no more; but one for a hang-up asks. */
static int64_t expected(const struct row *row)
{
    if (kind == CR_OP_READY && when == AFTER_A_WAIT && row->what != AN_END)
        return row->expected;
    if (error == ECANCELED && when == CANCELLED)
        return COIR_CANCELLED;
    return error == ECANCELED && when == LATE ? COIR_TIMED_OUT : -error;
}

struct trial {
    const struct row *row;
    const struct place *place;
    int64_t result;
};

static int try_it(void *arg)
{
    struct trial *trial = arg;
    bool has_deadline = when == AT_THE_END || when == LATE;
    begun = now_ns();
    trial->result = trial->row->call(trial->place, 1,
                                     has_deadline ? at_ns(begun + DEADLINE_NS) : COIR_NEVER);
    return 0;
}

static struct place make_place_of(const struct row *row, bool owned)
{
    struct place place = make_place(row->what);
    if (owned)
        CHECK_EQ(coir_adopt(place.fd), 0);
    return place;
}

/* Returns 1 when the result is another one than it has to be. */
static int try_error(const struct row *row, const struct place *place)
{
    struct trial trial = {row, place, 0};
    is_possible = false;
    real = inside_replace_ops(&ops);
    ops.start = start;
    ops.cancel = cancel;
    ops.wait = deliver;
    coir_fiber fiber = run_spawn(try_it, &trial);
    if (when == AFTER_A_WAIT || when == CANCELLED)
        fds_until_parked(fiber);
    if (when == AFTER_A_WAIT)
        make_possible(place);
    is_possible = true;
    if (when == CANCELLED)
        CHECK_EQ(coir_cancel(fiber, 0), 0);
    CHECK_EQ(run_join(fiber), 0);
    inside_restore_ops(real);
    fds_check_nothing_left(place->fd);
    if (trial.result == expected(row))
        return 0;
    printf("%s, %s, -%s: %s\n", row->name, NAMES[when], coir_error_name(error),
           coir_error_name((int)trial.result));
    return 1;
}

/* What a wait needs is there once. */
static int try_errors(const struct row *row, bool owned)
{
    kind = row->kind;
    struct place place = make_place_of(row, owned);
    int wrong = 0;
    for (error = 1; error <= ERRNO_MAX; error++) {
        if (goes_on())
            continue;
        wrong += try_error(row, &place);
        if (when == AFTER_A_WAIT) {
            end_place(&place);
            place = make_place_of(row, owned);
        }
    }
    end_place(&place);
    return wrong;
}

static int each_error(void *arg)
{
    int wrong = 0;
    (void)arg;
    for (int i = 0; i < 2 * ROWS_COUNT; i++)
        for (when = 0; when < WHEN; when++)
            wrong += try_errors(&ROWS[i / 2], i % 2);
    CHECK_EQ(wrong, 0);
    return 0;
}

/* proves: C1, C3, D13 */
TEST(test_each_error_of_the_kernel_is_told_from_a_cancel_and_a_deadline)
{
    CHECK(COIR_CANCELLED < -4095 && COIR_TIMED_OUT < -4095);
    in_each_world(each_error, COIR_CLOCK_VIRTUAL);
}
