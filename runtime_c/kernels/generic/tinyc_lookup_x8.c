/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

TINYC_KERNEL void tinyc_lookup_x8(const uint8_t *restrict table, const void *input, void *output, uint32_t size) {
    const uint8_t *in = input;
    uint8_t *out = output;
    for (uint32_t i = 0; i < size; i++) {
        out[i] = table[in[i]];
    }
}
