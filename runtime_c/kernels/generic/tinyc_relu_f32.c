/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_float.h"

/* No `restrict`: the output may be the input's memory. */
TINYC_KERNEL void tinyc_relu_f32(const tinyc_relu_f32_params *params, const float *input, float *output) {
    for (uint32_t i = 0; i < params->size; i++) {
        output[i] = tinyc_clamp_f32(input[i], 0.0f, params->most);
    }
}
