/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

static uint8_t *fill(uint8_t *output, uint32_t value, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        *output++ = (uint8_t)(value >> (8 * (i & 3)));
    }
    return output;
}

TINYC_KERNEL void tinyc_pad_wide(const tinyc_pad_wide_params *params, const void *input, void *output) {
    const uint8_t *from = input;
    uint8_t *to = output;
    int32_t padding = params->lead; /* bytes to write before the next row */
    for (int32_t d = params->count[3]; d > 0; d--) {
        for (int32_t c = params->count[2]; c > 0; c--) {
            for (int32_t b = params->count[1]; b > 0; b--) {
                for (int32_t a = params->count[0]; a > 0; a--) {
                    to = fill(to, params->value, padding);
                    for (int32_t i = 0; i < params->row; i++) {
                        *to++ = *from++;
                    }
                    padding = params->gap[0];
                }
                padding += params->gap[1];
            }
            padding += params->gap[2];
        }
        padding += params->gap[3];
    }
    (void)fill(to, params->value, params->tail);
}
