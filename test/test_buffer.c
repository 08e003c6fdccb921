/* Buffered reading and writing: messages come whole however they are cut up, and nothing is lost
 * or doubled when a call ends early. */
#include "fds.h"

#include <coir_buffer.h>
#include <coir_net.h>

enum { KINDS = 3 };

/* Every kind of what bytes are read from: a pipe, a Unix socket, TCP. */
static struct fds_pair open_kind(int kind)
{
    struct fds_pair pair = kind == 0 ? fds_pipe(0) : kind == 1 ? fds_unix(SOCK_STREAM) : fds_tcp();
    CHECK_EQ(coir_adopt(pair.in), 0);
    return pair;
}

static void close_both(struct fds_pair pair)
{
    CHECK_EQ(coir_close(pair.in), 0);
    CHECK_EQ(coir_close(pair.out), 0);
}

static void put(int fd, const char *text, size_t size)
{
    if (size > 0)
        CHECK_EQ(coir_write_all(fd, text, size, NULL, COIR_NEVER), 0);
}

/* ---- reading ---- */

static const char SCRIPT[] = "GET / HTTP\r\n\r\nabc\n\nx\r\n12345\r\rtail--end--..";

/* Reads what SCRIPT has, whatever the cuts. */
static int read_script(void *arg)
{
    char memory[32], *text;
    coir_reader in;
    coir_reader_init(&in, *(int *)arg, memory, sizeof memory);
    CHECK_EQ(coir_reader_until(&in, "\r\n\r\n", 4, &text, COIR_NEVER), 14);
    CHECK(memcmp(text, SCRIPT, 14) == 0);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 4);
    CHECK_STR(text, "abc");
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 1);
    CHECK_STR(text, "");
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 3);
    CHECK_STR(text, "x");
    CHECK_EQ(coir_reader_exact(&in, 0, &text, COIR_NEVER), 0);
    CHECK_EQ(coir_reader_exact(&in, 5, &text, COIR_NEVER), 5);
    CHECK(memcmp(text, "12345", 5) == 0);
    CHECK_EQ(coir_reader_until(&in, "\r\r", 2, &text, COIR_NEVER), 2);
    CHECK_EQ(coir_reader_until(&in, "--end--", 7, &text, COIR_NEVER), 11);
    CHECK(memcmp(text, "tail--end--", 11) == 0);
    CHECK_EQ(coir_reader_exact(&in, 2, &text, COIR_NEVER), 2);
    CHECK_EQ(coir_reader_exact(&in, 1, &text, COIR_NEVER), 0);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 0);
    CHECK_EQ(coir_reader_until(&in, "xy", 2, &text, COIR_NEVER), 0);
    CHECK_EQ(coir_reader_fill(&in, COIR_NEVER), 0);
    return coir_close(in.fd);
}

enum { SCRIPT_SIZE = sizeof SCRIPT - 1 };

/* Cuts it at two places; each part comes when the reader has taken in what was before. */
static void write_cut(int kind, size_t first, size_t second)
{
    struct fds_pair pair = open_kind(kind);
    coir_fiber reader = run_spawn(read_script, &pair.in);
    put(pair.out, SCRIPT, first);
    fds_until_parked(reader);
    put(pair.out, SCRIPT + first, second - first);
    if (second > first)
        fds_until_woken(reader);
    fds_until_parked(reader);
    put(pair.out, SCRIPT + second, SCRIPT_SIZE - second);
    CHECK_EQ(coir_close(pair.out), 0);
    CHECK_EQ(run_join(reader), 0);
}

static int cuts(void *arg)
{
    (void)arg;
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t first = 0; first <= SCRIPT_SIZE; first++)
            write_cut(kind, first, first);
    for (size_t first = 0; first <= SCRIPT_SIZE; first++)
        for (size_t second = first; second <= SCRIPT_SIZE; second += 3)
            write_cut(1, first, second);
    return 0;
}

/* proves: N8 */
TEST(test_messages_come_whole_wherever_they_are_cut)
{
    run_monotonic(cuts, NULL);
}

static int bytes(void *arg)
{
    (void)arg;
    for (int kind = 0; kind < KINDS; kind++) {
        struct fds_pair pair = open_kind(kind);
        coir_fiber reader = run_spawn(read_script, &pair.in);
        for (size_t i = 0; i < SCRIPT_SIZE; i++) {
            fds_until_parked(reader);
            put(pair.out, SCRIPT + i, 1);
            fds_until_woken(reader);
        }
        CHECK_EQ(coir_close(pair.out), 0);
        CHECK_EQ(run_join(reader), 0);
    }
    return 0;
}

