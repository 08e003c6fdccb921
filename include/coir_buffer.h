/* coir_buffer.h: buffered reading and writing of descriptors of any kind, through memory of the
 * caller's. What coir.h says of all calls holds here too. */
#ifndef COIR_BUFFER_H
#define COIR_BUFFER_H

#include "coir.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Lets the compiler look at the values of a printf format. */
#if defined(__GNUC__)
#define COIR_PRINTF(at, values) __attribute__((format(printf, at, values)))
#else
#define COIR_PRINTF(at, values)
#endif

/* ---- buffered reading ------------------------------------------------------------------------ */

/* Reads a descriptor of any kind through memory of the caller's. What is unread lies at data[0 …
 * length - 1], for the caller to look at and, as its own bytes, to change. A call that ends with an
 * error has consumed nothing, and the next one goes on where it was. Of two fibers only one at a
 * time may read.
 *
 * Buffered data is returned without a system call, even to a cancelled fiber; a call parks only
 * where it must read more. A pointer that is returned is valid until the
 * next call that must read. */
typedef struct coir_reader {
    int fd;        /* what is read */
    char *data;    /* the first byte that is unread */
    size_t length; /* how many there are */
    size_t limit;  /* the longest message; the buffer's size, or less when the caller lowers it */
    char *buf;     /* the caller's memory */
    size_t size;   /* how much of it */
} coir_reader;

/* Begins with nothing read. No size, or no memory, is misuse. */
COIR_API void coir_reader_init(coir_reader *reader, int fd, void *buf, size_t size);

/* Reads what there is, or waits for it, behind the unread bytes. Returns how many bytes came, 0 at
 * the end of file; -EMSGSIZE when the buffer is full of unread ones; or an error as coir_read.
 * Parks. */
COIR_API ssize_t coir_reader_fill(coir_reader *reader, coir_time until);

/* Waits for the first byte of the next message, as coir_net_await does. Returns how many bytes are
 * unread, 0 at the end, or an error as coir_read. Parks only when none is unread. */
COIR_API ssize_t coir_reader_await(coir_reader *reader, coir_time until);

/* Consumes bytes that are there: `count` of them, or all. Returns how many. Never parks. */
COIR_API size_t coir_reader_take(coir_reader *reader, size_t count);

/* Consumes a message that ends with `delimiter`, `size` bytes that are not 0: hands it out in
 * *message and returns its length, delimiter included. 0: the end of file, and nothing before it;
 * -EBADMSG: an end of file in the middle of a message, which is in reader->data; -EMSGSIZE: no
 * delimiter within (or at the end of) reader->limit bytes, which are all there, for
 * coir_reader_skip to pass over; or an error as coir_read. Parks. */
COIR_API ssize_t coir_reader_until(coir_reader *reader, const void *delimiter, size_t size,
                                   char **message, coir_time until);

/* Consumes all up to the next delimiter, however much that is, and the delimiter: the rest of a
 * message that is above the limit. Returns 1; 0: the end of file came first; or an error as
 * coir_read, after which the next call goes on (what was passed over is consumed). Parks. */
COIR_API int coir_reader_skip(coir_reader *reader, const void *delimiter, size_t size,
                              coir_time until);

/* Consumes a line and ends it with NUL in place of its "\n" or "\r\n". Returns the bytes that it
 * took, its end included, or as coir_reader_until. A NUL within the line is left where it is.
 * Parks. */
COIR_API ssize_t coir_reader_line(coir_reader *reader, char **line, coir_time until);

/* Consumes exactly `count` bytes: hands them out in *bytes and returns `count`, or as
 * coir_reader_until: -EMSGSIZE at once when it is above reader->limit. Parks. */
COIR_API ssize_t coir_reader_exact(coir_reader *reader, size_t count, char **bytes,
                                   coir_time until);

/* As coir_read, but what is in the buffer comes first; behind it what is long is read past the
 * buffer. Parks. */
COIR_API ssize_t coir_reader_read(coir_reader *reader, void *buf, size_t size, coir_time until);

/* ---- buffered writing ------------------------------------------------------------------------ */

/* Writes to a descriptor of any kind through memory of the caller's. What does not fit is sent
 * together with what is there, by one call. Each byte that a call has counted is sent once and in
 * order: after an error it is still in the buffer, and the next call goes on. Of two fibers only
 * one at a time may write.
 *
 * A write that could not take all sets `error`, which all later calls return without doing
 * anything: so it is enough to look at the flush. To go on with the rest, set it to 0. */
typedef struct coir_writer {
    int fd;       /* what is written to */
    int error;    /* why a write did not take all that it was given; 0: none was cut short */
    char *buf;    /* the caller's memory */
    size_t size;  /* how much of it */
    size_t begin; /* the bytes before it are sent */
    size_t end;   /* the bytes from here on are free */
} coir_writer;

/* Begins with nothing written. No size, or no memory, is misuse. */
COIR_API void coir_writer_init(coir_writer *writer, int fd, void *buf, size_t size);

/* Writes `size` bytes: into the buffer, or what does not fit to the descriptor. Returns `size`;
 * less after an error (the next call tells it), or the error if none was taken. Parks only when
 * they do not fit. */
COIR_API ssize_t coir_writer_write(coir_writer *writer, const void *data, size_t size,
                                   coir_time until);

/* Writes text as printf(3) does, all of it or nothing. Returns its length; -EMSGSIZE for one that
 * does not fit into an empty buffer with a NUL behind it, which is writer->error from then on; or
 * an error as coir_writer_write; -EINVAL for a format that printf refuses. Note the place of
 * `until`. Parks only when it does not fit. */
COIR_API int coir_writer_print(coir_writer *writer, coir_time until, const char *format, ...)
    COIR_PRINTF(3, 4);

/* Sends what is in the buffer. Returns 0; writer->error; or an error as coir_write: what was not
 * sent is still there, for the next flush. Parks. */
COIR_API int coir_writer_flush(coir_writer *writer, coir_time until);

#ifdef __cplusplus
}
#endif
#endif
