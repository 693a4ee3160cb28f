/* SPDX-License-Identifier: Apache-2.0 */
/* Requantization of one accumulator with 32-bit products, see compiler/targets/armv6m/_requantize.py. */
#ifndef TINYC_REQUANTIZE_ARMV6M_H
#define TINYC_REQUANTIZE_ARMV6M_H

#include "tinyc_fixed_point.h"

/* Words of a record: flags and shifts first. */
enum { TINYC_FLAGS, TINYC_ADDEND, TINYC_MULTIPLIER, TINYC_SLOPE, TINYC_INTERCEPT, TINYC_JUMP, TINYC_ZERO };

/* Flag: not the short record; with a shift of 0, the rest is multiplier, right shift and zero point for the full double rounding. */
#define TINYC_LONG 0x40000000

static inline int8_t tinyc_requantize_full(int32_t acc, const int32_t *rest) {
    return (int8_t)tinyc_clamp(tinyc_requantize(acc, rest[0], -rest[1]) + rest[2], -128, 127);
}

static inline int8_t tinyc_requantize_armv6m(int32_t acc, const int32_t *record) {
    const int32_t flags = record[TINYC_FLAGS];
    if ((flags & 0xff) == 0) {
        return tinyc_requantize_full(acc, record + 1);
    }
    const int32_t v = (acc * record[TINYC_MULTIPLIER] + record[TINYC_ADDEND]) >> (flags & 0xff);
    if (v < 0) {
        return -128;
    }
    if (v > 254) {
        return 127;
    }
    uint32_t line = (uint32_t)v * (uint32_t)record[TINYC_SLOPE] + (uint32_t)record[TINYC_INTERCEPT];
    if ((flags & TINYC_LONG) != 0 && v <= record[TINYC_ZERO]) {
        line += (uint32_t)record[TINYC_JUMP];
    }
    return (int8_t)(v - 127 - ((uint32_t)acc < line >> (flags >> 8 & 0xff) ? 1 : 0));
}

#endif
