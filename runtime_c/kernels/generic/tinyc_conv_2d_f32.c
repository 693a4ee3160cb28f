/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_dot_f32.h"
#include "tinyc_window.h"

/* The taps of one output pixel that are inside the image: `rows` times `runs` runs of `length` elements in input and filter, and the
 * distances between them. */
typedef struct {
    int32_t rows;
    int32_t runs;
    int32_t length;
    int32_t input_row;
    int32_t input_run;
    int32_t filter_row;
    int32_t filter_run;
    int32_t filter_size; /* of one output channel */
} window;

/* All channels of one output pixel. `input` and `filter` are at the window's first tap. */
static void conv_pixel(const tinyc_conv_2d_f32_params *p, const window *win, const float *input, const float *filter, const float *bias,
                       float *output) {
    tinyc_dot_4_real dot;
    int32_t in_group = 0;
    int32_t lanes;
    for (int32_t channel = 0; channel < p->output_depth; channel += lanes) {
        const float *input_row = input;
        const float *filter_row = filter;
        lanes = p->filters_per_group - in_group < 4 ? p->filters_per_group - in_group : 4;
        tinyc_dot_4_real_begin(&dot, lanes, win->filter_size);
        for (int32_t row = 0; row < win->rows; row++) {
            for (int32_t run = 0; run < win->runs; run++) {
                tinyc_dot_4_f32(&dot, input_row + run * win->input_run, filter_row + run * win->filter_run, win->length);
            }
            input_row += win->input_row;
            filter_row += win->filter_row;
        }
        for (int32_t lane = 0; lane < lanes; lane++) {
            const float sum = dot.sums[lane] + (bias == NULL ? 0.0f : bias[channel + lane]);
            *output++ = tinyc_clamp_f32(sum, p->activation_min, p->activation_max);
        }
        filter += lanes * win->filter_size;
        in_group += lanes;
        if (in_group == p->filters_per_group) {
            in_group = 0;
            input += p->filter_depth;
        }
    }
}

TINYC_KERNEL void tinyc_conv_2d_f32(const tinyc_conv_2d_f32_params *params, const float *input, const float *restrict filter,
                                    const float *restrict bias, float *output) {
    const tinyc_conv_2d_f32_params *const p = params;
    /* Without dilation and groups, the taps of a filter row are one run in memory, in the input and in the filter. */
    const int32_t one_run = p->dilation_width == 1 && p->filter_depth == p->input_depth;
    window win;
    win.length = p->filter_depth;
    win.input_row = p->dilation_height * p->input_width * p->input_depth;
    win.input_run = p->dilation_width * p->input_depth;
    win.filter_row = p->filter_width * p->filter_depth;
    win.filter_run = p->filter_depth;
    win.filter_size = p->filter_height * win.filter_row;
    for (int32_t batch = 0; batch < p->batches; batch++) {
        for (int32_t row = 0; row < p->output_height; row++) {
            const int32_t y = row * p->stride_height - p->pad_height;
            const tinyc_taps ky = tinyc_taps_inside(y, p->input_height, p->filter_height, p->dilation_height);
            const int32_t first_row = y + ky.first * p->dilation_height;
            win.rows = ky.end - ky.first;
            for (int32_t column = 0; column < p->output_width; column++) {
                const int32_t x = column * p->stride_width - p->pad_width;
                const tinyc_taps kx = tinyc_taps_inside(x, p->input_width, p->filter_width, p->dilation_width);
                const int32_t first_column = x + kx.first * p->dilation_width;
                win.runs = kx.end - kx.first;
                if (one_run != 0) {
                    win.length = win.runs * p->filter_depth;
                    win.runs = 1;
                }
                conv_pixel(p, &win, input + (first_row * p->input_width + first_column) * p->input_depth,
                           filter + ky.first * win.filter_row + kx.first * p->filter_depth, bias,
                           output);
                output += p->output_depth;
            }
        }
        input += p->input_height * p->input_width * p->input_depth;
    }
}
