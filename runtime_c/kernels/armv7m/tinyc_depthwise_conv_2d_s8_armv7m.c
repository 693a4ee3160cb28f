/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_fixed_point.h"
#include "tinyc_packed_planes.h"

#if !defined(__thumb2__)
#error "tinyc_depthwise_conv_2d_s8_armv7m.c needs Thumb-2 instructions: compile with -mcpu=cortex-m3 or the like"
#endif

/* What the loop over one channel keeps on its stack, in this order. All distances are in bytes. */
typedef struct {
    int8_t *output;         /* 0: of the upper half */
    int32_t to_lower;       /* 4: from an output of the upper half to that of the lower one */
    int32_t output_step;    /* 8: to the next output */
    int8_t *row_end;        /* 12 */
    int32_t x_step;         /* 16: to the next output's words */
    int32_t output_row;     /* 20 */
    int32_t x_row;          /* 24: from behind a row's words to the next row's */
    int8_t *end;            /* 28: of the upper half's outputs */
    const int32_t *taps;    /* 32 */
    const int32_t *taps_end;/* 36 */
    uint32_t total;         /* 40: start values of the two totals */
    int32_t bias;           /* 44 */
    int32_t record[3];      /* 48: shift and flags, 52: multiplier, 56: rounding term */
    int32_t core;           /* 60: 1 for a 3x3 filter */
} frame;

/* Words of a channel in the stream before its weights. */
#define HEADER 5

/* Multiplier, rounding term and shift are in r3, r4 and lr, as in tinyc_conv_2d_s8_armv7m.c; r0 is free. */
#define REQUANTIZE(acc)                     \
    "smull r0, " acc ", " acc ", r3\n\t"    \
    "add " acc ", " acc ", r4\n\t"          \
    "asr " acc ", " acc ", lr\n\t"          \
    "ssat " acc ", #8, " acc "\n\t"
/* Here r5, 0x8000, is overwritten. */
#define REQUANTIZE_SIGNED(acc)              \
    "lsl r0, " acc ", #1\n\t"               \
    "smull r0, r5, r0, r3\n\t"              \
    "lsls r0, r0, #1\n\t"                   \
    "adc " acc ", r5, " acc ", asr #31\n\t" \
    "add " acc ", " acc ", r4\n\t"          \
    "asr " acc ", " acc ", lr\n\t"          \
    "ssat " acc ", #8, " acc "\n\t"
/* The totals of the words and of their upper halves, as in tinyc_conv_2d_s8_armv7m.c. */
#define TOTALS                              \
    "add r0, r0, r2\n\t"                    \
    "add r1, r1, r2, asr #16\n\t"

/* All outputs of one channel for one plane at `x` with rows `stride` bytes apart. r6: words, r7: distance of rows, r5: 0x8000,
 * r8: weights, the first four of them in r9 to r12. Written in assembly because it needs all fourteen registers. */
