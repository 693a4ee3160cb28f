/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_gemm_dsp.h"

/* The next output pixel. */
typedef struct {
    const int8_t *image;
    int32_t y;
    int32_t x;
} place;

static void skip(const tinyc_conv_2d_dsp_params *params, place *at, int32_t pixels) {
    at->x += pixels;
    if (at->x == params->output_width) {
        at->x = 0;
        at->y++;
        if (at->y == params->output_height) {
            at->y = 0;
            at->image += params->input_height * params->input_width * params->input_depth;
        }
    }
}

/* Address of the first value of a patch; outside of the image where the patch begins outside. */
static const int8_t *address(const tinyc_conv_2d_dsp_params *params, const place *at) {
    const int32_t y = at->y * params->stride_height - params->pad_height;
    const int32_t x = at->x * params->stride_width - params->pad_width;
    return at->image + (y * params->input_width + x) * params->input_depth;
}

static int32_t row_is_inside(const tinyc_conv_2d_dsp_params *params, const place *at) {
    return at->y >= params->inside_top && at->y < params->inside_bottom;
}

/* A patch that is not a run of memory per filter row becomes one in `block`, with zero points outside of the image. */
static __attribute__((noinline)) void gather(const tinyc_conv_2d_dsp_params *params, const place *at, int8_t *block) {
    const int32_t depth = params->input_depth;
    const int32_t run = params->filter_width * depth;
    const uint32_t padding = (uint8_t)params->input_zero_point * 0x01010101u;
    for (int32_t i = params->filter_height * run; i > 0; i -= 4) {
        __builtin_memcpy(block, &padding, 4);
        block += 4;
    }
    block -= (params->filter_height * run + 3) & ~3;
    /* Taps of dilation 1 are copied in one piece. */
    const int32_t taps = params->dilation_width == 1 ? params->filter_width : 1;
    const int32_t step = params->dilation_height * params->input_width * depth;
    const int32_t top = at->y * params->stride_height - params->pad_height;
    int32_t x = at->x * params->stride_width - params->pad_width;
    for (int32_t kx = 0; kx < params->filter_width; kx += taps) {
        const int32_t first = x < 0 ? -x : 0;
        const int32_t end = x + taps < params->input_width ? taps : params->input_width - x;
        const int32_t count = (end - first) * depth;
        int32_t offset = (top * params->input_width + x + first) * depth;
        int32_t y = top;
        int8_t *to = block + (kx + first) * depth;
        for (int32_t ky = params->filter_height; ky > 0; ky--) {
            if (y >= 0 && y < params->input_height && count > 0) {
                const int8_t *from = at->image + offset;
                int32_t i = count - 4;
                for (; i >= 0; i -= 4) {
                    __builtin_memcpy(to, from, 4);
                    to += 4;
                    from += 4;
                }
                for (; i > -4; i--) {
                    *to++ = *from++;
                }
                to -= count;
            }
            offset += step;
            y += params->dilation_height;
            to += run;
        }
        x += params->dilation_width;
    }
}

TINYC_KERNEL void tinyc_conv_kxk_s8_dsp(const tinyc_conv_2d_dsp_params *params, const int8_t *input, const int32_t *stream, int8_t *output,
                                        void *scratch) {
    const int32_t run = params->filter_width * params->input_depth;
    const int32_t rows = params->filter_height;
    const int32_t channels = params->output_depth;
    const int32_t row_step = params->dilation_height * params->input_width * params->input_depth - run;
    const int32_t pixel_step = params->stride_width * params->input_depth;
    const int32_t pixels = params->batches * params->output_height * params->output_width;
    int8_t *const blocks = (int8_t *)scratch + TINYC_GEMM_DSP_SCRATCH(rows, run);
    int8_t *to = output;
    place at = {input, 0, 0};
    tinyc_gemm_dsp_call call;
    tinyc_gemm_dsp_prepare(&call, rows, run, channels, stream, scratch);
    call.source_advance = 2 * pixel_step;
    for (int32_t left = pixels; left > 0; left -= 2 * call.pairs) {
        call.output[0] = to;
        call.output[1] = to + channels;
        call.row_step[0] = row_step;
        call.row_step[1] = row_step;
        const int32_t inside = params->inside_right - at.x;
        if (inside >= 2 && at.x >= params->inside_left && row_is_inside(params, &at)) {
            call.pairs = inside / 2;
            call.source[0] = address(params, &at);
            call.source[1] = call.source[0] + pixel_step;
            skip(params, &at, 2 * call.pairs);
        } else {
            call.pairs = 1;
            for (int32_t i = 0; i < 2; i++) {
                if (i == 1 && left == 1) {
                    /* A last single pixel is computed twice, to the same place. */
                    call.source[1] = call.source[0];
                    call.row_step[1] = call.row_step[0];
                    call.output[1] = to;
                } else if (at.x >= params->inside_left && at.x < params->inside_right && row_is_inside(params, &at)) {
                    call.source[i] = address(params, &at);
                    skip(params, &at, 1);
                } else {
                    int8_t *const block = blocks + i * ((rows * run + 3) & ~3);
                    gather(params, &at, block);
                    call.source[i] = block;
                    call.row_step[i] = 0;
                    skip(params, &at, 1);
                }
            }
        }
        tinyc_gemm_dsp(&call);
        to += 2 * call.pairs * channels;
    }
    tinyc_gemm_dsp_clamp(output, pixels * channels, params->activation_min, params->activation_max);
}
