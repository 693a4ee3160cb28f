/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

TINYC_KERNEL void tinyc_dequantize_u8_f32(const tinyc_quantize_params *restrict params, const uint8_t *input,
                                          float *output) {
    for (uint32_t i = 0; i < params->size; i++) {
        output[i] = params->scale * (float)(input[i] - params->zero_point);
    }
}
