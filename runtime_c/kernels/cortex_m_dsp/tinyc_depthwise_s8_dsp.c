/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_planes_dsp.h"

/* What the functions in assembly copy to their stack, in this order, for one channel. */
typedef struct {
    int32_t bias[2];         /* twice the same, each doubled */
    int32_t multiplier;
    int32_t rounding;        /* (1 << (shift - 1)) + (output zero point << shift) */
    int32_t shift;
    const int32_t *weights;
    int32_t turns;           /* of four outputs in a line, the last perhaps incomplete */
    int32_t rest;            /* outputs in the last turn */
    int32_t turn_step;       /* bytes of a plane from the end of a turn to the next */
    int32_t line_step;       /* from the end of a line's last turn to the next line */
    int32_t output_step;
    int32_t lines;
    int32_t column_step;     /* bytes from one output to the next */
    int32_t stride;          /* bytes of a plane from one output to the next */
    int32_t stride_3;        /* three times that */
    int32_t own;
    int32_t row_step;        /* r8: bytes of a plane from where the steps of a filter line end to the next */
    const int32_t *end;      /* r9: of the weights */
    int8_t *output;          /* r10 */
    int32_t skip;            /* r11: bytes of code before the first step */
    const int32_t *plane;    /* lr */
} frame;

#define STEPS_MAX 8

/* Stride 1: two taps for outputs 0 and 2 (r6) and, one column on, for outputs 1 and 3 (r7). */
#define STEP_1                         \
    "ldrd r4, r5, [lr], #4\n\t"        \
    "ldrd r6, r7, [r12], #8\n\t"       \
    "smlad r0, r4, r6, r0\n\t"         \
    "smlad r1, r4, r7, r1\n\t"         \
    "smlad r2, r5, r6, r2\n\t"         \
    "smlad r3, r5, r7, r3\n\t"
#define STEP_1_BYTES 24

/* Any stride: two taps of four outputs, wherever their columns are. */
#define STEP_ANY                       \
    "ldr r4, [r12], #4\n\t"            \
    "ldr r5, [lr, r6]\n\t"             \
    "smlad r1, r5, r4, r1\n\t"         \
    "ldr r5, [lr, r6, lsl #1]\n\t"     \
    "smlad r2, r5, r4, r2\n\t"         \
    "ldr r5, [lr, r7]\n\t"             \
    "smlad r3, r5, r4, r3\n\t"         \
    "ldr r5, [lr], #4\n\t"             \
    "smlad r0, r5, r4, r0\n\t"
#define STEP_ANY_BYTES 36

/* The rounding term gets the accumulator's sign, which makes the shift round half away from zero. */
#define REQUANTIZE(acc)                \
    "add r7, r5, " acc ", asr #31\n\t" \
    "smmlar " acc ", " acc ", r4, r7\n\t" \
    "asr " acc ", " acc ", r6\n\t"     \
    "ssat " acc ", #8, " acc "\n\t"

