/* SPDX-License-Identifier: Apache-2.0 */
/* Three pixels in two words, for cores that multiply 32 bits by 32 bits and have no SIMD.
 *
 * Pixels a, b, c of one input channel make the words
 *     low  = b + c * 2^21
 *     high = a + c * 2^10                 both modulo 2^32
 * A weight times both words, summed over the filter, makes the sums A, B, C of the three pixels in two accumulators:
 *     R = B + C * 2^21
 *     S = A + C * 2^10
 * so two multiplications do the work of three. While A and B are in -2^20 .. 2^20 - 1, R gives B and C modulo 2^11; S without
 * (C modulo 2^11) * 2^10 gives A and the rest of C. */
#ifndef TINYC_TRIPLES_H
#define TINYC_TRIPLES_H

#include <stdint.h>

/* Words per input channel: two triples. */
#define TINYC_TRIPLE_STRIDE 4

/* Writes `count` channels of the pixels a, b, c as words 0 and 1 of every four. */
static inline void tinyc_triples_pack(const int8_t *a, const int8_t *b, const int8_t *c, int32_t count, uint32_t *x) {
#define TINYC_TRIPLE(i)                                                                                       \
    do {                                                                                                      \
        const uint32_t third = (uint32_t)(int32_t)c[i];                                                       \
        x[TINYC_TRIPLE_STRIDE * (i)] = (uint32_t)(int32_t)b[i] + (third << 21);                               \
        x[TINYC_TRIPLE_STRIDE * (i) + 1] = (uint32_t)(int32_t)a[i] + (third << 10);                           \
    } while (0)
    for (; count >= 4; count -= 4) {
        TINYC_TRIPLE(0);
        TINYC_TRIPLE(1);
        TINYC_TRIPLE(2);
        TINYC_TRIPLE(3);
        a += 4;
        b += 4;
        c += 4;
        x += 4 * TINYC_TRIPLE_STRIDE;
    }
    for (; count > 0; count--) {
        TINYC_TRIPLE(0);
        a++;
        b++;
        c++;
        x += TINYC_TRIPLE_STRIDE;
    }
#undef TINYC_TRIPLE
}

#endif
