/* SPDX-License-Identifier: Apache-2.0 */
/* DEPTHWISE_CONV_2D with any filter on cores without SIMD: some lines of a channel are copied to a plane that has the padding in place, and
 * four outputs of a line are summed at a time. The includer defines
 *     TINYC_PLANE and TINYC_PLANE_BYTE(x), the type of the plane's bytes and an input as one of them, and
 *     static void scale_line(params, scaling, sums, output) which stores a line of outputs. */
#ifndef TINYC_DEPTHWISE_PLANES_H
#define TINYC_DEPTHWISE_PLANES_H

#include "tinyc_kernels.h"

static void scale_line(const tinyc_depthwise_planes_params *p, const int32_t *scaling, const int32_t *sums, int8_t *output);

/* The inputs of outputs. */
typedef struct {
    int32_t lines;  /* of the filter */
    int32_t taps;   /* of each of its lines */
    int32_t step;   /* from tap to tap */
    int32_t pitch;  /* from the filter's line to the next one */
    int32_t stride; /* from output to output */
    int32_t shift;  /* sums are shifted left */
    uint32_t start; /* and this is added */
} tinyc_plane_window;

#define TINYC_PLANE_TAP(a, b, c, d, weight) \
    do {                                    \
        const int32_t by = (weight);        \
        s0 += (a) * by;                     \
        s1 += (b) * by;                     \
        s2 += (c) * by;                     \
        s3 += (d) * by;                     \
    } while (0)

#define TINYC_PLANE_STORE(at)                                      \
    do {                                                           \
        (at)[0] = (int32_t)(((uint32_t)s0 << shift) + start);      \
        (at)[1] = (int32_t)(((uint32_t)s1 << shift) + start);      \
        (at)[2] = (int32_t)(((uint32_t)s2 << shift) + start);      \
        (at)[3] = (int32_t)(((uint32_t)s3 << shift) + start);      \
    } while (0)

/* `places` sums, a multiple of four, when outputs and taps are one byte apart: four taps of four outputs load seven bytes. */
static __attribute__((noinline)) void tinyc_plane_dense(const tinyc_plane_window *win, const TINYC_PLANE *line, const int8_t *weights,
                                                        int32_t *sums, int32_t places) {
    const int32_t skip = win->pitch - win->taps;
    for (const int32_t *const end = sums + places; sums != end; sums += 4) {
        const int32_t shift = win->shift;
        const uint32_t start = win->start;
        const TINYC_PLANE *x = line;
        const int8_t *w = weights;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (int32_t rows = win->lines; rows > 0; rows--) {
            int32_t x0 = x[0], x1 = x[1], x2 = x[2], x3;
            int32_t left = win->taps;
            for (; left >= 4; left -= 4) {
                x3 = x[3];
                TINYC_PLANE_TAP(x0, x1, x2, x3, w[0]);
                x0 = x[4];
                TINYC_PLANE_TAP(x1, x2, x3, x0, w[1]);
                x1 = x[5];
                TINYC_PLANE_TAP(x2, x3, x0, x1, w[2]);
                x2 = x[6];
                TINYC_PLANE_TAP(x3, x0, x1, x2, w[3]);
                x += 4;
                w += 4;
            }
            for (; left > 0; left--) {
                x3 = x[3];
                TINYC_PLANE_TAP(x0, x1, x2, x3, *w);
                x0 = x1;
                x1 = x2;
                x2 = x3;
                x++;
                w++;
            }
            x += skip;
        }
        TINYC_PLANE_STORE(sums);
        line += 4;
    }
}

/* The same for any windows. */
static __attribute__((noinline)) void tinyc_plane_sparse(const tinyc_plane_window *win, const TINYC_PLANE *line, const int8_t *weights,
                                                         int32_t *sums, int32_t places) {
    const int32_t step = win->step;
    const int32_t stride = win->stride;
    const int32_t skip = win->pitch - step * win->taps;
    for (const int32_t *const end = sums + places; sums != end; sums += 4) {
        const int32_t shift = win->shift;
        const uint32_t start = win->start;
        const TINYC_PLANE *a = line;
        const TINYC_PLANE *b = a + stride;
        const TINYC_PLANE *c = b + stride;
        const TINYC_PLANE *d = c + stride;
        const int8_t *w = weights;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (int32_t rows = win->lines; rows > 0; rows--) {
            for (int32_t left = win->taps; left > 0; left--) {
                TINYC_PLANE_TAP(*a, *b, *c, *d, *w);
                a += step;
                b += step;
                c += step;
                d += step;
                w++;
            }
            a += skip;
            b += skip;
            c += skip;
            d += skip;
        }
        TINYC_PLANE_STORE(sums);
        line += 4 * stride;
    }
}

