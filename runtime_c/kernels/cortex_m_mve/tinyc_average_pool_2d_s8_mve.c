/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#if !defined(__ARM_FEATURE_MVE) || !(__ARM_FEATURE_MVE & 1)
#error "tinyc_average_pool_2d_s8_mve.c needs Helium: compile with -mcpu=cortex-m55 or -mcpu=cortex-m85 (-march=armv8.1-m.main+mve)"
#endif

#include <arm_mve.h>

/* Sums of 16 channels in 16 bits, `lanes` of them inside the tensor: even channels and odd ones. */
static inline int16x8x2_t sum_16(const int8_t *from, mve_pred16_t lanes, int32_t rows, int32_t columns, int32_t depth, int32_t row) {
    int16x8x2_t sum = {{vdupq_n_s16(0), vdupq_n_s16(0)}};
    for (int32_t i = rows; i > 0; i--) {
        const int8_t *x = from;
        for (int32_t j = columns; j > 0; j--) {
            const int8x16_t value = vldrbq_z_s8(x, lanes);
            sum.val[0] = vaddq_s16(sum.val[0], vmovlbq_s8(value));
            sum.val[1] = vaddq_s16(sum.val[1], vmovltq_s8(value));
            x += depth;
        }
        from += row;
    }
    return sum;
}

/* sum / count, rounded half away from zero. `reciprocal` is 2^32 / count rounded up: the product is exact to 2^32 / count because the
 * sums are below 2^16 and the count is at most 256. */
static inline int16x8_t divide(int16x8_t sum, uint32_t half, uint32_t reciprocal) {
    const uint16x8_t size = vaddq_n_u16((uint16x8_t)vabsq_s16(sum), (uint16_t)half);
    const uint32x4_t factor = vdupq_n_u32(reciprocal);
    const uint32x4_t even = vmulhq_u32(vmovlbq_u16(size), factor);
    const uint32x4_t odd = vmulhq_u32(vmovltq_u16(size), factor);
    const int16x8_t quotient = (int16x8_t)vmovntq_u32(vmovnbq_u32(vuninitializedq_u16(), even), odd);
    return vnegq_m_s16(quotient, quotient, vcmpltq_n_s16(sum, 0));
}

/* No `restrict`: the output may be the input's memory. */
TINYC_KERNEL void tinyc_average_pool_2d_s8_mve(const tinyc_pool_2d_params *params, const int8_t *input, int8_t *output) {
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
                const uint32_t count = (uint32_t)(height * width);
                const uint32_t reciprocal = UINT32_MAX / count + 1u;
                const int8_t *from = input + top * row + left * depth;
                for (int32_t c = depth; c > 0; c -= 16) {
                    const mve_pred16_t lanes = vctp8q((uint32_t)c);
                    int16x8x2_t sum = sum_16(from, lanes, height, width, depth, row);
                    if (count > 1u) {
                        sum.val[0] = divide(sum.val[0], count / 2u, reciprocal);
                        sum.val[1] = divide(sum.val[1], count / 2u, reciprocal);
                    }
                    const int8x16_t mean = vmovntq_s16(vmovnbq_s16(vuninitializedq_s8(), sum.val[0]), sum.val[1]);
                    vstrbq_p_s8(output, vminq_s8(vmaxq_s8(mean, lows), highs), lanes);
                    from += 16;
                    output += c < 16 ? c : 16;
                }
            }
        }
        input += params->input_height * row;
    }
}
