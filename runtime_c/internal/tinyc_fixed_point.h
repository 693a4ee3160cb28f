/* SPDX-License-Identifier: Apache-2.0 */
/* TFLite Micro's fixed-point arithmetic, bit for bit (gemmlowp's double rounding). Python twin: compiler/ops/_fixed_point.py. */
#ifndef TINYC_FIXED_POINT_H
#define TINYC_FIXED_POINT_H

#include <stdint.h>

/* (a * b * 2 + rounding) >> 32, half away from zero; saturates INT32_MIN * INT32_MIN. */
static inline int32_t tinyc_rounding_doubling_high_mul(int32_t a, int32_t b) {
    if (a == INT32_MIN && b == INT32_MIN) {
        return INT32_MAX;
    }
    const int64_t product = (int64_t)a * (int64_t)b;
    /* gemmlowp divides product + (2^30 or 1 - 2^30) by 2^31 towards zero, which is this floor for either sign. */
    return (int32_t)((product + ((int64_t)1 << 30)) >> 31);
}

/* x / 2^exponent, half away from zero; exponent 0 to 31. */
static inline int32_t tinyc_rounding_divide_by_pot(int32_t x, int32_t exponent) {
    const int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1u);
    const int32_t remainder = x & mask;
    const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> exponent) + (remainder > threshold ? 1 : 0);
}

/* x * multiplier * 2^(shift - 31); multiplier 0 or 2^30 to 2^31 - 1, shift -31 to 30; a left shift wraps modulo 2^32. */
static inline int32_t tinyc_requantize(int32_t x, int32_t multiplier, int32_t shift) {
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    const int32_t shifted = (int32_t)((uint32_t)x << left);
    return tinyc_rounding_divide_by_pot(tinyc_rounding_doubling_high_mul(shifted, multiplier), right);
}

static inline int32_t tinyc_clamp(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : (x > high ? high : x);
}

#endif
