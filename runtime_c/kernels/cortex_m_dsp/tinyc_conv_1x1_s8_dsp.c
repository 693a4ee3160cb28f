/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_gemm_dsp.h"

TINYC_KERNEL void tinyc_conv_1x1_s8_dsp(const tinyc_conv_1x1_dsp_params *params, const int8_t *input, const int32_t *stream,
                                        int8_t *output, void *scratch) {
    const int32_t depth = params->input_depth;
    const int32_t channels = params->output_depth;
    tinyc_gemm_dsp_call call;
    tinyc_gemm_dsp_prepare(&call, 1, depth, channels, params->relu, stream, scratch);
    call.source[0] = input;
    call.source[1] = input + depth;
    call.row_step[0] = 0;
    call.row_step[1] = 0;
    call.source_advance = 2 * depth;
    call.output[0] = output;
    call.output[1] = output + channels;
    call.pairs = params->pixels / 2;
    if (call.pairs > 0) {
        tinyc_gemm_dsp(&call);
    }
    if (params->pixels & 1) {
        call.source[0] = input + (params->pixels - 1) * depth;
        call.output[0] = output + (params->pixels - 1) * channels;
        tinyc_gemm_dsp_single(&call);
    }
    tinyc_dsp_clamp(output, params->pixels * channels, params->activation_min, params->activation_max);
}
