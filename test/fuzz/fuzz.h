/* What the fuzzers share: their input, taken apart a byte at a time, and what must hold. They are
 * built and run by tool/fuzz, with clang's libFuzzer. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(cond)                                                                               \
    ((cond) ? (void)0                                                                              \
            : (fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #cond), abort()))

struct fuzz {
    const uint8_t *at;
    size_t left;
};

/* The next byte; 0 when there is none. */
static inline unsigned int fuzz_byte(struct fuzz *fuzz)
{
    if (fuzz->left == 0)
        return 0;
    fuzz->left--;
    return *fuzz->at++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
