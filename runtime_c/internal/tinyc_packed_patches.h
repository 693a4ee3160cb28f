/* SPDX-License-Identifier: Apache-2.0 */
/* What the convolutions of armv7m and armv6m share: patches of four output pixels, two to a word. The includer defines
 *     static uint32_t *pack(const int8_t *const from[4], int32_t count, uint32_t *x)
 * which writes from[1][k] * 65536 + from[0][k] and from[3][k] * 65536 + from[2][k] for each k < count, and returns the end. */
#ifndef TINYC_PACKED_PATCHES_H
#define TINYC_PACKED_PATCHES_H

#include "tinyc_kernels.h"

static uint32_t *pack(const int8_t *const from[4], int32_t count, uint32_t *x);

/* One output pixel: its image, and its window's first row and column there (outside where there is padding). */
typedef struct {
    const int8_t *image;
    int32_t y;
    int32_t x;
} tinyc_patch;

/* The output pixels that are left, and what comes next. */
typedef struct {
    tinyc_patch next;
    int8_t *edges; /* five filter rows: padding, and a copy for each of four patches that is not one run in the image */
    int8_t *output;
    int32_t left;
} tinyc_patches;

/* Begins at the first output pixel. */
static inline void tinyc_patches_begin(tinyc_patches *patches, const tinyc_conv_2d_packed_params *p, const int8_t *input, int8_t *edges,
                                       int8_t *output) {
    patches->next.image = input;
    patches->next.y = -p->pad_height;
    patches->next.x = -p->pad_width;
    patches->edges = edges;
    patches->output = output;
    patches->left = p->pixels;
    for (int32_t i = 0; i < p->edge; i++) {
        edges[i] = (int8_t)p->padding;
    }
}

/* To the next output pixel, in order of memory. */
static inline void tinyc_patch_next(const tinyc_conv_2d_packed_params *p, tinyc_patch *patch) {
    patch->x += p->stride_width;
    if (patch->x == p->output_width * p->stride_width - p->pad_width) {
        patch->x = -p->pad_width;
        patch->y += p->stride_height;
        if (patch->y == p->output_height * p->stride_height - p->pad_height) {
            patch->y = -p->pad_height;
            patch->image += p->input_height * p->input_width * p->input_depth;
        }
    }
}

/* Copies one filter row's taps of an image row to `to`, with padding for those outside. */
static void tinyc_edge(const tinyc_conv_2d_packed_params *p, const int8_t *row, int32_t column, int8_t *to) {
    for (int32_t tap = p->filter_width; tap > 0; tap--) {
        if ((uint32_t)column < (uint32_t)p->input_width) {
            const int8_t *from = row + column * p->input_depth;
            for (int32_t i = p->input_depth; i > 0; i--) {
                *to++ = *from++;
            }
        } else {
            for (int32_t i = p->input_depth; i > 0; i--) {
                *to++ = (int8_t)p->padding;
            }
        }
        column += p->dilation_width;
    }
}

/* Patches with rows or columns outside the image, or columns apart. */
static void tinyc_pack_edges(const tinyc_conv_2d_packed_params *p, const tinyc_patch four[4], int8_t *edges, uint32_t *x) {
    const int32_t run = p->filter_width * p->input_depth;
    for (int32_t row = 0; row < p->filter_height; row++) {
        const int8_t *from[4];
        for (int32_t i = 0; i < 4; i++) {
            const tinyc_patch *const at = &four[i];
            const int32_t y = at->y + row * p->dilation_height;
            const int8_t *const line = at->image + y * p->input_width * p->input_depth;
            if ((uint32_t)y >= (uint32_t)p->input_height) {
                from[i] = edges;
            } else if (p->dilation_width == 1 && at->x >= 0 && at->x + p->filter_width <= p->input_width) {
                from[i] = line + at->x * p->input_depth;
            } else {
                int8_t *const copy = edges + (i + 1) * run;
                tinyc_edge(p, line, at->x, copy);
                from[i] = copy;
            }
        }
        x = pack(from, run, x);
    }
}

/* Packs the patches of the next four output pixels to `x`, and stores the channels that are constant, whose words begin `stream`.
 * When fewer than four pixels are left, the last one is repeated. `ends` are the ends of the output pixels. */
static void tinyc_patches_next(tinyc_patches *patches, const tinyc_conv_2d_packed_params *p, const int32_t *stream, uint32_t *x,
                               int8_t *ends[4]) {
    const int32_t height = (p->filter_height - 1) * p->dilation_height;
    const int32_t width = (p->filter_width - 1) * p->dilation_width;
    int32_t whole = p->dilation_width == 1 || p->filter_width == 1 ? 1 : 0;
    tinyc_patch four[4];
    const int8_t *from[4];
    for (int32_t i = 0; i < 4; i++) {
        four[i] = patches->next;
        ends[i] = patches->output + p->output_depth;
        if (p->flat != 0) {
            from[i] = four[i].image;
        } else if (four[i].y >= 0 && four[i].x >= 0 && four[i].y + height < p->input_height && four[i].x + width < p->input_width) {
            from[i] = four[i].image + (four[i].y * p->input_width + four[i].x) * p->input_depth;
        } else {
            from[i] = NULL;
            whole = 0;
        }
        if (i + 1 < patches->left) {
            patches->output += p->output_depth;
            if (p->flat != 0) {
                patches->next.image += p->input_depth;
            } else {
                tinyc_patch_next(p, &patches->next);
            }
        }
    }
    patches->left -= 4;
    if (whole != 0) {
        const int32_t step = p->dilation_height * p->input_width * p->input_depth;
        for (int32_t rows = p->filter_height; rows > 0; rows--) {
            x = pack(from, p->filter_width * p->input_depth, x);
            for (int32_t i = 0; i < 4; i++) {
                from[i] += step;
            }
        }
    } else {
        tinyc_pack_edges(p, four, patches->edges, x);
    }
    for (int32_t k = 0; k < p->constants; k++) {
        const int32_t channel = (stream[k] >> 8) - p->output_depth;
        for (int32_t i = 0; i < 4; i++) {
            ends[i][channel] = (int8_t)stream[k];
        }
    }
}

#endif