/* proves: N8 */
TEST(test_messages_come_whole_byte_by_byte)
{
    run_monotonic(bytes, NULL);
}

/* A script of lines, each of another length, through a buffer of each size. */
static int sizes(void *arg)
{
    static char memory[64], all[600];
    char *line;
    size_t used = 0;
    (void)arg;
    for (size_t length = 0; length < 32; length++) {
        memset(all + used, (int)('a' + length % 26), length);
        all[used + length] = '\n';
        used += length + 1;
    }
    for (size_t size = 32; size <= sizeof memory; size++) {
        struct fds_pair pair = open_kind(1);
        coir_reader in;
        put(pair.out, all, used);
        coir_reader_init(&in, pair.in, memory, size);
        for (size_t length = 0; length < 32; length++) {
            CHECK_EQ(coir_reader_line(&in, &line, COIR_NEVER), length + 1);
            CHECK_EQ(strlen(line), length);
            CHECK_EQ(strspn(line, (char[]){(char)('a' + length % 26), '\0'}), length);
        }
        close_both(pair);
    }
    return 0;
}

/* proves: N8 */
TEST(test_a_buffer_of_any_size_hands_out_the_same_messages)
{
    run_monotonic(sizes, NULL);
}

/* What nearly is a delimiter, also together with bytes that were consumed before. */
static int near_delimiters(void *arg)
{
    struct fds_pair pair = open_kind(1);
    char memory[64], *text;
    coir_reader in;
    (void)arg;
    coir_reader_init(&in, pair.in, memory, sizeof memory);
    put(pair.out, "a34ba1ba12aba12b", 16);
    CHECK_EQ(coir_reader_until(&in, "a12b", 4, &text, COIR_NEVER), 16);
    put(pair.out, "x\r\n\r\nabc", 8);
    CHECK_EQ(coir_reader_exact(&in, 4, &text, COIR_NEVER), 4);
    CHECK_EQ(coir_reader_until(&in, "\r\n\r\n", 4, &text, COIR_TRY), COIR_TIMED_OUT);
    put(pair.out, "\r\n\r\n", 4);
    CHECK_EQ(coir_reader_until(&in, "\r\n\r\n", 4, &text, COIR_NEVER), 8);
    put(pair.out, "\r\n", 2);
    CHECK_EQ(coir_reader_exact(&in, 1, &text, COIR_NEVER), 1);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 1);
    CHECK_STR(text, "");
    close_both(pair);
    return 0;
}

/* proves: N8 */
TEST(test_what_is_nearly_a_delimiter_is_none)
{
    run_monotonic(near_delimiters, NULL);
}

static int limits(void *arg)
{
    struct fds_pair pair = open_kind(1);
    char memory[16], *text;
    coir_reader in;
    (void)arg;
    coir_reader_init(&in, pair.in, memory, sizeof memory);
    put(pair.out, "0123456789abcde\n0123456789abcdef\nok\n", 36);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 16); /* just fits */
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), -EMSGSIZE);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), -EMSGSIZE);
    CHECK_EQ(coir_reader_fill(&in, COIR_NEVER), -EMSGSIZE);
    CHECK_EQ(in.length, 16);
    CHECK(memcmp(in.data, "0123456789abcdef", 16) == 0);
    CHECK_EQ(coir_reader_take(&in, SIZE_MAX), 16);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 1); /* the end of the long one */
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 3);
    CHECK_STR(text, "ok");
    CHECK_EQ(coir_reader_exact(&in, 17, &text, COIR_NEVER), -EMSGSIZE);

    in.limit = 4; /* lower than the buffer's size; what lies behind it does not count */
    put(pair.out, "abc\nabcd\n", 9);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 4);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), -EMSGSIZE);
    CHECK_EQ(coir_reader_exact(&in, 5, &text, COIR_NEVER), -EMSGSIZE);
    CHECK_EQ(coir_reader_take(&in, 2), 2);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 3);
    CHECK_STR(text, "cd");
    in.limit = SIZE_MAX; /* above it the buffer's size holds */
    put(pair.out, "0123456789abcdef", 16);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), -EMSGSIZE);
    CHECK_EQ(coir_reader_exact(&in, 17, &text, COIR_NEVER), -EMSGSIZE);
    CHECK_EQ(coir_reader_exact(&in, 16, &text, COIR_NEVER), 16);
    close_both(pair);
    return 0;
}

/* proves: N9 */
TEST(test_a_message_above_the_limit_is_told_and_can_be_passed_over)
{
    run_monotonic(limits, NULL);
}

