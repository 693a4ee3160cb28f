/* SPDX-License-Identifier: Apache-2.0 */
/* The C manual of the tinyc runtime: every kernel with its formula, the ranges of its numbers, and its memory rules.
 *
 * Common rules, unless a kernel says otherwise:
 *   - Tensors are dense, in C order, NHWC; int8 tensors need no alignment, int32 and float need theirs.
 *   - A real value is scale * (q - zero_point). Offsets in parameter structs are in the range -255 to 255.
 *   - "requantize(x, m, s)" is tinyc_requantize in tinyc_fixed_point.h: x * m * 2^(s - 31) with TFLite Micro's double rounding;
 *     m is 0 or 2^30 to 2^31 - 1, s is -31 to 30.
 *   - Inputs and outputs do not overlap. "In place" says that output 0 may be the same memory as an input.
 *   - Kernels cannot fail: the compiler has proved their arguments. No heap, no writable statics, no recursion.
 *   - Results equal TensorFlow Lite Micro's reference kernels bit for bit.
 */
#ifndef TINYC_KERNELS_H
#define TINYC_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Contract between generated code and this runtime. */
#define TINYC_ABI_VERSION 1

/* Before a kernel's definition: several models in one firmware bring the same kernels, and the linker keeps one. */
#define TINYC_KERNEL __attribute__((weak))

/* Verification builds report each layer's output; otherwise this is nothing. */
#ifdef TINYC_TRACE_LAYERS
void tinyc_trace_layer(uint32_t layer, const void *data, uint32_t size);
#define TINYC_TRACE(layer, data, size) tinyc_trace_layer((layer), (data), (size))
#else
#define TINYC_TRACE(layer, data, size) ((void)0)
#endif

/* ---- FULLY_CONNECTED ------------------------------------------------------------------------------------------------ */

/* output[b][o] = clamp(output_offset + requantize(bias[o] + sum_i (input[b][i] + input_offset) * (filter[o][i] + filter_offset), m, s))
 * bias may be NULL (zeros). With per_channel != 0 multiplier and shift have one entry per output channel, else one entry. */
typedef struct {
    int32_t batches;         /* rows of input, >= 1 */
    int32_t input_depth;     /* columns of input and filter, >= 1 */
    int32_t output_depth;    /* rows of filter, >= 1 */
    int32_t input_offset;    /* -input zero point */
    int32_t filter_offset;   /* -filter zero point */
    int32_t output_offset;   /* output zero point */
    int32_t activation_min;  /* -128 to 127 */
    int32_t activation_max;
    int32_t per_channel;
    const int32_t *multiplier;
    const int8_t *shift;
} tinyc_fully_connected_params;

void tinyc_fully_connected_s8(const tinyc_fully_connected_params *params, const int8_t *input, const int8_t *filter, const int32_t *bias,
                              int8_t *output);

/* ---- CONV_2D, DEPTHWISE_CONV_2D ------------------------------------------------------------------------------------- */

/* A convolution of `groups` equal parts, groups = input_depth / filter_depth = output_depth / filters_per_group:
 * output[b][y][x][o] = clamp(output_offset + requantize(bias[o] + sum over the taps (ky, kx) inside the image and i < filter_depth of
 *     (input[b][y * stride_height - pad_height + ky * dilation_height][x * stride_width - pad_width + kx * dilation_width]
 *           [g * filter_depth + i] + input_offset) * w, multiplier[o], shift[o])), g = o / filters_per_group
 * CONV_2D: w = filter[o][ky][kx][i]. DEPTHWISE_CONV_2D: w = filter[ky][kx][o]; filter_depth is 1, filters_per_group the depth multiplier.
 * Sums are modulo 2^32. bias may be NULL (zeros). A tap outside the image adds nothing. */
typedef struct {
    int32_t batches;
    int32_t input_height;
    int32_t input_width;
    int32_t input_depth;
    int32_t filter_height;
    int32_t filter_width;
    int32_t filter_depth;        /* input channels of one group */
    int32_t filters_per_group;   /* output channels of one group */
    int32_t output_height;
    int32_t output_width;
    int32_t output_depth;
    int32_t stride_height;       /* >= 1 */
    int32_t stride_width;
    int32_t dilation_height;     /* >= 1; the dilated filter is at most 65536 rows and columns */
    int32_t dilation_width;
    int32_t pad_height;          /* rows before the first of the image, >= 0 */
    int32_t pad_width;
    int32_t input_offset;        /* -input zero point */
    int32_t output_offset;       /* output zero point */
    int32_t activation_min;      /* -128 to 127 */
    int32_t activation_max;
    const int32_t *multiplier;   /* one per output channel */
    const int8_t *shift;
} tinyc_conv_2d_params;

void tinyc_conv_2d_s8(const tinyc_conv_2d_params *params, const int8_t *input, const int8_t *filter, const int32_t *bias,
                      int8_t *output);
void tinyc_depthwise_conv_2d_s8(const tinyc_conv_2d_params *params, const int8_t *input, const int8_t *filter, const int32_t *bias,
                                int8_t *output);

/* ---- AVERAGE_POOL_2D, MAX_POOL_2D ----------------------------------------------------------------------------------- */

/* output[b][y][x][c] = clamp(mean or maximum of input[b][y * stride_height - pad_height + ky][x * stride_width - pad_width + kx][c]
 * over 0 <= ky < filter_height and 0 <= kx < filter_width where that is inside the image); a mean is rounded half away from zero.
 * Every window has at least one pixel inside, and at most 2^23. In place when pad_height and pad_width are 0. */
typedef struct {
    int32_t batches;
    int32_t depth;
    int32_t input_height;
    int32_t input_width;
    int32_t output_height;
    int32_t output_width;
    int32_t filter_height;   /* 1 to 65536, like the next three */
    int32_t filter_width;
    int32_t stride_height;
    int32_t stride_width;
    int32_t pad_height;      /* rows before the first of the image, >= 0 */
    int32_t pad_width;
    int32_t activation_min;  /* -128 to 127 */
    int32_t activation_max;
} tinyc_pool_2d_params;

void tinyc_average_pool_2d_s8(const tinyc_pool_2d_params *params, const int8_t *input, int8_t *output);
void tinyc_max_pool_2d_s8(const tinyc_pool_2d_params *params, const int8_t *input, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
