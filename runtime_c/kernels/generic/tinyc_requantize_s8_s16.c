/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_fixed_point.h"

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_requantize_s8_s16(const tinyc_requantize_params *params, const int8_t *input, int16_t *output) {
    for (uint32_t i = 0; i < params->size; i++) {
        const int32_t value = tinyc_requantize(input[i] + params->input_offset, params->multiplier, params->shift);
        output[i] = (int16_t)tinyc_clamp(value, params->least, params->most);
    }
}
