/* What the kernels of macOS and the BSDs answer differently: a row for each difference. Tests take
 * from it what they expect; the tests' own kqueue and the calls around it take what they answer:
 * there COIR_KERNEL in the environment names the kernel: macos, freebsd, netbsd or openbsd; freebsd
 * if it is not set.
 *
 * Sources: XNU 11417, FreeBSD's main of 2025 (Unix sockets apart), NetBSD 10, OpenBSD of 2025; a
 * function is in sys/kern (bsd/kern), or of the file system. "measured": on NetBSD 7.99's kernel
 * as a library. Nothing was run on macOS, FreeBSD or OpenBSD. */
#ifndef TEST_KQUEUE_KERNEL_H
#define TEST_KQUEUE_KERNEL_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

/* When poll says POLLHUP of a socket. Elsewhere than on Linux it never says POLLERR, and POLLHUP
 * hides POLLOUT. */
enum kernel_hup {
    HUP_LINUX, /* and POLLERR */
    HUP_NEVER,
    HUP_BOTH, /* both directions have ended */
    HUP_ANY   /* a direction that was asked for has ended: the peer's end, or one's own */
};

enum kernel_exit { EXIT_KEPT, EXIT_DROPPED, EXIT_TOLD };

/* name, Linux (where a test asks; else 0), macOS, FreeBSD, NetBSD, OpenBSD, what it is and where it
 * is from */
#define KERNEL_ROWS(ROW)                                                                           \
    ROW(send_waits, 0, 1, 0, 1, 0,                                                                 \
        "send(MSG_DONTWAIT) waits on a blocking socket, but with MSG_NBIO: sosendcheck; sosend; "  \
        "measured")                                                                                \
    ROW(listen_deafens, 0, 0, 0, 1, 0,                                                             \
        "READ that was added before listen is never told: soo_kqfilter chooses for good; "         \
        "measured")                                                                                \
    ROW(tells_full_pipe, 1, 1, 1, 0, 0,                                                            \
        "WRITE of a full pipe whose reader goes: pipeclose, pipe_destroy wake before PIPE_EOF; "   \
        "measured")                                                                                \
    ROW(writer_reads_end, 0, 1, 0, 1, 1,                                                           \
        "READ on a pipe's writing end says EV_EOF when the reader goes: pipe_kqfilter, filt_pipe; "\
        "FreeBSD: pipe_nfiltops; measured")                                                        \
    ROW(reader_writes_end, 0, 1, 0, 0, 1,                                                          \
        "WRITE on a pipe's reading end says EV_EOF when the writer goes: the same functions")      \
    ROW(wrong_end, 0, 0, 0, 0, 0,                                                                  \
        "what a filter on a pipe's wrong end is refused with: older kernels did")                  \
    ROW(gone_reader, 0, 0, EPIPE, EBADF, 0,                                                        \
        "what adding WRITE says when the reader has gone; 0: EV_EOF: pipe_kqfilter; measured")     \
    ROW(end_deletes, 0, 0, 1, 0, 0,                                                                \
        "EV_EOF deletes the WRITE of a pipe: pipeclose, knlist_clear")                             \
    ROW(enable_fires, 0, 1, 1, 1, 0,                                                               \
        "EV_ENABLE of what is enabled looks again: kevent_register; kqueue_register; OpenBSD: "    \
        "only with KN_DISABLED")                                                                   \
    ROW(enable_modifies, 0, 1, 1, 1, 0,                                                            \
        "EV_ENABLE alone replaces fflags, data and udata: the same functions, knote_assign")       \
    ROW(accept_tells_rest, 0, 0, 1, 1, 1,                                                          \
        "after an accept, other connections are told again: kern_accept4, do_sys_accept, "         \
        "doaccept; measured")                                                                      \
    ROW(pipe_mark, 0, 1, 0, 0, 0, "NOTE_LOWAT of pipes is obeyed: filt_pipelowwat; measured")      \
    ROW(null_device, ENODEV, EINVAL, ENODEV, 0, 0,                                                 \
        "/dev/null: refused, on macOS without NOTE_LOWAT; 0: always ready: filt_specattach; "      \
        "no_kqfilter; seltrue_kqfilter; measured")                                                 \
    ROW(seconds_most, 0, INT32_MAX, 0, 0, 0,                                                       \
        "the longest time-out, more is EINVAL; 0: any: timespec_is_valid; measured")               \
    ROW(has_except, 1, 1, 0, 0, 1, "EVFILT_EXCEPT with NOTE_OOB: sys/event.h")                     \
    ROW(hup, HUP_LINUX, HUP_ANY, HUP_BOTH, HUP_NEVER, HUP_BOTH,                                    \
        "poll of sockets: poll_nocancel over kqueue; sopoll_generic; sopoll, measured; soo_poll")  \
    ROW(unconnected_ends, 1, 0, 0, 0, 0,                                                           \
        "a TCP socket that was never connected has hung up: sopoll, filt_soread; measured")        \
    ROW(full_path_refuses, 0, 1, 1, 1, 1,                                                          \
        "connect to a Unix path whose queue is full: ECONNREFUSED: unp_connect; measured")         \
    ROW(full_datagram, EAGAIN, ENOBUFS, ENOBUFS, ENOBUFS, ENOBUFS,                                 \
        "send of a Unix datagram to a full receiver: uipc_send; measured")                         \
    ROW(shut_tells_writer, 0, 1, 1, 1, 1,                                                          \
        "one's own shutdown(SHUT_WR) is EV_EOF of WRITE: filt_sowrite; measured")                  \
    ROW(no_parts, 0, EINVAL, 0, EINVAL, EINVAL,                                                    \
        "readv and writev of 0 parts: uio_create; copyinuio; do_filewritev, measured; "            \
        "iovec_copyin")                                                                            \
    ROW(born_triggered, 0, 1, 0, 0, 1,                                                             \
        "NOTE_TRIGGER in the EV_ADD that makes a user's event: filt_userattach")                   \
    ROW(clear_takes_back, 0, 0, 1, 1, 1,                                                           \
        "EV_CLEAR beside NOTE_TRIGGER in a later change takes the trigger back: filt_usertouch")   \
    ROW(clear_dispatches, 0, 1, 1, 0, 1,                                                           \
        "EV_DISPATCH disables what has EV_CLEAR too: kqueue_scan")                                 \
    ROW(timer_of_nothing, 0, 0, 0, EINVAL, 0, "a timer of length 0: filt_timercompute")            \
    ROW(beyond_signals, 0, 0, 0, 0, EINVAL, "a signal beyond the last: filt_sigattach")            \
    ROW(zombie, 0, ESRCH, 0, ESRCH, ESRCH,                                                         \
        "PROC of a child that has exited; 0: reported at once: filt_procattach")                   \
    ROW(unasked_exit, 0, EXIT_KEPT, EXIT_DROPPED, EXIT_TOLD, EXIT_TOLD,                            \
        "the exit of a process of which NOTE_EXIT was not asked: proc_knote_drain; "               \
        "kqueue_scan; knote_proc_exit; filt_proc")                                                 \
    ROW(exit_has_status, 0, 0, 1, 1, 1,                                                            \
        "data of NOTE_EXIT is the status; else of NOTE_EXITSTATUS: filt_procevent")                \
    ROW(unlink_is_link, 0, 1, 0, 0, 0, "unlink is NOTE_LINK too: VNOP_REMOVE")                     \
    ROW(unlink_counts, 0, 0, 0, 1, 0,                                                              \
        "unlink of one link of several is NOTE_LINK alone: tmpfs_remove")                          \
    ROW(tells_truncate, 0, 0, 0, 0, 1, "a file made shorter is NOTE_TRUNCATE: ufs_setattr")

