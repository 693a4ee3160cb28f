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

/* 1: GCC compiles kernels with -O2 whatever the rest of a firmware is built with; Arduino and PlatformIO use -Os. A build that
 * was asked for the smallest size has 0 here. */
#define TINYC_SPEED 1
#if TINYC_SPEED && defined(__OPTIMIZE__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2")
#endif

/* An attribute of every kernel, to put its code into fast memory: IRAM_ATTR on the ESP32 family, a section of your linker script
 * elsewhere. Functions inside a kernel that the compiler does not inline stay where they are. */
#ifndef TINYC_CODE
#define TINYC_CODE
#elif defined(ESP_PLATFORM)
#include <esp_attr.h>
#endif

/* Before a kernel's definition: several models in one firmware bring the same kernels, and the linker keeps one. */
#define TINYC_KERNEL __attribute__((weak)) TINYC_CODE

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

/* The same in int16, with offsets of 0 and activation_min, activation_max from -32768 to 32767. Sums have 64 bits.
 * bias_bits is 64: bias holds int64_t or is NULL; multiplier m is 0 to 2^15 - 1, shift s -31 to 7, and x becomes x * m * 2^(s - 15),
 *     rounded once, half up. Or it is 32: bias holds int32_t; m and s are as above, and x becomes requantize(x modulo 2^32, m, s). */
void tinyc_fully_connected_s16(const tinyc_fully_connected_params *params, const int16_t *input, const int8_t *filter, const void *bias,
                               int32_t bias_bits, int16_t *output);

/* output[b][o] = clamp(sum_i input[b][i] * filter[o][i] + bias[o]) in float32, i in order, each product and sum rounded; clamp lets NaN
 * pass. bias may be NULL (zeros). */
typedef struct {
    int32_t batches;       /* rows of input, >= 1 */
    int32_t input_depth;   /* columns of input and filter, >= 1 */
    int32_t output_depth;  /* rows of filter, >= 1 */
    float activation_min;
    float activation_max;
} tinyc_fully_connected_f32_params;

void tinyc_fully_connected_f32(const tinyc_fully_connected_f32_params *params, const float *input, const float *filter,
                               const float *bias, float *output);

/* FULLY_CONNECTED with filter zero point 0 for cores with the DSP extension, one row at a time. `widened` inputs of the row are copied to
 * scratch as halfwords: with n = widened rounded down to a multiple of 8, the first n and the last widened - n. Those between them, a
 * multiple of 4, are widened each time that they are used. `stream` is that of tinyc_conv_1x1_s8_dsp over k in this order: the inputs
 * between, the first n, the last, zeros up to a multiple of 8.
 * scratch: 2 * (widened rounded up to 8) + 4 bytes; 4-byte aligned.
 * The output may reach over the row's inputs that are copied. */
typedef struct {
    int32_t batches;         /* rows, >= 1 */
    int32_t input_depth;     /* >= 1 */
    int32_t widened;         /* 1 to input_depth; input_depth - widened is a multiple of 4 */
    int32_t output_depth;    /* >= 1 */
    int32_t activation_min;  /* -128 to 127 */
    int32_t activation_max;
} tinyc_fully_connected_dsp_params;

void tinyc_fully_connected_s8_dsp(const tinyc_fully_connected_dsp_params *params, const int8_t *input, const int32_t *stream,
                                  int8_t *output, void *scratch);

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

/* The same in int16, with offsets of 0 and activation_min, activation_max from -32768 to 32767. Sums have 64 bits; bias, bias_bits,
 * multipliers and shifts are those of tinyc_fully_connected_s16. */
void tinyc_conv_2d_s16(const tinyc_conv_2d_params *params, const int16_t *input, const int8_t *filter, const void *bias,
                       int32_t bias_bits, int16_t *output);
void tinyc_depthwise_conv_2d_s16(const tinyc_conv_2d_params *params, const int16_t *input, const int8_t *filter, const void *bias,
                                 int32_t bias_bits, int16_t *output);

/* The same in float32: clamp(sum + bias[o]), taps in order of the filter's rows, columns and channels, each product and sum rounded;
 * clamp lets NaN pass. Fields as above. */
typedef struct {
    int32_t batches;
    int32_t input_height;
    int32_t input_width;
    int32_t input_depth;
    int32_t filter_height;
    int32_t filter_width;
    int32_t filter_depth;
    int32_t filters_per_group;
    int32_t output_height;
    int32_t output_width;
    int32_t output_depth;
    int32_t stride_height;
    int32_t stride_width;
    int32_t dilation_height;
    int32_t dilation_width;
    int32_t pad_height;
    int32_t pad_width;
    float activation_min;
    float activation_max;
} tinyc_conv_2d_f32_params;

void tinyc_conv_2d_f32(const tinyc_conv_2d_f32_params *params, const float *input, const float *filter, const float *bias,
                       float *output);
void tinyc_depthwise_conv_2d_f32(const tinyc_conv_2d_f32_params *params, const float *input, const float *filter, const float *bias,
                                 float *output);

/* CONV_2D with a 1x1 filter and stride 1, and FULLY_CONNECTED with its rows as pixels, for cores with the DSP extension.
 * `stream` is packed at build time (compiler/targets/cortex_m_dsp/_stream.py): per four output channels, the last padded with zeros,
 *     4 words: start values, the bias with the input offset folded in: of channel 0, channel 0 + 256 * channel 1, 2, 2 + 256 * 3;
 *     for each four k, the last padded with zeros: 4 words of weights, B * 256 + A in halfwords of channels (0, 1) and (2, 3)
 *         at k (0, 2), then at k (1, 3);
 *     4 * 3 words: multiplier, rounding term (1 << (e - 1)) + (output zero point << e), right shift e = 1 to 22.
 * Exact while |accumulator| < 2^30, and < 2^23 for odd channels: the compiler checks both from the weights.
 * With `relu`, for layers whose activation_min is at least the output zero point: multiplier, 2^(j - 1 + e) + 2^(j - 1) + (output zero
 *     point << (e + j)), e + j; j = 1 for even channels, 7 for odd ones. Exact while |accumulator| < 2^29, and < 2^23 for odd channels.
 * A channel whose output is the same for every input has weights and a multiplier of 0, and the output in the rounding term.
 * scratch: 4 * (input_depth rounded down to 4) + 8 bytes, and another 24 where input_depth is no multiple of 4; 4-byte aligned.
 * The output may reach over the input: pixels are done in order, two at a time, and copied to scratch before. */
typedef struct {
    int32_t pixels;          /* batches * height * width, >= 1 */
    int32_t input_depth;     /* >= 1 */
    int32_t output_depth;    /* >= 1 */
    int32_t activation_min;  /* -128 to 127 */
    int32_t activation_max;
    int32_t relu;            /* 1: the records are for the shorter requantization, else 0 */
} tinyc_conv_1x1_dsp_params;

void tinyc_conv_1x1_s8_dsp(const tinyc_conv_1x1_dsp_params *params, const int8_t *input, const int32_t *stream, int8_t *output,
                           void *scratch);

/* CONV_2D with one group for cores with the DSP extension: a matrix product of patches, two pixels at a time. `stream` is that of
 * tinyc_conv_1x1_s8_dsp over k in this order: of each filter row the whole fours of its filter_width * input_depth weights; then of each
 * filter row the rest of them.
 * inside_*: output rows and columns (from the first to before the second) whose patches are runs of memory inside of the image, a run per
 * filter row; no columns when dilation_width is not 1.
 * scratch: filter_height * whole * 4 + (filter_height * rest rounded up to 4) * 6 + 8 bytes, whole and rest of a filter row as above; plus
 * whole when there are other outputs than those inside. 4-byte aligned.
 * The output may reach over the input: pixels are done in order, two at a time, and their patches are copied to scratch before.
 *
 * tinyc_conv_3x3_winograd_s8_dsp: 3x3, strides and dilations 1, input_depth and output_depth multiples of 4, by Winograd's algorithm
 * F(2x2, 3x3) in integers. Outputs are computed in tiles of 2x2; in `params` they are the outputs, their input the patches: filter_height,
 * filter_width 4, strides 2. `stream` is packed at build time (compiler/targets/cortex_m_dsp/conv_2d_winograd.py): per four output
 * channels, for each of the 16 places of the transformed filter (2G) g (2G)t, for each four input channels: halfwords of channels (0, 2)
 * for output channels 0 to 3, then of (1, 3); then 4 * 4 words: multiplier, rounding term and right shift as above, and the bias, with the
 * input offset folded in, times 4. Exact while |accumulator| < 2^29.
 * scratch: 64 * input_depth + 512 bytes, plus 16 * input_depth when there are other tiles than those inside. 4-byte aligned.
 * The output may reach over the input: tiles are done in order, two at a time, and their inputs are in scratch before. */