static __attribute__((naked, noinline)) void channel(const frame *f __attribute__((unused)),
                                                     const uint32_t *x __attribute__((unused)),
                                                     int32_t stride __attribute__((unused)),
                                                     const int8_t *weights __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n\t"
        "mov r8, r3\n\t"
        "mov r7, r2\n\t"
        "mov r6, r1\n\t"
        "mov lr, r0\n\t"
        "sub sp, sp, #76\n\t"
        "ldm lr!, {r0-r3, r9-r12}\n\t"
        "stm sp, {r0-r3, r9-r12}\n\t"
        "ldm lr!, {r0-r3, r9-r12}\n\t"
        "add lr, sp, #32\n\t"
        "stm lr, {r0-r3, r9-r12}\n\t"
        /* Where to go: 64: at a position's begin, 68: after the core, 72: after the list. */
        "lsls r2, r9, #1\n\t"
        "adr r9, 7f\n\t"
        "it mi\n\t"
        "adrmi r9, 8f\n\t"
        "mov r10, r9\n\t"
        "cmp r0, r1\n\t"
        "it ne\n\t"
        "adrne r10, 5f\n\t"
        "mov r11, r10\n\t"
        "cmp r12, #0\n\t"
        "it ne\n\t"
        "adrne r11, 3f\n\t"
        "orr r9, r9, #1\n\t"
        "orr r10, r10, #1\n\t"
        "orr r11, r11, #1\n\t"
        "str r11, [sp, #64]\n\t"
        "str r10, [sp, #68]\n\t"
        "str r9, [sp, #72]\n\t"
        "cmp r12, #0\n\t"
        "itttt ne\n\t"
        "ldrsbne r9, [r8, #0]\n\t"
        "ldrsbne r10, [r8, #1]\n\t"
        "ldrsbne r11, [r8, #2]\n\t"
        "ldrsbne r12, [r8, #3]\n"
        "1:\n\t"
        "movw r5, #0x8000\n"
        "2:\n\t" /* two outputs */
        "ldrd r0, r1, [sp, #40]\n\t"
        "ldr pc, [sp, #64]\n\t"
        ".p2align 2\n"
        "3:\n\t" /* 3x3: 18 multiply-accumulates in 25 instructions */
        "ldm r6, {r2, r3, r4}\n\t"
        "mla r2, r2, r9, r5\n\t"
        "mla r2, r3, r10, r2\n\t"
        "mla r2, r4, r11, r2\n\t"
        "add r6, r6, r7\n\t"
        TOTALS
        "ldm r6, {r2, r3, r4}\n\t"
        "ldrsb lr, [r8, #4]\n\t"
        "mla r2, r2, r12, r5\n\t"
        "mla r2, r3, lr, r2\n\t"
        "ldrsb lr, [r8, #5]\n\t"
        "add r6, r6, r7\n\t"
        "mla r2, r4, lr, r2\n\t"
        TOTALS
        "ldm r6, {r2, r3, r4}\n\t"
        "ldrsb lr, [r8, #6]\n\t"
        "mla r2, r2, lr, r5\n\t"
        "ldrsb lr, [r8, #7]\n\t"
        "mla r2, r3, lr, r2\n\t"
        "ldrsb lr, [r8, #8]\n\t"
        "mla r2, r4, lr, r2\n\t"
        TOTALS
        "ldr pc, [sp, #68]\n\t"
        ".p2align 2\n"
        "5:\n\t" /* a list of pairs of taps */
        "ldr lr, [sp, #32]\n"
        "6:\n\t"
        "ldr r3, [lr], #4\n\t"
        "sxtb r4, r3\n\t"
        "asr r3, r3, #8\n\t"
        "ldr r2, [r6, r3]\n\t"
        "mla r2, r2, r4, r5\n\t"
        "ldr r3, [lr], #4\n\t"
        "sxtb r4, r3\n\t"
        "asr r3, r3, #8\n\t"
        "ldr r3, [r6, r3]\n\t"
        "mla r2, r3, r4, r2\n\t"
        TOTALS
        "ldr r3, [sp, #36]\n\t"
        "cmp lr, r3\n\t"
        "bne 6b\n\t"
        "ldr pc, [sp, #72]\n\t"
        ".p2align 2\n"
        "7:\n\t"
        "sub r2, r0, r1, lsl #16\n\t"
        "ldrd r3, r4, [sp, #52]\n\t"
        "ldr lr, [sp, #48]\n\t"
        REQUANTIZE("r2") REQUANTIZE("r1")
        "9:\n\t"
        "ldm sp, {r0, r3, r4, lr}\n\t"
        "strb r1, [r0, r3]\n\t"
        "strb r2, [r0]\n\t"
        "ldr r3, [sp, #16]\n\t"
        "add r0, r0, r4\n\t"
        "str r0, [sp]\n\t"
        "add r6, r6, r3\n\t"
        "cmp r0, lr\n\t"
        "bne.w 2b\n\t"
        "ldr r3, [sp, #28]\n\t" /* a row is done */
        "ldrd r1, r2, [sp, #20]\n\t"
        "add lr, lr, r1\n\t"
        "str lr, [sp, #12]\n\t"
        "add r6, r6, r2\n\t"
        "cmp r0, r3\n\t"
        "bne.w 2b\n\t"
        "add sp, sp, #76\n\t"
        "pop {r4-r11, pc}\n\t"
        ".p2align 2\n"
        "8:\n\t"
        "sub r2, r0, r1, lsl #16\n\t"
        "ldrd r3, r4, [sp, #52]\n\t"
        "ldr lr, [sp, #48]\n\t"
        REQUANTIZE_SIGNED("r2") REQUANTIZE_SIGNED("r1")
        "movw r5, #0x8000\n\t"
        "b 9b\n\t");
}

