/* What kqueue(2) documents of descriptors, rule by rule; what kernels differ in is in
 * kqueue/kernel.h. */
#include "queues.h"

#ifdef QUEUES_SKIP

TEST(test_kqueue_is_what_is_documented)
{
    SKIP(QUEUES_SKIP);
}

#else

/* Of a descriptor. What udata says is whether EV_ADD was among the flags. */
static int set(int queue, int ident, int filter, int flags)
{
    struct kevent one;
    EV_SET(&one, (uintptr_t)ident, filter, flags, 0, 0, (void *)&events[flags & EV_ADD]);
    return kevent(queue, &one, 1, NULL, 0, NULL) == 0 ? 0 : -errno;
}

static bool has_udata(const void *udata)
{
    return (const void *)(uintptr_t)events[0].udata == udata;
}

/* ---- changes ---- */

TEST(test_kqueue_returns_what_was_added_with_its_data_until_it_is_read)
{
    struct fds_pair pipe = fds_pipe(0);
    int queue = queue_make();
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_ADD), 0);
    CHECK_EQ(look(queue, NOW), 0);
    fds_put(pipe.out, "three");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(look(queue, NOW), 1);
        CHECK_EQ(events[0].ident, pipe.in);
        CHECK_EQ(events[0].filter, EVFILT_READ);
        CHECK_EQ(events[0].flags & FLAGS_SHOWN, 0);
        CHECK_EQ(events[0].data, 5);
        CHECK(has_udata(&events[EV_ADD]));
    }
    fds_drain(pipe.in);
    CHECK_EQ(look(queue, NOW), 0);
}

TEST(test_kqueue_runs_the_filter_when_it_is_added_and_again_when_it_is_added_again)
{
    struct fds_pair pipe = fds_pipe(0);
    int queue = queue_make();
    fds_put(pipe.out, "x");
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_ADD | EV_CLEAR), 0);
        CHECK_EQ(look(queue, NOW), 1);
        CHECK_EQ(look(queue, NOW), 0);
    }
}

TEST(test_kqueue_clear_tells_once_for_each_thing_that_happens)
{
    struct fds_pair pipe = fds_pipe(0);
    int queue = queue_make();
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    for (int i = 1; i <= 3; i++) {
        fds_put(pipe.out, "x");
        CHECK_EQ(look(queue, NOW), 1);
        CHECK_EQ(events[0].flags & FLAGS_SHOWN, EV_CLEAR);
        CHECK_EQ(events[0].data, i);
        CHECK_EQ(look(queue, NOW), 0);
    }
}

TEST(test_kqueue_does_not_tell_what_holds_no_more)
{
    struct fds_pair pipe = fds_pipe(0);
    int queue = queue_make();
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    fds_put(pipe.out, "x");
    fds_drain(pipe.in);
    CHECK_EQ(look(queue, NOW), 0);
}

TEST(test_kqueue_oneshot_is_deleted_and_dispatch_disabled_once_told)
{
    struct fds_pair pipe = fds_pipe(0);
    int queue = queue_make();
    fds_put(pipe.out, "x");
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_ADD | EV_ONESHOT), 0);
    CHECK_EQ(look(queue, NOW), 1);
    CHECK_EQ(look(queue, NOW), 0);
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_DELETE), -ENOENT);
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_ADD | EV_DISPATCH), 0);
    CHECK_EQ(look(queue, NOW), 1);
    CHECK_EQ(look(queue, NOW), 0);
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_ENABLE), 0);
    CHECK_EQ(look(queue, NOW), 1);
}

TEST(test_kqueue_tells_nothing_of_what_is_disabled_until_it_is_enabled)
{
    struct fds_pair pipe = fds_pipe(0);
    int queue = queue_make();
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_ADD | EV_DISABLE | EV_CLEAR), 0);
    fds_put(pipe.out, "x");
    CHECK_EQ(look(queue, NOW), 0);
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_ENABLE), 0);
    CHECK_EQ(look(queue, NOW), 1);
    CHECK(has_udata(kernel->enable_modifies ? &events[0] : &events[EV_ADD]));
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_DISABLE), 0);
    fds_put(pipe.out, "x");
    CHECK_EQ(look(queue, NOW), 0);
}

TEST(test_kqueue_changes_of_what_is_not_there_are_enoent_and_of_closed_numbers_ebadf)
{
    struct fds_pair pipe = fds_pipe(0);
    int queue = queue_make();
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_DELETE), -ENOENT);
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_ENABLE), -ENOENT);
    CHECK_EQ(set(queue, pipe.in, -99, EV_ADD), -EINVAL);
    CHECK_EQ(set(pipe.in, pipe.in, EVFILT_READ, EV_ADD), -EBADF);
    CHECK_EQ(set(-1, pipe.in, EVFILT_READ, EV_ADD), -EBADF);
    close(pipe.in);
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_ADD), -EBADF);
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_DELETE), -EBADF);
}

