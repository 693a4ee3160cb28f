/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise 3x3 from planes, in assembly: two outputs of a line at a time, nine weights in six registers (r0 to r5: per filter line
 * w1:w0 and w2:w1). r6, r7 accumulate; r8, r9 hold four columns; r10: bias, r11: output, r12: column_step, lr: place in the plane. */
#ifndef TINYC_DEPTHWISE_3X3_DSP_H
#define TINYC_DEPTHWISE_3X3_DSP_H

#include "tinyc_planes_dsp.h"

/* Bytes from a line of a plane to the next: fixed, so that it is an immediate. */
#if TINYC_PLANES_LANES == 4
#define TINYC_3X3_PITCH 256
#define TINYC_3X3_LINE_1 "[lr, #256]"
#define TINYC_3X3_LINE_2 "[lr, #512]"
#define TINYC_3X3_LINE_1_MORE "[lr, #264]"
#define TINYC_3X3_LINE_2_MORE "[lr, #520]"
#else
#define TINYC_3X3_PITCH 112
#define TINYC_3X3_LINE_1 "[lr, #112]"
#define TINYC_3X3_LINE_2 "[lr, #224]"
#define TINYC_3X3_LINE_1_MORE "[lr, #120]"
#define TINYC_3X3_LINE_2_MORE "[lr, #232]"
#endif

/* Two outputs at stride 1: the columns are x0 x1 x2 x3. */
#define TINYC_3X3_ROW_1(load, wa, wb, from)      \
    load                                          \
    "smlad r6, r8, " wa ", " from("r6") "\n\t"    \
    "smlatb r7, r8, " wa ", " from("r7") "\n\t"   \
    "smlabt r6, r9, " wb ", r6\n\t"               \
    "smlad r7, r9, " wb ", r7\n\t"

/* Two outputs at stride 2: x0 to x2, then x2 to x4. */
#define TINYC_3X3_ROW_2(load, more, wa, wb, from) \
    load                                          \
    "smlad r6, r8, " wa ", " from("r6") "\n\t"    \
    more                                          \
    "smlabt r6, r9, " wb ", r6\n\t"               \
    "smlad r7, r9, " wa ", " from("r7") "\n\t"    \
    "smlabt r7, r8, " wb ", r7\n\t"

#define TINYC_3X3_BIAS(acc) "r10"
#define TINYC_3X3_SAME(acc) acc

#define TINYC_3X3_SUMS_1                                                                             \
    TINYC_3X3_ROW_1("ldrd r8, r9, " TINYC_3X3_LINE_1 "\n\t", "r2", "r3", TINYC_3X3_BIAS)             \
    TINYC_3X3_ROW_1("ldrd r8, r9, " TINYC_3X3_LINE_2 "\n\t", "r4", "r5", TINYC_3X3_SAME)             \
    TINYC_3X3_ROW_1("ldrd r8, r9, [lr], #4\n\t", "r0", "r1", TINYC_3X3_SAME)

#define TINYC_3X3_SUMS_2                                                                             \
    TINYC_3X3_ROW_2("ldrd r8, r9, " TINYC_3X3_LINE_1 "\n\t", "ldr r8, " TINYC_3X3_LINE_1_MORE "\n\t", \
                    "r2", "r3", TINYC_3X3_BIAS)                                                      \
    TINYC_3X3_ROW_2("ldrd r8, r9, " TINYC_3X3_LINE_2 "\n\t", "ldr r8, " TINYC_3X3_LINE_2_MORE "\n\t", \
                    "r4", "r5", TINYC_3X3_SAME)                                                      \
    TINYC_3X3_ROW_2("ldrd r8, r9, [lr], #8\n\t", "ldr.w r8, [lr]\n\t", "r0", "r1", TINYC_3X3_SAME)

/* One output, of either stride. */
#define TINYC_3X3_SUM                               \
    "ldrd r8, r9, " TINYC_3X3_LINE_1 "\n\t"         \
    "smlad r6, r8, r2, r10\n\t"                     \
    "smlabt r6, r9, r3, r6\n\t"                     \
    "ldrd r8, r9, " TINYC_3X3_LINE_2 "\n\t"         \
    "smlad r6, r8, r4, r6\n\t"                      \
    "smlabt r6, r9, r5, r6\n\t"                     \
    "ldrd r8, r9, [lr]\n\t"                         \
    "smlad r6, r8, r0, r6\n\t"                      \
    "smlabt r6, r9, r1, r6\n\t"

#define TINYC_3X3_FOUR(pair) pair pair pair pair
#define TINYC_3X3_SIX(pair) TINYC_3X3_FOUR(pair) pair pair

/* Stores the outputs in r6 and r7. */
#define TINYC_3X3_STORE                 \
    "strb r6, [r11]\n\t"                \
    "strb r7, [r11, r12]\n\t"           \
    "add r11, r11, r12, lsl #1\n\t"

/* One line of weights, bytes w0 w1 w2 and anything in `from`, times 2^k in r12, to the registers `wa` and `wb`. */
#define TINYC_3X3_WEIGHTS(from, wa, wb)              \
    "sxtb16 r9, " from "\n\t"                        \
    "sxtb16 r11, " from ", ror #8\n\t"               \
    "smultb " from ", r9, r12\n\t"                   \
    "smulbb r11, r11, r12\n\t"                       \
    "smulbb r9, r9, r12\n\t"                         \
    "pkhbt " wa ", r9, r11, lsl #16\n\t"             \
    "pkhbt " wb ", r11, " from ", lsl #16\n\t"