/* The channels of one band: output rows `upper` to upper + half - 1 and `lower` to lower + half - 1. */
static void band(const tinyc_depthwise_packed_params *p, const int8_t *input, const int32_t *stream, int32_t upper, int32_t lower,
                 int8_t *output, uint32_t *x) {
    const int32_t stride = 4 * p->dilation_height * p->plane_columns;
    const int32_t *next = stream + p->constants;
    int32_t source = 0;    /* input channel, whose outputs are channels up to `source_end` */
    int32_t source_end = 0;
    frame f;
    f.to_lower = (lower - upper) * p->output_width * p->output_depth;
    f.output_step = p->output_depth;
    f.output_row = p->output_width * p->output_depth;
    f.x_step = 4 * p->stride_width - (p->core != 0 ? 2 * stride : 0);
    f.x_row = 4 * (p->stride_height * p->plane_columns - p->output_width * p->stride_width);
    f.core = p->core;
    for (int32_t i = 0; i < p->channels; i++) {
        const int32_t index = next[0] >> 16;
        const int32_t taps = next[0] & 0xffff;
        const int32_t sums = (p->core != 0 ? 3 : 0) + taps / 2;
        if (index >= source_end) {
            for (; index >= source_end; source++) {
                source_end += p->depth_multiplier;
            }
            tinyc_plane(p, input + source - 1, upper * p->stride_height - p->pad_height, lower * p->stride_height - p->pad_height, x);
        }
        f.output = output + upper * f.output_row + index;
        f.row_end = f.output + f.output_row;
        f.end = f.output + p->half * f.output_row;
        f.taps = next + HEADER + (p->core != 0 ? 3 : 0);
        f.taps_end = f.taps + taps;
        f.total = (uint32_t)next[1] * 65537u - (uint32_t)sums * 0x8000u;
        f.bias = next[1];
        f.record[0] = next[2];
        f.record[1] = next[3];
        f.record[2] = next[4];
        channel(&f, x, stride, (const int8_t *)(next + HEADER));
        next = f.taps_end;
    }
    tinyc_plane_constants(p, stream, output + upper * f.output_row, output + (lower + p->half) * f.output_row);
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_depthwise_conv_2d_s8_armv7m(const tinyc_depthwise_packed_params *params, const int8_t *input,
                                                    const int32_t *restrict stream, int8_t *output, void *scratch) {
    const tinyc_depthwise_packed_params *const p = params;
    const int32_t size = p->output_height * p->output_width * p->output_depth;
    const int32_t last = p->output_height - p->half;
    for (int32_t batch = 0; batch < p->batches; batch++) {
        for (int32_t row = 0; row < p->output_height; row += 2 * p->half) {
            /* The last halves overlap the ones before where the image does not divide. */
            band(p, input, stream, row < last ? row : last, row + p->half < last ? row + p->half : last, output, scratch);
        }
        input += p->input_height * p->input_width * p->input_depth;
        output += size;
    }
    if (p->activation_min > -128 || p->activation_max < 127) {
        int8_t *const all = output - p->batches * size;
        for (int32_t i = 0; i < p->batches * size; i++) {
            all[i] = (int8_t)tinyc_clamp(all[i], p->activation_min, p->activation_max);
        }
    }
}
