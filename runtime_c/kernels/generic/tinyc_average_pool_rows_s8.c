/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_fixed_point.h"

TINYC_KERNEL void tinyc_average_pool_rows_s8(const tinyc_average_pool_rows_params *params, const int8_t *input, int8_t *output,
                                             void *state) {
    int32_t *const sums = state;
    const int32_t depth = params->depth;
    if (params->first != 0) {
        for (int32_t c = 0; c < depth; c++) {
            sums[c] = 0;
        }
    }
    for (int32_t pixel = params->pixels; pixel > 0; pixel--) {
        for (int32_t c = 0; c < depth; c++) {
            sums[c] += *input++;
        }
    }
    if (params->last != 0) {
        const int32_t count = params->count;
        for (int32_t c = 0; c < depth; c++) {
            const int32_t sum = sums[c];
            const int32_t mean = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
            output[c] = (int8_t)tinyc_clamp(mean, params->activation_min, params->activation_max);
        }
    }
}
