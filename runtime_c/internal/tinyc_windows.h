/* SPDX-License-Identifier: Apache-2.0 */
/* The inputs of a convolution's output pixels, row by row, in order of memory. */
#ifndef TINYC_WINDOWS_H
#define TINYC_WINDOWS_H

#include "tinyc_kernels.h"

/* The input of an output pixel. */
typedef struct {
    const int8_t *image;
    int32_t row; /* where it begins; may be outside the image */
    int32_t column;
    const int8_t *source; /* its next row, when all of it is inside the image and its rows are in one piece; else NULL */
} tinyc_window;

/* The next output pixel. */
typedef struct {
    const int8_t *image;
    int32_t row;
    int32_t column;
} tinyc_position;

/* The windows of the next `count` output pixels, and the last one again up to `room`. */
static void tinyc_next_windows(const tinyc_conv_2d_patches_params *p, tinyc_position *at, int32_t count, int32_t room,
                               tinyc_window *windows) {
    const int32_t last_row = p->input_height - 1 - (p->filter_height - 1) * p->dilation_height;
    const int32_t last_column = p->dilation_width == 1 ? p->input_width - p->filter_width : -1;
    for (int32_t i = 0; i < count; i++) {
        const int32_t row = at->row * p->stride_height - p->pad_height;
        const int32_t column = at->column * p->stride_width - p->pad_width;
        windows[i].image = at->image;
        windows[i].row = row;
        windows[i].column = column;
        windows[i].source = NULL;
        if (row >= 0 && row <= last_row && column >= 0 && column <= last_column) {
            windows[i].source = at->image + (row * p->input_width + column) * p->input_depth;
        }
        at->column++;
        if (at->column == p->output_width) {
            at->column = 0;
            at->row++;
            if (at->row == p->output_height) {
                at->row = 0;
                at->image += p->input_height * p->input_width * p->input_depth;
            }
        }
    }
    for (int32_t i = count; i < room; i++) {
        windows[i] = windows[count - 1];
    }
}

/* A row of a window that is partly outside the image, filter_width * input_depth bytes: in the image where it is there in one piece, else
 * put together in `line`. `outside` is a row of the input's zero point. */
static __attribute__((noinline)) const int8_t *tinyc_window_row(const tinyc_conv_2d_patches_params *p, const tinyc_window *w,
                                                                int32_t tap, const int8_t *outside, int8_t *line) {
    const int32_t depth = p->input_depth;
    const int32_t row = w->row + tap * p->dilation_height;
    const int32_t last = w->column + (p->filter_width - 1) * p->dilation_width;
    if (row < 0 || row >= p->input_height) {
        return outside;
    }
    const int8_t *const source = w->image + row * p->input_width * depth;
    if (p->dilation_width == 1 && w->column >= 0 && last < p->input_width) {
        return source + w->column * depth;
    }
    int8_t *out = line;
    for (int32_t column = w->column; column <= last; column += p->dilation_width) {
        const int8_t *const from = column >= 0 && column < p->input_width ? source + column * depth : outside;
        for (int32_t i = 0; i < depth; i++) {
            *out++ = from[i];
        }
    }
    return line;
}

#endif