/* All output lines of one channel. A turn computes four outputs, r0 to r3. */
#define LINES(step)                                      \
    __asm volatile(                                      \
        "push {r4-r11, lr}\n\t"                          \
        "ldm r0!, {r1-r8}\n\t"                           \
        "sub sp, sp, #32\n\t"                            \
        "push {r1-r8}\n\t"                               \
        "ldm r0!, {r1-r8}\n\t"                           \
        "add r9, sp, #32\n\t"                            \
        "stm r9, {r1-r8}\n\t"                            \
        "ldm r0, {r8-r11, lr}\n\t"                       \
        "adr r0, 2f\n\t"                                 \
        "add r11, r11, r0\n\t"                           \
        "add r11, r11, #1\n"                             \
        "6:\n\t" /* a line */                            \
        "ldr r0, [sp, #24]\n\t"                          \
        "str r0, [sp, #60]\n"                            \
        "5:\n\t" /* a turn */                            \
        "ldrd r0, r1, [sp]\n\t"                          \
        "ldrd r2, r3, [sp]\n\t"                          \
        "ldrd r6, r7, [sp, #52]\n\t"                     \
        "ldr r12, [sp, #20]\n"                           \
        "1:\n\t" /* a filter line */                     \
        "bx r11\n\t"                                     \
        ".p2align 2\n"                                   \
        "2:\n\t"                                         \
        step step step step step step step step          \
        "add lr, lr, r8\n\t"                             \
        "cmp r12, r9\n\t"                                \
        "bne.w 1b\n\t"                                   \
        "ldrd r4, r5, [sp, #8]\n\t"                      \
        "ldr r6, [sp, #16]\n\t"                          \
        REQUANTIZE("r0")                                 \
        REQUANTIZE("r1")                                 \
        REQUANTIZE("r2")                                 \
        REQUANTIZE("r3")                                 \
        "ldr r7, [sp, #48]\n\t"                          \
        "strb r0, [r10]\n\t"                             \
        "ldr r4, [sp, #60]\n\t"                          \
        "subs r4, r4, #1\n\t"                            \
        "beq 3f\n\t"                                     \
        "str r4, [sp, #60]\n\t"                          \
        "strb r1, [r10, r7]\n\t"                         \
        "add r10, r10, r7, lsl #1\n\t"                   \
        "strb r2, [r10]\n\t"                             \
        "strb r3, [r10, r7]\n\t"                         \
        "add r10, r10, r7, lsl #1\n\t"                   \
        "ldr r4, [sp, #32]\n\t"                          \
        "add lr, lr, r4\n\t"                             \
        "b.w 5b\n"                                       \
        "3:\n\t" /* the last turn of a line */           \
        "ldr r4, [sp, #28]\n\t"                          \
        "cmp r4, #2\n\t"                                 \
        "blt 4f\n\t"                                     \
        "strb r1, [r10, r7]\n\t"                         \
        "beq 4f\n\t"                                     \
        "strb r2, [r10, r7, lsl #1]\n\t"                 \
        "cmp r4, #4\n\t"                                 \
        "bne 4f\n\t"                                     \
        "add r7, r7, r7, lsl #1\n\t"                     \
        "strb r3, [r10, r7]\n"                           \
        "4:\n\t"                                         \
        "ldrd r4, r5, [sp, #36]\n\t"                     \
        "add lr, lr, r4\n\t"                             \
        "add r10, r10, r5\n\t"                           \
        "ldr r4, [sp, #44]\n\t"                          \
        "subs r4, r4, #1\n\t"                            \
        "str r4, [sp, #44]\n\t"                          \
        "bne.w 6b\n\t"                                   \
        "add sp, sp, #64\n\t"                            \
        "pop {r4-r11, pc}\n\t")

static TINYC_DSP_ASSEMBLY void lines_1(const frame *f __attribute__((unused))) {
    LINES(STEP_1);
}

static TINYC_DSP_ASSEMBLY void lines_any(const frame *f __attribute__((unused))) {
    LINES(STEP_ANY);
}

/* `count` filter lines of `steps` pairs of weights, widened and doubled: w0 w1, w2 w3, ... */
static TINYC_DSP_ASSEMBLY void widen(const int8_t *from __attribute__((unused)), int32_t *to __attribute__((unused)),
                                     int32_t count __attribute__((unused)), int32_t steps __attribute__((unused))) {
    __asm volatile(
        "push {r4, r6, r7, lr}\n\t"
        "mul r4, r2, r3\n"
        "1:\n\t"
        "ldrsb r6, [r0], #1\n\t"
        "ldrsb r7, [r0], #1\n\t"
        "lsl r6, r6, #1\n\t"
        "pkhbt r6, r6, r7, lsl #17\n\t"
        "str r6, [r1], #4\n\t"
        "subs r4, r4, #1\n\t"
        "bne 1b\n\t"
        "pop {r4, r6, r7, pc}\n\t");
}

