/* What the entries of the world's table that are no calls can fail with (registering, waiting,
 * watching, taking possession), and the removal of a path: each error is a documented result of
 * whoever asked, leaves nothing behind, and the same again without the error succeeds. */
#include "loops.h"

#include "../src/level/interest.h"

#include <coir_net.h>
#include <coir_post.h>

static struct {
    const struct cr_world_ops *real;
    struct cr_world_ops ops;
    const struct cr_levels_ops *real_levels;
    struct cr_levels_ops levels_ops;
    int attach, adopt, wait, watch, levels, unlink; /* errors of the next ones, 0: none */
    int asked;
} injected;

static int inject(int *error)
{
    int code = *error;
    *error = 0;
    injected.asked += code != 0;
    return -code;
}

static int odd_attach(struct cr_world *world, int fd, uint64_t token)
{
    int error = inject(&injected.attach);
    return error ? error : injected.real->attach(world, fd, token);
}

static int odd_adopt(struct cr_world *world, int fd)
{
    int error = inject(&injected.adopt);
    return error ? error : injected.real->adopt(world, fd);
}

static int odd_wait(struct cr_world *world, struct cr_event *events, int max, uint64_t until,
                    bool *more)
{
    int error = inject(&injected.wait);
    return error ? error : injected.real->wait(world, events, max, until, more);
}

static int odd_watch(struct cr_levels *levels, int fd, int index, uint64_t token, int old, int mask)
{
    int error = mask ? inject(&injected.watch) : 0;
    return error ? error : injected.real_levels->watch(levels, fd, index, token, old, mask);
}

static int odd_levels(struct cr_levels *levels, struct cr_level *got, int max, uint64_t until)
{
    int error = inject(&injected.levels);
    return error ? error : injected.real_levels->wait(levels, got, max, until);
}

static int64_t odd_start(struct cr_world *world, struct cr_op *op)
{
    int error = op->kind == CR_OP_UNLINK ? inject(&injected.unlink) : 0;
    return error ? error : injected.real->start(world, op);
}

static void make_odd(void)
{
    injected.real = inside_replace_ops(&injected.ops);
    injected.ops.attach = odd_attach;
    injected.ops.adopt = odd_adopt;
    injected.ops.wait = odd_wait;
    injected.ops.start = odd_start;
}

/* ---- what registers ---- */

static struct fds_pair foreign, socket_pair;
static int own[2];

static int64_t call_wait_fd(void)
{
    return coir_wait_fd(foreign.in, COIR_IN, coir_after(1));
}

static int64_t call_read_foreign(void)
{
    char byte;
    return coir_read(foreign.in, &byte, 1, coir_after(1));
}

static int64_t call_read_own(void)
{
    char byte;
    return coir_read(own[0], &byte, 1, coir_after(1));
}

static int64_t call_recv_foreign(void)
{
    char byte;
    return coir_recv(socket_pair.in, &byte, 1, 0, coir_after(1));
}

static int64_t call_adopt(void)
{
    int fd = dup(socket_pair.out), result = coir_adopt(fd);
    CHECK_EQ(coir_close(fd), 0);
    return result;
}

static int64_t call_mailbox(void)
{
    coir_mailbox box;
    int result = coir_mailbox_open(&box, 0);
    return result < 0 ? result : coir_mailbox_close(box);
}

static const struct row {
    const char *name;
    int64_t (*call)(void);
    int result; /* without an error */
} ROWS[] = {
    {"wait_fd", call_wait_fd, COIR_TIMED_OUT},
    {"read of a foreign one", call_read_foreign, COIR_TIMED_OUT},
    {"recv of a foreign one", call_recv_foreign, COIR_TIMED_OUT},
    {"read of an own one", call_read_own, COIR_TIMED_OUT},
    {"adopt", call_adopt, 0},
    {"mailbox_open", call_mailbox, 0},
};

static const int ATTACH_ERRORS[] = {EBADF, EMFILE, ENFILE, ENOMEM, ENOSPC, ELOOP, EINVAL};

