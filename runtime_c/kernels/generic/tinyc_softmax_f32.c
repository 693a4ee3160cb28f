/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_float.h"

#include "tinyc_exp.h"

/* No `restrict`: the output may be the input's memory. */
static void softmax_row(int32_t depth, float beta, const float *input, float *output) {
    float largest = -3.40282347e+38f;
    for (int32_t c = 0; c < depth; c++) {
        largest = largest < input[c] ? input[c] : largest;
    }
    float sum = 0.0f;
    for (int32_t c = 0; c < depth; c++) {
        output[c] = tinyc_exp((input[c] - largest) * beta);
        sum += output[c];
    }
    for (int32_t c = 0; c < depth; c++) {
        output[c] = output[c] / sum;
    }
}

TINYC_KERNEL void tinyc_softmax_f32(const tinyc_softmax_f32_params *params, const float *input, float *output) {
    for (int32_t row = 0; row < params->rows; row++) {
        softmax_row(params->depth, params->beta, input, output);
        input += params->depth;
        output += params->depth;
    }
}
