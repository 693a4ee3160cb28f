/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_packed_planes.h"
#include "tinyc_requantize_armv6m.h"

#if !defined(__thumb__)
#error "tinyc_depthwise_conv_2d_s8_armv6m.c needs Thumb instructions: compile with -mcpu=cortex-m0plus or the like"
#endif

/* What the loop over one channel needs. All distances are in bytes. It copies the first part to its stack, where the three words behind
 * it say where to go at a position's begin, after the core, and after the list; the next one points here. */
typedef struct {
    int32_t weights[9];      /* 0: of a 3x3 filter */
    int8_t *output;          /* 36: of the upper half */
    int32_t to_lower;        /* 40: from an output of the upper half to that of the lower one */
    int32_t output_step;     /* 44: to the next output */
    int8_t *row_end;         /* 48 */
    int32_t row_step;        /* 52: from behind three words to the next row's */
    int32_t most;            /* 56: 127 */
    int32_t flags;           /* 60: of the record, and its shifts */
    int32_t multiplier;      /* 64 */
    int32_t slope;           /* 68 */
    int32_t core;            /* 72: 1 for a 3x3 filter; not copied, like all that follow */
    int32_t addend;          /* 76 */
    int32_t intercept;       /* 80 */
    int32_t jump;            /* 84 */
    int32_t zero;            /* 88 */
    int32_t x_step;          /* 92: to the next output's words */
    int32_t bias;            /* 96 */
    int32_t output_row;      /* 100 */
    int32_t x_row;           /* 104: from behind a row's words to the next row's */
    int8_t *end;             /* 108: of the upper half's outputs */
    const int32_t *taps;     /* 112 */
    const int32_t *taps_end; /* 116 */
    int32_t taps_base;       /* 120: from an output's first word to where distances of taps begin */
} frame;

/* Words of a channel in the stream before its record. */
#define HEADER 2

/* Three taps of two outputs: 6 multiply-accumulates in 12 instructions. r5 and r6: totals of the words and of their upper halves. The
 * bit that the shift drops rounds the upper half. */
#define ROW(w0, w1, w2)              \
    "ldmia r0!, {r1, r2, r3}\n\t"    \
    "ldr r4, [sp, #" w0 "]\n\t"      \
    "muls r1, r4, r1\n\t"            \
    "ldr r4, [sp, #" w1 "]\n\t"      \
    "muls r2, r4, r2\n\t"            \
    "adds r1, r1, r2\n\t"            \
    "ldr r4, [sp, #" w2 "]\n\t"      \
    "muls r3, r4, r3\n\t"            \
    "adds r1, r1, r3\n\t"            \
    TOTALS
#define TOTALS                       \
    "adds r5, r5, r1\n\t"            \
    "asrs r1, r1, #16\n\t"           \
    "adcs r6, r6, r1\n\t"

/* The result of `acc` in r1, as in tinyc_conv_2d_s8_armv6m.c: r12 addend, r3 multiplier, r0 shift, r4 slope, lr intercept, r7 line
 * shift. */
#define REQUANTIZE(acc, line)        \
    "mov r1, " acc "\n\t"            \
    "muls r1, r3, r1\n\t"            \
    "add r1, r12\n\t"                \
    "asrs r1, r1, r0\n\t"            \
    "cmp r1, #254\n\t"               \
    "bls 20f\n\t"                    \
    "asrs r1, r1, #31\n\t"           \
    "ldr r2, [sp, #56]\n\t"          \
    "eors r1, r1, r2\n\t"            \
    "b 21f\n"                        \
    "20:\n\t"                        \
    "mov r2, r1\n\t"                 \
    "muls r2, r4, r2\n\t"            \
    "add r2, lr\n\t"                 \
    line                             \
    "lsrs r2, r2, r7\n\t"            \
    "cmp " acc ", r2\n\t"            \
    "ldr r2, [sp, #56]\n\t"          \
    "sbcs r1, r1, r2\n"              \
    "21:\n\t"
#define JUMP                         \
    "ldr r3, [sp, #84]\n\t"          \
    "ldr r3, [r3, #88]\n\t"          \
    "cmp r1, r3\n\t"                 \
    "bgt 22f\n\t"                    \
    "ldr r3, [sp, #84]\n\t"          \
    "ldr r3, [r3, #84]\n\t"          \
    "adds r2, r2, r3\n"              \
    "22:\n\t"                        \
    "ldr r3, [sp, #64]\n\t"
