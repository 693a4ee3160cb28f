/* SPDX-License-Identifier: Apache-2.0 */
/* exp in float32, the same bits on every target, as libraries differ. Python twin: compiler/ops/_float_exp.py. */
#ifndef TINYC_EXP_H
#define TINYC_EXP_H

#include <stdint.h>

#include "tinyc_float.h"

static inline float tinyc_float_of_bits(uint32_t bits) {
    union {
        uint32_t bits;
        float value;
    } both;
    both.bits = bits;
    return both.value;
}

static inline uint32_t tinyc_bits_of_float(float value) {
    union {
        uint32_t bits;
        float value;
    } both;
    both.value = value;
    return both.bits;
}

/* 2^exponent for -126 to 127. */
static inline float tinyc_power_of_two(int32_t exponent) {
    return tinyc_float_of_bits((uint32_t)(exponent + 127) << 23);
}

/* exp(x), at most 1 unit in the last place off; NaN stays. x = n ln 2 + r with |r| <= ln 2 / 2, and exp(r) = 1 + (r + r^2 * polynomial);
 * n times the first part of ln 2, of 9 bits, is exact. */
static inline float tinyc_exp(float x) {
    if (!(x <= 88.7228394f)) {
        return x > 0.0f ? tinyc_float_of_bits(0x7f800000u) : x;
    }
    if (x < -103.972084f) {
        return 0.0f;
    }
    /* One half with the sign of x, by its bits: LLVM 22's code generator for Xtensa fails at a choice between two constants. */
    const float half_away = tinyc_float_of_bits(0x3f000000u | (tinyc_bits_of_float(x) & 0x80000000u));
    const int32_t n = (int32_t)(x * 1.44269502f + half_away);
    const float whole = (float)n;
    const float r = (x - whole * 0.693359375f) + whole * 2.12194442e-4f;
    float p = 1.38144672e-3f;
    p = p * r + 8.36878084e-3f;
    p = p * r + 4.16683927e-2f;
    p = p * r + 1.66665196e-1f;
    p = p * r + 4.9999994e-1f;
    const float power = 1.0f + (r + r * r * p);
    const int32_t half = n / 2;
    return power * tinyc_power_of_two(half) * tinyc_power_of_two(n - half);
}

#endif
