/* Buffered writing: each byte that was counted arrives once and in order, however the descriptor
 * takes it, and calls are few. */
#include "fds.h"

#include <coir_buffer.h>
#include <coir_net.h>

/* The bytes of the stream: byte i is a function of i, so any loss or repetition shows. */
static char byte_at(size_t i)
{
    return (char)(i * 31 + i / 251 + i / 65521);
}

static char *stream_of(size_t size)
{
    char *stream = malloc(size);
    for (size_t i = 0; i < size; i++)
        stream[i] = byte_at(i);
    return stream;
}

struct drain {
    int fd;
    int64_t pause_ns;
    size_t chunk, got;
    bool wrong;
};

static int drain(void *arg)
{
    static char sink[65536];
    struct drain *d = arg;
    ssize_t got;
    while ((got = coir_read(d->fd, sink, d->chunk, COIR_NEVER)) > 0) {
        for (ssize_t i = 0; i < got; i++)
            d->wrong |= sink[i] != byte_at(d->got + (size_t)i);
        d->got += (size_t)got;
        if (coir_sleep(d->pause_ns) < 0)
            break;
    }
    return coir_close(d->fd);
}

enum { TOTAL = 200000 };

static struct fds_pair small_pair(int kind)
{
    struct fds_pair pair = kind == 0 ? fds_pipe(0) : kind == 1 ? fds_unix(SOCK_STREAM) : fds_tcp();
#ifdef F_SETPIPE_SZ
    if (kind == 0) /* else it has 16 pages, of whatever size */
        CHECK(fcntl(pair.out, F_SETPIPE_SZ, 65536) >= 65536);
#endif
    if (kind > 0) {
        int size = kind == 1 ? 4096 : 32768; /* a TCP with less waits for late acknowledgements */
        setsockopt(pair.out, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        setsockopt(pair.in, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    CHECK_EQ(coir_adopt(pair.in), 0);
    CHECK_EQ(coir_adopt(pair.out), 0);
    return pair;
}

/* Writes TOTAL bytes in pieces of all sizes against a slow reader, with deadlines that are mostly
 * too short, going on from what was counted. Returns how often it was cut short. */
static int write_with_timeouts(coir_writer *out, const char *stream)
{
    size_t done = 0, turn = 0;
    int cut = 0;
    while (done < TOTAL) {
        size_t piece = turn++ % 17 == 0 ? 20000 : (turn * 37) % 700;
        piece = piece < TOTAL - done ? piece : TOTAL - done;
        ssize_t wrote = coir_writer_write(out, stream + done, piece, coir_after(COIR_US(50)));
        if (wrote < (ssize_t)piece) {
            CHECK(wrote == COIR_TIMED_OUT || wrote >= 0);
            CHECK_EQ(coir_writer_flush(out, COIR_NEVER), COIR_TIMED_OUT);
            CHECK_EQ(coir_writer_write(out, "no", 2, COIR_NEVER), COIR_TIMED_OUT);
            CHECK_EQ(coir_writer_print(out, COIR_NEVER, "no"), COIR_TIMED_OUT);
            out->error = 0;
            cut++;
        }
        done += wrote > 0 ? (size_t)wrote : 0;
        if (turn % 5 == 0) {
            int flushed = coir_writer_flush(out, coir_after(COIR_US(20)));
            CHECK(flushed == 0 || flushed == COIR_TIMED_OUT);
            cut += flushed < 0;
        }
    }
    CHECK_EQ(coir_writer_flush(out, COIR_NEVER), 0);
    CHECK(out->begin == 0 && out->end == 0);
    return cut;
}

/* Returns how often a write was cut short. */
static int all_once(int kind, int64_t pause_ns, const char *stream)
{
    char memory[1000];
    struct fds_pair pair = small_pair(kind);
    struct drain reader = {.fd = pair.in, .pause_ns = pause_ns, .chunk = 7777};
    coir_fiber fiber = run_spawn(drain, &reader);
    coir_writer out;
    coir_writer_init(&out, pair.out, memory, sizeof memory);
    int cut = write_with_timeouts(&out, stream);
    CHECK_EQ(coir_close(pair.out), 0);
    CHECK_EQ(run_join(fiber), 0);
    CHECK(!reader.wrong);
    CHECK_EQ(reader.got, TOTAL);
    return cut;
}

/* On a slow machine the reader must be slower for a write to be late. */
static int once_each(void *arg)
{
    char *stream = stream_of(TOTAL);
    (void)arg;
    for (int kind = 0; kind < 3; kind++) {
        int cut = 0;
        for (int slower = 0; slower < 7 && cut <= 5; slower++)
            cut = all_once(kind, COIR_US(100) << slower, stream);
        CHECK(cut > 5);
    }
    free(stream);
    return 0;
}

/* proves: N10 */
TEST(test_every_byte_arrives_once_whatever_runs_out_of_time)
{
    run_monotonic(once_each, NULL);
}

static int64_t scripted[64];
static int scripted_at;
static char scripted_bytes[4096];
static size_t scripted_size;
static const struct cr_world_ops *scripted_real;
static struct cr_world_ops scripted_ops;

/* Takes as many bytes as the script says, or fails; all of them behind its end. */
static int64_t scripted_take(const struct iovec *parts, int count)
{
    int64_t most = scripted[scripted_at] ? scripted[scripted_at++] : INT64_MAX, took = 0;
    if (most < 0)
        return most;
    for (int i = 0; i < count; i++)
        for (size_t at = 0; at < parts[i].iov_len && took < most; at++, took++)
            scripted_bytes[scripted_size++] = ((char *)parts[i].iov_base)[at];
    return took;
}

static int64_t scripted_start(struct cr_world *world, struct cr_op *op)
{
    if (op->kind == CR_OP_WRITEV)
        return scripted_take(op->vector.parts, op->vector.count);
    if (op->kind != CR_OP_WRITE)
        return scripted_real->start(world, op);
    struct iovec part = {(void *)(uintptr_t)op->write.buf, op->write.size};
    return scripted_take(&part, 1);
}

/* Every sequence of three answers of a kernel, to the same writes. */
static int all_answers(void *arg)
{
    static const int64_t ANSWERS[] = {1, 3, 8, 9, 20, 1000, -EPIPE, COIR_TIMED_OUT};
    struct fds_pair pair = small_pair(1);
    char memory[8];
    const char *text = "0123456789abcdefghijklmnopqrstuvwxyz";
    (void)arg;
    scripted_real = inside_replace_ops(&scripted_ops);
    scripted_ops.start = scripted_start;
    for (int script = 0; script < 512; script++) {
        for (int i = 0; i < 3; i++)
            scripted[i] = ANSWERS[script >> 3 * i & 7];
        scripted_at = 0;
        scripted_size = 0;
        coir_writer out;
        coir_writer_init(&out, pair.out, memory, sizeof memory);
        for (size_t done = 0, turn = 0; done < 36; turn++) {
            static const size_t PIECES[] = {5, 2, 9, 1, 0, 12, 7};
            size_t piece = PIECES[turn % 7] < 36 - done ? PIECES[turn % 7] : 36 - done;
            ssize_t wrote = coir_writer_write(&out, text + done, piece, COIR_NEVER);
            CHECK_EQ(wrote < (ssize_t)piece, out.error < 0);
            out.error = 0;
            done += wrote > 0 ? (size_t)wrote : 0;
        }
        while (coir_writer_flush(&out, COIR_NEVER) < 0)
            continue;
        CHECK_EQ(scripted_size, 36);
        CHECK(memcmp(scripted_bytes, text, 36) == 0);
    }
    inside_restore_ops(scripted_real);
    close(pair.in);
    return coir_close(pair.out);
}

/* proves: N10 */
TEST(test_every_byte_arrives_once_whatever_the_kernel_answers)
{
    run_monotonic(all_answers, NULL);
}

static int call_counts(void *arg)
{
    struct fds_pair pair = fds_unix(SOCK_STREAM);
    char memory[64], text[100], got[1000];
    coir_writer out;
    (void)arg;
    memset(text, 'x', sizeof text);
    CHECK_EQ(coir_adopt(pair.out), 0);
    coir_writer_init(&out, pair.out, memory, sizeof memory);
    fds_count();
    scripted_real = fds_real;
    for (int i = 0; i < 16; i++)
        CHECK_EQ(coir_writer_write(&out, text, 4, COIR_NEVER), 4);
    CHECK_EQ(fds_calls.write, 0); /* it just fits */
    CHECK_EQ(read(pair.in, got, 0), 0);
    CHECK_EQ(coir_writer_flush(&out, COIR_NEVER), 0);
    CHECK_EQ(coir_writer_flush(&out, COIR_NEVER), 0);
    CHECK_EQ(fds_calls.write, 1);
    CHECK_EQ(read(pair.in, got, sizeof got), 64);
    CHECK_EQ(coir_writer_write(&out, text, 100, COIR_NEVER), 100); /* past the buffer */
    CHECK_EQ(fds_calls.write, 2);
    CHECK_EQ(read(pair.in, got, sizeof got), 100);
    CHECK_EQ(coir_writer_print(&out, COIR_NEVER, "%d-%s", 12, "ab"), 5);
    fds_ops.start = scripted_start;
    CHECK_EQ(coir_writer_write(&out, text, 100, COIR_NEVER), 100); /* both by one call */
    CHECK_EQ(scripted_size, 105);
    CHECK(memcmp(scripted_bytes, "12-abxxx", 8) == 0);
    CHECK_EQ(fds_calls.write, 2);
    memcpy(scripted, (int64_t[]){10, -ENOBUFS, 0}, 3 * sizeof *scripted);
    CHECK_EQ(coir_writer_write(&out, text, 64, COIR_NEVER), 64);
    CHECK_EQ(coir_writer_flush(&out, COIR_NEVER), -ENOBUFS);
    CHECK_EQ(coir_writer_write(&out, text, 10, COIR_NEVER), 10); /* where the first ten were */
    CHECK_EQ(scripted_at, 2);
    CHECK_EQ(out.end - out.begin, 64);
    CHECK_EQ(scripted_size, 115);
    fds_ops.start = fds_real->start;
    close(pair.in);
    return coir_close(pair.out);
}

/* proves: N10 */
TEST(test_small_writes_are_one_call_and_large_ones_are_not_copied)
{
    run_monotonic(call_counts, NULL);
}

static int prints(void *arg)
{
    struct fds_pair pair = fds_unix(SOCK_STREAM);
    char memory[16], got[64] = "";
    coir_writer out;
    (void)arg;
    coir_writer_init(&out, pair.out, memory, sizeof memory);
    CHECK_EQ(coir_writer_print(&out, COIR_TRY, "%s", "0123456789abcde"), 15);
    CHECK_EQ(coir_writer_print(&out, COIR_TRY, "%s", ""), 0);
    CHECK_EQ(coir_writer_print(&out, COIR_NEVER, "%d", 7), 1); /* no room for its NUL: sent first */
    CHECK_EQ(coir_writer_write(&out, "0123456789", 10, COIR_NEVER), 10);
    CHECK_EQ(coir_writer_print(&out, COIR_NEVER, "%05d", 42), 5);
    CHECK_EQ(read(pair.in, got, sizeof got), 15 + 11);
    CHECK_STR(got, "0123456789abcde70123456789");
    CHECK_EQ(coir_writer_flush(&out, COIR_NEVER), 0);
    CHECK_EQ(read(pair.in, got, sizeof got), 5);
    CHECK(memcmp(got, "00042", 5) == 0);
    CHECK_EQ(coir_writer_print(&out, COIR_NEVER, "%16d", 1), -EMSGSIZE);
    CHECK_EQ(coir_writer_write(&out, "x", 1, COIR_NEVER), -EMSGSIZE);
    CHECK_EQ(coir_writer_flush(&out, COIR_NEVER), -EMSGSIZE);
    out.error = 0;
    CHECK_EQ(coir_writer_flush(&out, COIR_NEVER), 0);
    CHECK_EQ(recv(pair.in, got, sizeof got, MSG_DONTWAIT), -1);
    fds_close(pair);
    return 0;
}

/* proves: N10 */
TEST(test_text_is_printed_whole_or_not_at_all)
{
    run_monotonic(prints, NULL);
}

static int late_flush(void *arg)
{
    return coir_writer_flush(arg, COIR_NEVER);
}

static int stops(void *arg)
{
    struct fds_pair pair = small_pair(0);
    char memory[64], got[64];
    coir_writer out;
    (void)arg;
    fds_fill(pair.out);
    coir_writer_init(&out, pair.out, memory, sizeof memory);
    CHECK_EQ(coir_writer_write(&out, "abc", 3, COIR_NEVER), 3);
    CHECK_EQ(coir_writer_flush(&out, COIR_TRY), COIR_TIMED_OUT);
    coir_fiber fiber = run_spawn(late_flush, &out);
    fds_until_parked(fiber);
    CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(fiber), COIR_CANCELLED);
    /* A flush loses nothing, so this goes on. */
    CHECK_EQ(coir_writer_print(&out, COIR_TRY, "%d", 4), 1);
    fds_drain(pair.in);
    CHECK_EQ(coir_writer_flush(&out, COIR_NEVER), 0);
    CHECK_EQ(read(pair.in, got, sizeof got), 4);
    CHECK(memcmp(got, "abc4", 4) == 0);
    CHECK_EQ(coir_close(pair.in), 0);
    CHECK_EQ(coir_writer_write(&out, "abc", 3, COIR_NEVER), 3);
    CHECK_EQ(coir_writer_flush(&out, COIR_NEVER), -EPIPE);
    CHECK_EQ(out.end - out.begin, 3);
    return coir_close(pair.out);
}

/* proves: N10, C1 */
TEST(test_a_flush_that_was_stopped_is_gone_on_with)
{
    run_monotonic(stops, NULL);
}

/* proves: F2 */
TEST_DIES(test_a_writer_without_buffer_is_a_mistake, SIGABRT, "coir_writer_init: ")
{
    coir_writer out;
    coir_writer_init(&out, 0, NULL, 10);
}
