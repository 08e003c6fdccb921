/* What the program's functions may do when coir calls them: {each of them} x {what they do}. Each
 * is right, and the program goes on, or it is misuse, which one line names. */
#include "inside.h"
#include "run.h"

#include <coir_local.h>
#include <coir_net.h>
#include <coir_post.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>

enum place { LETTER, CLOSED, FREED, DESTROY, REPLACED, INHERIT, REPORT, ABANDON, HANDLER, RACER };

enum deed { SPAWN, END, CANCEL, SELF, OTHER, FREE, BOX, FORK, EXIT, JUMP, ERRNO, PARK };

#define OUT "called outside a fiber"
#define NOT "not the innermost scope"
#define LET "called in a letter's function, or after a jump out of it"
#define REP "called in the report function, or after a jump out of it"
#define FIB "called in a fiber of the scheduler"
#define END_ "a thread ended in a fiber"
#define TAKE "a thread ended while it freed its scheduler"
#define BACK "a forked child returned from its parent's fiber"
#define GONE "the scope is not open"
#define HOLE "there is no frame to jump to"

static const struct {
    enum deed deed;
    const char *name;
    const char *what[RACER + 1]; /* NULL: it is right */
} DEEDS[] = {
    /* LETTER, CLOSED … RACER; ThreadSanitizer forbids EXIT in a fiber */
    {SPAWN, "spawns", {0}},
    {END, "ends the scope", {OUT, OUT, OUT, NOT, 0, 0, OUT, OUT, NOT, NOT}},
    {CANCEL, "cancels the scope", {0, 0, GONE, 0, 0, 0, GONE, GONE, 0, 0}},
    {SELF, "cancels its fiber", {0}},
    {OTHER, "cancels another", {0}},
    {FREE, "frees the scheduler", {LET, LET, LET, FIB, FIB, FIB, REP, REP, FIB, FIB}},
    {BOX, "opens and closes a mailbox", {0}},
    {FORK, "forks and returns", {0, BACK, 0, BACK, BACK, BACK, 0, 0, BACK, BACK}},
    {EXIT, "ends the thread", {0, END_, TAKE, END_, END_, END_, 0, TAKE, END_, END_}},
    {JUMP, "jumps out", {LET, OUT, LET, HOLE, 0, 0, REP, REP, HOLE, HOLE}},
    {ERRNO, "sets errno", {0}},
    {PARK, "parks", {OUT, OUT, OUT, 0, 0, 0, OUT, OUT, 0, 0}},
};

static const char *const PLACES[] = {"a letter", "a letter while the mailbox is closed",
                                     "a letter while the scheduler is freed", "destroy",
                                     "destroy by a set", "inherit", "the report function",
                                     "the report function while the scheduler is freed",
                                     "a handler", "a racer"};

/* ---- the deed ---- */

static enum place place;
static enum deed deed;
static const char *expected; /* in the line about misuse, NULL: there is none */
static coir_sched *sched;
static coir_scope scope;
static bool scope_is_open;
static coir_fiber other;
static jmp_buf in_fiber, in_thread;
static int done; /* how often it was done */
static bool is_child;

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

enum { RIGHT = 42, WRONG = 43 };

static void see_misuse(const char *line)
{
    if (!expected || !strstr(line, expected)) {
        fprintf(stderr, "%s\n", line);
        _exit(WRONG);
    }
    _exit(RIGHT);
}

static void fork_and_return(void)
{
    int status;
    pid_t pid = fork();
    is_child = pid == 0;
    if (is_child)
        return;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), RIGHT);
    expected = NULL; /* the parent goes on */
}

static void do_it(void)
{
    coir_mailbox box;
    int result;
    if (done++)
        return;
    switch (deed) {
    case SPAWN:
        result = coir_spawn(NULL, nothing, NULL, NULL);
        CHECK(result == 0 || ((place == FREED || place == ABANDON) && result == COIR_CANCELLED));
        break;
    case END:
        CHECK_EQ(coir_scope_end(&scope, 0), 0);
        scope_is_open = false;
        break;
    case CANCEL:
        CHECK_EQ(coir_scope_cancel(&scope, -EIO), 0);
        break;
    case SELF:
        result = coir_cancel(coir_self(), COIR_CANCELLED);
        CHECK(result == 0 || (coir_self().sched == 0 && result == -ESRCH));
        break;
    case OTHER:
        coir_cancel(other, 0);
        break;
    case FREE:
        coir_sched_free(sched);
        break;
    case BOX:
        CHECK_EQ(coir_mailbox_open(&box, 0), 0);
        CHECK_EQ(coir_mailbox_close(box), 0);
        break;
    case FORK:
        fork_and_return();
        break;
    case EXIT:
        pthread_exit(NULL);
    case JUMP:
        if (place == LETTER || place == FREED || place == REPORT || place == ABANDON)
            longjmp(in_thread, 1);
        longjmp(in_fiber, 1);
    case ERRNO:
        errno = EAGAIN;
        break;
    case PARK:
        coir_sleep(1);
        break;
    }
}

