/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_broadcast.h"
#include "tinyc_fixed_point.h"

/* Nothing here overflows: inputs times 2^15 are at most 2^30, and each term at most half of that. */
TINYC_KERNEL void tinyc_add_s16(const tinyc_add_s16_params *restrict params, const int16_t *input1, const int16_t *input2, int16_t *output) {
    const tinyc_add_s16_params *const p = params;
    const int32_t *const inner = p->shape + 3 * (p->rank - 1);
    const int32_t extent = inner[0], step1 = inner[1], step2 = inner[2];
    int32_t counters[TINYC_BROADCAST_RANK] = {0};
    const int32_t *advanced = inner;
    do {
        for (int32_t i = 0; i < extent; i++) {
            const int32_t x = tinyc_requantize(*input1 * 32768, p->input1_multiplier, -p->input1_right_shift);
            const int32_t y = tinyc_requantize(*input2 * 32768, p->input2_multiplier, -p->input2_right_shift);
            const int32_t value = tinyc_requantize(x + p->input2_sign * y, p->output_multiplier, -p->output_right_shift);
            *output++ = (int16_t)tinyc_clamp(value, p->activation_min, p->activation_max);
            input1 += step1;
            input2 += step2;
        }
        advanced = tinyc_broadcast_advance(p->shape, p->rank, counters);
        if (advanced != NULL) {
            input1 += advanced[1];
            input2 += advanced[2];
        }
    } while (advanced != NULL);
}
