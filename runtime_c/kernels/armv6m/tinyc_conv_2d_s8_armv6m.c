/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_kernels.h"

#include "tinyc_packed_patches.h"
#include "tinyc_requantize_armv6m.h"

#if !defined(__thumb__)
#error "tinyc_conv_2d_s8_armv6m.c needs Thumb instructions: compile with -mcpu=cortex-m0plus or the like"
#endif

/* What the channel loop keeps on its stack, in this order. The first eleven words come from the caller. */
typedef struct {
    int8_t *output_end[4];
    int32_t channel;        /* 16: minus the channels that are left */
    const uint32_t *x;      /* 20 */
    const uint32_t *x_end;  /* 24 */
    uint32_t skip;          /* 28: bytes of code before the group that the unrolled loop begins with; then its address */
    int32_t record_bytes;   /* 32 */
    int32_t half;           /* 36: 0x8000 */
    int32_t most;           /* 40: 127 */
    const int32_t *stream;  /* 44 */
    int32_t sums[4];        /* 48 */
    int32_t zero;           /* 64 */
    int32_t jump;           /* 68 */
    int32_t multiplier;     /* 72 */
} frame;

/* Four k of four pixels: 16 multiply-accumulates in 33 instructions (66 bytes of code). r0: packed pixels, r1: weights, r12: 0x8000,
 * r8 and r9: totals of the words and of their upper halves for pixels 0 and 1; r10 and r11 for pixels 2 and 3. */
#define GROUP                    \
    "ldmia r1!, {r5}\n\t"        \
    "ldmia r0!, {r3, r4}\n\t"    \
    "sxtb r2, r5\n\t"            \
    "muls r3, r2, r3\n\t"        \
    "muls r4, r2, r4\n\t"        \
    "asrs r5, r5, #8\n\t"        \
    "sxtb r2, r5\n\t"            \
    NEXT("r2")                   \
    "asrs r5, r5, #8\n\t"        \
    "sxtb r2, r5\n\t"            \
    NEXT("r2")                   \
    "asrs r5, r5, #8\n\t"        \
    NEXT("r5")                   \
    TOTALS
#define NEXT(weight)                     \
    "ldmia r0!, {r6, r7}\n\t"            \
    "muls r6, " weight ", r6\n\t"        \
    "muls r7, " weight ", r7\n\t"        \
    "adds r3, r3, r6\n\t"                \
    "adds r4, r4, r7\n\t"
#define TOTALS                   \
    "add r3, r12\n\t"            \
    "add r4, r12\n\t"            \
    "add r8, r3\n\t"             \
    "asrs r3, r3, #16\n\t"       \
    "add r9, r3\n\t"             \
    "add r10, r4\n\t"            \
    "asrs r4, r4, #16\n\t"       \
    "add r11, r4\n\t"

/* The accumulator of the even pixel of a pair: its total less 65536 times the odd one's. */
#define EVEN(total, odd)         \
    "mov r0, " odd "\n\t"        \
    "mov r2, " total "\n\t"      \
    "lsls r0, r0, #16\n\t"       \
    "subs r0, r2, r0\n\t"

/* Stores the result of r0: r12 addend, r3 multiplier, r6 shift, r4 slope, lr intercept, r7 line shift, r1 channel. `line` may change
 * the line's value in r5 for the estimate in r2. */
#define REQUANTIZE(output, line) \
    "mov r2, r0\n\t"             \
    "muls r2, r3, r2\n\t"        \
    "add r2, r12\n\t"            \
    "asrs r2, r2, r6\n\t"        \
    "cmp r2, #254\n\t"           \
    "bls 10f\n\t"                \
    "asrs r2, r2, #31\n\t"       \
    "ldr r5, [sp, #40]\n\t"      \
    "eors r2, r2, r5\n\t"        \
    "b 11f\n"                    \
    "10:\n\t"                    \
    "mov r5, r2\n\t"             \
    "muls r5, r4, r5\n\t"        \
    "add r5, lr\n\t"             \
    line                         \
    "lsrs r5, r5, r7\n\t"        \
    "cmp r0, r5\n\t"             \
    "ldr r5, [sp, #40]\n\t"      \
    "sbcs r2, r2, r5\n"          \
    "11:\n\t"                    \
    "ldr r5, [sp, #" output "]\n\t" \
    "strb r2, [r5, r1]\n\t"
