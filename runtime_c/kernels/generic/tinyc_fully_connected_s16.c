/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_dot_s16.h"
#include "tinyc_output_s16.h"

TINYC_KERNEL void tinyc_fully_connected_s16(const tinyc_fully_connected_params *params, const int16_t *input,
                                            const int8_t *restrict filter, const void *restrict bias, int32_t bias_bits,
                                            int16_t *output) {
    const tinyc_fully_connected_params *const p = params;
    tinyc_dot_4_wide dot;
    for (int32_t b = 0; b < p->batches; b++) {
        const int8_t *weights = filter;
        int32_t lanes;
        for (int32_t unit = 0; unit < p->output_depth; unit += lanes) {
            lanes = p->output_depth - unit < 4 ? p->output_depth - unit : 4;
            tinyc_dot_4_wide_begin(&dot, lanes, p->input_depth);
            tinyc_dot_4_s16(&dot, input, weights, p->input_depth);
            for (int32_t lane = 0; lane < lanes; lane++) {
                const int32_t channel = p->per_channel != 0 ? unit + lane : 0;
                *output++ = tinyc_output_s16(dot.sums[lane], bias, bias_bits, unit + lane, p->multiplier[channel], p->shift[channel],
                                             p->activation_min, p->activation_max);
            }
            weights += lanes * p->input_depth;
        }
        input += p->input_depth;
    }
}
