/* The two system calls that every request makes of a socket, on Linux without the C library in
 * between, which looks for threads and puts the error into a cell of the thread. The result is the
 * count or -ECODE. Builds that check invariants make them by the C library, where tests can let
 * them fail. They do not wait, whatever the flags of the file, which other processes may share. */
#ifndef CR_RAW_H
#define CR_RAW_H

#include "../base/base.h"

#if defined(__linux__)
#include <sys/socket.h>
#include <sys/syscall.h>
#endif

#if defined(__linux__) && defined(__x86_64__) && defined(__LP64__) && defined(NDEBUG)

CR_INLINE int64_t raw_call(int64_t number, int fd, const void *buf, size_t size, int64_t flags)
{
    register int64_t r10 __asm__("r10") = flags;
    register int64_t addr __asm__("r8") = 0;
    register int64_t addr_size __asm__("r9") = 0;
    int64_t result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(fd), "S"(buf), "d"(size), "r"(r10), "r"(addr),
                       "r"(addr_size)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__linux__) && defined(__aarch64__) && defined(__LP64__) && defined(NDEBUG)

CR_INLINE int64_t raw_call(int64_t number, int fd, const void *buf, size_t size, int64_t flags)
{
    register int64_t x8 __asm__("x8") = number;
    register int64_t x0 __asm__("x0") = fd;
    register const void *x1 __asm__("x1") = buf;
    register size_t x2 __asm__("x2") = size;
    register int64_t x3 __asm__("x3") = flags;
    register int64_t x4 __asm__("x4") = 0;
    register int64_t x5 __asm__("x5") = 0;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

#else

#define CR_RAW_BY_LIBC

CR_HIDDEN int64_t cr_world_recv(int fd, void *buf, size_t size);
CR_HIDDEN int64_t cr_world_send(int fd, const void *buf, size_t size);

#endif

#ifndef CR_RAW_BY_LIBC

CR_INLINE int64_t cr_world_recv(int fd, void *buf, size_t size)
{
    return raw_call(SYS_recvfrom, fd, buf, size, MSG_DONTWAIT);
}

CR_INLINE int64_t cr_world_send(int fd, const void *buf, size_t size)
{
    return raw_call(SYS_sendto, fd, buf, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

#endif

#endif