/* Past what is above the limit, with the delimiter whole or in two pieces, until there is none. */
static int skips(void *arg)
{
    (void)arg;
    for (int kind = 0; kind < KINDS; kind++) {
        struct fds_pair pair = open_kind(kind);
        char memory[8], *text;
        coir_reader in;
        coir_reader_init(&in, pair.in, memory, sizeof memory);
        put(pair.out, "0123456789\r0\r\nok\r\n01234\r", 24);
        CHECK_EQ(coir_reader_until(&in, "\r\n", 2, &text, COIR_NEVER), -EMSGSIZE);
        CHECK_EQ(coir_reader_skip(&in, "\r\n", 2, COIR_NEVER), 1);
        CHECK_EQ(coir_reader_until(&in, "\r\n", 2, &text, COIR_NEVER), 4);
        CHECK_EQ(coir_reader_skip(&in, "\r\n", 2, COIR_TRY), COIR_TIMED_OUT);
        CHECK_EQ(in.length, 1);
        put(pair.out, "\nx\n\n", 4);
        CHECK_EQ(coir_reader_skip(&in, "\r\n", 2, COIR_NEVER), 1);
        CHECK_EQ(coir_reader_skip(&in, "\n", 1, COIR_NEVER), 1);
        CHECK_EQ(coir_reader_skip(&in, "\n", 1, COIR_NEVER), 1);
        put(pair.out, "0123456789012", 13);
        CHECK_EQ(coir_reader_skip(&in, "delimiter", 9, COIR_NEVER), -EMSGSIZE);
        CHECK_EQ(coir_close(pair.out), 0);
        CHECK_EQ(coir_reader_skip(&in, "\n", 1, COIR_NEVER), 0);
        CHECK_EQ(in.length, 0);
        CHECK_EQ(coir_close(pair.in), 0);
    }
    return 0;
}

/* proves: N9 */
TEST(test_what_is_above_the_limit_is_skipped)
{
    run_monotonic(skips, NULL);
}

static int send_no_delimiter(void *arg)
{
    static char much[65536];
    while (coir_write(*(int *)arg, much, sizeof much, COIR_NEVER) > 0)
        ;
    return 0;
}

static int skips_in_time(void *arg)
{
    struct fds_pair pair = open_kind(1);
    char memory[512];
    coir_reader in;
    (void)arg;
    coir_reader_init(&in, pair.in, memory, sizeof memory);
    coir_fiber sender = run_spawn(send_no_delimiter, &pair.out);
    CHECK_EQ(coir_reader_skip(&in, "\n", 1, coir_after(COIR_MS(20))), COIR_TIMED_OUT);
    CHECK_EQ(coir_close(pair.in), 0);
    CHECK_EQ(run_join(sender), 0);
    CHECK_EQ(coir_close(pair.out), 0);
    return 0;
}

/* proves: N9 */
TEST(test_a_peer_that_sends_no_delimiter_is_given_up)
{
    run_monotonic(skips_in_time, NULL);
}

static int ends(void *arg)
{
    char memory[16], *text;
    (void)arg;
    for (int kind = 0; kind < KINDS; kind++) {
        struct fds_pair pair = open_kind(kind);
        coir_reader in;
        coir_reader_init(&in, pair.in, memory, sizeof memory);
        put(pair.out, "abc\nde", 6);
        CHECK_EQ(coir_close(pair.out), 0);
        CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 4);
        CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), -EBADMSG);
        CHECK_EQ(coir_reader_until(&in, "xy", 2, &text, COIR_NEVER), -EBADMSG);
        CHECK_EQ(coir_reader_exact(&in, 3, &text, COIR_NEVER), -EBADMSG);
        CHECK_EQ(in.length, 2);
        CHECK(memcmp(in.data, "de", 2) == 0);
        CHECK_EQ(coir_reader_exact(&in, 2, &text, COIR_NEVER), 2);
        CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 0);
        CHECK_EQ(coir_close(pair.in), 0);
        CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), -EBADF);
    }
    return 0;
}

/* proves: N9 */
TEST(test_an_end_of_file_within_a_message_is_not_one_between_messages)
{
    run_monotonic(ends, NULL);
}

static int late_line(void *arg)
{
    char *text;
    return (int)coir_reader_line(arg, &text, COIR_NEVER);
}

