/* What kqueue(2) reports of signals, processes, files and time. */
#include "queues.h"

#ifdef QUEUES_SKIP

TEST(test_kqueue_reports_signals_processes_files_and_time)
{
    SKIP(QUEUES_SKIP);
}

#else

/* ---- signals ---- */

static volatile sig_atomic_t handled;

static void count(int signal_number)
{
    (void)signal_number;
    handled++;
}

TEST(test_kqueue_counts_signals_that_are_ignored_and_leaves_handlers_alone)
{
    int queue = queue_make();
    void (*const handlers[])(int) = {SIG_IGN, count, SIG_DFL};
    for (int i = 0; i < 3; i++) {
        int sent = i == 2 ? SIGWINCH : SIGUSR2; /* the default of which does nothing */
        signal(sent, handlers[i]);
        CHECK_EQ(change(queue, (uintptr_t)sent, EVFILT_SIGNAL, EV_ADD, 0, 0), 0);
        for (int times = 0; times < 3; times++)
            CHECK_EQ(raise(sent), 0);
        CHECK_EQ(look(queue, SOON), 1);
        CHECK_EQ(events[0].data, 3);
        CHECK_EQ(look(queue, NOW), 0);
        CHECK_EQ(change(queue, (uintptr_t)sent, EVFILT_SIGNAL, EV_DELETE, 0, 0), 0);
        CHECK(signal(sent, SIG_DFL) == handlers[i]);
    }
    CHECK_EQ(handled, 3);
}

static void make_one_exit(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    int result = waitpid(pid, NULL, 0);
    CHECK(result == pid || errno == ECHILD);
}

TEST(test_kqueue_counts_the_signal_of_a_child_unless_it_is_ignored)
{
    int queue = queue_make();
    CHECK_EQ(change(queue, SIGCHLD, EVFILT_SIGNAL, EV_ADD, 0, 0), 0);
    make_one_exit();
    CHECK_EQ(look(queue, SOON), 1);
    signal(SIGCHLD, SIG_IGN);
    make_one_exit();
    CHECK_EQ(look(queue, 20), 0);
}

TEST_DIES(test_kqueue_lets_a_signal_do_what_it_does_by_default, SIGUSR1, "")
{
    int queue = queue_make();
    CHECK_EQ(change(queue, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0), 0);
    raise(SIGUSR1);
}

TEST(test_kqueue_knows_which_signals_there_are)
{
    int queue = queue_make();
    CHECK_EQ(change(queue, 1000, EVFILT_SIGNAL, EV_ADD, 0, 0), -kernel->beyond_signals);
    CHECK_EQ(change(queue, 0, EVFILT_SIGNAL, EV_ADD, 0, 0), 0);
}

/* ---- processes ---- */

#ifdef NOTE_EXITSTATUS
enum { STATUS_TOO = (int)NOTE_EXITSTATUS };
#else
enum { STATUS_TOO = 0 };
#endif

static unsigned int status_notes(void)
{
    return NOTE_EXIT | (kernel->exit_has_status ? 0 : (unsigned)STATUS_TOO);
}

TEST(test_kqueue_tells_how_a_child_has_exited)
{
    int queue = queue_make(), status;
    for (int killed = 0; killed < 2; killed++) {
        uintptr_t pid = make_child();
        CHECK_EQ(change(queue, pid, EVFILT_PROC, EV_ADD, status_notes(), 0), 0);
        if (killed)
            kill(child, SIGKILL);
        end_child();
        CHECK_EQ(look(queue, SOON), 1);
        CHECK_EQ(events[0].fflags, status_notes());
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(events[0].data, status);
        CHECK_EQ(look(queue, NOW), 0);
    }
}

TEST(test_kqueue_tells_no_status_where_none_was_asked_for)
{
    int queue = queue_make();
    CHECK_EQ(change(queue, make_child(), EVFILT_PROC, EV_ADD, NOTE_EXIT, 0), 0);
    end_child();
    CHECK_EQ(look(queue, SOON), 1);
    CHECK_EQ(events[0].data, kernel->exit_has_status ? 3 << 8 : 0);
}

TEST(test_kqueue_knows_no_process_that_is_not_there)
{
    int queue = queue_make();
    siginfo_t about;
    uintptr_t pid = make_child();
    end_child();
    CHECK_EQ(waitid(P_PID, (id_t)child, &about, WEXITED | WNOWAIT), 0);
    CHECK_EQ(change(queue, pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0), -kernel->zombie);
    CHECK_EQ(look(queue, NOW), kernel->zombie ? 0 : 1);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK_EQ(change(queue, pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0), -ESRCH);
}

TEST(test_kqueue_exit_of_which_nobody_asked)
{
    int queue = queue_make();
    uintptr_t pid = make_child();
    CHECK_EQ(change(queue, pid, EVFILT_PROC, EV_ADD, 0, 0), 0);
    end_child();
    CHECK_EQ(look(queue, 50), kernel->unasked_exit == EXIT_TOLD);
    if (kernel->unasked_exit == EXIT_TOLD)
        CHECK_EQ(events[0].fflags, 0);
    CHECK_EQ(change(queue, pid, EVFILT_PROC, EV_DELETE, 0, 0),
             kernel->unasked_exit == EXIT_KEPT ? 0 : -ENOENT);
}

/* ---- files ---- */

enum { NOTES = NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | NOTE_RENAME };

#ifdef NOTE_TRUNCATE
enum { NOTES_TOO = NOTE_TRUNCATE };
#else
enum { NOTES_TOO = 0 };
#endif

