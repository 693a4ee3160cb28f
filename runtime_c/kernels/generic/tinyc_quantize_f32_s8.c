/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_quantize.h"

TINYC_KERNEL void tinyc_quantize_f32_s8(const tinyc_quantize_params *restrict params, const float *input,
                                        int8_t *output) {
    for (uint32_t i = 0; i < params->size; i++) {
        output[i] = (int8_t)tinyc_quantize(input[i], params->scale, 1024.0f, params->zero_point, INT8_MIN, INT8_MAX);
    }
}
