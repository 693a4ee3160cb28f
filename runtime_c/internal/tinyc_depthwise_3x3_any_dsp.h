/* SPDX-License-Identifier: Apache-2.0 */
/* 3x3 planes with any activation. */
#ifndef TINYC_DEPTHWISE_3X3_ANY_DSP_H
#define TINYC_DEPTHWISE_3X3_ANY_DSP_H

#include "tinyc_depthwise_3x3_dsp.h"

/* The rounding term gets the accumulator's sign, which makes the shift round half away from zero; the weights and the bias are doubled.
 * On the stack: multiplier, (1 << (e - 1)) + (zero point << e) = (2 * zero point + 1) << (e - 1), right shift e, bias. */
#define TINYC_3X3_START                       \
    "ldr r9, [sp, #56]\n\t"                   \
    "lsr r11, r7, #24\n\t"                    \
    "sub r0, r11, #1\n\t"                     \
    "lsl r9, r9, r0\n\t"                      \
    "strd r12, r9, [sp]\n\t"                  \
    "strd r11, r10, [sp, #8]\n\t"

#define TINYC_3X3_PAIR(sums)                  \
    sums                                      \
    "ldrd r8, r9, [sp]\n\t"                   \
    "add r10, r9, r6, asr #31\n\t"            \
    "smmlar r6, r6, r8, r10\n\t"              \
    "add r9, r9, r7, asr #31\n\t"             \
    "smmlar r7, r7, r8, r9\n\t"               \
    "ldrd r8, r10, [sp, #8]\n\t"              \
    "asr r6, r6, r8\n\t"                      \
    "ssat r6, #8, r6\n\t"                     \
    "asr r7, r7, r8\n\t"                      \
    "ssat r7, #8, r7\n\t"                     \
    TINYC_3X3_STORE

#define TINYC_3X3_SINGLE                      \
    TINYC_3X3_SUM                             \
    "ldrd r8, r9, [sp]\n\t"                   \
    "add r9, r9, r6, asr #31\n\t"             \
    "smmlar r6, r6, r8, r9\n\t"               \
    "ldr r8, [sp, #8]\n\t"                    \
    "asr r6, r6, r8\n\t"                      \
    "ssat r6, #8, r6\n\t"                     \
    "strb r6, [r11]\n\t"

#define TINYC_3X3_PAIR_1 TINYC_3X3_PAIR(TINYC_3X3_SUMS_1)
#define TINYC_3X3_PAIR_2 TINYC_3X3_PAIR(TINYC_3X3_SUMS_2)

static TINYC_DSP_ASSEMBLY void tinyc_3x3_lines_1(const tinyc_planes_call *call __attribute__((unused))) {
    TINYC_3X3_LINES(TINYC_3X3_START, TINYC_3X3_SIX(TINYC_3X3_PAIR_1), TINYC_3X3_SINGLE);
}

static TINYC_DSP_ASSEMBLY void tinyc_3x3_lines_2(const tinyc_planes_call *call __attribute__((unused))) {
    TINYC_3X3_LINES(TINYC_3X3_START, TINYC_3X3_FOUR(TINYC_3X3_PAIR_2), TINYC_3X3_SINGLE);
}

/* The kernel. */
static inline void tinyc_depthwise_3x3_any(const tinyc_depthwise_dsp_params *params, const int8_t *input, const int32_t *records,
                                           int8_t *output, void *scratch) {
    const int32_t rounding = 2 * params->output_zero_point + 1;
    if (params->stride_columns == 1) {
        tinyc_depthwise_3x3(params, input, records, output, scratch, rounding, 6, 28 * 4, tinyc_3x3_lines_1);
    } else {
        tinyc_depthwise_3x3(params, input, records, output, scratch, rounding, 4, 31 * 4, tinyc_3x3_lines_2);
    }
}

#endif
