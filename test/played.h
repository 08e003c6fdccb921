/* A played world, whose reads and writes are operations under way: they only note what is asked,
 * and its wait delivers each end at the time that the test has set for it. The played world touches
 * a buffer up to the end's event and never after, as a kernel does. */
#ifndef TEST_PLAYED_H
#define TEST_PLAYED_H

#include "fds.h"
#include "clock.h"

enum { OPS_MOST = 16 };

struct op {
    struct cr_op *asked;
    char *buf; /* of a read */
    size_t size;
    uint64_t ends_at;
    int64_t value;
    int cancels;
    bool over;
};

/* What is done with the n-th operation; at COIR_NEVER it ends only when cancelled. */
struct plan {
    uint64_t ends_at;
    int64_t value;
    uint64_t cancelled_after; /* how long a cancel takes */
    int64_t cancelled_value;
};

static struct op ops[OPS_MOST];
static int ops_count;
static uint64_t played_ns;
static const struct cr_world_ops *real;
static struct plan plans[OPS_MOST];

static int64_t played_start(struct cr_world *world, struct cr_op *asked)
{
    char *buf = asked->kind == CR_OP_READ ? asked->read.buf : NULL;
    size_t size = asked->read.size;
    if (asked->kind != CR_OP_READ && asked->kind != CR_OP_WRITE)
        return real->start(world, asked);
    CHECK(ops_count < OPS_MOST);
    CHECK_EQ((uintptr_t)asked % CR_TOKEN_KINDS, CR_TOKEN_OP);
    const struct plan *plan = &plans[ops_count];
    ops[ops_count++] = (struct op){
        .asked = asked,
        .buf = buf,
        .size = size,
        .ends_at = plan->ends_at == CR_NEVER ? CR_NEVER : at_ns(plan->ends_at).ns,
        .value = plan->value,
    };
    if (buf)
        memset(buf, '?', size); /* it is the world's */
    return CR_PENDING;
}

static void played_cancel(struct cr_world *world, struct cr_op *asked)
{
    (void)world;
    for (int i = 0; i < ops_count; i++)
        if (!ops[i].over && ops[i].asked == asked) {
            ops[i].cancels++;
            ops[i].ends_at = played_ns + plans[i].cancelled_after;
            ops[i].value = plans[i].cancelled_value;
            return;
        }
    CHECK(!"a cancel names an operation that is under way");
}

static void play_end(struct op *op, struct cr_event *event)
{
    op->over = true;
    if (op->buf && op->value > 0)
        memset(op->buf, 'd', (size_t)op->value);
    *event = (struct cr_event){.token = (uintptr_t)op->asked, .value = op->value};
}

static int played_wait(struct cr_world *world, struct cr_event *events, int max, uint64_t until,
                       bool *more)
{
    uint64_t next = CR_NEVER;
    int count = 0;
    (void)world;
    (void)more;
    for (int i = 0; i < ops_count; i++)
        if (!ops[i].over && ops[i].ends_at < next)
            next = ops[i].ends_at;
    if (until != CR_NEVER && next > until)
        next = until;
    CHECK(next != CR_NEVER); /* else the wait would never end */
    if (until > 0 && next > played_ns)
        played_ns = next;
    for (int i = 0; i < ops_count && count < max; i++)
        if (!ops[i].over && ops[i].ends_at <= played_ns)
            play_end(&ops[i], &events[count++]);
    return count;
}

static int played_ready(struct cr_world *world, int fd, int mask)
{
    (void)world;
    (void)fd;
    return mask;
}

static uint64_t played_now(struct cr_world *world)
{
    (void)world;
    return played_ns;
}

static void play(void)
{
    static struct cr_world_ops played;
    if (inside_world()->ops != &played) {
        played_ns = coir_now().ns;
        real = inside_replace_ops(&played);
        played.now = played_now;
        played.start = played_start;
        played.cancel = played_cancel;
        played.wait = played_wait;
        played.ready = played_ready;
    }
    memset(ops, 0, sizeof ops);
    ops_count = 0;
}

#endif
