/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_fixed_point.h"

/* Products of 32 bits only: each factor is split at its eighth bit. No `restrict`: the output may be an input's memory. */
TINYC_KERNEL void tinyc_weighted_sum_s8(const tinyc_weighted_sum_params *params, const int8_t *input1, const int8_t *input2,
                                        int8_t *output) {
    const int32_t high1 = params->factor1 >> 8;
    const int32_t high2 = params->factor2 >> 8;
    const int32_t low1 = params->factor1 & 255;
    const int32_t low2 = params->factor2 & 255;
    const int32_t start = params->start;
    const int32_t least = params->activation_min;
    const int32_t most = params->activation_max;
    const int8_t *const end = input1 + params->size;
    do {
        const int32_t x = *input1++;
        const int32_t y = *input2++;
        const int32_t sum = x * high1 + y * high2 + start + ((x * low1 + y * low2) >> 8);
        *output++ = (int8_t)tinyc_clamp(sum >> 20, least, most);
    } while (input1 != end);
}