/* ---- who does it ---- */

static void in_letter(void *arg)
{
    (void)arg;
    do_it();
}

static void in_destroy(void *value)
{
    (void)value;
    do_it();
}

static void *in_inherit(void *value)
{
    do_it();
    return value;
}

static void in_report(const char *line, void *arg)
{
    (void)arg;
    CHECK(line[0]);
    do_it();
}

static int in_handler(int fd, void *arg)
{
    (void)arg;
    (void)fd;
    do_it();
    return 0;
}

static int in_racer(void *arg)
{
    (void)arg;
    do_it();
    return 0;
}

static const coir_local DESTROYED = {.destroy = in_destroy};
static const coir_local INHERITED = {.inherit = in_inherit};
static coir_letter letter = {.fn = in_letter};
static coir_mailbox box;
static char value;

static int set_and_end(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_local_set(&DESTROYED, &value), 0);
    return 0;
}

static int wait_long(void *arg)
{
    (void)arg;
    return coir_sleep(COIR_SEC(100));
}

static int wait_for_ever(void *arg)
{
    (void)arg;
    return coir_park(COIR_NEVER);
}

static int never_ends(void *arg)
{
    (void)arg;
    while (!is_child)
        coir_sleep(COIR_SEC(1));
    return 0;
}

static int serve(void *arg)
{
    return coir_net_serve(*(int *)arg, in_handler, NULL, NULL);
}

static void let_serve(void)
{
    coir_addr addr;
    coir_fiber server;
    char text[COIR_ADDR_TEXT], byte;
    int listener = coir_net_listen("127.0.0.1:0", NULL);
    CHECK(listener >= 0);
    CHECK_EQ(coir_net_local(listener, &addr), 0);
    CHECK(coir_addr_text(&addr, text, sizeof text) > 0);
    CHECK_EQ(coir_spawn(&server, serve, &listener, NULL), 0);
    int fd = coir_net_dial(text, NULL, COIR_NEVER);
    if (fd >= 0)
        coir_read(fd, &byte, 1, COIR_NEVER);
    CHECK_EQ(coir_finish(server, 0, NULL), 0);
    coir_close(fd);
    coir_close(listener);
}

static void cause(void)
{
    static const struct coir_spawn_opts INHERITS = {.inherit = true};
    static const struct coir_racer RACERS[] = {{.fn = in_racer}, {.fn = nothing}};
    switch (place) {
    case LETTER:
    case CLOSED:
        CHECK_EQ(coir_mailbox_open(&box, 0), 0);
        CHECK_EQ(coir_post(box, &letter), 0);
        if (place == LETTER)
            coir_sleep(COIR_MS(1));
        coir_mailbox_close(box);
        break;
    case DESTROY:
        CHECK_EQ(coir_spawn(NULL, set_and_end, NULL, NULL), 0);
        coir_sleep(COIR_MS(1));
        break;
    case REPLACED:
        CHECK_EQ(coir_local_set(&DESTROYED, &value), 0);
        coir_local_set(&DESTROYED, NULL);
        break;
    case INHERIT:
        CHECK_EQ(coir_local_set(&INHERITED, &value), 0);
        coir_spawn(NULL, nothing, NULL, &INHERITS);
        break;
    case HANDLER:
        let_serve();
        break;
    case RACER:
        coir_race_run(RACERS, 2, NULL, COIR_NEVER);
        break;
    case FREED:
    case REPORT:
    case ABANDON:
        break;
    }
}

static int first(void *arg)
{
    (void)arg;
    if (place == REPORT)
        return wait_for_ever(NULL);
    if (place == ABANDON)
        return never_ends(NULL);
    coir_scope_open(&scope, COIR_NEVER, 0);
    scope_is_open = true;
    CHECK_EQ(coir_spawn(&other, wait_long, NULL, NULL), 0);
    if (setjmp(in_fiber) == 0)
        cause();
    if (is_child)
        CHECK_EQ(coir_yield(), -ECHILD);
    else if (done)
        coir_yield();
    if (scope_is_open && !is_child)
        CHECK(coir_scope_end(&scope, 0) <= 0);
    return 0;
}

/* ---- the program ---- */

