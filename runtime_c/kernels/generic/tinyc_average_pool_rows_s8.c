/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_pool_rows.h"

TINYC_KERNEL void tinyc_average_pool_rows_s8(const tinyc_average_pool_rows_params *params, const int8_t *input, int8_t *output,
                                             void *state) {
    int32_t *const sums = state;
    const int32_t depth = params->depth;
    tinyc_pool_rows_begin(params, sums);
    for (int32_t pixel = params->pixels; pixel > 0; pixel--) {
        for (int32_t c = 0; c < depth; c++) {
            sums[c] += *input++;
        }
    }
    tinyc_pool_rows_end(params, sums, output);
}
