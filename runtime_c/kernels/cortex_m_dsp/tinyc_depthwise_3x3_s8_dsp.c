/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_depthwise_3x3_dsp.h"

/* The rounding term gets the accumulator's sign, which makes the shift round half away from zero; the weights and the bias are doubled.
 * On the stack: multiplier, (1 << (e - 1)) + (zero point << e) = (2 * zero point + 1) << (e - 1), right shift e, bias. */
#define START                    \
    "ldr r9, [sp, #56]\n\t"      \
    "lsr r11, r7, #24\n\t"       \
    "sub r0, r11, #1\n\t"        \
    "lsl r9, r9, r0\n\t"         \
    "strd r12, r9, [sp]\n\t"     \
    "strd r11, r10, [sp, #8]\n\t"

#define PAIR(sums)                      \
    sums                                \
    "ldrd r8, r9, [sp]\n\t"             \
    "add r10, r9, r6, asr #31\n\t"      \
    "smmlar r6, r6, r8, r10\n\t"        \
    "add r9, r9, r7, asr #31\n\t"       \
    "smmlar r7, r7, r8, r9\n\t"         \
    "ldrd r8, r10, [sp, #8]\n\t"        \
    "asr r6, r6, r8\n\t"                \
    "ssat r6, #8, r6\n\t"               \
    "asr r7, r7, r8\n\t"                \
    "ssat r7, #8, r7\n\t"               \
    TINYC_3X3_STORE

#define SINGLE                          \
    TINYC_3X3_SUM                       \
    "ldrd r8, r9, [sp]\n\t"             \
    "add r9, r9, r6, asr #31\n\t"       \
    "smmlar r6, r6, r8, r9\n\t"         \
    "ldr r8, [sp, #8]\n\t"              \
    "asr r6, r6, r8\n\t"                \
    "ssat r6, #8, r6\n\t"               \
    "strb r6, [r11]\n\t"

#define PAIR_1 PAIR(TINYC_3X3_SUMS_1)
#define PAIR_2 PAIR(TINYC_3X3_SUMS_2)

static TINYC_DSP_ASSEMBLY void lines_1(const tinyc_planes_call *call __attribute__((unused))) {
    TINYC_3X3_LINES(START, PAIR_1 PAIR_1 PAIR_1 PAIR_1 PAIR_1 PAIR_1, SINGLE);
}

static TINYC_DSP_ASSEMBLY void lines_2(const tinyc_planes_call *call __attribute__((unused))) {
    TINYC_3X3_LINES(START, PAIR_2 PAIR_2 PAIR_2 PAIR_2, SINGLE);
}

TINYC_KERNEL void tinyc_depthwise_3x3_s8_dsp(const tinyc_depthwise_dsp_params *params, const int8_t *input, const int32_t *records,
                                             int8_t *output, void *scratch) {
    const int32_t rounding = 2 * params->output_zero_point + 1;
    if (params->stride_columns == 1) {
        tinyc_depthwise_3x3(params, input, records, output, scratch, rounding, 6, 28 * 4, lines_1);
    } else {
        tinyc_depthwise_3x3(params, input, records, output, scratch, rounding, 4, 31 * 4, lines_2);
    }
}