typedef struct {
    int32_t batches;
    int32_t input_height;
    int32_t input_width;
    int32_t input_depth;
    int32_t filter_height;
    int32_t filter_width;
    int32_t output_height;
    int32_t output_width;
    int32_t output_depth;
    int32_t stride_height;
    int32_t stride_width;
    int32_t dilation_height;
    int32_t dilation_width;
    int32_t pad_height;        /* rows before the first of the image, >= 0 */
    int32_t pad_width;
    int32_t inside_top;
    int32_t inside_bottom;
    int32_t inside_left;
    int32_t inside_right;
    int32_t input_zero_point;
    int32_t activation_min;    /* -128 to 127 */
    int32_t activation_max;
    int32_t odd_height;        /* Winograd: 1 when the last row of tiles has one row of outputs, else 0 */
    int32_t odd_width;
    int32_t relu;              /* 1: as above; Winograd: 0 */
} tinyc_conv_2d_dsp_params;

void tinyc_conv_kxk_s8_dsp(const tinyc_conv_2d_dsp_params *params, const int8_t *input, const int32_t *stream, int8_t *output,
                           void *scratch);
void tinyc_conv_3x3_winograd_s8_dsp(const tinyc_conv_2d_dsp_params *params, const int8_t *input, const int32_t *stream, int8_t *output,
                                    void *scratch);

/* CONV_2D with one group and no dilation, and FULLY_CONNECTED with its rows as pixels, for Helium (Cortex-M55, M85): a matrix product of
 * patches, four pixels at a time. `stream` is packed at build time (compiler/targets/cortex_m_mve/_gemm.py): per four output channels,
 * the last four padded with zeros, first channels 0 and 2, then 1 and 3: for each 16 k (k = (ky, kx, i), the last padded with zeros) 16
 * bytes of weights of either channel; then a record of either channel: the bias with the input offset folded in, the multiplier, the
 * shift (0 to -31); with `ties` != 0 another two words, 1 for each channel with a shift below 0, else 0.
 * Accumulators are modulo 2^32. A `ties` of 0 is for layers whose activation_min is at least the output zero point.
 * scratch: queue * (depth rounded up to 16) bytes, depth = filter_height * filter_width * input_depth; with `spare` pixels, or where the
 * output's address is no multiple of 4, another spare, or 4, times output_depth rounded up to 4 bytes. 16-byte aligned for speed. */
typedef struct {
    int32_t batches;
    int32_t input_height;
    int32_t input_width;
    int32_t input_depth;
    int32_t filter_height;
    int32_t filter_width;
    int32_t output_height;
    int32_t output_width;
    int32_t output_depth;
    int32_t stride_height;
    int32_t stride_width;
    int32_t pad_height;
    int32_t pad_width;
    int32_t input_zero_point;
    int32_t output_zero_point;
    int32_t activation_min;  /* -128 to 127 */
    int32_t activation_max;
    int32_t ties;
    int32_t queue;           /* patches in scratch, a multiple of 4 */
    int32_t spare;           /* output pixels that go to scratch first, a multiple of 4; not 0 where output_depth is no multiple of 4 */
    int32_t direct;          /* 1x1, stride 1: so many pixels are read in place, 16 bytes at a time: none may reach past the input */
} tinyc_conv_2d_mve_params;

void tinyc_conv_2d_s8_mve(const tinyc_conv_2d_mve_params *params, const int8_t *input, const int32_t *stream, int8_t *output,
                          void *scratch);

/* DEPTHWISE_CONV_2D without dilation, for cores with the DSP extension: four channels at a time are transposed to lines of halfwords in
 * scratch ("planes"), bands of lines at a time. Lines are the image's rows, or its columns: compiler/targets/cortex_m_dsp/_planes.py
 * chooses the better and packs `records`, `record_words` words per output channel:
 *     weights of a filter line in as many words as it takes, the last byte of each filter line's last word free; bias, with the input
 *     offset folded in; multiplier.
 * tinyc_depthwise_3x3_relu_s8_dsp: 3x3, activation_min at least the output zero point. Free bytes: k, the rounding term's last bits, any;
 *     sums and bias are times 2^k, |sum| < 2^(31 - k), and an output is (sum * multiplier / 2^32 + rounding) / 2^10, each rounded down.
 * tinyc_depthwise_3x3_s8_dsp: 3x3. Free bytes: 1, the right shift e = 1 to 22, any; sums and bias are doubled, |sum| < 2^30.
 *     Both: stride_columns 1 or 2.
 * tinyc_depthwise_3x3_pairs_relu_s8_dsp, tinyc_depthwise_3x3_pairs_s8_dsp: the same with two channels at a time, in half the scratch.
 * tinyc_depthwise_s8_dsp: any filter of up to 16 columns (15 at stride 1), any stride. Instead of the weights in words: steps * 2 bytes for
 *     each filter line, the last perhaps 0, where steps = filter_columns / 2 + 1 at stride 1, else (filter_columns + 1) / 2; then the right
 *     shift e, then up to three bytes; sums and bias as before. All its planes are side by side.
 * scratch: buffer_lines * plane_pitch * 4 (pairs: 2) / planes_per_pitch bytes, for tinyc_depthwise_s8_dsp another filter_lines * steps * 8
 * (stride 1) or * 4. In place when input and output are of the same shape, at the same address only. */
typedef struct {
    int32_t batches;
    int32_t channels;           /* of the input */
    int32_t multiplier;         /* output channels per input channel, >= 1 */
    int32_t input_lines;
    int32_t input_columns;      /* columns of a line that outputs depend on */
    int32_t input_line_step;    /* bytes from one line to the next */
    int32_t input_column_step;  /* bytes from one column to the next */
    int32_t input_size;         /* bytes of an image */
    int32_t output_lines;
    int32_t output_columns;
    int32_t output_line_step;
    int32_t output_column_step;
    int32_t output_size;
    int32_t filter_lines;
    int32_t filter_columns;
    int32_t stride_lines;
    int32_t stride_columns;
    int32_t pad_lines;          /* before the first */
    int32_t pad_columns;
    int32_t band;               /* output lines between two transpositions, >= 1 */
    int32_t buffer_lines;       /* lines of a plane: (band - 1) * stride_lines + filter_lines */
    int32_t plane_words;        /* of a line of a plane, padding included */
    int32_t plane_pitch;        /* bytes from a line to the next; 3x3: 256, pairs: 112 */
    int32_t planes_per_pitch;   /* planes side by side: 1, 2 or 4 */
    int32_t entry;              /* what a line begins with: see tinyc_planes_dsp.h; -1: channels are transposed one by one */
    int32_t quads;
    int32_t last;
    int32_t record_words;
    int32_t input_zero_point;
    int32_t output_zero_point;
    int32_t activation_min;     /* -128 to 127 */
    int32_t activation_max;
} tinyc_depthwise_dsp_params;

void tinyc_depthwise_3x3_relu_s8_dsp(const tinyc_depthwise_dsp_params *params, const int8_t *input, const int32_t *records,
                                     int8_t *output, void *scratch);
void tinyc_depthwise_3x3_s8_dsp(const tinyc_depthwise_dsp_params *params, const int8_t *input, const int32_t *records, int8_t *output,
                                void *scratch);
void tinyc_depthwise_3x3_pairs_relu_s8_dsp(const tinyc_depthwise_dsp_params *params, const int8_t *input, const int32_t *records,
                                           int8_t *output, void *scratch);
