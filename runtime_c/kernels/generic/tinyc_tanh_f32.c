/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_float.h"

#include "tinyc_exp.h"

static float tanh_of_size(float a) {
    if (a < 0.625f) {
        const float z = a * a;
        float p = -5.71477972e-3f;
        p = p * z + 2.06486527e-2f;
        p = p * z - 5.37429377e-2f;
        p = p * z + 1.33314848e-1f;
        p = p * z - 3.33332837e-1f;
        return a + a * (z * p);
    }
    return 1.0f - 2.0f / (tinyc_exp(2.0f * (a > 9.10000038f ? 9.10000038f : a)) + 1.0f);
}

TINYC_KERNEL void tinyc_tanh_f32(const float *input, float *output, uint32_t size) {
    for (uint32_t i = 0; i < size; i++) {
        const uint32_t bits = tinyc_bits_of_float(input[i]);
        const float size_of_tanh = tanh_of_size(tinyc_float_of_bits(bits & 0x7fffffffu));
        output[i] = tinyc_float_of_bits(tinyc_bits_of_float(size_of_tanh) | (bits & 0x80000000u));
    }
}
