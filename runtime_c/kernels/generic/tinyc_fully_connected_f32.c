/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_dot_f32.h"

TINYC_KERNEL void tinyc_fully_connected_f32(const tinyc_fully_connected_f32_params *params, const float *input,
                                            const float *restrict filter, const float *restrict bias, float *output) {
    const tinyc_fully_connected_f32_params *const p = params;
    tinyc_dot_4_real dot;
    for (int32_t b = 0; b < p->batches; b++) {
        const float *weights = filter;
        int32_t lanes;
        for (int32_t unit = 0; unit < p->output_depth; unit += lanes) {
            lanes = p->output_depth - unit < 4 ? p->output_depth - unit : 4;
            tinyc_dot_4_real_begin(&dot, lanes, p->input_depth);
            tinyc_dot_4_f32(&dot, input, weights, p->input_depth);
            for (int32_t lane = 0; lane < lanes; lane++) {
                const float sum = dot.sums[lane] + (bias == NULL ? 0.0f : bias[unit + lane]);
                *output++ = tinyc_clamp_f32(sum, p->activation_min, p->activation_max);
            }
            weights += lanes * p->input_depth;
        }
        input += p->input_depth;
    }
}