void tinyc_depthwise_3x3_pairs_s8_dsp(const tinyc_depthwise_dsp_params *params, const int8_t *input, const int32_t *records,
                                      int8_t *output, void *scratch);
void tinyc_depthwise_s8_dsp(const tinyc_depthwise_dsp_params *params, const int8_t *input, const int32_t *records, int8_t *output,
                            void *scratch);

/* DEPTHWISE_CONV_2D with one output channel per input channel, for cores with the DSP extension, straight from the input: pixel after
 * pixel, four channels at a time. output_depth is input_depth; inside_*: output rows and columns whose windows are inside of the image.
 * `records` is packed at build time (compiler/targets/cortex_m_dsp/_direct.py), taps in the order of the filter, at least two (the second
 * of a 1x1 filter has weights of 0): per four channels, the last padded with zeros,
 *     4 words: bias of each channel, with the input offset folded in;
 *     for each two taps 4 words: their weights of channel 0, 1, 2, 3, in halfwords; of a last single tap the weights of channels (0, 2),
 *         then (1, 3);
 *     with `relu`, for layers whose activation_min is at least the output zero point: multiplier of channel 0, 1, rounding term of 0, 1,
 *         the same for 2 and 3; sums, weights and bias are times 2^k as in tinyc_depthwise_3x3_relu_s8_dsp;
 *     else of each channel multiplier, rounding term (1 << (e - 1)) + (output zero point << e), right shift e; sums are doubled.
 * scratch, 4-byte aligned: 4 bytes per tap and another input_depth where there are other outputs than those inside; none for 3x3 where
 * there are none. Where input_depth is no multiple of 4, always 4 bytes per tap, and another 4 + 4 per tap.
 * The output may reach over the input: channels of a pixel are read before they are written, and pixels are done in order. */
void tinyc_depthwise_direct_s8_dsp(const tinyc_conv_2d_dsp_params *params, const int8_t *input, const int32_t *records, int8_t *output,
                                   void *scratch);

/* The same for 3x3 filters, input_depth a multiple of 4, stride_width and dilation_width 1, and `relu`: two pixels of a row at a time, whose
 * windows share two columns. `records` (compiler/targets/cortex_m_dsp/_direct.py) has 8 words per channel, the weight of row r and column c
 * being w_rc: halfwords (w00, w10), (w01, w11), (w02, w12), the bias, (w20, w21), (w21, w22), multiplier, rounding term.
 * scratch, 4-byte aligned: input_depth bytes where there are other outputs than those inside, else none.
 * The output may reach over the input: four channels of two pixels are read before they are written, and pixels are done in order. */
void tinyc_depthwise_direct_pairs_relu_s8_dsp(const tinyc_conv_2d_dsp_params *params, const int8_t *input, const int32_t *records,
                                              int8_t *output, void *scratch);

/* CONV_2D with a 3x3 filter, one group, both strides 1 or both 2, no dilation and at least four output columns, for Helium. `stream` is
 * packed at build time (compiler/targets/cortex_m_mve/_taps.py): per four output channels, the last four padded with zeros, first channels
 * 0 and 2, then 1 and 3: for each 16 input channels, the last padded with zeros, for each filter row and tap (0, 1, 2; with a stride of 2
 * the order is 0, 2, 1) 16 bytes of weights of either channel; then a record of either channel: the bias with the input offset folded
 * in, the multiplier, the shift (0 to -31); then for either channel 1 if its shift is below 0 and negative values matter, else 0. They do
 * not matter in layers whose activation_min is at least the output zero point.
 * scratch: 3 * (input_depth rounded up to 16) * ((output_width - 1) * stride + 3) bytes, and another 4 * (output_depth rounded up to 4)
 * where output_depth or the output's address is no multiple of 4; 16-byte aligned. */
typedef struct {
    int32_t batches;
    int32_t input_height;
    int32_t input_width;
    int32_t input_depth;
    int32_t output_height;
    int32_t output_width;
    int32_t output_depth;
    int32_t stride;
    int32_t pad_height;
    int32_t pad_width;
    int32_t input_zero_point;
    int32_t output_zero_point;
    int32_t activation_min;  /* -128 to 127 */
    int32_t activation_max;
} tinyc_conv_3x3_mve_params;

void tinyc_conv_3x3_s8_mve(const tinyc_conv_3x3_mve_params *params, const int8_t *input, const int32_t *stream, int8_t *output,
                           void *scratch);

/* DEPTHWISE_CONV_2D with a filter of up to 3x3, depth multiplier 1, both strides 1 or both 2, no dilation, for Helium. The image is taken
 * in lines of places: rows of columns, or columns of rows, whichever is faster. `stream` is packed at build time
 * (compiler/targets/cortex_m_mve/_patches.py), per channel: four words of weights, byte l of word p the weight at line l and place p
 * (0 where there is none, as in the last word); bias with the input offset folded in; multiplier; shift (0 to -31).
 * A `ties` of 0 is for layers whose activation_min is at least the output zero point. With a stride of 1 at least two output places and
 * two output lines, and three output place steps plus a line step below 65536.
 * Without `kept`, lines are computed for all passes before the next lines. With it, a pass goes through all lines before the next pass, and
 * lines that the next outputs need again stay in scratch; for a stride of 1, and then it is in place where both images have one size.
 * scratch: pass_channels rounded up to 16, times 4 * (stride * places + 2) bytes, places = output_places, at least 4 with a stride of 2;
 * plus 16 bytes; 4-byte aligned. */
typedef struct {
    int32_t batches;
    int32_t channels;
    int32_t pass_channels;     /* so many at a time: all, or a multiple of 16 */
    int32_t stride;
    int32_t input_lines;
    int32_t input_places;      /* of a line */
    int32_t input_line_step;   /* bytes from line to line */
    int32_t input_place_step;
    int32_t output_lines;
    int32_t output_places;
    int32_t output_line_step;
    int32_t output_place_step;
    int32_t pad_lines;         /* lines before the first of the image, >= 0 */
    int32_t pad_places;
    int32_t input_zero_point;
    int32_t output_zero_point;
    int32_t activation_min;    /* -128 to 127 */
    int32_t activation_max;
    int32_t ties;
    int32_t kept;
} tinyc_depthwise_conv_3x3_mve_params;

void tinyc_depthwise_conv_3x3_s8_mve(const tinyc_depthwise_conv_3x3_mve_params *params, const int8_t *input, const int32_t *stream,
                                     int8_t *output, void *scratch);

/* FULLY_CONNECTED with filter zero point 0 for Helium. `stream` is packed at build time (compiler/targets/cortex_m_mve/_rows.py): per eight
 * channels, the last ones padded with zeros, in the order 0, 2, 4, 6, 1, 3, 5, 7: 8 words of biases with the input offset folded in; for
 * each 16 k, the last padded with zeros, 8 * 16 bytes of weights; 8 words of multipliers; 8 words of shifts (0 to -31).
 * A `ties` of 0 is for layers whose activation_min is at least the output zero point.
 * scratch: input_depth rounded up to 16 bytes where it is no multiple of 16. */
typedef struct {
    int32_t batches;         /* rows */
    int32_t input_depth;
    int32_t output_depth;
    int32_t output_zero_point;
    int32_t activation_min;  /* -128 to 127 */
    int32_t activation_max;
    int32_t ties;            /* 0 or 1 */
} tinyc_fully_connected_mve_params;

void tinyc_fully_connected_s8_mve(const tinyc_fully_connected_mve_params *params, const int8_t *input, const int32_t *stream,
                                  int8_t *output, void *scratch);

