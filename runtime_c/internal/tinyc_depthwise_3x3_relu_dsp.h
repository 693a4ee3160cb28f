/* SPDX-License-Identifier: Apache-2.0 */
/* 3x3 planes whose smallest output is the zero point, as after a ReLU. */
#ifndef TINYC_DEPTHWISE_3X3_RELU_DSP_H
#define TINYC_DEPTHWISE_3X3_RELU_DSP_H

#include "tinyc_depthwise_3x3_dsp.h"

/* Where everything below the zero point is clamped, rounding half up is as good as half away from zero, and TFLite Micro's two roundings
 * are one floor. The weights are scaled so that every channel is shifted right by 10: that is free in SSAT. */
#define TINYC_3X3_START                       \
    "ldr r9, [sp, #56]\n\t"                   \
    "add r9, r9, r7, lsr #24\n\t"             \
    "strd r12, r9, [sp]\n\t"

#define TINYC_3X3_REQUANTIZE(acc)             \
    "smmla " acc ", " acc ", r8, r9\n\t"      \
    "ssat " acc ", #8, " acc ", asr #10\n\t"

#define TINYC_3X3_PAIR(sums) sums "ldrd r8, r9, [sp]\n\t" TINYC_3X3_REQUANTIZE("r6") TINYC_3X3_REQUANTIZE("r7") TINYC_3X3_STORE

#define TINYC_3X3_SINGLE TINYC_3X3_SUM "ldrd r8, r9, [sp]\n\t" TINYC_3X3_REQUANTIZE("r6") "strb r6, [r11]\n\t"

#define TINYC_3X3_PAIR_1 TINYC_3X3_PAIR(TINYC_3X3_SUMS_1)
#define TINYC_3X3_PAIR_2 TINYC_3X3_PAIR(TINYC_3X3_SUMS_2)

static TINYC_DSP_ASSEMBLY void tinyc_3x3_lines_1(const tinyc_planes_call *call __attribute__((unused))) {
    TINYC_3X3_LINES(TINYC_3X3_START, TINYC_3X3_SIX(TINYC_3X3_PAIR_1), TINYC_3X3_SINGLE);
}

static TINYC_DSP_ASSEMBLY void tinyc_3x3_lines_2(const tinyc_planes_call *call __attribute__((unused))) {
    TINYC_3X3_LINES(TINYC_3X3_START, TINYC_3X3_FOUR(TINYC_3X3_PAIR_2), TINYC_3X3_SINGLE);
}

/* The kernel. */
static inline void tinyc_depthwise_3x3_relu(const tinyc_depthwise_dsp_params *params, const int8_t *input, const int32_t *records,
                                            int8_t *output, void *scratch) {
    const int32_t rounding = 512 + params->output_zero_point * 1024;
    if (params->stride_columns == 1) {
        tinyc_depthwise_3x3(params, input, records, output, scratch, rounding, 6, 23 * 4, tinyc_3x3_lines_1);
    } else {
        tinyc_depthwise_3x3(params, input, records, output, scratch, rounding, 4, 26 * 4, tinyc_3x3_lines_2);
    }
}

#endif
