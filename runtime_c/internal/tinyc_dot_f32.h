/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of float32 products in the order of TFLite Micro: CONV_2D and FULLY_CONNECTED, four output channels at a time. */
#ifndef TINYC_DOT_F32_H
#define TINYC_DOT_F32_H

#include <stdint.h>

#include "tinyc_float.h"

typedef struct {
    float sums[4];
    int32_t lane_1; /* floats from a lane's weights to the next lane's */
    int32_t lane_2;
    int32_t lane_3;
} tinyc_dot_4_real;

/* As tinyc_dot_4_begin: sums of 0 for `lanes` output channels, 1 to 4, whose weights lie `size` floats apart. */
static inline void tinyc_dot_4_real_begin(tinyc_dot_4_real *dot, int32_t lanes, int32_t size) {
    for (int32_t lane = 0; lane < 4; lane++) {
        dot->sums[lane] = 0.0f;
    }
    dot->lane_1 = lanes > 1 ? size : 0;
    dot->lane_2 = lanes > 2 ? size : 0;
    dot->lane_3 = lanes > 3 ? size : 0;
}

/* sums[lane] += x[i] * w[lane][i] for i = 0 to count - 1, one after the other. */
static __attribute__((noinline)) void tinyc_dot_4_f32(tinyc_dot_4_real *dot, const float *x, const float *w0, int32_t count) {
    const float *const end = x + count;
    const float *w1 = w0 + dot->lane_1;
    const float *w2 = w1 + dot->lane_2;
    const float *w3 = w2 + dot->lane_3;
    float s0 = dot->sums[0];
    float s1 = dot->sums[1];
    float s2 = dot->sums[2];
    float s3 = dot->sums[3];
    while (x != end) {
        const float value = *x++;
        s0 += value * *w0++;
        s1 += value * *w1++;
        s2 += value * *w2++;
        s3 += value * *w3++;
    }
    dot->sums[0] = s0;
    dot->sums[1] = s1;
    dot->sums[2] = s2;
    dot->sums[3] = s3;
}

#endif