/* CONV_2D without groups, and FULLY_CONNECTED with its rows as pixels, for cores without SIMD: one multiplication for two pixels.
 * `stream` is packed at build time (compiler/targets/_packed_pixels.py): a word for each channel that is the same for every input,
 * channel * 256 + value; then for each other channel, in order,
 *     2 words: start values, bias * 65537 - 32768 * (groups + corrections) modulo 2^32 and the bias, with the input offset folded in;
 *     `groups` words of four weights, whose magnitudes add up to at most 255, the last padded with zeros;
 *     a word per correction, 2^31 + k * 2^11 + weight as a byte: a weight for value k of the patch, in addition;
 *     the record: shift + 2^16 * (distance to the next such channel, or to the end) + flags, then
 *         armv7m: multiplier and rounding term; flag 2^30: round by the sign of the accumulator,
 *         armv6m: as compiler/targets/armv6m/_requantize.py explains.
 * Patches are in order of the filter: rows, columns, channels. Exact while |accumulator| < 2^30: the compiler checks it.
 * scratch: 32 * groups + 5 * edge bytes. */
typedef struct {
    int32_t pixels;          /* of the output: batches * height * width, >= 1 */
    int32_t input_depth;     /* >= 1 */
    int32_t output_depth;    /* 1 to 16383 */
    int32_t groups;          /* filter_height * filter_width * input_depth / 4, rounded up */
    int32_t record;          /* words of a channel's record after the flags */
    int32_t constants;       /* channels that are the same for every input */
    int32_t first_channel;   /* the first other channel, output_depth if there is none */
    int32_t activation_min;  /* -128 to 127 */
    int32_t activation_max;
    int32_t edge;            /* filter_width * input_depth where patches reach outside or columns are dilated, else 0 */
    int32_t flat;            /* 1: a 1x1 filter with stride 1, whose patches are the input's pixels; the rest is 1 then */
    int32_t output_height;
    int32_t output_width;
    int32_t input_height;
    int32_t input_width;
    int32_t filter_height;
    int32_t filter_width;
    int32_t stride_height;
    int32_t stride_width;
    int32_t dilation_height;
    int32_t dilation_width;
    int32_t pad_height;
    int32_t pad_width;
    int32_t padding;         /* the input's zero point */
} tinyc_conv_2d_packed_params;

void tinyc_conv_2d_s8_armv7m(const tinyc_conv_2d_packed_params *params, const int8_t *input, const int32_t *stream, int8_t *output,
                             void *scratch);
void tinyc_conv_2d_s8_armv6m(const tinyc_conv_2d_packed_params *params, const int8_t *input, const int32_t *stream, int8_t *output,
                             void *scratch);

/* CONV_2D without groups, and FULLY_CONNECTED with its rows as pixels, for RV32 with multiplication (three pixels with two multiplications)
 * and for Xtensa with MAC16. A channel whose output is the same for every input is constant, the others are live. `stream` is packed at
 * build time: a word for each constant channel, channel * 256 + value; then
 *   RV32 (compiler/targets/rv32/_triples.py), per four live channels, the last four padded with zeros: for each k of the filter
 *     [filter_height, filter_width, input_depth], padded with zeros to a multiple of 4, a word, the four channels' weights as bytes; then 4
 *     records;
 *   Xtensa (compiler/targets/xtensa/_mac16.py), per live channel: its weights as bytes in the order of k, padded likewise; a record.
 * A record is 5 words: start value (the bias with the input offset folded in, times 2^sum_shift); multiplier; rounding; shift; bytes to the
 * next live channel's output, or to the end (RV32: 6 * output_depth less that, and 2^31 added to the start value).
 * With v = 2^sum_shift * (bias + sum), the output before its clamp is
 *     (((v * multiplier) >> 32) + (v < 0 ? negative : 0) + rounding) >> shift
 * where the multiplier is TFLite's (RV32: twice that, unsigned). What is added may be beyond 32 bits where the result is not. The compiler
 * has proved that this equals requantize() for every input; a negative v gives activation_min when `negative` is 0.
 * scratch: RV32: 16 * (k rounded up to 4) bytes; Xtensa: (2 * pass + 3) * (k rounded up to 4) + 4 * pass + 8; and without `direct` 4 *
 * filter_width * input_depth more. */
typedef struct {
    int32_t batches;
    int32_t input_depth;
    int32_t input_height;
    int32_t filter_height;
    int32_t output_height;
    int32_t stride_height;
    int32_t dilation_height;
    int32_t pad_height;
    int32_t input_width;
    int32_t filter_width;
    int32_t output_width;
    int32_t stride_width;
    int32_t dilation_width;
    int32_t pad_width;
    int32_t output_depth;
    int32_t live;              /* >= 1 */
    int32_t first;             /* the first live channel */
    int32_t constants;
    int32_t input_zero_point;
    int32_t activation_min;    /* -128 to 127 */
    int32_t activation_max;
    int32_t direct;            /* 1: a 1x1 filter, stride 1, no padding */
    int32_t sum_shift;         /* RV32: 1 to 11; Xtensa: 8 */
    int32_t negative;          /* minus one unit of TFLite's product; 0 when activation_min is the output zero point */
    int32_t segment;           /* RV32: a multiple of 4: so many k's products are surely in -2^20 to 2^20 - 1 when added up */
    int32_t segments;          /* RV32: of the filter, the last may be shorter */
    int32_t pass;              /* Xtensa: pixels that are computed together */
} tinyc_conv_2d_patches_params;

void tinyc_conv_2d_s8_rv32(const tinyc_conv_2d_patches_params *params, const int8_t *input, const int32_t *stream, int8_t *output,
                           void *scratch);
void tinyc_conv_2d_s8_xtensa(const tinyc_conv_2d_patches_params *params, const int8_t *input, const int32_t *stream, int8_t *output,
                             void *scratch);

/* FULLY_CONNECTED with filter zero point 0 for RV32 with multiplication and for Xtensa with MAC16. `stream` is packed at build time:
 *   RV32 (compiler/targets/rv32/fully_connected.py), per eight units, the last ones padded with zeros: 8 bytes of weights for each k, then 8
 *     start values, the bias with the input offset folded in, times 2^sum_shift;
 *   Xtensa (compiler/targets/xtensa/fully_connected.py), per unit: its weights as bytes in the order of k, padded with zeros to a multiple
 *     of 4, 128 added to those with even k; its start value, for inputs of odd k that have 128 added.
 * `scaling` is multiplier, rounding and shift as above, for each unit or once for all.
 * Xtensa takes `block` units and `segment` inputs of a row at a time; scratch: 2 * segment + 4 + 4 * block bytes. */
typedef struct {
    int32_t batches;         /* rows */
    int32_t input_depth;
    int32_t output_depth;
    int32_t activation_min;  /* -128 to 127 */
    int32_t activation_max;
    int32_t sum_shift;       /* RV32: 1 to 11; Xtensa: 8 */
    int32_t negative;        /* minus one unit of TFLite's product; 0 when activation_min is the output zero point */
    int32_t scaling_step;    /* words of `scaling` per unit: 3, or 0 */
    int32_t segment;         /* Xtensa: a multiple of 4 */
    int32_t block;           /* Xtensa: >= 1 */
} tinyc_fully_connected_units_params;

void tinyc_fully_connected_s8_rv32(const tinyc_fully_connected_units_params *params, const int8_t *input, const int32_t *stream,
                                   const int32_t *scaling, int8_t *output);
void tinyc_fully_connected_s8_xtensa(const tinyc_fully_connected_units_params *params, const int8_t *input, const int32_t *stream,
                                     const int32_t *scaling, int8_t *output, void *scratch);

/* DEPTHWISE_CONV_2D with a 3x3 filter (or smaller), no dilation and both strides 1 or both 2, for RV32 with multiplication and for Xtensa
 * with MAC16. The image is taken in lines of places: rows of columns, or columns of rows, whichever are longer. `stream` is packed at build
 * time (compiler/targets/_lines.py), 6 words per output channel: 9 bytes of weights, those of a place's three lines together, and the byte
 * of the right shift; then start value, multiplier and rounding as above.
 * RV32 computes bands of output lines channel by channel, from copies of one channel (or of four `together`, where the input is aligned),
 * scratch: ((output_places - 1) * stride + 3) * ((band - 1) * stride + 3) bytes, or four times that; Xtensa from four lines of
 * halfwords, scratch: 8 * ((n - 1) * stride + 3) + 4 * n bytes, where n is output_places rounded up to a multiple of 3. */
