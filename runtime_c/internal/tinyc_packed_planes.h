/* SPDX-License-Identifier: Apache-2.0 */
/* What the depthwise convolutions of armv7m and armv6m share: planes of words, each an input of two output pixels. */
#ifndef TINYC_PACKED_PLANES_H
#define TINYC_PACKED_PLANES_H

#include "tinyc_kernels.h"

/* `rows` rows of a plane: `inside` words from the rows of `a` (low halves) and `b` (high halves), then `gap` words of padding; pixels are
 * `step` bytes apart, and `skip` more from the end of a row to the next. */
static __attribute__((noinline)) uint32_t *tinyc_plane_rows(const int8_t *a, const int8_t *b, int32_t step, int32_t skip, int32_t rows,
                                                            int32_t gap, int32_t inside, uint32_t padding, uint32_t *x) {
    do {
        for (int32_t i = inside; i > 0; i--) {
            *x++ = (uint32_t)*a + ((uint32_t)*b << 16);
            a += step;
            b += step;
        }
        for (int32_t i = gap; i > 0; i--) {
            *x++ = padding;
        }
        a += skip;
        b += skip;
    } while (--rows > 0);
    return x;
}

/* The plane of one channel at `image`: rows from `top` in the low halves and from `bottom` in the high ones, which may be outside the
 * image, as may columns. Writes as many words behind the plane as there are columns of padding before the image. */
static void tinyc_plane(const tinyc_depthwise_packed_params *p, const int8_t *image, int32_t top, int32_t bottom, uint32_t *x) {
    const int32_t depth = p->input_depth;
    const int32_t row_bytes = p->input_width * depth;
    const int32_t before = p->pad_width < p->plane_columns ? p->pad_width : p->plane_columns;
    const int32_t inside = p->plane_columns - before < p->input_width ? p->plane_columns - before : p->input_width;
    const int8_t one = (int8_t)p->padding;
    const uint32_t padding = (uint32_t)one + ((uint32_t)one << 16);
    const int32_t gap = p->plane_columns - inside; /* behind a row and before the next */
    for (int32_t i = before; i > 0; i--) {
        *x++ = padding;
    }
    for (int32_t left = p->plane_rows; left > 0;) {
        const int32_t in_top = top >= 0 && top < p->input_height ? 1 : 0;
        const int32_t in_bottom = bottom >= 0 && bottom < p->input_height ? 1 : 0;
        const int8_t *const a = image + top * row_bytes;
        const int8_t *const b = image + bottom * row_bytes;
        int32_t rows = 1;
        if (in_top != 0 && in_bottom != 0) {
            const int32_t last = (top > bottom ? top : bottom) + left;
            rows = last > p->input_height ? left - (last - p->input_height) : left;
            x = tinyc_plane_rows(a, b, depth, row_bytes - inside * depth, rows, gap, inside, padding, x);
        } else {
            for (int32_t i = 0; i < inside; i++) {
                const int8_t low = in_top != 0 ? a[i * depth] : one;
                const int8_t high = in_bottom != 0 ? b[i * depth] : one;
                *x++ = (uint32_t)low + ((uint32_t)high << 16);
            }
            for (int32_t i = gap; i > 0; i--) {
                *x++ = padding;
            }
        }
        left -= rows;
        top += rows;
        bottom += rows;
    }
}

/* Stores the channels that are constant in a band's rows, from `output` to `end`. */
static __attribute__((noinline)) void tinyc_plane_constants(const tinyc_depthwise_packed_params *p, const int32_t *constants,
                                                            int8_t *output, const int8_t *end) {
    const int32_t depth = p->output_depth;
    for (int32_t k = 0; k < p->constants; k++) {
        const int8_t value = (int8_t)constants[k];
        for (int8_t *at = output + (constants[k] >> 8); at < end; at += depth) {
            *at = value;
        }
    }
}

#endif
