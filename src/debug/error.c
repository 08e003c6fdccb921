/* The names of error values: those that the calls document, and those that a kernel may hand
 * through. */
#include "../../include/coir.h"

#include "../base/base.h"

#include <errno.h>

static const char *const ERROR_NAMES[] = {
#define NAME(code) [code] = #code
    NAME(EPERM),     NAME(ENOENT),    NAME(ESRCH),     NAME(EINTR),      NAME(EIO),
    NAME(EBADF),     NAME(EAGAIN),    NAME(ENOMEM),    NAME(EACCES),     NAME(EFAULT),
    NAME(EBUSY),     NAME(EEXIST),    NAME(ENODEV),    NAME(ENOTDIR),    NAME(EISDIR),
    NAME(EINVAL),    NAME(ENFILE),    NAME(EMFILE),    NAME(EFBIG),      NAME(ENOSPC),
    NAME(ESPIPE),    NAME(EROFS),     NAME(EPIPE),     NAME(EDEADLK),    NAME(ENOSYS),
    NAME(ELOOP),     NAME(EOVERFLOW), NAME(ENOTSOCK),  NAME(EMSGSIZE),   NAME(EOPNOTSUPP),
    NAME(ENOTCONN),  NAME(ENOBUFS),   NAME(EISCONN),   NAME(ECANCELED),  NAME(ETIMEDOUT),
    NAME(EALREADY),  NAME(ECONNREFUSED), NAME(ECONNRESET), NAME(ECONNABORTED),
    NAME(EADDRINUSE), NAME(EADDRNOTAVAIL), NAME(ENETUNREACH), NAME(EHOSTUNREACH),
    NAME(EINPROGRESS), NAME(EDQUOT), NAME(EDESTADDRREQ), NAME(ENETDOWN), NAME(ENXIO),
    NAME(EAFNOSUPPORT), NAME(EPROTONOSUPPORT), NAME(EPROTOTYPE), NAME(ENOPROTOOPT), NAME(EPROTO),
    NAME(ENETRESET), NAME(ENAMETOOLONG), NAME(ETOOMANYREFS), NAME(EHOSTDOWN), NAME(ESTALE),
    NAME(E2BIG), NAME(ECHILD), NAME(EDOM), NAME(ERANGE), NAME(ENOTTY), NAME(ENOEXEC), NAME(EXDEV),
    NAME(EMLINK), NAME(ETXTBSY), NAME(ENOTEMPTY), NAME(EILSEQ), NAME(EBADMSG), NAME(ENOLCK),
#undef NAME
};

const char *coir_error_name(int error)
{
    size_t code = error < 0 ? (size_t) - (long)error : (size_t)error;
    if (error == 0)
        return "0";
    if (error == COIR_CANCELLED)
        return "COIR_CANCELLED";
    if (error == COIR_TIMED_OUT)
        return "COIR_TIMED_OUT";
    if (code >= sizeof ERROR_NAMES / sizeof *ERROR_NAMES || !ERROR_NAMES[code])
        return "E?";
    return ERROR_NAMES[code];
}
