/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_float.h"

/* No `restrict`: the output may be the input's memory. */
TINYC_KERNEL void tinyc_average_pool_2d_f32(const tinyc_pool_2d_f32_params *params, const float *input, float *output) {
    const int32_t depth = params->depth;
    const int32_t row = params->input_width * depth;
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
                const int32_t first = top * row + left * depth;
                const float count = (float)(height * width);
                for (int32_t c = 0; c < depth; c++) {
                    int32_t at = first + c;
                    float sum = 0.0f;
                    for (int32_t i = height; i > 0; i--) {
                        for (int32_t j = width; j > 0; j--) {
                            sum += input[at];
                            at += depth;
                        }
                        at += row - width * depth;
                    }
                    *output++ = tinyc_clamp_f32(sum / count, params->activation_min, params->activation_max);
                }
            }
        }
        input += params->input_height * row;
    }
}
