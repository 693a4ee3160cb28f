/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_depthwise_3x3_dsp.h"

/* Where everything below the zero point is clamped, rounding half up is as good as half away from zero, and TFLite Micro's two roundings
 * are one floor. The weights are scaled so that every channel is shifted right by 10: that is free in SSAT. */
#define START                    \
    "ldr r9, [sp, #56]\n\t"      \
    "add r9, r9, r7, lsr #24\n\t" \
    "strd r12, r9, [sp]\n\t"

#define REQUANTIZE(acc)                    \
    "smmla " acc ", " acc ", r8, r9\n\t"   \
    "ssat " acc ", #8, " acc ", asr #10\n\t"

#define PAIR(sums) sums "ldrd r8, r9, [sp]\n\t" REQUANTIZE("r6") REQUANTIZE("r7") TINYC_3X3_STORE

#define SINGLE TINYC_3X3_SUM "ldrd r8, r9, [sp]\n\t" REQUANTIZE("r6") "strb r6, [r11]\n\t"

#define PAIR_1 PAIR(TINYC_3X3_SUMS_1)
#define PAIR_2 PAIR(TINYC_3X3_SUMS_2)

static TINYC_DSP_ASSEMBLY void lines_1(const tinyc_planes_call *call __attribute__((unused))) {
    TINYC_3X3_LINES(START, PAIR_1 PAIR_1 PAIR_1 PAIR_1 PAIR_1 PAIR_1, SINGLE);
}

static TINYC_DSP_ASSEMBLY void lines_2(const tinyc_planes_call *call __attribute__((unused))) {
    TINYC_3X3_LINES(START, PAIR_2 PAIR_2 PAIR_2 PAIR_2, SINGLE);
}

TINYC_KERNEL void tinyc_depthwise_3x3_relu_s8_dsp(const tinyc_depthwise_dsp_params *params, const int8_t *input, const int32_t *records,
                                                  int8_t *output, void *scratch) {
    const int32_t rounding = 512 + params->output_zero_point * 1024;
    if (params->stride_columns == 1) {
        tinyc_depthwise_3x3(params, input, records, output, scratch, rounding, 6, 23 * 4, lines_1);
    } else {
        tinyc_depthwise_3x3(params, input, records, output, scratch, rounding, 4, 26 * 4, lines_2);
    }
}
