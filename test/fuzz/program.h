/* What the fibers of program.c are, what holds for each call that parks, and what they do with
 * pipes, letters and local values. */
#ifndef FUZZ_PROGRAM_H
#define FUZZ_PROGRAM_H

#include "fuzz.h"

#include <coir_io.h>
#include <coir_local.h>
#include <coir_post.h>
#include <coir_test.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TASKS = 48, OPEN_MOST = 256, DEPTH = 5, PIPES = 4, LETTERS = 4, SOME = 4 };

static struct fuzz input;

struct task;

/* A scope, or a fiber as one: `live` of its children live. */
struct frame {
    coir_scope *scope; /* NULL: a fiber's own */
    struct task *owner;
    struct frame *outer; /* of the same fiber */
    int kind, live;
};

struct task {
    coir_fiber handle;
    struct task *spawner;
    struct frame own, *inner, *parent; /* no parent: the scheduler */
    bool ended;
    int result;
};

static struct task tasks[TASKS];
static struct frame *scopes[OPEN_MOST];
static int made, opened, running, values, mailboxes;
static coir_mailbox mailbox;

static struct pipe {
    int fds[2];
    bool busy[2];
    unsigned int life, moved[2];
} pipes[PIPES];

static struct letter {
    coir_letter letter;
    bool pending;
    unsigned int deed;
} letters[LETTERS];

static unsigned int byte(void)
{
    return fuzz_byte(&input);
}

static struct task *any_task(void)
{
    return &tasks[byte() % (unsigned int)made];
}

static coir_time any_until(void)
{
    unsigned int which = byte();
    return which < 40 ? COIR_NEVER : which < 80 ? COIR_TRY : coir_after(which % 16);
}

/* The kernel may always have something more: whoever waits for it forever hangs the program. */
static coir_time any_end(void)
{
    coir_time until = any_until();
    return until.ns ? until : coir_after(20);
}

static int any_reason(void)
{
    static const int REASONS[] = {0, COIR_CANCELLED, COIR_TIMED_OUT, -EIO};
    return REASONS[byte() % 4];
}

/* ---- calls that park: what holds for each ---------------------------------------------------- */

struct call {
    bool cancelled;
    coir_time began, until;
};

static struct call begin(coir_time until)
{
    return (struct call){coir_cancelled(NULL), coir_now(), until};
}

static int64_t finish(const struct call *call, int64_t result)
{
    uint64_t now = coir_now().ns, due = call->until.ns > call->began.ns ? call->until.ns
                                                                        : call->began.ns;
    EXPECT(!call->cancelled || result == COIR_CANCELLED);
    EXPECT(result != COIR_CANCELLED || coir_cancelled(NULL));
    EXPECT(result != COIR_TIMED_OUT || (call->until.ns != 0 && now == due));
    return result;
}

/* ---- pipes ----------------------------------------------------------------------------------- */

static void pipe_open(struct pipe *pipe)
{
    int result, kind = (int)(byte() % 4);
    if (kind == 0)
        result = coir_pipe(pipe->fds);
    else if (kind == 1)
        result = coir_socketpair(AF_UNIX, SOCK_STREAM, 0, pipe->fds);
    else if (kind == 2)
        result = pipe2(pipe->fds, 0);
    else
        result = socketpair(AF_UNIX, SOCK_STREAM, 0, pipe->fds);
    EXPECT(result == 0);
    *pipe = (struct pipe){{pipe->fds[0], pipe->fds[1]}, {false, false}, pipe->life + 1, {0, 0}};
}

static void pipe_close(struct pipe *pipe, int end)
{
    if (pipe->fds[end] >= 0)
        EXPECT(coir_close(pipe->fds[end]) == 0);
    pipe->fds[end] = -1;
}