/* Three changes, of which the second is wrong. */
static int three_changes(int queue, const struct fds_pair *pipe, int flags, int room)
{
    struct kevent changes[3];
    EV_SET(&changes[0], (uintptr_t)pipe->in, EVFILT_READ, EV_ADD | flags, 0, 0, NULL);
    EV_SET(&changes[1], (uintptr_t)pipe->in, EVFILT_WRITE, EV_DELETE | flags, 0, 0, NULL);
    EV_SET(&changes[2], (uintptr_t)pipe->out, EVFILT_WRITE, EV_ADD | flags, 0, 0, NULL);
    memset(events, 0, sizeof events);
    return kevent(queue, changes, 3, events, room, NULL);
}

TEST(test_kqueue_errors_of_changes_are_events_where_there_is_room)
{
    struct fds_pair pipe = fds_pipe(0);
    int queue = queue_make();
    CHECK_EQ(three_changes(queue, &pipe, 0, 8), 1);
    CHECK_EQ(events[0].ident, pipe.in);
    CHECK_EQ(events[0].filter, EVFILT_WRITE);
    CHECK(events[0].flags & EV_ERROR);
    CHECK_EQ(events[0].data, ENOENT);
    CHECK_EQ(look(queue, NOW), 1); /* the third was made, and holds */
    CHECK_EQ(events[0].ident, pipe.out);
}

TEST(test_kqueue_an_error_without_room_ends_the_changes)
{
    struct fds_pair pipe = fds_pipe(0);
    int queue = queue_make();
    CHECK_EQ(three_changes(queue, &pipe, 0, 0), -1);
    CHECK_EQ(errno, ENOENT);
    CHECK_EQ(look(queue, NOW), 0); /* the third was not made */
    fds_put(pipe.out, "x");
    CHECK_EQ(look(queue, NOW), 1); /* the first was */
}

TEST(test_kqueue_receipts_tell_of_every_change_and_of_no_event)
{
    struct fds_pair pipe = fds_pipe(0);
    int queue = queue_make();
    CHECK_EQ(three_changes(queue, &pipe, EV_RECEIPT, 8), 3);
    for (int i = 0; i < 3; i++)
        CHECK(events[i].flags & EV_ERROR);
    CHECK_EQ(events[0].data, 0);
    CHECK_EQ(events[1].data, ENOENT);
    CHECK_EQ(events[2].data, 0);
    CHECK_EQ(look(queue, NOW), 1);
    CHECK_EQ(events[0].filter, EVFILT_WRITE);
}

/* ---- the life of descriptors and queues ---- */

TEST(test_kqueue_forgets_a_number_that_is_closed_though_a_dup_lives)
{
    struct fds_pair pipe = fds_pipe(0), other = fds_pipe(0);
    int queue = queue_make(), copy = dup(pipe.in), number = pipe.in;
    CHECK_EQ(set(queue, number, EVFILT_READ, EV_ADD), 0);
    close(number);
    fds_put(pipe.out, "x");
    CHECK_EQ(look(queue, NOW), 0);
    CHECK_EQ(dup2(copy, number), number);
    CHECK_EQ(set(queue, number, EVFILT_READ, EV_DELETE), -ENOENT);
    CHECK_EQ(set(queue, number, EVFILT_READ, EV_ADD), 0);
    CHECK_EQ(look(queue, NOW), 1);
    CHECK_EQ(dup2(other.in, number), number); /* closes it too */
    CHECK_EQ(look(queue, NOW), 0);
    CHECK_EQ(set(queue, number, EVFILT_READ, EV_DELETE), -ENOENT);
}

TEST(test_kqueue_is_not_inherited_by_a_child)
{
    struct fds_pair pipe = fds_pipe(0);
    int queue = queue_make(), wait_status;
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_ADD), 0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(look(queue, NOW), -1);
        CHECK_EQ(errno, EBADF);
        queue = queue_make();
        CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_DELETE), -ENOENT);
        close(pipe.in);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &wait_status, 0), pid);
    CHECK_EQ(wait_status, 0);
    fds_put(pipe.out, "x");
    CHECK_EQ(look(queue, NOW), 1);
}

