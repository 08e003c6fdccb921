/* Channels, events, wait queues, locks and selects: small programs under every choice of who is
 * next, in the library and in a plain model of what the headers say. */
#define TEST_SECONDS 60
#define TEST_AT_ONCE 2
#include "sync_real.h"

#include <sys/mman.h>

/* Schedules of one program: this many by depth-first search, and if these were not all, this many
 * drawn besides. */
enum { SEARCHED_MOST = 64, DRAWN = 32 };

/* Fewer than this do not meet everything that is rare. */
enum { ENOUGH = 500000 };

static struct model the_model;
static const struct profile *the_profile;

/* This many for each test where the library is what users get. */
static uint64_t schedules(void)
{
    if (getenv("COIR_TEST_VALGRIND"))
        return 300;
    if (getenv("COIR_TEST_SLOW"))
        return 10000;
#ifdef NDEBUG
    return 600000;
#else
    return CR_SAN_ADDRESS ? 30000 : 100000;
#endif
}

/* ---- all schedules of a program */

static void check_schedule(struct model *m, const struct program *program)
{
    memset(m->rare, 0, sizeof m->rare);
    memcpy(progress->choice, m->choice, sizeof m->choice);
    model_run(m, program);
    CHECK(m->lines < LINES - 1);
    real_run(program, m);
    progress->schedules++;
}

static void check_program(const struct program *program, struct model *m)
{
    uint64_t state = program->number;
    bool more = true;
    memset(m->choice, 0, sizeof m->choice);
    for (int i = 0; more && i < SEARCHED_MOST; i++) {
        check_schedule(m, program);
        more = draw_next(m->choice, m->ways, (size_t)m->choices, sizeof m->choice);
    }
    for (int i = 0; more && i < DRAWN; i++) {
        for (int j = 0; j < CHOICES; j++)
            m->choice[j] = (uint8_t)draw(&state, 12);
        check_schedule(m, program);
    }
}

/* ---- what goes wrong */

