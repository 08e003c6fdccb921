/* What the loop hands to io.c: the end of an operation that a world said was pending. The token is
 * the address of its record, on the stack of the fiber that waits for it. */
#ifndef CR_IO_H
#define CR_IO_H

#include "base.h"

CR_HIDDEN void cr_io_complete(uint64_t token, int64_t value);

#endif
