/* SPDX-License-Identifier: Apache-2.0 */
/* DEPTHWISE_CONV_2D with any filter on cores without SIMD: some lines of a channel are copied to a plane that has the padding in place, and
 * four outputs of a line are summed at a time. The includer defines
 *     TINYC_PLANE, what the plane's elements are, and
 *     static void scale_line(params, record, const int32_t *sums, int8_t *output) that stores a line of outputs. */
#ifndef TINYC_DEPTHWISE_PLANES_H
#define TINYC_DEPTHWISE_PLANES_H

#include "tinyc_kernels.h"

#define TINYC_PLANES_RECORD 4 /* words behind a channel's weights: start, multiplier, rounding, shift */

static void scale_line(const tinyc_depthwise_planes_params *p, const int32_t *record, const int32_t *sums, int8_t *output);

/* Where the inputs of four outputs are, and how far apart. */
typedef struct {
    int32_t lines;  /* of the filter */
    int32_t taps;   /* of a line of it */
    int32_t step;   /* from tap to tap */
    int32_t pitch;  /* from the filter's line to the next one */
    int32_t stride; /* from output to output */
    int32_t start;  /* of the sums */
} tinyc_plane_window;

/* Four sums of outputs that are one element apart, taps too: of four taps, seven elements are loaded. */
static __attribute__((noinline)) void tinyc_plane_dense(const tinyc_plane_window *win, const TINYC_PLANE *line, const int8_t *w,
                                                        int32_t *sums) {
    int32_t s0 = win->start, s1 = s0, s2 = s0, s3 = s0;
    for (int32_t row = win->lines; row > 0; row--) {
        const TINYC_PLANE *x = line;
        int32_t left = win->taps;
        int32_t x0 = x[0], x1 = x[1], x2 = x[2], x3;
        for (; left >= 4; left -= 4) {
            const int32_t w0 = w[0];
            x3 = x[3];
            s0 += x0 * w0;
            s1 += x1 * w0;
            s2 += x2 * w0;
            s3 += x3 * w0;
            const int32_t w1 = w[1];
            x0 = x[4];
            s0 += x1 * w1;
            s1 += x2 * w1;
            s2 += x3 * w1;
            s3 += x0 * w1;
            const int32_t w2 = w[2];
            x1 = x[5];
            s0 += x2 * w2;
            s1 += x3 * w2;
            s2 += x0 * w2;
            s3 += x1 * w2;
            const int32_t w3 = w[3];
            x2 = x[6];
            s0 += x3 * w3;
            s1 += x0 * w3;
            s2 += x1 * w3;
            s3 += x2 * w3;
            x3 = x2;
            x2 = x1;
            x1 = x0;
            x0 = x3;
            x3 = x1;
            x1 = x2;
            x2 = x0;
            x0 = x3;
            w += 4;
            x += 4;
        }
        for (; left > 0; left--) {
            const int32_t weight = *w++;
            s0 += x[0] * weight;
            s1 += x[1] * weight;
            s2 += x[2] * weight;
            s3 += x[3] * weight;
            x++;
        }
        line += win->pitch;
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}
