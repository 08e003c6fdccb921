/* What systems do each in its own way, behind one spelling. src/os has a file for each kind, which
 * guards itself as a whole, so all of them are compiled everywhere and nobody else asks which
 * system it is:
 *
 *     linux.c   memory and sockets, by the kernel's own calls
 *     bsd.c     the same for macOS, the BSDs and whatever else keeps to POSIX
 *     thread.c  waits of threads
 *     number.c  the numbers of new descriptors
 *     elf.c     where an address is, by the dynamic linker's list
 *     macho.c   macOS has no such list
 *
 * COIR_OS_BSD chooses bsd.c on Linux, where the tests run it. */
#ifndef CR_OS_H
#define CR_OS_H

#include "../base/base.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

struct timespec;

/* Where no peer's end is reported by itself, it comes as POLLHUP or as the end of file. */
#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

/* The signal that this flag keeps away is caught by trap.c. */
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* What keeps a send from waiting, where MSG_DONTWAIT means only receiving: NetBSD, and macOS, whose
 * kernel heeds it (sosendcheck), but whose headers hide it. */
#ifndef MSG_NBIO
#if defined(__APPLE__) || defined(COIR_KQUEUE)
#define MSG_NBIO 0x20000
#else
#define MSG_NBIO 0
#endif
#endif

/* The flags of each send: it never waits, whatever the flags of the file, and raises no signal. */
enum { CR_OS_SEND = MSG_DONTWAIT | MSG_NBIO | MSG_NOSIGNAL };

/* ---- memory, all sizes in whole pages ---- */

/* Memory for stacks, which reads as zero and costs nothing until it is touched; NULL. */
CR_HIDDEN char *cr_os_map(size_t size);
CR_HIDDEN void cr_os_unmap(char *low, size_t size);

/* Takes all access away. */
CR_HIDDEN bool cr_os_guard(char *low, size_t size);

/* Returns the memory to the system: it reads as zero then, or, where the system refuses, as
 * before. */
CR_HIDDEN void cr_os_clear(char *low, size_t size);

/* The same for guards too, which must be made again whatever came of it, and for page tables where
 * the kernel can; false, and nothing is done, where guards are not markers. */
CR_HIDDEN bool cr_os_clear_guarded(char *low, size_t size);

/* Whether one call may clear what lies on both sides of a guard, which stays. */
extern CR_HIDDEN const bool cr_os_clears_across_guards;

/* ---- threads ---- */

/* A condition whose waits end by the clock that shows the time since boot: 0, or an error. */
CR_HIDDEN int cr_os_cond_init(pthread_cond_t *cond);

/* Waits until it is signalled, or the clock shows `until_ns`, from which `left` are left (NULL:
 * forever): 0, or ETIMEDOUT. */
CR_HIDDEN int cr_os_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_ns,
                              const struct timespec *left);

/* ---- descriptors ---- */

/* Waits as poll does, for a time left (NULL: forever): never shorter, unless the time is longer
 * than the system can wait, and less than a millisecond longer. */
CR_HIDDEN int cr_os_poll(struct pollfd *asks, size_t count, const struct timespec *left);

CR_HIDDEN bool cr_os_is_tcp(int fd);

/* Moves a new descriptor to a number above 2, and returns it; or -1 with errno, and closes it. An
 * error (-1) is returned as it is. */
CR_HIDDEN int cr_os_number(int fd);
/* The same for both of two: 0, or -1 with errno, and both are closed. */
CR_HIDDEN int cr_os_number_both(int fds[2]);

/* Whether a number is open, and a program that is executed would have it too. */
CR_HIDDEN bool cr_os_is_inherited(int fd);

/* As the calls of these names; what they make is non-blocking, closed on exec, and has a number
 * above 2. */
CR_HIDDEN int cr_os_socket(int domain, int type, int protocol);
CR_HIDDEN int cr_os_socketpair(int domain, int type, int protocol, int fds[2]);
CR_HIDDEN int cr_os_pipe(int fds[2]);
CR_HIDDEN int cr_os_accept(int fd, struct sockaddr *addr, socklen_t *size);

/* Two ends (or twice the same number): what is written to ends[1], 8 bytes at a time, makes ends[0]
 * readable until it is read. */
CR_HIDDEN int cr_os_bell(int ends[2]);

/* Keeps SIGPIPE away from all that is sent on a socket, where flags of each call cannot. */
CR_HIDDEN void cr_os_no_sigpipe(int fd);

/* ---- programs ---- */

/* Where the stack of the code was that a signal has interrupted; NULL where that is not known.
 * `context` is what the handler got. */
CR_HIDDEN const char *cr_os_stack_pointer(const void *context);

/* Whether the program has rights that its caller has not: by set-id, or by capabilities. */
CR_HIDDEN bool cr_os_is_privileged(void);

/* The file that was loaded at an address, and how far above its beginning the address is; false
 * when that cannot be found out. */
CR_HIDDEN bool cr_os_locate(uintptr_t address, char *path, size_t size, uintptr_t *offset);

#endif
