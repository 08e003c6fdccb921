/* Memory, mappings, descriptors and system calls that fail, one after the other, under listening,
 * dialling, serving and buffers: by the functions of the C library, and by the world's calls. */
#define TEST_SECONDS 60
#include "fault.h"

#include <coir_buffer.h>
#include <coir_net.h>

static int64_t repeat_net(int64_t (*call)(void *arg), void *arg)
{
    return FAULT_TRY(call(arg));
}

static int64_t net_listen(void *arg)
{
    return coir_net_listen(arg, NULL);
}

static int64_t net_dial(void *arg)
{
    return coir_net_dial(arg, NULL, COIR_NEVER);
}

static void close_by_coir(int fd)
{
    int result = coir_close(fd);
    CHECK(result == 0 || result == -EIO);
}

/* Echoes lines through buffers; a fault that is reported to it is one that it takes again. */
static int echo_lines(int fd, void *arg)
{
    char in_memory[64], out_memory[64], *line;
    coir_reader in;
    coir_writer out;
    int64_t got;
    coir_reader_init(&in, fd, in_memory, sizeof in_memory);
    coir_writer_init(&out, fd, out_memory, sizeof out_memory);
    while ((got = FAULT_TRY(coir_reader_line(&in, &line, COIR_NEVER))) > 0) {
        CHECK_EQ(coir_writer_print(&out, COIR_NEVER, "%s!\n", line), got + 1);
        CHECK_EQ(FAULT_TRY(coir_writer_flush(&out, COIR_NEVER)), 0);
    }
    CHECK_EQ(got, 0);
    ++*(int *)arg;
    return 0;
}

struct serving {
    int listener, served;
};

static int serve_all(void *arg)
{
    struct serving *serving = arg;
    return (int)FAULT_TRY(coir_net_serve(serving->listener, echo_lines, &serving->served, NULL));
}

/* Returns 1; 0 when the connection was closed before it was served: an accept that needs another
 * call for the new descriptor's flags (bsd.c) gives it up where that fails. */
static int ask_over(int fd)
{
    char memory[64], *line;
    coir_reader in;
    coir_reader_init(&in, fd, memory, sizeof memory);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(FAULT_TRY(coir_write(fd, "hello\n", 6, COIR_NEVER)), 6);
        int64_t got = FAULT_TRY(coir_reader_line(&in, &line, COIR_NEVER));
        if (i == 0 && got <= 0 && fault.failed == FAULT_FCNTL)
            return 0;
        CHECK_EQ(got, 7);
        CHECK_STR(line, "hello!");
    }
    CHECK_EQ(coir_shutdown(fd, SHUT_WR), 0);
    CHECK_EQ(FAULT_TRY(coir_reader_line(&in, &line, COIR_NEVER)), 0);
    return 1;
}

static int ask_lines(void *arg)
{
    for (int served = 0; !served;) {
        int fd = (int)repeat_net(net_dial, arg);
        CHECK(fd >= 0);
        served = ask_over(fd);
        close_by_coir(fd);
    }
    return 0;
}

static int net_all(void *arg)
{
    enum { CLIENTS = 3 };
    struct serving serving = {0};
    coir_fiber clients[CLIENTS], server;
    coir_addr addr;
    char text[COIR_ADDR_TEXT] = "127.0.0.1:0";
    serving.listener = (int)repeat_net(net_listen, text);
    CHECK(serving.listener >= 0);
    fault.paused = true;
    CHECK_EQ(coir_net_local(serving.listener, &addr), 0);
    CHECK(coir_addr_text(&addr, text, sizeof text) > 0);
    fault.paused = false;
    CHECK_EQ(FAULT_TRY(coir_spawn(&server, serve_all, &serving, NULL)), 0);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(FAULT_TRY(coir_spawn(&clients[i], ask_lines, text, NULL)), 0);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(run_join(clients[i]), 0);
    close_by_coir(serving.listener);
    CHECK_EQ(run_join(server), 0);
    /* a dial that failed while it waited may have been accepted */
    CHECK(serving.served == CLIENTS || (fault.told && serving.served == CLIENTS + 1));
    return arg ? 1 : 0;
}

