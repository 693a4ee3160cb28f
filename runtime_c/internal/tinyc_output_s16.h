/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of sums of products in int16: CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED. */
#ifndef TINYC_OUTPUT_S16_H
#define TINYC_OUTPUT_S16_H

#include <stddef.h>
#include <stdint.h>

#include "tinyc_fixed_point.h"

/* x * multiplier * 2^(shift - 15), half up; multiplier 0 to 2^15 - 1, shift -31 to 7. Wraps modulo 2^64, the result modulo 2^32. */
static inline int32_t tinyc_requantize_wide(int64_t x, int32_t multiplier, int32_t shift) {
    const int32_t right = 15 - shift;
    const uint64_t product = (uint64_t)x * (uint64_t)multiplier + ((uint64_t)1 << (right - 1));
    return (int32_t)(uint32_t)((int64_t)product >> right);
}

/* An output of channel `channel`, given its sum of products. See tinyc_kernels.h for bias_bits and the multipliers. */
static inline int16_t tinyc_output_s16(int64_t sum, const void *bias, int32_t bias_bits, int32_t channel, int32_t multiplier,
                                       int32_t shift, int32_t low, int32_t high) {
    int32_t scaled;
    if (bias_bits == 32) {
        const uint32_t total = (uint32_t)sum + (uint32_t)((const int32_t *)bias)[channel];
        scaled = tinyc_requantize((int32_t)total, multiplier, shift);
    } else {
        const uint64_t total = (uint64_t)sum + (bias == NULL ? 0u : (uint64_t)((const int64_t *)bias)[channel]);
        scaled = tinyc_requantize_wide((int64_t)total, multiplier, shift);
    }
    return (int16_t)tinyc_clamp(scaled, low, high);
}

#endif
