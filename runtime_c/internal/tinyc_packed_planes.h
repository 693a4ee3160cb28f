/* SPDX-License-Identifier: Apache-2.0 */
/* What the depthwise convolutions of armv7m and armv6m share: planes of words, each an input of two output pixels. */
#ifndef TINYC_PACKED_PLANES_H
#define TINYC_PACKED_PLANES_H

#include "tinyc_kernels.h"

/* The plane of one channel at `image`: rows from `top` in the low halves and from `bottom` in the high ones, which may be outside the
 * image, as may columns. */
static void tinyc_plane(const tinyc_depthwise_packed_params *p, const int8_t *image, int32_t top, int32_t bottom, uint32_t *x) {
    const int8_t padding = (int8_t)p->padding;
    const uint32_t both = (uint32_t)padding + ((uint32_t)padding << 16);
    const int32_t depth = p->input_depth;
    const int32_t before = p->pad_width < p->plane_columns ? p->pad_width : p->plane_columns;
    const int32_t inside = p->plane_columns - before < p->input_width ? p->plane_columns - before : p->input_width;
    const int32_t after = p->plane_columns - before - inside;
    for (int32_t row = p->plane_rows; row > 0; row--) {
        const int8_t *a = &padding;
        const int8_t *b = &padding;
        int32_t step_a = 0;
        int32_t step_b = 0;
        if ((uint32_t)top < (uint32_t)p->input_height) {
            a = image + top * p->input_width * depth;
            step_a = depth;
        }
        if ((uint32_t)bottom < (uint32_t)p->input_height) {
            b = image + bottom * p->input_width * depth;
            step_b = depth;
        }
        top++;
        bottom++;
        for (int32_t i = before; i > 0; i--) {
            *x++ = both;
        }
        if ((inside & 1) != 0) {
            *x++ = (uint32_t)*a + ((uint32_t)*b << 16);
            a += step_a;
            b += step_b;
        }
        for (int32_t i = inside >> 1; i > 0; i--) {
            x[0] = (uint32_t)*a + ((uint32_t)*b << 16);
            x[1] = (uint32_t)a[step_a] + ((uint32_t)b[step_b] << 16);
            a += 2 * step_a;
            b += 2 * step_b;
            x += 2;
        }
        for (int32_t i = after; i > 0; i--) {
            *x++ = both;
        }
    }
}

#endif
