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

/* One row of the filter for four patches. `y` is the row's first distance from the patches' first rows; `padding` is a pixel of it. */
static uint32_t *tinyc_pack_row(const tinyc_conv_2d_packed_params *p, const tinyc_patch patches[4], int32_t y, const int8_t *padding,
                                uint32_t *x) {
    const int8_t *from[4];
    int32_t row[4]; /* where its first tap would be in the image */
    int32_t inside[4];
    const int32_t span = (p->filter_width - 1) * p->dilation_width + 1;
    int32_t whole = p->dilation_width == 1 || p->filter_width == 1 ? 1 : 0;
    for (int32_t i = 0; i < 4; i++) {
        const tinyc_patch *const at = &patches[i];
        inside[i] = at->y + y >= 0 && at->y + y < p->input_height ? 1 : 0;
        row[i] = ((at->y + y) * p->input_width + at->x) * p->input_depth;
        if (inside[i] == 0 || at->x < 0 || at->x + span > p->input_width) {
            whole = 0;
        } else {
            from[i] = at->image + row[i];
        }
    }
    if (whole != 0) {
        return pack(from, p->filter_width * p->input_depth, x);
    }
    for (int32_t tap = 0; tap < span; tap += p->dilation_width) {
        for (int32_t i = 0; i < 4; i++) {
            const int32_t column = patches[i].x + tap;
            from[i] = inside[i] != 0 && column >= 0 && column < p->input_width ? patches[i].image + row[i] + tap * p->input_depth : padding;
        }
        x = pack(from, p->input_depth, x);
    }
    return x;
}


/* The output pixels that are left, and what comes next. */
typedef struct {
    const tinyc_conv_2d_packed_params *params;
    tinyc_patch next;
    const int8_t *padding; /* a pixel of it */
    int8_t *output;
    int32_t left;
} tinyc_patches;

/* Begins at the first output pixel. `padding` has room for a pixel; it is not used when the patches are the pixels themselves. */
static inline void tinyc_patches_begin(tinyc_patches *patches, const tinyc_conv_2d_packed_params *p, const int8_t *input, int8_t *padding,
                                       int8_t *output) {
    patches->params = p;
    patches->next.image = input;
    patches->next.y = -p->pad_height;
    patches->next.x = -p->pad_width;
    patches->padding = padding;
    patches->output = output;
    patches->left = p->pixels;
    if (p->flat == 0) {
        for (int32_t i = 0; i < p->input_depth; i++) {
            padding[i] = (int8_t)p->padding;
        }
    }
}

/* Packs the patches of the next four output pixels to `x`, and stores the channels that are constant, whose words begin `stream`.
 * When fewer than four pixels are left, the last one is repeated. `ends` are the ends of the output pixels. */
static void tinyc_patches_next(tinyc_patches *patches, const int32_t *stream, uint32_t *x, int8_t *ends[4]) {
    const tinyc_conv_2d_packed_params *const p = patches->params;
    tinyc_patch four[4];
    const int8_t *from[4];
    for (int32_t i = 0; i < 4; i++) {
        four[i] = patches->next;
        from[i] = patches->next.image;
        ends[i] = patches->output + p->output_depth;
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
    if (p->flat != 0) {
        (void)pack(from, p->input_depth, x);
    } else {
        const int32_t rows = p->filter_height * p->dilation_height;
        for (int32_t row = 0; row < rows; row += p->dilation_height) {
            x = tinyc_pack_row(p, four, row, patches->padding, x);
        }
    }
    for (int32_t k = 0; k < p->constants; k++) {
        const int32_t channel = (stream[k] >> 8) - p->output_depth;
        for (int32_t i = 0; i < 4; i++) {
            ends[i][channel] = (int8_t)stream[k];
        }
    }
}

#endif
