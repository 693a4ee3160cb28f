/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_fixed_point.h"

/* A function of x given at its 512 multiples of 128 and at 2^15, as TFLite interpolates it. */
static int32_t interpolate(const int16_t *table, int32_t x) {
    const int16_t *const at = table + 256 + (x >> 7);
    return at[0] + (((at[1] - at[0]) * (x & 127) + 64) >> 7);
}

/* The exponentials are in `output` until the sum is known. No `restrict`: it may be the input's memory. */
static void softmax_row(const tinyc_softmax_s16_params *p, const int16_t *input, int16_t *output) {
    int32_t largest = input[0];
    for (int32_t c = 1; c < p->depth; c++) {
        largest = input[c] > largest ? input[c] : largest;
    }
    int32_t sum = 0;
    for (int32_t c = 0; c < p->depth; c++) {
        const int32_t scaled = tinyc_requantize(input[c] - largest, p->multiplier, p->shift);
        const int32_t power = interpolate(p->exponentials, scaled < -65535 ? INT16_MIN : scaled + INT16_MAX);
        output[c] = (int16_t)power;
        sum += power;
    }
    uint32_t normal = (uint32_t)sum;
    int32_t exponent = 30; /* of the sum's first bit */
    for (; normal < (uint32_t)1 << 30; normal <<= 1) {
        exponent--;
    }
    const int32_t excess = (int32_t)((normal + (1u << 13)) >> 14) - (1 << 15) - (1 << 16);
    const int32_t reciprocal = interpolate(p->reciprocals, excess > INT16_MAX ? INT16_MAX : excess);
    for (int32_t c = 0; c < p->depth; c++) {
        const int32_t value = (output[c] * reciprocal + ((int32_t)1 << (exponent - 1))) >> exponent;
        output[c] = (int16_t)tinyc_clamp(value, 0, INT16_MAX);
    }
}

TINYC_KERNEL void tinyc_softmax_s16(const tinyc_softmax_s16_params *params, const int16_t *input, int16_t *output) {
    for (int32_t row = 0; row < params->rows; row++) {
        softmax_row(params, input, output);
        input += params->depth;
        output += params->depth;
    }
}