#define JUMP                     \
    "ldr r3, [sp, #64]\n\t"      \
    "cmp r2, r3\n\t"             \
    "bgt 12f\n\t"                \
    "ldr r3, [sp, #68]\n\t"      \
    "adds r5, r5, r3\n"          \
    "12:\n\t"                    \
    "ldr r3, [sp, #72]\n\t"
#define FOUR(line)                                                                                          \
    EVEN("r8", "r9") REQUANTIZE("0", line) "mov r0, r9\n\t" REQUANTIZE("4", line)                           \
    EVEN("r10", "r11") REQUANTIZE("8", line) "mov r0, r11\n\t" REQUANTIZE("12", line)

/* Stores the results of f->sums, for a channel whose record is for the full double rounding. */
static __attribute__((noinline, used)) void tinyc_conv_2d_armv6m_full(const frame *f, const int32_t *record) {
    for (int32_t i = 0; i < 4; i++) {
        f->output_end[i][f->channel] = tinyc_requantize_full(f->sums[i], record);
    }
}

/* All channels of `stream` for four packed pixels. Written in assembly because compilers spill. */
static __attribute__((naked, noinline)) void channels(const frame *f __attribute__((unused)),
                                                      const int32_t *stream __attribute__((unused))) {
    __asm volatile(
        ".syntax unified\n\t"
        "push {r4-r7, lr}\n\t"
        "mov r4, r8\n\t"
        "mov r5, r9\n\t"
        "mov r6, r10\n\t"
        "mov r7, r11\n\t"
        "push {r4-r7}\n\t"
        "sub sp, sp, #76\n\t"
        "mov r2, sp\n\t"
        "ldmia r0!, {r3-r7}\n\t"
        "stmia r2!, {r3-r7}\n\t"
        "ldmia r0!, {r3-r7}\n\t"
        "stmia r2!, {r3-r7}\n\t"
        "ldr r3, [r0]\n\t"
        "str r3, [r2]\n\t"
        "adr r2, 2f\n\t"
        "ldr r3, [sp, #28]\n\t"
        "adds r2, r2, r3\n\t"
        "adds r2, r2, #1\n\t"
        "str r2, [sp, #28]\n"
        "1:\n\t" /* a channel */
        "ldmia r1!, {r2, r3}\n\t"
        "mov r8, r2\n\t"
        "mov r9, r3\n\t"
        "mov r10, r2\n\t"
        "mov r11, r3\n\t"
        "ldr r2, [sp, #36]\n\t"
        "mov r12, r2\n\t"
        "ldr r2, [sp, #24]\n\t"
        "mov lr, r2\n\t"
        "ldr r0, [sp, #20]\n\t"
        "ldr r2, [sp, #28]\n\t"
        "bx r2\n\t"
        ".p2align 2\n"
        "2:\n\t"
        GROUP GROUP GROUP GROUP
        "cmp r0, lr\n\t"
        "beq 3f\n\t"
        "b 2b\n"
        "8:\n\t" /* a correction: one weight of one k */
        "ldr r0, [sp, #20]\n\t"
        "lsrs r2, r2, #9\n\t"
        "adds r0, r0, r2\n\t"
        "ldmia r0!, {r3, r4}\n\t"
        "sxtb r6, r6\n\t"
        "muls r3, r6, r3\n\t"
        "muls r4, r6, r4\n\t"
        TOTALS
        "3:\n\t"
        "ldmia r1!, {r6}\n\t"
        "lsls r2, r6, #1\n\t" /* carry: a correction; negative: not the short record */
        "bcs 8b\n\t"
        "bpl 4f\n\t"
        "b 6f\n"
        "4:\n\t"
        "ldmia r1!, {r2, r3, r4, r5}\n\t"
        "mov r12, r2\n\t"
        "mov lr, r5\n\t"
        "str r1, [sp, #44]\n\t"
        "ldr r1, [sp, #16]\n\t"
        "lsrs r7, r6, #8\n\t"
        FOUR("")
        "5:\n\t" /* to the next channel */
        "lsrs r6, r6, #16\n\t"
        "adds r1, r1, r6\n\t"
        "str r1, [sp, #16]\n\t"
        "ldr r1, [sp, #44]\n\t"
        "beq 9f\n\t"
        "b 1b\n"
        "9:\n\t"
        "add sp, sp, #76\n\t"
        "pop {r4-r7}\n\t"
        "mov r8, r4\n\t"
        "mov r9, r5\n\t"
        "mov r10, r6\n\t"
        "mov r11, r7\n\t"
        "pop {r4-r7, pc}\n"
        "6:\n\t" /* a long record, or one for the full double rounding */
        "lsls r6, r6, #2\n\t"
        "lsrs r6, r6, #2\n\t"
        "uxtb r2, r6\n\t"
        "cmp r2, #0\n\t"
        "beq 7f\n\t"
        "ldmia r1!, {r2, r3, r4, r5}\n\t"
        "mov r12, r2\n\t"
        "mov lr, r5\n\t"
        "str r3, [sp, #72]\n\t"
        "ldmia r1!, {r2, r5}\n\t"
        "str r2, [sp, #68]\n\t"
        "str r5, [sp, #64]\n\t"
        "str r1, [sp, #44]\n\t"
        "ldr r1, [sp, #16]\n\t"
        "lsrs r7, r6, #8\n\t"
        FOUR(JUMP)
        "b 5b\n"
        "7:\n\t"
        EVEN("r8", "r9")
        "str r0, [sp, #48]\n\t"
        EVEN("r10", "r11")
        "str r0, [sp, #56]\n\t"
        "mov r0, r9\n\t"
        "str r0, [sp, #52]\n\t"
        "mov r0, r11\n\t"
        "str r0, [sp, #60]\n\t"
        "ldr r2, [sp, #32]\n\t"
        "adds r2, r2, r1\n\t"
        "str r2, [sp, #44]\n\t"
        "mov r0, sp\n\t"
        "bl tinyc_conv_2d_armv6m_full\n\t"
        "ldr r1, [sp, #16]\n\t"
        "b 5b\n\t");
}

