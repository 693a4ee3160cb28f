/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#define TINYC_PLANES_LANES 2
#include "tinyc_depthwise_3x3_any_dsp.h"

TINYC_KERNEL void tinyc_depthwise_3x3_pairs_s8_dsp(const tinyc_depthwise_dsp_params *params, const int8_t *input, const int32_t *records,
                                                   int8_t *output, void *scratch) {
    tinyc_depthwise_3x3_any(params, input, records, output, scratch);
}
