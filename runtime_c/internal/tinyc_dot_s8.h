/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops that CONV_2D and FULLY_CONNECTED share. */
#ifndef TINYC_DOT_S8_H
#define TINYC_DOT_S8_H

#include <stdint.h>

/* sums[lane] += sum_i (x[i] + offset) * w[lane * stride + i] modulo 2^32, i < count, for four lanes. Lanes from `lanes` on repeat the
 * last valid one, so nothing outside the filter is read; their sums have no meaning. Four lanes share each load of x. */
static inline void tinyc_dot_4_s8(const int8_t *x, const int8_t *w, int32_t stride, int32_t lanes, int32_t count, int32_t offset,
                                  uint32_t sums[4]) {
    const int8_t *const end = x + count;
    const int8_t *w1 = lanes > 1 ? w + stride : w;
    const int8_t *w2 = lanes > 2 ? w1 + stride : w1;
    const int8_t *w3 = lanes > 3 ? w2 + stride : w2;
    uint32_t s0 = sums[0];
    uint32_t s1 = sums[1];
    uint32_t s2 = sums[2];
    uint32_t s3 = sums[3];
    while (x != end) {
        const int32_t value = *x++ + offset;
        s0 += (uint32_t)(value * *w++);
        s1 += (uint32_t)(value * *w1++);
        s2 += (uint32_t)(value * *w2++);
        s3 += (uint32_t)(value * *w3++);
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

#endif
