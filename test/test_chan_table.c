/* A send and a receive in every state of a channel, with every deadline and cancel: what each
 * returns, when, and where the item is afterwards. And items of all sizes. */
#include "inside.h"
#include "waits.h"

enum state { EMPTY, PEER_WAITS, SOME, FULL, CLOSED, CLOSED_WITH_SOME, STATES };
enum how { NEVER, LATER, PASSED, TRY, CANCELLED_BEFORE, CANCELLED_WHILE, HOWS };

static const char *const STATE_NAMES[STATES] = {
    "empty", "a peer waits", "some items", "full", "closed", "closed with some items"};
static const char *const HOW_NAMES[HOWS] = {
    "never", "later", "passed", "try", "cancelled before", "cancelled while it waits"};

/* `0`: success at once; `w`: it waits until a peer comes; `t`: out of time, at its deadline or at
 * once; `c`: cancelled; `e`: -EPIPE. A channel without room is full for who sends, and empty for
 * who receives. */
static const char SEND[STATES][HOWS + 1] = {
    /*                   never, later, passed, try, cancelled before, while */
    [EMPTY] = "0000c0",
    [PEER_WAITS] = "0000c0",
    [SOME] = "0000c0",
    [FULL] = "wtttcc",
    [CLOSED] = "eeeece",
    [CLOSED_WITH_SOME] = "eeeece",
};
static const char RECV[STATES][HOWS + 1] = {
    [EMPTY] = "wtttcc",
    [PEER_WAITS] = "0000c0",
    [SOME] = "0000c0",
    [FULL] = "0000c0",
    [CLOSED] = "eeeece",
    [CLOSED_WITH_SOME] = "0000c0",
};

enum { LARGEST = 4096, DEADLINE = 10 };

struct row {
    size_t size, capacity;
    enum state state;
    enum how how;
    bool sends;
};

/* ---- items: their bytes tell which they are, but of none */

static void item_make(char *item, size_t size, int which)
{
    memset(item, 0x55, LARGEST);
    for (size_t i = 0; i < size; i++)
        item[i] = (char)(which * 31 + (int)i * 7);
}

static void item_check(const char *item, size_t size, int which)
{
    static char wanted[LARGEST];
    item_make(wanted, size, which);
    CHECK_EQ(memcmp(item, wanted, LARGEST), 0); /* nothing behind it was written either */
}

static coir_chan chan;
static char mine[LARGEST], peers[LARGEST], other[LARGEST];

static int raw_send(struct waiter *w)
{
    return coir_chan_send(&chan, w->other, w->until);
}

static int raw_recv(struct waiter *w)
{
    return coir_chan_recv(&chan, w->other, w->until);
}

static void try_send_raw(size_t size, int which)
{
    item_make(other, size, which);
    CHECK_EQ(coir_chan_send(&chan, other, COIR_TRY), 0);
}

static void try_recv_raw(size_t size, int which)
{
    item_make(other, 0, 0);
    CHECK_EQ(coir_chan_recv(&chan, other, COIR_TRY), 0);
    item_check(other, size, which);
}

/* ---- a row */

/* Items 1, 2 … lie in the channel, 7 is the peer's, 9 that of the call. Returns how many lie. */
static int set_up(const struct row *row, struct waiter **peer)
{
    int lie = 0, most = (int)row->capacity;
    CHECK_EQ(coir_chan_open(&chan, row->size, row->capacity), 0);
    if (row->state == SOME || row->state == CLOSED_WITH_SOME)
        most = 1;
    if (row->state == EMPTY || row->state == CLOSED || (row->state == PEER_WAITS && row->sends))
        most = 0;
    for (; lie < most; lie++)
        try_send_raw(row->size, lie + 1);
    if (row->state >= CLOSED)
        CHECK_EQ(coir_chan_close(&chan), 0);
    *peer = NULL;
    item_make(peers, row->sends ? 0 : row->size, 7);
    if (row->state == PEER_WAITS)
        *peer = begin_with("peer", row->sends ? raw_recv : raw_send, NULL, peers, COIR_NEVER);
    return lie;
}

static struct waiter *make_call(const struct row *row)
{
    const coir_time until[HOWS] = {
        [NEVER] = COIR_NEVER,
        [LATER] = coir_after(DEADLINE),
        [PASSED] = at_ns(now_ns() - 50),
        [TRY] = COIR_TRY,
        [CANCELLED_BEFORE] = COIR_NEVER,
        [CANCELLED_WHILE] = COIR_NEVER,
    };
    item_make(mine, row->sends ? row->size : 0, 9);
    struct waiter *w = waiter_make("call", row->sends ? raw_send : raw_recv, NULL, until[row->how]);
    w->other = mine;
    w->cancels = row->how == CANCELLED_BEFORE;
    waiter_spawn(w);
    settle();
    if (row->how == CANCELLED_WHILE && !w->ended)
        cancel(w);
    settle();
    return w;
}