/* What is reported of the file, or of its folder. */
static void expect_notes(int queue, int notes)
{
    CHECK_EQ(look(queue, notes ? SOON : NOW), notes != 0);
    CHECK_EQ(events[0].fflags, notes);
    CHECK_EQ(look(queue, NOW), 0);
}

TEST(test_kqueue_tells_what_becomes_of_a_file)
{
    int queue = queue_make(), deleted = NOTE_DELETE | (kernel->unlink_is_link ? NOTE_LINK : 0);
    int notes = NOTES | (kernel->tells_truncate ? NOTES_TOO : 0);
    uintptr_t ident = make_file();
    CHECK_EQ(change(queue, ident, EVFILT_VNODE, EV_ADD | EV_CLEAR, (unsigned)notes, 0), 0);
    expect_notes(queue, 0);
    CHECK_EQ(write(file, "abc", 3), 3);
    expect_notes(queue, NOTE_WRITE | NOTE_EXTEND);
    CHECK_EQ(pwrite(file, "x", 1, 1), 1);
    expect_notes(queue, NOTE_WRITE);
    CHECK_EQ(ftruncate(file, 1), 0);
    expect_notes(queue, NOTE_ATTRIB | (kernel->tells_truncate ? NOTES_TOO : 0));
    CHECK_EQ(fchmod(file, 0644), 0);
    expect_notes(queue, NOTE_ATTRIB);
    CHECK_EQ(link(test_path("file"), test_path("link")), 0);
    expect_notes(queue, NOTE_LINK);
    CHECK_EQ(rename(test_path("link"), test_path("other")), 0);
    expect_notes(queue, NOTE_RENAME);
    CHECK_EQ(unlink(test_path("other")), 0);
    expect_notes(queue, kernel->unlink_counts ? NOTE_LINK : deleted);
    CHECK_EQ(pwrite(file, "y", 1, 0), 1);
    CHECK_EQ(fchmod(file, 0600), 0);
    expect_notes(queue, NOTE_WRITE | NOTE_ATTRIB);
    CHECK_EQ(unlink(test_path("file")), 0);
    expect_notes(queue, deleted);
}

TEST(test_kqueue_tells_what_becomes_of_a_folder)
{
    int queue = queue_make(), folder = open(make_file() ? test_path("") : "", O_RDONLY);
    CHECK(folder >= 0);
    CHECK_EQ(change(queue, (uintptr_t)folder, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTES, 0), 0);
    close(creat(test_path("made"), 0600));
    expect_notes(queue, NOTE_WRITE);
    CHECK_EQ(unlink(test_path("made")), 0);
    expect_notes(queue, NOTE_WRITE);
    CHECK_EQ(mkdir(test_path("folder"), 0700), 0);
    expect_notes(queue, NOTE_WRITE | NOTE_LINK);
    CHECK_EQ(rmdir(test_path("folder")), 0);
    expect_notes(queue, NOTE_WRITE | NOTE_LINK);
}

TEST(test_kqueue_vnode_is_for_files)
{
    int queue = queue_make();
    pair = fds_pipe(0);
    CHECK_EQ(change(queue, (uintptr_t)pair.in, EVFILT_VNODE, EV_ADD, NOTES, 0), -EINVAL);
    pair = fds_unix(SOCK_STREAM);
    CHECK_EQ(change(queue, (uintptr_t)pair.in, EVFILT_VNODE, EV_ADD, NOTES, 0), -EINVAL);
    CHECK_EQ(change(queue, 9999, EVFILT_VNODE, EV_ADD, NOTES, 0), -EBADF);
    uintptr_t ident = make_file();
    CHECK_EQ(change(queue, ident, EVFILT_VNODE, EV_ADD, NOTE_WRITE, 0), 0);
    CHECK_EQ(close(file), 0);
    file = open(test_path("file"), O_RDWR);
    CHECK_EQ(file, ident);
    CHECK_EQ(write(file, "x", 1), 1);
    CHECK_EQ(look(queue, NOW), 0);
    CHECK_EQ(change(queue, ident, EVFILT_VNODE, EV_DELETE, 0, 0), -ENOENT);
}

/* ---- timers ---- */

TEST(test_kqueue_timers_count_how_often_they_have_fired)
{
    int queue = queue_make();
    CHECK_EQ(change(queue, 1, EVFILT_TIMER, EV_ADD, 0, 2), 0);
    usleep(9000);
    CHECK_EQ(look(queue, NOW), 1);
    CHECK(events[0].data >= 4);
    CHECK_EQ(change(queue, 1, EVFILT_TIMER, EV_ADD, 0, 3600000), 0); /* another time: it restarts */
    CHECK_EQ(look(queue, 10), 0);
    CHECK_EQ(change(queue, 2, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1), 0);
    CHECK_EQ(look(queue, SOON), 1);
    CHECK_EQ(events[0].data, 1);
    CHECK_EQ(change(queue, 2, EVFILT_TIMER, EV_DELETE, 0, 0), -ENOENT);
}

TEST(test_kqueue_timers_have_units_and_may_be_of_no_length)
{
    int queue = queue_make();
    static const struct {
        unsigned int unit;
        int count;
    } TIMES[] = {{NOTE_SECONDS, 3600}, {NOTE_USECONDS, 1000}, {NOTE_NSECONDS, 1000000}};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(change(queue, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, TIMES[i].unit, TIMES[i].count),
                 0);
        CHECK_EQ(look(queue, i == 0 ? 20 : SOON), i != 0);
    }
    CHECK_EQ(change(queue, 3, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 0), -kernel->timer_of_nothing);
    CHECK_EQ(look(queue, kernel->timer_of_nothing ? NOW : SOON), kernel->timer_of_nothing == 0);
}

#endif