typedef struct {
    int32_t batches;
    int32_t input_depth;
    int32_t multiplier;        /* depth multiplier */
    int32_t stride;            /* 1 or 2 */
    int32_t input_lines;
    int32_t input_places;      /* of a line */
    int32_t input_line_step;   /* bytes from line to line */
    int32_t input_place_step;
    int32_t output_lines;
    int32_t output_places;
    int32_t output_line_step;
    int32_t output_place_step;
    int32_t pad_lines;         /* lines before the first of the image, >= 0 */
    int32_t pad_places;
    int32_t band;              /* output lines of a band; Xtensa, stride 1: even, or all */
    int32_t together;          /* RV32: 4, where input_depth is a multiple of 4 and the multiplier 1; or 1 */
    int32_t input_zero_point;
    int32_t activation_min;    /* -128 to 127 */
    int32_t activation_max;
    int32_t sum_shift;         /* RV32: 1 to 11; Xtensa: 8 */
    int32_t negative;          /* minus one unit of TFLite's product; 0 when activation_min is the output zero point */
} tinyc_depthwise_conv_2d_lines_params;

void tinyc_depthwise_conv_2d_s8_rv32(const tinyc_depthwise_conv_2d_lines_params *params, const int8_t *input, const int32_t *stream,
                                     int8_t *output, void *scratch);
void tinyc_depthwise_conv_2d_s8_xtensa(const tinyc_depthwise_conv_2d_lines_params *params, const int8_t *input, const int32_t *stream,
                                       int8_t *output, void *scratch);

/* DEPTHWISE_CONV_2D with any filter for RV32 with multiplication and for Xtensa. Lines and places as above. `stream` is packed at build time
 * (compiler/targets/_lines.py), per output channel: its weights as bytes in the order of lines and places, padded to words; start value,
 * multiplier, rounding and right shift as above.
 * scratch: with n = output_places rounded up to a multiple of 4, 4 * n bytes and ((band - 1) * stride_lines + (filter_lines - 1) *
 * dilation_lines + 1) * ((n - 1) * stride_places + (filter_places - 1) * dilation_places + 1), rounded up to a multiple of 4. */
typedef struct {
    int32_t batches;
    int32_t input_depth;
    int32_t multiplier;        /* depth multiplier */
    int32_t input_lines;
    int32_t filter_lines;
    int32_t output_lines;
    int32_t stride_lines;
    int32_t dilation_lines;
    int32_t pad_lines;         /* lines before the first of the image, >= 0 */
    int32_t input_places;      /* of a line */
    int32_t filter_places;
    int32_t output_places;
    int32_t stride_places;
    int32_t dilation_places;
    int32_t pad_places;
    int32_t input_line_step;   /* bytes from line to line */
    int32_t input_place_step;
    int32_t output_line_step;
    int32_t output_place_step;
    int32_t band;              /* output lines of a band */
    int32_t input_zero_point;
    int32_t activation_min;    /* -128 to 127 */
    int32_t activation_max;
    int32_t sum_shift;         /* RV32: 1 to 11; Xtensa: 8 */
    int32_t negative;          /* minus one unit of TFLite's product; 0 when activation_min is the output zero point */
} tinyc_depthwise_planes_params;

void tinyc_depthwise_planes_s8_rv32(const tinyc_depthwise_planes_params *params, const int8_t *input, const int32_t *stream,
                                    int8_t *output, void *scratch);
void tinyc_depthwise_planes_s8_xtensa(const tinyc_depthwise_planes_params *params, const int8_t *input, const int32_t *stream,
                                      int8_t *output, void *scratch);

/* DEPTHWISE_CONV_2D for cores without SIMD: one multiplication for two pixels of a channel, `half` rows apart. A plane of words for one
 * input channel and 2 * half output rows is made in scratch memory, padding included. `stream` is packed at build time
 * (compiler/targets/_packed_planes.py): a word for each channel that is the same for every input, channel * 256 + value; then for each
 * other channel, in order,
 *     channel * 2^16 + number of taps in its list, even; the bias, with the input offset folded in; shift + flags and the rest of a record
 *         as in tinyc_conv_2d_packed_params;
 * when `core` is 1, the 9 weights of a 3x3 filter, whose rows' magnitudes add up to at most 255, and three bytes of zeros;
 * a word per tap in the list, weight as a byte + 256 * (distance of its word in bytes), from the output's first word, or with a core from
 *     its third row's.
 * Exact while |accumulator| < 2^30: the compiler checks it. scratch: 4 * (plane_rows * plane_columns + pad_width) bytes. */
typedef struct {
    int32_t batches;
    int32_t input_height;
    int32_t input_width;
    int32_t input_depth;
    int32_t output_height;
    int32_t output_width;
    int32_t output_depth;
    int32_t depth_multiplier;
    int32_t stride_height;
    int32_t stride_width;
    int32_t dilation_height;
    int32_t pad_height;
    int32_t pad_width;
    int32_t padding;         /* the input's zero point */
    int32_t activation_min;  /* -128 to 127 */
    int32_t activation_max;
    int32_t half;            /* 1 to output_height / 2, rounded up */
    int32_t plane_rows;      /* (half - 1) * stride_height + dilated filter height */
    int32_t plane_columns;   /* (output_width - 1) * stride_width + dilated filter width */
    int32_t core;            /* 1: the filter is 3x3, and its columns are not dilated */
    int32_t record;          /* words of a channel's record after the flags */
    int32_t channels;        /* that depend on the input */
    int32_t constants;       /* that do not */
} tinyc_depthwise_packed_params;

void tinyc_depthwise_conv_2d_s8_armv7m(const tinyc_depthwise_packed_params *params, const int8_t *input, const int32_t *stream,
                                       int8_t *output, void *scratch);
void tinyc_depthwise_conv_2d_s8_armv6m(const tinyc_depthwise_packed_params *params, const int8_t *input, const int32_t *stream,
                                       int8_t *output, void *scratch);

/* FULLY_CONNECTED row by row for Armv7-M. `stream` is packed at build time (compiler/targets/armv7m/fully_connected.py): per eight output
 * channels, the last eight padded with zeros,
 *     8 words: start values, the bias with the input offset folded in;
 *     for each k the eight weights, a byte each;
 * then 3 words per channel, to a multiple of eight channels: shift, multiplier, rounding term, as in tinyc_conv_2d_packed_params.
 * Exact while |accumulator| < 2^30: the compiler checks it. */
typedef struct {
    int32_t rows;            /* >= 1 */
    int32_t input_depth;     /* >= 1 */
    int32_t output_depth;    /* >= 1 */
    int32_t round_by_sign;   /* 1: all records round by the sign of the accumulator, 0: none */
    int32_t one_record;      /* 1: eight equal records, for all channels */
    int32_t activation_min;  /* -128 to 127 */
    int32_t activation_max;
} tinyc_fully_connected_armv7m_params;

void tinyc_fully_connected_s8_armv7m(const tinyc_fully_connected_armv7m_params *params, const int8_t *input, const int32_t *stream,
                                     int8_t *output);

/* DEPTHWISE_CONV_2D of any kind for Helium. `stream` is packed at build time (compiler/targets/cortex_m_mve/_lanes.py), per eight output
 * channels, the last eight padded with zeros: 8 words of biases, of channels 0, 2, 4, 6, 1, 3, 5, 7; where output_depth is not
 * input_depth 8 halfwords: the input channels, below 65536; for each tap (ky, kx) 8 bytes of weights; 8 words of multipliers and 8 of
 * shifts (0 to -31) in the order of the biases. A tap outside the image adds nothing. */
typedef struct {
    int32_t batches;
    int32_t input_height;
    int32_t input_width;
    int32_t input_depth;
    int32_t filter_height;
    int32_t filter_width;
    int32_t output_height;
    int32_t output_width;
    int32_t output_depth;
    int32_t stride_height;
    int32_t stride_width;
    int32_t dilation_height;
    int32_t dilation_width;
    int32_t pad_height;
    int32_t pad_width;
    int32_t input_offset;    /* -input zero point */
    int32_t output_zero_point;
    int32_t activation_min;  /* -128 to 127 */
    int32_t activation_max;
} tinyc_depthwise_conv_2d_mve_params;