/* One fiber at a time moves bytes at an end, which count up. */
static void pipe_move(struct pipe *pipe, int end)
{
    unsigned char bytes[9000];
    size_t size = byte() < 32 ? sizeof bytes : byte();
    unsigned int life = pipe->life;
    struct call call = begin(any_end());
    if (pipe->fds[end] < 0 || pipe->busy[end])
        return;
    for (size_t i = 0; end == 1 && i < size; i++)
        bytes[i] = (unsigned char)(pipe->moved[1] + i);
    pipe->busy[end] = true;
    int64_t moved = finish(&call, end ? coir_write(pipe->fds[1], bytes, size, call.until)
                                      : coir_read(pipe->fds[0], bytes, size, call.until));
    EXPECT(moved <= (int64_t)size);
    if (moved > 0)
        EXPECT(pipe->life == life);
    if (pipe->life != life)
        return;
    pipe->busy[end] = false;
    if (moved == 0)
        EXPECT(size == 0 || (end == 0 && pipe->fds[1] < 0));
    for (int64_t i = 0; end == 0 && i < moved; i++)
        EXPECT(bytes[i] == (unsigned char)(pipe->moved[0] + i));
    if (moved > 0)
        pipe->moved[end] += (unsigned int)moved;
    EXPECT(moved >= 0 || moved == COIR_CANCELLED || moved == COIR_TIMED_OUT || moved == -EBADF ||
           moved == -EPIPE || moved == -ECONNRESET);
}

static void pipe_do(void)
{
    struct pipe *pipe = &pipes[byte() % PIPES];
    unsigned int what = byte();
    int end = (int)(what / 8 % 2);
    if (pipe->fds[0] < 0 && pipe->fds[1] < 0)
        return pipe_open(pipe);
    if (what % 8 == 0)
        return pipe_close(pipe, end);
    if (what % 8 == 1 && pipe->fds[end] >= 0) {
        int fd = coir_dup(pipe->fds[end]);
        EXPECT(fd >= 0);
        EXPECT(coir_close(fd) == 0);
    } else if (what % 8 == 2 && pipe->fds[end] >= 0) {
        struct call call = begin(any_end());
        int mask = 1 + (int)(byte() % 3);
        int64_t ready = finish(&call, coir_wait_fd(pipe->fds[end], mask, call.until));
        EXPECT(ready > 0 || ready == COIR_CANCELLED || ready == COIR_TIMED_OUT ||
               ready == -EINTR || ready == -EBADF);
    } else {
        pipe_move(pipe, end);
    }
}

/* ---- letters, local values ------------------------------------------------------------------- */

static void letter_open(void *arg)
{
    struct letter *letter = arg;
    EXPECT(letter->pending);
    letter->pending = false;
    EXPECT(coir_self().number == 0 && !coir_cancelled(NULL));
    switch (letter->deed % 4) {
    case 0:
        coir_wake(any_task()->handle);
        break;
    case 1:
        coir_cancel(any_task()->handle, any_reason());
        break;
    case 2:
        pipe_close(&pipes[byte() % PIPES], (int)(byte() % 2));
        break;
    }
}

static void letter_do(void)
{
    struct letter *letter = &letters[byte() % LETTERS];
    unsigned int what = byte();
    if (what % 4 == 0) {
        EXPECT(coir_mailbox_open(&mailbox, COIR_WEAK) == 0);
        mailboxes++;
    } else if (what % 4 == 1) {
        int result = coir_mailbox_close(mailbox);
        EXPECT(result == (mailboxes > 0 ? 0 : -ESRCH));
        mailboxes -= mailboxes > 0;
    } else {
        if (!letter->pending) {
            letter->letter = (coir_letter){.fn = letter_open, .arg = letter};
            letter->deed = byte();
        }
        int result = coir_post(mailbox, &letter->letter);
        EXPECT(result == (mailboxes > 0 ? 0 : -ESRCH));
        letter->pending |= result == 0;
    }
}

static void value_destroy(void *value)
{
    values--;
    EXPECT(value != NULL && values >= 0);
}

static void *value_inherit(void *value)
{
    values++;
    return value;
}

static const coir_local KEYS[] = {{.destroy = value_destroy, .inherit = value_inherit},
                                  {.destroy = value_destroy, .inherit = NULL}};

static void value_do(void)
{
    unsigned int what = byte();
    const coir_local *key = &KEYS[what % 2];
    void *value = what & 2 ? &values : NULL;
    values += value != NULL;
    EXPECT(coir_local_set(key, value) == 0);
    EXPECT(coir_local_get(key) == value);
}

#endif
