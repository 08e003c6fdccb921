/* Buffered reading and writing, over coir_read, coir_write and coir_writev alone: so they work on
 * whatever these work on, and end as these end.
 *
 * Nothing is lost where a call ends early, because a reader consumes only what it returns, and a
 * writer counts what was sent before it does anything else. */
#include "../base/base.h"

#include "../../include/coir_buffer.h"
#include "../../include/coir_net.h"
#include "../debug/debug.h"
#include "../core/sched.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void coir_reader_init(coir_reader *reader, int fd, void *buf, size_t size)
{
    if (CR_UNLIKELY(!buf || size == 0 || size > PTRDIFF_MAX))
        cr_fatal_mistake("coir_reader_init", CR_CALLER, "the buffer has no size");
    *reader = (coir_reader){fd, buf, 0, size, buf, size};
}

/* What is unread moves to the front first: never more than once for the same bytes, since they are
 * there afterwards until all of them are consumed or more of the buffer is. */
ssize_t coir_reader_fill(coir_reader *reader, coir_time until)
{
    if (CR_UNLIKELY(reader->length >= reader->size))
        return -EMSGSIZE;
    if (reader->data != reader->buf) {
        memmove(reader->buf, reader->data, reader->length);
        reader->data = reader->buf;
    }
    ssize_t got = coir_read(reader->fd, reader->data + reader->length,
                            reader->size - reader->length, until);
    if (got > 0)
        reader->length += (size_t)got;
    return got;
}

ssize_t coir_reader_await(coir_reader *reader, coir_time until)
{
    if (reader->length > 0)
        return (ssize_t)reader->length;
    reader->data = reader->buf;
    ssize_t got = coir_net_await(reader->fd, reader->buf, reader->size, until);
    if (got > 0)
        reader->length = (size_t)got;
    return got;
}

size_t coir_reader_take(coir_reader *reader, size_t count)
{
    if (count > reader->length)
        count = reader->length;
    reader->data += count;
    reader->length -= count;
    return count;
}

static ssize_t reader_give(coir_reader *reader, size_t count, char **bytes)
{
    *bytes = reader->data;
    reader->data += count;
    reader->length -= count;
    return (ssize_t)count;
}

/* Reads more of a message that is not whole: a count, 0 at the end of file, or an error. */
static ssize_t reader_more(coir_reader *reader, coir_time until)
{
    ssize_t got = coir_reader_fill(reader, until);
    return got == 0 && reader->length > 0 ? -EBADMSG : got;
}

/* Where the first delimiter ends, or NULL. Its last byte is looked for, because the library's
 * search for a byte is the fastest there is, and a delimiter's last byte is rare in most
 * protocols. */
CR_INLINE const char *reader_find(const char *from, const char *end, const char *delimiter,
                                  size_t size)
{
    for (const char *at = from + size - 1; at < end; at++) {
        at = memchr(at, delimiter[size - 1], (size_t)(end - at));
        if (!at)
            return NULL;
        const char *first = at - (size - 1);
        if (size == 1 || (*first == *delimiter && memcmp(first, delimiter, size) == 0))
            return at + 1;
    }
    return NULL;
}

CR_INLINE ssize_t reader_until(coir_reader *reader, const char *delimiter, size_t size,
                               char **message, coir_time until)
{
    size_t searched = 0;
    for (;;) {
        size_t most = reader->length < reader->limit ? reader->length : reader->limit;
        const char *data = reader->data, *end = NULL;
        if (most - searched >= size)
            end = reader_find(data + searched, data + most, delimiter, size);
        if (CR_LIKELY(end))
            return reader_give(reader, (size_t)(end - data), message);
        if (reader->length >= reader->limit)
            return -EMSGSIZE;
        searched = most >= size ? most - (size - 1) : 0;
        ssize_t got = reader_more(reader, until);
        if (got <= 0)
            return got;
    }
}

ssize_t coir_reader_until(coir_reader *reader, const void *delimiter, size_t size, char **message,
                          coir_time until)
{
    if (CR_UNLIKELY(size == 0))
        cr_fatal_mistake("coir_reader_until", CR_CALLER, "the delimiter is empty");
    return reader_until(reader, delimiter, size, message, until);
}

/* What may be the beginning of a delimiter stays. Of a peer that sends without end each read would
 * go well, so the deadline is looked at here. */
int coir_reader_skip(coir_reader *reader, const void *delimiter, size_t size, coir_time until)
{
    if (CR_UNLIKELY(size == 0))
        cr_fatal_mistake("coir_reader_skip", CR_CALLER, "the delimiter is empty");
    for (bool late = false;; late = coir_left(until) == 0) {
        const char *data = reader->data, *end = NULL;
        if (reader->length >= size)
            end = reader_find(data, data + reader->length, delimiter, size);
        if (end) {
            coir_reader_take(reader, (size_t)(end - data));
            return 1;
        }
        if (reader->length >= size)
            coir_reader_take(reader, reader->length - (size - 1));
        ssize_t got = late ? COIR_TIMED_OUT : coir_reader_fill(reader, until);
        if (got == 0)
            coir_reader_take(reader, reader->length);
        if (got <= 0)
            return (int)got;
    }
}

ssize_t coir_reader_line(coir_reader *reader, char **line, coir_time until)
{
    ssize_t length = reader_until(reader, "\n", 1, line, until);
    if (length > 0) {
        char *end = *line + length - 1;
        *(length > 1 && end[-1] == '\r' ? end - 1 : end) = '\0';
    }
    return length;
}

