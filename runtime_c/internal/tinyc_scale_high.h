/* SPDX-License-Identifier: Apache-2.0 */
/* Requantization of sums that the compiler has prepared for one high product; compiler/targets/_rounding.py proves it exact. */
#ifndef TINYC_SCALE_HIGH_H
#define TINYC_SCALE_HIGH_H

#include <stdint.h>

#include "tinyc_fixed_point.h"

/* The output for `value`, 2^j times the sum; `scaling` is multiplier (unsigned), rounding and shift. `negative` is added to the product of a
 * negative value; 0 says that a negative value gives `low`, whatever its product. */
static inline int32_t tinyc_scale_high(int32_t value, const int32_t *scaling, int32_t negative, int32_t low, int32_t high) {
    if (value < 0 && negative == 0) {
        return low;
    }
    const int32_t product = (int32_t)(((int64_t)value * (int64_t)(uint32_t)scaling[0]) >> 32);
    const int32_t unit = value < 0 ? negative : 0;
    /* The rounding term may be beyond 32 bits where the result is not. */
    const uint32_t sum = (uint32_t)product + (uint32_t)unit + (uint32_t)scaling[1];
    return tinyc_clamp((int32_t)sum >> scaling[2], low, high);
}

#endif
