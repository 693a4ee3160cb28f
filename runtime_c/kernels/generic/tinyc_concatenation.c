/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

TINYC_KERNEL void tinyc_concatenation(const tinyc_concatenation_params *params, const void *const *inputs, void *output) {
    int8_t *to = output;
    for (int32_t b = 0; b < params->blocks; b++) {
        for (int32_t i = 0; i < params->inputs; i++) {
            const int32_t size = params->size[i];
            const int8_t *from = (const int8_t *)inputs[i] + b * size;
            for (int32_t n = 0; n < size; n++) {
                *to++ = from[n];
            }
        }
    }
}
