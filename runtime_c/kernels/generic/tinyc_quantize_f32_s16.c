/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_quantize.h"

/* The output may be the input's memory: the attribute keeps compilers from taking the two types for proof that it is not. */
typedef int16_t output_value __attribute__((may_alias));

TINYC_KERNEL void tinyc_quantize_f32_s16(const tinyc_quantize_params *restrict params, const float *input,
                                         int16_t *output) {
    output_value *const out = output;
    for (uint32_t i = 0; i < params->size; i++) {
        out[i] = (int16_t)tinyc_quantize(input[i], params->scale, 65536.0f, params->zero_point, INT16_MIN, INT16_MAX);
    }
}
