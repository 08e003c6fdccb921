/* The whole interface as random programs on a virtual clock. A program is its bytes: whichever
 * fiber runs takes the next ones for what it does, so it is the same each time. What must hold:
 *  - a sleep and a wait that is timed out end at their instant, to the nanosecond;
 *  - where coir_cancelled says so, every call that parks returns COIR_CANCELLED, and nowhere else;
 *  - no child is left when a scope, or a fiber that was joined, has ended;
 *  - a result that is taken is the fiber's own, or a failure of its tree;
 *  - bytes come out of a pipe as they went in, each once;
 *  - each letter that was taken is called once, each local value destroyed once;
 *  - the numbers of coir_stats are those that were counted here;
 *  - all fibers end, whatever ends the run.
 * Here are scopes and fibers; program.h has what they do with pipes, letters and values. */
#include "program.h"

static int task_run(void *arg);
static void do_some(struct task *task, int depth);

/* ---- scopes and fibers ----------------------------------------------------------------------- */

/* Where what is spawned in a frame is a child. */
static struct frame *home(struct frame *frame)
{
    while (frame->kind == COIR_LIMIT)
        frame = frame->outer;
    return frame;
}

static void scope_do(struct task *task, int depth)
{
    coir_scope scope;
    struct frame frame = {&scope, task, task->inner, byte() % 2 ? 0 : 1 << byte() % 3, 0};
    int wanted = byte() % 4 ? 0 : -EIO;
    if (depth == DEPTH || opened == OPEN_MOST)
        return;
    coir_scope_open(&scope, any_until(), frame.kind);
    task->inner = scopes[opened++] = &frame;
    do_some(task, depth + 1);
    int place = 0;
    if (byte() % 8) {
        int result = coir_scope_end(&scope, wanted);
        EXPECT(result <= 0 && (wanted == 0 || result != 0));
    } else {
        coir_scope_leave(&scope);
    }
    EXPECT(frame.live == 0);
    while (scopes[place] != &frame)
        place++;
    scopes[place] = scopes[--opened];
    task->inner = frame.outer;
}

/* Scopes of any fiber, also one that waits for its children. */
static void scope_reach(void)
{
    coir_scope_ref ref;
    if (opened == 0)
        return;
    struct frame *frame = scopes[byte() % (unsigned int)opened];
    EXPECT(coir_scope_refer(frame->scope, &ref) == 0);
    EXPECT(coir_scope_find(ref) == frame->scope);
    if (byte() % 2)
        EXPECT(coir_scope_cancel(frame->scope, any_reason()) == 0);
    else
        EXPECT(coir_scope_wind_down(frame->scope, byte() % 2 ? 0 : byte()) == 0);
}

static void spawn(struct task *task)
{
    unsigned int what = byte();
    struct coir_spawn_opts opts = {.daemon = what & 1, .inherit = what & 2};
    struct frame *parent = home(task->inner);
    if (made == TASKS)
        return;
    if ((what & 12) == 12 && opened > 0) {
        struct frame *frame = scopes[byte() % (unsigned int)opened];
        opts.scope = frame->scope;
        parent = home(frame);
    } else if ((what & 12) == 8) {
        opts.detached = true;
        parent = NULL;
    }
    struct task *child = &tasks[made++];
    *child = (struct task){.spawner = task, .parent = parent, .own.owner = child};
    child->inner = &child->own;
    int result = coir_spawn(what & 16 ? &child->handle : NULL, task_run, child, &opts);
    EXPECT(result == 0 || result == COIR_CANCELLED || (result == -EINVAL && opts.inherit));
    child->ended = result != 0;
    running += result == 0;
    if (result == 0 && parent)
        parent->live++;
}

/* Results that are not negative are the fiber's own. */
static void taken(const struct task *task, int result)
{
    EXPECT(task->ended && task->own.live == 0);
    EXPECT(result <= 0 || result == task->result);
}

static void join(void)
{
    struct task *task = any_task();
    int result = -1;
    struct call call = begin(any_until());
    bool ended = task->ended;
    int joined = coir_join(task->handle, &result, call.until);
    if (!ended && joined != -ESRCH && joined != -EDEADLK)
        finish(&call, joined);
    if (joined == 0)
        taken(task, result);
    else
        EXPECT(joined < 0);
}

/* Fibers that this one has spawned: so nobody waits for the end of one that waits for his. */
static size_t children(const struct task *task, struct task **found, coir_fiber *handles)
{
    size_t count = 0;
    for (int i = 0; i < made && count < SOME; i++)
        if (tasks[i].spawner == task && tasks[i].handle.number && byte() % 2) {
            found[count] = &tasks[i];
            handles[count++] = tasks[i].handle;
        }
    return count;
}

