/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_broadcast.h"
#include "tinyc_fixed_point.h"

/* tinyc_rounding_doubling_high_mul(v * 2^20, multiplier) for |v| <= 255, without a 64-bit product. */
static inline int32_t high_mul(int32_t v, int32_t multiplier) {
    return v * (multiplier >> 16) * 32 + ((v * (multiplier & 0xFFFF) + (1 << 10)) >> 11);
}

/* tinyc_rounding_divide_by_pot(x, right_shift) for |x| <= 2^28 and a shift up to 30. */
static inline int32_t divide_by_pot(int32_t x, int32_t right_shift) {
    return (x * 2 + (1 << right_shift) + (x >> 31)) >> (right_shift + 1);
}

TINYC_KERNEL void tinyc_add_s8(const tinyc_add_params *restrict params, const int8_t *input1, const int8_t *input2, int8_t *output) {
    const tinyc_add_params *const p = params;
    const int32_t *const inner = p->shape + 3 * (p->rank - 1);
    const int32_t extent = inner[0], step1 = inner[1], step2 = inner[2];
    int32_t counters[TINYC_BROADCAST_RANK] = {0};
    do {
        for (int32_t i = 0; i < extent; i++) {
            const int32_t x = divide_by_pot(high_mul(*input1 + p->input1_offset, p->input1_multiplier), p->input1_right_shift);
            const int32_t y = divide_by_pot(high_mul(*input2 + p->input2_offset, p->input2_multiplier), p->input2_right_shift);
            const int64_t product = (int64_t)((x + p->input2_sign * y) * 2) * p->output_multiplier;
            const int32_t sum = (int32_t)((product + ((int64_t)1 << 31)) >> 32);
            const int32_t value = divide_by_pot(sum, p->output_right_shift) + p->output_offset;
            *output++ = (int8_t)tinyc_clamp(value, p->activation_min, p->activation_max);
            input1 += step1;
            input2 += step2;
        }
    } while (tinyc_broadcast_next(p->shape, p->rank, counters, &input1, &input2));
}
