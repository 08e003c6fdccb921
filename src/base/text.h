/* Texts of the program's in lines of coir's: whatever they have in them, a terminal shows them and
 * does nothing else. */
#ifndef CR_TEXT_H
#define CR_TEXT_H

#include "base.h"

/* Copies a text, as much of it as there is room for, so that a terminal shows it. */
CR_HIDDEN void cr_text_clean(char *to, size_t size, const char *from);

#endif
