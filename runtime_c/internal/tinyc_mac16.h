/* SPDX-License-Identifier: Apache-2.0 */
/* What the Xtensa kernels share: the core's options, inputs as halfwords, and the requantization of sums that are 256 times too large. */
#ifndef TINYC_MAC16_H
#define TINYC_MAC16_H

#include <stdint.h>

#include "tinyc_fixed_point.h"

#if !defined(__XTENSA__)
#error "this kernel needs an Xtensa core with MAC16 and zero-overhead loops, such as the ESP32's (target xtensa)"
#endif

/* Espressif's SDK says what the core has; tinyc's own builds for emulation are for a core without a high product. */
#if defined(__has_include)
#if __has_include(<xtensa/config/core-isa.h>)
#include <xtensa/config/core-isa.h>
#if !XCHAL_HAVE_MAC16 || !XCHAL_HAVE_LOOPS
#error "this kernel needs an Xtensa core with MAC16 and zero-overhead loops, such as the ESP32 or the ESP32-S3"
#endif
#define TINYC_HIGH_PRODUCT XCHAL_HAVE_MUL32_HIGH
#endif
#endif
#ifndef TINYC_HIGH_PRODUCT
#define TINYC_HIGH_PRODUCT 0
#endif

/* One unit of TFLite's high product in tinyc_high_product. */
#define TINYC_UNIT 128u

/* How one channel's sums become outputs; see tinyc_conv_2d_patches_params. */
typedef struct {
    int32_t multiplier; /* below 2^31 */
    int32_t rounding;
    int32_t shift;
    int32_t negative;
    int32_t low;
    int32_t high;
} tinyc_scaling;

/* (256 * sum * multiplier) >> 32 for |sum| < 2^23. */
static inline int32_t tinyc_high_product(int32_t sum_256, int32_t multiplier) {
#if TINYC_HIGH_PRODUCT
    return (int32_t)(((int64_t)sum_256 * multiplier) >> 32);
#else
    const int32_t sum = sum_256 >> 8;
    int32_t product = (sum * (multiplier & 255)) >> 8;
    product = (product + sum * (multiplier >> 8 & 255)) >> 8;
    product = (product + sum * (multiplier >> 16 & 255)) >> 8;
    return product + sum * (multiplier >> 24);
#endif
}

/* `count` outputs, `step` bytes apart. Two loops, not inlined, so that they keep what they need in registers. */
static __attribute__((noinline)) void tinyc_scale_relu(const tinyc_scaling *scaling, const int32_t *sums, int32_t count, int8_t *output,
                                                       int32_t step) {
    const int32_t multiplier = scaling->multiplier;
    const uint32_t rounding = (uint32_t)scaling->rounding; /* may be beyond 32 bits where the result is not */
    const int32_t shift = scaling->shift;
    const int32_t low = scaling->low;
    const int32_t high = scaling->high;
    do {
        const int32_t sum = *sums++;
        int32_t value = low;
        if (sum >= 0) {
            const int32_t scaled = (int32_t)((uint32_t)tinyc_high_product(sum, multiplier) + rounding) >> shift;
            value = scaled < high ? scaled : high;
        }
        *output = (int8_t)value;
        output += step;
    } while (--count != 0);
}

/* A negative sum loses one unit of TFLite's product, which is 2^7 here. */
static __attribute__((noinline)) void tinyc_scale_signed(const tinyc_scaling *scaling, const int32_t *sums, int32_t count,
                                                         int8_t *output, int32_t step) {
    const int32_t multiplier = scaling->multiplier;
    const uint32_t rounding = (uint32_t)scaling->rounding;
    const int32_t shift = scaling->shift;
    const int32_t low = scaling->low;
    const int32_t high = scaling->high;
    do {
        const int32_t sum = *sums++;
        uint32_t scaled = (uint32_t)tinyc_high_product(sum, multiplier) + rounding;
        if (sum < 0) {
            scaled -= TINYC_UNIT;
        }
        *output = (int8_t)tinyc_clamp((int32_t)scaled >> shift, low, high);
        output += step;
    } while (--count != 0);
}

static inline void tinyc_scale(const tinyc_scaling *scaling, const int32_t *sums, int32_t count, int8_t *output, int32_t step) {
    if (scaling->negative == 0) {
        tinyc_scale_relu(scaling, sums, count, output, step);
    } else {
        tinyc_scale_signed(scaling, sums, count, output, step);
    }
}

/* 4 * `words` bytes, which are aligned, as halfwords x + 128; of four, the words (0, 2) and (1, 3). Returns the end. */
static inline uint32_t *tinyc_widen(const int8_t *from, int32_t words, uint32_t *x) {
    const uint32_t *four = (const uint32_t *)(const void *)from;
    for (; words >= 2; words -= 2) {
        const uint32_t first = four[0] ^ 0x80808080u;
        const uint32_t second = four[1] ^ 0x80808080u;
        x[0] = first & 0x00FF00FFu;
        x[1] = first >> 8 & 0x00FF00FFu;
        x[2] = second & 0x00FF00FFu;
        x[3] = second >> 8 & 0x00FF00FFu;
        four += 2;
        x += 4;
    }
    if (words > 0) {
        const uint32_t last = *four ^ 0x80808080u;
        x[0] = last & 0x00FF00FFu;
        x[1] = last >> 8 & 0x00FF00FFu;
        x += 2;
    }
    return x;
}

#endif
