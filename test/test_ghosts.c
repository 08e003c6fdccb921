/* Ghosts: files of coir's own that were closed by a plain close(2) and live on elsewhere, as in a
 * forked child. What happens to them wakes the scheduler a few times, and then no more. */
#include "fds.h"

#include <coir_post.h>
#include <pthread.h>

enum { MOVES = 200, LATE = 100 };

static struct {
    const struct cr_world_ops *real;
    struct cr_world_ops ops;
    int events;  /* that the world has reported */
    int kept;
    bool renewing;
    int refuse;  /* BEGIN fails so often */
    int fail_at; /* the attach that fails, once; 0: none */
} counted;

static int counted_renew(struct cr_world *world, enum cr_renewal step)
{
    counted.renewing = step == CR_RENEWAL_BEGIN;
    counted.kept += step == CR_RENEWAL_KEEP;
    if (step == CR_RENEWAL_BEGIN && counted.refuse-- > 0)
        return -EMFILE;
    return counted.real->renew(world, step);
}

static int counted_attach(struct cr_world *world, int fd, uint64_t token)
{
    if (counted.renewing && counted.fail_at > 0 && --counted.fail_at == 0)
        return -ENOSPC;
    return counted.real->attach(world, fd, token);
}

static int counted_wait(struct cr_world *world, struct cr_event *events, int max, uint64_t until,
                        bool *more)
{
    int count = counted.real->wait(world, events, max, until, more);
    counted.events += count > 0 ? count : 0;
    return count;
}

/* Elsewhere a registration ends with its number. */
static bool has_ghosts(void)
{
    return strcmp(cr_io_of(cr_sched_here)->world->name, "epoll") == 0;
}

/* A ghost at the number of a pipe; `same` is how its file lives on. */
struct ghost {
    struct fds_pair file, pipe;
    int same;
};

static void ghost_make(struct ghost *ghost)
{
    ghost->file = fds_unix(SOCK_STREAM);
    ghost->pipe = fds_pipe(0);
    CHECK_EQ(coir_adopt(ghost->file.in), 0);
    CHECK((ghost->same = dup(ghost->file.in)) >= 0);
    CHECK_EQ(dup2(ghost->pipe.in, ghost->file.in), ghost->file.in);
    CHECK_EQ(coir_adopt(ghost->file.in), 0);
}

/* What another process might do with it; returns how many events it was in the end. */
static int ghost_move(struct ghost *ghost)
{
    char byte = 'x';
    for (int i = 0; i < MOVES; i++) {
        if (i == MOVES - LATE)
            counted.events = 0;
        CHECK_EQ(write(ghost->file.out, &byte, 1), 1);
        CHECK_EQ(coir_yield(), 0);
        CHECK_EQ(coir_sleep(1000), 0);
        CHECK_EQ(read(ghost->same, &byte, 1), 1);
    }
    return counted.events;
}

static void ghost_close(struct ghost *ghost)
{
    CHECK_EQ(coir_close(ghost->file.in), 0);
    close(ghost->file.out);
    close(ghost->same);
    fds_close(ghost->pipe);
}

static int reader(void *arg)
{
    char byte;
    CHECK_EQ(coir_read(*(int *)arg, &byte, 1, COIR_NEVER), 1);
    return 0;
}

static bool called;

static void letter_called(void *arg)
{
    (void)arg;
    called = true;
}

static coir_mailbox mailbox;
static coir_letter letter = {.fn = letter_called};

static void *post(void *arg)
{
    CHECK_EQ(coir_post(mailbox, &letter), 0);
    return arg;
}

/* What was registered before is heard of afterwards: a foreign wait, a number of coir's own, the
 * bell, and the timer. */
static int lives_on(void *arg)
{
    (void)arg;
    struct ghost ghost;
    struct fds_pair foreign = fds_pipe(0);
    pthread_t thread;
    counted.real = inside_replace_ops(&counted.ops);
    counted.ops.wait = counted_wait;
    counted.ops.renew = counted_renew;
    counted.ops.attach = counted_attach;
    counted.kept = 0;
    CHECK_EQ(coir_mailbox_open(&mailbox, COIR_WEAK), 0);
    coir_fiber waiter = run_spawn(reader, &foreign.in);
    ghost_make(&ghost);
    coir_fiber owner = run_spawn(reader, &ghost.file.in);
    CHECK_EQ(ghost_move(&ghost), 0);
    CHECK(!has_ghosts() || counted.kept == 1);
    CHECK_EQ(write(foreign.out, "x", 1), 1);
    CHECK_EQ(write(ghost.pipe.out, "x", 1), 1);
    CHECK_EQ(run_join(waiter), 0);
    CHECK_EQ(run_join(owner), 0);
    called = false;
    CHECK_EQ(pthread_create(&thread, NULL, post, NULL), 0);
    while (!called)
        CHECK_EQ(coir_sleep(COIR_MS(5)), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(coir_mailbox_close(mailbox), 0);
    ghost_close(&ghost);
    fds_close(foreign);
    return 0;
}

/* proves: D21 */
TEST(test_regress_file_that_lives_on_elsewhere_wakes_the_scheduler_again_and_again)
{
    int before = fds_open();
    run_monotonic(lives_on, NULL);
    CHECK_EQ(fds_open(), before);
}

/* Whatever fails while registrations are made again, they stay as they were, and it is tried again.
 * The last n is more than there are.
 * proves: D21 */
TEST(test_fault_while_the_scheduler_gets_rid_of_ghosts)
{
    int before = fds_open();
    counted.refuse = 1;
    run_monotonic(lives_on, NULL);
    for (int n = 1; counted.fail_at == 0; n++) {
        counted.fail_at = n;
        run_monotonic(lives_on, NULL);
    }
    CHECK_EQ(fds_open(), before);
}
