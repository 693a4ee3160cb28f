/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_dot_s8.h"
#include "tinyc_fixed_point.h"

/* filter_offset * sum_i (x[i] + input_offset): what a filter zero point adds to every sum of a row. */
static uint32_t filter_offset_term(const tinyc_fully_connected_params *p, const int8_t *x) {
    uint32_t sum = 0;
    if (p->filter_offset != 0) {
        for (int32_t i = 0; i < p->input_depth; i++) {
            sum += (uint32_t)(x[i] + p->input_offset);
        }
    }
    return sum * (uint32_t)p->filter_offset;
}

TINYC_KERNEL void tinyc_fully_connected_s8(const tinyc_fully_connected_params *params, const int8_t *input,
                                           const int8_t *restrict filter, const int32_t *restrict bias, int8_t *output) {
    const tinyc_fully_connected_params *const p = params;
    tinyc_dot_4 dot;
    dot.offset = p->input_offset;
    for (int32_t b = 0; b < p->batches; b++) {
        const uint32_t start = filter_offset_term(p, input);
        const int8_t *weights = filter;
        int32_t lanes;
        for (int32_t unit = 0; unit < p->output_depth; unit += lanes) {
            lanes = p->output_depth - unit < 4 ? p->output_depth - unit : 4;
            tinyc_dot_4_begin(&dot, lanes, p->input_depth, start);
            tinyc_dot_4_s8(&dot, input, weights, p->input_depth);
            for (int32_t lane = 0; lane < lanes; lane++) {
                const int32_t o = unit + lane;
                const int32_t channel = p->per_channel != 0 ? o : 0;
                const uint32_t sum = dot.sums[lane] + (bias == NULL ? 0u : (uint32_t)bias[o]);
                const int32_t scaled = tinyc_requantize((int32_t)sum, p->multiplier[channel], p->shift[channel]);
                const int32_t value = (int32_t)((uint32_t)scaled + (uint32_t)p->output_offset);
                *output++ = (int8_t)tinyc_clamp(value, p->activation_min, p->activation_max);
            }
            weights += lanes * p->input_depth;
        }
        input += p->input_depth;
    }
}
