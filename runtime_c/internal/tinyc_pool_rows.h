/* SPDX-License-Identifier: Apache-2.0 */
/* The mean of an image whose rows come in several calls: what comes before and after adding a call's pixels. */
#ifndef TINYC_POOL_ROWS_H
#define TINYC_POOL_ROWS_H

#include "tinyc_kernels.h"

#include "tinyc_fixed_point.h"

static inline void tinyc_pool_rows_begin(const tinyc_average_pool_rows_params *params, int32_t *sums) {
    const int32_t depth = params->depth;
    if (params->first != 0) {
        for (int32_t c = 0; c < depth; c++) {
            sums[c] = 0;
        }
    }
}

static inline void tinyc_pool_rows_end(const tinyc_average_pool_rows_params *params, const int32_t *sums, int8_t *output) {
    if (params->last != 0) {
        const int32_t depth = params->depth;
        const int32_t count = params->count;
        for (int32_t c = 0; c < depth; c++) {
            const int32_t sum = sums[c];
            const int32_t mean = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
            output[c] = (int8_t)tinyc_clamp(mean, params->activation_min, params->activation_max);
        }
    }
}

#endif
