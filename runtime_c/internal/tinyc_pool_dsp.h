/* SPDX-License-Identifier: Apache-2.0 */
/* The windows of AVERAGE_POOL_2D and MAX_POOL_2D, for kernels of the DSP extension that take eight channels at a time. */
#ifndef TINYC_POOL_DSP_H
#define TINYC_POOL_DSP_H

#include "tinyc_kernels.h"

#if !defined(__ARM_FEATURE_DSP)
#error "tinyc_pool_dsp.h needs the DSP extension: compile with -mcpu=cortex-m4, cortex-m7, cortex-m33 or the like"
#endif

/* The pixels of a window that are inside of the image. */
typedef struct {
    const int8_t *first;
    int32_t height;
    int32_t width;
    int32_t depth;    /* bytes from a pixel to the next */
    int32_t row_step; /* bytes from the end of a row of the window to the next */
} tinyc_pool_window;

/* Computes one output pixel. */
typedef void tinyc_pool_pixel(const tinyc_pool_2d_params *params, const tinyc_pool_window *window, int8_t *output);

/* Calls `pixel` for every output pixel in order. */
static inline void tinyc_pool_dsp(const tinyc_pool_2d_params *params, const int8_t *input, int8_t *output, tinyc_pool_pixel *pixel) {
    const int32_t depth = params->depth;
    const int32_t row = params->input_width * depth;
    tinyc_pool_window window;
    window.depth = depth;
    for (int32_t b = 0; b < params->batches; b++) {
        for (int32_t oy = 0; oy < params->output_height; oy++) {
            const int32_t y = oy * params->stride_height - params->pad_height;
            const int32_t top = y > 0 ? y : 0;
            const int32_t bottom = y + params->filter_height;
            const int32_t height = (bottom < params->input_height ? bottom : params->input_height) - top;
            for (int32_t ox = 0; ox < params->output_width; ox++) {
                const int32_t x = ox * params->stride_width - params->pad_width;
                const int32_t left = x > 0 ? x : 0;
                const int32_t right = x + params->filter_width;
                const int32_t width = (right < params->input_width ? right : params->input_width) - left;
                const int whole_rows = width == params->input_width;
                window.first = input + top * row + left * depth;
                window.height = whole_rows ? 1 : height;
                window.width = whole_rows ? height * width : width;
                window.row_step = row - width * depth;
                pixel(params, &window, output);
                output += depth;
            }
        }
        input += params->input_height * row;
    }
}

#endif