static int each_attach(void *arg)
{
    (void)arg;
    make_odd();
    foreign = fds_pipe(0);
    socket_pair = fds_unix(SOCK_STREAM);
    CHECK_EQ(call_wait_fd(), COIR_TIMED_OUT); /* the world's own descriptor is open after that */
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        for (size_t j = 0; j < sizeof ATTACH_ERRORS / sizeof *ATTACH_ERRORS; j++) {
            CHECK_EQ(coir_pipe(own), 0);
            int before = fds_open();
            printf("%s: %s\n", ROWS[i].name, coir_error_name(ATTACH_ERRORS[j]));
            injected.attach = ATTACH_ERRORS[j];
            CHECK_EQ(ROWS[i].call(), -ATTACH_ERRORS[j]);
            CHECK_EQ(injected.attach, 0);
            CHECK_EQ(fds_open(), before);
            CHECK_EQ(cr_sched_here->outside, 0);
            CHECK_EQ(ROWS[i].call(), ROWS[i].result);
            CHECK_EQ(fds_open(), before);
            CHECK(coir_close(own[0]) == 0 && coir_close(own[1]) == 0);
        }
    injected.attach = EPERM;
    CHECK_EQ(call_wait_fd(), COIR_IN);
    injected.attach = EPERM;
    CHECK_EQ(call_adopt(), 0);
    return 0;
}

/* proves: D17, F1, W5 */
TEST(test_each_error_of_registering_is_told_and_leaves_nothing)
{
    run_monotonic(each_attach, NULL);
}

static int each_adopt(void *arg)
{
    static const int ERRORS[] = {EBADF, ENOMEM, EINVAL, EPERM};
    (void)arg;
    make_odd();
    for (int i = 0; i < 4; i++) {
        socket_pair = fds_unix(SOCK_STREAM);
        injected.adopt = ERRORS[i];
        CHECK_EQ(coir_adopt(socket_pair.in), -ERRORS[i]);
        fds_check_nothing_left(socket_pair.in);
        CHECK_EQ(coir_adopt(socket_pair.in), 0);
        CHECK_EQ(coir_close(socket_pair.in), 0);
        CHECK_EQ(coir_close(socket_pair.out), 0);
    }
    return 0;
}

/* proves: F1 */
TEST(test_each_error_of_taking_possession_is_told_and_leaves_nothing)
{
    run_monotonic(each_adopt, NULL);
}

/* proves: F1, E1 */
TEST(test_each_error_of_waiting_ends_the_run_and_the_next_one_goes_on)
{
    static const int ERRORS[] = {ENOMEM, EINVAL, EBADF, EFAULT};
    coir_sched *sched;
    foreign = fds_pipe(0);
    struct fds_waiter waiter = {.fd = foreign.in, .mask = COIR_IN};
    CHECK_EQ(coir_sched_new(&sched, NULL), 0);
    make_odd();
    CHECK_EQ(coir_spawn(&waiter.fiber, fds_wait, &waiter, NULL), 0);
    CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    for (int i = 0; i < 4; i++) {
        injected.wait = ERRORS[i];
        CHECK_EQ(coir_sched_run(sched), -ERRORS[i]);
        injected.wait = ERRORS[i];
        CHECK_EQ(coir_sched_step(sched, 0), -ERRORS[i]);
        CHECK_EQ(coir_sched_step(sched, 0), COIR_STEP_WAITING);
    }
    fds_put(foreign.out, "x");
    CHECK_EQ(coir_sched_run(sched), 0);
    CHECK_EQ(waiter.result, COIR_IN);
    coir_sched_free(sched);
}

/* ---- the event loop ---- */

/* What it watches comes first in it. */
static void make_loop_odd(coir_loop *loop)
{
    struct cr_levels *levels = ((struct cr_interests *)(void *)loop)->levels;
    injected.real_levels = levels->ops;
    injected.levels_ops = *levels->ops;
    injected.levels_ops.watch = odd_watch;
    injected.levels_ops.wait = odd_levels;
    levels->ops = &injected.levels_ops;
}

