/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_broadcast.h"
#include "tinyc_fixed_point.h"

static inline int32_t scale(int32_t x, int32_t multiplier, int32_t right_shift) {
    return tinyc_rounding_divide_by_pot(tinyc_rounding_doubling_high_mul(x, multiplier), right_shift);
}

TINYC_KERNEL void tinyc_add_s8(const tinyc_add_params *restrict params, const int8_t *input1, const int8_t *input2, int8_t *output) {
    const tinyc_add_params *const p = params;
    const int32_t *const inner = p->shape + 3 * (p->rank - 1);
    const int32_t extent = inner[0], step1 = inner[1], step2 = inner[2];
    int32_t counters[TINYC_BROADCAST_RANK] = {0};
    do {
        for (int32_t i = 0; i < extent; i++) {
            const int32_t x = scale((*input1 + p->input1_offset) * (1 << 20), p->input1_multiplier, p->input1_right_shift);
            const int32_t y = scale((*input2 + p->input2_offset) * (1 << 20), p->input2_multiplier, p->input2_right_shift);
            const int32_t sum = scale(x + p->input2_sign * y, p->output_multiplier, p->output_right_shift) + p->output_offset;
            *output++ = (int8_t)tinyc_clamp(sum, p->activation_min, p->activation_max);
            input1 += step1;
            input2 += step2;
        }
    } while (tinyc_broadcast_next(p->shape, p->rank, counters, &input1, &input2));
}