static void run_it(void)
{
    int result = coir_spawn(NULL, first, NULL, NULL);
    CHECK_EQ(result, 0);
    if (place == ABANDON)
        coir_sched_step(sched, 0);
    else
        result = coir_sched_run(sched);
    if (is_child)
        _exit(result == -ECHILD ? RIGHT : WRONG);
    CHECK_EQ(result, place == REPORT ? -EDEADLK : 0);
}

static void *program(void *arg)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL, .report = in_report};
    CHECK_EQ(coir_sched_new(&sched, &opts), 0);
    if (setjmp(in_thread) == 0)
        run_it();
    else if (place == LETTER || place == REPORT)
        coir_sched_run(sched);
    if (place == FREED && !done) {
        CHECK_EQ(coir_mailbox_open(&box, COIR_WEAK), 0);
        CHECK_EQ(coir_post(box, &letter), 0);
    }
    coir_sched_free(sched);
    if (is_child)
        _exit(coir_run(nothing, NULL, NULL, NULL) == 0 ? RIGHT : WRONG);
    CHECK_EQ(coir_run(nothing, NULL, NULL, NULL), 0);
    return arg;
}

static void run_cell(void)
{
    pthread_t thread;
    coir_on_fatal(see_misuse);
    CHECK_EQ(pthread_create(&thread, NULL, program, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(done);
    _exit(expected ? WRONG : RIGHT);
}

/* proves: F5 */
TEST(test_what_the_program_does_when_it_is_called_is_right_or_misuse)
{
    int wrong = 0;
    for (size_t i = 0; i < sizeof DEEDS / sizeof *DEEDS; i++)
        for (int at = 0; at <= RACER; at++) {
            int status;
            deed = DEEDS[i].deed;
            place = (enum place)at;
            expected = DEEDS[i].what[at];
            if ((CR_SAN_THREAD && deed == EXIT) || (expected && strcmp(expected, HOLE) == 0))
                continue;
            fflush(NULL);
            pid_t pid = fork();
            if (pid == 0)
                run_cell();
            CHECK_EQ(waitpid(pid, &status, 0), pid);
            if (WIFEXITED(status) && WEXITSTATUS(status) == RIGHT)
                continue;
            fprintf(stderr, "%s, which %s: status 0x%x, not %s\n", PLACES[at], DEEDS[i].name,
                    status, expected ? expected : "right");
            wrong++;
        }
    CHECK_EQ(wrong, 0);
}

static jmp_buf in_deaf_fiber;
static bool report_jumps;

static void fork_or_jump(const char *line, void *arg)
{
    (void)line;
    (void)arg;
    if (report_jumps)
        longjmp(in_deaf_fiber, 1);
    fork_and_return();
}

static int go_on_calling(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_cancel(coir_self(), 0), 0);
    if (setjmp(in_deaf_fiber) == 0)
        for (int i = 0; i < 11000; i++) {
            int result = coir_sleep(1);
            CHECK_EQ(result, is_child ? -ECHILD : COIR_CANCELLED);
            if (is_child)
                _exit(RIGHT);
        }
    return 0;
}

/* proves: F5, E10 */
TEST(test_regress_a_fork_in_the_report_of_a_fiber_ran_the_loop_in_the_child)
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL, .report = fork_or_jump};
    CHECK_EQ(coir_run(go_on_calling, NULL, &opts, NULL), 0);
}

/* proves: F5, F2 */
TEST_DIES(test_a_jump_out_of_the_report_of_a_fiber_is_named, SIGABRT,
          "coir: longjmp: a function that coir had called was left by a jump")
{
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL, .report = fork_or_jump};
    report_jumps = true;
    coir_run(go_on_calling, NULL, &opts, NULL);
}

static coir_scope named;

static void *park_and_copy(void *copied)
{
    coir_sleep(20);
    return copied;
}

static const coir_local SLOW = {.inherit = park_and_copy};

static int own_the_scope(void *arg)
{
    coir_scope_open(&named, COIR_NEVER, 0);
    coir_sleep(10);
    int result = coir_scope_end(&named, 0);
    memset(&named, 0xee, sizeof named);
    return arg ? 1 : result;
}

static int spawn_into_it(void *arg)
{
    struct coir_spawn_opts opts = {.inherit = true, .scope = &named};
    (void)arg;
    CHECK_EQ(coir_local_set(&SLOW, &value), 0);
    coir_fiber owner = run_spawn(own_the_scope, NULL);
    coir_yield();
    CHECK_EQ(coir_spawn(NULL, nothing, NULL, &opts), COIR_CANCELLED);
    return run_join(owner);
}

/* proves: F5 */
TEST(test_regress_a_scope_that_ended_while_inherit_parked_was_spawned_into)
{
    run_virtual(spawn_into_it, NULL);
}
