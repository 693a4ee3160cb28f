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

/* tinyc_rounding_doubling_high_mul for b >= 0. */
static inline int32_t tinyc_high_mul(int32_t a, int32_t b) {
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
    /* These cores multiply 32 by 32 to 32 bits only; a 64-bit product would be a library call of three times the length. */
    const int32_t a_high = a >> 16;
    const uint32_t a_low = (uint32_t)a & 0xffffu;
    const int32_t b_high = b >> 16;
    const uint32_t b_low = (uint32_t)b & 0xffffu;
    const uint32_t low = a_low * b_low;
    const int32_t middle = a_high * (int32_t)b_low + (int32_t)(low >> 16);
    const uint32_t carry = a_low * (uint32_t)b_high + ((uint32_t)middle & 0xffffu);
    const int32_t high = a_high * b_high + (middle >> 16) + (int32_t)(carry >> 16);
    return (int32_t)(((uint32_t)high << 1) + (((carry >> 14 & 3u) + 1u) >> 1));
#else
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
#endif
}

/* x * multiplier * 2^(shift - 31); multiplier 0 or 2^30 to 2^31 - 1, shift -31 to 30; a left shift wraps modulo 2^32. */
static inline int32_t tinyc_requantize(int32_t x, int32_t multiplier, int32_t shift) {
    if (shift >= 0) {
        return tinyc_high_mul((int32_t)((uint32_t)x << shift), multiplier);
    }
    /* tinyc_rounding_divide_by_pot, simpler because |product| < 2^31 - 1: half up of x - 1 is half away from zero for negative x. */
    const int32_t product = tinyc_high_mul(x, multiplier);
    return (((product + (product >> 31)) >> (-shift - 1)) + 1) >> 1;
}

static inline int32_t tinyc_clamp(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : (x > high ? high : x);
}

#endif
