/* Where an address is, for every system whose programs are ELF files: the dynamic linker lists what
 * it has loaded, the program itself first. The name of that one may be missing, or be whatever it
 * was called by; Linux tells it. */
#include "os.h"

#ifdef __ELF__

#include <link.h>
#include <stdio.h>
#include <unistd.h>

struct elf_search {
    uintptr_t address;
    char *path;
    size_t size;
    uintptr_t *offset;
    int visited;
    bool found;
};

static int elf_visit(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    struct elf_search *search = arg;
    search->visited++;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t low = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type != PT_LOAD || search->address < low ||
            search->address >= low + info->dlpi_phdr[i].p_memsz)
            continue;
        *search->offset = search->address - info->dlpi_addr;
        search->found = true;
        snprintf(search->path, search->size, "%s", info->dlpi_name ? info->dlpi_name : "");
        return 1;
    }
    return 0;
}

bool cr_os_locate(uintptr_t address, char *path, size_t size, uintptr_t *offset)
{
    struct elf_search search = {.address = address, .path = path, .size = size, .offset = offset};
    dl_iterate_phdr(elf_visit, &search);
    if (search.found && search.visited == 1) {
        ssize_t length = readlink("/proc/self/exe", path, size - 1);
        if (length > 0)
            path[length] = '\0';
    }
    return search.found && path[0];
}

#endif
