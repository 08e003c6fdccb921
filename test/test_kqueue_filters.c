/* Every filter of kqueue(2) with every flag, as the manual pages document them; what kernels differ
 * in is in kqueue/kernel.h. */
#include "queues.h"

#ifdef QUEUES_SKIP

TEST(test_kqueue_has_the_filters_that_are_documented)
{
    SKIP(QUEUES_SKIP);
}

#else

/* ---- sources: one for each filter, what makes its event happen, and what the event says ---- */

static uintptr_t number; /* the ident */

static uintptr_t make_pipe(void)
{
    pair = fds_pipe(O_NONBLOCK);
    return (uintptr_t)pair.in;
}

static void write_three(int queue)
{
    (void)queue;
    fds_put(pair.out, "abc");
}

static void exit_child(int queue)
{
    (void)queue;
    end_child();
}

static uintptr_t make_full(void)
{
    pair = fds_unix(SOCK_STREAM);
    fds_fill(pair.out);
    return (uintptr_t)pair.out;
}

static void drain(int queue)
{
    (void)queue;
    fds_drain(pair.in);
}

#ifdef EVFILT_EXCEPT
static uintptr_t make_tcp(void)
{
    pair = fds_tcp();
    return (uintptr_t)pair.in;
}

static void send_urgent(int queue)
{
    (void)queue;
    CHECK_EQ(send(pair.out, "!", 1, MSG_OOB), 1);
}
#endif

static uintptr_t make_nothing(void)
{
    return 7;
}

#ifdef EVFILT_USER
static void trigger(int queue)
{
    CHECK_EQ(change(queue, 7, EVFILT_USER, 0, NOTE_TRIGGER, 0), 0);
}
#endif

/* A timer of 1 ms goes on; what comes of it later is not asked. */
static void pass_time(int queue)
{
    (void)queue;
    usleep(1500);
}

static uintptr_t make_signal(void)
{
    signal(SIGUSR1, SIG_IGN);
    return SIGUSR1;
}

static void send_signal(int queue)
{
    (void)queue;
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
}

static void grow_file(int queue)
{
    (void)queue;
    CHECK_EQ(write(file, "x", 1), 1);
}

static const struct source {
    const char *name;
    int filter;
    unsigned int fflags;
    int data;
    uintptr_t (*make)(void);
    void (*happen)(int queue);
    unsigned int says; /* of fflags */
    int data_says;     /* of data; -1: anything */
    int always;        /* flags that the kernel sets by itself when it is added */
    int ends;          /* flags of the event, which is the last one */
    bool holds;        /* what was reported is still so: adding it again repeats it */
} SOURCES[] = {
    {"READ", EVFILT_READ, 0, 0, make_pipe, write_three, 0, 3, 0, 0, true},
    {"WRITE", EVFILT_WRITE, 0, 0, make_full, drain, 0, -1, 0, 0, true},
#ifdef NOTE_OOB
    {"EXCEPT", EVFILT_EXCEPT, NOTE_OOB, 0, make_tcp, send_urgent, NOTE_OOB, -1, 0, 0, true},
#endif
#ifdef EVFILT_USER
    {"USER", EVFILT_USER, 0, 0, make_nothing, trigger, 0, 0, 0, 0, false},
#endif
    {"TIMER", EVFILT_TIMER, 0, 1, make_nothing, pass_time, 0, -1, EV_CLEAR, 0, false},
    {"SIGNAL", EVFILT_SIGNAL, 0, 0, make_signal, send_signal, 0, 1, EV_CLEAR, 0, false},
    {"PROC", EVFILT_PROC, NOTE_EXIT, 0, make_child, exit_child, NOTE_EXIT, -1, EV_CLEAR,
     EV_EOF | EV_ONESHOT, false},
    {"VNODE", EVFILT_VNODE, NOTE_WRITE, 0, make_file, grow_file, NOTE_WRITE, 0, 0, 0, false},
};

enum { SOURCES_COUNT = sizeof SOURCES / sizeof *SOURCES };

static bool is_here(const struct source *source)
{
    return strcmp(source->name, "EXCEPT") != 0 || kernel->has_except;
}

static int edit(int queue, const struct source *source, int flags)
{
    return change(queue, number, source->filter, flags, source->fflags, source->data);
}

/* Whether it is reported exactly once more; a timer that repeats may be at any time. */
static void expect(int queue, const struct source *source, bool again)
{
    int got = look(queue, NOW);
    if (source->filter == EVFILT_TIMER && again)
        CHECK(got <= 1);
    else if (source->filter != EVFILT_TIMER || got != 1)
        CHECK_EQ(got, again);
}

static void check_event(const struct source *source, int flags)
{
    CHECK_EQ((int)events[0].filter, source->filter);
    CHECK_EQ(events[0].ident, number);
    CHECK_EQ(events[0].flags & FLAGS_SHOWN, flags | source->always | source->ends);
    CHECK_EQ(events[0].fflags, source->says);
    if (source->data_says >= 0)
        CHECK_EQ(events[0].data, source->data_says);
    CHECK((char *)(uintptr_t)events[0].udata == &mark);
}