void tinyc_depthwise_conv_2d_s8_mve(const tinyc_depthwise_conv_2d_mve_params *params, const int8_t *input, const int32_t *stream,
                                    int8_t *output);

/* FULLY_CONNECTED row by row for Armv6-M. `stream` is packed at build time (compiler/targets/armv6m/fully_connected.py): per eight output
 * channels, the last eight padded with zeros,
 *     8 words: start values, the bias with the input offset folded in;
 *     for each k the eight weights, a byte each;
 * then a record of 1 + record words per channel, as compiler/targets/armv6m/_requantize.py explains.
 * Exact while |accumulator| < 2^30: the compiler checks it. */
typedef struct {
    int32_t rows;            /* >= 1 */
    int32_t input_depth;     /* >= 1 */
    int32_t output_depth;    /* >= 1 */
    int32_t record;          /* words of a channel's record after the flags */
    int32_t one_record;      /* 1: one record, for all channels */
    int32_t activation_min;  /* -128 to 127 */
    int32_t activation_max;
} tinyc_fully_connected_armv6m_params;

void tinyc_fully_connected_s8_armv6m(const tinyc_fully_connected_armv6m_params *params, const int8_t *input, const int32_t *stream,
                                     int8_t *output);

/* ---- For the smallest flash: CONV_2D, FULLY_CONNECTED, DEPTHWISE_CONV_2D --------------------------------------------- */

/* Each weight is stored once, as a byte, and 6 or 8 bytes per channel. An output is
 *     clamp(((floor((sum * scale + 2^31) / 2^32) + (that < 0 ? -1 : 0)) >> (shift + (scale & shift_mask))) + rounding) >> 1)
 * with sum = bias + sum of (input + input_offset) * weight. A word `scale` of 2^31 to 2^32 - 1 is twice TFLite's multiplier with the lowest bits
 * replaced by the channel's shift; compiler/targets/cortex_m_dsp/_compact.py has proved that no sum in reach gives another output for it.
 * Output pixels are computed in order of memory; how far the output may reach over the input is computed by the bindings. */

/* CONV_2D without groups, DEPTHWISE_CONV_2D with one input channel, and FULLY_CONNECTED with filter zero point 0 and its rows as pixels, for
 * cores with the DSP extension. A patch has filter_height * filter_width * input_depth values k in this order, of each four channels
 * 0, 2, 1, 3 where the depth is a multiple of four; they are rounded up to a multiple of 8, with weights of 0.
 * `stream`: for each output channel in order, its scale unless all have the same. A scale of 0 or more is the output of a channel that is
 * constant. Behind it, for the first, third, ... of the others: its bias and that of the next such channel, two halfwords, or -32768, 0 and
 * two words; then a halfword per k, the next channel's weight * 256 + its own.
 * Ranges: |sum| < 2^30, and < 2^23 for the second, fourth, ... of the channels that are not constant.
 * scratch: 4 * patch_words bytes; 4-byte aligned. */
typedef struct {
    const int32_t *stream;
    int32_t scale;            /* of all channels, or 0 */
    int16_t batches;          /* sizes are 1 to 32767 */
    int16_t input_height;
    int16_t input_width;
    int16_t input_depth;
    int16_t output_height;
    int16_t output_width;
    int16_t output_depth;
    int16_t patch_words;      /* values of a patch / 2, a multiple of 4 */
    int16_t input_offset;     /* -input zero point */
    int16_t rounding;         /* 2 * output zero point + 1 */
    uint8_t filter_height;
    uint8_t filter_width;
    uint8_t stride_height;
    uint8_t stride_width;
    uint8_t dilation_height;
    uint8_t dilation_width;
    uint8_t pad_height;       /* rows before the first of the image */
    uint8_t pad_width;
    uint8_t shift;            /* shift + shift_mask <= 31 */
    uint8_t shift_mask;       /* 0, 1, 3, 7, 15 or 31 */
    int8_t activation_min;
    int8_t activation_max;
} tinyc_conv_2d_compact_dsp_params;

void tinyc_conv_2d_compact_s8_dsp(const tinyc_conv_2d_compact_dsp_params *params, const int8_t *input, int8_t *output, void *scratch);

/* DEPTHWISE_CONV_2D with depth multiplier 1 and at least four channels, for cores with the DSP extension.
 * `stream`: per four channels, the last of them overlapping those before where the depth is no multiple of four: four biases, halfwords, or
 * -32768, 0, 0, 0 and words; per tap four weights; four scales.
 * No scratch. */
typedef struct {
    const int32_t *stream;
    int16_t batches;          /* as above */
    int16_t input_height;
    int16_t input_width;
    int16_t depth;
    int16_t output_height;
    int16_t output_width;
    int16_t input_offset;
    int16_t rounding;
    uint8_t filter_height;
    uint8_t filter_width;
    uint8_t stride_height;
    uint8_t stride_width;
    uint8_t dilation_height;
    uint8_t dilation_width;
    uint8_t pad_height;
    uint8_t pad_width;
    uint8_t shift;
    uint8_t shift_mask;
    int8_t activation_min;
    int8_t activation_max;
} tinyc_depthwise_compact_dsp_params;

void tinyc_depthwise_compact_s8_dsp(const tinyc_depthwise_compact_dsp_params *params, const int8_t *input, int8_t *output);

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

/* The same in int16: activation_min, activation_max from -32768 to 32767; a window has at most 65535 pixels inside. */
void tinyc_average_pool_2d_s16(const tinyc_pool_2d_params *params, const int16_t *input, int16_t *output);
void tinyc_max_pool_2d_s16(const tinyc_pool_2d_params *params, const int16_t *input, int16_t *output);

/* The same in float32: pixels are added in order of the window's rows and columns, each sum rounded; NaN is never the maximum. */
typedef struct {
    int32_t batches;
    int32_t depth;
    int32_t input_height;
    int32_t input_width;
    int32_t output_height;
    int32_t output_width;
    int32_t filter_height;
    int32_t filter_width;
    int32_t stride_height;
    int32_t stride_width;
    int32_t pad_height;
    int32_t pad_width;
    float activation_min;
    float activation_max;
} tinyc_pool_2d_f32_params;

void tinyc_average_pool_2d_f32(const tinyc_pool_2d_f32_params *params, const float *input, float *output);
void tinyc_max_pool_2d_f32(const tinyc_pool_2d_f32_params *params, const float *input, float *output);

/* The mean of a whole image whose rows come in several calls, in order: each adds its pixels to the sums in `state`, one int32_t per
 * channel, which must keep its content from the first call to the last. */
typedef struct {
    int32_t depth;
    int32_t pixels;         /* of this call */
    int32_t count;          /* pixels of the image, 1 to 8388608 */
    int32_t first;          /* whether this is the first call */
    int32_t last;           /* whether this is the last call, which writes the output */
    int32_t activation_min; /* -128 to 127 */
    int32_t activation_max;
} tinyc_average_pool_rows_params;

void tinyc_average_pool_rows_s8(const tinyc_average_pool_rows_params *params, const int8_t *input, int8_t *output, void *state);

/* The same for cores with the DSP extension; depth a multiple of 4, at most 256 pixels in a call. */
void tinyc_average_pool_rows_s8_dsp(const tinyc_average_pool_rows_params *params, const int8_t *input, int8_t *output, void *state);
void tinyc_max_pool_2d_s8(const tinyc_pool_2d_params *params, const int8_t *input, int8_t *output);

/* The same for the DSP extension; an average of at most 256 pixels. The output may reach over the input: pixels are done in order, and
 * channels are read before they are written. */
void tinyc_average_pool_2d_s8_dsp(const tinyc_pool_2d_params *params, const int8_t *input, int8_t *output);
void tinyc_max_pool_2d_s8_dsp(const tinyc_pool_2d_params *params, const int8_t *input, int8_t *output);

/* The same for Helium; an average of at most 256 pixels. In place under the same condition. */
void tinyc_average_pool_2d_s8_mve(const tinyc_pool_2d_params *params, const int8_t *input, int8_t *output);
void tinyc_max_pool_2d_s8_mve(const tinyc_pool_2d_params *params, const int8_t *input, int8_t *output);

