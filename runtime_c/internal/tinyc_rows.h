/* SPDX-License-Identifier: Apache-2.0 */
/* What generated code for row streaming needs. */
#ifndef TINYC_ROWS_H
#define TINYC_ROWS_H

#include <stdint.h>

/* The arena is bytes for the generated code, and words here. */
typedef uint32_t __attribute__((may_alias)) tinyc_word;

/* Moves `size` bytes to a lower address; the ranges may overlap. */
static __attribute__((noinline, unused)) void tinyc_move_rows(uint8_t *to, const uint8_t *from, uint32_t size) {
    if ((((uintptr_t)to | (uintptr_t)from) & 3u) == 0) {
        tinyc_word *word = (tinyc_word *)(void *)to;
        const tinyc_word *source = (const tinyc_word *)(const void *)from;
        for (; size >= 16; size -= 16) {
            const tinyc_word a = source[0];
            const tinyc_word b = source[1];
            const tinyc_word c = source[2];
            const tinyc_word d = source[3];
            word[0] = a;
            word[1] = b;
            word[2] = c;
            word[3] = d;
            word += 4;
            source += 4;
        }
        to = (uint8_t *)word;
        from = (const uint8_t *)source;
    }
    for (; size > 0; size--) {
        *to++ = *from++;
    }
}

#endif
