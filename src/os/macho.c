/* Where an address is, for macOS: addr2line does not know its files, so there is nothing to tell
 * it. What dladdr knows, which includes the functions of the program itself, must do. */
#include "os.h"

#ifndef __ELF__

bool cr_os_locate(uintptr_t address, char *path, size_t size, uintptr_t *offset)
{
    (void)address;
    (void)path;
    (void)size;
    (void)offset;
    return false;
}

#endif