/* The peer that a call waits for comes. */
static void serve(const struct row *row, const struct waiter *w, int *lie)
{
    CHECK(!w->ended);
    if (row->sends && row->capacity == 0)
        try_recv_raw(row->size, 9);
    else if (row->sends)
        try_recv_raw(row->size, 1);
    else
        try_send_raw(row->size, 9);
    if (row->sends)
        *lie = -*lie; /* the first of them has gone */
    settle();
    CHECK(w->ended);
}

static void check_result(const struct row *row, const struct waiter *w, char expected, int *lie)
{
    uint64_t began = now_ns();
    if (expected == 'w')
        serve(row, w, lie);
    if (expected == 't' && row->how == LATER) {
        CHECK(!w->ended);
        CHECK_EQ(coir_sleep(2 * DEADLINE), 0);
        CHECK_EQ(w->ended_ns, began + DEADLINE);
    }
    CHECK(w->ended);
    CHECK_EQ(w->result, expected == 't'   ? COIR_TIMED_OUT
                        : expected == 'c' ? COIR_CANCELLED
                        : expected == 'e' ? -EPIPE
                                          : 0);
}

/* Every item is where it should be: with a receiver, with a sender whose call failed, or in the
 * channel. Those that lie are first … last. */
static void check_items(const struct row *row, const struct waiter *w, const struct waiter *peer,
                        int lie)
{
    bool done = w->result == 0;
    int first = lie < 0 ? 2 : 1, last = lie < 0 ? -lie : lie;
    if (row->sends && done && peer)
        item_check(peers, row->size, 9);
    if (!row->sends && done && row->state == EMPTY)
        item_check(mine, row->size, 9);
    else if (!row->sends && done && last >= first)
        item_check(mine, row->size, first++);
    else if (!row->sends && done)
        item_check(mine, row->size, 7);
    else if (!row->sends)
        item_check(mine, 0, 0); /* nothing was written */
    for (; first <= last; first++)
        try_recv_raw(row->size, first);
    if (row->sends && done && !peer && (row->capacity > 0 || lie > 0))
        try_recv_raw(row->size, 9);
    if (!row->sends && peer && !peer->ended && !done)
        try_recv_raw(row->size, 7);
    else if (!row->sends && peer && row->capacity > 0)
        try_recv_raw(row->size, 7);
}

static void try_row(const struct row *row)
{
    struct waiter *peer;
    char expected = (row->sends ? SEND : RECV)[row->state][row->how];
    fprintf(stderr, "%s %zu bytes, room for %zu, %s, %s\n", row->sends ? "send" : "receive",
            row->size, row->capacity, STATE_NAMES[row->state], HOW_NAMES[row->how]);
    waiters_used = 0;
    run_log[0] = '\0';
    int lie = set_up(row, &peer);
    struct waiter *w = make_call(row);
    check_result(row, w, expected, &lie);
    check_items(row, w, peer, lie);
    coir_chan_close(&chan);
    settle();
    CHECK(!peer || peer->ended);
    CHECK_EQ(coir_chan_length(&chan), 0);
    coir_chan_free(&chan, NULL, NULL);
}

/* A channel without room is either empty and full, or a peer waits, or it is closed. */
static bool row_is(const struct row *row)
{
    if (row->capacity == 0 && (row->state == SOME || row->state == CLOSED_WITH_SOME))
        return false;
    return row->capacity > 0 || row->state != (row->sends ? EMPTY : FULL);
}

static int try_rows(void *arg)
{
    static const size_t SIZES[] = {8, 0, 1, 4, 16};
    (void)arg;
    CHECK_EQ(coir_sleep(100), 0);
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++)
        for (size_t capacity = 0; capacity < 3; capacity += 2)
            for (int cell = 0; cell < STATES * HOWS * 2; cell++) {
                struct row row = {SIZES[i], capacity, cell / 2 % STATES, cell / 2 / STATES,
                                  cell % 2};
                if (row_is(&row))
                    try_row(&row);
            }
    return 0;
}

/* proves: Q1, Q2, Q3, C1, T4 */
TEST(test_a_send_or_receive_in_every_state_with_every_deadline_and_cancel)
{
    run_virtual(try_rows, NULL);
}

/* ---- items of all sizes, against a plain queue */

enum { ROUNDS = 400, QUEUED_MOST = 1000 };

static struct {
    int item[QUEUED_MOST], head, count; /* the oldest first; put back at the head */
} queue;