/* In a process of its own, since the library may die of it, or not end. */
static bool goes_wrong(const struct program *program)
{
    int status = 0;
    progress->why[0] = '\0';
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        test_limit_cpu(getenv("COIR_TEST_SLOW") ? 20 : 2);
        alarm(60); /* for when it hangs */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        close(STDERR_FILENO);
        check_program(program, &the_model);
        _exit(0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    return status != 0;
}

static bool without(struct program *program, int f, int i)
{
    struct program less = *program;
    less.ops[f]--;
    memmove(&less.op[f][i], &less.op[f][i + 1], (size_t)(OPS - i - 1) * sizeof less.op[f][0]);
    if (f == DRIVER && i == 0)
        less.at[0] = less.at[1];
    if (!goes_wrong(&less))
        return false;
    *program = less;
    return true;
}

/* Leaves out what is not needed for it to go wrong. */
static void minimise(struct program *program)
{
    for (bool smaller = true; smaller;) {
        smaller = false;
        for (int f = 0; f <= FIBERS; f++)
            for (int i = program->ops[f]; i-- > 0;)
                smaller |= without(program, f, i);
    }
}

static void print_line(const struct line *line)
{
    fprintf(stderr, "  at %d: ", line->time);
    if (line->kind == TURN)
        fprintf(stderr, "turn to %d; queue %o, lengths %d %d, event %d, permits %d, parked %x, "
                        "timed %x\n", line->fiber, (unsigned)line->extra, line->value & 63,
                line->value >> 6 & 63, line->value >> 12 & 1, line->value >> 13 & 255,
                line->value >> 21 & 15, line->value >> 25 & 15);
    else if (line->kind == STANDSTILL)
        fprintf(stderr, "all wait, and are cancelled\n");
    else
        fprintf(stderr, "fiber %d: %s = %d, item %d, result of the case %d\n", line->fiber,
                kind_name(line->kind), line->result, line->value, line->extra);
}

/* Shows the smallest program that goes wrong, the schedule, and where library and model part. */
static void show_failure(uint64_t number)
{
    struct program program = draw_program(number, the_profile);
    minimise(&program);
    print_program(&program);
    if (!goes_wrong(&program)) {
        fprintf(stderr, "  goes wrong only after others\n");
        return;
    }
    memcpy(the_model.choice, progress->choice, sizeof the_model.choice);
    model_run(&the_model, &program);
    fprintf(stderr, "  choices");
    for (int i = 0; i < the_model.choices; i++)
        fprintf(stderr, " %d", the_model.choice[i]);
    fprintf(stderr, "\n  %s\n", progress->why[0] ? progress->why : "the process died");
    for (int i = 0; i < the_model.lines; i++) {
        if (i == progress->at)
            fprintf(stderr, "  expected\n");
        print_line(&the_model.line[i]);
    }
    fprintf(stderr, "  instead of\n");
    print_line(&progress->instead);
}

/* ---- what was seen */

static int lacking;

static void need(uint64_t seen, int form, const char *what, const char *how)
{
    static const char *const FORM[] = {"", " in a select of two", " in a select of three"};
    if (seen > 0)
        return;
    fprintf(stderr, "never seen: %s%s %s\n", what, FORM[form], how);
    lacking++;
}

/* What a thing can end with: in which ways a call for it, or a case of it, may fail. */
static void need_thing(int form, int thing)
{
    static const char *const HOW[] = {
        "no call", "at once", "after a wait", "timed out", "tried once in vain", "cancelled",
        "refused", "cancelled after a try in vain"};
    const char *name = kind_name(thing);
    bool closes = thing == SEND || thing == RECV || thing == QUEUE;
    bool knows_holder = thing == LOCK || thing == READ || thing == WRITE;
    for (int how = AT_ONCE; how < HOWS; how++)
        if ((thing != QUEUE && thing != COND_WAIT) || how != AT_ONCE)
            need(progress->ends[form][thing][how][0], form, name, HOW[how]);
    if (closes || knows_holder)
        need(progress->ends[form][thing][AT_ONCE][1], form, name, "with an error at once");
    if (closes)
        need(progress->ends[form][thing][WOKEN][1], form, name, "with an error after a wait");
    if (thing == ONCE_CALL) {
        need(progress->ends[form][thing][AT_ONCE][1], form, name, "that fails at once");
        need(progress->ends[form][thing][WOKEN][1], form, name, "that fails after a wait");
    }
}

/* A profile has an object, as a bit, or anything of some. */
static bool has(unsigned objects)
{
    return (the_profile->objects & objects) != 0;
}

static void need_all(void)
{
    enum { BOTH_CHANS = 3 };
    static const char *const NAMES[RARE] = {
        "a cancel after the wake", "a waiter passed over that has given up",
        "a select that waits twice for one thing", "a select that waits for both ends",
        "an item put back to a receiver", "an item put back into a full channel",
        "an item put back into a closed channel", "a close of a channel of both ends",
        "somebody let in behind one who gave up", "a wait for the mutex of a condition"};
    bool selects = the_profile->selects > 0, calls = the_profile->selects < 100;
    for (int thing = 0; thing < THINGS; thing++) {
        static const uint8_t OBJECT[] = {0, 0, EVENT, EVENT, THE_QUEUE, MUTEX, SEM, RWLOCK,
                                         RWLOCK, COND, BARRIER, GROUP, ONCE};
        if (!has(1u << OBJECT[thing]))
            continue;
        if (calls)
            need_thing(0, thing);
        if (selects && thing < SELECTABLE) {
            need_thing(1, thing);
            need_thing(2, thing);
        }
    }
    for (int i = 0; i < RARE; i++) {
        bool select = i == TWICE || i == BOTH_ENDS || i == CLOSE_OF_BOTH;
        unsigned objects = i == LET_IN_BEHIND ? 1u << RWLOCK : i == RELOCK ? 1u << COND : ~0u;
        if (i >= BOTH_ENDS && i <= CLOSE_OF_BOTH)
            objects = BOTH_CHANS;
        if ((selects || !select) && has(objects))
            need(progress->rare[i], 0, NAMES[i], "");
    }
    need(progress->driven, 0, "anything outside of fibers", "");
    need(progress->standstills, 0, "fibers that wait forever", "");
}

/* ---- tests */

/* Programs from `first` on until this many schedules were run. The limit is of processor time. */
static void work_through(uint64_t first, uint64_t count, int seconds)
{
    test_limit_cpu(seconds);
    alarm((unsigned)(TEST_PATIENCE * seconds)); /* for when it hangs */
    for (progress->number = first; progress->schedules < count; progress->number++) {
        struct program program = draw_program(progress->number, the_profile);
        check_program(&program, &the_model);
    }
    coir_sched_free(real.sched);
    _exit(0);
}

static void interleave(const struct profile *profile, uint64_t first)
{
    int status = 0;
    uint64_t count = schedules();
    the_profile = profile;
    progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                    0);
    CHECK(progress != MAP_FAILED);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        work_through(first, count, getenv("COIR_TEST_SLOW") ? 400 : 40);
    CHECK_EQ(waitpid(child, &status, 0), child);
    fprintf(stderr, "\nnote: schedules %llu of %llu programs\n",
            (unsigned long long)progress->schedules,
            (unsigned long long)(progress->number - first));
    if (status != 0)
        show_failure(progress->number);
    CHECK_EQ(status, 0);
    if (count >= ENOUGH)
        need_all();
    CHECK_EQ(lacking, 0);
}

enum { CHANNELS = 1 << 0 | 1 << 1, SIGNALS = 1 << EVENT | 1 << THE_QUEUE,
       LOCKS = 1 << MUTEX | 1 << SEM | 1 << RWLOCK,
       GATHERINGS = 1 << COND | 1 << BARRIER | 1 << GROUP | 1 << ONCE };

/* proves: W4, C1, C3, Y1, Y2, Y3, Y4, Q1, Q2, Q3, M1, M2, M3, M4, M5, M6, M7, M8
 * proves: Z1, Z2, Z3, Z4, Z5 */
TEST(test_many_schedules_of_channels_go_as_the_model_says)
{
    static const struct profile profile = {.objects = CHANNELS};
    interleave(&profile, 1);
}

TEST(test_many_schedules_of_events_queues_and_locks_go_as_the_model_says)
{
    static const struct profile profile = {.objects = SIGNALS | LOCKS};
    interleave(&profile, 1);
}

TEST(test_many_schedules_of_conditions_barriers_groups_and_calls_go_as_the_model_says)
{
    static const struct profile profile = {.objects = GATHERINGS | 1 << MUTEX};
    interleave(&profile, 1);
}

TEST(test_many_schedules_of_selects_of_channels_go_as_the_model_says)
{
    static const struct profile profile = {.objects = CHANNELS | SIGNALS, .selects = 50};
    interleave(&profile, 1);
}

TEST(test_many_schedules_of_selects_of_everything_go_as_the_model_says)
{
    static const struct profile profile = {.objects = CHANNELS | SIGNALS | LOCKS | GATHERINGS,
                                           .selects = 45};
    interleave(&profile, 1);
}