/* ---- MEAN ----------------------------------------------------------------------------------------------------------- */

/* With the input as [outer, outer_count, middle, inner_count, inner], all >= 1:
 * output[o][m][i] = clamp(output_offset + requantize(sum_offset + sum over j, k of input[o][j][m][k][i], multiplier, shift), -128, 127)
 * The multiplier, here 0 to 2^31 - 1, holds the ratio of the scales and the division by outer_count * inner_count, which is at most
 * 2^23. In place. */
typedef struct {
    int32_t outer;
    int32_t outer_count;
    int32_t middle;
    int32_t inner_count;
    int32_t inner;
    int32_t sum_offset;      /* -input zero point * outer_count * inner_count */
    int32_t multiplier;
    int32_t shift;           /* -31 to 30 */
    int32_t output_offset;   /* output zero point */
} tinyc_mean_params;

void tinyc_mean_s8(const tinyc_mean_params *params, const int8_t *input, int8_t *output);

/* The same for int16, whose zero points are 0; outer_count * inner_count is at most 65535, and the shift at most 15. In place. */
void tinyc_mean_s16(const tinyc_mean_params *params, const int16_t *input, int16_t *output);

/* output[o][m][i] = (sum over j, then k, of input[o][j][m][k][i]) / (outer_count * inner_count) in float32, values added one by one to 0.
 * In place. */
typedef struct {
    int32_t outer;
    int32_t outer_count;
    int32_t middle;
    int32_t inner_count;
    int32_t inner;
} tinyc_mean_f32_params;

void tinyc_mean_f32(const tinyc_mean_f32_params *params, const float *input, float *output);

/* ---- ADD, SUB, MUL ------------------------------------------------------------------------------------------------- */

/* output[i] = clamp(output_offset + scale(x + input2_sign * y, output_multiplier, output_right_shift)), where
 *     x = scale((input1[i] + input1_offset) * 2^20, input1_multiplier, input1_right_shift), y likewise from input2,
 *     scale(x, m, r) = requantize(x, m, -r)
 * In place: output may be the same memory as an input that does not repeat. */
typedef struct {
    int32_t rank;           /* dimensions of the broadcast, 1 to 6 */
    const int32_t *shape;   /* see tinyc_broadcast.h; all extents >= 1 */
    int32_t input1_offset;  /* -zero point of input 1 */
    int32_t input1_multiplier;
    int32_t input1_right_shift; /* 0 to 30 */
    int32_t input2_offset;
    int32_t input2_multiplier;
    int32_t input2_right_shift;
    int32_t input2_sign;    /* 1: ADD, -1: SUB */
    int32_t output_offset;  /* output zero point */
    int32_t output_multiplier;
    int32_t output_right_shift;
    int32_t activation_min; /* -128 to 127 */
    int32_t activation_max;
} tinyc_add_params;

void tinyc_add_s8(const tinyc_add_params *params, const int8_t *input1, const int8_t *input2, int8_t *output);

/* ADD and SUB of inputs of one shape, where compiler/targets/_weighted_sum.py has proved the result for all pairs of inputs:
 *     output[i] = clamp(sum >> 20), where
 *     sum = start + floor(factor1 * input1[i] / 256) + floor(factor2 * input2[i] / 256),
 * and the same output from start + floor((factor1 * input1[i] + factor2 * input2[i]) / 256).
 * In place: output may be the same memory as either input. */
typedef struct {
    int32_t size;           /* >= 1 */
    int32_t factor1;        /* in 2^-28 of an output unit; |start| + (|factor1| + |factor2|) / 2 < 2^31 - 1024 */
    int32_t factor2;
    int32_t start;          /* in 2^-20: all offsets, and one half for rounding */
    int32_t activation_min; /* -128 to 127 */
    int32_t activation_max;
} tinyc_weighted_sum_params;

void tinyc_weighted_sum_s8(const tinyc_weighted_sum_params *params, const int8_t *input1, const int8_t *input2, int8_t *output);
void tinyc_weighted_sum_s8_dsp(const tinyc_weighted_sum_params *params, const int8_t *input1, const int8_t *input2, int8_t *output);

/* ADD of inputs of one shape for Helium: the formula above for two inputs that do not repeat, of which `halved` is the one with the larger
 * scale: its multiplier is 2^30 with a right shift of 0. In place: output may be the same memory as either input. */
typedef struct {
    int32_t size;
    int32_t halved_offset;      /* -zero points */
    int32_t scaled_offset;
    int32_t scaled_multiplier;
    int32_t scaled_right_shift; /* 0 to 30 */
    int32_t output_offset;      /* output zero point */
    int32_t output_multiplier;
    int32_t output_right_shift; /* 0 to 30 */
    int32_t activation_min;     /* -128 to 127 */
    int32_t activation_max;
} tinyc_add_mve_params;

void tinyc_add_s8_mve(const tinyc_add_mve_params *params, const int8_t *halved, const int8_t *scaled, int8_t *output);

/* output[i] = clamp(output_offset + requantize((input1[i] + input1_offset) * (input2[i] + input2_offset), multiplier, shift)),
 * the sum modulo 2^32. In place: output may be the same memory as an input that does not repeat. */
typedef struct {
    int32_t rank;           /* dimensions of the broadcast, 1 to 6 */
    const int32_t *shape;   /* see tinyc_broadcast.h; all extents >= 1 */
    int32_t input1_offset;  /* -zero point of input 1 */
    int32_t input2_offset;
    int32_t output_offset;  /* output zero point */
    int32_t multiplier;
    int32_t shift;
    int32_t activation_min; /* -128 to 127 */
    int32_t activation_max;
} tinyc_mul_params;

void tinyc_mul_s8(const tinyc_mul_params *params, const int8_t *input1, const int8_t *input2, int8_t *output);

/* tinyc_add_s8 with 2^15 in place of 2^20, and all zero points 0. In place: output may be the same memory as an input that does not
 * repeat. */
typedef struct {
    int32_t rank;           /* dimensions of the broadcast, 1 to 6 */
    const int32_t *shape;   /* see tinyc_broadcast.h; all extents >= 1 */
    int32_t input1_multiplier;
    int32_t input1_right_shift; /* 0 to 31 */
    int32_t input2_multiplier;
    int32_t input2_right_shift;
    int32_t input2_sign;    /* 1: ADD, -1: SUB */
    int32_t output_multiplier;
    int32_t output_right_shift;
    int32_t activation_min; /* -32768 to 32767 */
    int32_t activation_max;
} tinyc_add_s16_params;

void tinyc_add_s16(const tinyc_add_s16_params *params, const int16_t *input1, const int16_t *input2, int16_t *output);

/* output[i] = clamp(requantize(input1[i] * input2[i], multiplier, -right_shift)). In place as above. */
typedef struct {
    int32_t rank;           /* dimensions of the broadcast, 1 to 6 */
    const int32_t *shape;   /* see tinyc_broadcast.h; all extents >= 1 */
    int32_t multiplier;
    int32_t right_shift;    /* 0 to 31 */
    int32_t activation_min; /* -32768 to 32767 */
    int32_t activation_max;
} tinyc_mul_s16_params;

void tinyc_mul_s16(const tinyc_mul_s16_params *params, const int16_t *input1, const int16_t *input2, int16_t *output);

/* float32: output[i] = min(max(input1[i] + input2_sign * input2[i], activation_min), activation_max); NaN stays. In place as above. */
typedef struct {
    int32_t rank;           /* dimensions of the broadcast, 1 to 6 */
    const int32_t *shape;   /* see tinyc_broadcast.h; all extents >= 1 */
    float input2_sign;      /* 1: ADD, -1: SUB */
    float activation_min;
    float activation_max;
} tinyc_add_f32_params;

void tinyc_add_f32(const tinyc_add_f32_params *params, const float *input1, const float *input2, float *output);

/* The same for input1[i] * input2[i]. */
typedef struct {
    int32_t rank;
    const int32_t *shape;
    float activation_min;
    float activation_max;
} tinyc_mul_f32_params;