/* Each source in a queue of its own. */
static void each_source(void (*test)(int queue, const struct source *source, int flags), int flags)
{
    for (int i = 0; i < SOURCES_COUNT; i++) {
        const struct source *source = &SOURCES[i];
        if (!is_here(source))
            continue;
        fprintf(stderr, "%s, flags %#x\n", source->name, (unsigned)flags);
        int queue = queue_make();
        number = source->make();
        test(queue, source, flags);
        close(queue);
        if (source->filter == EVFILT_PROC) {
            close(pair.out);
            CHECK_EQ(waitpid(child, NULL, 0), child);
        }
    }
}

/* ---- flags ---- */

static void tell_once_or_more(int queue, const struct source *source, int flags)
{
    int kept = flags | source->always;
    bool deleted = (flags | source->ends) & EV_ONESHOT;
    bool disabled = flags & EV_DISPATCH && (kernel->clear_dispatches || !(kept & EV_CLEAR));
    CHECK_EQ(edit(queue, source, EV_ADD | flags), 0);
    if (source->filter != EVFILT_TIMER)
        CHECK_EQ(look(queue, NOW), 0);
    source->happen(queue);
    CHECK_EQ(look(queue, SOON), 1);
    check_event(source, flags);
    expect(queue, source, !deleted && !disabled && !(kept & EV_CLEAR));
    if (deleted) {
        CHECK_EQ(edit(queue, source, EV_DELETE), -ENOENT);
    } else if (disabled) {
        CHECK_EQ(edit(queue, source, EV_ENABLE), 0);
        expect(queue, source, source->holds || !(kept & EV_CLEAR));
    } else {
        CHECK_EQ(edit(queue, source, EV_ADD | (flags & EV_CLEAR)), 0);
        expect(queue, source, source->holds || !(kept & EV_CLEAR));
    }
}

TEST(test_kqueue_each_filter_tells_as_often_as_its_flags_say)
{
    static const int FLAGS[] = {0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH, EV_CLEAR | EV_DISPATCH};
    for (size_t i = 0; i < sizeof FLAGS / sizeof *FLAGS; i++)
        each_source(tell_once_or_more, FLAGS[i]);
}

static void tell_when_enabled(int queue, const struct source *source, int flags)
{
    (void)flags;
    CHECK_EQ(edit(queue, source, EV_ADD | EV_DISABLE), 0);
    source->happen(queue);
    CHECK_EQ(look(queue, 20), 0);
    CHECK_EQ(edit(queue, source, EV_ADD), 0); /* which does not enable */
    CHECK_EQ(look(queue, NOW), 0);
    CHECK_EQ(edit(queue, source, EV_ENABLE), 0);
    CHECK_EQ(look(queue, SOON), 1);
    check_event(source, 0);
}

TEST(test_kqueue_each_filter_tells_what_happened_while_it_was_disabled)
{
    each_source(tell_when_enabled, 0);
}

static void tell_nothing_when_deleted(int queue, const struct source *source, int flags)
{
    (void)flags;
    CHECK_EQ(edit(queue, source, EV_DELETE), -ENOENT);
    CHECK_EQ(edit(queue, source, EV_ENABLE), -ENOENT);
    CHECK_EQ(edit(queue, source, EV_ADD), 0);
    CHECK_EQ(edit(queue, source, EV_DELETE), 0);
    CHECK_EQ(edit(queue, source, EV_DELETE), -ENOENT);
    if (source->filter != EVFILT_USER)
        source->happen(queue);
    CHECK_EQ(look(queue, 5), 0);
}

TEST(test_kqueue_each_filter_tells_nothing_once_deleted)
{
    each_source(tell_nothing_when_deleted, 0);
}

static void give_receipt(int queue, const struct source *source, int flags)
{
    struct kevent one, receipt;
    (void)flags;
    for (int i = 0; i < 2; i++) {
        EV_SET(&one, number, source->filter, i == 0 ? EV_ADD | EV_RECEIPT : EV_DELETE | EV_RECEIPT,
               source->fflags, source->data, (void *)&mark);
        CHECK_EQ(kevent(queue, &one, 1, &receipt, 1, NULL), 1);
        CHECK(receipt.flags & EV_ERROR);
        CHECK_EQ(receipt.data, 0);
    }
}

TEST(test_kqueue_each_filter_gives_receipts)
{
    each_source(give_receipt, 0);
}

static int other_queue;

static void tell_both_queues(int queue, const struct source *source, int flags)
{
    (void)flags;
    other_queue = queue_make();
    CHECK_EQ(edit(queue, source, EV_ADD), 0);
    CHECK_EQ(edit(other_queue, source, EV_ADD), 0);
    source->happen(queue);
    if (source->filter == EVFILT_USER)
        source->happen(other_queue);
    CHECK_EQ(look(queue, SOON), 1);
    check_event(source, 0);
    CHECK_EQ(look(other_queue, SOON), 1);
    check_event(source, 0);
    close(other_queue);
}

TEST(test_kqueue_each_filter_tells_every_queue)
{
    each_source(tell_both_queues, 0);
}

#endif
