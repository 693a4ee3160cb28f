/* SPDX-License-Identifier: Apache-2.0 */
/* A raw value to a number of the input. */
#ifndef TINYC_PREPROCESS_STORE_H
#define TINYC_PREPROCESS_STORE_H

#include "tinyc_float.h"
#include "tinyc_preprocess.h"

/* 16-bit types span less than 131072, so that bounding the quotient there changes no result, keeps the conversion to int32_t defined, and
 * sends NaN to the low end. */
static inline int32_t tinyc_preprocess_quantize(float real, float scale, int32_t zero_point, int32_t low, int32_t high) {
    const float quotient = real / scale;
    const float bounded = quotient > -131072.0f ? (quotient < 131072.0f ? quotient : 131072.0f) : -131072.0f;
    const int32_t whole = (int32_t)bounded;
    const float rest = bounded - (float)whole;
    const int32_t rounded = whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0) + zero_point;
    return rounded < low ? low : (rounded > high ? high : rounded);
}

/* Value `index` of the input; `turn` is index % period. */
static inline void tinyc_preprocess_store(const tinyc_preprocess_values_params *params, float raw, uint32_t turn, uint32_t index,
                                          void *input) {
    const float real = (raw * params->scale - params->mean[turn]) / params->std[turn];
    const float scale = params->input_scale;
    const int32_t zero = params->zero_point;
    switch (params->type) {
    case TINYC_INPUT_S8:
        ((int8_t *)input)[index] = (int8_t)tinyc_preprocess_quantize(real, scale, zero, INT8_MIN, INT8_MAX);
        break;
    case TINYC_INPUT_U8:
        ((uint8_t *)input)[index] = (uint8_t)tinyc_preprocess_quantize(real, scale, zero, 0, UINT8_MAX);
        break;
    case TINYC_INPUT_S16:
        ((int16_t *)input)[index] = (int16_t)tinyc_preprocess_quantize(real, scale, zero, INT16_MIN, INT16_MAX);
        break;
    default:
        ((float *)input)[index] = real;
        break;
    }
}

#endif
