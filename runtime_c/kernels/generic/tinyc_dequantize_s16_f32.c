/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

/* The output may reach over the input: the attribute keeps compilers from taking the two types for proof that it does not. */
typedef float output_value __attribute__((may_alias));

TINYC_KERNEL void tinyc_dequantize_s16_f32(const tinyc_quantize_params *restrict params, const int16_t *input,
                                           float *output) {
    output_value *const out = output;
    for (uint32_t i = 0; i < params->size; i++) {
        out[i] = params->scale * (float)input[i];
    }
}