TEST(test_kqueue_is_one_descriptor_and_gives_back_all_it_took)
{
    struct fds_pair pipe = fds_pipe(0);
    int before = fds_open(), queue = queue_make();
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_ADD), 0);
    CHECK_EQ(fds_open(), before + 1);
    CHECK_EQ(change(queue, 7, EVFILT_TIMER, EV_ADD, 0, 1000), 0);
    close(queue);
    CHECK_EQ(fds_open(), before);
    CHECK_EQ(look(queue, NOW), -1);
    CHECK_EQ(errno, EBADF);
    for (int i = 0; i < 100; i++) {
        queue = queue_make();
        CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_DELETE), -ENOENT);
        close(queue);
    }
    CHECK_EQ(fds_open(), before);
}

/* ---- filters ---- */

TEST(test_kqueue_tells_of_each_direction_alone)
{
    struct fds_pair both = fds_unix(SOCK_STREAM);
    int queue = queue_make();
    CHECK_EQ(set(queue, both.in, EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    CHECK_EQ(set(queue, both.in, EVFILT_WRITE, EV_ADD | EV_CLEAR), 0);
    CHECK_EQ(look(queue, NOW), 1);
    CHECK_EQ(events[0].filter, EVFILT_WRITE);
    CHECK(events[0].data > 4096);
    fds_put(both.out, "abc");
    CHECK_EQ(look(queue, NOW), 1);
    CHECK_EQ(events[0].filter, EVFILT_READ);
    CHECK_EQ(events[0].data, 3);
    CHECK_EQ(set(queue, both.in, EVFILT_READ, EV_DELETE), 0);
    fds_fill(both.in);
    fds_drain(both.out);
    CHECK_EQ(look(queue, NOW), 1);
    CHECK_EQ(events[0].filter, EVFILT_WRITE);
}

TEST(test_kqueue_tells_the_end_of_a_pipe_to_its_reader_and_its_writer)
{
    struct fds_pair pipe = fds_pipe(0), broken = fds_pipe(0);
    int queue = queue_make();
    CHECK_EQ(set(queue, pipe.in, EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    fds_put(pipe.out, "x");
    close(pipe.out);
    CHECK_EQ(look(queue, NOW), 1);
    CHECK_EQ(events[0].flags & FLAGS_SHOWN, EV_EOF | EV_CLEAR);
    CHECK_EQ(events[0].fflags, 0);
    CHECK_EQ(events[0].data, 1);
    fds_fill(broken.out);
    CHECK_EQ(set(queue, broken.out, EVFILT_WRITE, EV_ADD | EV_CLEAR), 0);
    CHECK_EQ(look(queue, NOW), 0);
    close(broken.in);
    CHECK_EQ(look(queue, NOW), kernel->tells_full_pipe);
    if (kernel->tells_full_pipe)
        CHECK_EQ(events[0].flags & FLAGS_SHOWN,
                 EV_EOF | EV_CLEAR | (kernel->end_deletes ? EV_ONESHOT : 0));
    CHECK_EQ(set(queue, broken.out, EVFILT_WRITE, EV_DELETE), kernel->end_deletes ? -ENOENT : 0);
    CHECK_EQ(set(queue, broken.out, EVFILT_WRITE, EV_ADD), -kernel->gone_reader);
}

TEST(test_kqueue_accepts_the_wrong_direction_of_a_pipe_and_tells_its_end_or_nothing)
{
    struct fds_pair pipe = fds_pipe(0), other = fds_pipe(0);
    int queue = queue_make();
    CHECK_EQ(set(queue, pipe.in, EVFILT_WRITE, EV_ADD), 0);
    CHECK_EQ(set(queue, other.out, EVFILT_READ, EV_ADD), 0);
    CHECK_EQ(look(queue, NOW), 0);
    close(pipe.out);
    CHECK_EQ(look(queue, NOW), kernel->reader_writes_end);
    close(pipe.in);
    close(other.in);
    CHECK_EQ(look(queue, NOW), kernel->writer_reads_end);
}

TEST(test_kqueue_tells_the_end_of_a_socket_and_its_error)
{
    struct fds_pair tcp = fds_tcp();
    struct linger at_once = {.l_onoff = 1};
    int queue = queue_make();
    CHECK_EQ(set(queue, tcp.in, EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    CHECK_EQ(shutdown(tcp.out, SHUT_WR), 0);
    CHECK_EQ(kevent(queue, NULL, 0, events, 8, &(struct timespec){5, 0}), 1);
    CHECK_EQ(events[0].flags & FLAGS_SHOWN, EV_EOF | EV_CLEAR);
    CHECK_EQ(events[0].fflags, 0);
    fds_fill(tcp.in);
    CHECK_EQ(set(queue, tcp.in, EVFILT_WRITE, EV_ADD | EV_CLEAR), 0);
    look(queue, NOW);
    CHECK_EQ(setsockopt(tcp.out, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(tcp.out);
    CHECK(kevent(queue, NULL, 0, events, 8, &(struct timespec){5, 0}) >= 1);
    CHECK_EQ(events[0].flags & FLAGS_SHOWN, EV_EOF | EV_CLEAR);
    CHECK_EQ(events[0].fflags, ECONNRESET);
}

TEST(test_kqueue_tells_nothing_of_a_socket_that_is_not_connected)
{
    int queue = queue_make(), fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(set(queue, fd, EVFILT_READ, EV_ADD), 0);
    CHECK_EQ(set(queue, fd, EVFILT_WRITE, EV_ADD), 0);
    CHECK_EQ(look(queue, NOW), 0);
}

TEST(test_kqueue_counts_the_connections_that_wait_to_be_accepted)
{
    struct sockaddr_in address;
    int queue = queue_make(), listener = fds_listen(&address, 5);
    CHECK_EQ(set(queue, listener, EVFILT_READ, EV_ADD), 0);
    CHECK_EQ(look(queue, NOW), 0);
    for (int i = 1; i <= 2; i++) {
        fds_connect(&address);
        CHECK_EQ(look(queue, NOW), 1);
        CHECK_EQ(events[0].data, i);
    }
}

TEST(test_kqueue_low_water_holds_an_event_back)
{
    struct fds_pair both = fds_unix(SOCK_STREAM);
    int queue = queue_make();
    CHECK_EQ(change(queue, (uintptr_t)both.in, EVFILT_READ, EV_ADD, NOTE_LOWAT, 3), 0);
    fds_put(both.out, "ab");
    CHECK_EQ(look(queue, NOW), 0);
    fds_put(both.out, "c");
    CHECK_EQ(look(queue, NOW), 1);
}

TEST(test_kqueue_accepts_a_file_for_reading_only_and_no_device_without_events)
{
    int queue = queue_make(), plain = fds_file();
    CHECK_EQ(set(queue, plain, EVFILT_READ, EV_ADD), 0);
    CHECK_EQ(set(queue, plain, EVFILT_WRITE, EV_ADD), -EINVAL);
    CHECK_EQ(look(queue, NOW), 0);
    CHECK_EQ(set(queue, open("/dev/null", O_RDWR), EVFILT_READ, EV_ADD),
             -kernel->null_device);
}

#ifdef NOTE_OOB
static int set_urgent(int queue, int ident)
{
    return change(queue, (uintptr_t)ident, EVFILT_EXCEPT, EV_ADD | EV_CLEAR, NOTE_OOB, 0);
}

TEST(test_kqueue_except_tells_urgent_data_of_sockets)
{
    struct fds_pair tcp = fds_tcp();
    int queue = queue_make();
    CHECK_EQ(set_urgent(queue, tcp.in), kernel->has_except ? 0 : -EINVAL);
    if (!kernel->has_except)
        return;
    fds_put(tcp.out, "x");
    CHECK_EQ(look(queue, NOW), 0);
    CHECK_EQ(send(tcp.out, "!", 1, MSG_OOB), 1);
    CHECK_EQ(kevent(queue, NULL, 0, events, 8, &(struct timespec){5, 0}), 1);
    CHECK_EQ(events[0].filter, EVFILT_EXCEPT);
    CHECK_EQ(events[0].fflags, NOTE_OOB);
    CHECK_EQ(set_urgent(queue, fds_pipe(0).in), -EINVAL);
}
#endif

#ifdef EVFILT_USER
TEST(test_kqueue_user_events_are_triggered_and_keep_their_flags)
{
    int queue = queue_make();
    CHECK_EQ(change(queue, 7, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_FFCOPY | 6, 0), 0);
    CHECK_EQ(look(queue, NOW), 0);
    CHECK_EQ(change(queue, 7, EVFILT_USER, 0, NOTE_FFAND | 3, 0), 0);
    CHECK_EQ(change(queue, 7, EVFILT_USER, 0, NOTE_FFOR | 8 | NOTE_TRIGGER, 0), 0);
    CHECK_EQ(look(queue, NOW), 1);
    CHECK_EQ(events[0].ident, 7);
    CHECK_EQ(events[0].fflags, 10);
    CHECK_EQ(look(queue, NOW), 0);
    CHECK_EQ(change(queue, 7, EVFILT_USER, EV_DELETE, 0, 0), 0);
    CHECK_EQ(change(queue, 7, EVFILT_USER, 0, NOTE_TRIGGER, 0), -ENOENT);
}

#endif

#endif
