/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_fixed_point.h"
#include "tinyc_pool_dsp.h"

static inline int8_t average(int32_t sum, int32_t count, const tinyc_pool_2d_params *params) {
    sum = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
    return (int8_t)tinyc_clamp(sum, params->activation_min, params->activation_max);
}

static void average_pixel(const tinyc_pool_2d_params *params, const tinyc_pool_window *window, int8_t *output) {
    const int32_t depth = window->depth;
    const int32_t width = window->width;
    const int32_t count = window->height * width;
    const int8_t *first = window->first;
    int32_t c = depth;
    for (; c >= 8; c -= 8) {
        /* Sums of channels 0 and 2, 1 and 3, 4 and 6, 5 and 7 in halfwords: 256 pixels fit. */
        uint32_t sums[4] = {0, 0, 0, 0};
        const int8_t *at = first;
        for (int32_t i = window->height; i > 0; i--) {
            int32_t pixels = width;
            uint32_t low, high;
            __asm volatile(
                "1:\n\t"
                "ldr %[low], [%[at]]\n\t"
                "ldr %[high], [%[at], #4]\n\t"
                "add %[at], %[at], %[depth]\n\t"
                "sxtab16 %[sum0], %[sum0], %[low]\n\t"
                "sxtab16 %[sum1], %[sum1], %[low], ror #8\n\t"
                "sxtab16 %[sum2], %[sum2], %[high]\n\t"
                "sxtab16 %[sum3], %[sum3], %[high], ror #8\n\t"
                "subs %[pixels], %[pixels], #1\n\t"
                "bne 1b\n\t"
                : [at] "+r"(at), [pixels] "+r"(pixels), [sum0] "+r"(sums[0]), [sum1] "+r"(sums[1]), [sum2] "+r"(sums[2]),
                  [sum3] "+r"(sums[3]), [low] "=&r"(low), [high] "=&r"(high)
                : [depth] "r"(depth)
                : "cc", "memory");
            at += window->row_step;
        }
        for (int32_t i = 0; i < 4; i++) {
            int8_t *const to = output + (i >> 1) * 4 + (i & 1);
            to[0] = average((int16_t)(sums[i] & 0xffffu), count, params);
            to[2] = average((int32_t)sums[i] >> 16, count, params);
        }
        first += 8;
        output += 8;
    }
    for (; c > 0; c--) {
        const int8_t *at = first++;
        int32_t sum = 0;
        for (int32_t i = window->height; i > 0; i--) {
            for (int32_t j = width; j > 0; j--) {
                sum += *at;
                at += depth;
            }
            at += window->row_step;
        }
        *output++ = average(sum, count, params);
    }
}

/* No `restrict`: the output may be the input's memory. */
TINYC_KERNEL void tinyc_average_pool_2d_s8_dsp(const tinyc_pool_2d_params *params, const int8_t *input, int8_t *output) {
    tinyc_pool_dsp(params, input, output, average_pixel);
}