static void wait_for_some(struct task *task)
{
    struct task *found[SOME];
    coir_fiber handles[SOME];
    int results[SOME] = {0}, what = (int)(byte() % 4);
    size_t count = children(task, found, handles);
    coir_time until = any_until();
    if (count == 0)
        return;
    if (what == 0) {
        if (coir_finish(handles[0], any_reason(), results) == 0)
            taken(found[0], results[0]);
    } else if (what == 1) {
        int result = coir_join_all(handles, count, results, until);
        for (size_t i = 0; i < count && result == 0; i++)
            taken(found[i], results[i]);
    } else if (what == 2) {
        int result = coir_join_any(handles, count, results, until);
        if (result >= 0)
            taken(found[result], results[0]);
    } else {
        int result = coir_race(handles, count, results, until);
        if (result >= 0)
            taken(found[result], results[result]);
    }
}

static int racer(void *arg)
{
    coir_sleep((int64_t)(byte() % 8));
    return byte() % 2 ? -EIO : (int)(size_t)arg;
}

static void race_run(void)
{
    struct coir_racer racers[3];
    int results[3];
    for (size_t i = 0; i < 3; i++)
        racers[i] = (struct coir_racer){racer, (void *)i, (int64_t)(byte() % 8)};
    struct call call = begin(any_until());
    int result = coir_race_run(racers, 1 + byte() % 3, results, call.until);
    EXPECT(result < 3);
    if (result >= 0)
        EXPECT(results[result] == result);
}

static void look(void)
{
    struct coir_stats stats;
    coir_stats(&stats);
    EXPECT(stats.ready + stats.parked + 1 == stats.spawned - stats.ended);
    EXPECT(stats.spawned >= (uint64_t)running && stats.parked_fd <= stats.parked);
}

static void do_one(struct task *task, int depth)
{
    struct call call = begin(COIR_NEVER);
    int64_t some = byte() % 8, result;
    switch (byte() % 16) {
    case 0:
        finish(&call, coir_yield());
        break;
    case 1:
        result = finish(&call, coir_sleep(some));
        EXPECT(result == COIR_CANCELLED || result == -EINTR ||
               (result == 0 && coir_since(call.began) == some));
        break;
    case 2:
        call.until = any_until();
        finish(&call, some == 0 ? coir_idle(call.until) : coir_park(call.until));
        break;
    case 3:
        result = coir_wake(any_task()->handle);
        EXPECT(result == 1 || result == 0 || result == -EBUSY || result == -ESRCH);
        break;
    case 4:
        result = coir_cancel(any_task()->handle, any_reason());
        EXPECT(result == 0 || result == -ESRCH);
        break;
    case 5:
    case 6:
        spawn(task);
        break;
    case 7:
        join();
        break;
    case 8:
        wait_for_some(task);
        break;
    case 9:
    case 10:
        scope_do(task, depth);
        break;
    case 11:
        scope_reach();
        break;
    case 12:
        race_run();
        break;
    case 13:
        letter_do();
        break;
    case 14:
        value_do();
        look();
        break;
    default:
        pipe_do();
    }
}

static void do_some(struct task *task, int depth)
{
    for (unsigned int left = byte() % 8; left > 0 && input.left > 0; left--)
        do_one(task, depth);
}

static int task_run(void *arg)
{
    struct task *task = arg;
    task->handle = coir_self();
    do_some(task, 0);
    EXPECT(task->inner == &task->own);
    task->result = byte() % 4 ? (int)byte() : -EIO;
    task->ended = true;
    running--;
    if (task->parent)
        task->parent->live--;
    return task->result;
}

static void ignore(const char *line, void *arg)
{
    (void)line;
    (void)arg;
}

static int first(void *arg)
{
    (void)arg;
    made = 1;
    tasks[0] = (struct task){.own.owner = tasks};
    tasks[0].inner = &tasks[0].own;
    running = 1;
    return task_run(tasks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct coir_sched_opts OPTS = {
        .clock = COIR_CLOCK_VIRTUAL, .stack_size = 512 << 10, .livelock_limit = 1000,
        .report = ignore};
    input = (struct fuzz){data, size};
    opened = mailboxes = 0;
    for (int i = 0; i < PIPES; i++)
        pipes[i] = (struct pipe){.fds = {-1, -1}};
    int of_first, result = coir_run(first, NULL, &OPTS, &of_first);
    EXPECT(result == 0 || result == -EDEADLK || result == -ELOOP);
    EXPECT(running == 0 && values == 0 && opened == 0);
    for (int i = 0; i < LETTERS; i++)
        EXPECT(!letters[i].pending);
    for (int i = 0; i < 2 * PIPES; i++)
        if (pipes[i / 2].fds[i % 2] >= 0)
            EXPECT(close(pipes[i / 2].fds[i % 2]) == 0);
    return 0;
}
