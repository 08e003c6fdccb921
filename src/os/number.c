/* Descriptors that the library makes have numbers above those of standard input, output and error,
 * also where a program has closed these: what it prints must not go to a socket. */
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { FIRST_NUMBER = 3 };

int cr_os_number(int fd)
{
    if (CR_LIKELY(fd >= FIRST_NUMBER) || fd < 0)
        return fd;
    int number = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_NUMBER), error = errno;
    close(fd);
    errno = error;
    return number;
}

int cr_os_number_both(int fds[2])
{
    fds[0] = cr_os_number(fds[0]);
    int error = errno;
    fds[1] = cr_os_number(fds[1]);
    if (CR_LIKELY(fds[0] >= 0 && fds[1] >= 0))
        return 0;
    error = fds[0] < 0 ? error : errno;
    close(fds[0] < 0 ? fds[1] : fds[0]);
    errno = error;
    return -1;
}

bool cr_os_is_inherited(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    return flags >= 0 && !(flags & FD_CLOEXEC);
}
