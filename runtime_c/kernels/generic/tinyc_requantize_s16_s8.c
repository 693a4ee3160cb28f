/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_fixed_point.h"

/* No `restrict`: the output may be the input's memory. */
TINYC_KERNEL void tinyc_requantize_s16_s8(const tinyc_requantize_params *params, const int16_t *input, int8_t *output) {
    for (uint32_t i = 0; i < params->size; i++) {
        const int32_t scaled = tinyc_requantize(input[i], params->multiplier, params->shift);
        const int32_t value = (int32_t)((uint32_t)scaled + (uint32_t)params->output_offset);
        output[i] = (int8_t)tinyc_clamp(value, params->least, params->most);
    }
}
