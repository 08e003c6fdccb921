/* Linux. A guard is a marker in the page table where the kernel has them (since 6.13; they split no
 * mapping, so there may be a million), else a page without access. */
#include "os.h"

#if defined(__linux__) && !defined(COIR_OS_BSD)

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__x86_64__)
#define LINUX_STACK_POINTER(machine) ((machine)->gregs[REG_RSP])
#elif defined(__aarch64__)
#define LINUX_STACK_POINTER(machine) ((machine)->sp)
#else
#define LINUX_STACK_POINTER(machine) ((void)(machine), 0)
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

const bool cr_os_clears_across_guards = true;

enum { MARKERS_UNKNOWN, MARKERS_NONE, MARKERS_WORK };

/* Some emulators accept the advice and do nothing, so the kernel is asked to write to the guard.
 * (By a call whose argument valgrind does not look into.) */
static int linux_markers_probe(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *probe = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED)
        return MARKERS_UNKNOWN;
    int answer = MARKERS_NONE;
    if (madvise(probe, page, MADV_GUARD_INSTALL) != 0)
        answer = errno == EINVAL ? MARKERS_NONE : MARKERS_UNKNOWN;
    else if (getrlimit(RLIMIT_CORE, (struct rlimit *)(void *)probe) != 0 && errno == EFAULT)
        answer = MARKERS_WORK;
    munmap(probe, page);
    return answer;
}

/* A failure that may pass, as for lack of memory, is no answer: the next guard asks again. */
static bool linux_has_markers(void)
{
    static atomic_int known;
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == MARKERS_UNKNOWN) {
        answer = linux_markers_probe();
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == MARKERS_WORK;
}

/* A huge page would give each stack in it 2 MiB. */
char *cr_os_map(size_t size)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    char *low = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (low == MAP_FAILED)
        return NULL;
    madvise(low, size, MADV_NOHUGEPAGE);
    return low;
}

void cr_os_unmap(char *low, size_t size)
{
    munmap(low, size);
}

/* In memory that is locked the kernel refuses markers, so each guard may fall back by itself. */
bool cr_os_guard(char *low, size_t size)
{
    if (linux_has_markers() && madvise(low, size, MADV_GUARD_INSTALL) == 0)
        return true;
    return mprotect(low, size, PROT_NONE) == 0;
}

void cr_os_clear(char *low, size_t size)
{
    madvise(low, size, MADV_DONTNEED);
}

bool cr_os_clear_guarded(char *low, size_t size)
{
    if (!linux_has_markers())
        return false;
    madvise(low, size, MADV_GUARD_REMOVE);
    madvise(low, size, MADV_DONTNEED);
    return true;
}

int cr_os_poll(struct pollfd *asks, size_t count, const struct timespec *left)
{
    return ppoll(asks, (nfds_t)count, left, NULL);
}

bool cr_os_is_tcp(int fd)
{
    int protocol = 0;
    socklen_t size = sizeof protocol;
    return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
           protocol == IPPROTO_TCP;
}

int cr_os_socket(int domain, int type, int protocol)
{
    return cr_os_number(socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

int cr_os_socketpair(int domain, int type, int protocol, int fds[2])
{
    int result = socketpair(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol, fds);
    return result < 0 ? result : cr_os_number_both(fds);
}

int cr_os_pipe(int fds[2])
{
    int result = pipe2(fds, O_NONBLOCK | O_CLOEXEC);
    return result < 0 ? result : cr_os_number_both(fds);
}

int cr_os_bell(int ends[2])
{
    ends[0] = ends[1] = cr_os_number(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (ends[0] >= 0)
        return 0;
    return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -1 : cr_os_pipe(ends);
}

int cr_os_accept(int fd, struct sockaddr *addr, socklen_t *size)
{
    return cr_os_number(accept4(fd, addr, size, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

void cr_os_no_sigpipe(int fd)
{
    (void)fd;
}

const char *cr_os_stack_pointer(const void *context)
{
    const ucontext_t *interrupted = context;
    return (const char *)(uintptr_t)LINUX_STACK_POINTER(&interrupted->uc_mcontext);
}

bool cr_os_is_privileged(void)
{
    return getauxval(AT_SECURE) != 0;
}

#endif
