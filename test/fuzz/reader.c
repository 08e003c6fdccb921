/* Reader and writer against a plain model: the bytes of a stream, and how many of them were taken.
 * They come through a small pipe of a virtual world, in pieces, while reads run out of time. */
#include "fuzz.h"

#include <coir_buffer.h>
#include <coir_io.h>
#include <errno.h>

enum { STREAM_MOST = 400, BUFFER_MOST = 64 };

struct reading {
    struct fuzz fuzz;
    uint8_t stream[STREAM_MOST];
    size_t size, taken;
    int ends[2];
};

/* Writes the stream through a buffer of its own, and closes. */
static int feed(void *arg)
{
    struct reading *reading = arg;
    char buf[16];
    coir_writer writer;
    coir_writer_init(&writer, reading->ends[1], buf, 1 + reading->size % sizeof buf);
    for (size_t at = 0; at < reading->size;) {
        size_t piece = 1 + reading->stream[at] % 40;
        piece = piece < reading->size - at ? piece : reading->size - at;
        EXPECT(coir_writer_write(&writer, reading->stream + at, piece, COIR_NEVER) ==
               (ssize_t)piece);
        at += piece;
        if (piece % 3 == 0)
            EXPECT(coir_writer_flush(&writer, COIR_NEVER) == 0);
        if (piece % 5 == 0)
            EXPECT(coir_sleep(100) == 0);
    }
    EXPECT(coir_writer_flush(&writer, COIR_NEVER) == 0);
    return coir_close(reading->ends[1]);
}

/* The length of the next message by a delimiter, as far as the stream has one; 0: none. */
static size_t next_end(const struct reading *reading, const char *delimiter)
{
    size_t length = strlen(delimiter);
    for (size_t at = reading->taken; at + length <= reading->size; at++)
        if (memcmp(reading->stream + at, delimiter, length) == 0)
            return at + length - reading->taken;
    return 0;
}

/* What a call for a message of `length` bytes (0: it never ends) has to say. */
static void judge(struct reading *reading, const coir_reader *reader, size_t length, ssize_t got)
{
    size_t left = reading->size - reading->taken;
    if (got == COIR_TIMED_OUT)
        return;
    if (length > 0 && length <= reader->limit && length <= left)
        EXPECT(got == (ssize_t)length);
    else if (got == -EMSGSIZE)
        EXPECT(length > reader->limit || (length == 0 && left >= reader->limit));
    else
        EXPECT(got == (left == 0 ? 0 : -EBADMSG));
    if (got < 0)
        EXPECT(reader->length <= left &&
               memcmp(reader->data, reading->stream + reading->taken, reader->length) == 0);
}

static void take_message(struct reading *reading, coir_reader *reader, const char *delimiter,
                         coir_time until)
{
    char *message;
    size_t length = next_end(reading, delimiter);
    ssize_t got = coir_reader_until(reader, delimiter, strlen(delimiter), &message, until);
    judge(reading, reader, length, got);
    if (got > 0)
        EXPECT(memcmp(message, reading->stream + reading->taken, (size_t)got) == 0);
    reading->taken += got > 0 ? (size_t)got : 0;
    if (got == -EMSGSIZE)
        reading->taken += coir_reader_take(reader, reader->length);
}

static void take_line(struct reading *reading, coir_reader *reader, coir_time until)
{
    char *line;
    size_t length = next_end(reading, "\n");
    ssize_t got = coir_reader_line(reader, &line, until);
    judge(reading, reader, length, got);
    const uint8_t *stream = reading->stream + reading->taken;
    if (got > 0) {
        size_t text = (size_t)got - (got > 1 && stream[got - 2] == '\r' ? 2 : 1);
        EXPECT(memcmp(line, stream, text) == 0 && line[text] == '\0');
        reading->taken += (size_t)got;
    }
    if (got == -EMSGSIZE)
        reading->taken += coir_reader_take(reader, reader->length);
}

static void skip(struct reading *reading, coir_reader *reader, const char *delimiter)
{
    size_t length = next_end(reading, delimiter);
    if (strlen(delimiter) > reader->size)
        return;
    EXPECT(coir_reader_skip(reader, delimiter, strlen(delimiter), COIR_NEVER) == (length > 0));
    reading->taken = length > 0 ? reading->taken + length : reading->size;
}

static void take_exactly(struct reading *reading, coir_reader *reader, size_t count,
                         coir_time until)
{
    char *bytes;
    ssize_t got = coir_reader_exact(reader, count, &bytes, until);
    judge(reading, reader, count, got);
    if (got > 0)
        EXPECT(memcmp(bytes, reading->stream + reading->taken, (size_t)got) == 0);
    reading->taken += got > 0 ? (size_t)got : 0;
}

static void take_some(struct reading *reading, coir_reader *reader, size_t count, coir_time until)
{
    uint8_t bytes[256];
    ssize_t got = coir_reader_read(reader, bytes, count, until);
    EXPECT(got <= (ssize_t)count && (got >= 0 || got == COIR_TIMED_OUT));
    if (got == 0)
        EXPECT(reading->taken == reading->size);
    if (got > 0)
        EXPECT(memcmp(bytes, reading->stream + reading->taken, (size_t)got) == 0);
    reading->taken += got > 0 ? (size_t)got : 0;
}

static int read_all(void *arg)
{
    struct reading *reading = arg;
    struct fuzz *fuzz = &reading->fuzz;
    char buf[BUFFER_MOST];
    coir_reader reader;
    coir_reader_init(&reader, reading->ends[0], buf, 1 + fuzz_byte(fuzz) % sizeof buf);
    while (fuzz->left > 0) {
        unsigned int what = fuzz_byte(fuzz), count = 1 + fuzz_byte(fuzz) % 80;
        coir_time until = what & 64 ? COIR_NEVER : what & 128 ? COIR_TRY : coir_after(50);
        if (what % 6 == 5)
            skip(reading, &reader, count % 3 ? "\n" : "ab");
        else if (what % 5 == 0)
            take_message(reading, &reader, count % 2 ? "ab" : "\r\n", until);
        else if (what % 5 == 1)
            take_line(reading, &reader, until);
        else if (what % 5 == 2)
            take_exactly(reading, &reader, count, until);
        else if (what % 5 == 3)
            take_some(reading, &reader, count, until);
        else
            reading->taken += coir_reader_take(&reader, count);
    }
    return 0;
}

static int read_and_feed(void *arg)
{
    struct reading *reading = arg;
    EXPECT(coir_socketpair(AF_UNIX, SOCK_STREAM, 0, reading->ends) == 0);
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    EXPECT(coir_spawn(NULL, read_all, reading, NULL) == 0);
    EXPECT(coir_spawn(NULL, feed, reading, NULL) == 0);
    EXPECT(coir_scope_end(&scope, 0) == 0);
    return coir_close(reading->ends[0]);
}

/* The first half is the stream, with line ends where they are rare; the rest is what is called. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reading reading;
    struct coir_sched_opts opts = {.clock = COIR_CLOCK_VIRTUAL, .keep_signals = true};
    reading = (struct reading){.size = size / 2 < STREAM_MOST ? size / 2 : STREAM_MOST};
    memcpy(reading.stream, data, reading.size);
    for (size_t i = 0; i < reading.size; i++)
        if (reading.stream[i] < 40)
            reading.stream[i] = "\n\r\nab"[reading.stream[i] % 5];
    reading.fuzz = (struct fuzz){data + reading.size, size - reading.size};
    EXPECT(coir_run(read_and_feed, &reading, &opts, NULL) == 0);
    return 0;
}
