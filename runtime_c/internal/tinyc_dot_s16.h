/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of int16 inputs times int8 weights: CONV_2D and FULLY_CONNECTED, four output channels at a time. */
#ifndef TINYC_DOT_S16_H
#define TINYC_DOT_S16_H

#include <stdint.h>

/* So many products, of at most 2^22 each, cannot overflow 32 bits. */
#define TINYC_DOT_S16_RUN 256

typedef struct {
    int64_t sums[4];
    int32_t lane_1; /* bytes from a lane's weights to the next lane's */
    int32_t lane_2;
    int32_t lane_3;
} tinyc_dot_4_wide;

/* As tinyc_dot_4_begin: sums of 0 for `lanes` output channels, 1 to 4, whose weights lie `size` bytes apart. */
static inline void tinyc_dot_4_wide_begin(tinyc_dot_4_wide *dot, int32_t lanes, int32_t size) {
    for (int32_t lane = 0; lane < 4; lane++) {
        dot->sums[lane] = 0;
    }
    dot->lane_1 = lanes > 1 ? size : 0;
    dot->lane_2 = lanes > 2 ? size : 0;
    dot->lane_3 = lanes > 3 ? size : 0;
}

/* sums[lane] += sum_i x[i] * w[lane][i], i < count. Not inlined: the loop needs all registers of a Cortex-M. */
static __attribute__((noinline)) void tinyc_dot_4_s16(tinyc_dot_4_wide *dot, const int16_t *x, const int8_t *w0, int32_t count) {
    const int8_t *w1 = w0 + dot->lane_1;
    const int8_t *w2 = w1 + dot->lane_2;
    const int8_t *w3 = w2 + dot->lane_3;
    while (count > 0) {
        const int32_t run = count < TINYC_DOT_S16_RUN ? count : TINYC_DOT_S16_RUN;
        const int16_t *const end = x + run;
        int32_t s0 = 0;
        int32_t s1 = 0;
        int32_t s2 = 0;
        int32_t s3 = 0;
        while (x != end) {
            const int32_t value = *x++;
            s0 += value * *w0++;
            s1 += value * *w1++;
            s2 += value * *w2++;
            s3 += value * *w3++;
        }
        dot->sums[0] += s0;
        dot->sums[1] += s1;
        dot->sums[2] += s2;
        dot->sums[3] += s3;
        count -= run;
    }
}

#endif