/* The same, between them those for the next column: 0 w0, w1 w2, ... */
static TINYC_DSP_ASSEMBLY void widen_twice(const int8_t *from __attribute__((unused)), int32_t *to __attribute__((unused)),
                                           int32_t count __attribute__((unused)), int32_t steps __attribute__((unused))) {
    __asm volatile(
        "push {r4-r8, lr}\n"
        "1:\n\t"
        "mov r4, r3\n\t"
        "mov r5, #0\n"
        "2:\n\t"
        "ldrsb r6, [r0], #1\n\t"
        "ldrsb r7, [r0], #1\n\t"
        "pkhbt r5, r5, r6, lsl #17\n\t"
        "lsl r6, r6, #1\n\t"
        "pkhbt r8, r6, r7, lsl #17\n\t"
        "strd r8, r5, [r1], #8\n\t"
        "lsl r5, r7, #1\n\t"
        "subs r4, r4, #1\n\t"
        "bne 2b\n\t"
        "subs r2, r2, #1\n\t"
        "bne 1b\n\t"
        "pop {r4-r8, pc}\n\t");
}

/* The output lines of some channels. */
static TINYC_DSP_SMALL void lines(const tinyc_planes_call *call) {
    const tinyc_depthwise_dsp_params *const p = call->params;
    const int32_t odd = p->stride_columns == 1;
    const int32_t steps = odd ? (p->filter_columns >> 1) + 1 : (p->filter_columns + 1) >> 1;
    const int32_t *record = call->record;
    const int32_t *const *plane = call->plane;
    frame f;
    f.weights = call->spare;
    f.turns = (p->output_columns + 3) >> 2;
    f.rest = p->output_columns - (f.turns - 1) * 4;
    f.row_step = p->plane_pitch - steps * 4;
    f.stride = p->stride_columns * 2;
    f.stride_3 = f.stride * 3;
    f.turn_step = f.stride * 4 - p->filter_lines * p->plane_pitch;
    f.line_step = p->stride_lines * p->plane_pitch - p->filter_lines * p->plane_pitch - (f.turns - 1) * f.stride * 4;
    f.output_step = p->output_line_step - (f.turns - 1) * 4 * p->output_column_step;
    f.lines = call->band_bytes / (p->stride_lines * p->plane_pitch);
    f.column_step = p->output_column_step;
    f.skip = (STEPS_MAX - steps) * (odd ? STEP_1_BYTES : STEP_ANY_BYTES);
    f.end = f.weights + p->filter_lines * steps * (1 + odd);
    for (int32_t channel = 0; channel < call->channels; channel++) {
        const int8_t *const weights = (const int8_t *)record;
        const int32_t shift = weights[p->filter_lines * steps * 2];
        (odd ? widen_twice : widen)(weights, call->spare, p->filter_lines, steps);
        record += p->record_words;
        f.bias[0] = record[-2];
        f.bias[1] = record[-2];
        f.multiplier = record[-1];
        f.shift = shift;
        f.rounding = (int32_t)((uint32_t)call->rounding << (shift - 1));
        f.output = call->output + channel;
        f.plane = *plane;
        plane += call->plane_advance >> 2;
        if (odd) {
            lines_1(&f);
        } else {
            lines_any(&f);
        }
    }
}

TINYC_KERNEL void tinyc_depthwise_s8_dsp(const tinyc_depthwise_dsp_params *params, const int8_t *input, const int32_t *records,
                                         int8_t *output, void *scratch) {
    tinyc_planes_call call;
    call.rounding = 2 * params->output_zero_point + 1;
    call.spare = (int32_t *)scratch + params->buffer_lines * (params->plane_pitch >> 2);
    tinyc_planes_depthwise(params, input, records, output, scratch, &call, lines);
}