/* The lower half's sum stays in r6, the upper one's comes to r5. */
#define BOTH(line)                   \
    "lsls r1, r6, #16\n\t"           \
    "subs r5, r5, r1\n\t"            \
    "ldr r0, [sp, #60]\n\t"          \
    "ldr r3, [sp, #64]\n\t"          \
    "ldr r4, [sp, #68]\n\t"          \
    "lsrs r7, r0, #8\n\t"            \
    REQUANTIZE("r5", line)           \
    "ldr r2, [sp, #36]\n\t"          \
    "strb r1, [r2]\n\t"              \
    REQUANTIZE("r6", line)           \
    "ldr r2, [sp, #36]\n\t"          \
    "ldr r3, [sp, #40]\n\t"          \
    "strb r1, [r2, r3]\n\t"

/* Stores the results of two sums, for a channel whose record is for the full double rounding. */
static __attribute__((noinline, used)) void tinyc_depthwise_armv6m_full(const frame *f, int8_t *output, int32_t upper, int32_t lower) {
    const int32_t rest[3] = {f->addend, f->multiplier, f->slope};
    output[0] = tinyc_requantize_full(upper, rest);
    output[f->to_lower] = tinyc_requantize_full(lower, rest);
}

/* All outputs of one channel for one plane at `x`. Written in assembly because compilers spill. High registers: r8 and r9 start values,
 * r10 x_step, r11 the position's words, r12 and lr constants of requantization. */
