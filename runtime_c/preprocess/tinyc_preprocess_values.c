/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_preprocess.h"

#include "tinyc_kernels.h"
#include "tinyc_preprocess_store.h"

TINYC_KERNEL void tinyc_preprocess_values(const tinyc_preprocess_values_params *params, const float *values, void *input) {
    uint32_t turn = 0;
    for (uint32_t i = 0; i < params->count; i++) {
        tinyc_preprocess_store(params, values[i], turn, i, input);
        turn = turn + 1 < params->period ? turn + 1 : 0;
    }
}
