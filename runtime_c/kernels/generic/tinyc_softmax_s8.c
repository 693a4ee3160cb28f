/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_fixed_point.h"

/* Sums of exponentials have 19 fractional bits. From 2^28 on every output rounds to zero. */
#define SUM_LIMIT ((uint32_t)1 << 28)

/* 1 / (1 + a) for a in [0, 1), both with 31 fractional bits: gemmlowp's three Newton-Raphson steps, with 29 fractional bits. */
static int32_t one_over_one_plus(int32_t a) {
    const int32_t half_denominator = (a >> 1) + ((int32_t)1 << 30);
    int32_t x = 1515870810 + tinyc_rounding_doubling_high_mul(half_denominator, -1010580540);
    for (int step = 0; step < 3; step++) {
        const int32_t error = ((int32_t)1 << 29) - tinyc_rounding_doubling_high_mul(half_denominator, x);
        x += tinyc_rounding_doubling_high_mul(x, error) * 4;
    }
    return x < ((int32_t)1 << 30) ? x * 2 : INT32_MAX;
}

static void softmax_row(const tinyc_softmax_params *p, const int8_t *input, int8_t *output) {
    int32_t largest = input[0];
    for (int32_t c = 1; c < p->depth; c++) {
        largest = input[c] > largest ? input[c] : largest;
    }
    uint32_t sum = 0;
    for (int32_t c = 0; c < p->depth; c++) {
        const int32_t difference = largest - input[c];
        if (difference < p->exponentials_size && sum < SUM_LIMIT) {
            sum += ((uint32_t)p->exponentials[difference] + (1u << 11)) >> 12;
        }
    }
    int32_t reciprocal = 0, exponent = 31;
    if (sum < SUM_LIMIT) {
        exponent = 35;
        for (; sum < (uint32_t)1 << 31; sum <<= 1) {
            exponent--;
        }
        reciprocal = one_over_one_plus((int32_t)(sum - ((uint32_t)1 << 31)));
    }
    for (int32_t c = 0; c < p->depth; c++) {
        const int32_t difference = largest - input[c];
        int32_t value = 0;
        if (difference < p->exponentials_size) {
            value = tinyc_rounding_doubling_high_mul(reciprocal, p->exponentials[difference]);
            value = tinyc_rounding_divide_by_pot(value, exponent);
        }
        output[c] = (int8_t)((value < 255 ? value : 255) - 128);
    }
}

TINYC_KERNEL void tinyc_softmax_s8(const tinyc_softmax_params *params, const int8_t *input, int8_t *output) {
    for (int32_t row = 0; row < params->rows; row++) {
        softmax_row(params, input, output);
        input += params->depth;
        output += params->depth;
    }
}
