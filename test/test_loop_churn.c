/* Thousands of descriptors that are added, deleted, read, written and closed at random, against a
 * plain model of who watches what, with poll(2) as the judge of what is ready. */
#define TEST_SECONDS 120
#include "loops.h"

#include "../src/os/os.h"

enum { SLOTS = 2000, STEPS = 60000, CHECK_EVERY = 300, BATCH = 256 };

struct slot {
    int fd, peer; /* -1: not open */
    bool reads_only;
    int mask, word[2];
    bool seen[2]; /* reported since the check began */
};

static struct slot slots[SLOTS];
static int judged[SLOTS][2]; /* what poll says of each now */
static int slot_of[4 * SLOTS]; /* of each number */
static uint64_t seed;

static uint32_t pick(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % below;
}

static int add(coir_loop *loop, int fd, int direction, int word)
{
    void *user = (void *)(intptr_t)word;
    return direction == COIR_IN ? coir_loop_add_read(loop, fd, user)
                                : coir_loop_add_write(loop, fd, user);
}

static int del(coir_loop *loop, int fd, int direction)
{
    return direction == COIR_IN ? coir_loop_del_read(loop, fd) : coir_loop_del_write(loop, fd);
}

static void op_open(struct slot *slot, int index)
{
    struct fds_pair pair;
    uint32_t kind = pick(10);
    if (kind == 0)
        pair = (struct fds_pair){fds_file(), -1};
    else if (kind < 4)
        pair = fds_pipe(0);
    else
        pair = fds_unix(SOCK_STREAM);
    *slot = (struct slot){.fd = pair.in, .peer = pair.out, .reads_only = kind > 0 && kind < 4};
    CHECK(pair.in < 4 * SLOTS);
    slot_of[pair.in] = index;
    fds_nonblocking(pair.in);
}

/* Deletes before or after it closes; now and then the file lives on for a while. */
static void op_close(coir_loop *loop, struct slot *slot)
{
    bool first = pick(2);
    int ghost = pick(20) == 0 ? dup(slot->fd) : -1;
    if (!first)
        CHECK_EQ(close(slot->fd), 0);
    for (int d = COIR_IN; d <= COIR_OUT; d++)
        CHECK_EQ(del(loop, slot->fd, d), slot->mask & d ? 0 : -ENOENT);
    if (first)
        CHECK_EQ(close(slot->fd), 0);
    if (ghost >= 0) {
        if (slot->peer >= 0 && pick(2))
            fds_put(slot->peer, "boo");
        CHECK(coir_loop_wait(loop, loops_events, 1, COIR_TRY) >= 0);
        close(ghost);
    }
    if (slot->peer >= 0)
        close(slot->peer);
    slot->fd = -1;
}

static void op_turn(coir_loop *loop, struct slot *slot)
{
    int direction = slot->reads_only || pick(2) ? COIR_IN : COIR_OUT, word = (int)pick(1 << 30);
    if (pick(3) > 0) {
        CHECK_EQ(add(loop, slot->fd, direction, word), 0);
        slot->mask |= direction;
        slot->word[direction - 1] = word;
    } else {
        CHECK_EQ(del(loop, slot->fd, direction), slot->mask & direction ? 0 : -ENOENT);
        slot->mask &= ~direction;
    }
}

static void step(coir_loop *loop)
{
    int index = (int)pick(SLOTS);
    struct slot *slot = &slots[index];
    uint32_t what = pick(16);
    if (slot->fd < 0)
        op_open(slot, index);
    else if (what == 0)
        op_close(loop, slot);
    else if (what < 8)
        op_turn(loop, slot);
    else if (what < 10 && slot->peer >= 0)
        fds_put(slot->peer, "x");
    else if (what < 13)
        fds_drain(slot->fd);
    else if (what == 13 && slot->peer >= 0) {
        close(slot->peer);
        slot->peer = -1;
    }
}

/* What poll says of all slots, as the loop would. Returns how many directions are ready. */
static int judge_all(void)
{
    static struct pollfd asks[2 * SLOTS];
    int ready = 0;
    for (int i = 0; i < 2 * SLOTS; i++) {
        const struct slot *slot = &slots[i / 2];
        bool is_added = slot->fd >= 0 && slot->mask & (i % 2 + 1);
        asks[i].fd = is_added ? slot->fd : -1;
        asks[i].events = i % 2 + 1 == COIR_IN ? POLLIN | POLLRDHUP : POLLOUT;
    }
    CHECK(poll(asks, 2 * SLOTS, 0) >= 0);
    for (int i = 0; i < 2 * SLOTS; i++) {
#ifdef COIR_KQUEUE
        short told = asks[i].fd < 0 ? 0 : kernel_poll(asks[i].fd, asks[i].events);
#else
        short told = asks[i].revents;
#endif
        int hup = told & (POLLHUP | POLLRDHUP) ? COIR_HUP : 0;
        judged[i / 2][i % 2] = told ? (i % 2 + 1) | hup : 0;
        ready += told != 0;
    }
    return ready;
}

static void check_event(const struct coir_loop_event *event)
{
    int direction = event->flags & (COIR_IN | COIR_OUT);
    CHECK(direction == COIR_IN || direction == COIR_OUT);
    struct slot *slot = &slots[slot_of[event->fd]];
    CHECK_EQ(slot->fd, event->fd);
    int expected = judged[slot - slots][direction - 1];
    CHECK(expected);
    CHECK_EQ((intptr_t)event->user, slot->word[direction - 1]);
    if (direction == COIR_IN && loops_tells_ends())
        CHECK_EQ(event->flags & COIR_HUP, expected & COIR_HUP);
    slot->seen[direction - 1] = true;
}

/* Nothing is reported that is not ready, and all that is ready is, in a few waits. */
static void check_all(coir_loop *loop)
{
    static struct coir_loop_event events[BATCH];
    int ready = judge_all(), missed = 0;
    for (int i = 0; i < SLOTS; i++)
        slots[i].seen[0] = slots[i].seen[1] = false;
    int one = 1 + (int)pick(BATCH), other = 1 + (int)pick(BATCH); /* few at a time take long */
    int most = one > other ? one : other, waits = 4 + 4 * ready / (most < 128 ? most : 128);
    for (int w = 0; w < waits; w++) {
        int count = coir_loop_wait(loop, events, most, COIR_TRY);
        CHECK(count >= 0 && count <= most && (count > 0) == (ready > 0));
        for (int i = 0; i < count; i++)
            check_event(&events[i]);
    }
    for (int i = 0; i < SLOTS; i++)
        for (int d = 0; d < 2; d++)
            missed += judged[i][d] && !slots[i].seen[d];
    CHECK_EQ(missed, 0);
}

/* proves: P14, P1, P3, P8, P9, P11 */
TEST(test_loop_agrees_with_poll_about_thousands_of_descriptors)
{
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 3 * SLOTS)
        SKIP("too few descriptors are allowed");
    coir_loop *loop;
    while (loops_next(&loop)) {
        seed = 88172645463325252;
        for (int i = 0; i < SLOTS; i++)
            slots[i].fd = -1;
        for (int i = 1; i <= STEPS; i++) {
            step(loop);
            if (i % CHECK_EVERY == 0)
                check_all(loop);
        }
        for (int i = 0; i < SLOTS; i++)
            if (slots[i].fd >= 0)
                op_close(loop, &slots[i]);
        CHECK_EQ(loops_now(loop), 0);
    }
}
