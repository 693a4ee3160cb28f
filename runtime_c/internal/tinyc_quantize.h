/* SPDX-License-Identifier: Apache-2.0 */
/* float32 to integers of up to 16 bits. */
#ifndef TINYC_QUANTIZE_H
#define TINYC_QUANTIZE_H

#include <stdint.h>

/* clamp(round(value / scale) + zero_point, low, high), half away from zero. `bound` is more than the type spans (8-bit types less than
 * 1024, int16 65536), so bounding the quotient there changes no result, keeps the conversion to int32_t defined, and sends NaN to the low
 * end. */
static inline int32_t tinyc_quantize(float value, float scale, float bound, int32_t zero_point, int32_t low, int32_t high) {
    const float quotient = value / scale;
    const float bounded = quotient > -bound ? (quotient < bound ? quotient : bound) : -bound;
    const int32_t whole = (int32_t)bounded;
    const float rest = bounded - (float)whole;
    const int32_t rounded = whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0) + zero_point;
    return rounded < low ? low : (rounded > high ? high : rounded);
}

#endif