/* The line function. `start` sets up requantization from the record, which is in r6, r7, r8 (weights), r10 (bias) and r12 (multiplier);
 * r0, r9 and r11 are free. `pairs` is the unrolled code for two outputs each, `single` for one, which moves neither lr nor r11.
 * On the stack: 0 to 12: requantization, 16, 20: where a line starts and where the unrolled code goes on, then tinyc_planes_call. */
#define TINYC_3X3_LINES(start, pairs, single)                        \
    __asm volatile(                                                  \
        "push {r4-r11, lr}\n\t"                                      \
        "add r1, r0, #48\n\t"                                        \
        "ldm r1, {r2-r10}\n\t"                                       \
        "push {r2-r10}\n\t"                                          \
        "ldm r0, {r1-r12}\n\t"                                       \
        "adr r1, 2f\n\t"                                             \
        "add r8, r8, r1\n\t"                                         \
        "add r8, r8, #1\n\t"                                         \
        "adr r1, 3f\n\t"                                             \
        "adr r2, 4f\n\t"                                             \
        "cmp r11, #0\n\t"                                            \
        "ite ne\n\t"                                                 \
        "addne r11, r1, #1\n\t"                                      \
        "addeq r11, r2, #1\n\t"                                      \
        "mov r5, r8\n\t"                                             \
        "mov r6, r11\n\t"                                            \
        "adr r1, 6f\n\t"                                             \
        "adr r2, 7f\n\t"                                             \
        "cmp r12, #0\n\t"                                            \
        "itt ne\n\t"                                                 \
        "addne r5, r1, #1\n\t"                                       \
        "addne r6, r2, #1\n\t"                                       \
        "push {r1-r12}\n"                                            \
        "1:\n\t" /* a channel */                                     \
        "ldr r11, [sp, #72]\n\t"                                     \
        "ldm r11!, {r6, r7, r8, r10, r12}\n\t"                       \
        "str r11, [sp, #72]\n\t"                                     \
        start                                                        \
        "mov r12, #1\n\t"                                            \
        "lsr r9, r6, #24\n\t"                                        \
        "lsl r12, r12, r9\n\t"                                       \
        TINYC_3X3_WEIGHTS("r6", "r0", "r1")                          \
        TINYC_3X3_WEIGHTS("r7", "r2", "r3")                          \
        TINYC_3X3_WEIGHTS("r8", "r4", "r5")                          \
        "ldrd r8, r9, [sp, #60]\n\t"                                 \
        "ldr lr, [r8]\n\t"                                         \
        "add r8, r8, r9\n\t"                                         \
        "str r8, [sp, #60]\n\t"                                      \
        "ldr r9, [sp, #80]\n\t"                                      \
        "add r9, r9, lr\n\t"                                         \
        "str r9, [sp, #48]\n\t"                                      \
        "ldr r12, [sp, #52]\n\t"                                     \
        "ldr r11, [sp, #68]\n\t"                                     \
        "add r9, r11, #1\n\t"                                        \
        "str r9, [sp, #68]\n"                                        \
        "5:\n\t" /* a line of outputs */                             \
        "ldr pc, [sp, #16]\n\t"                                      \
        ".p2align 2\n"                                               \
        "6:\n\t"                                                     \
        "ldrd r8, r9, [sp, #24]\n\t"                                 \
        "add r8, r8, lr\n\t"                                         \
        "str r8, [sp, #44]\n\t"                                      \
        "bx r9\n\t"                                                  \
        ".p2align 2\n"                                               \
        "2:\n\t"                                                     \
        pairs                                                        \
        "ldr pc, [sp, #20]\n\t"                                      \
        ".p2align 2\n"                                               \
        "7:\n\t"                                                     \
        "ldr r8, [sp, #44]\n\t"                                      \
        "cmp lr, r8\n\t"                                             \
        "bne.w 2b\n\t"                                               \
        "ldr pc, [sp, #40]\n\t"                                      \
        ".p2align 2\n"                                               \
        "3:\n\t"                                                     \
        single                                                       \
        ".p2align 2\n"                                               \
        "4:\n\t"                                                     \
        "ldrd r8, r9, [sp, #32]\n\t"                                 \
        "add lr, lr, r8\n\t"                                         \
        "add r11, r11, r9\n\t"                                       \
        "ldr r8, [sp, #48]\n\t"                                      \
        "cmp lr, r8\n\t"                                             \
        "bne.w 5b\n\t"                                               \
        "ldr r8, [sp, #76]\n\t"                                      \
        "subs r8, r8, #1\n\t"                                        \
        "str r8, [sp, #76]\n\t"                                      \
        "bne.w 1b\n\t"                                               \
        "add sp, sp, #84\n\t"                                        \
        "pop {r4-r11, pc}\n\t")

/* Everything but the line function, whose code has `unrolled` pairs of `pair_bytes` each. */
static TINYC_DSP_SMALL void tinyc_depthwise_3x3(const tinyc_depthwise_dsp_params *p, const int8_t *input, const int32_t *records, int8_t *output,
                                void *scratch, int32_t rounding, int32_t unrolled, int32_t pair_bytes, tinyc_planes_lines *lines) {
    const int32_t pairs = p->output_columns >> 1;
    tinyc_planes_call call;
    call.whole_bytes = pairs * 4 * p->stride_columns;
    call.several = pairs > unrolled;
    call.skip = (unrolled - (call.several ? (pairs - 1) % unrolled + 1 : pairs)) * pair_bytes;
    call.plane_step = p->stride_lines * TINYC_3X3_PITCH - call.whole_bytes;
    call.output_step = p->output_line_step - 2 * pairs * p->output_column_step;
    call.rest = p->output_columns & 1;
    call.rounding = rounding;
    tinyc_planes_depthwise(p, input, records, output, scratch, &call, lines);
}

#endif