/* What a serving loop takes by itself is reported to nobody. */
static int net(void)
{
    int result = -1;
    int64_t ran = FAULT_TRY(coir_run(net_all, NULL, NULL, &result));
    CHECK_EQ(ran, 0);
    if (fault.failed != FAULT_NONE && FAULTS[fault.failed].codes[fault.variant] != EINTR)
        fault.told = fault.told ? fault.told : 1;
    return result;
}

/* proves: N11, F1 */
TEST(test_fault_in_listening_dialling_serving_and_buffers)
{
    fault_each("net", net);
}

/* ---- the world's calls ---- */

static struct {
    const struct cr_world_ops *real;
    struct cr_world_ops ops;
    long left; /* calls until the one that fails */
    int error;
    enum cr_op_kind failed;
} calls;

static int64_t failing_start(struct cr_world *world, struct cr_op *op)
{
    bool counts = op->kind != CR_OP_CLOSE && op->kind != CR_OP_CONNECTED;
    if (counts && calls.left > 0 && --calls.left == 0) {
        calls.failed = op->kind;
        return -calls.error;
    }
    return calls.real->start(world, op);
}

/* Once, with the n-th call failing: an error, or a connection and a datagram that work. */
static int once(void *arg)
{
    struct coir_net_opts opts = {.keep_alive_s = 5, .reuse_port = true, .unlink = true};
    const char *at = arg;
    coir_addr addr;
    char text[COIR_ADDR_TEXT];
    calls.real = inside_replace_ops(&calls.ops);
    calls.ops.start = failing_start;
    int before = fds_open(), client = -1, peer = 0, result;
    int listener = coir_net_listen(at, &opts);
    result = listener < 0 ? listener : coir_net_local(listener, &addr);
    if (result == 0) {
        CHECK(coir_addr_text(&addr, text, sizeof text) > 0);
        result = client = coir_net_dial(text, &opts, COIR_NEVER);
    }
    if (result >= 0)
        result = peer = coir_net_peer(client, &addr);
    CHECK(result >= 0 || result == -calls.error || result == -EADDRINUSE);
    if (client >= 0)
        CHECK_EQ(coir_close(client), 0);
    if (listener >= 0)
        CHECK_EQ(coir_close(listener), 0);
    CHECK(fds_open() - before <= inside_own_count());
    inside_restore_ops(calls.real);
    return 0;
}

/* proves: N11, N3 */
TEST(test_fault_in_each_call_of_the_world_leaves_no_descriptor)
{
    const char *const texts[] = {"127.0.0.1:0", ":0", "udp:127.0.0.1:0", test_path("fault")};
    static const int ERRORS[] = {ENOMEM, EINVAL, EACCES};
    bool seen[CR_OP_KINDS] = {false};
    int before = fds_open();
    for (int text = 0; text < 4; text++)
        for (int error = 0; error < 3; error++) {
            calls.error = ERRORS[error];
            calls.left = 0;
            for (long n = 1; calls.left == 0; n++) {
                calls.left = n;
                run_monotonic(once, (void *)(uintptr_t)texts[text]);
                CHECK_EQ(fds_open(), before);
                seen[calls.failed] = true;
            }
        }
    enum cr_op_kind kinds[] = {CR_OP_SOCKET, CR_OP_SETSOCKOPT, CR_OP_BIND, CR_OP_LISTEN,
                                 CR_OP_CONNECT, CR_OP_GETSOCKNAME, CR_OP_GETPEERNAME,
                                 CR_OP_GETSOCKOPT, CR_OP_UNLINK};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        CHECK(seen[kinds[i]]);
}
