/* Runs programs (program.h) in the library (real.h), under every choice of who is next, and
 * compares each such schedule with the model (model.h). */
#ifndef TEST_INTERLEAVE_H
#define TEST_INTERLEAVE_H

#include "real.h"

#include <sys/mman.h>

/* Schedules of one program: this many by depth-first search, and if these were not all, this
 * many drawn besides. */
enum { SEARCHED_MOST = 240, DRAWN = 60 };

/* ---- all schedules of a program */

static bool same_trace(const struct trace *a, const struct trace *b)
{
    return a->count == b->count && memcmp(a->at, b->at, (size_t)a->count * sizeof *a->at) == 0;
}

/* True when the library did as the model. */
static bool check_schedule(struct model *m, const struct program *program)
{
    model_run(m, program);
    CHECK(m->trace.count < LINES - 1 && m->turns < TURNS - 1);
    memcpy(progress->choice, m->choice, sizeof m->choice);
    real_run(program, m);
    progress->schedules++;
    return same_trace(&m->trace, &progress->trace);
}

static bool check_program(const struct program *program, struct model *m)
{
    uint64_t state = program->number;
    memset(m->choice, 0, sizeof m->choice);
    bool more = true;
    for (int i = 0; more && i < SEARCHED_MOST; i++) {
        if (!check_schedule(m, program))
            return false;
        more = draw_next(m->choice, m->ways, (size_t)m->choices, sizeof m->choice);
    }
    for (int i = 0; more && i < DRAWN; i++) {
        for (int j = 0; j < CHOICES; j++)
            m->choice[j] = (uint8_t)draw(&state, 6);
        if (!check_schedule(m, program))
            return false;
    }
    return true;
}

static struct model the_model;

/* In a process of its own, since the library may die of it, or not end. */
static bool goes_wrong(const struct program *program)
{
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        test_limit_cpu(getenv("COIR_TEST_SLOW") ? 20 : 2);
        alarm(60); /* for when it hangs */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        close(STDERR_FILENO);
        real.sched = NULL;
        _exit(check_program(program, &the_model) ? 0 : 1);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    return status != 0;
}

static bool without(struct program *program, int f, int i)
{
    struct program less = *program;
    less.ops[f]--;
    memmove(&less.op[f][i], &less.op[f][i + 1], (size_t)(OPS - i - 1) * sizeof less.op[f][0]);
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
        for (int f = 0; f < program->count; f++)
            for (int i = program->ops[f]; i-- > 0;)
                smaller |= without(program, f, i);
    }
}

/* Shows the smallest program that goes wrong, the schedule, and where library and model part. */
static void show_failure(uint64_t number)
{
    struct program program = draw_program(number);
    minimise(&program);
    print_program(&program);
    if (!goes_wrong(&program)) {
        fprintf(stderr, "  goes wrong only after others\n");
        return;
    }
    fprintf(stderr, "  choices");
    memcpy(the_model.choice, progress->choice, sizeof the_model.choice);
    model_run(&the_model, &program);
    for (int i = 0; i < the_model.choices; i++)
        fprintf(stderr, " %d", the_model.choice[i]);
    fputc('\n', stderr);
    print_traces(&the_model.trace, &progress->trace);
}

/* Programs from `first` on until this many schedules were run. The limit is of processor time. */
static void work_through(uint64_t first, uint64_t schedules, int seconds)
{
    test_limit_cpu(seconds);
    alarm((unsigned)(TEST_PATIENCE * seconds)); /* for when it hangs */
    for (progress->number = first; progress->schedules < schedules; progress->number++) {
        struct program program = draw_program(progress->number);
        if (!check_program(&program, &the_model))
            _exit(1);
    }
    if (real.sched)
        real_free();
    _exit(0);
}

static void interleave(uint64_t first, uint64_t schedules, int seconds)
{
    int status = 0;
    progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                    0);
    CHECK(progress != MAP_FAILED);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        work_through(first, schedules, seconds);
    CHECK_EQ(waitpid(child, &status, 0), child);
    fprintf(stderr, "\nnote: schedules %llu of %llu programs\n",
            (unsigned long long)progress->schedules,
            (unsigned long long)(progress->number - first));
    if (status != 0)
        show_failure(progress->number);
    CHECK_EQ(status, 0);
}

#endif
