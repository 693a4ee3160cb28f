/* SPDX-License-Identifier: Apache-2.0 */
/* float32 to 8-bit integers. */
#ifndef TINYC_QUANTIZE_H
#define TINYC_QUANTIZE_H

#include <stdint.h>

/* clamp(round(value / scale) + zero_point, low, high), half away from zero. 8-bit types span less than 1024, so bounding the quotient
 * there changes no result, keeps the conversion to int32_t defined, and sends NaN to the low end. */
static inline int32_t tinyc_quantize(float value, float scale, int32_t zero_point, int32_t low, int32_t high) {
    const float quotient = value / scale;
    const float bounded = quotient > -1024.0f ? (quotient < 1024.0f ? quotient : 1024.0f) : -1024.0f;
    const int32_t whole = (int32_t)bounded;
    const float rest = bounded - (float)whole;
    const int32_t rounded = whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0) + zero_point;
    return rounded < low ? low : (rounded > high ? high : rounded);
}

#endif