static int interrupted(void *arg)
{
    struct fds_pair pair = open_kind(1);
    char memory[64], *text;
    coir_reader in;
    (void)arg;
    coir_reader_init(&in, pair.in, memory, sizeof memory);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_TRY), COIR_TIMED_OUT);
    put(pair.out, "ab", 2);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_TRY), COIR_TIMED_OUT);
    put(pair.out, "cd", 2);
    CHECK_EQ(coir_reader_until(&in, "\r\n", 2, &text, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    CHECK_EQ(coir_reader_exact(&in, 5, &text, coir_after(COIR_MS(1))), COIR_TIMED_OUT);
    coir_fiber fiber = run_spawn(late_line, &in);
    put(pair.out, "e\r", 2);
    fds_until_parked(fiber);
    CHECK_EQ(coir_cancel(fiber, COIR_CANCELLED), 0);
    CHECK_EQ(run_join(fiber), COIR_CANCELLED);
    CHECK_EQ(coir_reader_until(&in, "\r\n", 2, &text, COIR_TRY), COIR_TIMED_OUT);
    put(pair.out, "\nf", 2);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_TRY), 7);
    CHECK_STR(text, "abcde");
    CHECK_EQ(coir_reader_take(&in, 5), 1);

    put(pair.out, "one\ntwo", 7);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 4);
    CHECK_EQ(coir_cancel(coir_self(), COIR_CANCELLED), 0);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), COIR_CANCELLED);
    CHECK_EQ(coir_reader_exact(&in, 3, &text, COIR_NEVER), 3); /* it is there already */
    CHECK(memcmp(text, "two", 3) == 0);
    close_both(pair);
    return 0;
}

/* proves: N9, C1 */
TEST(test_what_was_read_before_a_timeout_or_a_stop_is_not_lost)
{
    run_monotonic(interrupted, NULL);
}

static int raw(void *arg)
{
    struct fds_pair pair = open_kind(2);
    char memory[8], out[64], *text;
    coir_reader in;
    (void)arg;
    coir_reader_init(&in, pair.in, memory, sizeof memory);
    put(pair.out, "ab\n0123456789ABCDEFghij", 23);
    CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 3);
    CHECK_EQ(coir_reader_read(&in, out, 3, COIR_NEVER), 3);
    CHECK(memcmp(out, "012", 3) == 0);
    CHECK_EQ(coir_reader_read(&in, out, sizeof out, COIR_NEVER), 2); /* the rest of the buffer */
    fds_count();
    CHECK_EQ(coir_reader_read(&in, out, 9, COIR_NEVER), 9); /* past the buffer */
    CHECK(memcmp(out, "56789ABCD", 9) == 0);
    CHECK_EQ(in.length, 0);
    CHECK_EQ(coir_reader_read(&in, out, 1, COIR_NEVER), 1);
    CHECK_EQ(fds_calls.read, 2);
    CHECK_EQ(in.length, 5);
    CHECK_EQ(coir_reader_read(&in, out, 0, COIR_NEVER), 0);
    CHECK_EQ(coir_reader_read(&in, out, sizeof out, COIR_NEVER), 5);
    CHECK(memcmp(out, "Fghij", 5) == 0);
    CHECK_EQ(coir_reader_read(&in, out, 4, COIR_TRY), COIR_TIMED_OUT);
    CHECK_EQ(coir_close(pair.out), 0);
    CHECK_EQ(coir_reader_read(&in, out, 4, COIR_NEVER), 0);
    return coir_close(pair.in);
}

/* proves: N8 */
TEST(test_bytes_are_read_from_the_buffer_first_and_then_past_it)
{
    run_monotonic(raw, NULL);
}

static int pipelined(void *arg)
{
    enum { COUNT = 100 };
    struct fds_pair pair = open_kind(2);
    char memory[4096], *text;
    coir_reader in;
    (void)arg;
    coir_reader_init(&in, pair.in, memory, sizeof memory);
    for (int i = 0; i < COUNT; i++)
        memcpy(memory + 20 * i, "a request of twenty\n", 20);
    put(pair.out, memory, 20 * COUNT);
    fds_count();
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(coir_reader_line(&in, &text, COIR_NEVER), 20);
    CHECK_EQ(fds_calls.read, 1);
    close_both(pair);
    return 0;
}

/* proves: N8 */
TEST(test_messages_that_came_together_are_read_by_one_call)
{
    run_monotonic(pipelined, NULL);
}

/* proves: F2 */
TEST_DIES(test_a_reader_without_buffer_is_a_mistake, SIGABRT, "coir_reader_init: ")
{
    char memory[1];
    coir_reader in;
    coir_reader_init(&in, 0, memory, 0);
}

/* proves: F2 */
TEST_DIES(test_an_empty_delimiter_is_a_mistake, SIGABRT, "coir_reader_until: ")
{
    char memory[1], *text;
    coir_reader in;
    coir_reader_init(&in, 0, memory, 1);
    coir_reader_until(&in, "", 0, &text, COIR_NEVER);
}
