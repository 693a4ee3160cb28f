/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_float.h"

#include "tinyc_exp.h"

TINYC_KERNEL void tinyc_logistic_f32(const float *input, float *output, uint32_t size) {
    for (uint32_t i = 0; i < size; i++) {
        const float x = input[i];
        if (x > 16.619047f) {
            output[i] = 1.0f;
        } else {
            const float power = tinyc_exp(x < -9.0f ? x : -x);
            output[i] = x < -9.0f ? power : 1.0f / (1.0f + power);
        }
    }
}
