/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_fixed_point.h"
#include "tinyc_window.h"

/* The window of one output pixel inside the image, and how far pointers move after each tap and, in addition, after each row. */
typedef struct {
    int32_t rows;
    int32_t columns;
    int32_t input_tap;
    int32_t filter_tap;
    int32_t input_row;
    int32_t filter_row;
    int32_t offset; /* added to every input */
} window;

/* sums[0] = sum over the window of (x + offset) * w, modulo 2^32. Not inlined, so that gcc -Os does not spill the inner loop. */
static __attribute__((noinline)) void window_1(const window *win, const int8_t *x, const int8_t *w, uint32_t sums[4]) {
    const int32_t offset = win->offset;
    uint32_t sum = 0;
    for (int32_t row = win->rows; row != 0; row--) {
        for (int32_t column = win->columns; column != 0; column--) {
            sum += (uint32_t)((*x + offset) * *w);
            x += win->input_tap;
            w += win->filter_tap;
        }
        x += win->input_row;
        w += win->filter_row;
    }
    sums[0] = sum;
}

/* The same for four neighbouring channels. */
static __attribute__((noinline)) void window_4(const window *win, const int8_t *x, const int8_t *w, uint32_t sums[4]) {
    const int32_t offset = win->offset;
    uint32_t s0 = 0;
    uint32_t s1 = 0;
    uint32_t s2 = 0;
    uint32_t s3 = 0;
    for (int32_t row = win->rows; row != 0; row--) {
        for (int32_t column = win->columns; column != 0; column--) {
            s0 += (uint32_t)((x[0] + offset) * w[0]);
            s1 += (uint32_t)((x[1] + offset) * w[1]);
            s2 += (uint32_t)((x[2] + offset) * w[2]);
            s3 += (uint32_t)((x[3] + offset) * w[3]);
            x += win->input_tap;
            w += win->filter_tap;
        }
        x += win->input_row;
        w += win->filter_row;
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* All channels of one output pixel. `input` and `filter` are at the window's first tap inside the image. */
static void depthwise_pixel(const tinyc_conv_2d_params *p, const window *win, const int8_t *input, const int8_t *filter,
                            const int32_t *bias, int8_t *output) {
    int32_t in_group = 0;
    int32_t lanes;
    for (int32_t channel = 0; channel < p->output_depth; channel += lanes) {
        uint32_t sums[4];
        if (p->filters_per_group == 1 && p->output_depth - channel >= 4) {
            lanes = 4;
            window_4(win, input, filter + channel, sums);
        } else {
            lanes = 1;
            window_1(win, input, filter + channel, sums);
        }
        for (int32_t lane = 0; lane < lanes; lane++) {
            const int32_t o = channel + lane;
            const uint32_t sum = sums[lane] + (bias == NULL ? 0u : (uint32_t)bias[o]);
            const int32_t scaled = tinyc_requantize((int32_t)sum, p->multiplier[o], p->shift[o]);
            const int32_t value = (int32_t)((uint32_t)scaled + (uint32_t)p->output_offset);
            *output++ = (int8_t)tinyc_clamp(value, p->activation_min, p->activation_max);
        }
        in_group += lanes;
        if (in_group >= p->filters_per_group) {
            input += p->filters_per_group == 1 ? lanes : 1;
            in_group = 0;
        }
    }
}

TINYC_KERNEL void tinyc_depthwise_conv_2d_s8(const tinyc_conv_2d_params *params, const int8_t *input,
                                             const int8_t *restrict filter, const int32_t *restrict bias, int8_t *output) {
    const tinyc_conv_2d_params *const p = params;
    const int32_t input_row = p->dilation_height * p->input_width * p->input_depth;
    const int32_t filter_row = p->filter_width * p->output_depth;
    window win;
    win.input_tap = p->dilation_width * p->input_depth;
    win.filter_tap = p->output_depth;
    win.offset = p->input_offset;
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
