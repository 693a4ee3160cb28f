/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_broadcast.h"
#include "tinyc_fixed_point.h"

TINYC_KERNEL void tinyc_mul_s8(const tinyc_mul_params *restrict params, const int8_t *input1, const int8_t *input2, int8_t *output) {
    const tinyc_mul_params *const p = params;
    const int32_t *const inner = p->shape + 3 * (p->rank - 1);
    const int32_t extent = inner[0], step1 = inner[1], step2 = inner[2];
    int32_t counters[TINYC_BROADCAST_RANK] = {0};
    do {
        for (int32_t i = 0; i < extent; i++) {
            const int32_t product = (*input1 + p->input1_offset) * (*input2 + p->input2_offset);
            const int32_t scaled = tinyc_requantize(product, p->multiplier, p->shift);
            const int32_t value = (int32_t)((uint32_t)scaled + (uint32_t)p->output_offset);
            *output++ = (int8_t)tinyc_clamp(value, p->activation_min, p->activation_max);
            input1 += step1;
            input2 += step2;
        }
    } while (tinyc_broadcast_next(p->shape, p->rank, counters, &input1, &input2));
}
