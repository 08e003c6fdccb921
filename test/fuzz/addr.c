/* Addresses there and back: whatever text is read is written as one that means the same, and
 * whatever a kernel may return has a text, or none, within its room. */
#include "fuzz.h"

#include <coir_net.h>
#include <netinet/in.h>
#include <sys/un.h>

static void read_text(const struct fuzz *fuzz)
{
    char *text = strndup((const char *)fuzz->at, fuzz->left), back[COIR_ADDR_TEXT];
    coir_addr addr, again;
    memset(&addr, 'x', sizeof addr);
    coir_addr before = addr;
    int result = coir_addr_parse(&addr, text);
    if (result < 0) {
        EXPECT(memcmp(&addr, &before, sizeof addr) == 0);
    } else {
        int length = coir_addr_text(&addr, back, sizeof back);
        EXPECT(length > 0 && strlen(back) == (size_t)length);
        EXPECT(coir_addr_parse(&again, back) == 0);
        EXPECT(again.size == addr.size && again.type == addr.type);
        EXPECT(memcmp(&again.storage, &addr.storage, addr.size) == 0);
    }
    free(text);
}

/* No name, or NUL bytes in an abstract one, have a text and no way back. */
static bool has_way_back(const coir_addr *addr)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&addr->storage;
    size_t offset = offsetof(struct sockaddr_un, sun_path);
    if (un->sun_family != AF_UNIX)
        return true;
    if (addr->size <= offset)
        return false;
    size_t size = addr->size - offset;
    size = size < sizeof un->sun_path ? size : sizeof un->sun_path;
    return un->sun_path[0] ? true : size > 1 && !memchr(un->sun_path + 1, '\0', size - 1);
}

static void write_text(struct fuzz *fuzz)
{
    static const sa_family_t FAMILIES[] = {AF_UNIX, AF_INET, AF_INET6, AF_UNSPEC};
    coir_addr addr = {.type = fuzz_byte(fuzz) % 2 ? SOCK_STREAM : SOCK_DGRAM}, again;
    size_t room = 1 + fuzz_byte(fuzz), size = fuzz_byte(fuzz) % (sizeof addr.storage + 1);
    sa_family_t family = FAMILIES[fuzz_byte(fuzz) % 4];
    char *text = malloc(room);
    memcpy(&addr.storage, fuzz->at, fuzz->left < size ? fuzz->left : size);
    addr.storage.ss_family = family;
    addr.size = (socklen_t)size;
    int length = coir_addr_text(&addr, text, room);
    EXPECT(strnlen(text, room) == (size_t)(length < 0 ? 0 : length));
    if (length > 0 && has_way_back(&addr)) {
        EXPECT(coir_addr_parse(&again, text) == 0);
        EXPECT(again.storage.ss_family == family && again.type == addr.type);
        if (family == AF_UNIX)
            EXPECT(strncmp(again.storage.__ss_padding, addr.storage.__ss_padding, 108) == 0);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz fuzz = {data, size};
    if (fuzz_byte(&fuzz) % 2)
        read_text(&fuzz);
    else
        write_text(&fuzz);
    return 0;
}
