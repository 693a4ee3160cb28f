/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_gemm_dsp.h"
#include "tinyc_patches_dsp.h"

TINYC_KERNEL void tinyc_conv_kxk_s8_dsp(const tinyc_conv_2d_dsp_params *params, const int8_t *input, const int32_t *stream, int8_t *output,
                                        void *scratch) {
    const int32_t run = params->filter_width * params->input_depth;
    const int32_t rows = params->filter_height;
    const int32_t channels = params->output_depth;
    const int32_t row_step = params->dilation_height * params->input_width * params->input_depth - run;
    const int32_t pixel_step = params->stride_width * params->input_depth;
    const int32_t pixels = params->batches * params->output_height * params->output_width;
    const int32_t gap = tinyc_patch_all_inside(params) ? 0 : run & ~3;
    int8_t *to = output;
    tinyc_patch_place at = {input, 0, 0, 2 * run, 0};
    tinyc_gemm_dsp_call call;
    tinyc_gemm_dsp_prepare(&call, rows, run, channels, params->relu, stream, scratch);
    call.source_advance = 2 * pixel_step;
    /* Patches at borders are copied to the end of the memory that they are widened to, row by row in turn: each four bytes are read before
     * their place is needed, if there is `gap` more of it. */
    call.rest += gap;
    call.spare += gap;
    int8_t *const blocks = (int8_t *)call.x_end + gap - 2 * rows * run;
    for (int32_t left = pixels; left > 0; left -= 2 * call.pairs) {
        call.output[0] = to;
        call.output[1] = to + channels;
        call.row_step[0] = row_step;
        call.row_step[1] = row_step;
        const int32_t inside = params->inside_right - at.x;
        if (inside >= 2 && at.x >= params->inside_left && tinyc_patch_row_is_inside(params, &at)) {
            call.pairs = inside / 2;
            call.source[0] = tinyc_patch_address(params, &at);
            call.source[1] = call.source[0] + pixel_step;
            tinyc_patch_skip(params, &at, 2 * call.pairs);
        } else {
            call.pairs = 1;
            int8_t *block = blocks;
            at.fill = 2 * rows * run;
            for (int32_t i = 0; i < 2 && i < left; i++) {
                int32_t pitch;
                call.source[i] = tinyc_patch_next(params, &at, block, &pitch);
                call.row_step[i] = pitch - run;
                at.fill = call.source[i] == block ? 0 : at.fill - run;
                block += run;
            }
        }
        if (left == 1) {
            tinyc_gemm_dsp_single(&call);
        } else {
            tinyc_gemm_dsp(&call);
        }
        to += 2 * call.pairs * channels;
    }
    tinyc_dsp_clamp(output, pixels * channels, params->activation_min, params->activation_max);
}
