/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_fixed_point.h"

TINYC_KERNEL void tinyc_fully_connected_s8(const tinyc_fully_connected_params *params, const int8_t *restrict input,
                                           const int8_t *restrict filter, const int32_t *restrict bias, int8_t *restrict output) {
    for (int32_t b = 0; b < params->batches; b++) {
        const int8_t *row = filter;
        for (int32_t o = 0; o < params->output_depth; o++) {
            int32_t sum = bias == NULL ? 0 : bias[o];
            for (int32_t i = 0; i < params->input_depth; i++) {
                sum += (input[i] + params->input_offset) * (*row++ + params->filter_offset);
            }
            const int32_t channel = params->per_channel != 0 ? o : 0;
            sum = tinyc_requantize(sum, params->multiplier[channel], params->shift[channel]) + params->output_offset;
            *output++ = (int8_t)tinyc_clamp(sum, params->activation_min, params->activation_max);
        }
        input += params->input_depth;
    }
}
