/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_float.h"

/* No `restrict`: the output may be the input's memory. */
TINYC_KERNEL void tinyc_mean_f32(const tinyc_mean_f32_params *params, const float *input, float *output) {
    const int32_t inner = params->inner;
    const int32_t group = params->inner_count * inner; /* values of one middle entry */
    const int32_t block = params->middle * group;      /* values of one outer_count entry */
    const float count = (float)(params->outer_count * params->inner_count);
    for (int32_t o = 0; o < params->outer; o++) {
        for (int32_t m = 0; m < params->middle; m++) {
            for (int32_t i = 0; i < inner; i++) {
                int32_t at = m * group + i;
                float sum = 0.0f;
                for (int32_t j = params->outer_count; j > 0; j--) {
                    for (int32_t k = params->inner_count; k > 0; k--) {
                        sum += input[at];
                        at += inner;
                    }
                    at += block - group;
                }
                *output++ = sum / count;
            }
        }
        input += params->outer_count * block;
    }
}
