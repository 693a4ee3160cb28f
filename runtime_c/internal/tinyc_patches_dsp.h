/* SPDX-License-Identifier: Apache-2.0 */
/* The patches of a convolution's input, pixel by pixel. */
#ifndef TINYC_PATCHES_DSP_H
#define TINYC_PATCHES_DSP_H

#include "tinyc_kernels.h"

/* The next output pixel, and how its patch is copied together if it must be. */
typedef struct {
    const int8_t *image;
    int32_t y;
    int32_t x;
    int32_t pitch;  /* bytes from a row of the copy to the next */
    int32_t fill;   /* bytes of zero points, rounded up to a multiple of 4, that are written before */
} tinyc_patch_place;

static inline void tinyc_patch_skip(const tinyc_conv_2d_dsp_params *params, tinyc_patch_place *at, int32_t pixels) {
    at->x += pixels;
    if (at->x == params->output_width) {
        at->x = 0;
        at->y++;
        if (at->y == params->output_height) {
            at->y = 0;
            at->image += params->input_height * params->input_width * params->input_depth;
        }
    }
}

/* Address of the first value of a patch; outside of the image where the patch begins outside. */
static inline const int8_t *tinyc_patch_address(const tinyc_conv_2d_dsp_params *params, const tinyc_patch_place *at) {
    const int32_t y = at->y * params->stride_height - params->pad_height;
    const int32_t x = at->x * params->stride_width - params->pad_width;
    return at->image + (y * params->input_width + x) * params->input_depth;
}

static inline int32_t tinyc_patch_row_is_inside(const tinyc_conv_2d_dsp_params *params, const tinyc_patch_place *at) {
    return at->y >= params->inside_top && at->y < params->inside_bottom;
}

/* Whether all patches are runs of memory inside of the image. */
static inline int32_t tinyc_patch_all_inside(const tinyc_conv_2d_dsp_params *params) {
    return params->inside_right - params->inside_left == params->output_width &&
           params->inside_bottom - params->inside_top == params->output_height;
}

/* Four words from `from`, `step` bytes apart. */
#define TINYC_PATCH_WORDS(to, from, step)                                        \
    do {                                                                         \
        __builtin_memcpy((to), (from), 4);                                       \
        __builtin_memcpy((to) + 4, (const int8_t *)(from) + (step), 4);          \
        __builtin_memcpy((to) + 8, (const int8_t *)(from) + 2 * (step), 4);      \
        __builtin_memcpy((to) + 12, (const int8_t *)(from) + 3 * (step), 4);     \
    } while (0)

/* A patch that is not a run of memory per filter row becomes one in `block`, with zero points outside of the image if it is filled. */
static __attribute__((noinline)) void tinyc_patch_gather(const tinyc_conv_2d_dsp_params *params, const tinyc_patch_place *at,
                                                         int8_t *block) {
    const int32_t depth = params->input_depth;
    const uint32_t padding = (uint8_t)params->input_zero_point * 0x01010101u;
    int8_t *to = block;
    int32_t fill = at->fill;
    for (; fill >= 16; fill -= 16) {
        TINYC_PATCH_WORDS(to, &padding, 0);
        to += 16;
    }
    for (; fill > 0; fill -= 4) {
        __builtin_memcpy(to, &padding, 4);
        to += 4;
    }
    /* Taps of dilation 1 are copied in one piece. */
    const int32_t taps = params->dilation_width == 1 ? params->filter_width : 1;
    const int32_t step = params->dilation_height * params->input_width * depth;
    const int32_t top = at->y * params->stride_height - params->pad_height;
    int32_t x = at->x * params->stride_width - params->pad_width;
    for (int32_t kx = 0; kx < params->filter_width; kx += taps) {
        const int32_t first = x < 0 ? -x : 0;
        const int32_t end = x + taps < params->input_width ? taps : params->input_width - x;
        const int32_t count = (end - first) * depth;
        int32_t offset = (top * params->input_width + x + first) * depth;
        int32_t y = top;
        to = block + (kx + first) * depth;
        for (int32_t ky = params->filter_height; ky > 0; ky--) {
            if (y >= 0 && y < params->input_height && count > 0) {
                const int8_t *from = at->image + offset;
                int32_t i = count - 4;
                for (; i >= 12; i -= 16) {
                    TINYC_PATCH_WORDS(to, from, 4);
                    to += 16;
                    from += 16;
                }
                for (; i >= 0; i -= 4) {
                    __builtin_memcpy(to, from, 4);
                    to += 4;
                    from += 4;
                }
                for (; i > -4; i--) {
                    *to++ = *from++;
                }
                to -= count;
            }
            offset += step;
            y += params->dilation_height;
            to += at->pitch;
        }
        x += params->dilation_width;
    }
}

/* The patch of the next output pixel, perhaps in `block`, and the bytes from one of its runs to the next. */
static inline const int8_t *tinyc_patch_next(const tinyc_conv_2d_dsp_params *params, tinyc_patch_place *at, int8_t *block,
                                             int32_t *pitch) {
    const int8_t *source = block;
    if (at->x >= params->inside_left && at->x < params->inside_right && tinyc_patch_row_is_inside(params, at)) {
        source = tinyc_patch_address(params, at);
        *pitch = params->dilation_height * params->input_width * params->input_depth;
    } else {
        tinyc_patch_gather(params, at, block);
        *pitch = at->pitch;
    }
    tinyc_patch_skip(params, at, 1);
    return source;
}

#endif
