/* Names of the program's, which stand in lines that a terminal may show: what is no character, or
 * controls it, becomes a question mark. */
#include "text.h"

#include <string.h>

/* How long the character is, in well-formed UTF-8 (RFC 3629, 4), that a text begins with; 0 when it
 * is a control character, or none. */
static size_t text_character(const unsigned char *text)
{
    unsigned char first = text[0], least = 0x80;
    if (first < 0x80)
        return first >= ' ' && first != 0x7f;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    if (first == 0xc2 || first == 0xe0) /* U+0080 to U+009F are controls; from U+0800 on */
        least = 0xa0;
    else if (first == 0xf0)
        least = 0x90;
    size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < length; i++, least = 0x80)
        if (text[i] < least || text[i] > 0xbf)
            return 0;
    return length;
}

void cr_text_clean(char *to, size_t size, const char *from)
{
    size_t used = 0;
    for (size_t length; *from; from += length, used += length) {
        length = text_character((const unsigned char *)from);
        const char *character = length ? from : "?";
        length += length == 0;
        if (used + length >= size)
            break;
        memcpy(to + used, character, length);
    }
    to[used] = '\0';
}
