/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_dot_s8.h"
#include "tinyc_fixed_point.h"
#include "tinyc_window.h"

/* One output pixel. `input` is the first tap inside the image, whose filter rows are ky and columns kx. */
static void conv_pixel(const tinyc_conv_2d_params *p, const int8_t *input, const int8_t *filter, const int32_t *bias, tinyc_taps ky,
                       tinyc_taps kx, int8_t *output) {
    /* Without dilation and groups, the taps of a filter row are one run in memory, in the input and in the filter. */
    const int32_t one_run = p->dilation_width == 1 && p->filter_depth == p->input_depth;
    const int32_t columns = kx.end - kx.first;
    const int32_t runs = one_run ? 1 : columns;
    const int32_t length = one_run ? columns * p->filter_depth : p->filter_depth;
    const int32_t filter_row = p->filter_width * p->filter_depth;
    const int32_t filter_size = p->filter_height * filter_row;
    const int32_t tap_step = p->dilation_width * p->input_depth;
    const int32_t row_step = p->dilation_height * p->input_width * p->input_depth;
    const int8_t *weights = filter + ky.first * filter_row + kx.first * p->filter_depth;
    int32_t in_group = 0;
    int32_t lanes;
    for (int32_t channel = 0; channel < p->output_depth; channel += lanes) {
        uint32_t sums[4] = {0, 0, 0, 0};
        const int8_t *input_row = input;
        const int8_t *weights_row = weights;
        lanes = p->filters_per_group - in_group < 4 ? p->filters_per_group - in_group : 4;
        for (int32_t y = ky.first; y < ky.end; y++) {
            for (int32_t run = 0; run < runs; run++) {
                tinyc_dot_4_s8(input_row + run * tap_step, weights_row + run * p->filter_depth, filter_size, lanes, length,
                               p->input_offset, sums);
            }
            input_row += row_step;
            weights_row += filter_row;
        }
        for (int32_t lane = 0; lane < lanes; lane++) {
            const int32_t o = channel + lane;
            const uint32_t sum = sums[lane] + (bias == NULL ? 0u : (uint32_t)bias[o]);
            const int32_t scaled = tinyc_requantize((int32_t)sum, p->multiplier[o], p->shift[o]);
            const int32_t value = (int32_t)((uint32_t)scaled + (uint32_t)p->output_offset);
            *output++ = (int8_t)tinyc_clamp(value, p->activation_min, p->activation_max);
        }
        weights += lanes * filter_size;
        in_group += lanes;
        if (in_group == p->filters_per_group) {
            in_group = 0;
            input += p->filter_depth;
        }
    }
}

TINYC_KERNEL void tinyc_conv_2d_s8(const tinyc_conv_2d_params *params, const int8_t *restrict input, const int8_t *restrict filter,
                                   const int32_t *restrict bias, int8_t *restrict output) {
    const tinyc_conv_2d_params *const p = params;
    for (int32_t batch = 0; batch < p->batches; batch++) {
        for (int32_t row = 0; row < p->output_height; row++) {
            const int32_t y = row * p->stride_height - p->pad_height;
            const tinyc_taps ky = tinyc_taps_inside(y, p->input_height, p->filter_height, p->dilation_height);
            const int32_t first_row = y + ky.first * p->dilation_height;
            for (int32_t column = 0; column < p->output_width; column++) {
                const int32_t x = column * p->stride_width - p->pad_width;
                const tinyc_taps kx = tinyc_taps_inside(x, p->input_width, p->filter_width, p->dilation_width);
                const int32_t first_column = x + kx.first * p->dilation_width;
                conv_pixel(p, input + (first_row * p->input_width + first_column) * p->input_depth, filter, bias, ky, kx, output);
                output += p->output_depth;
            }
        }
        input += p->input_height * p->input_width * p->input_depth;
    }
}