ssize_t coir_reader_exact(coir_reader *reader, size_t count, char **bytes, coir_time until)
{
    if (count > reader->limit)
        return -EMSGSIZE;
    while (reader->length < count) {
        ssize_t got = reader_more(reader, until);
        if (got <= 0)
            return got;
    }
    return reader_give(reader, count, bytes);
}

ssize_t coir_reader_read(coir_reader *reader, void *buf, size_t size, coir_time until)
{
    if (reader->length == 0 && size >= reader->size)
        return coir_read(reader->fd, buf, size, until);
    if (reader->length == 0 && size > 0) {
        ssize_t got = coir_reader_fill(reader, until);
        if (got <= 0)
            return got;
    }
    if (size > reader->length)
        size = reader->length;
    if (size > 0)
        memcpy(buf, reader->data, size);
    return (ssize_t)coir_reader_take(reader, size);
}

void coir_writer_init(coir_writer *writer, int fd, void *buf, size_t size)
{
    if (CR_UNLIKELY(!buf || size == 0 || size > PTRDIFF_MAX))
        cr_fatal_mistake("coir_writer_init", CR_CALLER, "the buffer has no size");
    *writer = (coir_writer){.fd = fd, .buf = buf, .size = size};
}

static void writer_sent(coir_writer *writer, size_t count)
{
    writer->begin += count;
    if (writer->begin == writer->end)
        writer->begin = writer->end = 0;
}

/* Sends something of what is in the buffer and of `data`, by one call. Returns how much of `data`
 * was sent, or an error. */
static ssize_t writer_send(coir_writer *writer, const char *data, size_t size, coir_time until)
{
    size_t buffered = writer->end - writer->begin;
    if (buffered == 0)
        return coir_write(writer->fd, data, size, until);
    struct iovec parts[] = {{writer->buf + writer->begin, buffered},
                            {(void *)(uintptr_t)data, size}};
    ssize_t sent = coir_writev(writer->fd, parts, 2, until);
    if (sent < 0)
        return sent;
    size_t of_buffer = (size_t)sent < buffered ? (size_t)sent : buffered;
    writer_sent(writer, of_buffer);
    return sent - (ssize_t)of_buffer;
}

/* Makes room by moving what is not sent to the front, where that is enough. */
static bool writer_fits(coir_writer *writer, size_t size)
{
    size_t buffered = writer->end - writer->begin;
    if (size > writer->size - buffered)
        return false;
    if (size > writer->size - writer->end) {
        memmove(writer->buf, writer->buf + writer->begin, buffered);
        writer->begin = 0;
        writer->end = buffered;
    }
    return true;
}

static void writer_append(coir_writer *writer, const char *data, size_t size)
{
    memcpy(writer->buf + writer->end, data, size);
    writer->end += size;
}

/* As long as it does not fit. Of what is left after a send, the end is buffered again, so that a
 * writer does not wait longer than it must. */
static ssize_t writer_write_through(coir_writer *writer, const char *data, size_t size,
                                    coir_time until)
{
    size_t done = 0;
    while (!writer_fits(writer, size - done)) {
        ssize_t sent = writer_send(writer, data + done, size - done, until);
        if (sent < 0) {
            writer->error = (int)sent;
            return done > 0 ? (ssize_t)done : sent;
        }
        done += (size_t)sent;
    }
    writer_append(writer, data + done, size - done);
    return (ssize_t)size;
}

ssize_t coir_writer_write(coir_writer *writer, const void *data, size_t size, coir_time until)
{
    if (CR_UNLIKELY(writer->error))
        return writer->error;
    if (CR_UNLIKELY(size > PTRDIFF_MAX))
        cr_fatal_mistake("coir_writer_write", CR_CALLER, "the size is negative");
    if (CR_UNLIKELY(size > writer->size - writer->end))
        return writer_write_through(writer, data, size, until);
    if (size > 0)
        writer_append(writer, data, size);
    return (ssize_t)size;
}

static int writer_flush(coir_writer *writer, coir_time until)
{
    while (writer->end > writer->begin) {
        ssize_t sent = coir_write(writer->fd, writer->buf + writer->begin,
                                  writer->end - writer->begin, until);
        if (sent < 0)
            return (int)sent;
        writer_sent(writer, (size_t)sent);
    }
    return 0;
}

int coir_writer_flush(coir_writer *writer, coir_time until)
{
    return CR_UNLIKELY(writer->error) ? writer->error : writer_flush(writer, until);
}

/* Into the free end of the buffer: its length, also when it does not fit. */
static int writer_format(coir_writer *writer, const char *format, va_list values)
{
    size_t room = writer->size - writer->end;
    int length = vsnprintf(writer->buf + writer->end, room, format, values);
    if (length >= 0 && (size_t)length < room)
        writer->end += (size_t)length;
    return length;
}

/* It is formatted again where it did not fit at first, since nothing else has room for it. */
int coir_writer_print(coir_writer *writer, coir_time until, const char *format, ...)
{
    va_list values;
    size_t room = writer->size - writer->end;
    if (CR_UNLIKELY(writer->error))
        return writer->error;
    va_start(values, format);
    int length = writer_format(writer, format, values);
    va_end(values);
    if (CR_LIKELY(length >= 0 && (size_t)length < room))
        return length;
    int result = length < 0 ? -EINVAL : (size_t)length >= writer->size ? -EMSGSIZE : 0;
    if (result == 0 && !writer_fits(writer, (size_t)length + 1))
        result = writer_flush(writer, until);
    if (result < 0) {
        writer->error = result;
        return result;
    }
    va_start(values, format);
    writer_format(writer, format, values);
    va_end(values);
    return length;
}