void tinyc_mul_f32(const tinyc_mul_f32_params *params, const float *input1, const float *input2, float *output);

/* ---- RELU, RELU6, LOGISTIC, TANH, QUANTIZE between 8-bit types -------------------------------------------------------- */

/* output[i] = table[input[i]], i < size, all as bytes. The table has 256 entries. In place: output may be the input. */
void tinyc_lookup_x8(const uint8_t *table, const void *input, void *output, uint32_t size);

/* ---- RELU, RELU6, QUANTIZE with int16 --------------------------------------------------------------------------------- */

/* output[i] = clamp(output_offset + requantize(input[i] + input_offset, multiplier, shift), least, most), i < size. The offset of an int16
 * side is 0, and an int16 input's shift at most 15. In place: output may be the input, but for tinyc_requantize_s8_s16. */
typedef struct {
    uint32_t size;
    int32_t input_offset;  /* -input zero point */
    int32_t output_offset; /* output zero point */
    int32_t multiplier;
    int32_t shift;
    int32_t least;
    int32_t most;
} tinyc_requantize_params;

void tinyc_requantize_s16(const tinyc_requantize_params *params, const int16_t *input, int16_t *output);
void tinyc_requantize_s16_s8(const tinyc_requantize_params *params, const int16_t *input, int8_t *output);
void tinyc_requantize_s8_s16(const tinyc_requantize_params *params, const int8_t *input, int16_t *output);

/* ---- RELU, RELU6 in float32 ------------------------------------------------------------------------------------------- */

/* output[i] = min(max(input[i], 0), most), i < size; NaN stays. In place. */
typedef struct {
    uint32_t size;
    float most; /* infinity: no bound */
} tinyc_relu_f32_params;

void tinyc_relu_f32(const tinyc_relu_f32_params *params, const float *input, float *output);

/* ---- LOGISTIC, TANH with int16 and float32 ---------------------------------------------------------------------------- */

/* With a = (input[i] * multiplier + 2^(shift - 1)) >> shift, the input in units of 1 / (3 * 4096): 2^15 times logistic or tanh of it, by
 * TFLite's table of 256 entries and linear interpolation. In place. */
typedef struct {
    uint32_t size;
    int32_t multiplier; /* 1 to 32767 */
    int32_t shift;      /* 0 to 31 */
    int32_t tanh;       /* 0: LOGISTIC, 1: TANH */
} tinyc_sigmoid_s16_params;

void tinyc_sigmoid_s16(const tinyc_sigmoid_s16_params *params, const int16_t *input, int16_t *output);

/* float32, i < size. They have their own exp (tinyc_exp.h), the same on every target, so results differ from TFLite Micro's with some C
 * library by a few units in the last place. As there, logistic is 1 above 16.6 and exp(x) below -9. In place. */
void tinyc_logistic_f32(const float *input, float *output, uint32_t size);
void tinyc_tanh_f32(const float *input, float *output, uint32_t size);

/* ---- SOFTMAX -------------------------------------------------------------------------------------------------------- */

/* For each row: output[i] = -128 + 256 * exp(x[i]) / sum_j exp(x[j]), at most 127, in fixed point as TFLite Micro. `exponentials[d]`
 * is exp of an input d below the row's largest, times 2^31 - 1; inputs below it by `exponentials_size` or more count as zero.
 * Where TFLite Micro stops because the sum is 512 or more, every output is -128. In place: output may be the input. */
typedef struct {
    int32_t rows;              /* >= 1 */
    int32_t depth;             /* >= 1 */
    int32_t exponentials_size; /* 1 to 256 */
    const int32_t *exponentials;
} tinyc_softmax_params;

void tinyc_softmax_s8(const tinyc_softmax_params *params, const int8_t *input, int8_t *output);

/* int16, by two tables as TFLite Micro: for each row, output[i] = 2^15 * exp(x[i]) / sum_j exp(x[j]), at most 32767. In place. */
typedef struct {
    int32_t rows;                /* >= 1 */
    int32_t depth;               /* 1 to 65536 */
    int32_t multiplier;          /* input units to 10 / 65535 */
    int32_t shift;               /* at most 15 */
    const int16_t *exponentials; /* 513 entries: exp of -10 to 0, in 2^-15 */
    const int16_t *reciprocals;  /* 513 entries: 1 / (1 + x) for x = 0 to 1, in 2^-15 */
} tinyc_softmax_s16_params;

void tinyc_softmax_s16(const tinyc_softmax_s16_params *params, const int16_t *input, int16_t *output);

/* float32: for each row, exp((x[i] - largest) * beta), then divided by their sum, added one by one. exp is as for LOGISTIC. In place. */
typedef struct {
    int32_t rows;  /* >= 1 */
    int32_t depth; /* >= 1 */
    float beta;
} tinyc_softmax_f32_params;

void tinyc_softmax_f32(const tinyc_softmax_f32_params *params, const float *input, float *output);

/* ---- QUANTIZE and DEQUANTIZE with float32 --------------------------------------------------------------------------- */

/* output[i] = clamp(round(input[i] / scale) + zero_point) to the output's type, half away from zero, i < size. The quotient is
 * rounded to float32. Infinities and everything else out of range saturate; NaN becomes the lowest value. The result is exact
 * without a correct subnormal quotient, and nothing here can contract to a fused multiply-add. */
typedef struct {
    uint32_t size;
    float scale;        /* > 0 */
    int32_t zero_point; /* in the range of the integer type; 0 for int16 */
} tinyc_quantize_params;

void tinyc_quantize_f32_s8(const tinyc_quantize_params *params, const float *input, int8_t *output);
void tinyc_quantize_f32_u8(const tinyc_quantize_params *params, const float *input, uint8_t *output);
void tinyc_quantize_f32_s16(const tinyc_quantize_params *params, const float *input, int16_t *output);

/* output[i] = scale * (input[i] - zero_point) rounded to float32, i < size. */
void tinyc_dequantize_s8_f32(const tinyc_quantize_params *params, const int8_t *input, float *output);
void tinyc_dequantize_u8_f32(const tinyc_quantize_params *params, const uint8_t *input, float *output);
void tinyc_dequantize_s16_f32(const tinyc_quantize_params *params, const int16_t *input, float *output);

/* ---- PAD, PADV2 ----------------------------------------------------------------------------------------------------- */

/* The input's rows in order, with padding before, between and after them; elements of any type, as bytes. Around the rows are four
 * loops: after each row come gap[0] bytes, after the last row of loop 0 another gap[1], of loop 1 another gap[2], of loop 2 another
 * gap[3]; after the very last row only `tail`. */
typedef struct {
    int32_t row;        /* bytes copied in one piece */
    int32_t count[4];   /* iterations of the loops, innermost first, >= 1 */
    int32_t gap[4];     /* bytes */
    int32_t lead;       /* bytes of padding before the first row */
    int32_t tail;       /* bytes of padding after the last row */
    int8_t value;       /* of every byte of padding */
} tinyc_pad_params;

void tinyc_pad(const tinyc_pad_params *params, const void *input, void *output);

/* The same where the bytes of an element of padding differ: byte i of every stretch of padding is byte i % 4 of `value`, lowest first. */
typedef struct {
    int32_t row;
    int32_t count[4];
    int32_t gap[4];
    int32_t lead;
    int32_t tail;
    uint32_t value;
} tinyc_pad_wide_params;

void tinyc_pad_wide(const tinyc_pad_wide_params *params, const void *input, void *output);

/* ---- CONCATENATION -------------------------------------------------------------------------------------------------- */

/* `blocks` times: size[0] bytes of inputs[0], size[1] bytes of inputs[1], ...; each input goes on where it was left. */
typedef struct {
    int32_t inputs;        /* >= 1 */
    int32_t blocks;        /* >= 1 */
    const int32_t *size;   /* bytes, one per input */
} tinyc_concatenation_params;

void tinyc_concatenation(const tinyc_concatenation_params *params, const void *const *inputs, void *output);

#ifdef __cplusplus
}
#endif

#endif
