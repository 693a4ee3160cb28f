/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_float.h"
#include "tinyc_window.h"

/* The window of one output pixel inside the image, and how far pointers move after each tap and, in addition, after each row. */
typedef struct {
    int32_t rows;
    int32_t columns;
    int32_t input_tap;
    int32_t filter_tap;
    int32_t input_row;
    int32_t filter_row;
} window;

/* sum over the window of x * w, added one by one. */
static float window_sum(const window *win, const float *x, const float *w) {
    float sum = 0.0f;
    for (int32_t row = win->rows; row != 0; row--) {
        for (int32_t column = win->columns; column != 0; column--) {
            sum += *x * *w;
            x += win->input_tap;
            w += win->filter_tap;
        }
        x += win->input_row;
        w += win->filter_row;
    }
    return sum;
}

/* All channels of one output pixel. `input` and `filter` are at the window's first tap inside the image. */
static void depthwise_pixel(const tinyc_conv_2d_f32_params *p, const window *win, const float *input, const float *filter,
                            const float *bias,
                            float *output) {
    int32_t in_group = 0;
    for (int32_t o = 0; o < p->output_depth; o++) {
        const float sum = window_sum(win, input, filter + o) + (bias == NULL ? 0.0f : bias[o]);
        *output++ = tinyc_clamp_f32(sum, p->activation_min, p->activation_max);
        in_group++;
        if (in_group == p->filters_per_group) {
            in_group = 0;
            input++;
        }
    }
}

TINYC_KERNEL void tinyc_depthwise_conv_2d_f32(const tinyc_conv_2d_f32_params *params, const float *input,
                                              const float *restrict filter, const float *restrict bias, float *output) {
    const tinyc_conv_2d_f32_params *const p = params;
    const int32_t input_row = p->dilation_height * p->input_width * p->input_depth;
    const int32_t filter_row = p->filter_width * p->output_depth;
    window win;
    win.input_tap = p->dilation_width * p->input_depth;
    win.filter_tap = p->output_depth;
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
                win.columns = kx.end - kx.first;
                win.input_row = input_row - win.columns * win.input_tap;
                win.filter_row = filter_row - win.columns * win.filter_tap;
                depthwise_pixel(p, &win, input + (first_row * p->input_width + first_column) * p->input_depth,
                                filter + ky.first * filter_row + kx.first * p->output_depth, bias, output);
                output += p->output_depth;
            }
        }
        input += p->input_height * p->input_width * p->input_depth;
    }
}