/* Copies those of `lines` lines of a channel, from the image's line `top` on, that are inside the image. */
static void tinyc_plane_copy(const tinyc_depthwise_planes_params *p, const int8_t *channel, int32_t top, int32_t lines, int32_t pitch,
                             TINYC_PLANE *plane) {
    const int32_t room = pitch - p->pad_places;
    const int32_t places = p->input_places < room ? p->input_places : room;
    for (int32_t line = top; line < top + lines; line++) {
        if (line >= 0 && line < p->input_lines) {
            const int8_t *from = channel + line * p->input_line_step;
            TINYC_PLANE *to = plane + p->pad_places;
            for (int32_t left = places; left > 0; left--) {
                *to++ = TINYC_PLANE_BYTE(*from);
                from += p->input_place_step;
            }
        }
        plane += pitch;
    }
}

/* `lines` output lines of all channels, from input line `top` on. */
static void tinyc_plane_band(const tinyc_depthwise_planes_params *p, int32_t top, int32_t lines, const int8_t *input,
                             const int32_t *stream, int8_t *output, int32_t *sums, TINYC_PLANE *plane) {
    const int32_t places = (p->output_places + 3) & ~3;
    const int32_t pitch = (places - 1) * p->stride_places + (p->filter_places - 1) * p->dilation_places + 1;
    const int32_t needed = (lines - 1) * p->stride_lines + (p->filter_lines - 1) * p->dilation_lines + 1;
    const int32_t words = (p->filter_lines * p->filter_places + 3) >> 2;
    const int32_t dense = p->stride_places == 1 && p->dilation_places == 1 ? 1 : 0;
    tinyc_plane_window win;
    win.lines = p->filter_lines;
    win.taps = p->filter_places;
    win.step = p->dilation_places;
    win.pitch = p->dilation_lines * pitch;
    win.stride = p->stride_places;
    win.shift = p->sum_shift;
    for (int32_t i = 0; i < needed * pitch; i++) {
        plane[i] = TINYC_PLANE_BYTE(p->input_zero_point);
    }
    for (int32_t channel = 0; channel < p->input_depth; channel++) {
        tinyc_plane_copy(p, input + channel, top, needed, pitch, plane);
        for (int32_t k = 0; k < p->multiplier; k++) {
            const TINYC_PLANE *line = plane;
            int8_t *out = output++;
            win.start = (uint32_t)stream[words];
            for (int32_t left = lines; left > 0; left--) {
                if (dense != 0) {
                    tinyc_plane_dense(&win, line, (const int8_t *)stream, sums, places);
                } else {
                    tinyc_plane_sparse(&win, line, (const int8_t *)stream, sums, places);
                }
                scale_line(p, stream + words + 1, sums, out);
                line += p->stride_lines * pitch;
                out += p->output_line_step;
            }
            stream += words + 4;
        }
    }
}

/* The whole layer. */
static inline void tinyc_depthwise_planes(const tinyc_depthwise_planes_params *p, const int8_t *input, const int32_t *stream,
                                          int8_t *output, void *scratch) {
    int32_t *const sums = scratch;
    TINYC_PLANE *const plane = (TINYC_PLANE *)(sums + ((p->output_places + 3) & ~3));
    for (int32_t b = 0; b < p->batches; b++) {
        for (int32_t first = 0; first < p->output_lines; first += p->band) {
            const int32_t left = p->output_lines - first;
            tinyc_plane_band(p, first * p->stride_lines - p->pad_lines, left < p->band ? left : p->band, input, stream,
                             output + first * p->output_line_step, sums, plane);
        }
        input += p->input_lines * p->input_places * p->input_depth;
        output += p->output_lines * p->output_places * p->input_depth * p->multiplier;
    }
}

#endif
