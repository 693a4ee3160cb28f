/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loop that CONV_2D and FULLY_CONNECTED share: four output channels at a time, so that each input is loaded once for four. */
#ifndef TINYC_DOT_S8_H
#define TINYC_DOT_S8_H

#include <stdint.h>

typedef struct {
    uint32_t sums[4]; /* modulo 2^32 */
    int32_t lane_1;   /* bytes from a lane's weights to the next lane's */
    int32_t lane_2;
    int32_t lane_3;
    int32_t offset; /* added to every input */
} tinyc_dot_4;

/* Begins sums for `lanes` output channels, 1 to 4, whose weights lie `size` bytes apart. Lanes from `lanes` on repeat the last one, so
 * that nothing outside the filter is read; their sums have no meaning. */
static inline void tinyc_dot_4_begin(tinyc_dot_4 *dot, int32_t lanes, int32_t size, uint32_t start) {
    for (int32_t lane = 0; lane < 4; lane++) {
        dot->sums[lane] = start;
    }
    dot->lane_1 = lanes > 1 ? size : 0;
    dot->lane_2 = lanes > 2 ? size : 0;
    dot->lane_3 = lanes > 3 ? size : 0;
}

/* sums[lane] += sum_i (x[i] + offset) * w[lane][i], i < count. Not inlined: the loop needs all registers of a Cortex-M, and gcc -Os would
 * keep the caller's variables in them. */
static __attribute__((noinline)) void tinyc_dot_4_s8(tinyc_dot_4 *dot, const int8_t *x, const int8_t *w0, int32_t count) {
    const int8_t *const end = x + count;
    const int8_t *w1 = w0 + dot->lane_1;
    const int8_t *w2 = w1 + dot->lane_2;
    const int8_t *w3 = w2 + dot->lane_3;
    const int32_t offset = dot->offset;
    uint32_t s0 = dot->sums[0];
    uint32_t s1 = dot->sums[1];
    uint32_t s2 = dot->sums[2];
    uint32_t s3 = dot->sums[3];
    while (x != end) {
        const int32_t value = *x++ + offset;
        s0 += (uint32_t)(value * *w0++);
        s1 += (uint32_t)(value * *w1++);
        s2 += (uint32_t)(value * *w2++);
        s3 += (uint32_t)(value * *w3++);
    }
    dot->sums[0] = s0;
    dot->sums[1] = s1;
    dot->sums[2] = s2;
    dot->sums[3] = s3;
}

#endif
