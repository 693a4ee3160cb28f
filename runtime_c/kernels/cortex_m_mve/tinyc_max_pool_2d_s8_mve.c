/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#if !defined(__ARM_FEATURE_MVE) || !(__ARM_FEATURE_MVE & 1)
#error "tinyc_max_pool_2d_s8_mve.c needs Helium: compile with -mcpu=cortex-m55 or -mcpu=cortex-m85 (-march=armv8.1-m.main+mve)"
#endif

#include <arm_mve.h>

/* The largest values of 16 channels, `lanes` of them inside the tensor. */
static inline int8x16_t max_16(const int8_t *from, mve_pred16_t lanes, int32_t rows, int32_t columns, int32_t depth, int32_t row) {
    int8x16_t largest = vdupq_n_s8(INT8_MIN);
    for (int32_t i = rows; i > 0; i--) {
        const int8_t *x = from;
        for (int32_t j = columns; j > 0; j--) {
            largest = vmaxq_s8(largest, vldrbq_z_s8(x, lanes));
            x += depth;
        }
        from += row;
    }
    return largest;
}

/* No `restrict`: the output may be the input's memory. */
TINYC_KERNEL void tinyc_max_pool_2d_s8_mve(const tinyc_pool_2d_params *params, const int8_t *input, int8_t *output) {
    const int32_t depth = params->depth;
    const int32_t row = params->input_width * depth;
    const int8x16_t lows = vdupq_n_s8((int8_t)params->activation_min);
    const int8x16_t highs = vdupq_n_s8((int8_t)params->activation_max);
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
                const int8_t *from = input + top * row + left * depth;
                for (int32_t c = depth; c > 0; c -= 16) {
                    const mve_pred16_t lanes = vctp8q((uint32_t)c);
                    const int8x16_t largest = max_16(from, lanes, height, width, depth, row);
                    vstrbq_p_s8(output, vminq_s8(vmaxq_s8(largest, lows), highs), lanes);
                    from += 16;
                    output += c < 16 ? c : 16;
                }
            }
        }
        input += params->input_height * row;
    }
}