static void step(size_t size, size_t capacity, int which, unsigned choice)
{
    if (choice < 4) {
        bool fits = (size_t)queue.count < capacity;
        item_make(other, size, which);
        CHECK_EQ(coir_chan_send(&chan, other, COIR_TRY), fits ? 0 : COIR_TIMED_OUT);
        if (fits)
            queue.item[queue.head + queue.count++] = which;
    } else if (choice < 8 && queue.count == 0) {
        item_make(other, 0, 0);
        CHECK_EQ(coir_chan_recv(&chan, other, COIR_TRY), COIR_TIMED_OUT);
        item_check(other, 0, 0);
    } else if (choice < 8) {
        try_recv_raw(size, queue.item[queue.head++]);
        queue.count--;
    } else {
        item_make(other, size, which);
        CHECK_EQ(coir_chan_put_back(&chan, other), 0);
        queue.item[--queue.head] = which;
        queue.count++;
    }
    CHECK_EQ(coir_chan_length(&chan), queue.count);
}

static void drop_item(void *item, void *arg)
{
    size_t size = *(size_t *)arg;
    item_make(other, 0, 0);
    if (size > 0)
        memcpy(other, item, size);
    item_check(other, size, queue.item[queue.head++]);
    queue.count--;
}

static void many_items(size_t size, size_t capacity, unsigned seed)
{
    fprintf(stderr, "%zu bytes, room for %zu\n", size, capacity);
    CHECK_EQ(coir_chan_open(&chan, size, capacity), 0);
    queue.head = QUEUED_MOST / 2;
    queue.count = 0;
    for (int i = 0; i < ROUNDS; i++) {
        seed = seed * 1103515245 + 12345;
        step(size, capacity, i, (seed >> 16) % 10);
    }
    coir_chan_free(&chan, drop_item, &size);
    CHECK_EQ(queue.count, 0);
}

/* proves: Q1, Q3, Q4, Q5, Q6 */
TEST(test_items_of_all_sizes_in_channels_of_all_capacities_outside_of_fibers)
{
    static const size_t SIZES[] = {0, 1, 3, 4, 8, 16, 4096}, CAPACITIES[] = {0, 1, 2, 3, 7, 64};
    coir_sched *sched;
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++)
        for (size_t j = 0; j < sizeof CAPACITIES / sizeof *CAPACITIES; j++)
            many_items(SIZES[i], CAPACITIES[j], (unsigned)(i * 7 + j));
    coir_sched_free(sched);
}

static int too_large(void *arg)
{
    coir_chan zeros = {{0}}, tried = {{0}};
    (void)arg;
    CHECK_EQ(coir_chan_open(&tried, 2, SIZE_MAX), -ENOMEM);
    CHECK_EQ(coir_chan_open(&tried, SIZE_MAX, 2), -ENOMEM);
    CHECK_EQ(coir_chan_open(&tried, SIZE_MAX / 2, 2), -ENOMEM);
    CHECK_EQ(coir_chan_open(&tried, SIZE_MAX / 2 + 1, 2), -ENOMEM); /* whose product is 0 */
    CHECK_EQ(coir_chan_open(&tried, 1, SIZE_MAX), -ENOMEM);
    if (!CR_SAN_ADDRESS && !CR_SAN_THREAD) /* whose malloc stops the program then */
        CHECK_EQ(coir_chan_open(&tried, 1, SIZE_MAX / 2), -ENOMEM);
    CHECK_EQ(memcmp(&tried, &zeros, sizeof zeros), 0); /* nothing has happened */
    coir_chan_free(&tried, NULL, NULL);
    return 0;
}

/* proves: Q6 */
TEST(test_a_channel_larger_than_memory_is_not_opened)
{
    run_virtual(too_large, NULL);
}

static int arrivals(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_chan_open(&chan, 0, SIZE_MAX), 0); /* for which no memory is needed */
    CHECK_EQ(coir_chan_capacity(&chan), SIZE_MAX);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(coir_chan_send(&chan, NULL, COIR_TRY), 0);
    CHECK_EQ(coir_chan_length(&chan), 1000);
    CHECK_EQ(coir_chan_put_back(&chan, NULL), 0);
    CHECK_EQ(coir_chan_close(&chan), 0);
    for (int i = 0; i < 1001; i++)
        CHECK_EQ(coir_chan_recv(&chan, NULL, COIR_NEVER), 0);
    CHECK_EQ(coir_chan_recv(&chan, NULL, COIR_NEVER), -EPIPE);
    coir_chan_free(&chan, NULL, NULL);
    return 0;
}

/* proves: Q6 */
TEST(test_items_of_no_size_only_arrive)
{
    run_virtual(arrivals, NULL);
}