struct kernel {
    const char *name;
#define KERNEL_MEMBER(member, linux, macos, freebsd, netbsd, openbsd, source) int member;
    KERNEL_ROWS(KERNEL_MEMBER)
#undef KERNEL_MEMBER
};


#ifdef COIR_KQUEUE

/* The one that was chosen. A test may change it. */
extern struct kernel *kernel;

/* poll as Linux answers it. */
short kernel_poll(int fd, short events);

/* Whether one's own shutdown(SHUT_WR) has ended its writing; whether it is a socket that was never
 * to be connected. */
bool kernel_has_shut(int fd);
bool kernel_is_unconnected(int fd);

/* The number is about to be another file. */
void kernel_forget(int fd);

#else

/* The one that this is. */
#if defined(__APPLE__)
#define KERNEL_COLUMN(member, linux, macos, freebsd, netbsd, openbsd, source) .member = macos,
#elif defined(__FreeBSD__) || defined(__DragonFly__)
#define KERNEL_COLUMN(member, linux, macos, freebsd, netbsd, openbsd, source) .member = freebsd,
#elif defined(__NetBSD__)
#define KERNEL_COLUMN(member, linux, macos, freebsd, netbsd, openbsd, source) .member = netbsd,
#elif defined(__OpenBSD__)
#define KERNEL_COLUMN(member, linux, macos, freebsd, netbsd, openbsd, source) .member = openbsd,
#else
#define KERNEL_COLUMN(member, linux, macos, freebsd, netbsd, openbsd, source) .member = linux,
#endif

static const struct kernel KERNEL_HERE = {.name = "", KERNEL_ROWS(KERNEL_COLUMN)};
#define kernel (&KERNEL_HERE)

#endif
#endif