/* 12 instructions per k. */
static __attribute__((naked, noinline)) uint32_t *pack(const int8_t *const from[4] __attribute__((unused)),
                                                       int32_t count __attribute__((unused)), uint32_t *x __attribute__((unused))) {
    __asm volatile(
        ".syntax unified\n\t"
        "push {r4-r7, lr}\n\t"
        "ldmia r0!, {r3, r4, r5, r6}\n\t"
        "adds r3, r3, r1\n\t"
        "adds r4, r4, r1\n\t"
        "adds r5, r5, r1\n\t"
        "adds r6, r6, r1\n\t"
        "rsbs r7, r1, #0\n"
        "1:\n\t"
        "ldrsb r0, [r3, r7]\n\t"
        "ldrsb r1, [r4, r7]\n\t"
        "lsls r1, r1, #16\n\t"
        "adds r0, r0, r1\n\t"
        "stmia r2!, {r0}\n\t"
        "ldrsb r0, [r5, r7]\n\t"
        "ldrsb r1, [r6, r7]\n\t"
        "lsls r1, r1, #16\n\t"
        "adds r0, r0, r1\n\t"
        "stmia r2!, {r0}\n\t"
        "adds r7, r7, #1\n\t"
        "bne 1b\n\t"
        "mov r0, r2\n\t"
        "pop {r4-r7, pc}\n\t");
}

/* No `restrict`: the output may reach over the input. */
TINYC_KERNEL void tinyc_conv_2d_s8_armv6m(const tinyc_conv_2d_packed_params *params, const int8_t *input,
                                          const int32_t *restrict stream, int8_t *output, void *scratch) {
    const tinyc_conv_2d_packed_params *const p = params;
    uint32_t *const x = scratch;
    tinyc_patches patches;
    frame f;
    f.x = x;
    f.x_end = x + 8 * p->groups;
    f.skip = (uint32_t)(-p->groups & 3) * 66u;
    f.record_bytes = 4 * p->record;
    f.half = 0x8000;
    f.most = 127;
    tinyc_patches_begin(&patches, p, input, (int8_t *)(x + 8 * p->groups), output);
    while (patches.left > 0) {
        tinyc_patches_next(&patches, p, stream, x, f.output_end);
        f.channel = p->first_channel - p->output_depth;
        if (f.channel < 0) {
            channels(&f, stream + p->constants);
        }
    }
    if (p->activation_min > -128 || p->activation_max < 127) {
        for (int32_t i = 0; i < p->pixels * p->output_depth; i++) {
            output[i] = (int8_t)tinyc_clamp(output[i], p->activation_min, p->activation_max);
        }
    }
}
