/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_float.h"

#include "tinyc_broadcast.h"

TINYC_KERNEL void tinyc_mul_f32(const tinyc_mul_f32_params *restrict params, const float *input1, const float *input2, float *output) {
    const tinyc_mul_f32_params *const p = params;
    const int32_t *const inner = p->shape + 3 * (p->rank - 1);
    const int32_t extent = inner[0], step1 = inner[1], step2 = inner[2];
    int32_t counters[TINYC_BROADCAST_RANK] = {0};
    const int32_t *advanced = inner;
    do {
        for (int32_t i = 0; i < extent; i++) {
            *output++ = tinyc_clamp_f32(*input1 * *input2, p->activation_min, p->activation_max);
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