static __attribute__((naked, noinline)) void channel(const frame *f __attribute__((unused)),
                                                     const uint32_t *x __attribute__((unused))) {
    __asm volatile(
        ".syntax unified\n\t"
        "push {r4-r7, lr}\n\t"
        "mov r4, r8\n\t"
        "mov r5, r9\n\t"
        "mov r6, r10\n\t"
        "mov r7, r11\n\t"
        "push {r4-r7}\n\t"
        "sub sp, sp, #92\n\t"
        "str r0, [sp, #84]\n\t"
        "mov r2, sp\n\t"
        "ldmia r0!, {r3-r7}\n\t"
        "stmia r2!, {r3-r7}\n\t"
        "ldmia r0!, {r3-r7}\n\t"
        "stmia r2!, {r3-r7}\n\t"
        "ldmia r0!, {r3-r7}\n\t"
        "stmia r2!, {r3-r7}\n\t"
        "ldmia r0!, {r3-r5}\n\t"
        "stmia r2!, {r3-r5}\n\t"
        "ldr r6, [sp, #84]\n\t"
        "ldr r3, [r6, #76]\n\t"
        "mov r12, r3\n\t"
        "ldr r3, [r6, #80]\n\t"
        "mov lr, r3\n\t"
        "ldr r3, [r6, #92]\n\t"
        "mov r10, r3\n\t"
        "ldr r3, [r6, #96]\n\t"
        "mov r9, r3\n\t"
        "lsls r4, r3, #16\n\t"
        "adds r4, r4, r3\n\t"
        "mov r8, r4\n\t"
        "mov r0, r1\n\t"
        /* Where to go after the list, after the core, and at a position's begin. */
        "ldr r5, [sp, #60]\n\t"
        "adr r4, 6f\n\t"
        "lsls r3, r5, #1\n\t"
        "bpl 1f\n\t"
        "adr r4, 7f\n\t"
        "uxtb r5, r5\n\t"
        "cmp r5, #0\n\t"
        "bne 1f\n\t"
        "adr r4, 8f\n"
        "1:\n\t"
        "str r4, [sp, #80]\n\t"
        "adds r6, r6, #112\n\t"
        "ldmia r6!, {r2, r3}\n\t"
        "cmp r2, r3\n\t"
        "beq 1f\n\t"
        "adr r4, 4f\n"
        "1:\n\t"
        "str r4, [sp, #76]\n\t"
        "subs r6, r6, #48\n\t"
        "ldr r2, [r6]\n\t"
        "cmp r2, #0\n\t"
        "beq 1f\n\t"
        "adr r4, 3f\n"
        "1:\n\t"
        "str r4, [sp, #72]\n"
        "2:\n\t" /* two outputs */
        "ldr r7, [sp, #52]\n\t"
        "mov r11, r0\n\t"
        "mov r5, r8\n\t"
        "mov r6, r9\n\t"
        "ldr r1, [sp, #72]\n\t"
        "mov pc, r1\n\t"
        ".p2align 2\n"
        "3:\n\t" /* 3x3: 18 multiply-accumulates in 38 instructions */
        ROW("0", "4", "8")
        "adds r0, r0, r7\n\t"
        ROW("12", "16", "20")
        "adds r0, r0, r7\n\t"
        ROW("24", "28", "32")
        "ldr r1, [sp, #76]\n\t"
        "mov pc, r1\n\t"
        ".p2align 2\n"
        "4:\n\t" /* a list of pairs of taps */
        "ldr r7, [sp, #84]\n\t"
        "adds r7, r7, #112\n\t"
        "ldmia r7, {r4, r7}\n\t"
        "ldr r1, [sp, #84]\n\t"
        "ldr r1, [r1, #120]\n\t"
        "mov r0, r11\n\t"
        "adds r0, r0, r1\n"
        "5:\n\t"
        "ldmia r4!, {r1, r2}\n\t"
        "sxtb r3, r1\n\t"
        "asrs r1, r1, #8\n\t"
        "ldr r1, [r0, r1]\n\t"
        "muls r1, r3, r1\n\t"
        "sxtb r3, r2\n\t"
        "asrs r2, r2, #8\n\t"
        "ldr r2, [r0, r2]\n\t"
        "muls r2, r3, r2\n\t"
        "adds r1, r1, r2\n\t"
        TOTALS
        "cmp r4, r7\n\t"
        "bne 5b\n\t"
        "ldr r1, [sp, #80]\n\t"
        "mov pc, r1\n\t"
        ".p2align 2\n"
        "6:\n\t"
        BOTH("")
        "9:\n\t"
        "ldr r3, [sp, #44]\n\t"
        "adds r2, r2, r3\n\t"
        "str r2, [sp, #36]\n\t"
        "mov r0, r11\n\t"
        "add r0, r10\n\t"
        "ldr r3, [sp, #48]\n\t"
        "cmp r2, r3\n\t"
        "beq 10f\n\t"
        "b 2b\n"
        "10:\n\t" /* a row is done */
        "ldr r4, [sp, #84]\n\t"
        "ldr r1, [r4, #100]\n\t"
        "adds r3, r3, r1\n\t"
        "str r3, [sp, #48]\n\t"
        "ldr r1, [r4, #104]\n\t"
        "adds r0, r0, r1\n\t"
        "ldr r3, [r4, #108]\n\t"
        "cmp r2, r3\n\t"
        "beq 11f\n\t"
        "b 2b\n"
        "11:\n\t"
        "add sp, sp, #92\n\t"
        "pop {r4-r7}\n\t"
        "mov r8, r4\n\t"
        "mov r9, r5\n\t"
        "mov r10, r6\n\t"
        "mov r11, r7\n\t"
        "pop {r4-r7, pc}\n\t"
        ".p2align 2\n"
        "7:\n\t" /* a long record */
        BOTH(JUMP)
        "b 9b\n\t"
        ".p2align 2\n"
        "8:\n\t" /* the full double rounding */
        "lsls r1, r6, #16\n\t"
        "subs r2, r5, r1\n\t"
        "mov r3, r6\n\t"
        "ldr r1, [sp, #36]\n\t"
        "ldr r0, [sp, #84]\n\t"
        "bl tinyc_depthwise_armv6m_full\n\t"
        "ldr r2, [sp, #36]\n\t"
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
    f.x_step = 4 * p->stride_width;
    f.x_row = 4 * (p->stride_height * p->plane_columns - p->output_width * p->stride_width);
    f.row_step = stride - 12;
    f.taps_base = p->core != 0 ? 2 * stride : 0;
    f.most = 127;
    f.core = p->core;
    for (int32_t i = 0; i < p->channels; i++) {
        const int32_t index = next[0] >> 16;
        const int32_t *const record = next + HEADER;
        const int8_t *const weights = (const int8_t *)(record + 1 + p->record);
        if (index >= source_end) {
            for (; index >= source_end; source++) {
                source_end += p->depth_multiplier;
            }
            tinyc_plane(p, input + source - 1, upper * p->stride_height - p->pad_height, lower * p->stride_height - p->pad_height, x);
        }
        f.output = output + upper * f.output_row + index;
        f.row_end = f.output + f.output_row;
        f.end = f.output + p->half * f.output_row;
        f.taps = record + 1 + p->record + (p->core != 0 ? 3 : 0);
        f.taps_end = f.taps + (next[0] & 0xffff);
        f.bias = next[1];
        f.flags = record[TINYC_FLAGS];
        f.addend = record[TINYC_ADDEND];
        f.multiplier = record[TINYC_MULTIPLIER];
        f.slope = record[TINYC_SLOPE];
        f.intercept = record[TINYC_INTERCEPT];
        if (p->record > TINYC_INTERCEPT) {
            f.jump = record[TINYC_JUMP];
            f.zero = record[TINYC_ZERO];
        }
        for (int32_t k = 0; k < 9 && p->core != 0; k++) {
            f.weights[k] = weights[k];
        }
        channel(&f, x);
        next = f.taps_end;
    }
    tinyc_plane_constants(p, stream, output + upper * f.output_row, output + (lower + p->half) * f.output_row);
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_depthwise_conv_2d_s8_armv6m(const tinyc_depthwise_packed_params *params, const int8_t *input,
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