/* proves: P3, P11 */
TEST(test_each_error_of_watching_is_told_and_changes_nothing)
{
    static const int ERRORS[] = {EBADF, EMFILE, ENFILE, ENOMEM, ENOSPC, ELOOP, EINVAL};
    coir_loop *loop;
    while (loops_next(&loop)) {
        make_loop_odd(loop);
        foreign = fds_unix(SOCK_STREAM);
        CHECK_EQ(coir_loop_add_wake(loop, NULL), 0);
        for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++) {
            printf("%s\n", coir_error_name(ERRORS[i]));
            injected.watch = ERRORS[i];
            CHECK_EQ(coir_loop_add_write(loop, foreign.in, WORD(0)), -ERRORS[i]);
            CHECK_EQ(loops_now(loop), 0);
            CHECK_EQ(coir_loop_del_write(loop, foreign.in), -ENOENT);
            CHECK_EQ(coir_loop_add_write(loop, foreign.in, WORD(1)), 0);
            injected.watch = ERRORS[i];
            CHECK_EQ(coir_loop_add_read(loop, foreign.in, WORD(2)), -ERRORS[i]);
            CHECK(loops_now(loop) == 1 && loops_events[0].user == WORD(1));
            CHECK_EQ(coir_loop_del_read(loop, foreign.in), -ENOENT);
            CHECK_EQ(coir_loop_del_write(loop, foreign.in), 0);
        }
        injected.watch = EPERM;
        CHECK_EQ(coir_loop_add_read(loop, foreign.in, WORD(3)), 0);
        fds_close(foreign);
    }
}

/* proves: P11 */
TEST(test_each_error_of_looking_is_told_and_the_next_wait_goes_on)
{
    static const int ERRORS[] = {ENOMEM, EINVAL, EBADF, EFAULT};
    coir_loop *loop;
    while (loops_next(&loop)) {
        make_loop_odd(loop);
        foreign = fds_pipe(0);
        fds_put(foreign.out, "x");
        CHECK_EQ(coir_loop_add_read(loop, foreign.in, WORD(0)), 0);
        for (int i = 0; i < 4; i++) {
            injected.levels = ERRORS[i];
            CHECK_EQ(loops_now(loop), -ERRORS[i]);
            CHECK(loops_now(loop) == 1 && loops_events[0].user == WORD(0));
        }
        fds_close(foreign);
    }
}

/* proves: P11 */
TEST(test_each_error_of_hearing_the_bell_is_told_and_no_wake_is_lost)
{
    static const int ERRORS[] = {EMFILE, ENFILE, ENOMEM, ENOSPC};
    coir_loop *loop;
    while (loops_next(&loop)) {
        make_loop_odd(loop);
        CHECK_EQ(coir_loop_wake(loop), 0);
        for (int i = 0; i < 4; i++) {
            injected.watch = ERRORS[i];
            CHECK_EQ(coir_loop_add_wake(loop, WORD(0)), -ERRORS[i]);
            CHECK_EQ(loops_now(loop), 0);
        }
        CHECK_EQ(coir_loop_add_wake(loop, WORD(1)), 0);
        CHECK(loops_now(loop) == 1 && loops_events[0].user == WORD(1));
    }
}

/* ---- paths ---- */

static int each_unlink(void *arg)
{
    static const int ERRORS[] = {EACCES, EBUSY, EIO, ELOOP, EPERM, EROFS, ENOTDIR, ENAMETOOLONG};
    struct coir_net_opts opts = {.unlink = true};
    const char *text = test_path("socket");
    (void)arg;
    make_odd();
    int fd = coir_net_listen(text, NULL), before = fds_open();
    CHECK(fd >= 0);
    CHECK_EQ(coir_close(fd), 0);
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++) {
        injected.unlink = ERRORS[i];
        CHECK_EQ(coir_net_listen(text, &opts), -ERRORS[i]);
        CHECK_EQ(fds_open(), before - 1);
    }
    injected.unlink = ENOTSOCK;
    CHECK_EQ(coir_net_listen(text, &opts), -EADDRINUSE);
    injected.unlink = ENOENT; /* another has removed it, and it is there again */
    CHECK_EQ(coir_net_listen(text, &opts), -EADDRINUSE);
    CHECK_EQ(fds_open(), before - 1);
    fd = coir_net_listen(text, &opts);
    CHECK(fd >= 0 && coir_close(fd) == 0);
    return 0;
}

/* proves: N3, N4 */
TEST(test_each_error_of_removing_a_path_is_told_and_leaves_no_socket)
{
    run_monotonic(each_unlink, NULL);
}
